//! A program that the test plays, and a node that it plays too.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    mesh::ObjectPath,
    osc::{
        map::ENTRIES_MAX,
        outbox::{HOLD, TICK},
        remote_tree::Method,
    },
};

struct Rig {
    program: Program,
    now: Now,
}

impl Rig {
    fn new(map: Map) -> Self {
        let now = Now {
            instant: Instant::now(),
            clock: 1000 << 32,
        };
        let program = Program::new(map, Map::default());
        Self { program, now }
    }

    fn sends(&mut self, address: &str, args: &[Arg]) {
        let message = Message {
            address: address.into(),
            args: args.to_vec(),
        };
        for packet in packet::packets([&message], 1400) {
            self.program.packet(self.now, &packet);
        }
    }

    fn describes(&mut self, methods: Vec<Method>, says_changes: bool) {
        let asked = self.now.instant;
        self.describes_as_of(asked, methods, says_changes);
    }

    fn describes_as_of(&mut self, asked: Instant, methods: Vec<Method>, says_changes: bool) {
        let description = Description {
            methods,
            left_out: BTreeSet::new(),
            says_changes,
            asked,
        };
        self.program.described(self.now, description);
    }

    fn is_given(&mut self, name: &str, value: Value) {
        self.program
            .received(self.now, &CapPath::root(name), &value);
    }

    /// The values that the program is sent now.
    fn is_sent(&mut self) -> Vec<Vec<Arg>> {
        let packets = self.program.packets(self.now, 1400, 9);
        let groups = packets.iter().flat_map(|it| packet::decode(it).unwrap());
        let messages = groups.flat_map(|group| group.messages);
        messages.map(|message| message.args).collect()
    }

    fn passes(&mut self, time: Duration) {
        self.now.instant += time;
    }

    fn published(&mut self) -> Vec<(String, Capability)> {
        let all = std::iter::from_fn(|| self.program.next_publication());
        all.map(|(path, capability)| (path.to_string(), capability))
            .collect()
    }

    fn emitted(&mut self) -> Vec<(String, Value)> {
        let all = std::iter::from_fn(|| self.program.next_value(self.now));
        all.map(|(path, value)| (path.to_string(), value)).collect()
    }
}

fn entry(address: &str, direction: Direction) -> Entry {
    Entry {
        address: address.into(),
        name: None,
        direction,
        hint: "flt".into(),
        min: Some(0.0),
        max: Some(1.0),
        value: None,
    }
}

#[test]
fn what_a_program_sends_is_learned_and_emitted() {
    let mut rig = Rig::new(Map::default());
    rig.sends("/synth/1/cutoff", &[Arg::Float(0.5)]);
    let published = rig.published();
    assert_eq!(published[0].0, "synth.1.cutoff");
    assert_eq!(published[0].1.value, Some(json!(0.5)));
    assert!(rig.program.has_learned);
    rig.sends("/synth/1/cutoff", &[Arg::Float(0.75)]);
    assert_eq!(rig.emitted(), [("synth.1.cutoff".into(), json!(0.75))]);
    assert!(rig.published().is_empty());
    // Another type is another description.
    rig.sends("/synth/1/cutoff", &[Arg::Text("open".into())]);
    assert_eq!(
        rig.published()[0].1.info.type_hint.as_deref(),
        Some("string")
    );
    rig.sends("/go", &[]);
    assert_eq!(rig.published()[0].1.value, Some(json!(true)));
    rig.sends("/xy", &[Arg::Float(0.5), Arg::Int(1)]);
    assert_eq!(
        rig.published()[0].1.info.type_hint.as_deref(),
        Some("vec2f")
    );
    let again = Program::new(Map::default(), rig.program.learned());
    assert_eq!(again.learned().capability.len(), 3);
}

#[test]
fn a_map_says_what_is_taken_and_in_which_range() {
    let capability = vec![entry("/in", Direction::In), entry("/both", Direction::Both)];
    let mut rig = Rig::new(Map {
        learn: false,
        capability,
    });
    assert_eq!(rig.published().len(), 2);
    rig.sends("/in", &[Arg::Float(0.5)]);
    rig.sends("/both", &[Arg::Float(1.5)]);
    rig.sends("/other", &[Arg::Float(0.5)]);
    assert_eq!(rig.program.counts.refused, 3);
    assert_eq!(rig.emitted(), []);
    rig.program
        .received(rig.now, &CapPath::root("in"), &json!(0.25));
    assert_eq!(rig.program.packets(rig.now, 1400, 9).len(), 1);
    // What the program sent comes back over a wire.
    rig.sends("/both", &[Arg::Float(0.5)]);
    rig.program
        .received(rig.now, &CapPath::root("both"), &json!(0.5));
    rig.now.instant += HOLD + Duration::from_millis(10);
    assert_eq!(rig.program.packets(rig.now, 1400, 9).len(), 0);
}

