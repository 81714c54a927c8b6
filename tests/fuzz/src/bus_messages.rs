//! Connections of a message bus that say anything.
//!
//! Input: steps: connections come, say hello, call, answer, signal, ask for names and rules, send octets that are
//! anything, read, or leave.
//! Holds: nothing panics; whoever makes a call that wants an answer gets one, not none and not two, unless it leaves; what
//! waits for a connection is within its limit and one message; what is sent is a message; who is closed is sent nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use zocp_bus::{
    Backlog, Bus, Config, ConnectionId, Credentials, Incoming, Kind, Limits, Message, Output,
    RawMessage,
};

use crate::bus_octets::{Draft, marshalled};

#[derive(Debug, Arbitrary)]
enum Step {
    Connect,
    /// A method of the bus, with a text.
    Ask {
        from: u8,
        method: u8,
        text: u8,
        number: u8,
        flags: u8,
    },
    Call {
        from: u8,
        to: u8,
        flags: u8,
    },
    /// An answer to the call of that number.
    Answer {
        from: u8,
        call: u8,
    },
    Signal {
        from: u8,
        text: u8,
    },
    /// Octets as they are, or an honest message with some of them changed.
    Octets {
        from: u8,
        octets: Vec<u8>,
    },
    Changed {
        from: u8,
        method: u8,
        at: u8,
        octet: u8,
    },
    Read {
        who: u8,
        count: u8,
    },
    Leave {
        who: u8,
    },
    /// The program offers a name, or offers it no longer.
    Offer {
        text: u8,
        is_offered: bool,
    },
    /// A call of a name.
    CallName {
        from: u8,
        text: u8,
        flags: u8,
    },
}

const METHODS: [(&str, &str); 13] = [
    ("Hello", ""),
    ("RequestName", "su"),
    ("ReleaseName", "s"),
    ("AddMatch", "s"),
    ("RemoveMatch", "s"),
    ("GetNameOwner", "s"),
    ("ListNames", ""),
    ("ListQueuedOwners", "s"),
    ("GetConnectionCredentials", "s"),
    ("BecomeMonitor", "asu"),
    ("Introspect", ""),
    ("NoSuchMethod", "s"),
    ("StartServiceByName", "su"),
];
const NAMES: [&str; 2] = ["org.a.b", "org.a.c"];
const TEXTS: [&str; 8] = [
    "org.a.b",
    ":1.0",
    ":1.2",
    "member='S'",
    "sender='org.a.b',arg0='org.a.b',path_namespace='/'",
    "arg0namespace='org',path='/a'",
    "nonsense",
    "org.freedesktop.DBus",
];

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut world = World::new();
    let mut input = Unstructured::new(data);
    while let Ok(step) = Step::arbitrary(&mut input)
        && !input.is_empty()
    {
        crate::show(&step);
        world.step(step);
    }
    world.end();
}

