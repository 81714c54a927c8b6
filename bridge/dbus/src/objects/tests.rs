use std::collections::HashMap;

use proptest::prelude::*;
use zbus::{
    Message, OwnedObjectPath, OwnedVariant, message::Flags, message::Type, names::InterfaceName,
    signature,
};

use super::*;
use crate::errors::Refusal;
use crate::{
    interface::{Access, Annotation, Emits, Method, Property, Signal},
    introspection::parse_interfaces,
};

const LAMP: &str = "/org/example/Lamp";
const VALUES: &str = "org.example.Values";

fn property(name: &str, signature: Signature, access: Access) -> Property {
    Property {
        name: name.into(),
        signature,
        access,
        emits: Emits::Value,
        annotations: vec![Annotation {
            name: "org.example.Min".into(),
            value: "\"<0>\" & \u{1}".into(),
        }],
    }
}

fn values() -> Interface {
    let mut values = Interface::new(VALUES);
    for (name, access, value) in [
        ("level", Access::ReadWrite, Variant::F64(0.5)),
        ("color", Access::Read, Variant::from("red")),
        ("secret", Access::Write, Variant::I64(7)),
    ] {
        let signature = value.value_signature().clone();
        values
            .add_property(property(name, signature, access), Content::Plain(value))
            .unwrap();
    }
    values
}

fn methods() -> Interface {
    let argument = |name: &'static str, signature| Argument {
        name: name.into(),
        signature,
    };
    let mut methods = Interface::new("org.example.Methods");
    methods.add_method(Method {
        name: "blink".into(),
        inputs: vec![argument("times", Signature::I64)],
        outputs: vec![],
        annotations: vec![],
    });
    methods.add_method(Method {
        name: "aim".into(),
        inputs: vec![argument("at", signature!("(dd)"))],
        outputs: vec![argument("", Signature::Bool)],
        annotations: vec![],
    });
    methods.add_signal(Signal {
        name: "level".into(),
        arguments: vec![argument("value", Signature::F64)],
        annotations: vec![],
    });
    methods
}

/// A table with a lamp whose addition was announced and taken.
fn table() -> Objects {
    let mut objects = Objects::new(Some("0123456789abcdef0123456789abcdef".into()));
    objects.add_manager("/org/example").unwrap();
    objects.insert(LAMP, [values(), methods()]).unwrap();
    objects.set_announcing(true);
    objects
}

fn call(path: &str, interface: &str, member: &str) -> zbus::message::Builder<'static> {
    let builder = Message::method_call(path.to_owned(), member.to_owned()).sender(":1.7");
    match interface {
        "" => builder,
        interface => builder.interface(interface.to_owned()),
    }
}

fn answer(objects: &mut Objects, call: zbus::Result<Message>) -> Message {
    let call = call.unwrap();
    assert!(matches!(objects.handle(&call), Dispatch::Done));
    let mut out = objects.take_outgoing();
    assert_eq!(out.len(), 1, "one answer");
    let answer = out.remove(0);
    let header = answer.header();
    assert_eq!(
        header.reply_serial(),
        Some(call.primary_header().serial_num())
    );
    assert_eq!(header.destination().unwrap().as_str(), ":1.7");
    Message::clone(&answer)
}

fn error_of(objects: &mut Objects, call: zbus::Result<Message>) -> String {
    let answer = answer(objects, call);
    assert_eq!(answer.message_type(), Type::Error);
    answer.header().error_name().unwrap().to_string()
}

fn get(interface: &str, property: &str) -> zbus::Result<Message> {
    call(LAMP, PROPERTIES, "Get").build(&(interface, property))
}

#[test]
fn a_property_is_read() {
    let objects = &mut table();
    for interface in [VALUES, ""] {
        let answer = answer(objects, get(interface, "level"));
        let value: OwnedVariant = answer.body().deserialize().unwrap();
        assert_eq!(value, OwnedVariant::from(0.5));
    }
}

