//! Mirrors of nodes that a test plays, on a real bus, driven by zbus and by the tools that people use.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::StreamExt;
use serde_json::json;
use zbus::{
    Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant, Variant,
    message::Type,
};
use zocp_interfaces::OBJECT_INTERFACE;
use zocp_node::{
    Access, CapPath, Capability, ExitReason, Invalid, NodeError, ObjectPath, RemoteError, Value,
    model::{Change, Limits, SetError, Tree},
};

use super::*;
use zocp_dbus::{
    server::BusScope,
    testbus::{TestBus, soon, unlawful_message},
};

const PATH: &str = "/org/z25/Zocp1/Node";
const VALUES: &str = "org.z25.Zocp1.Values";

/// A node that a test plays.
#[derive(Clone)]
struct FakeNode {
    tree: Arc<Mutex<Tree>>,
    is_gone: Arc<AtomicBool>,
}

impl FakeNode {
    fn new(tree: Value) -> Self {
        let tree = Tree::from_json(tree, &Limits::default()).unwrap();
        Self {
            tree: Arc::new(Mutex::new(tree)),
            is_gone: Arc::default(),
        }
    }

    /// What a `MOD` of it changes.
    fn change(&self, patch: &Value) -> Vec<Change> {
        self.tree
            .lock()
            .unwrap()
            .merge(patch, &Limits::default())
            .unwrap()
    }
}

impl Commands for FakeNode {
    async fn acquire(
        &self,
        _: PeerId,
        name: &str,
        _: crate::streams::Wanted,
    ) -> Result<crate::streams::Acquired, zocp_dbus::errors::Refusal> {
        let text = format!("{name} has no streams");
        Err(zocp_dbus::errors::Refusal::NotSupported(text))
    }

    async fn set(&self, peer: PeerId, path: CapPath, value: Value) -> Result<(), NodeError> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(NodeError::NodeGone(peer));
        }
        let set = || {
            let tree = self.tree.lock().unwrap();
            let capability = tree.capability(&path).ok_or(SetError::UnknownCapability)?;
            Ok::<_, SetError>(capability.check_set(&value)?)
        };
        set()
            .map(|_| ())
            .map_err(|error| Invalid::Set(error).into())
    }

    async fn call(
        &self,
        _: PeerId,
        _: ObjectPath,
        method: &str,
        arguments: Vec<Value>,
    ) -> Result<Vec<Value>, NodeError> {
        match method {
            "blink it" => Ok(vec![Value::from(arguments[0] == 3)]),
            _ => Err(NodeError::Remote(RemoteError {
                name: "org.example.Broken".to_owned(),
                message: "lamp is out".to_owned(),
            })),
        }
    }
}

struct Play {
    bus: TestBus,
    mirrors: Mirrors<FakeNode>,
    directory: Directory,
    node: FakeNode,
    client: Connection,
}

fn peer(digit: u8) -> PeerId {
    format!("{digit:02x}").repeat(16).parse().unwrap()
}

fn info(id: PeerId, name: &str) -> PeerInfo {
    let mut info = PeerInfo::new(id, name);
    info.endpoint = "tcp://127.0.0.1:1".to_owned();
    (info.zocp, info.extended) = (true, true);
    info
}

impl Play {
    async fn new(tree: Value) -> Self {
        let bus = TestBus::start();
        let site = BusContext::new(&bus.address, BusScope::Session);
        let node = FakeNode::new(tree);
        let client = bus.client().await;
        let directory = Directory::default();
        Self {
            mirrors: Mirrors::new(TaskTracker::new(), site, node.clone(), directory.clone())
                .unwrap(),
            directory,
            bus,
            node,
            client,
        }
    }

    /// A node of this name is there, and its tree known; its bus name.
    async fn enter(&mut self, id: PeerId, name: &str) -> String {
        self.show(id, name).await;
        self.named(id).await.unwrap().to_string()
    }

