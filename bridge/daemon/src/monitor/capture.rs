//! Events as a capture file for Wireshark.
//!
//! Model: two interfaces in one file. On `mesh` each message is the TCP segments that it would be, each
//! beacon a datagram, so addresses, ports and streams are those of the network; on `services` each D-Bus
//! message that travels in them is there once more by itself, which Wireshark takes apart, with its calls and
//! answers. The comment of a packet says what it is and between whom.
//! Not here: events that are no messages, for which a capture file has no form.

use std::{collections::HashMap, sync::Arc};

use zocp_node::{
    Kind, PeerId, Verb,
    plumbing::{Direction, TraceEvent, TracedMessage},
};

use super::{
    encoder::Encoder,
    event::{Event, EventKind},
    filter::{Filter, Subject},
    packets::Packets,
    pcapng::{self, About, Interface},
    segment::{Streams, datagram},
};
use zocp_relay::metrics::Packet;

/// Writes a capture file. See the [module](self).
#[derive(Debug)]
pub(super) struct Capture {
    filter: Filter,
    names: HashMap<PeerId, Arc<str>>,
    packets: Packets,
    streams: Streams,
    /// Events that were dropped before the next packet.
    dropped: u64,
}

impl Capture {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            names: HashMap::new(),
            packets: Packets::default(),
            streams: Streams::default(),
            dropped: 0,
        }
    }

    fn message(&mut self, at: u64, passed: &TracedMessage, out: &mut Vec<u8>) {
        let packet = match passed.verb {
            Verb::Whisper => self.packets.whole(passed),
            _ => None,
        };
        let kind = packet
            .as_ref()
            .map(|packet| Packet::from(packet.message_type()).name());
        let header = packet.as_ref().map(|packet| packet.header());
        let service = header
            .as_ref()
            .and_then(|header| header.destination())
            .map(|name| name.as_str());
        let verbs: Vec<&str> = [Some(passed.verb.name()), kind]
            .into_iter()
            .flatten()
            .collect();
        let uuid = passed.peer.map(|peer| peer.to_string());
        let name = passed.peer.and_then(|peer| self.names.get(&peer));
        let name = name.map_or("a peer", |name| &**name).to_owned();
        let subject = Subject {
            peer: uuid.as_deref().map(|uuid| (name.as_str(), uuid)),
            verbs: &verbs,
            service,
        };
        if !self.filter.wants(&subject) {
            return;
        }
        let is_inbound = passed.direction == Direction::In;
        let way = if is_inbound { "from" } else { "to" };
        let comment = format!(
            "{} {way} {name}",
            kind.unwrap_or_else(|| passed.verb.name())
        );
        let mut about = About {
            at,
            is_inbound,
            comment: &comment,
            dropped: std::mem::take(&mut self.dropped),
        };
        if let Some((ours, theirs)) = passed.ends {
            let (from, to) = if is_inbound {
                (theirs, ours)
            } else {
                (ours, theirs)
            };
            self.streams
                .message(from, to, &passed.header, &passed.content, |octets| {
                    pcapng::packet(out, Interface::Mesh, about, octets);
                    about.dropped = 0;
                });
        }
        if let Some(packet) = &packet {
            pcapng::packet(out, Interface::Services, about, packet.data().bytes());
        }
    }
}

impl Encoder for Capture {
    fn begin(&mut self, out: &mut Vec<u8>) {
        pcapng::begin(out);
    }

    fn lost(&mut self, count: u64, _: &mut Vec<u8>) {
        self.dropped += count;
        self.packets.forget();
        self.streams.forget();
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match &event.what {
            EventKind::Mesh(TraceEvent::Message(passed)) => self.message(event.at, passed, out),
            EventKind::Mesh(TraceEvent::Beacon { from, port, octets }) if self.filter.beacons => {
                let about = About {
                    at: event.at,
                    is_inbound: true,
                    comment: "beacon",
                    dropped: std::mem::take(&mut self.dropped),
                };
                let packet = datagram(*from, *port, octets);
                pcapng::packet(out, Interface::Mesh, about, &packet);
            }
            EventKind::Mesh(TraceEvent::Entered { peer, name, .. }) => {
                self.names.insert(*peer, name.as_str().into());
            }
            EventKind::Mesh(TraceEvent::Exited { peer, .. }) => {
                self.names.remove(peer);
                self.packets.left(*peer);
            }
            EventKind::Known(peer, name) => {
                self.names.insert(*peer, name.clone());
            }
            _ => {}
        }
    }
}