#[test]
fn every_way_to_ask_for_what_is_not_there_has_its_error() {
    let objects = &mut table();
    let any = |path, interface, member| call(path, interface, member).build(&());
    for (question, expected) in [
        (get(VALUES, "nope"), "UnknownProperty"),
        (get("org.example.Nope", "level"), "UnknownInterface"),
        (get("", "nope"), "UnknownProperty"),
        (get(PROPERTIES, "level"), "UnknownProperty"),
        (get(VALUES, "secret"), "AccessDenied"),
        (
            any("/nope", "org.example.Methods", "blink"),
            "UnknownObject",
        ),
        (any("/nope", PROPERTIES, "GetAll"), "UnknownObject"),
        (any("/nope", "", "Introspect"), "UnknownObject"),
        (
            any("/org", "org.example.Methods", "blink"),
            "UnknownInterface",
        ),
        (any(LAMP, "org.example.Nope", "blink"), "UnknownInterface"),
        (any(LAMP, "org.example.Methods", "nope"), "UnknownMethod"),
        (any(LAMP, "", "nope"), "UnknownMethod"),
        (any(LAMP, PEER, "nope"), "UnknownMethod"),
        (
            any(LAMP, OBJECT_MANAGER, "GetManagedObjects"),
            "UnknownInterface",
        ),
        (any(LAMP, "org.example.Methods", "blink"), "InvalidArgs"),
        (any(LAMP, PROPERTIES, "Get"), "InvalidArgs"),
        (call(LAMP, PEER, "Ping").build(&1u32), "InvalidArgs"),
        (
            call(LAMP, PROPERTIES, "Set").build(&(VALUES, "color", Variant::from("blue"))),
            "PropertyReadOnly",
        ),
        (
            call(LAMP, PROPERTIES, "Set").build(&(VALUES, "level", 1.0)),
            "InvalidArgs",
        ),
    ] {
        let name = error_of(objects, question);
        assert_eq!(name, format!("org.freedesktop.DBus.Error.{expected}"));
    }
}

#[test]
fn all_properties_are_those_that_may_be_read() {
    let objects = &mut table();
    for (interface, expected) in [(VALUES, 2), ("", 2), ("org.example.Methods", 0), (PEER, 0)] {
        let answer = answer(objects, call(LAMP, PROPERTIES, "GetAll").build(&interface));
        let all: HashMap<String, OwnedVariant> = answer.body().deserialize().unwrap();
        assert_eq!(all.len(), expected, "{interface}");
    }
    let on_prefix = answer(objects, call("/org", PROPERTIES, "GetAll").build(&""));
    let all: HashMap<String, OwnedVariant> = on_prefix.body().deserialize().unwrap();
    assert!(all.is_empty());
}

#[test]
fn every_prefix_introspects_with_its_children() {
    let objects = &mut table();
    objects.insert("/org/example2", [values()]).unwrap();
    drop(objects.take_outgoing());
    for (path, children) in [
        ("/", vec!["org"]),
        ("/org", vec!["example", "example2"]),
        ("/org/example", vec!["Lamp"]),
        (LAMP, vec![]),
    ] {
        let xml = answer(objects, call(path, INTROSPECTABLE, "Introspect").build(&()));
        let xml: String = xml.body().deserialize().unwrap();
        let found: Vec<&str> = xml
            .lines()
            .filter_map(|line| line.strip_prefix(" <node name=\"")?.strip_suffix("\"/>"))
            .collect();
        assert_eq!(found, children, "{path}");
    }
}

#[test]
fn the_xml_is_well_formed_and_says_what_was_declared() {
    let xml = table().introspect(LAMP);
    let parsed = parse_interfaces(&xml).unwrap();
    let names: Vec<&str> = parsed.iter().map(|one| one.name().as_ref()).collect();
    assert_eq!(
        names,
        [
            PEER,
            INTROSPECTABLE,
            PROPERTIES,
            "org.example.Methods",
            VALUES
        ]
    );
    let level = parsed[4].property("level").unwrap();
    assert_eq!(level.access, Access::ReadWrite);
    assert_eq!(level.signature, Signature::F64);
    assert_eq!(&*level.annotations[0].value, "\"<0>\" & \u{fffd}");
    // The annotations for Qt are added.
    let mut declared = parsed[3].shape.methods.clone();
    let named: Vec<Annotation> = declared
        .iter_mut()
        .flat_map(|method| std::mem::take(&mut method.annotations))
        .collect();
    assert_eq!(declared, methods().shape.methods);
    let name = "org.qtproject.QtDBus.QtTypeName.In0";
    let names: Vec<_> = named.iter().map(|it| (&*it.name, &*it.value)).collect();
    assert_eq!(names, [(name, "QPair<double,double>")]);
    assert_eq!(parsed[3].shape.signals, methods().shape.signals);
}

