mod calls;
mod circles;
mod publishing;
mod quirks;
mod recordings;
mod robust;
mod wires;

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::{Capability, Change, CheckError, Method, ObjectPath, Value};

const OLD: PeerKind = PeerKind {
    zocp: true,
    extended: false,
};
const EXTENDED: PeerKind = PeerKind {
    zocp: true,
    extended: true,
};
const FOREIGN: PeerKind = PeerKind {
    zocp: false,
    extended: false,
};

fn id(n: u8) -> NodeId {
    NodeId::new([n; 16])
}

/// Some models on a perfect network: what one whispers the other gets at once.
struct Mesh {
    now: Instant,
    nodes: Vec<Model>,
    events: Vec<(NodeId, Event)>,
    /// What went over the network: from, to, message.
    wire: Vec<(NodeId, NodeId, String)>,
}

impl Mesh {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(count: u8) -> Self {
        let nodes = (1..=count)
            .map(|n| Model::new(id(n), Limits::default()))
            .collect();
        Self {
            now: Instant::now(),
            nodes,
            events: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// A mesh in which all met, with this to publish at node 1.
    fn met(count: u8, kind: PeerKind, publish: impl FnOnce(&mut Model)) -> Self {
        let mut mesh = Self::new(count);
        publish(mesh.node(1));
        mesh.meet(kind);
        mesh.clear();
        mesh
    }

    fn meet(&mut self, kind: PeerKind) {
        let ids: Vec<_> = self.nodes.iter().map(Model::id).collect();
        for node in &mut self.nodes {
            let me = node.id();
            ids.iter()
                .filter(|id| **id != me)
                .for_each(|id| node.peer_entered(self.now, *id, kind));
        }
        self.settle();
    }

    fn node(&mut self, n: u8) -> &mut Model {
        &mut self.nodes[usize::from(n) - 1]
    }

    fn clear(&mut self) {
        self.events.clear();
        self.wire.clear();
    }

    /// Delivers until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut idle = true;
            for n in 0..self.nodes.len() {
                while let Some(output) = self.nodes[n].poll_output() {
                    idle = false;
                    self.deliver(self.nodes[n].id(), output);
                }
            }
            if idle {
                return;
            }
        }
        panic!("the mesh does not come to rest");
    }

    fn deliver(&mut self, from: NodeId, output: Output) {
        match output {
            Output::Event(event) => self.events.push((from, without_cause(event))),
            Output::Whisper { peer, octets } => {
                let now = self.now;
                self.wire
                    .push((from, peer, String::from_utf8(octets.clone()).unwrap()));
                if let Some(node) = self.nodes.iter_mut().find(|node| node.id() == peer) {
                    assert_eq!(node.handle_message(now, from, &octets), Ok(true));
                }
            }
        }
    }

    /// The events of a node since the last look, local bookkeeping left out.
    fn events(&mut self, n: u8) -> Vec<Event> {
        self.settle();
        let (mine, rest) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|(node, _)| *node == id(n));
        self.events = rest;
        let mine: Vec<(NodeId, Event)> = mine;
        mine.into_iter()
            .map(|(_, event)| event)
            .filter(|event| !matches!(event, Event::LocalChanged { .. }))
            .collect()
    }

    /// What a node whispered, without what it says of its tree.
    fn sent(&mut self, from: u8, to: u8) -> Vec<String> {
        self.settle();
        let between = |(f, t, _): &&(NodeId, NodeId, String)| *f == id(from) && *t == id(to);
        self.wire
            .iter()
            .filter(between)
            .map(|(_, _, text)| text.clone())
            .collect()
    }

    /// Hands a message to a node as if from another.
    fn hear(&mut self, at: u8, from: u8, text: &str) -> Result<bool, MessageError> {
        let now = self.now;
        self.node(at).handle_message(now, id(from), text.as_bytes())
    }
}

/// An event as these tests compare it.
fn without_cause(mut event: Event) -> Event {
    match &mut event {
        Event::Emitted { cause, .. }
        | Event::Set { cause, .. }
        | Event::LocalEmitted { cause, .. }
        | Event::LocalSensed { cause, .. } => *cause = None,
        _ => {}
    }
    event
}

fn root(name: &str) -> CapPath {
    CapPath::root(name)
}

fn int(access: &str, value: i64) -> Capability {
    Capability::new(access.parse().unwrap(), value)
}

// protocol.md §5.6
#[test]
fn a_node_that_enters_is_asked_and_followed() {
    let mut mesh = Mesh::new(2);
    mesh.node(1).publish(root("dim"), int("rwe", 5)).unwrap();
    mesh.meet(OLD);
    assert_eq!(
        mesh.sent(2, 1)[0],
        format!(
            "{{\"GET\": null, \"SUB\": [\"{}\",null,\"{}\",null]}}",
            id(1),
            id(2)
        )
    );
    assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
    assert!(mesh.events(2).contains(&Event::TreeKnown { peer: id(1) }));
}

