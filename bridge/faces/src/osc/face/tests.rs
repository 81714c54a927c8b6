use std::{collections::HashSet, time::Duration};

use serde_json::json;

use super::*;
use crate::osc::{
    matches::PATTERNS_MAX,
    outbox::{HOLD, TICK},
    packet::{AT_ONCE, decode},
    space::tests::{peer, tree},
};

struct Rig {
    face: Face,
    now: Now,
}

impl Rig {
    /// A lamp, and two destinations: 1 at 10.0.0.1:9000, 2 a connection.
    fn new() -> Self {
        let now = Now {
            instant: Instant::now(),
            clock: 1000 << 32,
        };
        let mut face = Face::default();
        let name = "lamp".to_owned();
        face.mesh(
            now,
            MeshEvent::Entered {
                peer: peer(1),
                name,
            },
        );
        let tree = tree(json!({
            "level": {"value": 0.5, "typeHint": "flt", "access": "rwe", "min": 0, "max": 1},
            "count": {"value": 3, "typeHint": "int", "access": "re"},
            "go": {"typeHint": "int", "access": "we", "value": 0},
            "objects": {"pan": {"level": {"value": 0.1, "typeHint": "flt", "access": "rw"}}},
        }));
        let tree = Box::new(tree);
        face.mesh(
            now,
            MeshEvent::Tree {
                peer: peer(1),
                tree,
            },
        );
        face.add(
            now,
            1,
            Wants::Below(vec![]),
            Some("10.0.0.1:9000".parse().unwrap()),
        );
        face.add(now, 2, Wants::Below(vec!["/lamp/level".into()]), None);
        let mut rig = Self { face, now };
        rig.told(1);
        rig.told(2);
        rig.later(TICK);
        while rig.face.poll_output().is_some() {}
        rig
    }

    fn later(&mut self, by: Duration) {
        self.now.instant += by;
        self.now.clock += (by.as_nanos() as u64) * (1 << 32) / 1_000_000_000;
    }

    fn send(&mut self, source: Source, address: &str, args: &[Arg]) {
        self.send_at(AT_ONCE, source, &[(address, args)]);
    }

    fn send_at(&mut self, time: u64, source: Source, messages: &[(&str, &[Arg])]) {
        let messages: Vec<Message> = messages
            .iter()
            .map(|(address, args)| Message {
                address: (*address).into(),
                args: args.to_vec(),
            })
            .collect();
        for mut packet in packet::packets(&messages, 1400) {
            if packet.starts_with(b"#bundle") {
                packet[8..16].copy_from_slice(&time.to_be_bytes());
            }
            self.face.packet(self.now, source, &packet);
        }
    }

    fn sets(&mut self) -> Vec<(String, Value)> {
        let sets = std::iter::from_fn(|| self.face.next_set(self.now));
        sets.map(|set| (set.due.address.to_string(), set.due.value.1))
            .collect()
    }

    fn told(&mut self, id: Destination) -> Vec<(String, Vec<Arg>)> {
        let packets = self.face.packets(self.now, id, 1400);
        let groups = packets.iter().flat_map(|packet| decode(packet).unwrap());
        let messages = groups.flat_map(|group| group.messages);
        messages.map(|it| (it.address, it.args)).collect()
    }

    fn changed(&mut self, name: &str, value: Value) {
        let path = CapPath::root(name);
        self.face.mesh(
            self.now,
            MeshEvent::Emitted {
                peer: peer(1),
                path,
                value,
            },
        );
    }
}

fn from(address: &str) -> Source {
    Source::Datagram(address.parse().unwrap())
}

const TABLET: &str = "10.0.0.9:1234";

#[test]
fn a_message_sets_and_is_told_to_all_but_its_sender() {
    let mut rig = Rig::new();
    // From another port than it listens at.
    rig.send(from("10.0.0.1:5555"), "/lamp/level", &[Arg::Float(0.7)]);
    assert_eq!(rig.sets(), [("/lamp/level".into(), json!(0.7))]);
    rig.face.mesh(
        rig.now,
        MeshEvent::Set {
            peer: peer(1),
            path: CapPath::root("level"),
            value: json!(0.7),
        },
    );
    assert_eq!(rig.told(1), []);
    assert_eq!(rig.told(2), [("/lamp/level".into(), vec![Arg::Float(0.7)])]);
    rig.later(HOLD);
    assert_eq!(rig.told(1), [], "and not later either");
    rig.send(from(TABLET), "/lamp/level", &[Arg::Float(0.2)]);
    rig.changed("level", json!(0.2));
    assert_eq!(rig.told(1).len(), 1);
}

