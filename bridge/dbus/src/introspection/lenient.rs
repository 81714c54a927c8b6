//! A lenient parser for the introspection data of other programs.
//!
//! Model: [`describe`] returns the parts of a text that it can use and ignores the rest. The data of real services
//! contains foreign elements, members without types, nested objects and duplicate interfaces, or is truncated.
//! Everything that is returned is valid on the bus.
//! Invariants: LENIENT-1. Children have introspection data of their own; what their parent contains about them is
//! ignored.
//! LENIENT-2. `EmitsChangedSignal` is returned only if it is declared, at the property or else at its interface.
//!     LENIENT-3. An unknown element is ignored with its contents. LENIENT-4. Of two members with the same name the
//!     first one counts. LENIENT-5. The default direction is `in`, the default access `readwrite`: the service rejects
//!     what it does not support. LENIENT-6. The name of a property may be any text; D-Bus has rules only for names of
//!     methods and signals.
//! Limits: the caller bounds the text, and the text bounds the result; parsing stops at [`DEPTH_MAX`] nested elements.
//! No recursion.
//! Not here: our own files, in which an error is a bug (`super::parse_interfaces`).

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use zbus::{
    ObjectPath, Signature,
    names::{InterfaceName, MemberName},
};

use super::EMITS_CHANGED;
use crate::interface::{Access, Emits};

/// The introspection data of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// In the order of the text.
    pub interfaces: Vec<Described>,
    /// The names of the direct children.
    pub children: Vec<String>,
    /// Whether the text is complete XML.
    pub is_whole: bool,
}

/// An interface of a described object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Described {
    /// The name.
    pub name: String,
    /// In the order of the text.
    pub methods: Vec<DescribedMethod>,
    /// In the order of the text.
    pub properties: Vec<DescribedProperty>,
    /// In the order of the text.
    pub signals: Vec<DescribedSignal>,
    /// Whether it has any member, including one that cannot be used.
    pub has_members: bool,
    /// The range of its first occurrence in the text.
    pub span: Range<usize>,
}

/// A method of a described interface.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedMethod {
    /// The name.
    pub name: String,
    /// The types of the input arguments; `None` if they cannot be parsed.
    pub inputs: Option<Vec<Signature>>,
}

/// A property of a described interface.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedProperty {
    /// The name: any text, because the name of a property is an argument on the bus.
    pub name: String,
    /// Its type.
    pub signature: Signature,
    /// Whether it can be read and written.
    pub access: Access,
    /// How its changes are announced, if declared (LENIENT-2).
    pub emits: Option<Emits>,
}

/// A signal of a described interface.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedSignal {
    /// The name.
    pub name: String,
    /// The types of its arguments.
    pub arguments: Vec<Signature>,
}

/// Parses introspection data as far as possible.
pub fn describe(xml: &str) -> Description {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut reading = Reading::default();
    loop {
        let start = position(&reader);
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                if !reading.open(&element, start) {
                    break;
                }
            }
            Ok(Event::Empty(element)) => {
                if !reading.open(&element, start) {
                    break;
                }
                reading.close_last(position(&reader));
            }
            Ok(Event::End(element)) => reading.close(element.name().as_ref(), position(&reader)),
            Ok(Event::Eof) => {
                reading.description.is_whole = reading.open.is_empty();
                break;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    while !reading.open.is_empty() {
        reading.close_last(xml.len());
    }
    reading.description
}

#[derive(Default)]
struct Reading {
    description: Description,
    /// The open elements.
    open: Vec<(Kind, String)>,
    /// The indexes of interfaces in the description, by name.
    places: HashMap<String, usize>,
    /// Members that are in the description, by the index of their interface (LENIENT-4).
    seen: HashSet<(usize, Kind, String)>,
    interface: Option<Within>,
    member: Option<Member>,
}

/// The open interface.
struct Within {
    place: usize,
    /// The `EmitsChangedSignal` of the interface, and the first property to which it applies.
    general: Option<Emits>,
    from: usize,
    is_first: bool,
}

/// The kind of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Node,
    Child,
    Interface,
    Method,
    Signal,
    Property,
    Argument,
    Annotation,
    /// Ignored with its contents (LENIENT-3).
    Unknown,
}