fn method(address: &str, hint: &str, value: Value) -> Method {
    Method {
        entry: Entry {
            address: address.to_owned(),
            name: None,
            direction: Direction::Both,
            hint: hint.to_owned(),
            min: None,
            max: None,
            value: None,
        },
        value: Some(value),
    }
}

#[test]
fn a_described_tree_is_followed_and_what_is_gone_is_withdrawn_with_its_objects() {
    let mut rig = Rig::new(Map {
        learn: false,
        ..Map::default()
    });
    let all = || {
        vec![
            method("/filter/cutoff", "flt", json!(0.5)),
            method("/filter/kind/name", "string", json!("low")),
            method("/voice/on", "bool", json!(true)),
        ]
    };
    rig.describes(all(), false);
    let published = std::iter::from_fn(|| rig.program.next_publication());
    let published: Vec<_> = published
        .map(|(path, it)| (path.to_string(), it.value))
        .collect();
    assert_eq!(published[0], ("filter.cutoff".to_owned(), Some(json!(0.5))));
    assert_eq!(published.len(), 3);
    rig.describes(all(), false);
    assert!(rig.program.next_publication().is_none(), "nothing changed");

    let next = vec![
        method("/filter/cutoff", "flt", json!(0.75)),
        method("/voice/on", "int", json!(3)),
    ];
    rig.describes(next.clone(), true);
    assert!(
        rig.program.next_value(rig.now).is_none(),
        "it says what changes"
    );
    rig.describes(next, false);
    let (path, value) = rig.program.next_value(rig.now).unwrap();
    assert_eq!(
        (path.to_string(), value),
        ("filter.cutoff".to_owned(), json!(0.75))
    );
    let kind = ObjectPath::root().child("filter").child("kind");
    assert_eq!(
        rig.program.next_withdrawal(),
        Some(Withdrawal::Object(kind))
    );
    assert_eq!(rig.program.next_withdrawal(), None);
    let (path, capability) = rig.program.next_publication().unwrap();
    assert_eq!(
        (path.to_string(), capability.value),
        ("voice.on".to_owned(), Some(json!(3)))
    );
}

#[test]
fn what_a_program_says_back_is_not_emitted_and_anything_else_is() {
    let mut rig = Rig::new(Map {
        learn: false,
        ..Map::default()
    });
    let methods = vec![method("/cutoff", "flt", json!(0.5))];
    rig.describes(methods, true);
    rig.program
        .received(rig.now, &CapPath::root("cutoff"), &json!(0.7));
    let said = |rig: &mut Rig, value: f32| {
        let message = Message {
            address: "/cutoff".to_owned(),
            args: vec![Arg::Float(value)],
        };
        let mut octets = Vec::new();
        packet::encode(&message, &mut octets);
        rig.program.packet(rig.now, &octets);
        rig.now.instant += Duration::from_millis(5);
        rig.program.next_value(rig.now).map(|(_, value)| value)
    };
    assert_eq!(said(&mut rig, 0.7), None);
    assert_eq!(said(&mut rig, 0.25), Some(json!(0.25)));
    assert_eq!(said(&mut rig, 0.7), Some(json!(0.7)));
}

// DESCRIPTION-1.
#[test]
fn a_program_that_is_read_tells_what_it_does_itself_and_not_what_it_was_given() {
    let mut rig = Rig::new(Map::default());
    let has = |value: f64| vec![method("/cutoff", "flt", json!(value))];
    let second = Duration::from_secs(1);
    rig.describes(has(0.5), false);
    rig.published();
    rig.is_given("cutoff", json!(0.75));
    assert_eq!(rig.is_sent(), [[Arg::Float(0.75)]]);
    // Read before it had that.
    rig.describes_as_of(rig.now.instant, has(0.5), false);
    assert_eq!(rig.emitted(), []);
    rig.passes(second);
    rig.describes(has(0.75), false);
    assert_eq!(rig.emitted(), []);
    // It does something itself, and then what it had been given once.
    for value in [0.25, 0.75, 0.5] {
        rig.passes(second);
        rig.describes(has(value), false);
        assert_eq!(rig.emitted(), [("cutoff".to_owned(), json!(value))]);
        rig.describes(has(value), false);
        assert_eq!(rig.emitted(), []);
    }
    // What it has itself comes back over a wire.
    rig.is_given("cutoff", json!(0.5));
    rig.passes(second);
    assert_eq!(rig.is_sent(), Vec::<Vec<Arg>>::new());
}

