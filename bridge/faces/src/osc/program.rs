//! A program that speaks OSC as a node, without sockets and clocks.
//!
//! Model: each address that the program sends or takes is a capability, by the [`Map`]; one that is not in it is learned
//! as an emitter when it is sent first. What the program sends is emitted, and what is set or arrives over a wire is sent to it.
//! Invariants: OSCPROGRAM-1. The program is not told what it sent, see `outbox`. OSCPROGRAM-2. What is told last of an address is
//! the value that came last.
//! Limits: [`ENTRIES_MAX`] addresses, further ones are refused; those of `sets`, `outbox` and `schedule`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    face::Now,
    map::{Direction, ENTRIES_MAX, Entry, Map, is_address},
    outbox::Outbox,
    packet::{self, Arg, Message},
    remote_tree::Method,
    schedule::{Schedule, Verdict},
    types::Kind,
};
use crate::{
    counts::Counts,
    mesh::{CapPath, Capability, Value, Withdrawal},
    sets::{Due, Sets},
};

/// Why an address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The map has it.
    Map,
    /// The program sent it.
    Learned,
    /// The program described it.
    Described,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Program {
    learns: bool,
    known: BTreeMap<Arc<str>, Known>,
    places: HashMap<CapPath, Arc<str>>,
    outbox: Outbox,
    sets: Sets<Value>,
    schedule: Schedule<()>,
    /// Addresses whose capability is to be published; each is here once.
    publications: VecDeque<Arc<str>>,
    /// What is gone.
    withdrawals: BTreeSet<Withdrawal>,
    pub(crate) counts: Counts,
    /// Something was learned since this was looked at.
    pub(crate) has_learned: bool,
}

#[derive(Debug)]
struct Known {
    entry: Entry,
    path: CapPath,
    capability: Capability,
    kind: Kind,
    origin: Origin,
    /// What it was given last, since when it has sent nothing else. Many a program sends that back.
    given: Option<Value>,
    /// Whether its capability waits to be published.
    is_due: bool,
}

impl Program {
    /// A program with a map, and with what was learned before.
    pub(crate) fn new(map: Map, learned: Map) -> Self {
        let mut program = Self {
            learns: map.learn,
            ..Self::default()
        };
        for entry in map.capability {
            program.know(entry, None, Origin::Map);
        }
        let kept = learned.capability.into_iter().filter(|_| program.learns);
        for entry in kept.collect::<Vec<_>>() {
            program.know(entry, None, Origin::Learned);
        }
        program
    }

    /// What was learned, for the next time.
    pub(crate) fn learned(&self) -> Map {
        let learned = self
            .known
            .values()
            .filter(|known| known.origin == Origin::Learned);
        Map {
            learn: true,
            capability: learned.map(|known| known.entry.clone()).collect(),
        }
    }

    fn know(&mut self, entry: Entry, value: Option<Value>, origin: Origin) -> bool {
        let address: Arc<str> = entry.address.as_str().into();
        let Some(path) = entry.path() else {
            return false;
        };
        let is_taken = self
            .places
            .get(&path)
            .is_some_and(|other| *other != address);
        if is_taken || (self.known.len() >= ENTRIES_MAX && !self.known.contains_key(&address)) {
            return false;
        }
        let capability = entry.capability(value);
        let before = self.known.get(&address);
        if !before.is_some_and(|before| before.is_due) {
            self.publications.push_back(Arc::clone(&address));
        }
        self.places.insert(path.clone(), Arc::clone(&address));
        let known = Known {
            kind: Kind::of(&capability),
            entry,
            path,
            capability,
            origin,
            given: None,
            is_due: true,
        };
        self.known.insert(address, known);
        true
    }

    /// The program sent a packet.
    pub(crate) fn packet(&mut self, now: Now, octets: &[u8]) {
        let groups = match packet::decode(octets) {
            Ok(groups) => groups,
            Err(error) => return self.counts.refuse(&error.to_string()),
        };
        for group in groups {
            self.counts.received += group.messages.len() as u64;
            match self.schedule.put(now.clock, group, ()) {
                Verdict::Now(group) => self.apply(now, group.messages),
                Verdict::Later => {}
                Verdict::Refused => self
                    .counts
                    .refuse("a time tag is too far ahead, or too much waits"),
            }
        }
    }

    /// Messages whose time has come take effect.
    pub(crate) fn timeout(&mut self, now: Now) {
        while let Some((group, ())) = self.schedule.take(now.clock) {
            self.apply(now, group.messages);
        }
        self.counts.replaced = self.sets.replaced;
    }

