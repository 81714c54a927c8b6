//! What the bridge counts beside the mesh's own counters: D-Bus messages between bridges, and refusals.
//!
//! Model: one [`Record`] for a bridge, which those share who have something to count. It is always on.
//! Invariants: R1. A refusal is counted where it becomes an answer, by the name of its error; what a remote
//! answered is no refusal of ours. R2. A packet is counted when it is whole: from a peer when it
//! is read, to a peer when it is queued.
//! Limits: as many peers as are present.
//! Not here: what is shown of it (`crate::statistics`), what the mesh counts (`zocp_node::Traffic`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zbus::message::{Header, Type};
use zocp_node::{Counts, PeerId, kinds};

use crate::{
    errors::{ErrorKind, Refusal},
    monitor::Monitor,
    throttle::LogThrottle,
};

kinds! {
    /// A D-Bus message between two bridges.
    pub enum Packet {
        /// A call of a service, or of one that called it.
        Call = "call",
        /// Its answer.
        Return = "return",
        /// An error as its answer.
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

/// What the bridge counts. Clones are the same. See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Record {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    refusals: Counts<ErrorKind>,
    packets: Packets,
    monitor: Monitor,
    peers: Mutex<HashMap<PeerId, Arc<Packets>>>,
    log: LogThrottle,
}

impl Record {
    /// Whether a line that others cause is to be logged now, and how many were left out before it. Lines
    /// of one subject share this.
    pub(crate) fn log(&self, subject: &str) -> Option<u64> {
        self.shared.log.admit(subject)
    }

    /// A call is answered with a refusal.
    pub(crate) fn refused(&self, refusal: &Refusal, call: Option<&Header<'_>>) {
        if !matches!(refusal, Refusal::Remote { .. }) {
            self.shared.refusals.add(refusal.kind());
            self.shared.monitor.refused(refusal, call);
        }
    }

    /// Who watches.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.shared.monitor
    }

    /// Refusals by the name of the error.
    #[must_use]
    pub fn refusals(&self) -> &Counts<ErrorKind> {
        &self.shared.refusals
    }

    /// All packets.
    #[must_use]
    pub fn packets(&self) -> &Packets {
        &self.shared.packets
    }

    /// Those of a peer, from now on until `forget`.
    #[must_use]
    pub fn packets_of(&self, peer: PeerId) -> Arc<Packets> {
        self.peers().entry(peer).or_default().clone()
    }

    /// A peer is gone.
    pub(crate) fn forget(&self, peer: PeerId) {
        self.peers().remove(&peer);
    }

    /// What counts the packets of a peer.
    pub(crate) fn meter(&self, peer: PeerId) -> Meter {
        Meter {
            own: self.packets_of(peer),
            record: self.clone(),
        }
    }

    /// Plain data, whole between the steps of each method.
    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Packets>>> {
        self.shared
            .peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the packets of one peer, for it and for all.
#[derive(Debug, Clone)]
pub struct Meter {
    own: Arc<Packets>,
    record: Record,
}

impl Meter {
    pub(crate) fn received(&self, kind: Packet, octets: usize) {
        self.own.received.add_octets(kind, octets);
        self.record.packets().received.add_octets(kind, octets);
    }

    pub(crate) fn sent(&self, kind: Packet, octets: usize) {
        self.own.sent.add_octets(kind, octets);
        self.record.packets().sent.add_octets(kind, octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_counts_for_its_peer_and_for_all() {
        let record = Record::default();
        let (one, other) = (PeerId::new([1; 16]), PeerId::new([2; 16]));
        record.meter(one).sent(Packet::Call, 100);
        record.meter(other).sent(Packet::Call, 20);
        record.meter(one).received(Packet::Return, 7);
        assert_eq!(record.packets().sent.tally(Packet::Call).octets, 120);
        let own = record.packets_of(one);
        assert_eq!(own.sent.tally(Packet::Call).octets, 100);
        assert_eq!(own.received.tally(Packet::Return).count, 1);
        record.forget(one);
        let anew = record.packets_of(one);
        assert_eq!(anew.sent.tally(Packet::Call).count, 0);
    }

    #[test]
    fn what_a_remote_answers_is_no_refusal_of_ours() {
        let record = Record::default();
        record.refused(&Refusal::NoFileDescriptors, None);
        let broken = Refusal::Remote {
            error: "org.example.Broken".to_owned(),
            message: String::new(),
        };
        record.refused(&broken, None);
        let refusals: Vec<ErrorKind> = record.refusals().tallies().map(|(kind, _)| kind).collect();
        assert_eq!(refusals, [ErrorKind::NoFileDescriptors]);
    }
}
