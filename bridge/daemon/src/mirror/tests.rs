//! Mirrors of nodes that a test plays, on a real bus, driven by zbus and by the tools that people use.

mod changes;
mod names;
mod play;
mod tools;

use std::{collections::HashMap, sync::atomic::Ordering};

use futures_util::StreamExt;
use serde_json::json;
use zbus::{MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, Variant, message::Type};
use zocp_interfaces::OBJECT_INTERFACE;
use zocp_node::{
    Access, CapPath, Capability, ExitReason, Value,
    model::{Change, Limits, Tree},
};

use self::play::{PATH, Play, VALUES, info, lamp, peer};
use super::*;
use zocp_dbus::testbus::{TestBus, soon, unlawful_message};

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
