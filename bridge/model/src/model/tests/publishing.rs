//! How others hear of what is published and taken away.

use super::*;
use crate::Access;

// protocol.md §4.5
#[test]
fn what_is_described_anew_is_at_a_node_of_ours_as_it_is_here() {
    let map = |key: &str| json!({ key: 1 });
    let ranged = || int("rwe", 1).with_range(0, 9);
    let mut mesh = Mesh::met(2, EXTENDED, |node| {
        node.publish(root("a"), ranged()).unwrap();
        node.publish(
            "o.b".parse().unwrap(),
            Capability::new(Access::READ | Access::WRITE | Access::EMIT, map("x")),
        )
        .unwrap();
    });
    let node = mesh.node(1);
    node.publish(root("a"), int("rwe", 1)).unwrap();
    node.set_value(&"o.b".parse().unwrap(), map("y")).unwrap();
    mesh.settle();
    assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
    let path = "o.b".parse().unwrap();
    mesh.node(2).set(id(1), &path, map("z")).unwrap();
    mesh.settle();
    assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
    let value = mesh.nodes[0]
        .local()
        .capability(&path)
        .unwrap()
        .value
        .clone();
    assert_eq!(value, Some(map("z")));
}

#[test]
fn a_map_that_is_set_at_an_old_node_is_merged_there_and_here() {
    let mut mesh = Mesh::met(2, OLD, |node| {
        node.publish(
            root("a"),
            Capability::new(Access::READ | Access::WRITE, json!({"x": 1})),
        )
        .unwrap();
    });
    mesh.node(2)
        .set(id(1), &root("a"), json!({"y": 2}))
        .unwrap();
    mesh.settle();
    let seen = mesh.nodes[1].remote(id(1)).unwrap().capability(&root("a"));
    assert_eq!(seen.unwrap().value, Some(json!({"x": 1, "y": 2})));
    assert_eq!(seen, mesh.nodes[0].local().capability(&root("a")));
}

// protocol.md §6.1
#[test]
fn what_is_published_later_is_told_and_what_goes_is_told_too() {
    for kind in [OLD, EXTENDED] {
        let mut mesh = Mesh::met(2, kind, |_| {});
        let lamp = ObjectPath::root().child("lamp");
        let node = mesh.node(1);
        node.publish(
            lamp.capability("on"),
            Capability::new(Access::READ | Access::WRITE, true),
        )
        .unwrap();
        node.set_object(&lamp, "lamp").unwrap();
        node.publish_method(&lamp, "blink", &Method::default())
            .unwrap();
        node.set_data(&ObjectPath::root(), "_location", json!([1, 2, 3]))
            .unwrap();
        mesh.settle();
        let seen = mesh.nodes[1].remote(id(1)).unwrap().to_json();
        let mut whole = mesh.nodes[0].local().to_json();
        if kind == OLD {
            whole["objects"]["lamp"]
                .as_object_mut()
                .unwrap()
                .remove("methods");
        }
        assert_eq!(seen, whole);
        mesh.clear();
        assert!(mesh.node(1).remove_object(&lamp));
        assert!(!mesh.node(1).remove_object(&lamp));
        assert_eq!(mesh.sent(1, 2).len(), 1);
        let seen = mesh.nodes[1].remote(id(1)).unwrap().object(&lamp);
        let left = (kind == OLD).then_some("gone");
        assert_eq!(seen.and_then(|object| object.kind()), left);
        assert_eq!(
            mesh.nodes[0].local().to_json(),
            json!({"_location": [1, 2, 3]})
        );
    }
}

/// An object of D-Bus with an emitter in an object of its own.
fn dbus_object(node: &mut Model) -> CapPath {
    let object = ObjectPath::root().child("services").child("/lamp");
    node.set_object(&object, crate::DBUS_OBJECT).unwrap();
    let interface = object.child("org.Lamp");
    node.set_object(&interface, "dbus-interface").unwrap();
    let level = interface.capability("Level");
    node.publish(level.clone(), int("rwe", 5)).unwrap();
    level
}

