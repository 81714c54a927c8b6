//! Nodes in Python on one host, the bridge on another, a user of D-Bus beside the bridge.

use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use zbus::Variant;
use zocp_testkit::{Bridge, Lab, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// The tree of pyZOCP's example `simple_node`, and what else real nodes have.
fn setup() -> Vec<Json> {
    let one = |name: &str, value: Json, hint: Json, access: &str| json!({"register": {"name": name, "value": value, "typeHint": hint, "access": access}});
    vec![
        one("myBool", json!(true), json!("bool"), "rwe"),
        json!({"register": {"name": "myFloat", "value": 2.3, "typeHint": "flt", "access": "rws",
                            "min": 0, "max": 5.0, "step": 0.1}}),
        json!({"register": {"name": "myInt", "value": 10, "typeHint": "int", "access": "rwes",
                            "min": -10, "max": 10, "step": 1}}),
        one("myPercent", json!(12), json!("percent"), "rw"),
        one("myString", json!("näme"), json!("string"), "rw"),
        one("myVec2", json!([0, 0]), json!("vec2f"), "rwes"),
        one("myVec3", json!([0, 0.5, -1]), json!("vec3f"), "rw"),
        one("myVec4", json!([1, 2, 3, 4]), json!("vec4f"), "rw"),
        one("myVec5", json!([1, 2, 3, 4, 5]), json!("vec5f"), "rw"),
        one("bare", json!(9_007_199_254_740_993_i64), Json::Null, "rw"),
        one("serial", json!("A-1"), json!("string"), "r"),
        one("My Float/ü", json!(1.5), json!("float"), "rwe"),
        one("4th", json!({"a": 1}), Json::Null, "r"),
        json!({"modify": {"_location": [1, 2, 3]}}),
        json!({"set_object": ["cam 1", "camera"]}),
        one("zoom", json!(1), json!("int"), "rwe"),
    ]
}

#[test]
fn every_capability_of_a_python_node_is_on_the_bus_with_its_type() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &setup()).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let node = bridge.bus.node("lamp");
        for (member, shown) in [
            ("myBool", "b true"),
            ("myFloat", "d 2.3"),
            ("myInt", "x 10"),
            ("myPercent", "d 12"),
            ("myString", "s \"n\\303\\244me\""),
            ("myVec2", "(dd) 0 0"),
            ("myVec3", "(ddd) 0 0.5 -1"),
            ("myVec4", "(dddd) 1 2 3 4"),
            ("myVec5", "av 5 x 1 x 2 x 3 x 4 x 5"),
            ("bare", "x 9007199254740993"),
            ("serial", "s \"A-1\""),
            ("My_20Float_2f_c3_bc", "d 1.5"),
            ("_34th", "a{sv} 1 \"a\" x 1"),
        ] {
            assert_eq!(node.shown_value(member).await, shown, "{member}");
        }
        assert_eq!(node.child("cam_201").shown_value("zoom").await, "x 1");
        assert_eq!(
            node.child("cam_201").shown(OBJECT, "Type").await,
            "s \"camera\""
        );
        assert_eq!(node.shown(OBJECT, "Name").await, "s \"lamp\"");
        assert!(
            node.shown(OBJECT, "Data")
                .await
                .contains("\"_location\" av 3 x 1 x 2 x 3")
        );
        let peer = bridge.bus.peer("lamp");
        assert_eq!(
            peer.shown(PEER, "Uuid").await,
            format!("s \"{}\"", lamp.uuid())
        );
        assert_eq!(
            peer.shown(PEER, "BusName").await,
            "s \"org.z25.Zocp1.Node.lamp\""
        );
        assert_eq!(peer.shown(PEER, "Groups").await, "as 1 \"ZOCP\"");
        lamp.is_unharmed().await;
    });
}

