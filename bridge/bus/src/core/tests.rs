//! The core by itself: what holds whatever connections do.

use std::num::NonZeroU32;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::message::{Draft, Order as ByteOrder};

/// A bus and what it has sent.
struct Rig {
    bus: Bus,
    sent: Vec<(ConnectionId, RawMessage)>,
    closed: Vec<(ConnectionId, CloseReason)>,
    starts: Vec<String>,
    backlogs: HashMap<ConnectionId, Arc<Backlog>>,
    serial: u32,
}

/// What a test sends.
#[derive(Default)]
struct Say<'a> {
    destination: Option<&'a str>,
    reply_serial: Option<NonZeroU32>,
    member: &'a str,
    texts: &'a [&'a str],
    numbers: &'a [u32],
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let credentials = Credentials {
            user: Some(7),
            ..Credentials::default()
        };
        Self {
            bus: Bus::new(Config {
                guid: "0".repeat(32),
                machine_id: None,
                credentials,
                limits,
                number: None,
            }),
            sent: Vec::new(),
            closed: Vec::new(),
            starts: Vec::new(),
            backlogs: HashMap::new(),
            serial: 0,
        }
    }

    fn take(&mut self) {
        while let Some(output) = self.bus.poll_output() {
            match output {
                Output::Send { to, message } => self.sent.push((to, message)),
                Output::Start { name } => self.starts.push(name.to_string()),
                Output::Close { connection, reason } => self.closed.push((connection, reason)),
            }
        }
    }

    fn connect(&mut self) -> ConnectionId {
        let credentials = Credentials {
            user: Some(7),
            ..Credentials::default()
        };
        let (id, backlog) = self.bus.connect(credentials, true);
        self.backlogs.insert(id, backlog);
        id
    }

    fn hello(&mut self) -> ConnectionId {
        let id = self.connect();
        self.ask(id, "Hello", &[], &[]);
        id
    }

    /// Calls a method of the bus.
    fn ask(&mut self, from: ConnectionId, member: &str, texts: &[&str], numbers: &[u32]) -> u32 {
        let say = Say {
            destination: Some(BUS_NAME),
            member,
            texts,
            numbers,
            ..Say::default()
        };
        self.say(from, Kind::Call, say)
    }

    fn say(&mut self, from: ConnectionId, kind: Kind, say: Say<'_>) -> u32 {
        self.serial += 1;
        let mut body = Writer::default();
        say.texts.iter().for_each(|text| body.string(text));
        say.numbers.iter().for_each(|number| body.u32(*number));
        let signature = "s".repeat(say.texts.len()) + &"u".repeat(say.numbers.len());
        let is_answer = kind == Kind::Return;
        let draft = Draft {
            kind,
            serial: NonZeroU32::new(self.serial).unwrap(),
            reply_serial: say.reply_serial,
            sender: ":1.999",
            destination: say.destination,
            path: (!is_answer).then_some("/"),
            interface: (kind == Kind::Signal).then_some("x.y"),
            member: (!is_answer).then_some(say.member),
            error_name: None,
            signature: &signature,
            body,
        };
        // A draft of the bus wants no answer; a call of a client does.
        let mut octets = draft.finish().octets().to_vec();
        octets[2] = 0;
        let raw = RawMessage::new(octets.into(), None);
        let limits = self.bus.limits().clone();
        let message = Message::of_raw(&raw, &limits).unwrap();
        self.bus.receive(from, &message);
        self.take();
        self.serial
    }

    /// The answers to a call of a connection: the names of errors, or nothing.
    fn answers(&self, to: ConnectionId, serial: u32) -> Vec<String> {
        let limits = self.bus.limits();
        let answers = self
            .sent
            .iter()
            .filter(|(one, _)| *one == to)
            .filter_map(|(_, raw)| {
                let message = Message::of_raw(raw, limits).unwrap();
                let is_it = message.reply_serial() == NonZeroU32::new(serial);
                is_it.then(|| message.error_name().unwrap_or_default().to_owned())
            });
        answers.collect()
    }
}