// protocol.md §7.10
#[test]
fn objects_of_dbus_are_told_to_nodes_that_cannot_have_them_otherwise() {
    for (kind, is_told) in [(OLD, true), (EXTENDED, false)] {
        for is_early in [true, false] {
            let mut mesh = Mesh::new(2);
            if is_early {
                dbus_object(mesh.node(1));
            }
            mesh.meet(kind);
            mesh.clear();
            let level = dbus_object(mesh.node(1));
            mesh.node(1).set_value(&level, 6.into()).unwrap();
            mesh.node(1).unpublish(&level);
            let gone = ObjectPath::root().child("services").child("/lamp");
            mesh.node(1).remove_object(&gone);
            mesh.settle();
            let heard = format!("{:?}", mesh.sent(1, 2));
            let known = mesh.nodes[1].remote(id(1)).unwrap().to_json().to_string();
            assert_eq!(known.contains("/lamp"), is_told, "{known}");
            assert_eq!(heard.contains("/lamp"), is_told, "{heard}");
        }
    }
}

// protocol.md §5.7
#[test]
fn an_old_node_that_subscribed_to_an_emitter_in_an_object_gets_its_signal_too() {
    for (kind, count) in [(OLD, 2), (EXTENDED, 1)] {
        let cam = ObjectPath::root().child("cam 1").capability("zoom");
        let mut mesh = Mesh::met(2, kind, |node| {
            node.publish(cam.clone(), int("rwe", 5)).unwrap();
        });
        mesh.node(1).emit(&cam, 6.into()).unwrap();
        assert_eq!(
            mesh.sent(1, 2).len(),
            1,
            "who follows all hears of the change"
        );
        let sub = json!({"SUB": [id(1).to_string(), "cam 1.zoom", id(2).to_string(), null]});
        let now = mesh.now;
        mesh.node(1)
            .handle_message(now, id(2), sub.to_string().as_bytes())
            .unwrap();
        mesh.settle();
        mesh.clear();
        mesh.node(1).emit(&cam, 7.into()).unwrap();
        mesh.settle();
        let sent = mesh.sent(1, 2);
        assert_eq!(sent.len(), count, "{sent:?}");
        assert_eq!(
            sent.iter().any(|it| it.contains("[\"cam 1.zoom\", 7]")),
            kind == OLD
        );
    }
}

#[test]
fn a_capability_described_anew_keeps_its_subscribers() {
    let mut mesh = Mesh::met(2, EXTENDED, |node| {
        node.publish(root("dim"), int("rwe", 5).with_range(0, 10))
            .unwrap()
    });
    mesh.node(2).publish(root("in"), int("rws", 0)).unwrap();
    mesh.node(2)
        .subscribe(id(1), Some("dim"), id(2), Some("in"))
        .unwrap();
    mesh.settle();
    mesh.node(1).publish(root("dim"), int("re", 6)).unwrap();
    mesh.settle();
    let local = mesh.nodes[0].local().capability(&root("dim")).unwrap();
    assert_eq!(local.info.max, None);
    assert_eq!(local.info.subscribers.as_ref().unwrap().len(), 1);
}

/// What pyZOCP knows of a peer after these messages.
fn known_to_pyzocp(messages: &[String]) -> Value {
    let mut known = serde_json::Map::new();
    for message in messages {
        let message: Value = message.parse().unwrap();
        if let Some(Value::Object(patch)) = message.get("MOD") {
            crate::json::merge(&mut known, patch);
        }
    }
    Value::Object(known)
}