impl Kind {
    fn of(tag: &str, around: Option<Self>) -> Self {
        match (tag, around) {
            ("interface", None | Some(Self::Node)) => Self::Interface,
            // Some files have another root element.
            (_, None) => Self::Node,
            ("node", Some(Self::Node)) => Self::Child,
            ("method", Some(Self::Interface)) => Self::Method,
            ("signal", Some(Self::Interface)) => Self::Signal,
            ("property", Some(Self::Interface)) => Self::Property,
            ("arg", Some(Self::Method | Self::Signal)) => Self::Argument,
            (
                "annotation",
                Some(Self::Interface | Self::Method | Self::Signal | Self::Property),
            ) => Self::Annotation,
            _ => Self::Unknown,
        }
    }
}

enum Member {
    Method(DescribedMethod),
    Property(DescribedProperty),
    Signal(DescribedSignal),
    /// A member that cannot be used.
    Other,
}

impl Reading {
    /// Opens an element; returns whether parsing continues.
    fn open(&mut self, element: &BytesStart<'_>, start: usize) -> bool {
        if self.open.len() >= DEPTH_MAX {
            return false;
        }
        let name = element.name();
        let tag: &str = name.as_ref();
        let kind = Kind::of(tag, self.open.last().map(|(kind, _)| *kind));
        self.open.push((kind, tag.to_owned()));
        match kind {
            Kind::Child => {
                let child = attribute(element, "name").filter(|name| is_child(name));
                self.description.children.extend(child);
            }
            Kind::Interface => self.open_interface(element, start),
            Kind::Method => self.member = method(element).map(Member::Method),
            Kind::Signal => self.member = signal(element).map(Member::Signal),
            Kind::Property => self.member = property(element).map(Member::Property),
            Kind::Argument => self.argument(element),
            Kind::Annotation => self.annotation(element),
            Kind::Node | Kind::Unknown => {}
        }
        if matches!(kind, Kind::Method | Kind::Signal | Kind::Property) {
            self.member.get_or_insert(Member::Other);
        }
        true
    }

    fn open_interface(&mut self, element: &BytesStart<'_>, start: usize) {
        let name = attribute(element, "name");
        let legal = name.filter(|name| InterfaceName::try_from(name.as_str()).is_ok());
        let Some(name) = legal else {
            self.interface = None;
            return;
        };
        let interfaces = &mut self.description.interfaces;
        let known = self.places.get(&name).copied();
        let place = known.unwrap_or(interfaces.len());
        if known.is_none() {
            self.places.insert(name.clone(), place);
            interfaces.push(Described {
                name,
                span: start..start,
                ..Described::default()
            });
        }
        self.interface = Some(Within {
            place,
            general: None,
            from: interfaces[place].properties.len(),
            is_first: known.is_none(),
        });
    }

    fn argument(&mut self, element: &BytesStart<'_>) {
        let signature = signature(element);
        match &mut self.member {
            Some(Member::Signal(signal)) => match signature {
                Some(signature) => signal.arguments.push(signature),
                None => self.member = Some(Member::Other),
            },
            Some(Member::Method(method)) => {
                let direction = attribute(element, "direction").unwrap_or_default();
                if direction.trim().eq_ignore_ascii_case("out") {
                    return;
                }
                match (&mut method.inputs, signature) {
                    (Some(inputs), Some(signature)) => inputs.push(signature),
                    (inputs, _) => *inputs = None,
                }
            }
            _ => {}
        }
    }

    fn annotation(&mut self, element: &BytesStart<'_>) {
        if attribute(element, "name").as_deref() != Some(EMITS_CHANGED) {
            return;
        }
        let emits = attribute(element, "value").and_then(|value| emits(&value));
        match (&mut self.member, &mut self.interface) {
            (Some(Member::Property(property)), _) => property.emits = emits,
            (None, Some(interface)) => interface.general = emits,
            _ => {}
        }
    }

    /// Closes an element and all open elements within it. An end without a start is ignored.
    fn close(&mut self, tag: &str, end: usize) {
        let Some(at) = self.open.iter().rposition(|(_, open)| open == tag) else {
            return;
        };
        while self.open.len() > at {
            self.close_last(end);
        }
    }

