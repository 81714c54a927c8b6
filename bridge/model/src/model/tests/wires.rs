//! Subscriptions between two and three nodes.

use super::*;
use crate::Access;

/// Node 1 emits `out`, node 2 senses at `in`.
fn wired(kind: PeerKind) -> Mesh {
    let mut mesh = Mesh::new(3);
    mesh.node(1).publish(root("out"), int("rwe", 0)).unwrap();
    mesh.node(2)
        .publish(root("in"), int("rwes", 0).with_range(0, 9))
        .unwrap();
    mesh.meet(kind);
    mesh.clear();
    mesh
}

fn sensed(value: i64) -> Event {
    Event::LocalSensed {
        peer: id(1),
        emitter: "out".into(),
        receiver: Some(root("in")),
        value: value.into(),
        cause: None,
    }
}

fn is_sensed(event: &Event) -> bool {
    matches!(event, Event::LocalSensed { .. })
}

#[test]
fn a_signal_reaches_the_sensor_that_is_wired_and_is_told_on_only_when_new() {
    let mut mesh = wired(OLD);
    mesh.node(2)
        .subscribe(id(1), Some("out"), id(2), Some("in"))
        .unwrap();
    mesh.settle();
    let subscribers = mesh.nodes[1].remote(id(1)).unwrap().root().capabilities["out"]
        .info
        .subscribers
        .clone()
        .unwrap();
    assert_eq!(&*subscribers[0].node, id(2).to_string());
    mesh.clear();
    mesh.node(1).emit(&root("out"), 5.into()).unwrap();
    mesh.node(1).emit(&root("out"), 5.into()).unwrap();
    let events = mesh.events(2);
    assert_eq!(
        events.into_iter().filter(is_sensed).collect::<Vec<_>>(),
        [sensed(5), sensed(5)]
    );
    assert_eq!(mesh.sent(2, 3), ["{\"SIG\": [\"in\", 5]}"]);
    assert_eq!(
        mesh.nodes[1].local().root().capabilities["in"].value,
        Some(5.into())
    );
}

#[test]
fn a_circle_of_wires_comes_to_rest() {
    let mut mesh = Mesh::new(2);
    for n in [1, 2] {
        mesh.node(n)
            .publish(
                root("x"),
                Capability::new(
                    Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
                    0.5,
                ),
            )
            .unwrap();
    }
    mesh.meet(OLD);
    mesh.node(1)
        .subscribe(id(2), Some("x"), id(1), Some("x"))
        .unwrap();
    mesh.node(2)
        .subscribe(id(1), Some("x"), id(2), Some("x"))
        .unwrap();
    mesh.settle();
    mesh.node(1)
        .emit(&root("x"), crate::float(f64::NAN))
        .unwrap();
    mesh.settle();
    mesh.node(1).emit(&root("x"), 2.into()).unwrap();
    mesh.settle();
    assert_eq!(
        mesh.nodes[1].local().root().capabilities["x"].value,
        Some(json!(2.0))
    );
}

#[test]
fn a_third_node_wires_two_others() {
    let mut mesh = wired(OLD);
    mesh.node(3)
        .subscribe(id(1), Some("out"), id(2), Some("in"))
        .unwrap();
    let subscribed = Event::Subscribed {
        peer: id(2),
        emitter: Some(root("out")),
        receiver: Some("in".into()),
    };
    assert!(mesh.events(1).contains(&subscribed));
    let events = mesh.events(2);
    assert!(events.contains(&Event::Wired {
        peer: id(1),
        emitter: Some("out".into()),
        receiver: Some("in".into())
    }));
    mesh.node(1).emit(&root("out"), 3.into()).unwrap();
    assert!(mesh.events(2).contains(&sensed(3)));
    mesh.clear();
    mesh.node(3)
        .unsubscribe(id(1), Some("out"), id(2), Some("in"))
        .unwrap();
    let gone = Event::Unsubscribed {
        peer: id(2),
        emitter: Some(root("out")),
        receiver: Some("in".into()),
    };
    assert!(mesh.events(1).contains(&gone));
    assert!(
        mesh.sent(2, 1)
            .iter()
            .any(|text| text.contains("\"SUB\": ") && text.contains("null")),
        "following is renewed"
    );
    mesh.node(1).emit(&root("out"), 4.into()).unwrap();
    assert!(!mesh.events(2).iter().any(is_sensed));
}

#[test]
fn the_emitters_node_can_wire_too() {
    let mut mesh = wired(EXTENDED);
    mesh.node(1)
        .subscribe(id(1), Some("out"), id(2), Some("in"))
        .unwrap();
    mesh.settle();
    mesh.node(1).emit(&root("out"), 3.into()).unwrap();
    assert!(mesh.events(2).contains(&sensed(3)));
    mesh.node(1)
        .unsubscribe(id(1), Some("out"), id(2), Some("in"))
        .unwrap();
    mesh.settle();
    assert_eq!(
        mesh.nodes[0].local().root().capabilities["out"]
            .info
            .subscribers,
        Some(vec![])
    );
}