    async fn show(&mut self, id: PeerId, name: &str) {
        self.directory.enter(id, name, None);
        self.mirrors.handle(&Event::Entered(info(id, name))).await;
        let tree = Box::new(self.node.tree.lock().unwrap().clone());
        self.mirrors
            .handle(&Event::TreeKnown { peer: id, tree })
            .await;
    }

    async fn named(&self, id: PeerId) -> Option<Arc<str>> {
        let named = soon(self.mirrors.named()).await;
        assert_eq!(named.peer, id);
        named.bus_name
    }

    async fn change(&mut self, patch: Value) {
        let changes = self.node.change(&patch);
        let peer = peer(1);
        self.mirrors.handle(&Event::Changed { peer, changes }).await;
    }

    async fn emit(&mut self, path: &str, value: impl Into<Value>) {
        let event = Event::Emitted {
            peer: peer(1),
            path: path.parse().unwrap(),
            value: value.into(),
            cause: None,
        };
        self.mirrors.handle(&event).await;
    }

    async fn call<B>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let name = Some("org.z25.Zocp1.Node.lamp");
        soon(
            self.client
                .call_method(name, path, Some(interface), member, body),
        )
        .await
    }

    async fn get(&self, path: &str, property: &str) -> OwnedVariant {
        let body = (VALUES, property);
        let answer = self
            .call(path, "org.freedesktop.DBus.Properties", "Get", &body)
            .await;
        answer.unwrap().body().deserialize().unwrap()
    }

    /// The error that a `Set` is answered with, if any.
    async fn set(
        &self,
        path: &str,
        property: &str,
        value: impl Into<Variant<'static>>,
    ) -> Option<String> {
        let body = (VALUES, property, value.into());
        let answer = self
            .call(path, "org.freedesktop.DBus.Properties", "Set", &body)
            .await;
        match answer {
            Ok(_) => None,
            Err(zbus::Error::MethodError(name, ..)) => Some(name.to_string()),
            // zbus has the well-known ones as values of their own.
            Err(error) => error.to_string().split(": ").next().map(str::to_owned),
        }
    }

    async fn xml(&self, path: &str) -> String {
        let interface = "org.freedesktop.DBus.Introspectable";
        let answer = self.call(path, interface, "Introspect", &()).await.unwrap();
        answer.body().deserialize().unwrap()
    }

    async fn signals(&self) -> MessageStream {
        let client = self.bus.client().await;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .path_namespace(PATH);
        let queued = std::num::NonZeroUsize::new(65536);
        let rule = rule.build().unwrap();
        MessageStream::for_match_rule(rule, &client, queued)
            .await
            .unwrap()
    }
}

/// Something of everything.
fn lamp() -> Value {
    json!({
        "level": {"value": 0.5, "typeHint": "flt", "access": "rwe", "min": 0.0, "max": 1.0, "step": 0.1,
            "subscribers": [["aa", null], ["bb", "dim\u{0}"]], "unit": "cd"},
        "count": {"value": 5, "typeHint": "int", "access": "rwe", "min": -10, "max": 10},
        "on": {"value": true, "typeHint": "bool", "access": "r"},
        "secret": {"value": "x", "typeHint": "string", "access": "w"},
        "pos": {"value": [1, 2, 3], "typeHint": "vec3f", "access": "rw"},
        "My \"strange\" <name>/\u{fc}": {"value": [1, "a"], "access": "rwe"},
        "bang": {"access": "e"},
        "_location": [1.0, 2.0],
        "methods": {"blink it": {"in": [{"name": "times", "typeHint": "int"}],
            "out": [{"name": "ok", "typeHint": "bool"}], "doc": "Blinks & more."},
            "fail": {"in": [], "out": []}},
        "objects": {"cam 1": {"type": "camera", "zoom": {"value": 2, "typeHint": "int", "access": "rw"},
            "objects": {"pan": {"angle": {"value": 1.5, "access": "r"}}}}},
    })
}

