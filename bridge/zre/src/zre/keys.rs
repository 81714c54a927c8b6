//! The keys of a secure mesh: which peers they admit, and changes at run time.
//!
//! Spec: docs/reference/protocol.md §8.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::output::{Event, ExitReason, LinkId};
use crate::peers::Key;
use crate::trust::{FirstUse, NodeKey, Stranger};
use crate::{Endpoint, PeerId};

use super::Zre;

impl Zre {
    /// Trusts a key from now on; `false` if it was trusted already or this is no secure mesh. Its node is met when its
    /// next beacon comes.
    pub fn trust(&mut self, key: NodeKey) -> bool {
        self.trust.as_mut().is_some_and(|trust| trust.add(key))
    }

    /// Stops trusting a key, also on first use, and ends all connections with its node; `false` if it was not trusted.
    pub fn distrust(&mut self, now: Instant, key: NodeKey) -> bool {
        let known = self.trust.as_mut().is_some_and(|trust| trust.remove(key));
        // Also a node that is about to be trusted on first use.
        self.expel(now, key);
        known
    }

    /// Chooses what happens to keys that are not trusted, from now on. Peers that are present stay.
    pub fn set_first_use(&mut self, first_use: FirstUse) {
        if let Some(trust) = &mut self.trust {
            trust.first_use = first_use;
        }
    }

    /// The keys that are trusted, in no order.
    pub fn trusted(&self) -> impl Iterator<Item = NodeKey> {
        self.trust.iter().flat_map(|trust| trust.trusted())
    }

    /// The keys that were refused lately, in no order.
    #[must_use]
    pub fn strangers(&self) -> &[Stranger] {
        self.trust.as_ref().map_or(&[], |trust| trust.strangers())
    }

    /// Whether this mesh is a secure one.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.trust.is_some()
    }

    /// Whether the nodes that are met by beacons prove their keys.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_secure() && !self.config.open
    }

    /// Whether who says to be a node, without a key, cannot be it, since that has one.
    pub(super) fn has_key(&self, id: PeerId) -> bool {
        // protocol.md §8.11
        let known = self.peers.key(id).and_then(|key| self.peers.at(key));
        self.config.open && known.is_some_and(|peer| peer.key.is_some())
    }

    /// Whether a connection whose peer proved this key is admitted. The caller asks before it sends anything more; a key
    /// that is not admitted becomes a stranger.
    pub fn may_enter(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        key: NodeKey,
        identity: &[u8],
    ) -> bool {
        let admitted = self.admits_key(Some(key));
        if !admitted && let Some(id) = PeerId::from_routing_id(identity) {
            self.refused(now, remote, id, key);
        }
        admitted
    }

    /// Whether a peer with this key may be present: on a secure mesh one with a trusted key, otherwise one without a key.
    pub(super) fn admits_key(&self, key: Option<NodeKey>) -> bool {
        // protocol.md §8.4
        match (&self.trust, key) {
            (None, None) => true,
            (Some(trust), Some(key)) => trust.admits(key),
            // protocol.md §8.11
            (Some(_), None) => self.config.open,
            (None, Some(_)) => false,
        }
    }

    /// Remembers a stranger, and reports it once.
    pub(super) fn refused(&mut self, now: Instant, from: SocketAddr, id: PeerId, key: NodeKey) {
        let stranger = Stranger {
            key,
            id,
            from,
            heard: now,
            times: 1,
        };
        let is_new = self
            .trust
            .as_mut()
            .is_some_and(|trust| trust.refused(stranger));
        if is_new {
            self.event(Event::StrangerHeard(stranger));
        }
    }

    /// A peer has entered with a key that it proved: on first use the key is trusted from now on.
    pub(super) fn learn(&mut self, key: Option<NodeKey>, peer: PeerId, name: &Arc<str>) {
        // protocol.md §8.4
        if let (Some(trust), Some(key)) = (&mut self.trust, key)
            && trust.entered(key, name)
        {
            let name = Arc::clone(name);
            self.event(Event::KeyLearned { peer, key, name });
        }
    }

    /// Whether a node that sent a HELLO with this name would be trusted on first use although a trusted key has the name.
    /// If so, all connections with it end, it is a stranger from now on, and that is reported.
    pub(super) fn takes_name(&mut self, now: Instant, link: LinkId, name: &str) -> bool {
        // protocol.md §8.9
        let Some((trust, entry)) = self.trust.as_mut().zip(self.links.get(&link)) else {
            return false;
        };
        let (remote, id) = (entry.remote, entry.id);
        let Some(key) = entry.key else { return false };
        let Some(holder) = trust.holder(key, name) else {
            return false;
        };
        trust.namesake(key);
        self.expel(now, key);
        self.refused(now, remote, id, key);
        self.event(Event::NameRefused {
            remote,
            name: name.into(),
            key,
            holder,
        });
        true
    }

    /// Gives a peer the key that its connection proved, in place of one that was only announced.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        key: Key,
        proved: Option<NodeKey>,
        endpoint: Option<&Endpoint>,
    ) {
        // protocol.md §8.6
        if self.peers.at(key).is_none_or(|peer| peer.key == proved) {
            return;
        }
        self.hang_up_dial(key);
        if let Some(peer) = self.peers.at_mut(key) {
            peer.key = proved;
            peer.manual.clear();
            if let Some(endpoint) = endpoint {
                peer.endpoint = endpoint.clone();
            }
            peer.mailbox.close(now, now);
        }
    }

    /// Ends all connections with the node that has a key.
    fn expel(&mut self, now: Instant, key: NodeKey) {
        let has_it = |(at, peer): (Key, &crate::peer::Peer)| (peer.key == Some(key)).then_some(at);
        let keys: Vec<Key> = self.peers.iter().filter_map(has_it).collect();
        for at in keys {
            if let Some(peer) = self.peers.at_mut(at) {
                peer.manual.clear();
            }
            self.part_for_good(now, at, ExitReason::Distrusted);
        }
        let of_it = self.links.iter().filter(|(_, link)| link.key == Some(key));
        let links: Vec<LinkId> = of_it.map(|(id, _)| *id).collect();
        links
            .into_iter()
            .for_each(|link| self.hang_up_link(now, link));
    }
}