#[test]
fn a_property_that_busctl_sets_is_set_in_the_node() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &setup()).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        for (path, member, signature, value, told) in [
            (
                "",
                "myInt",
                "x",
                &["-7"][..],
                json!({"myInt": {"value": -7}}),
            ),
            ("", "myInt", "u", &["3"], json!({"myInt": {"value": 3}})),
            (
                "",
                "myFloat",
                "d",
                &["4.25"],
                json!({"myFloat": {"value": 4.25}}),
            ),
            (
                "",
                "myBool",
                "b",
                &["false"],
                json!({"myBool": {"value": false}}),
            ),
            (
                "",
                "myString",
                "s",
                &["schön"],
                json!({"myString": {"value": "schön"}}),
            ),
            (
                "/cam_201",
                "zoom",
                "x",
                &["5"],
                json!({"objects": {"cam 1": {"zoom": {"value": 5}}}}),
            ),
        ] {
            let path = format!("/org/z25/Zocp1/Node{path}");
            let property = [
                "--",
                "set-property",
                "org.z25.Zocp1.Node.lamp",
                &path,
                VALUES,
                member,
                signature,
            ];
            bridge.bus.busctl(&[&property, value].concat()).await;
            let modified = lamp.event("modified", |_| true).await;
            // After set_object pyZOCP tells of all below that object; what it was sent is in the whisper.
            let sent = json!({"SET": told});
            let whisper = lamp
                .event("whisper", |event| is_message(event, &sent))
                .await;
            assert_eq!(whisper["name"], json!("foh"), "{modified}");
            let object = bridge.bus.object("org.z25.Zocp1.Node.lamp", &path);
            assert!(
                object
                    .shown_value(member)
                    .await
                    .contains(value[0].trim_end_matches("chön"))
            );
        }
        lamp.is_unharmed().await;
    });
}

#[test]
fn what_must_not_be_set_is_refused_and_never_sent() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &setup()).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let node = bridge.bus.node("lamp");
        for (member, value, error) in [
            (
                "myInt",
                Variant::from(11_i64),
                "org.z25.Zocp1.Error.OutOfRange",
            ),
            (
                "myInt",
                Variant::from(-11_i64),
                "org.z25.Zocp1.Error.OutOfRange",
            ),
            (
                "myFloat",
                Variant::from(5.5),
                "org.z25.Zocp1.Error.OutOfRange",
            ),
            (
                "myInt",
                Variant::from("seven"),
                "org.freedesktop.DBus.Error.InvalidArgs",
            ),
            (
                "myBool",
                Variant::from("true"),
                "org.freedesktop.DBus.Error.InvalidArgs",
            ),
            (
                "myVec2",
                Variant::from(1.0),
                "org.freedesktop.DBus.Error.InvalidArgs",
            ),
            (
                "serial",
                Variant::from("A-2"),
                "org.freedesktop.DBus.Error.PropertyReadOnly",
            ),
            (
                "none",
                Variant::from(1_i64),
                "org.freedesktop.DBus.Error.UnknownProperty",
            ),
        ] {
            assert_eq!(
                node.set(member, value).await,
                Err(error.to_owned()),
                "{member}"
            );
        }
        assert_eq!(node.set("myInt", 10_i64).await, Ok(()));
        lamp.event("modified", |_| true).await;
        lamp.command(json!({"tree": null})).await;
        let tree = lamp.event("tree", |_| true).await;
        assert_eq!(tree["tree"]["serial"]["value"], json!("A-1"));
        let sets = lamp
            .program
            .unmatched()
            .into_iter()
            .filter(|line| line.contains("{\\\"SET\\\""));
        assert_eq!(sets.count(), 1, "only the setting that is allowed was sent");
        lamp.is_unharmed().await;
    });
}