#[tokio::test]
async fn a_tree_is_on_the_bus_with_its_types() {
    let mut play = Play::new(lamp()).await;
    assert_eq!(play.enter(peer(1), "lamp").await, "org.z25.Zocp1.Node.lamp");
    let strange = zocp_mapping::label::label("My \"strange\" <name>/\u{fc}");
    for (path, property, signature) in [
        (PATH, "level", "d"),
        (PATH, "count", "x"),
        (PATH, "on", "b"),
        (PATH, "pos", "(ddd)"),
        (PATH, strange.as_str(), "av"),
        ("/org/z25/Zocp1/Node/cam_201", "zoom", "x"),
        ("/org/z25/Zocp1/Node/cam_201/pan", "angle", "d"),
    ] {
        let value = play.get(path, property).await;
        assert_eq!(value.value_signature().to_string(), signature, "{property}");
    }
    let xml = play.xml(PATH).await;
    for part in [
        "<property name=\"secret\" type=\"s\" access=\"write\">",
        "<annotation name=\"org.z25.Zocp1.Min\" value=\"-10\"/>",
        "<annotation name=\"org.z25.Zocp1.TypeHint\" value=\"flt\"/>",
        "<signal name=\"bang\">",
        "<method name=\"blink_20it\">",
        "value=\"Blinks &amp; more.\"",
    ] {
        assert!(xml.contains(part), "{part} in {xml}");
    }
    assert!(!xml.contains("Streams"));
}

#[tokio::test]
async fn the_object_interface_describes_what_there_is() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let body = OBJECT_INTERFACE;
    let properties = "org.freedesktop.DBus.Properties";
    let answer = play.call(PATH, properties, "GetAll", &body).await.unwrap();
    let answer = answer.body();
    let all: HashMap<String, Variant<'_>> = answer.deserialize().unwrap();
    assert_eq!(all["Name"], Variant::from("lamp"));
    assert_eq!(all["Type"], Variant::from(""));
    let text = all["Capabilities"].to_string();
    for part in [
        "\"Member\": <\"level\">",
        "\"Access\": <\"rwe\">",
        "\"unit\": <\"cd\">",
        "(\"bb\", \"dim\u{2400}\")",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(all["Data"].to_string().contains("\"_location\""));
    let camera = "/org/z25/Zocp1/Node/cam_201";
    let answer = play
        .call(camera, properties, "GetAll", &body)
        .await
        .unwrap();
    let answer = answer.body();
    let all: HashMap<String, Variant<'_>> = answer.deserialize().unwrap();
    assert_eq!(all["Name"], Variant::from("cam 1"));
    assert_eq!(all["Type"], Variant::from("camera"));

    let manager = "org.freedesktop.DBus.ObjectManager";
    let managed = play
        .call(PATH, manager, "GetManagedObjects", &())
        .await
        .unwrap();
    type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;
    let managed: Managed = managed.body().deserialize().unwrap();
    assert_eq!(managed.len(), 2);
}

#[tokio::test]
async fn a_set_is_checked_and_shown_at_once() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    for number in [
        Variant::U8(7),
        Variant::F64(7.0),
        Variant::I64(7),
        Variant::U64(7),
    ] {
        assert_eq!(play.set(PATH, "count", number).await, None);
        assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(7i64));
    }
    assert_eq!(play.set(PATH, "secret", "y").await, None);
    assert_eq!(play.set(PATH, "pos", vec![1i32, 2, 3]).await, None);
    let error = |name: &str| Some(format!("org.freedesktop.DBus.Error.{name}"));
    assert_eq!(play.set(PATH, "count", "7").await, error("InvalidArgs"));
    assert_eq!(play.set(PATH, "count", 7.5).await, error("InvalidArgs"));
    assert_eq!(
        play.set(PATH, "pos", vec![1.0, 2.0]).await,
        error("InvalidArgs")
    );
    assert_eq!(play.set(PATH, "on", false).await, error("PropertyReadOnly"));
    assert_eq!(
        play.set(PATH, "nope", false).await,
        error("UnknownProperty")
    );
    let ours = |name: &str| Some(format!("org.z25.Zocp1.Error.{name}"));
    assert_eq!(play.set(PATH, "count", 11).await, ours("OutOfRange"));
    play.node.is_gone.store(true, Ordering::Relaxed);
    assert_eq!(play.set(PATH, "count", 1).await, ours("NodeGone"));
}