#[test]
fn when_all_have_gone_nothing_is_left() {
    let mut rig = Rig::new(Limits::default());
    let ids: Vec<ConnectionId> = (0..5).map(|_| rig.hello()).collect();
    for id in &ids {
        rig.ask(*id, "RequestName", &["org.example.Name"], &[0]);
        rig.ask(
            *id,
            "AddMatch",
            &["sender='org.example.Name',arg0='x'"],
            &[],
        );
        let say = Say {
            destination: Some("org.example.Name"),
            member: "Wait",
            ..Say::default()
        };
        rig.say(*id, Kind::Call, say);
    }
    for id in ids {
        rig.bus.disconnect(id);
        rig.bus.disconnect(id);
    }
    let bus = &rig.bus;
    assert!(bus.connections.is_empty() && bus.users.is_empty() && bus.rules.is_empty());
    assert_eq!((bus.complete, bus.names.iter().count()), (0, 0));
    let next = rig.hello();
    assert_eq!(next, ConnectionId(5), "names are never used again");
}

#[test]
fn who_does_not_read_ends_at_its_bound_and_its_end_is_told_once() {
    let mut rig = Rig::new(Limits {
        queued_octets_max: 3000,
        ..Limits::default()
    });
    let (reader, deaf) = (rig.hello(), rig.hello());
    rig.ask(reader, "AddMatch", &["member='NameOwnerChanged'"], &[]);
    for _ in 0..100 {
        rig.ask(deaf, "GetId", &[], &[]);
        // The other one reads.
        for (to, message) in rig.sent.drain(..) {
            if to == reader {
                rig.backlogs[&reader].lower(&message);
            }
        }
        if !rig.closed.is_empty() {
            break;
        }
    }
    assert!(
        matches!(rig.closed[..], [(id, CloseReason::DoesNotRead(waiting))] if id == deaf && waiting < 3500)
    );
    assert!(rig.backlogs[&deaf].octets() < 3500);
    // What it says after that is not heard.
    rig.ask(deaf, "GetId", &[], &[]);
    assert!(rig.sent.is_empty());
}

#[test]
fn an_end_that_is_too_much_for_others_ends_them_too() {
    let mut rig = Rig::new(Limits {
        queued_octets_max: 1500,
        ..Limits::default()
    });
    let ids: Vec<ConnectionId> = (0..6).map(|_| rig.hello()).collect();
    for id in &ids {
        rig.ask(*id, "AddMatch", &["member='NameOwnerChanged'"], &[]);
    }
    // Nobody reads: each end is told to those that are left, until that is too much for all of them.
    for _ in 0..20 {
        let guest = rig.hello();
        rig.bus.disconnect(guest);
        rig.take();
    }
    assert_eq!(rig.closed.len(), 6, "{:?}", rig.closed);
    assert!(rig.bus.connections.is_empty());
}

/// A call of a name.
fn call(name: &str) -> Say<'_> {
    Say {
        destination: Some(name),
        member: "Do",
        ..Say::default()
    }
}

#[test]
fn what_waits_for_a_service_is_bounded_and_its_service_is_started_once() {
    let mut rig = Rig::new(Limits {
        starting_messages_max: 3,
        ..Limits::default()
    });
    rig.bus.offer("org.a.b");
    rig.bus.offer("org.a.b");
    let (a, b) = (rig.hello(), rig.hello());
    let calls: Vec<u32> = [a, b, a, b]
        .map(|from| rig.say(from, Kind::Call, call("org.a.b")))
        .into();
    assert_eq!(rig.starts, ["org.a.b"]);
    assert_eq!(
        rig.answers(b, calls[3]),
        ["org.freedesktop.DBus.Error.LimitsExceeded"]
    );
    // One leaves: there is room again.
    rig.bus.disconnect(a);
    let late = rig.say(b, Kind::Call, call("org.a.b"));
    assert!(rig.answers(b, late).is_empty());
    rig.bus.withdraw("org.a.b");
    rig.take();
    for serial in [calls[1], late] {
        let unknown = "org.freedesktop.DBus.Error.ServiceUnknown";
        assert_eq!(rig.answers(b, serial), [unknown]);
    }
    let offers = &rig.bus;
    let refused = rig.bus.offers.iter().count();
    assert_eq!((refused, offers.activatable_names().count()), (0, 1));
    assert_eq!(rig.starts.len(), 1);
    rig.bus.offer("org.a.b");
    rig.say(b, Kind::Call, call("org.a.b"));
    assert_eq!(rig.starts.len(), 2, "another offer is another start");
}