#[test]
fn ten_thousand_signals_arrive_each_once_in_order_and_the_property_ends_on_the_last_value() {
    isolated(async |lab: Lab| {
        const COUNT: i64 = 10_000;
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let counter =
            json!({"register": {"name": "counter", "value": 0, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[counter]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        lamp.event("subscribed", |_| true).await;
        let node = bridge.bus.node("lamp");
        let mut signals = node.signals("org.z25.Zocp1.Signals").await;
        lamp.command(json!({"emit_many": ["counter", 1, COUNT]}))
            .await;
        for number in 1..=COUNT {
            let signal = zocp_testkit::in_time("a signal", signals.next()).await;
            let signal = signal.expect("the bus runs").expect("a good message");
            assert_eq!(
                signal.header().member().expect("it is a signal").as_str(),
                "counter"
            );
            assert_eq!(signal.body().deserialize::<i64>().expect("an int"), number);
        }
        node.becomes("counter", COUNT).await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn a_modification_and_an_equal_emission_are_signals_too() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &setup()).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        lamp.event("subscribed", |_| true).await;
        let camera = bridge.bus.node("lamp").child("cam_201");
        let mut signals = camera.signals("org.z25.Zocp1.Signals").await;
        lamp.command(json!({"modify": {"zoom": {"value": 4}}}))
            .await;
        lamp.command(json!({"modify": {"zoom": {"value": 4}}}))
            .await;
        for _ in 0..2 {
            let signal = zocp_testkit::in_time("a signal", signals.next()).await;
            let signal = signal.expect("the bus runs").expect("a good message");
            assert_eq!(signal.body().deserialize::<i64>().expect("an int"), 4);
        }
        camera.becomes("zoom", 4_i64).await;
    });
}

#[test]
fn a_capability_that_is_registered_later_and_one_that_changes_its_type_are_followed() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        lamp.event("subscribed", |_| true).await;
        let node = bridge.bus.node("lamp");
        lamp.command(
            json!({"register": {"name": "late", "value": 1, "typeHint": null, "access": "rw"}}),
        )
        .await;
        node.becomes("late", 1_i64).await;
        lamp.command(json!({"modify": {"late": {"value": "text"}}}))
            .await;
        // A text is no number: from then on the member is a variant.
        let text = zbus::Variant::Variant(Box::new("text".into()));
        node.becomes("late", text).await;
        lamp.command(json!({"modify": {"objects": {"pan": {"x": {"value": 2, "access": "r"}}}}}))
            .await;
        node.child("pan").becomes("x", 2_i64).await;
    });
}

#[test]
fn nodes_of_one_name_are_told_apart() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut first = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let second = PyPeer::start(&lab.host("hall").await, "lamp", &[]).await;
        let label = format!("lamp_{}", &second.uuid()[..8]);
        bridge
            .bus
            .appears(&format!("org.z25.Zocp1.Node.{label}"))
            .await;
        assert_eq!(
            bridge.bus.node(&label).shown(OBJECT, "Name").await,
            "s \"lamp\""
        );
        let find = async |name: &str| {
            let found = bridge
                .bus
                .bridge()
                .call(BRIDGE, "FindNode", &name)
                .await
                .expect("it is there");
            found
                .body()
                .deserialize::<zbus::OwnedObjectPath>()
                .expect("a path")
                .to_string()
        };
        assert_eq!(
            find(second.uuid()).await,
            format!("/org/z25/Zocp1/nodes/{label}")
        );
        assert_eq!(find(first.uuid()).await, "/org/z25/Zocp1/nodes/lamp");
        // When the first leaves its name is free: the second gets it, everywhere.
        first.leave().await;
        bridge
            .bus
            .vanishes(&format!("org.z25.Zocp1.Node.{label}"))
            .await;
        assert!(bridge.bus.has("org.z25.Zocp1.Node.lamp").await);
        assert_eq!(find(second.uuid()).await, "/org/z25/Zocp1/nodes/lamp");
        let peer = bridge.bus.peer("lamp");
        let shown = peer.shown("org.z25.Zocp1.Peer", "BusName").await;
        assert_eq!(shown, "s \"org.z25.Zocp1.Node.lamp\"");
        let uuid = peer.shown("org.z25.Zocp1.Peer", "Uuid").await;
        assert_eq!(uuid, format!("s \"{}\"", second.uuid()));
    });
}

