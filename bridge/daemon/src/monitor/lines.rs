//! Events as lines of JSON, one object a line.
//!
//! Model: every line has `time`, in seconds since 1970, and `event`; what else it has depends on the event.
//! The line after that of a reply says how long the call took.
//! Limits: the texts of others are written as they are, escaped as JSON; errors' texts are cut at [`TEXT_LEN_MAX`] characters.
//! Spec: docs/reference/dbus.md, "Monitor"

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};
use zbus::{
    Message,
    message::{Flags, Type},
};
use zocp_node::{
    Departure, Kind as _, PeerId, Verb,
    plumbing::{Direction, TraceEvent, TracedMessage},
};

use super::{
    calls::{Call, Calls, Key, Kind},
    encoder::Encoder,
    event::{Event, EventKind, RefusedCall, member},
    filter::{Filter, Subject},
    packets::Packets,
};
use zocp_relay::metrics::Packet;
use zocp_relay::transport::Control;

/// Writes lines. See the [module](self).
#[derive(Debug)]
pub(super) struct Lines {
    filter: Filter,
    names: HashMap<PeerId, Arc<str>>,
    packets: Packets,
    calls: Calls,
}

/// The fields of a line, and the parts that filters look at.
struct Line<'a> {
    at: u64,
    event: &'a str,
    peer: Option<PeerId>,
    verbs: &'a [&'a str],
    service: Option<String>,
    facts: Vec<(&'static str, Value)>,
}