proptest! {
    #[test]
    fn the_xml_is_one_whatever_text_stands_in_it(
        texts in prop::collection::vec("(\\PC|[\0-\u{a0}\u{fdd0}\u{fff0}-\u{ffff}\u{10ffff}]){0,8}", 2)
    ) {
        let [value, argument] = texts.as_slice() else { unreachable!() };
        let annotations = vec![Annotation {
            name: "org.example.Text".into(),
            value: value.as_str().into(),
        }];
        let arguments = vec![Argument {
            name: argument.clone().into(),
            signature: Signature::Str,
        }];
        let mut interface = Interface::new("org.example.Texts");
        interface.add_method(Method {
            name: "Say".into(),
            inputs: arguments.clone(),
            outputs: arguments,
            annotations,
        });
        let mut objects = Objects::new(None);
        objects.insert("/a", [interface]).unwrap();
        let xml = objects.introspect("/a");
        for letter in xml.chars() {
            let is_one = matches!(
                letter,
                '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..
            );
            prop_assert!(is_one, "{letter:?} is no character of XML 1.0");
        }
        let again = parse_interfaces(&xml).unwrap();
        let read = again.iter().find(|it| &**it.name() == "org.example.Texts").unwrap();
        let read = &read.methods()[0];
        let shown = |text: &str| -> String {
            let shown = |letter| match letter {
                '\0' => '\u{2400}',
                '\u{1}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => '\u{fffd}',
                '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}' | '\u{10ffff}' => '\u{fffd}',
                letter => letter,
            };
            text.chars().map(shown).collect()
        };
        prop_assert_eq!(&*read.annotations[0].value, &*shown(value));
        prop_assert_eq!(&*read.inputs[0].name, &*shown(argument));
    }
}

#[test]
fn fixed_interfaces_are_what_their_xml_says() {
    for xml in [
        zocp_interfaces::BRIDGE_XML,
        zocp_interfaces::PEER_XML,
        zocp_interfaces::STATISTICS_XML,
        zocp_interfaces::OBJECT_XML,
        zocp_interfaces::VALUES_XML,
        zocp_interfaces::SIGNALS_XML,
        zocp_interfaces::METHODS_XML,
    ] {
        let parsed = parse_interfaces(xml).unwrap();
        assert_eq!(parsed.len(), 1);
        let mut objects = Objects::default();
        objects.insert("/a", parsed.clone()).unwrap();
        let again = parse_interfaces(&objects.introspect("/a")).unwrap();
        assert_eq!(again.last().unwrap().shape, parsed[0].shape);
    }
}

#[test]
fn what_is_no_declaration_is_refused() {
    for xml in [
        "<node><interface/></node>",
        "<node><method name='a'/></node>",
        "<node><interface name='a.b'><property name='p' type='{' access='read'/></interface></node>",
        "<node><interface name='a.b'><property name='p' type='s' access='no'/></interface></node>",
        "<node><interface name='a.b'><arg type='s'/></interface></node>",
        "<node",
        "<a></b>",
    ] {
        assert!(parse_interfaces(xml).is_err(), "{xml}");
    }
}

#[test]
fn peer_answers_anywhere() {
    let objects = &mut table();
    for path in ["/", "/org", "/nowhere/at/all", LAMP] {
        for interface in [PEER, ""] {
            let pong = answer(objects, call(path, interface, "Ping").build(&()));
            assert_eq!(pong.message_type(), Type::MethodReturn);
            let id = answer(objects, call(path, interface, "GetMachineId").build(&()));
            assert_eq!(id.body().deserialize::<String>().unwrap().len(), 32);
        }
    }
}

#[test]
fn a_call_goes_to_the_owner_with_its_arguments() {
    let objects = &mut table();
    for interface in ["org.example.Methods", ""] {
        let question = call(LAMP, interface, "blink").build(&3i64).unwrap();
        let Dispatch::Call(call) = objects.handle(&question) else {
            panic!("not a call");
        };
        assert_eq!(call.arguments, [Variant::I64(3)]);
        assert_eq!((&*call.path, &*call.member), (LAMP, "blink"));
        assert_eq!(call.ticket.caller().as_deref(), Some(":1.7"));
        objects.answer(call.ticket, Err(Refusal::Busy("no".to_owned())));
        let out = objects.take_outgoing();
        assert_eq!(
            out[0].header().error_name().unwrap(),
            "org.z25.Zocp1.Error.Busy"
        );
    }
    let question = call(LAMP, "", "aim").build(&((1.0, 2.0),)).unwrap();
    let Dispatch::Call(call) = objects.handle(&question) else {
        panic!("not a call");
    };
    assert_eq!(call.arguments.len(), 1);
    objects.answer(call.ticket, Ok(vec![Variant::Bool(true)]));
    assert!(
        objects.take_outgoing()[0]
            .body()
            .deserialize::<bool>()
            .unwrap()
    );
}