#[tokio::test]
async fn methods_are_called_with_their_types() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let methods = "org.z25.Zocp1.Methods";
    let answer = play.call(PATH, methods, "blink_20it", &3i64).await.unwrap();
    assert!(answer.body().deserialize::<bool>().unwrap());
    let error = play.call(PATH, methods, "fail", &()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("org.example.Broken: lamp is out"),
        "{error}"
    );
    let error = play
        .call(PATH, methods, "blink_20it", &"3")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("InvalidArgs"), "{error}");
}

#[tokio::test]
async fn a_change_of_type_is_told_by_removal_and_addition() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    play.change(json!({"count": {"value": 6}})).await;
    play.change(json!({"count": {"value": "six"}})).await;
    // Changes of members are announced after a while; a new object and a removed one at once.
    let mut members = Vec::new();
    while members
        .last()
        .is_none_or(|last| last != "InterfacesRemoved /lens")
    {
        if members
            .last()
            .is_some_and(|last| last == "InterfacesAdded ")
        {
            play.change(
                json!({"objects": {"lens": {"type": "lens", "f": {"value": 1, "access": "r"}}}}),
            )
            .await;
            play.change(json!({"count": {"subscribers": [["cc", null]]}}))
                .await;
            play.change(json!({"objects": {"lens": null}})).await;
        }
        let message = soon(seen.next()).await.unwrap().unwrap();
        let header = message.header();
        let object = match header.member().unwrap().as_str() {
            "PropertiesChanged" => header.path().unwrap().to_string(),
            _ => {
                let body = message.body();
                let fields: zbus::Structure<'_> = body.deserialize().unwrap();
                fields.fields()[0]
                    .downcast_ref::<&zbus::ObjectPath<'_>>()
                    .unwrap()
                    .to_string()
            }
        };
        let member = header.member().unwrap().to_string();
        members.push(format!("{member} {}", object.strip_prefix(PATH).unwrap()));
    }
    let order: Vec<&str> = members
        .iter()
        .map(String::as_str)
        .filter(|member| !member.starts_with("PropertiesChanged"))
        .collect();
    assert_eq!(
        order,
        [
            "InterfacesRemoved ",
            "InterfacesAdded ",
            "InterfacesAdded /lens",
            "InterfacesRemoved /lens"
        ]
    );
    let value = play.get(PATH, "count").await;
    let six = Variant::Variant(Box::new(Variant::from("six")));
    assert_eq!(value, OwnedVariant::try_from(six).unwrap());
    let xml = play.xml(PATH).await;
    assert!(
        xml.contains("<signal name=\"count\">\n   <arg name=\"value\" type=\"v\"/>"),
        "{xml}"
    );
}

