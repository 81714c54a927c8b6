//! Counts beacons and messages, and gives them to the trace hook.

use std::net::SocketAddr;

use bytes::Bytes;
use zocp_zre::{Content, DialId, Header, LinkId, PeerId};

use super::{Actor, Link};
use crate::beacon::Datagram;
use crate::trace::{Direction, TraceEvent, TracedMessage};
use crate::traffic_kinds::{BeaconKind, Verb};

impl Actor {
    pub(super) fn count_beacon(&self, datagram: &Datagram) {
        // 36/ZRE: `ZRE`, the version, the identity.
        let is_own = datagram.octets.get(4..20) == Some(&self.id.as_bytes()[..]);
        let kind = if is_own {
            BeaconKind::Own
        } else {
            BeaconKind::Received
        };
        let beacons = &self.traffic.beacons;
        beacons.add_octets(kind, datagram.octets.len());
        if !is_own {
            self.traffic.trace_hook().record(|| TraceEvent::Beacon {
                from: datagram.from,
                port: self.beacons.port(),
                octets: datagram.octets.clone(),
            });
        }
    }

    pub(super) fn count_received(&self, link: LinkId, header: &[u8], content: &Content) {
        if let Some(Link { peer, ends, .. }) = self.links.get(&link) {
            self.count_message(*peer, *ends, header, content);
        }
    }

    /// Counts what was received on a connection that this node opened. The HELLO of a node that was met by its endpoint
    /// comes before it is known which one that is, and is not counted.
    pub(super) fn count_received_on_dial(&self, dial: DialId, header: &[u8], content: &Content) {
        let peer = self.zre.dialed_peer(dial);
        let ends = self.dials.get(&dial).and_then(|dial| dial.ends);
        if let Some((peer, ends)) = peer.zip(ends) {
            self.count_message(peer, ends, header, content);
        }
    }

    fn count_message(
        &self,
        peer: PeerId,
        ends: (SocketAddr, SocketAddr),
        header: &[u8],
        content: &Content,
    ) {
        let verb = Verb::of(header, content);
        let octets = octets_of(header, content);
        self.traffic.received(peer, verb, octets);
        self.traffic.trace_hook().record(|| {
            TraceEvent::Message(Box::new(TracedMessage {
                direction: Direction::In,
                peer: Some(peer),
                verb,
                ends: Some(ends),
                header: header.into(),
                content: content.clone(),
            }))
        });
    }

    pub(super) fn count_sent(&self, dial: DialId, header: &Header, content: &Content) {
        let peer = self.zre.dialed_peer(dial);
        let verb = Verb::of(header, content);
        let octets = octets_of(header, content);
        self.traffic.sent(peer, verb, octets);
        self.traffic.trace_hook().record(|| {
            TraceEvent::Message(Box::new(TracedMessage {
                direction: Direction::Out,
                peer,
                verb,
                ends: self.dials.get(&dial).and_then(|dial| dial.ends),
                header: header.clone(),
                content: content.clone(),
            }))
        });
    }
}

/// The octets of a message, without the headers of its frames.
fn octets_of(header: &[u8], content: &[Bytes]) -> usize {
    header.len() + content.iter().map(Bytes::len).sum::<usize>()
}