// protocol.md §5.11
#[test]
fn an_old_peer_is_told_what_is_gone_in_its_own_words() {
    let mut mesh = Mesh::new(3);
    mesh.meet(OLD);
    mesh.clear();
    let ranged = |value: i64| int("rwe", value).with_range(-5, 5);
    let zoom: CapPath = "cam.zoom".parse().unwrap();
    let camera = ObjectPath::root().child("cam");
    mesh.node(1).publish(root("x"), ranged(1)).unwrap();
    let map = Capability::new(Access::READ, json!({"a": 1}));
    mesh.node(1).publish(root("map"), map).unwrap();
    mesh.node(1).publish(zoom.clone(), ranged(2)).unwrap();
    mesh.node(1).set_object(&camera, "camera").unwrap();
    let location = json!([1, 2]);
    mesh.node(1)
        .set_data(&camera, "_location", location)
        .unwrap();
    // Somebody follows one emitter alone.
    for (verb, emitter) in [("UNSUB", "null"), ("SUB", "\"x\"")] {
        let text = format!(
            r#"{{"{verb}": ["{}", {emitter}, "{}", null]}}"#,
            id(1),
            id(3)
        );
        mesh.hear(1, 3, &text).unwrap();
    }
    mesh.settle();
    mesh.node(1).unpublish(&root("x"));
    mesh.node(1).unpublish(&root("map"));
    mesh.node(1).remove_object(&camera);
    mesh.settle();
    let told = |mesh: &Mesh, to: u8| -> Vec<String> {
        let wire = mesh.wire.iter();
        let told = wire.filter(|(from, peer, _)| (*from, *peer) == (id(1), id(to)));
        told.map(|(_, _, text)| text.clone()).collect()
    };
    let left = json!({
        "value": 1, "typeHint": "int", "access": "", "subscribers": [], "min": null, "max": null,
    });
    let known = known_to_pyzocp(&told(&mesh, 2));
    assert_eq!(known["x"], left);
    assert_eq!(known["map"]["value"], Value::Null);
    assert_eq!(known["map"]["access"], json!(""));
    assert_eq!(known["objects"]["cam"]["zoom"]["access"], json!(""));
    assert_eq!(known["objects"]["cam"]["type"], json!("gone"));
    assert_eq!(known["objects"]["cam"]["_location"], json!([]));
    let copy = known_to_pyzocp(&told(&mesh, 3));
    assert_eq!(
        (&copy["x"], &copy["objects"]),
        (&known["x"], &known["objects"])
    );
    assert!(
        !format!("{:?}", told(&mesh, 3)).contains("SIG"),
        "no values"
    );

    // What comes back is as if it had never been away, without what it has no more.
    mesh.node(1).publish(root("x"), int("re", 7)).unwrap();
    let map = Capability::new(Access::READ, json!({"b": 2}));
    mesh.node(1).publish(root("map"), map).unwrap();
    mesh.node(1).publish(zoom, ranged(3)).unwrap();
    mesh.node(1).set_object(&camera, "camera").unwrap();
    mesh.settle();
    let known = known_to_pyzocp(&told(&mesh, 2));
    assert_eq!(known["x"]["access"], json!("re"));
    assert_eq!(known["x"]["min"], Value::Null);
    assert_eq!(known["map"]["value"], json!({"b": 2}));
    let camera = &known["objects"]["cam"];
    assert_eq!(camera["type"], json!("camera"));
    assert_eq!(camera["zoom"]["min"], json!(-5));
    // A bound that is taken away alone.
    mesh.node(1).publish(root("x"), ranged(1)).unwrap();
    mesh.node(1).publish(root("x"), int("re", 1)).unwrap();
    mesh.settle();
    let known = known_to_pyzocp(&told(&mesh, 2));
    assert_eq!(known["x"]["min"], Value::Null);
}

#[test]
fn names_with_a_meaning_of_their_own_are_refused() {
    let mut model = Model::new(id(1), Limits::default());
    assert_eq!(
        model.publish(root("objects"), int("r", 1)),
        Err(PublishError::ReservedName)
    );
    model.publish(root("x"), int("r", 1)).unwrap();
    let data = model.set_data(&ObjectPath::root(), "x", Value::from(1));
    assert_eq!(data, Err(PublishError::IsCapability));
    assert_eq!(
        model.emit(&root("x"), 1.into()),
        Err(PublishError::NotAnEmitter)
    );
    assert!(model.unpublish(&root("x")));
    assert!(!model.unpublish(&root("x")));
}