#[tokio::test]
async fn a_type_holds_and_what_is_lost_is_marked() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    for value in [json!(1.5), json!("7"), Value::Null, json!(true), json!(3)] {
        play.emit("count", value.clone()).await;
        play.change(json!({"count": {"value": value}})).await;
    }
    // A number without a hint, which has a fraction now and then.
    for value in [json!(1.5), json!(1), json!(0.5), json!(2)] {
        let patch =
            json!({"objects": {"cam 1": {"objects": {"pan": {"angle": {"value": value}}}}}});
        play.change(patch).await;
    }
    play.change(json!({"level": {"value": "low"}})).await;
    play.change(json!({"level": {"value": 0.25}})).await;
    play.emit("bang", true).await;
    let mut emitted = Vec::new();
    let mut marks = Vec::new();
    let mut retyped = 0;
    loop {
        let message = soon(seen.next()).await.unwrap().unwrap();
        let body = message.body();
        match message.header().member().unwrap().as_str() {
            "bang" => break,
            "count" => emitted.push(body.deserialize::<i64>().unwrap()),
            "InterfacesRemoved" => retyped += 1,
            "PropertiesChanged" => {
                let changed: (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
                    body.deserialize().unwrap();
                if let Some(described) = changed.1.get("Capabilities") {
                    marks.push(described.to_string().contains("Converted"));
                }
            }
            _ => {}
        }
    }
    assert_eq!(emitted, [2, 7, 0, 1, 3]);
    let is_marked = marks.last().is_some_and(|marked| *marked);
    assert!(!is_marked, "the last values are as the node wrote them");
    // `level` became `v`, its property and its signal, and `bang` got its own type, which is announced together or one
    // after the other. Nothing else changed.
    assert!((1..=2).contains(&retyped), "{retyped}");
    let low = Variant::Variant(Box::new(Variant::F64(0.25)));
    assert_eq!(
        play.get(PATH, "level").await,
        OwnedVariant::try_from(low).unwrap()
    );

    play.change(json!({"count": {"value": 2.5}})).await;
    let body = (OBJECT_INTERFACE, "Capabilities");
    let properties = "org.freedesktop.DBus.Properties";
    let answer = play.call(PATH, properties, "Get", &body).await.unwrap();
    let described: OwnedVariant = answer.body().deserialize().unwrap();
    assert!(described.to_string().contains("\"Converted\": <true>"));
    // What is shown with a loss is set as its type says; what is `v` as its hint says, or as it is.
    assert_eq!(play.set(PATH, "count", 7).await, None);
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(7i64));
    let refused = Some("org.freedesktop.DBus.Error.InvalidArgs".to_owned());
    assert_eq!(play.set(PATH, "count", 7.5).await, refused);
    assert_eq!(play.set(PATH, "level", 0.5).await, None);
    assert_eq!(play.set(PATH, "level", "high").await, refused);
    play.change(json!({"level": {"value": "low"}})).await;
    assert_eq!(play.set(PATH, "level", "high").await, None);
    // Another hint begins anew.
    play.change(json!({"level": {"value": "low", "typeHint": "string"}}))
        .await;
    let low = Variant::from("low");
    assert_eq!(
        play.get(PATH, "level").await,
        OwnedVariant::try_from(low).unwrap()
    );
}

#[tokio::test]
async fn plain_entries_and_methods_follow_the_tree() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    play.change(json!({"_location": [3.0], "type": "lamp"}))
        .await;
    let changed = soon(seen.next()).await.unwrap().unwrap();
    let body = changed.body();
    let (interface, changed, _): (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
        body.deserialize().unwrap();
    assert_eq!(interface, OBJECT_INTERFACE);
    assert_eq!(changed["Type"], Variant::from("lamp"));
    let data = HashMap::<String, Variant<'_>>::try_from(changed["Data"].clone()).unwrap();
    assert_eq!(data["_location"], Variant::new(vec![Variant::F64(3.0)]));
    assert!(!data.contains_key("type"));
    assert!(!changed.contains_key("Capabilities"), "they are as before");

    play.change(json!({"methods": {"new": {"in": [], "out": []}}}))
        .await;
    assert!(play.xml(PATH).await.contains("<method name=\"new\">"));
    play.change(json!({"methods": null, "type": null})).await;
    assert!(!play.xml(PATH).await.contains("<method name=\"new\">"));
}