#[test]
fn tools_walk_a_node_with_a_strange_name() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        // pyre cuts as many octets off a name's end as it has characters of two octets.
        let _lamp = PyPeer::start(&lab.host("stage").await, "1 ä/\"q\"@foh!", &setup()).await;
        let name = "org.z25.Zocp1.Node._31_20_c3_a4_2f_22q_22_40foh";
        bridge.bus.appears(name).await;
        let tree = bridge.bus.busctl(&["tree", name]).await;
        assert!(tree.contains("/org/z25/Zocp1/Node/cam_201"), "{tree}");
        let root = [
            "introspect",
            "--session",
            "--recurse",
            "--dest",
            name,
            "--object-path",
            "/",
        ];
        let introspected = bridge.bus.command("gdbus").args(root).run().await;
        for part in [
            "node /org/z25/Zocp1/Node/cam_201",
            "x zoom = 1",
            "d My_20Float_2f_c3_bc = 1.5",
        ] {
            assert!(
                introspected.contains(part),
                "{part} is not in\n{introspected}"
            );
        }
        let bridge_tree = bridge.bus.busctl(&["tree", "org.z25.Zocp1"]).await;
        assert!(
            bridge_tree.contains("/org/z25/Zocp1/nodes/_31_20_c3_a4_2f_22q_22_40foh"),
            "{bridge_tree}"
        );
        let table = bridge
            .bus
            .busctl(&["introspect", name, "/org/z25/Zocp1/Node"])
            .await;
        assert!(
            table.contains(".myInt") && table.contains("writable"),
            "{table}"
        );
    });
}

#[test]
fn a_peer_that_knows_nothing_of_zocp_is_a_peer_object_only() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut plain = PyPeer::start_plain(&lab.host("stage").await, "plain").await;
        plain.entered("foh").await;
        bridge.bus.peer_appears("plain").await;
        let peer = bridge.bus.peer("plain");
        let ping = peer.call(PEER, "Ping", &()).await.expect("it answers");
        assert!(ping.body().deserialize::<u64>().expect("microseconds") > 0);
        assert_eq!(peer.shown(PEER, "BusName").await, "s \"\"");
        assert!(!bridge.bus.has("org.z25.Zocp1.Node.plain").await);

        peer.call(PEER, "Whisper", &(b"hello".as_slice(),))
            .await
            .expect("it is there");
        plain
            .event("whisper", |event| event["frames"] == json!(["hello"]))
            .await;
        let mut whispered = peer.signals(PEER).await;
        plain.command(json!({"whisper": ["foh", "good day"]})).await;
        let signal = zocp_testkit::in_time("Whispered", whispered.next()).await;
        let signal = signal.expect("the bus runs").expect("a good message");
        assert_eq!(
            signal.body().deserialize::<Vec<u8>>().expect("ay"),
            b"good day"
        );

        plain.command(json!({"join": "choir"})).await;
        bridge
            .bus
            .bridge()
            .call(BRIDGE, "Join", &"choir")
            .await
            .expect("a good name");
        plain
            .event("join", |event| event["group"] == json!("choir"))
            .await;
        let mut shouted = bridge.bus.bridge().signals(BRIDGE).await;
        plain.command(json!({"shout": ["choir", "all"]})).await;
        let signal = zocp_testkit::in_time("Shouted", shouted.next()).await;
        let signal = signal.expect("the bus runs").expect("a good message");
        let (who, group, text): (zbus::OwnedObjectPath, String, Vec<u8>) =
            signal.body().deserialize().expect("osay");
        assert_eq!(
            (who.as_str(), &*group, &*text),
            ("/org/z25/Zocp1/nodes/plain", "choir", &b"all"[..])
        );
        bridge
            .bus
            .bridge()
            .call(BRIDGE, "Shout", &("choir", b"amen".as_slice()))
            .await
            .expect("we are in it");
        plain
            .event("shout", |event| event["frames"] == json!(["amen"]))
            .await;
        plain.is_unharmed().await;
    });
}

/// Whether a whisper of the node's transcript has this message as its one frame.
fn is_message(event: &Json, message: &Json) -> bool {
    let frame = event["frames"][0].as_str().unwrap_or_default();
    serde_json::from_str::<Json>(frame).is_ok_and(|heard| heard == *message)
}

const VALUES: &str = "org.z25.Zocp1.Values";
const OBJECT: &str = "org.z25.Zocp1.Object";
const PEER: &str = "org.z25.Zocp1.Peer";
const BRIDGE: &str = "org.z25.Zocp1.Bridge";
