#![allow(clippy::disallowed_methods, reason = "a test begins at some time")]

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::{Access, Event, Model, NodeId, Output, PeerKind};

const GATE: NodeId = NodeId::new([1; 16]);
const FADER: NodeId = NodeId::new([2; 16]);
const FAR: NodeId = NodeId::new([3; 16]);
const SCOPE: Scope = scope(true);

const fn scope(is_extended: bool) -> Scope {
    Scope {
        is_extended,
        with_services: false,
    }
}

/// A node that follows a fader, and the events that it has of it since they were looked at.
fn follower(me: NodeId, is_extended: bool, tree: &[u8]) -> (Model, Instant) {
    let (now, mut model) = (Instant::now(), Model::new(me, Limits::default()));
    let kind = PeerKind {
        zocp: true,
        extended: is_extended,
    };
    model.peer_entered(now, FADER, kind);
    model.handle_message(now, FADER, tree).unwrap();
    events(&mut model);
    (model, now)
}

fn events(model: &mut Model) -> Vec<Event> {
    let outputs = std::iter::from_fn(|| model.poll_output());
    let events = outputs.filter_map(|output| match output {
        Output::Event(event) => Some(event),
        Output::Whisper { .. } => None,
    });
    events.collect()
}

/// What follows the fader through another node, which follows it itself.
struct Relay {
    near: Model,
    far: Model,
    now: Instant,
    is_extended: bool,
}

impl Relay {
    fn new(is_extended: bool, whole: &Value) -> Self {
        let (near, now) = follower(
            GATE,
            is_extended,
            json!({"MOD": whole}).to_string().as_bytes(),
        );
        let told = tree(near.remote(FADER).unwrap(), scope(is_extended));
        let (far, _) = follower(FAR, true, &told);
        Self {
            near,
            far,
            now,
            is_extended,
        }
    }

    /// The fader sends a message; returns what the far end has of it.
    fn says(&mut self, message: &Value) -> Vec<Event> {
        let octets = message.to_string();
        self.near
            .handle_message(self.now, FADER, octets.as_bytes())
            .unwrap();
        for event in events(&mut self.near) {
            match event {
                Event::Changed { changes, .. } => {
                    let told = changed(&changes, scope(self.is_extended));
                    for patch in told.patches {
                        self.hears(&patch);
                    }
                    for (path, value) in told.states {
                        self.hears(&state(&path, Some(&value)));
                    }
                }
                Event::Emitted {
                    path, value, cause, ..
                } => self.hears(&emission(&path, &value, cause.as_ref())),
                other => panic!("{other:?}"),
            }
        }
        events(&mut self.far)
    }

    fn hears(&mut self, octets: &[u8]) {
        self.far.handle_message(self.now, FADER, octets).unwrap();
    }

    fn is_same(&self) {
        let both = [&self.near, &self.far].map(|model| tree(model.remote(FADER).unwrap(), SCOPE));
        assert_eq!(
            String::from_utf8_lossy(&both[0]),
            String::from_utf8_lossy(&both[1])
        );
    }
}