    fn close_last(&mut self, end: usize) {
        let Some((kind, _)) = self.open.pop() else {
            return;
        };
        match kind {
            Kind::Method | Kind::Signal | Kind::Property => self.close_member(kind),
            Kind::Interface => self.close_interface(end),
            _ => {}
        }
    }

    fn close_member(&mut self, kind: Kind) {
        let (Some(member), Some(within)) = (self.member.take(), &self.interface) else {
            return;
        };
        let interface = &mut self.description.interfaces[within.place];
        interface.has_members = true;
        let name = match &member {
            Member::Method(method) => &method.name,
            Member::Property(property) => &property.name,
            Member::Signal(signal) => &signal.name,
            Member::Other => return,
        };
        if !self.seen.insert((within.place, kind, name.clone())) {
            return;
        }
        match member {
            Member::Method(method) => interface.methods.push(method),
            Member::Property(property) => interface.properties.push(property),
            Member::Signal(signal) => interface.signals.push(signal),
            Member::Other => {}
        }
    }

    fn close_interface(&mut self, end: usize) {
        let Some(within) = self.interface.take() else {
            return;
        };
        let interface = &mut self.description.interfaces[within.place];
        if within.is_first {
            interface.span.end = end;
        }
        for property in interface.properties.iter_mut().skip(within.from) {
            property.emits = property.emits.or(within.general);
        }
    }
}

fn method(element: &BytesStart<'_>) -> Option<DescribedMethod> {
    Some(DescribedMethod {
        name: member_name(element)?,
        inputs: Some(Vec::new()),
    })
}

fn signal(element: &BytesStart<'_>) -> Option<DescribedSignal> {
    Some(DescribedSignal {
        name: member_name(element)?,
        arguments: Vec::new(),
    })
}

fn property(element: &BytesStart<'_>) -> Option<DescribedProperty> {
    Some(DescribedProperty {
        name: attribute(element, "name").filter(|name| is_property(name))?,
        signature: signature(element)?,
        access: access(&attribute(element, "access").unwrap_or_default()),
        emits: None,
    })
}

fn member_name(element: &BytesStart<'_>) -> Option<String> {
    attribute(element, "name").filter(|name| MemberName::try_from(name.as_str()).is_ok())
}

/// Whether a property may have this name (LENIENT-6).
pub fn is_property(name: &str) -> bool {
    !name.is_empty() && name.len() <= PROPERTY_LEN_MAX && !name.chars().any(char::is_control)
}

fn access(said: &str) -> Access {
    match said.trim().to_ascii_lowercase().as_str() {
        "read" | "readonly" | "read-only" => Access::Read,
        "write" | "writeonly" | "write-only" => Access::Write,
        _ => Access::ReadWrite,
    }
}

/// One complete type.
fn signature(element: &BytesStart<'_>) -> Option<Signature> {
    let text = attribute(element, "type")?;
    let text = text.trim();
    let signature = Signature::try_from(text).ok()?;
    // zbus parses several types as a structure and an empty text as unit.
    (signature != Signature::Unit && signature.to_string() == text).then_some(signature)
}

fn emits(value: &str) -> Option<Emits> {
    match value {
        "true" => Some(Emits::Value),
        "invalidates" => Some(Emits::Invalidation),
        "const" => Some(Emits::Const),
        "false" => Some(Emits::Never),
        _ => None,
    }
}

fn is_child(name: &str) -> bool {
    ObjectPath::try_from(format!("/{name}")).is_ok() && !name.is_empty()
}

