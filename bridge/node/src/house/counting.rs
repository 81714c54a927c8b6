//! What passes is counted here, and told to who listens.

use bytes::Bytes;
use zocp_zre::{Content, DialId, Header, LinkId};

use super::{House, Link};
use crate::beacon::Datagram;
use crate::tap::{Note, Passed, Way};
use crate::traffic::{BeaconKind, Verb};

impl House {
    pub(super) fn count_beacon(&self, datagram: &Datagram) {
        // 36/ZRE: `ZRE`, the version, the identity.
        let is_own = datagram.octets.get(4..20) == Some(&self.id.as_bytes()[..]);
        let kind = if is_own {
            BeaconKind::Own
        } else {
            BeaconKind::Heard
        };
        let beacons = &self.traffic.beacons;
        beacons.add_octets(kind, datagram.octets.len());
        if !is_own {
            self.traffic.tap().tell(|| Note::Beacon {
                from: datagram.from,
                port: self.beacons.port(),
                octets: datagram.octets.clone(),
            });
        }
    }

    pub(super) fn count_received(&self, link: LinkId, header: &[u8], content: &Content) {
        let Some(Link { peer, ends, .. }) = self.links.get(&link) else {
            return;
        };
        let verb = Verb::of(header, content);
        let octets = octets_of(header, content);
        self.traffic.received(*peer, verb, octets);
        self.traffic.tap().tell(|| {
            Note::Message(Box::new(Passed {
                way: Way::In,
                peer: Some(*peer),
                verb,
                ends: Some(*ends),
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
        self.traffic.tap().tell(|| {
            Note::Message(Box::new(Passed {
                way: Way::Out,
                peer,
                verb,
                ends: self.dials.get(&dial).and_then(|dial| dial.ends),
                header: header.clone(),
                content: content.clone(),
            }))
        });
    }
}

/// How long a message is, without what frames take.
fn octets_of(header: &[u8], content: &[Bytes]) -> usize {
    header.len() + content.iter().map(Bytes::len).sum::<usize>()
}