#[test]
fn nothing_changes_unheard_between_the_question_and_the_subscription() {
    let mut mesh = Mesh::new(2);
    let now = mesh.now;
    mesh.node(2).peer_entered(now, id(1), EXTENDED);
    mesh.node(1).peer_entered(now, id(2), EXTENDED);
    let Some(Output::Whisper { octets, .. }) = mesh.node(2).poll_output() else {
        panic!("not asked");
    };
    let node = mesh.node(1);
    assert_eq!(node.handle_message(now, id(2), &octets), Ok(true));
    node.publish(root("dim"), int("rwe", 5)).unwrap();
    mesh.settle();
    assert_eq!(mesh.nodes[1].remote(id(1)), Some(mesh.nodes[0].local()));
}

#[test]
fn others_are_not_asked_but_are_answered() {
    let mut mesh = Mesh::new(2);
    mesh.meet(FOREIGN);
    assert!(mesh.wire.is_empty());
    mesh.hear(1, 2, "{\"GET\": null}").unwrap();
    assert_eq!(
        mesh.node(1).poll_output(),
        Some(Output::Whisper {
            peer: id(2),
            octets: b"{\"MOD\": {}}".to_vec()
        })
    );
    mesh.hear(1, 2, "{\"MOD\": {}}").unwrap();
    assert_eq!(
        mesh.node(1).poll_output(),
        Some(Output::Event(Event::Ignored {
            peer: id(2),
            reason: Ignored::NotZocp
        }))
    );
    let now = mesh.now;
    let mut shy = Model::new(id(9), Limits::default()).with_follow(Follow::Nobody);
    shy.peer_entered(now, id(1), OLD);
    assert_eq!(shy.poll_output(), None);
}

#[test]
fn a_value_travels_as_state_and_an_emission_as_event_too() {
    let mut mesh = Mesh::met(2, OLD, |node| {
        node.publish(root("dim"), int("rwe", 5)).unwrap();
        node.publish(root("level"), int("rw", 5)).unwrap();
    });
    mesh.node(1).set_value(&root("level"), 6.into()).unwrap();
    mesh.node(1).emit(&root("dim"), 5.into()).unwrap();
    mesh.node(1).emit(&root("dim"), 7.into()).unwrap();
    let changed = |path: &str, value: i64| Event::Changed {
        peer: id(1),
        changes: vec![Change::Value {
            path: root(path),
            value: value.into(),
        }],
    };
    let emitted = |value: i64| Event::Emitted {
        peer: id(1),
        path: root("dim"),
        value: value.into(),
        cause: None,
    };
    assert_eq!(
        mesh.events(2),
        [
            changed("level", 6),
            emitted(5),
            changed("dim", 7),
            emitted(7)
        ]
    );
    assert_eq!(
        mesh.sent(1, 2),
        [
            "{\"SIG\": [\"level\", 6]}",
            "{\"SIG\": [\"dim\", 5]}",
            "{\"SIG\": [\"dim\", 7]}"
        ]
    );
}

#[test]
fn an_equal_value_is_told_when_emitted_and_not_when_set() {
    let mut mesh = Mesh::met(2, OLD, |node| {
        node.publish(root("dim"), int("rwe", 5)).unwrap()
    });
    mesh.node(1).set_value(&root("dim"), 5.into()).unwrap();
    assert!(mesh.sent(1, 2).is_empty());
    let silent = mesh.node(1).emit(&root("nope"), 5.into());
    assert_eq!(silent, Err(PublishError::UnknownCapability));
}

#[test]
fn values_in_objects_travel_as_modifications() {
    let path: CapPath = "cam.pan.angle".parse().unwrap();
    let mut mesh = Mesh::met(2, OLD, |node| {
        node.publish("cam.pan.angle".parse().unwrap(), int("re", 1))
            .unwrap()
    });
    mesh.node(1).emit(&path, 2.into()).unwrap();
    mesh.node(1).emit(&path, 2.into()).unwrap();
    let text = r#"{"MOD": {"objects":{"cam":{"objects":{"pan":{"angle":{"value":2}}}}}}}"#;
    assert_eq!(mesh.sent(1, 2), [text, text]);
    let events = mesh.events(2);
    assert!(matches!(
        &events[..],
        [
            Event::Changed { .. },
            Event::Emitted { .. },
            Event::Emitted { .. }
        ]
    ));
    assert_eq!(
        mesh.nodes[1]
            .remote(id(1))
            .unwrap()
            .object(&"cam".parse().unwrap())
            .unwrap()
            .kind(),
        Some("Unknown")
    );
}