#[tokio::test]
async fn ten_thousand_emissions_are_ten_thousand_signals() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    // A client that wants all signals and reads none.
    let _idle = play.signals().await;
    let reader = tokio::spawn(async move {
        let (mut events, mut state) = (Vec::new(), 0);
        while events.len() < 10_000 || state != 9_999 {
            let message = soon(seen.next()).await.unwrap().unwrap();
            let body = message.body();
            if message.header().member().unwrap() == "count" {
                events.push(body.deserialize::<i64>().unwrap());
            } else {
                let changed: (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
                    body.deserialize().unwrap();
                state = i64::try_from(&changed.1["count"]).unwrap();
            }
        }
        events
    });
    for count in 0..10_000 {
        if count % 2 == 1 {
            play.change(json!({"count": {"value": count}})).await;
        }
        // Also of equal values.
        play.emit("count", count - count % 2).await;
    }
    play.change(json!({"count": {"value": 9_999}})).await;
    let events = reader.await.unwrap();
    let expected: Vec<i64> = (0..10_000).map(|count| count - count % 2).collect();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn two_nodes_of_one_name_are_told_apart() {
    let mut play = Play::new(lamp()).await;
    let plain = "org.z25.Zocp1.Node.lamp";
    assert_eq!(play.enter(peer(1), "lamp").await, plain);
    assert_eq!(
        play.enter(peer(0x2f), "lamp").await,
        format!("{plain}_2f2f2f2f")
    );
    let reason = ExitReason::Goodbye;
    play.mirrors
        .handle(&Event::Exited {
            peer: peer(1),
            reason,
        })
        .await;
    play.directory.leave(peer(1));
    // The name is free again as soon as it was given back, also for one who comes at once.
    assert_eq!(play.enter(peer(1), "lamp").await, plain);
    for token in play.mirrors.close() {
        soon(token.cancelled()).await;
    }
    let names = play
        .bus
        .run(&["busctl", "--user", "list", "--no-pager"])
        .await;
    assert!(!names.contains(plain), "{names}");
}

/// Changes of owners of nodes' names: the name, and whether it has an owner now.
async fn owners(bus: &TestBus) -> MessageStream {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .member("NameOwnerChanged")
        .arg0ns("org.z25.Zocp1.Node");
    let rule = rule.build().unwrap();
    let client = bus.client().await;
    MessageStream::for_match_rule(rule, &client, None)
        .await
        .unwrap()
}

async fn next_owner(seen: &mut MessageStream) -> (String, bool) {
    let message = soon(seen.next()).await.unwrap().unwrap();
    let body = message.body();
    let (name, _, owner): (&str, &str, &str) = body.deserialize().unwrap();
    (name.to_owned(), !owner.is_empty())
}

/// The first of two nodes of one name leaves, and the directory gives its label to the other.
async fn promote(play: &mut Play) -> Relabelled {
    let (peer, reason) = (peer(1), ExitReason::Goodbye);
    let exited = Event::Exited { peer, reason };
    play.mirrors.handle(&exited).await;
    let freed = play.directory.leave(peer).unwrap();
    let relabelled = play.directory.promote(&freed).unwrap();
    play.mirrors.relabelled(&relabelled);
    relabelled
}

#[tokio::test]
async fn a_node_whose_name_becomes_free_gets_it_and_is_never_without_one() {
    let mut play = Play::new(lamp()).await;
    let plain = play.enter(peer(1), "lamp").await;
    let suffixed = play.enter(peer(0x2f), "lamp").await;
    let mut seen = owners(&play.bus).await;
    promote(&mut play).await;
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), false));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), true));
    let named = play.named(peer(0x2f)).await;
    assert_eq!(named.as_deref(), Some(plain.as_str()));
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(5i64));
    // It has both names until the one that it has now was told.
    let bus = zbus::fdo::DBusProxy::new(&play.client).await.unwrap();
    let owner = async |name: &str| bus.get_name_owner(name.try_into().unwrap()).await;
    assert_eq!(
        owner(&plain).await.unwrap(),
        owner(&suffixed).await.unwrap()
    );
    play.mirrors.settled(peer(0x2f));
    assert_eq!(next_owner(&mut seen).await, (suffixed, false));

    // After a loss of the connection it is back under the name that it has now.
    let mirror = &play.mirrors.mirrors[&peer(0x2f)];
    let bad = unlawful_message();
    mirror.table.with(|objects| objects.push_raw(bad));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), false));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), true));
    // Who comes now is the second.
    play.show(peer(3), "lamp").await;
    let second = format!("{plain}_03030303");
    assert_eq!(next_owner(&mut seen).await, (second, true));
}