#[test]
fn octets_that_wait_for_a_service_are_bounded() {
    let mut rig = Rig::new(Limits {
        starting_octets_max: 500,
        ..Limits::default()
    });
    rig.bus.offer("org.a.b");
    let a = rig.hello();
    let refused = (0..10).filter(|_| {
        let serial = rig.say(a, Kind::Call, call("org.a.b"));
        !rig.answers(a, serial).is_empty()
    });
    assert!((4..9).contains(&refused.count()));
}

#[test]
fn orders_of_octets_are_answered() {
    let mut rig = Rig::new(Limits::default());
    let id = rig.hello();
    let mut octets = vec![b'B', 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0];
    let mut fields: Vec<u8> = Vec::new();
    for (code, kind, text) in [(1, b'o', "/"), (3, b's', "GetId"), (6, b's', BUS_NAME)] {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, kind, 0]);
        fields.extend(ByteOrder::Big.octets(u32::try_from(text.len()).unwrap()));
        fields.extend(text.as_bytes());
        fields.push(0);
    }
    octets[12..16].copy_from_slice(&ByteOrder::Big.octets(u32::try_from(fields.len()).unwrap()));
    octets.extend(fields);
    octets.resize(octets.len().next_multiple_of(8), 0);
    let raw = RawMessage::new(octets.into(), None);
    let limits = Limits::default();
    rig.bus
        .receive(id, &Message::of_raw(&raw, &limits).unwrap());
    rig.take();
    assert_eq!(rig.answers(id, 9), [""]);
}

/// Whoever calls whom, answers or leaves: each call gets one answer, or its caller has left.
#[test]
fn every_call_gets_exactly_one_answer() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(Limits {
            pending_calls_max: 5,
            ..Limits::default()
        });
        let mut here: Vec<ConnectionId> = (0..4).map(|_| rig.hello()).collect();
        let mut calls: Vec<(ConnectionId, u32)> = Vec::new();
        for _ in 0..200 {
            let from = here[random.random_range(0..here.len())];
            let to = here[random.random_range(0..here.len())];
            let name = format!(":1.{}", to.0);
            let name = if random.random_ratio(1, 10) {
                ":1.777"
            } else {
                &name
            };
            match random.random_range(0..10) {
                0 => {
                    rig.bus.disconnect(from);
                    rig.take();
                    here.retain(|one| *one != from);
                    here.push(rig.hello());
                }
                1..5 => {
                    let say = Say {
                        destination: Some(name),
                        member: "Do",
                        ..Say::default()
                    };
                    calls.push((from, rig.say(from, Kind::Call, say)));
                }
                _ => {
                    let Some((caller, serial)) =
                        calls.get(random.random_range(0..=calls.len())).copied()
                    else {
                        continue;
                    };
                    let caller = format!(":1.{}", caller.0);
                    let say = Say {
                        destination: Some(&caller),
                        reply_serial: NonZeroU32::new(serial),
                        ..Say::default()
                    };
                    rig.say(from, Kind::Return, say);
                }
            }
        }
        // Those who were called leave; the callers stay.
        for id in here.clone() {
            let (own, others): (Vec<_>, Vec<_>) =
                calls.iter().copied().partition(|(caller, _)| *caller == id);
            calls = others;
            // What it called is answered by it, by others that leave, or not yet: have them all leave but it.
            for other in rig
                .bus
                .connections
                .keys()
                .copied()
                .filter(|one| *one != id)
                .collect::<Vec<_>>()
            {
                rig.bus.disconnect(other);
            }
            let replies = rig
                .bus
                .connections
                .get(&id)
                .map(|one| one.awaited.clone())
                .unwrap_or_default();
            for (serial, called) in replies {
                assert_eq!(called, id, "seed {seed}: only its own calls to itself wait");
                let name = format!(":1.{}", id.0);
                let say = Say {
                    destination: Some(&name),
                    reply_serial: Some(serial),
                    ..Say::default()
                };
                rig.say(id, Kind::Return, say);
            }
            rig.take();
            if rig.bus.connections.contains_key(&id) {
                for (caller, serial) in own {
                    assert_eq!(
                        rig.answers(caller, serial).len(),
                        1,
                        "seed {seed}, call {serial}"
                    );
                }
            }
        }
        assert!(rig.closed.is_empty());
    }
}
