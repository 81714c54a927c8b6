//! Against what pyZOCP was recorded to say.

use super::*;
use crate::Access;

/// The node that was recorded.
const NODE: &str = "ba4b7e4398974a17b7a086acce19872f";

fn lines() -> Vec<Value> {
    let text = include_str!("../../../../../tests/vectors/zocp/pyzocp.jsonl");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn said(lines: &[Value]) -> impl Iterator<Item = &str> {
    lines
        .iter()
        .flat_map(|line| line["from"].as_array().unwrap().iter().map(text))
}

#[test]
fn everything_that_pyzocp_says_is_understood() {
    let (lines, peer) = (lines(), NODE.parse().unwrap());
    let mut mesh = Mesh::new(1);
    let now = mesh.now;
    let model = mesh.node(1);
    model.peer_entered(now, peer, OLD);
    let mut last = Value::Null;
    for message in said(&lines) {
        assert_eq!(
            model.handle_message(now, peer, message.as_bytes()),
            Ok(true),
            "{message}"
        );
        last = serde_json::from_str(message).unwrap();
    }
    assert_eq!(model.remote(peer).unwrap().to_json(), last["MOD"]);
    let ignored = std::iter::from_fn(|| model.poll_output())
        .filter(|output| matches!(output, Output::Event(Event::Ignored { .. })))
        .collect::<Vec<_>>();
    assert_eq!(
        ignored,
        [],
        "the bogus SET after a GET is no reason to complain"
    );
    let n: CapPath = "Cam.n".parse().unwrap();
    assert_eq!(
        model.remote(peer).unwrap().capability(&n).unwrap().value,
        Some(7.into())
    );
}

#[test]
fn the_same_node_made_of_ours_shows_the_same_tree() {
    let mut model = Model::new(NODE.parse().unwrap(), Limits::default());
    let step = |capability: Capability, step: Value| capability.with_step(step);
    let max = |capability: Capability, max: Value| capability.with(|info| info.max = Some(max));
    let min = |capability: Capability, min: Value| capability.with(|info| info.min = Some(min));
    let cam = ObjectPath::root().child("Cam");
    let mut publish = |path, capability| model.publish(path, capability).unwrap();
    publish(
        root("myBool"),
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, true),
    );
    publish(
        root("myFloat"),
        step(
            max(
                Capability::new(Access::READ | Access::WRITE | Access::SENSE, 2.3),
                json!(5.0),
            ),
            json!(0.1),
        ),
    );
    publish(
        root("myInt"),
        step(
            Capability::new(
                Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
                10,
            )
            .with_range(-10, 10),
            json!(1),
        ),
    );
    publish(
        root("myPercent"),
        Capability::new(Access::READ | Access::WRITE, 12).with_hint("percent"),
    );
    publish(
        root("myVec2"),
        min(
            Capability::new(
                Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
                vec![0, 0],
            ),
            json!([0, 0]),
        ),
    );
    publish(
        root("My String"),
        Capability::new(Access::READ | Access::WRITE, "héllo"),
    );
    publish(
        cam.capability("location"),
        Capability::new(Access::READ | Access::EMIT, vec![0, 1, 2]),
    );
    publish(
        cam.capability("n"),
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, 1),
    );
    model.set_object(&cam, "BPY_Camera").unwrap();
    model
        .set_data(&ObjectPath::root(), "_location", json!([1, 2, 3]))
        .unwrap();

    let recorded: Value = serde_json::from_str(said(&lines()).nth(1).unwrap()).unwrap();
    let peer = id(2);
    let mesh = Mesh::new(0);
    model.peer_entered(mesh.now, peer, OLD);
    while model.poll_output().is_some() {}
    model
        .handle_message(mesh.now, peer, b"{\"GET\": null}")
        .unwrap();
    let Some(Output::Whisper { octets, .. }) = model.poll_output() else {
        panic!()
    };
    assert_eq!(serde_json::from_slice::<Value>(&octets).unwrap(), recorded);
}

#[test]
fn what_made_pyzocp_raise_is_refused_or_ignored_here() {
    let mut mesh = Mesh::new(2);
    mesh.meet(OLD);
    mesh.clear();
    assert_eq!(mesh.hear(1, 2, "not json"), Ok(false));
    assert_eq!(mesh.hear(1, 2, "[1,2]"), Ok(false));
    assert_eq!(mesh.hear(1, 2, r#"{"FOO": 1}"#), Ok(false));
    assert_eq!(mesh.hear(1, 2, r#"{"SIG": ["unknown", 5]}"#), Ok(true));
    assert_eq!(mesh.hear(1, 2, r#"{"GET": null, "FOO": 1}"#), Ok(true));
    assert!(matches!(
        mesh.hear(1, 2, r#"{"SUB": ["zz", "myBool", "zz", null]}"#),
        Err(MessageError::Shape { .. })
    ));
    let reasons: Vec<_> = mesh.events(1);
    assert_eq!(
        reasons,
        [
            Event::Ignored {
                peer: id(2),
                reason: Ignored::UnknownEmitter("unknown".into())
            },
            Event::Ignored {
                peer: id(2),
                reason: Ignored::UnknownVerb("FOO".into())
            },
        ]
    );
}