// protocol.md §5.5
#[test]
fn what_would_raise_in_an_old_peer_is_not_sent() {
    let mut mesh = wired(OLD);
    mesh.hear(2, 1, r#"{"MOD": {"bare": {"value": 1}, "objects": {"o": {"x": {"value": 1, "subscribers": []}}}}}"#).unwrap();
    mesh.clear();
    let node = mesh.node(2);
    let me = node.id();
    for emitter in ["nope", "bare", "o.x"] {
        assert_eq!(
            node.subscribe(id(1), Some(emitter), me, None),
            Err(SubscribeError::UnknownEmitter),
            "{emitter}"
        );
        assert_eq!(
            node.unsubscribe(id(1), Some(emitter), me, None),
            Err(SubscribeError::UnknownEmitter)
        );
    }
    assert_eq!(
        node.subscribe(me, Some("in"), id(1), Some("nope")),
        Err(SubscribeError::UnknownSensor)
    );
    assert_eq!(
        node.subscribe(id(1), Some("out"), me, Some("nope")),
        Err(SubscribeError::UnknownSensor)
    );
    assert_eq!(
        node.subscribe(id(1), Some("out"), id(8), None),
        Err(SubscribeError::NodeGone(id(8)))
    );
    assert_eq!(
        node.subscribe(me, None, me, None),
        Err(SubscribeError::SameNode)
    );
    assert!(mesh.wire.is_empty());
}

#[test]
fn a_subscription_that_cannot_be_is_ignored_with_its_reason() {
    let mut mesh = wired(OLD);
    let (me, it, other) = (id(1), id(2), id(9));
    let table = [
        (
            format!(r#"{{"SUB": ["{me}", "nope", "{it}", null]}}"#),
            Ignored::UnknownEmitter("nope".into()),
        ),
        (
            format!(r#"{{"SUB": ["{me}", "out", "{other}", null]}}"#),
            Ignored::UnknownNode(other),
        ),
        (
            format!(r#"{{"SUB": ["{me}", "out", "{}", "nope"]}}"#, id(3)),
            Ignored::UnknownSensor("nope".into()),
        ),
        (
            format!(r#"{{"SUB": ["{it}", "out", "{}", null]}}"#, id(3)),
            Ignored::NotOurs,
        ),
        (
            format!(r#"{{"UNSUB": ["{me}", "out", "{me}", null]}}"#),
            Ignored::NotOurs,
        ),
        (
            format!(r#"{{"UNSUB": ["{me}", "nope", "{it}", null]}}"#),
            Ignored::UnknownEmitter("nope".into()),
        ),
        (
            format!(r#"{{"SUB": ["{it}", "in", "{me}", "nope"]}}"#),
            Ignored::UnknownSensor("nope".into()),
        ),
    ];
    for (text, reason) in table {
        assert_eq!(mesh.hear(1, 2, &text), Ok(true));
        assert_eq!(
            mesh.events(1),
            [Event::Ignored {
                peer: id(2),
                reason
            }],
            "{text}"
        );
    }
    assert!(mesh.wire.is_empty());
}

#[test]
fn a_sensor_refuses_what_it_may_not_become() {
    let mut mesh = wired(OLD);
    mesh.node(2).publish(root("plain"), int("rw", 0)).unwrap();
    mesh.node(2)
        .subscribe(id(1), Some("out"), id(2), Some("in"))
        .unwrap();
    mesh.node(2)
        .subscribe(id(1), Some("out"), id(2), Some("plain"))
        .unwrap();
    mesh.settle();
    mesh.node(1).emit(&root("out"), 50.into()).unwrap();
    let events = mesh.events(2);
    assert!(events.iter().any(|e| matches!(
        e,
        Event::Ignored {
            reason: Ignored::Refused { .. },
            ..
        }
    )));
    assert!(events.iter().any(|e| matches!(
        e,
        Event::Ignored {
            reason: Ignored::NotASensor(_),
            ..
        }
    )));
    assert_eq!(
        mesh.nodes[1].local().root().capabilities["in"].value,
        Some(0.into())
    );
}

#[test]
fn wires_between_objects_work_among_extended_nodes() {
    let mut mesh = Mesh::new(2);
    mesh.node(1)
        .publish("cam.pan".parse().unwrap(), int("re", 0))
        .unwrap();
    mesh.node(2)
        .publish("head.yaw".parse().unwrap(), int("rs", 0))
        .unwrap();
    mesh.meet(EXTENDED);
    mesh.node(2)
        .subscribe(id(1), Some("cam.pan"), id(2), Some("head.yaw"))
        .unwrap();
    mesh.settle();
    mesh.node(1)
        .emit(&"cam.pan".parse().unwrap(), 4.into())
        .unwrap();
    mesh.settle();
    let yaw: CapPath = "head.yaw".parse().unwrap();
    assert_eq!(
        mesh.nodes[1].local().capability(&yaw).unwrap().value,
        Some(4.into())
    );
}

#[test]
fn subscriptions_are_limited_and_go_with_the_peer() {
    let mut mesh = wired(OLD);
    mesh.node(1).limits.subscriptions_max = 3;
    for sensor in ["a", "b", "c", "d"] {
        let (me, it) = (id(1), id(2));
        mesh.hear(
            1,
            2,
            &format!(r#"{{"SUB": ["{me}", "out", "{it}", "{sensor}"]}}"#),
        )
        .unwrap();
    }
    assert!(mesh.events(1).contains(&Event::Ignored {
        peer: id(2),
        reason: Ignored::TooManySubscriptions
    }));
    assert_eq!(
        mesh.nodes[0].local().root().capabilities["out"]
            .info
            .subscribers
            .as_ref()
            .unwrap()
            .len(),
        2
    );
    let now = mesh.now;
    mesh.node(1).peer_left(now, id(2));
    assert_eq!(
        mesh.nodes[0].local().root().capabilities["out"]
            .info
            .subscribers,
        Some(vec![])
    );
    mesh.settle();
    mesh.clear();
    mesh.node(1).emit(&root("out"), 1.into()).unwrap();
    assert_eq!(mesh.sent(1, 2), [""; 0]);
    assert_eq!(mesh.sent(1, 3).len(), 1);
}