    fn apply(&mut self, now: Now, messages: Vec<Message>) {
        for Message { address, args } in messages {
            if let Err(reason) = self.message(now, &address, &args) {
                self.counts.refuse(&format!("{address}: {reason}"));
            }
        }
    }

    fn message(&mut self, now: Now, address: &str, args: &[Arg]) -> Result<(), String> {
        let Some((address, known)) = self.known.get_key_value(address) else {
            return self.learn(now, address, args);
        };
        // It says what it was given.
        if known
            .given
            .as_ref()
            .map(|given| known.kind.args(given))
            .as_deref()
            == Some(args)
        {
            return Ok(());
        }
        if known.entry.direction == Direction::In {
            return Err("it is one that the program takes, by the map".to_owned());
        }
        let address = Arc::clone(address);
        match known.kind.value(args) {
            Ok(value) => {
                let value = known
                    .capability
                    .check(&value)
                    .map_err(|error| error.to_string())?;
                self.outbox
                    .touched(now.instant, &address, known.kind.args(&value));
                self.sets.state(now.instant, &address, value);
                if let Some(known) = self.known.get_mut(&address) {
                    known.given = None;
                }
                Ok(())
            }
            // It sends something else now than it did when it was learned.
            Err(_) if known.origin == Origin::Learned => self.learn(now, &address, args),
            Err(error) => Err(error.to_string()),
        }
    }

    fn learn(&mut self, now: Now, address: &str, args: &[Arg]) -> Result<(), String> {
        if !self.learns {
            return Err("it is not in the map".to_owned());
        }
        if !is_address(address) {
            return Err("it is no address".to_owned());
        }
        let value = match args {
            [] | [Arg::Impulse] => Value::Bool(true),
            args => Kind::Free.value(args).map_err(|error| error.to_string())?,
        };
        let hint = hint_of(&value).ok_or("its arguments have no type of the mesh")?;
        let entry = Entry {
            address: address.to_owned(),
            name: None,
            direction: Direction::Out,
            hint,
            min: None,
            max: None,
            value: None,
        };
        if !self.know(entry, Some(value), Origin::Learned) {
            return Err("there are too many addresses, or two of one name".to_owned());
        }
        self.has_learned = true;
        if let Some((address, known)) = self.known.get_key_value(address)
            && let Some(value) = &known.capability.value
        {
            let sent = known.kind.args(value);
            self.outbox.touched(now.instant, address, sent);
        }
        Ok(())
    }

    /// The program described all that it has. `says_changes`: it sends each value that changes; else the description does.
    pub(crate) fn described(&mut self, now: Now, methods: Vec<Method>, says_changes: bool) {
        let here: HashSet<&str> = methods.iter().map(|it| &*it.entry.address).collect();
        let described = self.known.iter().filter(|(address, known)| {
            known.origin == Origin::Described && !here.contains(&***address)
        });
        let gone: Vec<Arc<str>> = described.map(|(address, _)| Arc::clone(address)).collect();
        for address in gone {
            let Some(known) = self.known.remove(&address) else {
                continue;
            };
            self.places.remove(&known.path);
            self.outbox.forget(&address);
            self.sets.forget(&address);
            self.withdraw(known.path);
        }
        for Method { entry, value } in methods {
            match self.known.get(&*entry.address) {
                Some(known) if known.origin != Origin::Described => {}
                Some(known) if known.entry == entry => {
                    if let Some(value) = value.filter(|_| !says_changes) {
                        self.read(now, &entry.address, value);
                    }
                }
                _ => {
                    let address = entry.address.clone();
                    if !self.know(entry, value, Origin::Described) {
                        let reason = "there are too many addresses, or two of one name";
                        self.counts.refuse(&format!("{address}: {reason}"));
                    }
                }
            }
        }
    }

    /// A capability is gone, and the objects in which there is nothing else.
    fn withdraw(&mut self, path: CapPath) {
        let mut empty = None;
        let mut object = path.object.clone();
        while !object.is_root() && !self.places.keys().any(|it| it.object.starts_with(&object)) {
            let parent = object.parent().unwrap_or_default();
            empty = Some(std::mem::replace(&mut object, parent));
        }
        self.withdrawals.insert(match empty {
            Some(object) => Withdrawal::Object(object),
            None => Withdrawal::Capability(path),
        });
    }