struct World {
    bus: Bus,
    limits: Limits,
    here: Vec<ConnectionId>,
    waiting: BTreeMap<ConnectionId, (Arc<Backlog>, VecDeque<RawMessage>)>,
    incoming: BTreeMap<ConnectionId, Incoming>,
    closed: BTreeSet<ConnectionId>,
    /// Those whose calls cannot be told apart, or are not answered any more.
    exempt: BTreeSet<ConnectionId>,
    /// Those that asked for names, which they may call themselves.
    may_own: BTreeSet<ConnectionId>,
    /// Names that are to be started.
    starting: BTreeSet<String>,
    serial: u32,
    /// The calls that want answers: who made them and who was called; how many answers came.
    calls: BTreeMap<(ConnectionId, u32), (String, usize)>,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            message_len_max: 4096,
            connections_max: 5,
            names_max: 4,
            rules_max: 4,
            pending_calls_max: 6,
            starting_messages_max: 4,
            queued_octets_max: 6000,
            ..Limits::default()
        };
        let credentials = Credentials::default();
        Self {
            bus: Bus::new(Config {
                guid: "0".repeat(32),
                number: None,
                machine_id: None,
                credentials,
                limits: limits.clone(),
            }),
            limits,
            here: Vec::new(),
            waiting: BTreeMap::new(),
            incoming: BTreeMap::new(),
            closed: BTreeSet::new(),
            exempt: BTreeSet::new(),
            may_own: BTreeSet::new(),
            starting: BTreeSet::new(),
            serial: 0,
            calls: BTreeMap::new(),
        }
    }

    fn who(&self, number: u8) -> Option<ConnectionId> {
        let len = self.here.len();
        (len > 0).then(|| self.here[usize::from(number) % len])
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Connect if self.here.len() < 8 => {
                let credentials = Credentials {
                    user: Some(0),
                    ..Credentials::default()
                };
                let (id, backlog) = self.bus.connect(credentials, true);
                self.here.push(id);
                self.waiting.insert(id, (backlog, VecDeque::new()));
                self.incoming.insert(id, Incoming::default());
            }
            Step::Connect => {}
            Step::Ask {
                from,
                method,
                text,
                number,
                flags,
            } => {
                let octets = self.ask(method, text, number, flags);
                self.send(from, &octets);
            }
            Step::Call { from, to, flags } => {
                let to = self.who(to).map_or_else(|| ":1.77".to_owned(), name_of);
                let octets = self.message(Draft {
                    kind: 1,
                    flags,
                    to: &to,
                    interface: "x.y",
                    member: "Do",
                    ..Draft::default()
                });
                self.send(from, &octets);
            }
            Step::Answer { from, call } => {
                let Some(((caller, serial), _)) = self.calls.iter().nth(call.into()) else {
                    return;
                };
                let (caller, serial) = (name_of(*caller), *serial);
                let octets = self.message(Draft {
                    kind: 2,
                    flags: 1,
                    answers: Some(serial),
                    to: &caller,
                    ..Draft::default()
                });
                self.send(from, &octets);
            }
            Step::Signal { from, text } => {
                let body = marshalled("s", TEXTS[usize::from(text) % TEXTS.len()], 0);
                let octets = self.message(Draft {
                    kind: 4,
                    interface: "x.y",
                    member: "S",
                    types: "s",
                    body: &body,
                    ..Draft::default()
                });
                self.send(from, &octets);
            }
            Step::Octets { from, octets } => self.send(from, &octets),
            Step::Changed {
                from,
                method,
                at,
                octet,
            } => {
                let mut octets = self.ask(method, method, 0, 0);
                let at = usize::from(at) % octets.len();
                octets[at] = octet;
                self.send(from, &octets);
            }
            Step::Read { who, count } => {
                let Some(who) = self.who(who) else { return };
                let (backlog, queue) = self.waiting.get_mut(&who).unwrap();
                for message in queue.drain(..usize::from(count).min(queue.len())) {
                    backlog.lower(&message);
                }
            }
            Step::Offer { text, is_offered } => {
                let name = NAMES[usize::from(text) % NAMES.len()];
                match is_offered {
                    true => self.bus.offer(name),
                    false => {
                        self.starting.remove(name);
                        self.bus.withdraw(name);
                    }
                }
                self.take();
            }
            Step::CallName { from, text, flags } => {
                let octets = self.message(Draft {
                    kind: 1,
                    flags,
                    to: NAMES[usize::from(text) % NAMES.len()],
                    interface: "x.y",
                    member: "Do",
                    ..Draft::default()
                });
                self.send(from, &octets);
            }
            Step::Leave { who } => {
                if let Some(who) = self.who(who) {
                    self.leave(who);
                }
            }
        }
    }

    fn ask(&mut self, method: u8, text: u8, number: u8, flags: u8) -> Vec<u8> {
        let (member, types) = METHODS[usize::from(method) % METHODS.len()];
        let interface = match member {
            "BecomeMonitor" => "org.freedesktop.DBus.Monitoring",
            "Introspect" => "",
            _ => "org.freedesktop.DBus",
        };
        let body = marshalled(types, TEXTS[usize::from(text) % TEXTS.len()], number.into());
        self.message(Draft {
            kind: 1,
            flags,
            to: "org.freedesktop.DBus",
            interface,
            member,
            types,
            body: &body,
            ..Draft::default()
        })
    }

    /// A message with a serial of its own.
    fn message(&mut self, message: Draft<'_>) -> Vec<u8> {
        self.serial += 1;
        message.octets(self.serial)
    }

    /// Carries out what a connection says, as the server does.
    fn send(&mut self, from: u8, mut octets: &[u8]) {
        let Some(from) = self.who(from) else { return };
        let limits = self.limits.clone();
        loop {
            if self.closed.contains(&from) {
                return;
            }
            let mut incoming = self.incoming.remove(&from).unwrap_or_default();
            let next = incoming.next(&mut octets, &limits);
            assert!(incoming.kept() <= limits.message_len_max);
            self.incoming.insert(from, incoming);
            let frame = match next {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(invalid) => {
                    self.bus.reject(from, invalid);
                    self.take();
                    return;
                }
            };
            match Message::parse(&frame, &limits) {
                Ok(message) => {
                    if message.expects_reply() && self.bus.is_complete(from) {
                        let to = message.destination().unwrap_or_default().to_owned();
                        // A serial that is used again is answered again, and a monitor waits for nothing.
                        let key = (from, message.serial().get());
                        let is_again = self.calls.insert(key, (to, 0)).is_some();
                        if is_again || message.member() == Some("BecomeMonitor") {
                            self.exempt.insert(from);
                        }
                    }
                    if message.member() == Some("RequestName") {
                        self.may_own.insert(from);
                    }
                    self.bus.receive(from, &message);
                }
                Err(invalid) => self.bus.reject(from, invalid),
            }
            self.take();
        }
    }

    fn take(&mut self) {
        while let Some(output) = self.bus.poll_output() {
            match output {
                Output::Send { to, message } => {
                    assert!(
                        !self.closed.contains(&to),
                        "who is closed is sent something"
                    );
                    self.count(to, &message);
                    let (backlog, queue) = self.waiting.get_mut(&to).unwrap();
                    let len = message.len();
                    queue.push_back(message);
                    assert!(backlog.octets() < self.limits.queued_octets_max + len.max(8192));
                    let octets: usize = queue.iter().map(RawMessage::len).sum();
                    assert!(backlog.octets() >= octets);
                }
                Output::Start { name } => {
                    assert!(NAMES.contains(&&*name), "only what is offered is started");
                    self.starting.insert(name.to_string());
                }
                Output::Close { connection, .. } => self.forget(connection),
            }
        }
    }

    fn count(&mut self, to: ConnectionId, raw: &RawMessage) {
        let octets = RawMessage::new(Bytes::from(raw.octets().to_vec()), None);
        let message =
            Message::of_raw(&octets, &Limits::default()).expect("what is sent is a message");
        let is_for_it = message.destination() == Some(&name_of(to))
            && matches!(message.kind(), Kind::Return | Kind::Error);
        let answered = message.reply_serial().map(NonZeroU32::get);
        if let (true, Some(serial)) = (is_for_it, answered)
            && let Some((_, answers)) = self.calls.get_mut(&(to, serial))
        {
            *answers += 1;
        }
    }

    fn leave(&mut self, who: ConnectionId) {
        self.bus.disconnect(who);
        self.take();
        self.forget(who);
    }

    fn forget(&mut self, who: ConnectionId) {
        self.closed.insert(who);
        self.here.retain(|one| *one != who);
        self.calls.retain(|(caller, _), _| *caller != who);
    }

    /// All but one leave, one after the other: what that one asked of others is answered then.
    fn end(&mut self) {
        // What waits for a service that nobody started is refused.
        for name in NAMES {
            self.bus.withdraw(name);
            self.take();
        }
        while self.here.len() > 1 {
            // Nobody is to end because it does not read.
            for (backlog, queue) in self.waiting.values_mut() {
                queue.drain(..).for_each(|message| backlog.lower(&message));
            }
            self.leave(self.here[0]);
        }
        for ((caller, serial), (to, answers)) in &self.calls {
            let is_own =
                *to == name_of(*caller) || (!to.starts_with(':') && self.may_own.contains(caller));
            if !is_own && !self.exempt.contains(caller) {
                assert_eq!(*answers, 1, "call {serial} to {to:?}");
            }
        }
    }
}

fn name_of(id: ConnectionId) -> String {
    id.unique_name()
}