#[test]
fn a_set_goes_to_the_owner() {
    let objects = &mut table();
    for property in ["level", "secret"] {
        let question = call(LAMP, PROPERTIES, "Set").build(&(VALUES, property, Variant::from(1u8)));
        let Dispatch::Set(set) = objects.handle(&question.unwrap()) else {
            panic!("not a set");
        };
        assert_eq!((set.value, &*set.property), (Variant::U8(1), property));
        objects.answer(set.ticket, Ok(vec![]));
        assert_eq!(
            objects.take_outgoing()[0].message_type(),
            Type::MethodReturn
        );
    }
}

#[test]
fn who_wants_no_answer_gets_none() {
    let objects = &mut table();
    for question in [
        call(LAMP, PEER, "Ping")
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&()),
        call(LAMP, "", "nope")
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&()),
        Message::signal(LAMP, VALUES, "level").build(&()),
    ] {
        assert!(matches!(objects.handle(&question.unwrap()), Dispatch::Done));
        assert_eq!(objects.outgoing_len(), 0);
    }
}

#[test]
fn managed_objects_are_those_below() {
    let objects = &mut table();
    let question = call("/org/example", OBJECT_MANAGER, "GetManagedObjects").build(&());
    let answer = answer(objects, question);
    let managed: HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>> =
        answer.body().deserialize().unwrap();
    assert_eq!(managed.len(), 1);
    let lamp = managed.values().next().unwrap();
    assert_eq!(lamp[VALUES].len(), 2);
    assert!(lamp["org.example.Methods"].is_empty());
}

type Changed = (String, HashMap<String, OwnedVariant>, Vec<String>);

#[test]
fn changes_are_told_once_with_the_last_value() {
    let objects = &mut table();
    for level in [0.1, 0.2, 0.3] {
        assert!(objects.set(LAMP, VALUES, "level", level).unwrap());
    }
    assert!(!objects.set(LAMP, VALUES, "color", "red").unwrap());
    assert!(objects.set(LAMP, VALUES, "secret", 8i64).unwrap());
    assert_eq!(objects.revision(LAMP, VALUES, "level"), Some(3));
    assert!(objects.has_changes());
    objects.flush_changes();
    assert!(!objects.has_changes());
    let out = objects.take_outgoing();
    assert_eq!(out.len(), 1);
    let (interface, changed, invalidated): Changed = out[0].body().deserialize().unwrap();
    assert_eq!(interface, VALUES);
    assert_eq!(
        changed.len(),
        1,
        "neither equal nor write-only: {changed:?}"
    );
    assert_eq!(changed["level"], OwnedVariant::from(0.3));
    assert!(invalidated.is_empty());
    objects.flush_changes();
    assert_eq!(objects.outgoing_len(), 0);
}

#[test]
fn a_value_of_another_type_is_refused() {
    let objects = &mut table();
    assert!(matches!(
        objects.set(LAMP, VALUES, "level", 1i64),
        Err(TableError::Slot(SlotError::Type { .. }))
    ));
    assert!(objects.set(LAMP, VALUES, "nope", 1i64).is_err());
    assert!(objects.set("/nope", VALUES, "level", 1.0).is_err());
    assert!(objects.emit(LAMP, VALUES, "level", vec![]).is_err());
    assert!(objects.insert("no path", [values()]).is_err());
}

#[test]
fn adding_tells_all_properties_and_taking_away_goes_leaf_first() {
    let objects = &mut table();
    let pan = format!("{LAMP}/pan");
    objects.insert(&pan, [values()]).unwrap();
    let added = objects.take_outgoing();
    let (path, interfaces): (
        OwnedObjectPath,
        HashMap<String, HashMap<String, OwnedVariant>>,
    ) = added[0].body().deserialize().unwrap();
    assert_eq!(path.as_str(), pan);
    assert_eq!(interfaces[VALUES].len(), 2);
    assert_eq!(added[0].header().path().unwrap().as_str(), "/org/example");

    objects.set(LAMP, VALUES, "level", 0.9).unwrap();
    objects.remove_tree("/org/example");
    objects.flush_changes();
    let paths: Vec<String> = objects
        .take_outgoing()
        .iter()
        .map(|message| {
            assert_eq!(message.header().member().unwrap(), "InterfacesRemoved");
            let (path, _): (OwnedObjectPath, Vec<String>) = message.body().deserialize().unwrap();
            path.to_string()
        })
        .collect();
    assert_eq!(paths, [pan.as_str(), LAMP]);
    assert_eq!(objects.paths().count(), 0);
    assert_eq!(
        error_of(objects, get(VALUES, "level")),
        zocp_interfaces::errors::UNKNOWN_OBJECT
    );
}

