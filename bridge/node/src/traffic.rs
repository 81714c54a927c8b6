//! What goes over the mesh, counted: by verb, by peer, and what was turned away.
//!
//! Model: [`Traffic`] is shared between the actor, which counts, and whoever wants to know. What
//! is said to and by a peer while it is present is counted a second time in its [`PeerTraffic`].
//! Invariants: I1. A peer has its counters from before `Entered` is told until it has exited; whoever
//! holds them may read them longer. I2. A message is counted by what it says first: a ZOCP message of
//! several verbs as the first of them. I3. What nobody has understood is counted as `OTHER`.
//! Limits: as many peers as are present.
//! Not here: what D-Bus messages are in whispers; here they are whispers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use zocp_zre::{ExitReason, IdHash, PeerId};

use crate::counts::Counts;
use crate::trace::{TraceEvent, TraceHook};
use crate::traffic_kinds::{BeaconKind, Departure, Rejection, Verb};

/// What was said to and by one peer since it entered.
#[derive(Debug, Default)]
pub struct PeerTraffic {
    /// Said by it.
    pub received: Counts<Verb>,
    /// Said to it.
    pub sent: Counts<Verb>,
}

/// What goes over the mesh, counted.
#[derive(Debug)]
pub struct Traffic {
    /// Said by anybody, also by those that were not let in.
    pub received: Counts<Verb>,
    /// Said to anybody.
    pub sent: Counts<Verb>,
    /// Datagrams.
    pub beacons: Counts<BeaconKind>,
    /// What was turned away.
    pub rejections: Counts<Rejection>,
    /// How peers left.
    pub departures: Counts<Departure>,
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

    /// Where to listen to it.
    #[must_use]
    pub fn trace_hook(&self) -> &TraceHook {
        &self.trace
    }

    /// Counts what is turned away, and tells who listens why.
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

    /// How many peers are present.
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

    /// A message came from whom its connection says to be this peer.
    pub(crate) fn received(&self, peer: PeerId, verb: Verb, octets: usize) {
        self.received.add_octets(verb, octets);
        self.with(peer, |peer| peer.received.add_octets(verb, octets));
    }

    /// A message goes out.
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