#[test]
fn what_is_refused_is_counted_answered_and_put_back() {
    let mut rig = Rig::new();
    let wrong: [(&str, &[Arg]); 5] = [
        ("/lamp/level", &[Arg::Float(1.5)]),
        ("/lamp/level", &[Arg::Text("x".into())]),
        ("/lamp/count", &[Arg::Int(1)]),
        ("/lamp/none", &[Arg::Int(1)]),
        ("/nobody/*", &[Arg::Int(1)]),
    ];
    for (address, args) in wrong {
        rig.send(Source::Connection(2), address, args);
        let Some(Output::Answer(2, answer)) = rig.face.poll_output() else {
            panic!("no answer for {address}")
        };
        let answer = &decode(&answer).unwrap()[0].messages[0];
        assert_eq!(answer.address, "/error");
        assert_eq!(answer.args[0], Arg::Text(address.into()));
    }
    rig.face.packet(rig.now, from(TABLET), b"rubbish");
    assert_eq!(rig.face.counts.refused, 6);
    assert_eq!(rig.sets(), []);
    rig.later(HOLD);
    assert_eq!(rig.told(2), [("/lamp/level".into(), vec![Arg::Float(0.5)])]);
}

#[test]
fn a_pattern_sets_what_can_be_set() {
    let mut rig = Rig::new();
    rig.send(from(TABLET), "//level", &[Arg::Float(0.25)]);
    let mut sets = rig.sets();
    sets.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        sets,
        [
            ("/lamp/level".into(), json!(0.25)),
            ("/lamp/pan/level".into(), json!(0.25))
        ]
    );
    rig.send(from(TABLET), "/lamp/*", &[Arg::Int(1)]);
    rig.later(TICK);
    assert_eq!(rig.sets().len(), 2, "not the count, which is read only");
    rig.send(from(TABLET), "/lamp/[", &[Arg::Int(1)]);
    assert_eq!(rig.face.counts.refused, 1);
}

#[test]
fn different_patterns_have_a_bound_in_a_second() {
    let mut rig = Rig::new();
    for number in 0..PATTERNS_MAX + 5 {
        rig.send(from(TABLET), &format!("/lamp/leve?/{number}"), &[]);
    }
    assert!(rig.face.counts.reason.contains("too many different ones"));
    rig.later(Duration::from_secs(1));
    rig.send(from(TABLET), "/lamp/leve?", &[Arg::Int(1)]);
    assert_eq!(rig.sets().len(), 1);
}

#[test]
fn what_the_patterns_of_a_packet_match_has_a_bound() {
    let mut rig = Rig::new();
    let (wide, name) = (peer(2), "wide".to_owned());
    rig.face
        .mesh(rig.now, MeshEvent::Entered { peer: wide, name });
    let one = json!({"value": 0, "typeHint": "int", "access": "rwe"});
    let all = (0..100).map(|number| (format!("c{number}"), one.clone()));
    let tree = Box::new(tree(Value::Object(all.collect())));
    rig.face.mesh(rig.now, MeshEvent::Tree { peer: wide, tree });
    let one = Message {
        address: "/wide/*".to_owned(),
        args: vec![Arg::Int(1)],
    };
    let mut send = |count: usize| {
        let messages = vec![one.clone(); count];
        let packets = packet::packets(&messages, 65_000);
        assert_eq!(packets.len(), 1);
        rig.face.packet(rig.now, from(TABLET), &packets[0]);
        rig.face.counts.refused
    };
    let taken = MATCHES_MAX / 100;
    assert_eq!(send(taken + 3), 3);
    assert_eq!(send(taken), 3, "another packet");
}