#[tokio::test]
async fn a_node_keeps_the_name_that_it_has_while_another_program_has_the_better_one() {
    let mut play = Play::new(lamp()).await;
    let plain = play.enter(peer(1), "lamp").await;
    let suffixed = play.enter(peer(0x2f), "lamp").await;
    let mut seen = owners(&play.bus).await;
    let other = play.bus.client().await;
    // In line behind the node that leaves.
    let bus = Some("org.freedesktop.DBus");
    let asked = (plain.as_str(), 0u32);
    let asked = other
        .call_method(bus, "/", bus, "RequestName", &asked)
        .await;
    assert_eq!(
        asked.unwrap().body().deserialize::<u32>().unwrap(),
        2,
        "in line"
    );
    promote(&mut play).await;
    assert_eq!(
        next_owner(&mut seen).await,
        (plain.clone(), true),
        "the other program"
    );
    // A turn of the bus later it is still there under the name that it has.
    play.mirrors.settled(peer(0x2f));
    let proxy = zbus::fdo::DBusProxy::new(&play.client).await.unwrap();
    let owner = proxy.get_name_owner(suffixed.as_str().try_into().unwrap());
    assert!(owner.await.is_ok());
    let released = other
        .call_method(bus, "/", bus, "ReleaseName", &plain)
        .await;
    assert!(released.is_ok());
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), false));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), true));
    assert_eq!(
        play.named(peer(0x2f)).await.as_deref(),
        Some(plain.as_str())
    );
    play.mirrors.settled(peer(0x2f));
    assert_eq!(next_owner(&mut seen).await, (suffixed, false));
}

#[tokio::test]
async fn a_name_that_another_program_has_is_the_nodes_as_soon_as_it_is_free() {
    let mut play = Play::new(lamp()).await;
    let name = "org.z25.Zocp1.Node.lamp";
    let other = play.bus.client().await;
    other.request_name(name).await.unwrap();
    play.show(peer(1), "lamp").await;
    assert_eq!(play.named(peer(1)).await, None);
    other.release_name(name).await.unwrap();
    assert_eq!(play.named(peer(1)).await.as_deref(), Some(name));
}

#[tokio::test]
async fn a_mirror_that_the_bus_disconnects_is_back_under_its_name_with_what_is_new() {
    let mut play = Play::new(lamp()).await;
    let name = play.enter(peer(1), "lamp").await;
    let mirror = &play.mirrors.mirrors[&peer(1)];
    let bad = unlawful_message();
    mirror.table.with(|objects| objects.push_raw(bad));
    assert_eq!(play.named(peer(1)).await, None);
    play.change(json!({"count": {"value": 7}, "late": {"value": true, "access": "r"}}))
        .await;
    assert_eq!(play.named(peer(1)).await.as_deref(), Some(name.as_str()));
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(7i64));
    assert_eq!(play.get(PATH, "late").await, OwnedVariant::from(true));
    let mut seen = play.signals().await;
    play.emit("count", 8).await;
    let emitted = soon(seen.next()).await.unwrap().unwrap();
    assert_eq!(emitted.body().deserialize::<i64>().unwrap(), 8);
}

#[tokio::test]
async fn a_node_that_tells_no_tree_appears_without_and_fills_later() {
    let mut play = Play::new(lamp()).await;
    play.directory.enter(peer(1), "lamp", None);
    play.mirrors
        .handle(&Event::Entered(info(peer(1), "lamp")))
        .await;
    assert!(play.named(peer(1)).await.is_some());
    assert!(!play.xml(PATH).await.contains(VALUES));
    let tree = Box::new(play.node.tree.lock().unwrap().clone());
    play.mirrors
        .handle(&Event::TreeKnown {
            peer: peer(1),
            tree,
        })
        .await;
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(5i64));
}