impl Lines {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            names: HashMap::new(),
            packets: Packets::default(),
            calls: Calls::default(),
        }
    }

    fn put(&self, line: Line<'_>, out: &mut Vec<u8>) {
        let uuid = line.peer.map(|peer| peer.to_string());
        let name = line.peer.and_then(|peer| self.names.get(&peer));
        let subject = Subject {
            peer: uuid
                .as_deref()
                .map(|uuid| (name.map_or("", |name| &**name), uuid)),
            verbs: line.verbs,
            service: line.service.as_deref(),
        };
        if !self.filter.wants(&subject) {
            return;
        }
        let mut object = Map::new();
        // Exact to the microsecond for the next centuries.
        object.insert("time".to_owned(), json!(line.at as f64 / 1e6));
        object.insert("event".to_owned(), json!(line.event));
        if let Some(uuid) = uuid {
            object.insert("peer".to_owned(), json!(name.map(|name| &**name)));
            object.insert("uuid".to_owned(), json!(uuid));
        }
        if let Some(service) = line.service {
            object.insert("service".to_owned(), json!(service));
        }
        for (key, value) in line.facts {
            object.insert(key.to_owned(), value);
        }
        // A map of plain values is always written.
        if serde_json::to_writer(&mut *out, &object).is_ok() {
            out.push(b'\n');
        }
    }

    fn note(&mut self, at: u64, note: &TraceEvent, out: &mut Vec<u8>) {
        match note {
            TraceEvent::Message(passed) => self.message(at, passed, out),
            TraceEvent::Beacon { from, octets, .. } if self.filter.beacons => {
                let facts = vec![
                    ("from", json!(from.to_string())),
                    ("octets", json!(octets.len())),
                ];
                self.put(plain(at, "beacon", None, facts), out);
            }
            TraceEvent::Entered {
                peer,
                name,
                endpoint,
            } => {
                self.names.insert(*peer, name.as_str().into());
                let facts = vec![("endpoint", json!(endpoint))];
                self.put(plain(at, "entered", Some(*peer), facts), out);
            }
            TraceEvent::Exited { peer, reason } => {
                let why = vec![("why", json!(Departure::from(*reason).name()))];
                self.put(plain(at, "left", Some(*peer), why), out);
                self.names.remove(peer);
                self.packets.left(*peer);
                self.calls.left(*peer);
            }
            TraceEvent::Evasive { peer } => {
                self.put(plain(at, "evasive", Some(*peer), Vec::new()), out)
            }
            TraceEvent::Returned { peer } => {
                self.put(plain(at, "ready", Some(*peer), Vec::new()), out)
            }
            TraceEvent::Rejected { from, kind, why } => {
                let mut facts = vec![("kind", json!(kind.name())), ("why", text(why))];
                if let Some(from) = from {
                    facts.push(("from", json!(from.to_string())));
                }
                self.put(plain(at, "turned away", None, facts), out);
            }
            _ => {}
        }
    }

    fn message(&mut self, at: u64, passed: &TracedMessage, out: &mut Vec<u8>) {
        let event = match passed.direction {
            Direction::In => "received",
            Direction::Out => "sent",
        };
        let packet = match passed.verb {
            Verb::Whisper => self.packets.whole(passed),
            _ => None,
        };
        let kind = packet
            .as_ref()
            .map(|packet| Packet::from(packet.message_type()).name());
        let verbs: Vec<&str> = [Some(passed.verb.name()), kind]
            .into_iter()
            .flatten()
            .collect();
        let mut line = Line {
            at,
            event,
            peer: passed.peer,
            verbs: &verbs,
            service: None,
            facts: vec![
                ("verb", json!(passed.verb.name())),
                ("octets", json!(passed.octets())),
            ],
        };
        let mut done = None;
        if let (Some(packet), Some(peer)) = (&packet, passed.peer) {
            line.facts.push(("packet", json!(kind)));
            done = self.packet(at, peer, passed.direction, packet, &mut line);
        } else if let Some(peer) = passed.peer {
            done = self.zocp(at, peer, passed);
        }
        let peer = line.peer;
        self.put(line, out);
        if let Some((call, outcome)) = done {
            let mut facts = vec![
                ("member", json!(call.member)),
                ("microseconds", json!(at.saturating_sub(call.at))),
            ];
            facts.extend(outcome.map(|error| ("error", json!(error))));
            // A filter that passes calls or replies passes this as well.
            let verbs: Vec<&str> = [&[Packet::Call.name()], &verbs[..]].concat();
            let done = Line {
                service: call.service,
                verbs: &verbs,
                ..plain(at, "done", peer, facts)
            };
            self.put(done, out);
        }
    }

    /// The fields of a D-Bus message; of a reply also the call, and of an error its name.
    fn packet(
        &mut self,
        at: u64,
        peer: PeerId,
        way: Direction,
        packet: &Message,
        line: &mut Line<'_>,
    ) -> Option<(Call, Option<String>)> {
        let header = packet.header();
        let member = member(&header);
        let number = |number: std::num::NonZeroU32| u64::from(number.get());
        match packet.message_type() {
            Type::MethodCall => {
                let mut service = header.destination().map(ToString::to_string);
                let mut kind = Kind::Packet;
                if let Some(Control::Subscribe(name)) = Control::read(packet) {
                    (service, kind) = (Some(name), Kind::Subscription);
                }
                let flags = packet.primary_header().flags();
                if !flags.contains(Flags::NO_REPLY_EXPECTED) {
                    let call = Call {
                        at,
                        service: service.clone(),
                        member: member.clone().unwrap_or_default(),
                    };
                    let serial = number(packet.primary_header().serial_num());
                    self.calls
                        .begin(Key::of_call(peer, way, kind, serial), call);
                }
                line.service = service;
                line.facts
                    .extend(header.path().map(|path| ("path", json!(path.as_str()))));
                line.facts
                    .extend(member.map(|member| ("member", json!(member))));
                None
            }
            Type::Signal => {
                let key = |id| Key::of_answer(peer, way, Kind::Subscription, number(id));
                let of = header
                    .reply_serial()
                    .and_then(|id| self.calls.look(&key(id)));
                line.service = of.and_then(|of| of.service.clone());
                line.facts
                    .extend(header.path().map(|path| ("path", json!(path.as_str()))));
                line.facts
                    .extend(member.map(|member| ("member", json!(member))));
                None
            }
            Type::MethodReturn | Type::Error => {
                let serial = number(header.reply_serial()?);
                let call = self
                    .calls
                    .end(&Key::of_answer(peer, way, Kind::Packet, serial));
                let subscription = Key::of_answer(peer, way, Kind::Subscription, serial);
                // A subscription goes on when it is answered.
                let call = call.or_else(|| self.calls.look(&subscription).cloned())?;
                line.service.clone_from(&call.service);
                Some((call, header.error_name().map(ToString::to_string)))
            }
        }
    }

    /// ZOCP's calls, and their answers.
    fn zocp(
        &mut self,
        at: u64,
        peer: PeerId,
        passed: &TracedMessage,
    ) -> Option<(Call, Option<String>)> {
        let [octets] = &passed.content[..] else {
            return None;
        };
        if !matches!(passed.verb, Verb::Call | Verb::Rep) || octets.len() > JSON_LEN_MAX {
            return None;
        }
        let message: Value = serde_json::from_slice(octets).ok()?;
        if passed.verb == Verb::Call {
            let call = message.get("CALL")?;
            let id = call.get(2)?.get("id")?.as_u64()?;
            let method = call.get(0)?.as_str()?;
            let object = call.get(2)?.get("object").and_then(Value::as_str);
            let member = match object {
                Some(object) if !object.is_empty() => format!("{object}.{method}"),
                _ => method.to_owned(),
            };
            let service = None;
            let key = Key::of_call(peer, passed.direction, Kind::Zocp, id);
            self.calls.begin(
                key,
                Call {
                    at,
                    service,
                    member,
                },
            );
            return None;
        }
        let answer = message.get("REP")?;
        let id = answer.get(0)?.as_u64()?;
        let call = self
            .calls
            .end(&Key::of_answer(peer, passed.direction, Kind::Zocp, id))?;
        let error = answer.get(2).and_then(|error| error.get("error")?.as_str());
        Some((call, error.map(str::to_owned)))
    }

    fn refused(&self, at: u64, denial: &RefusedCall, out: &mut Vec<u8>) {
        let error = denial.error.map(zocp_dbus::errors::ErrorKind::name);
        let mut facts = vec![("error", json!(error)), ("message", text(&denial.message))];
        for (key, value) in [
            ("caller", &denial.caller),
            ("path", &denial.path),
            ("member", &denial.member),
        ] {
            facts.extend(value.as_ref().map(|value| (key, json!(value))));
        }
        let line = Line {
            service: denial.service.clone(),
            ..plain(at, "refused", None, facts)
        };
        self.put(line, out);
    }
}

impl Encoder for Lines {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn lost(&mut self, count: u64, out: &mut Vec<u8>) {
        self.packets.forget();
        let line = json!({"event": "lost", "count": count});
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match &event.what {
            EventKind::Mesh(note) => self.note(event.at, note, out),
            EventKind::Refused(denial) => self.refused(event.at, denial, out),
            EventKind::Known(peer, name) => {
                self.names.insert(*peer, name.clone());
            }
        }
    }
}

/// The line of an event that is no message.
fn plain<'a>(
    at: u64,
    event: &'a str,
    peer: Option<PeerId>,
    facts: Vec<(&'static str, Value)>,
) -> Line<'a> {
    Line {
        at,
        event,
        peer,
        verbs: &[],
        service: None,
        facts,
    }
}

fn text(text: &str) -> Value {
    Value::String(text.chars().take(TEXT_LEN_MAX).collect())
}

const TEXT_LEN_MAX: usize = 512;
/// The contents of longer calls and replies are not shown.
const JSON_LEN_MAX: usize = 1 << 20;
