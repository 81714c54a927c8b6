//! How much may wait for one peer before its senders wait.
//!
//! Model: a [`Gate`] counts the octets that a peer's senders may still queue. A sender takes them
//! before it hands a message to the actor; the actor gives them back as the peer's socket takes
//! octets. A gate closes when its peer is gone, which wakes every sender that waits.
//! Limits: `Limits::outgoing_whispers_max` for each peer; at it [`Gate::pass`] waits and
//! [`Gate::try_pass`] is refused. One message larger than that takes the whole gate.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, TryAcquireError};
use zocp_zre::PeerId;

use crate::node::NodeError;

/// The gates of all present peers. Shared between the actor and the handles.
#[derive(Debug)]
pub(crate) struct Gates {
    size: usize,
    gates: RwLock<HashMap<PeerId, Arc<Semaphore>>>,
}

impl Gates {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size: size.min(u32::MAX as usize),
            gates: RwLock::default(),
        }
    }

    pub(crate) fn open(&self, peer: PeerId) {
        let gate = Arc::new(Semaphore::new(self.size));
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = gates.insert(peer, gate) {
            old.close();
        }
    }

    pub(crate) fn close(&self, peer: PeerId) {
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.remove(&peer) {
            gate.close();
        }
    }

    /// Gives back what was taken for messages that are out, or will never be.
    pub(crate) fn release(&self, peer: PeerId, octets: usize) {
        if let Ok(gate) = self.of(peer) {
            gate.add_permits(octets);
        }
    }

    /// Waits for room. Returns what to give back. Cancel-safe.
    pub(crate) async fn pass(&self, peer: PeerId, octets: usize) -> Result<usize, NodeError> {
        let share = self.share(octets);
        let permit = self.of(peer)?;
        let permit = permit
            .acquire_many(share)
            .await
            .map_err(|_| NodeError::NodeGone(peer))?;
        permit.forget();
        Ok(share as usize)
    }

    /// As [`pass`](Self::pass), but refused with `Busy` where that would wait.
    pub(crate) fn try_pass(&self, peer: PeerId, octets: usize) -> Result<usize, NodeError> {
        let share = self.share(octets);
        let gate = self.of(peer)?;
        let permit = gate.try_acquire_many(share).map_err(|error| match error {
            TryAcquireError::Closed => NodeError::NodeGone(peer),
            TryAcquireError::NoPermits => NodeError::Busy,
        })?;
        permit.forget();
        Ok(share as usize)
    }

    /// Whether a sender would have to wait.
    pub(crate) fn is_full(&self, peer: PeerId) -> bool {
        self.of(peer)
            .is_ok_and(|gate| gate.available_permits() == 0)
    }

    fn of(&self, peer: PeerId) -> Result<Arc<Semaphore>, NodeError> {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        gates.get(&peer).cloned().ok_or(NodeError::NodeGone(peer))
    }

    fn share(&self, octets: usize) -> u32 {
        // Frame headers count too, so that many small messages are bounded as well.
        u32::try_from(octets.saturating_add(OVERHEAD).min(self.size)).unwrap_or(u32::MAX)
    }
}

/// More than ZMTP and ZRE add to a whisper of one frame.
const OVERHEAD: usize = 32;
