//! How many D-Bus messages went between this bridge and others, by type and by peer.
//!
//! Model: one [`Metrics`] for a bridge. Each link counts through a [`Meter`], for its peer and for all at once.
//! Invariants: METRICS-1. A packet is counted when it is whole: from a peer when it is read, to a peer when it is queued.
//! Limits: as many peers as are present.
//! Not here: refusals (`zocp_dbus::report`), what the mesh counts (`zocp_node::Traffic`), who shows it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use zbus::message::Type;
use zocp_node::{Counts, PeerId, plumbing::kinds};

use crate::lock::lock;

kinds! {
    /// A D-Bus message between two bridges.
    pub enum Packet {
        /// A call of a service, or of one that called it.
        Call = "call",
        /// Its reply.
        Return = "return",
        /// An error as its reply.
        Error = "error",
        /// A signal.
        Signal = "signal",
    }
}

impl From<Type> for Packet {
    fn from(kind: Type) -> Self {
        match kind {
            Type::MethodCall => Self::Call,
            Type::MethodReturn => Self::Return,
            Type::Error => Self::Error,
            Type::Signal => Self::Signal,
        }
    }
}

/// Packets from and to somebody.
#[derive(Debug, Default)]
pub struct Packets {
    /// Those that came.
    pub received: Counts<Packet>,
    /// Those that went.
    pub sent: Counts<Packet>,
}

/// Packets between this bridge and others. Clones are the same. See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    packets: Packets,
    /// Locked because links take their counters where a peer comes, and programs read all of them.
    peers: Mutex<HashMap<PeerId, Arc<Packets>>>,
}

impl Metrics {
    /// All packets.
    #[must_use]
    pub fn packets(&self) -> &Packets {
        &self.shared.packets
    }

    /// Those of a peer, from now on until [`forget`](Self::forget).
    #[must_use]
    pub fn packets_of(&self, peer: PeerId) -> Arc<Packets> {
        self.peers().entry(peer).or_default().clone()
    }

    /// Drops the counters of a peer that is gone.
    pub fn forget(&self, peer: PeerId) {
        self.peers().remove(&peer);
    }

    /// What counts the packets of a peer.
    pub(crate) fn meter(&self, peer: PeerId) -> Meter {
        Meter {
            own: self.packets_of(peer),
            metrics: self.clone(),
        }
    }

    /// Plain data, whole between the steps of each method.
    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Packets>>> {
        lock(&self.shared.peers)
    }
}

/// Counts the packets of one peer, for it and for all.
#[derive(Debug, Clone)]
pub struct Meter {
    own: Arc<Packets>,
    metrics: Metrics,
}

impl Meter {
    pub(crate) fn received(&self, kind: Packet, octets: usize) {
        self.own.received.add_octets(kind, octets);
        self.metrics.packets().received.add_octets(kind, octets);
    }

    pub(crate) fn sent(&self, kind: Packet, octets: usize) {
        self.own.sent.add_octets(kind, octets);
        self.metrics.packets().sent.add_octets(kind, octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_counts_for_its_peer_and_for_all() {
        let metrics = Metrics::default();
        let (one, other) = (PeerId::new([1; 16]), PeerId::new([2; 16]));
        metrics.meter(one).sent(Packet::Call, 100);
        metrics.meter(other).sent(Packet::Call, 20);
        metrics.meter(one).received(Packet::Return, 7);
        assert_eq!(metrics.packets().sent.tally(Packet::Call).octets, 120);
        let own = metrics.packets_of(one);
        assert_eq!(own.sent.tally(Packet::Call).octets, 100);
        assert_eq!(own.received.tally(Packet::Return).count, 1);
        metrics.forget(one);
        let anew = metrics.packets_of(one);
        assert_eq!(anew.sent.tally(Packet::Call).count, 0);
    }
}
