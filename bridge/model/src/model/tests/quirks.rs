//! What peers do that no specification would have asked for.

use super::*;

/// Node 1 with a tree told by an old peer, node 2.
fn told(tree: &str) -> Mesh {
    let mut mesh = Mesh::new(2);
    mesh.meet(OLD);
    let now = mesh.now;
    mesh.node(1).peer_entered(now, id(2), OLD);
    mesh.hear(1, 2, tree).unwrap();
    mesh.settle();
    mesh.clear();
    mesh
}

#[test]
fn a_notice_in_the_wrong_object_is_an_emission_of_the_root() {
    let mut mesh = told(
        r#"{"MOD": {"dim": {"value": 1, "access": "rwe"}, "objects": {"Cam": {"type": "c"}}}}"#,
    );
    mesh.hear(
        1,
        2,
        r#"{"MOD": {"objects": {"Cam": {"dim": {"value": 9}}}}}"#,
    )
    .unwrap();
    let events = mesh.events(1);
    assert!(events.contains(&Event::Emitted {
        peer: id(2),
        path: root("dim"),
        value: 9.into(),
        cause: None,
    }));
    assert_eq!(mesh.nodes[0].remote(id(2)).unwrap().capability_count(), 1);
}

// protocol.md §5.4
#[test]
fn a_modification_emits_only_what_was_known_and_emits() {
    let mut mesh =
        told(r#"{"MOD": {"a": {"value": 1, "access": "e"}, "b": {"value": 1, "access": "r"}}}"#);
    let text =
        r#"{"MOD": {"a": {"value": 1}, "b": {"value": 2}, "c": {"value": 3, "access": "e"}}}"#;
    mesh.hear(1, 2, text).unwrap();
    let emitted: Vec<_> = mesh
        .events(1)
        .into_iter()
        .filter(|e| matches!(e, Event::Emitted { .. }))
        .collect();
    assert_eq!(
        emitted,
        [Event::Emitted {
            peer: id(2),
            path: root("a"),
            value: 1.into(),
            cause: None,
        }]
    );
}

#[test]
fn a_signal_replaces_a_value_that_is_an_object() {
    let mut mesh = told(r#"{"MOD": {"a": {"value": {"x": 1}, "access": "re"}}}"#);
    mesh.hear(1, 2, r#"{"SIG": ["a", {"y": 2}]}"#).unwrap();
    assert_eq!(
        mesh.nodes[0].remote(id(2)).unwrap().root().capabilities["a"].value,
        Some(json!({"y": 2}))
    );
}

#[test]
fn a_signal_of_another_type_is_a_new_value() {
    let mut mesh = told(r#"{"MOD": {"a": {"value": 1, "access": "re"}}}"#);
    mesh.hear(1, 2, r#"{"SIG": ["a", "x"]}"#).unwrap();
    let events = mesh.events(1);
    let [Event::Changed { changes, .. }, Event::Emitted { .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(matches!(&changes[..], [Change::Value { .. }]));
}

#[test]
fn nan_and_infinity_come_and_go() {
    let mut mesh = told(r#"{"MOD": {"a": {"value": NaN, "typeHint": "flt", "access": "rwe"}}}"#);
    mesh.hear(1, 2, r#"{"SIG": ["a", -Infinity]}"#).unwrap();
    mesh.node(1)
        .set(id(2), &root("a"), crate::float(f64::INFINITY))
        .unwrap();
    assert_eq!(
        mesh.node(1).remote(id(2)).unwrap().root().capabilities["a"].value,
        Some(crate::float(f64::INFINITY))
    );
    let outputs: Vec<_> = std::iter::from_fn(|| mesh.node(1).poll_output()).collect();
    let octets = br#"{"SET": {"a":{"value":Infinity}}}"#.to_vec();
    assert!(outputs.contains(&Output::Whisper {
        peer: id(2),
        octets
    }));
}

// protocol.md §5.2, §5.9
#[test]
fn get_with_names_is_answered_once_and_unknown_ones_are_null() {
    let mut mesh = told(r#"{"MOD": {}}"#);
    mesh.node(1).publish(root("a"), int("r", 1)).unwrap();
    mesh.clear();
    for text in [
        r#"{"GET": ["a", "nope"]}"#,
        r#"{"GET": {"a": {}, "nope": {}}}"#,
    ] {
        mesh.hear(1, 2, text).unwrap();
        let answers: Vec<_> = std::iter::from_fn(|| mesh.node(1).poll_output())
            .filter(is_answer)
            .collect();
        let [Output::Whisper { octets, .. }] = &answers[..] else {
            panic!("{answers:?}")
        };
        let answer: Value = serde_json::from_slice(octets).unwrap();
        assert_eq!(answer["MOD"]["nope"], Value::Null);
        assert_eq!(answer["MOD"]["a"]["value"], 1);
    }
}

fn is_answer(output: &Output) -> bool {
    matches!(output, Output::Whisper { octets, .. } if octets.windows(6).any(|part| part == b"\"nope\""))
}

#[test]
fn an_event_without_a_value_has_one_for_old_peers() {
    for (kind, expected) in [(OLD, Some(json!(false))), (EXTENDED, None)] {
        let mesh = Mesh::met(2, kind, |node| {
            node.publish(root("bang"), Capability::event("bool"))
                .unwrap()
        });
        assert_eq!(
            mesh.nodes[1].remote(id(1)).unwrap().root().capabilities["bang"].value,
            expected
        );
    }
}

// protocol.md §4.6
#[test]
fn what_a_node_of_ours_tells_of_an_object_stays_there() {
    let mut mesh = Mesh::met(2, EXTENDED, |node| {
        let o = "o".parse().unwrap();
        node.publish(root("a"), int("rw", 1)).unwrap();
        node.set_data(&ObjectPath::root(), "b", 1.into()).unwrap();
        node.set_object(&o, "camera").unwrap();
    });
    let o = "o".parse().unwrap();
    let node = mesh.node(1);
    node.set_data(&o, "a", Value::Null).unwrap();
    node.set_data(&o, "b", 2.into()).unwrap();
    mesh.settle();
    assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
}

#[test]
fn a_peer_that_enters_again_is_a_new_one() {
    let mut mesh = told(r#"{"MOD": {"a": {"value": 1}}}"#);
    let now = mesh.now;
    mesh.node(1).peer_entered(now, id(2), OLD);
    assert!(mesh.nodes[0].remote(id(2)).is_none());
    let asked = mesh.sent(1, 2);
    assert!(asked[0].starts_with("{\"GET\": null, \"SUB\""), "{asked:?}");
}