// protocol.md §5.3, §5.7
#[test]
fn a_set_is_checked_applied_at_once_and_told_to_all_but_the_setter() {
    let mut mesh = Mesh::met(3, OLD, |node| {
        node.publish(root("dim"), int("rw", 5).with_range(0, 10))
            .unwrap();
    });
    mesh.node(2).set(id(1), &root("dim"), 7.into()).unwrap();
    assert_eq!(
        mesh.nodes[1]
            .remote(id(1))
            .unwrap()
            .capability(&root("dim"))
            .unwrap()
            .value,
        Some(7.into())
    );
    assert!(matches!(&mesh.events(2)[..], [Event::Changed { .. }]));
    assert_eq!(
        mesh.events(1),
        [Event::LocalSet {
            peer: id(2),
            path: root("dim"),
            value: 7.into()
        }]
    );
    assert_eq!(mesh.sent(1, 2), [""; 0]);
    assert_eq!(mesh.sent(1, 3), ["{\"SIG\": [\"dim\", 7]}"]);
    let node = mesh.node(2);
    let range = CheckError::OutOfRange {
        min: Some(0.into()),
        max: Some(10.into()),
    };
    assert_eq!(
        node.set(id(1), &root("dim"), 11.into()),
        Err(SetError::Value(range))
    );
    assert!(matches!(
        node.set(id(1), &root("dim"), "x".into()),
        Err(SetError::Value(CheckError::WrongType { .. }))
    ));
    assert_eq!(
        node.set(id(1), &root("nope"), 1.into()),
        Err(SetError::UnknownCapability)
    );
    assert_eq!(
        node.set(id(7), &root("dim"), 1.into()),
        Err(SetError::NodeGone)
    );
}

#[test]
fn what_a_peer_may_not_set_is_refused_and_an_extended_one_is_corrected() {
    let mut mesh = Mesh::met(2, EXTENDED, |node| {
        node.publish(root("dim"), int("rw", 5).with_range(0, 10))
            .unwrap();
        node.publish(root("fixed"), int("r", 1)).unwrap();
    });
    let set = r#"{"SET": {"dim": {"value": 11, "access": "r"}, "fixed": {"value": 2}, "new": {"value": 1}, "objects": {"x": {"y": 1}}}}"#;
    assert_eq!(mesh.hear(1, 2, set), Ok(true));
    let reasons: Vec<_> = mesh
        .events(1)
        .into_iter()
        .map(|event| match event {
            Event::Ignored { reason, .. } => reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        matches!(&reasons[..], [
        Ignored::Refused { cause: CheckError::OutOfRange { .. }, .. },
        Ignored::NotAValue(_),
        Ignored::Refused { cause: CheckError::NotWritable, .. },
        Ignored::UnknownCapability(new),
        Ignored::UnknownCapability(nested),
    ] if new == "new" && nested == "x.y"),
        "{reasons:?}"
    );
    assert_eq!(
        mesh.sent(1, 2),
        [r#"{"ACK": {"dim":{"value":5},"fixed":{"value":1},"new":{}}}"#]
    );
    assert!(mesh.nodes[0].local().resolve("new").is_none());
}

// protocol.md §6.7
#[test]
fn whoever_sets_at_the_same_time_all_end_on_the_value_that_holds() {
    let pan: CapPath = "camera.pan".parse().unwrap();
    let mut mesh = Mesh::met(3, EXTENDED, |node| {
        node.publish(root("dim"), int("rwe", 0)).unwrap();
        node.publish(pan.clone(), int("rw", 0)).unwrap();
    });
    for path in [root("dim"), pan] {
        // All before anything is delivered.
        for (n, value) in [(2, 20), (3, 30), (3, 31), (2, 21), (3, 32)] {
            mesh.node(n).set(id(1), &path, value.into()).unwrap();
        }
        mesh.node(1).set_value(&path, 10.into()).unwrap();
        mesh.settle();
        let value = |tree: &Tree| tree.capability(&path).unwrap().value.clone();
        let holds = value(mesh.nodes[0].local());
        for n in [2, 3] {
            assert_eq!(value(mesh.node(n).remote(id(1)).unwrap()), holds, "{n}");
            assert!(mesh.node(n).peers[&id(1)].sets.is_empty());
        }
    }
    // An old peer is told nothing that it does not know.
    let mut mesh = Mesh::met(2, OLD, |node| {
        node.publish(root("dim"), int("rw", 0)).unwrap();
    });
    mesh.node(2).set(id(1), &root("dim"), 1.into()).unwrap();
    mesh.settle();
    assert_eq!(mesh.sent(1, 2), [""; 0]);
}
