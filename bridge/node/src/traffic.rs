//! Counts what is sent, received and rejected: by verb, by peer, by kind.
//!
//! Model: [`Traffic`] is shared between the actor, which counts, and all who read it. Messages from and to a peer that
//! is present are counted a second time in its [`PeerTraffic`].
//! Invariants: TRAFFIC-1. A peer has its counters from before `Entered` is reported until it has exited; whoever holds
//! them may read them longer. TRAFFIC-2. A ZOCP message of several verbs is counted as the first of them. TRAFFIC-3. A
//! message that is not understood is counted as `OTHER`.
//! Limits: as many peers as are present.
//! Not here: the packets of the bridge inside whispers; here they are whispers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use zocp_zre::{ExitReason, IdHash, PeerId};

use crate::counts::Counts;
use crate::trace::{TraceEvent, TraceHook};
use crate::traffic_kinds::{BeaconKind, Departure, Rejection, Verb};

/// The messages from and to one peer since it entered.
#[derive(Debug, Default)]
pub struct PeerTraffic {
    /// Messages from it.
    pub received: Counts<Verb>,
    /// Messages to it.
    pub sent: Counts<Verb>,
}

/// The counters of a node. See [`Node::traffic`](crate::Node::traffic).
#[derive(Debug)]
pub struct Traffic {
    /// Messages from all peers, also from those that were not admitted.
    pub received: Counts<Verb>,
    /// Messages to all peers.
    pub sent: Counts<Verb>,
    /// Beacons.
    pub beacons: Counts<BeaconKind>,
    /// Connections, peers and messages that were rejected.
    pub rejections: Counts<Rejection>,
    /// Peers that left, by the way they did.
    pub departures: Counts<Departure>,
    /// Locked because programs read the counters while the actor adds and removes peers; a reader holds up no other
    /// reader.
    peers: RwLock<HashMap<PeerId, Arc<PeerTraffic>, IdHash>>,
    trace: TraceHook,
}

impl Traffic {
    pub(crate) fn new(hash: IdHash) -> Self {
        Self {
            received: Counts::default(),
            sent: Counts::default(),
            beacons: Counts::default(),
            rejections: Counts::default(),
            departures: Counts::default(),
            peers: RwLock::new(HashMap::with_hasher(hash)),
            trace: TraceHook::default(),
        }
    }

    /// The counters of a present peer.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<Arc<PeerTraffic>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&id).cloned()
    }

    /// Where the bridge observes every message.
    #[doc(hidden)]
    #[must_use]
    pub fn trace_hook(&self) -> &TraceHook {
        &self.trace
    }

    /// Counts a rejection, and gives it to the trace hook with its reason.
    pub(crate) fn reject(
        &self,
        kind: Rejection,
        from: Option<SocketAddr>,
        why: impl FnOnce() -> String,
    ) {
        self.rejections.add(kind);
        self.trace.record(|| TraceEvent::Rejected {
            from,
            kind,
            why: why(),
        });
    }

    /// The number of peers that are present.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.len()
    }

    pub(crate) fn enter(&self, id: PeerId) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.insert(id, Arc::default());
    }

    pub(crate) fn exit(&self, id: PeerId, reason: ExitReason) {
        self.departures.add(reason.into());
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.remove(&id);
    }

    /// Counts a message on a connection of this peer.
    pub(crate) fn received(&self, peer: PeerId, verb: Verb, octets: usize) {
        self.received.add_octets(verb, octets);
        self.with(peer, |peer| peer.received.add_octets(verb, octets));
    }

    /// Counts a message that is sent.
    pub(crate) fn sent(&self, peer: Option<PeerId>, verb: Verb, octets: usize) {
        self.sent.add_octets(verb, octets);
        if let Some(peer) = peer {
            self.with(peer, |peer| peer.sent.add_octets(verb, octets));
        }
    }

    fn with(&self, id: PeerId, count: impl FnOnce(&PeerTraffic)) {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(&id) {
            count(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_counted_twice_while_it_is_present() {
        let traffic = Traffic::new(IdHash::new(1));
        let peer = PeerId::new([7; 16]);
        traffic.received(peer, Verb::Hello, 40);
        traffic.enter(peer);
        traffic.received(peer, Verb::Sig, 10);
        let own = traffic.peer(peer).unwrap();
        assert_eq!(own.received.tally(Verb::Hello).count, 0);
        assert_eq!(own.received.tally(Verb::Sig).octets, 10);
        traffic.exit(peer, ExitReason::Goodbye);
        traffic.sent(Some(peer), Verb::Sig, 10);
        assert_eq!(own.sent.tally(Verb::Sig).count, 0);
        assert_eq!(traffic.sent.tally(Verb::Sig).count, 1);
        assert_eq!(traffic.received.tally(Verb::Hello).octets, 40);
        assert_eq!(traffic.departures.tally(Departure::Goodbye).count, 1);
    }
}