#[test]
fn what_a_program_is_given_while_it_is_away_is_sent_and_not_overruled_when_it_is_here() {
    let mut rig = Rig::new(Map::default());
    let has = |value: f64| vec![method("/cutoff", "flt", json!(value))];
    rig.describes(has(0.5), false);
    rig.published();
    rig.is_given("cutoff", json!(0.75));
    rig.passes(Duration::from_secs(60));
    rig.program.here(rig.now);
    // As it is after its start.
    rig.describes(has(0.5), false);
    assert_eq!(rig.is_sent(), [[Arg::Float(0.75)]]);
    assert_eq!(rig.emitted(), []);
}

#[test]
fn what_is_said_back_with_other_tags_is_not_emitted() {
    let mut rig = Rig::new(Map::default());
    let methods = vec![
        method("/cutoff", "flt", json!(0.5)),
        method("/note", "int", json!(1)),
    ];
    rig.describes(methods, true);
    rig.published();
    rig.is_given("cutoff", json!(0.25));
    rig.is_given("note", json!(60));
    rig.sends("/cutoff", &[Arg::Double(0.25)]);
    rig.sends("/note", &[Arg::Long(60)]);
    assert_eq!(rig.emitted(), []);
    rig.sends("/note", &[Arg::Long(61)]);
    assert_eq!(rig.emitted(), [("note".to_owned(), json!(61))]);
}

#[test]
fn what_waits_of_a_method_whose_type_changes_is_forgotten() {
    let mut rig = Rig::new(Map::default());
    rig.describes(vec![method("/kind", "flt", json!(0.5))], true);
    rig.published();
    rig.is_given("kind", json!(0.25));
    rig.sends("/kind", &[Arg::Float(0.75)]);
    rig.describes(vec![method("/kind", "string", json!("low"))], true);
    assert_eq!(rig.published()[0].1.value, Some(json!("low")));
    assert_eq!(rig.emitted(), []);
    assert_eq!(rig.is_sent(), Vec::<Vec<Arg>>::new());
}

#[test]
fn what_is_left_out_is_counted_when_it_is_new() {
    let mut rig = Rig::new(Map::default());
    let mut describe = |left_out: &[&str]| {
        let description = Description {
            methods: vec![
                method("/a b", "flt", json!(1)),
                method("/on", "bool", json!(true)),
            ],
            left_out: left_out.iter().map(|&it| it.to_owned()).collect(),
            says_changes: false,
            asked: rig.now.instant,
        };
        rig.program.described(rig.now, description);
        rig.program.counts.refused
    };
    let once = describe(&["/blob"]);
    assert_eq!(describe(&["/blob"]), once);
    assert_eq!(describe(&["/blob", "/other"]), once + 1);
    assert_eq!(describe(&[]), once + 1);
    assert_eq!(describe(&["/blob"]), once + 2);
}

#[test]
fn what_does_not_fit_into_so_many_packets_waits_and_of_a_state_the_newest() {
    let mut rig = Rig::new(Map::default());
    let names: Vec<String> = (0..8).map(|number| format!("/v{number}")).collect();
    let methods = names.iter().map(|name| method(name, "flt", json!(0)));
    rig.describes(methods.collect(), true);
    rig.published();
    for number in 0..8 {
        rig.is_given(&format!("v{number}"), json!(0.5));
    }
    // Two messages in each.
    let first = rig.program.packets(rig.now, 50, 2);
    assert_eq!(first.len(), 2);
    for number in 0..8 {
        rig.is_given(&format!("v{number}"), json!(0.25));
    }
    rig.passes(TICK);
    assert!(rig.program.packets(rig.now, 50, 0).is_empty());
    let sent = rig.is_sent();
    assert_eq!(sent, vec![vec![Arg::Float(0.25)]; 8]);
    rig.passes(TICK);
    assert_eq!(rig.is_sent(), Vec::<Vec<Arg>>::new());
}

#[test]
fn what_is_learned_has_a_bound() {
    let mut rig = Rig::new(Map::default());
    for number in 0..=ENTRIES_MAX {
        rig.sends(&format!("/{number}"), &[Arg::Int(1)]);
    }
    assert_eq!(
        (rig.published().len(), rig.program.counts.refused),
        (ENTRIES_MAX, 1)
    );
    rig.sends("/a*", &[Arg::Int(1)]);
    rig.sends("/a//b", &[Arg::Int(1)]);
    assert_eq!(rig.program.counts.refused, 3);
}