#[tokio::test]
async fn the_tools_of_people_see_a_node_of_a_strange_name() {
    let mut play = Play::new(lamp()).await;
    let strange = "3 L\u{e4}mps/\"x\"";
    let name = play.enter(peer(1), strange).await;
    let name = name.as_str();
    assert_eq!(name, "org.z25.Zocp1.Node._33_20L_c3_a4mps_2f_22x_22");
    let bus = &play.bus;
    let tree = bus.run(&["busctl", "--user", "tree", name, "--list"]).await;
    let paths: Vec<&str> = tree.lines().filter(|line| line.starts_with(PATH)).collect();
    assert_eq!(
        paths,
        [
            PATH,
            "/org/z25/Zocp1/Node/cam_201",
            "/org/z25/Zocp1/Node/cam_201/pan"
        ]
    );
    let shown = bus
        .run(&["busctl", "--user", "introspect", name, PATH, "--no-pager"])
        .await;
    assert!(
        shown.contains("My_20_22strange_22_20_3cname_3e_2f_c3_bc"),
        "{shown}"
    );
    assert!(shown.contains(".secret"), "{shown}");
    bus.run(&[
        "busctl",
        "--user",
        "set-property",
        name,
        PATH,
        VALUES,
        "count",
        "i",
        "9",
    ])
    .await;
    let got = bus
        .run(&[
            "busctl",
            "--user",
            "get-property",
            name,
            PATH,
            VALUES,
            "count",
        ])
        .await;
    assert_eq!(got.trim(), "x 9");
    let shown = bus
        .run(&[
            "gdbus",
            "introspect",
            "--session",
            "--recurse",
            "-d",
            name,
            "-o",
            "/",
        ])
        .await;
    assert!(shown.contains("readwrite x count = 9;"), "{shown}");
    assert!(
        shown.contains("node /org/z25/Zocp1/Node/cam_201/pan"),
        "{shown}"
    );
    let called = bus
        .run(&[
            "gdbus",
            "call",
            "--session",
            "-d",
            name,
            "-o",
            PATH,
            "-m",
            "org.z25.Zocp1.Methods.blink_20it",
            "3",
        ])
        .await;
    assert_eq!(called.trim(), "(true,)");
}

#[test]
fn an_unusual_capability_does_no_harm() {
    let table = ObjectTable::new(zocp_dbus::objects::Objects::default());
    let mut view = View::new(
        "x",
        Side::Remote,
        NODE_PATH,
        table.clone(),
        shape().unwrap(),
    );
    let long = "\u{fc}".repeat(300);
    let tree = json!({
        long.clone(): {"value": 1, "access": "rw"},
        format!("{long}x"): {"value": 2, "access": "rw"},
        "none": {"value": null, "access": "rw", "typeHint": "int"},
        "neither": {"value": 1, "access": "s"},
        "odd": {"value": 1, "access": ["r"], "typeHint": 5},
        "": {"value": 1, "access": "rwe"},
        "objects": {"": {"objects": {"_": {}}}},
        "deep": {"value": [[[[[[1]]]]]], "access": "r"},
    });
    let tree = Tree::from_json(tree, &Limits::default()).unwrap();
    view.adopt(&tree);
    table.with(|objects| {
        let values = objects.interface(PATH, VALUES).unwrap();
        assert_eq!(
            values.value("none").unwrap().value_signature().to_string(),
            "x"
        );
        assert!(values.property("neither").is_none());
        assert!(values.property("_").is_some());
        assert!(objects.contains("/org/z25/Zocp1/Node/_/_5f"));
    });
    for value in [json!(1), json!("x"), Value::Null, json!([1])] {
        for name in ["none", "neither", "nope", "", "deep"] {
            let value = value.clone();
            let path = CapPath::root(name);
            view.follow(&[Change::Value {
                path: path.clone(),
                value: value.clone(),
            }]);
            view.emit(&path, &value);
            let capability = Capability::new(Access::READ | Access::WRITE | Access::EMIT, value);
            view.follow(&[Change::CapabilityChanged { path, capability }]);
        }
    }
}
