//! The node in Rust among nodes in Python, on another host: what both sides see of each other.
//!
//! The test process is the Rust node itself; see `mesh_pyre.rs` for the bridge.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::{Value as Json, json};
use zocp_node::{
    Access, CapPath, Capability, Config, Content, Event, Events, Node, NodeError, PeerId, PeerInfo,
    Value,
};
use zocp_testkit::{Lab, PyPeer, in_time, isolated};

#[test]
fn both_see_each_other_come_and_go() {
    isolated(async |lab: Lab| {
        let (desk, mut at_desk) = desk(&lab).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[dimmer()]).await;
        let info = entered(&mut at_desk, "lamp").await;
        assert_eq!(info.id.to_string(), lamp.uuid());
        assert_eq!((info.zocp, info.extended), (true, false));
        assert_eq!(info.groups, ["ZOCP"]);
        let seen = lamp.entered("desk").await;
        assert_eq!(seen["peer"], json!(desk.id().to_string()));
        assert_eq!(seen["headers"]["X-ZOCP"], json!("1"));
        lamp.event("join", |event| event["group"] == json!("ZOCP"))
            .await;
        lamp.leave().await;
        exited(&mut at_desk, info.id).await;

        let mut lamp = PyPeer::start(&lab.host("again").await, "lamp", &[]).await;
        lamp.entered("desk").await;
        desk.shutdown().await;
        lamp.left("desk").await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn the_tree_of_a_python_node_is_known_set_and_followed() {
    isolated(async |lab: Lab| {
        let (desk, mut at_desk) = desk(&lab).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[dimmer()]).await;
        let (id, tree) = until(&mut at_desk, |event| match event {
            Event::TreeKnown { peer, tree } => Some((peer, tree)),
            _ => None,
        })
        .await;
        let level = tree
            .capability(&CapPath::root("level"))
            .expect("it was registered");
        assert_eq!(level.value, Some(Value::from(1)));

        desk.set(id, CapPath::root("level"), Value::from(7))
            .await
            .expect("it is writable");
        let modified = lamp.event("modified", |_| true).await;
        assert_eq!(modified["data"], json!({"level": {"value": 7}}));
        let refused = desk.set(id, CapPath::root("level"), Value::from(10)).await;
        assert!(matches!(refused, Err(NodeError::Invalid(_))), "{refused:?}");

        lamp.event("subscribed", |event| event["emitter"] == Json::Null)
            .await;
        lamp.command(json!({"emit": ["level", 8]})).await;
        lamp.command(json!({"emit": ["level", 8]})).await;
        for _ in 0..2 {
            let value = until(&mut at_desk, |event| match event {
                Event::Emitted { value, .. } => Some(value),
                _ => None,
            });
            assert_eq!(
                value.await,
                Value::from(8),
                "an equal value is one more emission"
            );
        }
        lamp.is_unharmed().await;
    });
}

#[test]
fn a_python_node_reads_sets_and_follows_the_tree_of_ours() {
    isolated(async |lab: Lab| {
        let (desk, mut at_desk) = desk(&lab).await;
        let level =
            Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5).with_range(0.0, 1.0);
        desk.publish("level", level).await.expect("a new name");
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        let told = lamp
            .event("peer_modified", |event| event["name"] == json!("desk"))
            .await;
        assert_eq!(told["data"]["level"]["value"], json!(0.5));

        lamp.command(json!({"set": ["desk", {"level": {"value": 0.75}}]}))
            .await;
        let set = until(&mut at_desk, |event| match event {
            Event::LocalSet { value, .. } => Some(value),
            _ => None,
        });
        assert_eq!(set.await, Value::from(0.75));

        lamp.command(json!({"subscribe": ["lamp", null, "desk", "level"]}))
            .await;
        until(&mut at_desk, |event| {
            matches!(event, Event::Subscribed { .. }).then_some(())
        })
        .await;
        desk.emit("level", 0.25).await.expect("it emits");
        lamp.event("signal", |event| {
            event["emitter"] == json!("level") && event["value"] == json!(0.25)
        })
        .await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn seventy_thousand_whispers_to_a_python_node_arrive_in_order() {
    isolated(async |lab: Lab| {
        let (desk, mut at_desk) = desk(&lab).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        let id = entered(&mut at_desk, "lamp").await.id;
        let events = tokio::spawn(async move { while at_desk.next().await.is_some() {} });
        for number in 0..WHISPERS {
            let whisper = format!("{number:09} {}", "x".repeat(90));
            desk.whisper(id, content(whisper))
                .await
                .expect("the node is there");
        }
        desk.whisper(id, content("END"))
            .await
            .expect("the node is there");
        let sunk = lamp.event("sunk", |_| true).await;
        assert_eq!(
            (&sunk["received"], &sunk["out_of_place"]),
            (&json!(WHISPERS), &json!(0))
        );
        lamp.is_unharmed().await;
        events.abort();
    });
}

#[test]
fn seventy_thousand_whispers_of_a_python_node_arrive_in_order() {
    isolated(async |lab: Lab| {
        let (_desk, mut at_desk) = desk(&lab).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        let id = entered(&mut at_desk, "lamp").await.id;
        lamp.entered("desk").await;
        let flood = lamp.command(json!({"flood": ["desk", WHISPERS, 100]}));
        let all = async {
            for number in 0..WHISPERS {
                let whisper = whispered(&mut at_desk, id).await;
                assert_eq!(whisper[..9], *format!("{number:09}").as_bytes());
            }
            assert_eq!(whispered(&mut at_desk, id).await, b"END");
        };
        tokio::join!(flood, all);
        lamp.is_unharmed().await;
    });
}

#[test]
fn a_python_node_on_a_mesh_of_the_loopback_is_met() {
    isolated(async |lab: Lab| {
        lab.route_multicasts_to_loopback().await;
        let mut config = Config::new("desk");
        config.loopback = true;
        let (_desk, mut at_desk) = Node::start(config)
            .await
            .expect("there is always a loopback");
        let mut lamp = PyPeer::start_here("lamp", &[dimmer()]).await;
        entered(&mut at_desk, "lamp").await;
        lamp.entered("desk").await;
        lamp.event("whisper", |event| {
            let text = event["frames"][0].as_str();
            text.is_some_and(|text| text.starts_with("{\"GET\": null, \"SUB\": "))
        })
        .await;
        lamp.is_unharmed().await;
    });
}

/// More than the 65 535 sequence numbers there are, so they wrap on the way.
const WHISPERS: usize = 70_000;

fn dimmer() -> Json {
    json!({"register": {"name": "level", "value": 1, "typeHint": "int", "access": "rwe", "max": 9}})
}

/// The node of the test itself.
async fn desk(lab: &Lab) -> (Node, Events) {
    lab.attach().await;
    Node::start(Config::new("desk"))
        .await
        .expect("there is a network")
}

fn content(text: impl Into<String>) -> Content {
    [text.into().into()].into_iter().collect()
}

async fn until<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    in_time("an event of the node", async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(value) = wanted(event) {
                return value;
            }
        }
    })
    .await
}

async fn entered(events: &mut Events, name: &str) -> PeerInfo {
    until(events, |event| match event {
        Event::Entered(info) if info.name == name => Some(info),
        _ => None,
    })
    .await
}

async fn exited(events: &mut Events, id: PeerId) {
    until(events, |event| {
        matches!(event, Event::Exited { peer, .. } if peer == id).then_some(())
    })
    .await;
}

/// The next whisper of `id`, which does not leave before.
async fn whispered(events: &mut Events, id: PeerId) -> Vec<u8> {
    until(events, |event| match event {
        Event::Whispered { peer, content } if peer == id => Some(content[0].to_vec()),
        Event::Exited { peer, reason } if peer == id => panic!("it left: {reason:?}"),
        _ => None,
    })
    .await
}