/// The first attribute of this name, also if other attributes are malformed.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = element.attributes();
    attributes.with_checks(false);
    let found = attributes
        .flatten()
        .find(|attribute| attribute.key.as_ref() == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

const DEPTH_MAX: usize = 1024;
const PROPERTY_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<!DOCTYPE node PUBLIC "x" "y"><node xmlns:doc="z">
      <interface name="org.a.A">
        <doc:doc><doc:para>Words &amp; words.</doc:para></doc:doc>
        <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>
        <property name="Volume" type="d" access="readwrite"/>
        <property name="Name" type="s" access="read">
          <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
        </property>
        <property name="Broken" type="dd" access="read"/>
        <property name="Wrong" access="read"/>
        <method name="Stop"><arg type="s" direction="in"/></method>
        <signal name="Seeked"><arg name="to" type="x"/></signal>
        <signal name="Odd"><arg type="("/></signal>
      </interface>
      <interface name="no interface"><property name="P" type="s" access="read"/></interface>
      <interface name="org.a.Bare"/>
      <node name="child"><interface name="org.a.Inner"/><node name="grandchild"/></node>
      <node name="two/deep"/><node name="/no"/><node/>
    </node>"#;

    #[test]
    fn what_is_understood_is_taken_and_the_rest_left_out() {
        let described = describe(XML);
        assert_eq!(described.children, ["child", "two/deep"]);
        let [a, bare] = &described.interfaces[..] else {
            panic!("{described:?}");
        };
        assert_eq!((&*a.name, &*bare.name), ("org.a.A", "org.a.Bare"));
        assert!(a.has_members && !bare.has_members);
        let properties: Vec<_> = a
            .properties
            .iter()
            .map(|it| (&*it.name, it.emits))
            .collect();
        let said = [("Volume", Some(Emits::Never)), ("Name", Some(Emits::Const))];
        assert_eq!(properties, said);
        assert_eq!(a.properties[0].access, Access::ReadWrite);
        let [seeked] = &a.signals[..] else {
            panic!("{a:?}");
        };
        assert_eq!(
            (&*seeked.name, &seeked.arguments[..]),
            ("Seeked", &[Signature::I64][..])
        );
    }

    #[test]
    fn an_interface_is_found_in_its_text() {
        let described = describe(XML);
        let text = &XML[described.interfaces[1].span.clone()];
        assert_eq!(text, r#"<interface name="org.a.Bare"/>"#);
        let text = &XML[described.interfaces[0].span.clone()];
        assert!(text.starts_with("<interface name=\"org.a.A\">") && text.ends_with("</interface>"));
    }

    /// What is understood of `PlayPause` and `Volume` of the interface `org.a.P`.
    fn player(xml: &str) -> (Option<Option<usize>>, Option<String>) {
        let description = describe(xml);
        let player = description
            .interfaces
            .iter()
            .find(|it| it.name == "org.a.P");
        let method = player.and_then(|it| it.methods.iter().find(|it| it.name == "PlayPause"));
        let property = player.and_then(|it| it.properties.iter().find(|it| it.name == "Volume"));
        (
            method.map(|it| it.inputs.as_ref().map(Vec::len)),
            property.map(|it| format!("{} {:?}", it.signature, it.access)),
        )
    }

    #[test]
    fn a_method_is_found_whatever_surrounds_it() {
        const PLAY: &str = r#"<method name="PlayPause"/>"#;
        const VOLUME: &str = r#"<property name="Volume" type="d" access="readwrite"/>"#;
        let node = |inner: &str| {
            format!(
                r#"<!DOCTYPE node PUBLIC "x" "y"><node><interface name="org.a.P">{inner}</interface></node>"#
            )
        };
        let both = format!("{PLAY}{VOLUME}");
        let play = |inner: &str| {
            node(&format!(
                r#"<method name="PlayPause">{inner}</method>{VOLUME}"#
            ))
        };
        let many: String = (0..40_000)
            .map(|at| format!(r#"<method name="M{at}"><arg name="x" type="a{{sv}}"/></method>"#))
            .collect();
        let whole = node(&both);
        for text in [
            whole.clone(),
            format!("\u{feff}<?xml version=\"1.0\"?>{whole}"),
            format!("hello {whole} \n\n"),
            whole.replace(
                "<!DOCTYPE node PUBLIC \"x\" \"y\">",
                "<!DOCTYPE node [<!ENTITY x \"y\">]>",
            ),
            whole.replace("</interface></node>", ""),
            whole.replace("</interface></node>", "</interface"),
            play("<tp:docstring>text <br> <arg type=\"s\"/></tp:docstring>"),
            play("<doc><![CDATA[ <b> & <arg type=\"s\"/> ]]></doc>"),
            play(
                "<annotation name=\"a.b\" value=\"x & y\"><annotation name=\"c.d\"/></annotation>",
            ),
            play(&format!("{}{}", "<d>".repeat(500), "</d>".repeat(500))),
            play("<arg type=\"s\" direction=\"OUT\"/>"),
            node(&format!(
                "x & y <!-- <method name=\"PlayPause\"><arg type=\"s\"/></method> --><?a b?>{both}"
            )),
            node(&format!(
                "<doc><method name=\"PlayPause\"><arg type=\"s\"/></method></doc>{both}"
            )),
            node(&format!(
                "<method name=\"foo-bar\"/><method/><property name=\"B\" type=\"ss\"/>{both}"
            )),
            node(&format!(
                "{both}<method name=\"PlayPause\"><arg type=\"s\"/></method>"
            )),
            node(&format!(
                "{VOLUME}</interface><interface name=\"org.a.P\">{PLAY}"
            )),
            node(&format!(
                "{VOLUME}</interface><interface name=\"nodot\"><method name=\"PlayPause\"><arg type=\"s\"/></method></interface><interface name=\"org.a.P\">{PLAY}"
            )),
            format!(
                "<node><node name=\"c\"><interface name=\"org.a.P\"><method name=\"PlayPause\"><arg type=\"s\"/></method></interface></node>{}",
                &whole[whole.find("<interface").unwrap()..]
            ),
            node(&format!("{many}{both}")),
        ] {
            let shown: String = text.chars().take(300).collect();
            assert_eq!(
                player(&text),
                (Some(Some(0)), Some("d ReadWrite".to_owned())),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_is_odd_means_what_it_says_or_nothing() {
        let node =
            |inner: &str| format!("<node><interface name='org.a.P'>{inner}</interface></node>");
        let inputs = |arguments: &str| {
            player(&node(&format!(
                "<method name='PlayPause'>{arguments}</method>"
            )))
            .0
        };
        assert_eq!(
            inputs("<arg type='s'/><arg type='i' direction='inout'/>"),
            Some(Some(2))
        );
        assert_eq!(
            inputs("<arg type='s' name='a' name='b'/><arg type=' i '/>"),
            Some(Some(2))
        );
        // Nobody knows with what to call it.
        assert_eq!(inputs("<arg type='s'/><arg name='x'/>"), Some(None));
        let volume = |attributes: &str| {
            player(&node(&format!(
                "<property name='Volume' type='d' {attributes}/>"
            )))
            .1
        };
        for (attributes, access) in [
            ("access='read'", "d Read"),
            ("access=' WRITE-only'", "d Write"),
            ("access='odd'", "d ReadWrite"),
            ("", "d ReadWrite"),
        ] {
            assert_eq!(volume(attributes).as_deref(), Some(access));
        }
        assert_eq!(
            volume("type='s'").as_deref(),
            Some("d ReadWrite"),
            "the first"
        );
    }

    #[test]
    fn properties_have_any_text_as_name() {
        let names = ["num-enroll-stages", "1st", "with space", "a.b", "é\"'<>&"];
        let escape = |name: &str| {
            name.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('"', "&quot;")
        };
        let properties: String = names
            .iter()
            .map(|name| {
                format!(
                    "<property name=\"{}\" type='i' access='read'/>",
                    escape(name)
                )
            })
            .collect();
        let text = format!("<node><interface name='org.a.P'>{properties}</interface></node>");
        let described = describe(&text);
        let read: Vec<&str> = described.interfaces[0]
            .properties
            .iter()
            .map(|it| &*it.name)
            .collect();
        assert_eq!(read, names);
    }

    #[test]
    fn what_is_no_xml_describes_nothing_and_is_not_whole() {
        for text in ["<node", "<node>", "<a b='"] {
            let described = describe(text);
            assert!(
                described.interfaces.is_empty() && !described.is_whole,
                "{text}"
            );
        }
        for text in ["", " \n", "{}", "</node>"] {
            let described = describe(text);
            assert!(
                described.interfaces.is_empty() && described.is_whole,
                "{text}"
            );
        }
        let deep = "<d>".repeat(1_000_000);
        assert!(!describe(&deep).is_whole);
    }
}