#[test]
fn a_bundle_waits_for_its_time_and_is_applied_as_a_whole() {
    let mut rig = Rig::new();
    let later = rig.now.clock + (1 << 32);
    let one = [Arg::Float(1.0)];
    rig.send_at(
        later,
        from(TABLET),
        &[("/lamp/level", &one), ("/lamp/pan/level", &one)],
    );
    assert_eq!(rig.sets(), []);
    let at = rig.face.schedule_timeout(rig.now).unwrap();
    assert_eq!(at, rig.now.instant + Duration::from_secs(1));
    rig.later(Duration::from_secs(1));
    rig.face.timeout(rig.now);
    assert_eq!(rig.sets().len(), 2);
    rig.send_at(
        rig.now.clock + (100 << 32),
        from(TABLET),
        &[("/lamp/level", &one), ("/lamp/level", &one)],
    );
    assert_eq!(rig.face.counts.refused, 1, "not in a hundred seconds");
}

#[test]
fn events_of_what_cannot_be_read_are_all_told_and_set() {
    let mut rig = Rig::new();
    for number in 0..3 {
        rig.send(from(TABLET), "/lamp/go", &[Arg::Int(number)]);
        rig.changed("go", json!(number));
    }
    assert_eq!(rig.sets().len(), 3);
    assert_eq!(rig.told(1).len(), 3);
    assert_eq!(rig.told(2), [], "which wants something else");
}

#[test]
fn a_listener_is_told_of_what_it_listens_for() {
    let mut rig = Rig::new();
    rig.face
        .add(rig.now, 3, Wants::Listed(HashSet::new()), None);
    rig.changed("level", json!(0.1));
    assert_eq!(rig.told(3), []);
    rig.face.listen(3, "/lamp/level", true);
    rig.changed("level", json!(0.2));
    assert_eq!(rig.told(3).len(), 1);
    rig.face.listen(3, "/lamp/level", false);
    rig.later(TICK);
    rig.changed("level", json!(0.3));
    assert_eq!(rig.told(3), []);
    for number in 0..=LISTENS_MAX {
        rig.face.listen(3, &format!("/{number}"), true);
    }
    rig.face.listen(3, "/lamp/level", true);
    rig.changed("level", json!(0.4));
    assert_eq!(rig.told(3), [], "one more than it may");
}

#[test]
fn a_node_that_is_busy_gets_the_newest_value_later() {
    let mut rig = Rig::new();
    rig.send(from(TABLET), "/lamp/level", &[Arg::Float(0.7)]);
    let set = rig.face.next_set(rig.now).unwrap();
    rig.face.not_set(rig.now, set, &SetFailure::Busy);
    rig.later(TICK);
    assert_eq!(rig.sets(), [("/lamp/level".into(), json!(0.7))]);
}

#[test]
fn what_a_node_refuses_is_answered_and_the_control_is_put_back() {
    let mut rig = Rig::new();
    rig.face.add(rig.now, 3, Wants::Below(Vec::new()), None);
    rig.changed("level", json!(0.2));
    rig.told(3);
    let source = Source::Connection(3);
    rig.send(source, "/lamp/level", &[Arg::Float(0.7)]);
    let set = rig.face.next_set(rig.now).unwrap();
    rig.face
        .not_set(rig.now, set, &SetFailure::Refused("not today".into()));
    let Some(Output::Answer(3, answer)) = rig.face.poll_output() else {
        panic!("no answer");
    };
    let answer = &decode(&answer).unwrap()[0].messages[0];
    let reason = Arg::Text("not today".into());
    assert_eq!((&*answer.address, &answer.args[1]), ("/error", &reason));
    rig.later(HOLD);
    let level = ("/lamp/level".to_owned(), vec![Arg::Float(0.2)]);
    assert_eq!(rig.told(3), [level]);
}

#[test]
fn the_answers_to_a_packet_have_a_bound() {
    let mut rig = Rig::new();
    let nothing: [(&str, &[Arg]); 30] = [("/nothing", &[]); 30];
    rig.send_at(AT_ONCE, Source::Connection(3), &nothing);
    let answers = std::iter::from_fn(|| rig.face.poll_output());
    assert_eq!(
        (answers.count(), rig.face.counts.refused),
        (ANSWERS_MAX, 30)
    );
    rig.send(Source::Connection(3), "/nothing", &[]);
    assert!(rig.face.poll_output().is_some(), "another packet");
}
