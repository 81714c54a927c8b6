//! Limits, and whatever octets may come.

use proptest::prelude::*;

use super::*;
use crate::Access;
use crate::{JsonError, TreeError};

#[test]
fn the_trees_of_all_peers_have_bounds_together() {
    let mut mesh = Mesh::met(3, OLD, |_| {});
    let limits = &mut mesh.node(1).limits;
    (limits.trees_size_max, limits.all_objects_max) = (8000, 3);
    let objects = |names: &[&str]| {
        let objects: Vec<_> = names
            .iter()
            .map(|name| format!(r#""{name}": {{}}"#))
            .collect();
        format!(r#"{{"MOD": {{"objects": {{{}}}}}}}"#, objects.join(","))
    };
    mesh.hear(1, 2, &objects(&["a", "b"])).unwrap();
    let refused = mesh.hear(1, 3, &objects(&["a", "b"]));
    assert_eq!(
        refused,
        Err(MessageError::Tree(TreeError::TooManyObjects { max: 1 }))
    );
    mesh.hear(1, 3, &objects(&["a"])).unwrap();
    let large = format!(r#"{{"MOD": {{"a": {{"value": "{}"}}}}}}"#, "x".repeat(4000));
    mesh.hear(1, 2, &large).unwrap();
    assert!(matches!(
        mesh.hear(1, 3, &large),
        Err(MessageError::Tree(TreeError::TooLarge { .. }))
    ));
    // What replaces is taken, and who leaves makes room.
    mesh.hear(1, 2, &large).unwrap();
    let now = mesh.now;
    mesh.node(1).peer_left(now, id(2));
    mesh.hear(1, 3, &large).unwrap();
    let node = mesh.node(1);
    assert_eq!(node.held, node.remote(id(3)).unwrap().held());
}

#[test]
fn what_exceeds_a_limit_is_refused_and_the_tree_stays() {
    let mut mesh = Mesh::met(2, OLD, |node| {
        node.publish(root("a"), int("re", 1)).unwrap()
    });
    let limits = &mut mesh.node(2).limits;
    (
        limits.message_len_max,
        limits.message_size_max,
        limits.tree_size_max,
    ) = (2000, 5000, 1500);
    let long = format!(r#"{{"SIG": ["a", "{}"]}}"#, "x".repeat(2000));
    assert!(matches!(
        mesh.hear(2, 1, &long),
        Err(MessageError::TooLong { max: 2000, .. })
    ));
    let wide = format!(r#"{{"SIG": ["a", [{}]]}}"#, ["1"; 200].join(","));
    assert_eq!(
        mesh.hear(2, 1, &wide),
        Err(MessageError::Json(JsonError::TooLarge(5000)))
    );
    let large = format!(r#"{{"SIG": ["a", [{}]]}}"#, ["1"; 40].join(","));
    assert_eq!(
        mesh.hear(2, 1, &large),
        Err(MessageError::Tree(TreeError::TooLarge { max: 1500 }))
    );
    let large = format!(r#"{{"MOD": {{"b": [{}]}}}}"#, ["1"; 40].join(","));
    assert_eq!(
        mesh.hear(2, 1, &large),
        Err(MessageError::Tree(TreeError::TooLarge { max: 1500 }))
    );
    let deep = format!(
        r#"{{"SIG": ["a", {}{}]}}"#,
        "[".repeat(900),
        "]".repeat(900)
    );
    assert_eq!(
        mesh.hear(2, 1, &deep),
        Err(MessageError::Json(JsonError::TooDeep(67)))
    );
    assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
}

// protocol.md §5.10
#[test]
fn one_broken_value_does_not_cost_a_tree() {
    let mut mesh = Mesh::met(2, OLD, |_| {});
    let lists = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    // Too deep for a message, too deep for a tree, and as deep as may be.
    let (message, tree, fits) = (lists(100), lists(64), lists(62));
    let name = "n".repeat(1025);
    let text = format!(
        r#"{{"MOD": {{"a": {{"value": {message}, "access": "r"}}, "b": {{"value": {tree}, "access": "r"}},
            "c": {{"value": {fits}}}, "{name}": 1, "d": {{"value": "x", "access": "r"}},
            "objects": {{"o": {{"e": {{"value": oops, "access": "rw"}}, "f": {{"value": 1}}}}}}}}}}"#
    );
    mesh.hear(1, 2, &text).unwrap();
    let told = mesh.events(1);
    let ignored = |wanted: fn(&Ignored) -> bool| {
        let is_it =
            |event: &Event| matches!(event, Event::Ignored { reason, .. } if wanted(reason));
        assert!(told.iter().any(is_it), "{told:?}");
    };
    ignored(|reason| matches!(reason, Ignored::Flawed(flaws) if flaws.count == 2));
    ignored(|reason| matches!(reason, Ignored::Pruned(3)));
    let tree = mesh.nodes[0].remote(id(2)).unwrap();
    let names: Vec<_> = tree
        .capabilities()
        .map(|(path, _)| path.to_string())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "o.e", "o.f"]);
    // What is not text is taken, too, and what begins with a byte order mark.
    let (now, peer) = (mesh.now, id(2));
    let mut hear = |octets: &[u8]| mesh.node(1).handle_message(now, peer, octets);
    let octets = b"\xef\xbb\xbf{\"MOD\": {\"d\": {\"value\": \"caf\xe9\"}, \"g\": {\"value\": 1}}}";
    assert_eq!(hear(octets), Ok(true));
    // A later whole tree goes the same way; a list whose parts are broken is nothing.
    assert_eq!(hear(text.as_bytes()), Ok(true));
    let broken = hear(br#"{"SIG": ["d", oops], "MOD": {"h": {"value": 1}}}"#);
    assert!(
        matches!(broken, Err(MessageError::Json(JsonError::Syntax(_)))),
        "{broken:?}"
    );
    let tree = mesh.nodes[0].remote(id(2)).unwrap();
    assert_eq!(tree.root().capabilities["d"].value, Some(Value::from("x")));
    assert!(tree.root().capabilities.contains_key("h"));
}

/// A list in lists, so many in all.
fn nested_lists(depth: usize) -> Value {
    (1..depth).fold(Value::from(Vec::<Value>::new()), |inner, _| {
        Value::from(vec![inner])
    })
}

#[test]
fn what_is_as_deep_as_may_be_is_told_and_no_deeper() {
    let mut mesh = Mesh::met(2, EXTENDED, |node| {
        let list = Capability::new(Access::READ | Access::WRITE | Access::EMIT, nested_lists(1));
        node.publish(root("a"), list.clone()).unwrap();
        node.publish("o.b".parse().unwrap(), list).unwrap();
        let any = crate::Argument::default();
        let method = Method::new(vec![any.clone()], vec![any], None);
        let root = ObjectPath::root();
        node.publish_method(&root, "m", &method).unwrap();
    });
    for (path, depth) in [("a", 62), ("o.b", 60)] {
        let path: CapPath = path.parse().unwrap();
        let set = |mesh: &mut Mesh, depth| mesh.node(1).set_value(&path, nested_lists(depth));
        set(&mut mesh, depth).unwrap();
        mesh.settle();
        assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
        let refused = set(&mut mesh, depth + 1);
        assert!(matches!(refused, Err(PublishError::Tree(_))), "{refused:?}");
    }
    mesh.hear(1, 2, "{\"GET\": null}").unwrap();
    mesh.settle();
    mesh.clear();

    let (now, later) = (mesh.now, mesh.now + std::time::Duration::from_secs(1));
    let node = mesh.node(2);
    let mut call = |depth| {
        let args = vec![nested_lists(depth)];
        node.call(now, id(1), &ObjectPath::root(), "m", args, later)
    };
    assert_eq!(call(65), Err(CallError::TooDeep));
    let call = call(64).unwrap();
    let Some(Event::Called {
        id: Some(asked), ..
    }) = mesh.events(1).pop()
    else {
        panic!("not called");
    };
    let result = Ok(vec![nested_lists(65)]);
    mesh.node(1).reply(id(2), asked, result).unwrap();
    let events = mesh.events(2);
    let [
        Event::CallDone {
            id,
            result: Err(CallFailure::Remote { error, .. }),
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (*id, error.as_str()),
        (call, "org.freedesktop.DBus.Error.LimitsExceeded")
    );
}

// protocol.md §5.1
#[test]
fn verbs_around_a_malformed_one_are_handled() {
    let mut mesh = Mesh::met(2, OLD, |_| {});
    let text = r#"{"MOD": {"a": {"value": 1}}, "SIG": 5, "MOD": {"b": {"value": 2}}}"#;
    assert!(matches!(
        mesh.hear(1, 2, text),
        Err(MessageError::Shape { verb: "SIG", .. })
    ));
    assert_eq!(mesh.nodes[0].remote(id(2)).unwrap().capability_count(), 2);
}

#[test]
fn a_message_of_nobody_is_refused() {
    let mut mesh = Mesh::new(1);
    assert_eq!(
        mesh.hear(1, 5, "{\"GET\": null}"),
        Err(MessageError::UnknownPeer)
    );
    assert_eq!(mesh.hear(1, 5, "hello"), Ok(false));
}

/// Messages that are almost right, between two nodes and a third.
fn any_message() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("\"a\""),
        Just("\"b\""),
        Just("\"o.c\""),
        Just("null"),
        Just("5")
    ];
    let node = (1u8..5).prop_map(|n| format!("\"{}\"", id(n)));
    let value = prop_oneof![
        Just("1"),
        Just("true"),
        Just("\"x\""),
        Just("[1,2]"),
        Just("{\"k\":1}"),
        Just("null"),
        Just("NaN")
    ];
    let verb = prop_oneof![
        Just("GET"),
        Just("SET"),
        Just("MOD"),
        Just("SUB"),
        Just("UNSUB"),
        Just("CALL"),
        Just("REP"),
        Just("SIG")
    ];
    let payload = prop_oneof![
        (node.clone(), name.clone(), node, name.clone())
            .prop_map(|(a, b, c, d)| format!("[{a},{b},{c},{d}]")),
        (name.clone(), value.clone()).prop_map(|(a, b)| format!("[{a},{b}]")),
        value.clone().prop_map(|v| format!(
            "{{\"a\":{{\"value\":{v}}},\"objects\":{{\"o\":{{\"c\":{{\"value\":{v}}}}}}}}}"
        )),
        (name, 0u8..4).prop_map(|(name, id)| format!("[{name},[1],{{\"id\":{id}}}]")),
        value.prop_map(str::to_owned),
    ];
    (verb, payload).prop_map(|(verb, payload)| format!("{{\"{verb}\": {payload}}}"))
}

proptest! {
    /// And what the other two make of it is at least well-formed: [`Mesh::deliver`] asserts it.
    #[test]
    fn whatever_a_peer_says_the_others_come_to_rest(messages in proptest::collection::vec((any_message(), 1u8..3), 1..40)) {
        let mut mesh = Mesh::new(3);
        for n in [1, 2] {
            mesh.node(n).publish(root("a"), int("rwes", 1)).unwrap();
            mesh.node(n).publish("o.c".parse().unwrap(), Capability::new(Access::READ | Access::WRITE | Access::EMIT | Access::SENSE, "x")).unwrap();
            mesh.node(n).publish_method(&ObjectPath::root(), "a", &Method::default()).unwrap();
        }
        mesh.meet(EXTENDED);
        for (text, at) in messages {
            let _ = mesh.hear(at, 3, &text);
            mesh.settle();
        }
    }

    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut mesh = Mesh::met(2, OLD, |_| {});
        let now = mesh.now;
        let _ = mesh.node(1).handle_message(now, id(2), &octets);
        let _ = mesh.node(1).handle_message(now, id(2), &[b"{\"MOD\":", octets.as_slice()].concat());
    }
}