fn emissions(events: &[Event]) -> Vec<Value> {
    let values = events.iter().filter_map(|event| match event {
        Event::Emitted { value, .. } => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

#[test]
fn an_old_node_is_the_same_at_the_far_end_and_its_emissions_arrive_once() {
    let whole = json!({
        "_name": "fader",
        "level": {"value": 0.5, "typeHint": "flt", "access": "re", "subscribers": [["ab", "c"]]},
        "objects": {"cam": {"pan": {"value": 1, "typeHint": "int", "access": "rwe"}}},
    });
    let mut relay = Relay::new(false, &whole);
    relay.is_same();
    let there = relay.far.remote(FADER).unwrap();
    let level = there.capability(&CapPath::root("level")).unwrap();
    assert_eq!(level.info.subscribers, None, "PASSING-1");

    for value in [0.75, 0.75] {
        let told = relay.says(&json!({"SIG": ["level", value]}));
        assert_eq!(emissions(&told), [json!(value)]);
    }
    let told = relay.says(&json!({"MOD": {"objects": {"cam": {"pan": {"value": 2}}}}}));
    assert_eq!(emissions(&told), [json!(2)]);
    relay.says(&json!({"MOD": {"tilt": {"value": 3, "access": "re"}, "type": "x"}}));
    relay.is_same();
}

#[test]
fn what_an_extended_node_removes_is_removed_at_the_far_end() {
    let whole = json!({
        "level": {"value": 0.5, "typeHint": "flt", "access": "re", "min": 0, "max": 1},
        "methods": {"go": {"in": [], "out": []}, "stop": {"in": [], "out": []}},
        "objects": {"cam": {"pan": {"value": 1, "access": "r"}, "objects": {"lens": {"zoom": {"value": 1, "access": "rw"}}}},
            "services": {"objects": {"org.example": {"type": "dbus-service"}}}},
        "sources": {"cam": {"framing": "octets"}},
    });
    let mut relay = Relay::new(true, &whole);
    relay.is_same();
    let far = relay.far.remote(FADER).unwrap();
    assert!(!far.root().objects.contains_key("services"), "PASSING-1");
    assert!(!far.root().data.contains_key("sources"), "PASSING-1");
    for message in [
        json!({"MOD": {"level": {"max": null, "step": 0.1}}}),
        json!({"MOD": {"objects": {"cam": {"objects": {"lens": null}}}}}),
        json!({"MOD": {"methods": {"go": null}, "note": "x"}}),
        json!({"MOD": {"note": null, "level": null}}),
        json!({"MOD": {"objects": {"cam": null, "dolly": {"at": {"value": [1, 2], "access": "rwe"}}}}}),
        json!({"MOD": {"objects": {"services": {"objects": {"b.c": {"type": "dbus-service"}}}}}}),
    ] {
        relay.says(&message);
        relay.is_same();
    }
    let far = relay.far.remote(FADER).unwrap();
    assert_eq!(far.root().objects.len(), 1);
}

#[test]
fn a_state_emits_nothing_and_a_cause_travels_with_an_emission() {
    let path = CapPath::root("level");
    let capability = Capability::new(Access::READ | Access::EMIT, 0.5);
    let added = Change::CapabilityAdded {
        path: path.clone(),
        capability,
    };
    let told = changed(&[added], SCOPE);
    assert_eq!(told.states, [(path.clone(), json!(0.5))], "PASSING-2");
    assert_eq!(told.patches.len(), 1);
    assert!(!String::from_utf8_lossy(&told.patches[0]).contains("0.5"));

    let cause =
        Cause::from_json(&json!({"touch": ["00000000000000000000000000000007", 1], "known": []}));
    let octets = emission(&path, &json!(1), cause.as_ref());
    let read = json::decode(&octets, &Limits::default()).unwrap();
    assert_eq!(message::cause(&read.entries).unwrap(), cause);
}

#[test]
fn what_is_asked_of_a_node_is_read() {
    let asked = json!({"SET": {"on": {"value": true}, "objects": {"cam": {"pan": {"value": 2}}}},
        "CALL": ["blink", [3], {"id": 7, "object": "cam"}], "GET": null});
    let asked = requests(asked.to_string().as_bytes(), &Limits::default()).unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.contains(&Request::Set {
        path: ObjectPath::root().child("cam").capability("pan"),
        value: json!(2),
        cause: None,
    }));
    assert!(asked.contains(&Request::Call {
        id: Some(7),
        object: ObjectPath::root().child("cam"),
        method: "blink".to_owned(),
        args: vec![json!(3)],
    }));
    for odd in ["", "[]", "{\"SET\": 3}", "{\"SET\": "] {
        assert!(
            requests(odd.as_bytes(), &Limits::default()).is_err(),
            "{odd}"
        );
    }
    let reply = reply(7, Err(("a.b".to_owned(), "no".to_owned())));
    assert_eq!(
        serde_json::from_slice::<Value>(&reply).unwrap(),
        json!({"REP": [7, null, {"error": "a.b", "message": "no"}]})
    );
}

#[test]
fn a_message_is_about_one_value_a_set_of_one_what_there_is_or_something_else() {
    let limits = Limits::default();
    let (root, deep) = (
        CapPath::root("level"),
        ObjectPath::root().child("cam").capability("pan"),
    );
    let cause =
        Cause::from_json(&json!({"touch": ["00000000000000000000000000000007", 1], "known": []}));
    for path in [&root, &deep] {
        for cause in [None, cause.as_ref()] {
            let octets = emission(path, &json!({"x": 1}), cause);
            assert_eq!(subject(&octets, &limits), Subject::Value(path.clone()));
        }
    }
    let of = |message: Value| subject(message.to_string().as_bytes(), &limits);
    assert_eq!(
        of(json!({"SET": {"level": {"value": 1}}})),
        Subject::Set(root)
    );
    for patch in [
        json!({"MOD": {"level": {"value": 1, "min": 0}}}),
        json!({"MOD": {"level": null}}),
        json!({"MOD": {"level": {"value": 1}, "note": "x"}}),
        json!({"MOD": {"a": {"value": 1}, "b": {"value": 1}}}),
    ] {
        assert_eq!(of(patch), Subject::Patch);
    }
    for other in [
        json!({"REP": [7, 1]}),
        json!({"ACK": {"level": {"value": 1}}}),
        json!({"SET": {"a": {"value": 1}, "b": {"value": 1}}}),
        json!({"SIG": ["level", 1], "GET": null}),
        json!({"SUB": null}),
        json!({}),
    ] {
        assert_eq!(of(other), Subject::Other);
    }
}