    /// A description has this value.
    fn read(&mut self, now: Now, address: &str, value: Value) {
        let Some((address, known)) = self.known.get_key_value(address) else {
            return;
        };
        let (address, args) = (Arc::clone(address), known.kind.args(&value));
        let has_it = known
            .capability
            .value
            .as_ref()
            .map(|it| known.kind.args(it))
            == Some(args);
        if !has_it && known.capability.check(&value).is_ok() {
            if let Some(known) = self.known.get_mut(&address) {
                known.capability.value = Some(value.clone());
            }
            self.sets.state(now.instant, &address, value);
        }
    }

    /// What is to be withdrawn next, before anything is published.
    pub(crate) fn next_withdrawal(&mut self) -> Option<Withdrawal> {
        self.withdrawals.pop_first()
    }

    /// A value for a capability of this node.
    pub(crate) fn received(&mut self, now: Now, path: &CapPath, value: &Value) {
        let Some(address) = self.places.get(path) else {
            return;
        };
        let Some(known) = self.known.get_mut(address) else {
            return;
        };
        known.given = Some(value.clone());
        self.outbox
            .state(now.instant, address, known.kind.args(value));
        self.counts.taken += 1;
    }

    /// The next capability that is to be published, before any value is told.
    pub(crate) fn next_publication(&mut self) -> Option<(CapPath, Capability)> {
        loop {
            let address = self.publications.pop_front()?;
            if let Some(known) = self.known.get_mut(&address) {
                known.is_due = false;
                return Some((known.path.clone(), known.capability.clone()));
            }
        }
    }

    /// The next value that is to be emitted now.
    pub(crate) fn next_value(&mut self, now: Now) -> Option<(CapPath, Value)> {
        loop {
            let Due { address, value, .. } = self.sets.take(now.instant)?;
            if let Some(known) = self.known.get(&address) {
                return Some((known.path.clone(), value));
            }
        }
    }

    /// What the program is to be sent now.
    pub(crate) fn packets(&mut self, now: Now, len_max: usize) -> Vec<Vec<u8>> {
        let messages = self.outbox.take(now.instant);
        self.counts.sent += messages.len() as u64;
        packet::packets(&messages, len_max)
    }

    /// When there is something to do next, and when for the node.
    pub(crate) fn poll_timeout(&self, now: Now) -> (Option<Instant>, Option<Instant>) {
        let scheduled = self.schedule.next(now.clock).map(|wait| now.instant + wait);
        let out = self.outbox.poll_timeout(now.instant);
        let has_news = !self.publications.is_empty() || !self.withdrawals.is_empty();
        let publication = has_news.then_some(now.instant);
        let to_node = publication.or_else(|| self.sets.poll_timeout(now.instant));
        (scheduled.into_iter().chain(out).min(), to_node)
    }
}

/// The `typeHint` of a value.
fn hint_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_i64() => "int".to_owned(),
        Value::Number(_) => "flt".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(parts)
            if parts.iter().all(Value::is_number) && (1..100).contains(&parts.len()) =>
        {
            format!("vec{}f", parts.len())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{mesh::ObjectPath, osc::outbox::HOLD};

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
        assert_eq!(again.known.len(), 3);
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
        assert_eq!(rig.program.packets(rig.now, 1400).len(), 1);
        // What the program sent comes back over a wire.
        rig.sends("/both", &[Arg::Float(0.5)]);
        rig.program
            .received(rig.now, &CapPath::root("both"), &json!(0.5));
        rig.now.instant += HOLD + Duration::from_millis(10);
        assert_eq!(rig.program.packets(rig.now, 1400).len(), 0);
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
        rig.program.described(rig.now, all(), false);
        let published = std::iter::from_fn(|| rig.program.next_publication());
        let published: Vec<_> = published
            .map(|(path, it)| (path.to_string(), it.value))
            .collect();
        assert_eq!(published[0], ("filter.cutoff".to_owned(), Some(json!(0.5))));
        assert_eq!(published.len(), 3);
        rig.program.described(rig.now, all(), false);
        assert!(rig.program.next_publication().is_none(), "nothing changed");

        let next = vec![
            method("/filter/cutoff", "flt", json!(0.75)),
            method("/voice/on", "int", json!(3)),
        ];
        rig.program.described(rig.now, next.clone(), true);
        assert!(
            rig.program.next_value(rig.now).is_none(),
            "it says what changes"
        );
        rig.program.described(rig.now, next, false);
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
        rig.program.described(rig.now, methods, true);
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
}