#[test]
fn an_interface_in_place_of_another_is_told_as_removed_and_added() {
    let objects = &mut table();
    objects.set(LAMP, VALUES, "level", 0.9).unwrap();
    let mut changed = objects.interface(LAMP, VALUES).unwrap().clone();
    let retyped = property("level", Signature::Str, Access::Read);
    changed
        .add_property(retyped, Content::Plain("full".into()))
        .unwrap();
    objects.insert(LAMP, [changed]).unwrap();
    objects.flush_changes();
    let out = objects.take_outgoing();
    let members: Vec<String> = out
        .iter()
        .map(|message| message.header().member().unwrap().to_string())
        .collect();
    assert_eq!(members, ["InterfacesRemoved", "InterfacesAdded"]);
    objects.remove(LAMP, [VALUES, "org.example.Methods", "org.example.Nope"]);
    assert!(!objects.contains(LAMP));
}

#[test]
fn events_keep_their_number_and_order() {
    let objects = &mut table();
    for at in 0..1000 {
        let value = vec![Variant::F64(f64::from(at / 2))];
        objects
            .emit(LAMP, "org.example.Methods", "level", value)
            .unwrap();
    }
    let values: Vec<f64> = objects
        .take_outgoing()
        .iter()
        .map(|message| message.body().deserialize().unwrap())
        .collect();
    let expected: Vec<f64> = (0..1000).map(|at| f64::from(at / 2)).collect();
    assert_eq!(values, expected);
}

#[test]
fn nothing_is_told_without_a_bus() {
    let objects = &mut table();
    objects.set_announcing(false);
    objects.set(LAMP, VALUES, "level", 0.9).unwrap();
    objects
        .emit(
            LAMP,
            "org.example.Methods",
            "level",
            vec![Variant::F64(1.0)],
        )
        .unwrap();
    objects.insert("/org/example/Other", [values()]).unwrap();
    objects.flush_changes();
    objects.set_announcing(true);
    objects.flush_changes();
    assert_eq!(objects.outgoing_len(), 0);
    assert_eq!(
        objects.interface(LAMP, VALUES).unwrap().value("level"),
        Some(Variant::F64(0.9))
    );
}

#[test]
fn what_is_larger_than_the_bus_takes_becomes_an_error() {
    let objects = &mut table();
    objects.set_message_len_max(2000);
    let long = "x".repeat(3000);
    objects.set(LAMP, VALUES, "color", long).unwrap();
    objects.flush_changes();
    let out = objects.take_outgoing();
    let (_, changed, invalidated): Changed = out[0].body().deserialize().unwrap();
    assert!(changed.is_empty());
    assert_eq!(invalidated, ["color"]);
    let name = error_of(objects, get(VALUES, "color"));
    assert_eq!(name, "org.freedesktop.DBus.Error.LimitsExceeded");
}

#[test]
fn a_computed_value_is_made_when_it_is_asked_for() {
    let objects = &mut table();
    let compute = Content::Computed(Arc::new(|| Variant::from("computed")));
    assert!(objects.set_content(LAMP, VALUES, "color", compute).unwrap());
    let answer = answer(objects, get(VALUES, "color"));
    let value: OwnedVariant = answer.body().deserialize().unwrap();
    assert_eq!(value, Variant::from("computed").try_into_owned().unwrap());
}

proptest! {
    #[test]
    fn any_call_gets_one_answer_or_goes_to_the_owner(
        path in "(/|(/(org|example|Lamp|x)){1,4})",
        interface in "(|org\\.example\\.(Values|Methods|X)|org\\.freedesktop\\.DBus\\.(Peer|Properties|Introspectable|ObjectManager|X))",
        member in "(Ping|Get|GetAll|Set|Introspect|GetManagedObjects|blink|x)",
        body in 0..4,
        quiet in any::<bool>(),
    ) {
        let objects = &mut table();
        prop_assume!(interface.is_empty() || InterfaceName::try_from(interface.as_str()).is_ok());
        let builder = call(&path, &interface, &member);
        let builder = if quiet { builder.with_flags(Flags::NO_REPLY_EXPECTED) } else { builder };
        let message = match body {
            0 => builder.build(&()),
            1 => builder.build(&VALUES),
            2 => builder.build(&(VALUES, "level")),
            _ => builder.build(&(VALUES, "level", Variant::F64(1.0))),
        };
        match objects.handle(&message.unwrap()) {
            Dispatch::Done => prop_assert_eq!(objects.outgoing_len(), usize::from(!quiet)),
            Dispatch::Call(_) | Dispatch::Set(_) => prop_assert_eq!(objects.outgoing_len(), 0),
        }
    }
}
