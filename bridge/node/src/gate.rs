//! How much may wait for one peer before its senders wait.
//!
//! Model: a [`Gate`] counts the octets that a peer's senders may still queue. A sender takes them
//! before it hands a message to the actor, with the [`Pass`] that tells how many; the actor gives
//! them back as the peer's socket takes octets. A gate closes when its peer is gone, which wakes
//! every sender that waits.
//! Limits: `Limits::outgoing_whispers_max` for each peer; at it [`Gates::pass`] waits and
//! [`Gates::try_pass`] is refused. One message larger than that takes the whole gate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, Semaphore, TryAcquireError};
use zocp_zre::{IdHash, PeerId};

use crate::error::NodeError;

/// The gates of all present peers. Shared between the actor and the handles.
#[derive(Debug)]
pub(crate) struct Gates {
    size: usize,
    gates: RwLock<HashMap<PeerId, Arc<Gate>, IdHash>>,
}

/// How much may still be queued for one peer.
#[derive(Debug)]
pub(crate) struct Gate {
    room: Semaphore,
    /// What messages on their way have taken. Only the actor changes it.
    owed: AtomicUsize,
    /// Something of it was given back.
    released: Notify,
    /// The peer is here, and nothing can be said to it.
    is_barred: AtomicBool,
}

/// A message's permission to be queued. Dropped without [`Pass::redeem`], it gives back its share.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    share: usize,
}

impl Gates {
    pub(crate) fn new(size: usize, hash: IdHash) -> Self {
        let gates = RwLock::new(HashMap::with_hasher(hash));
        Self {
            size: size.min(u32::MAX as usize),
            gates,
        }
    }

    pub(crate) fn open(&self, peer: PeerId) {
        let gate = Gate {
            room: Semaphore::new(self.size),
            owed: AtomicUsize::new(0),
            released: Notify::new(),
            is_barred: AtomicBool::new(false),
        };
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = gates.insert(peer, Arc::new(gate)) {
            old.close();
        }
    }

    pub(crate) fn close(&self, peer: PeerId) {
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.remove(&peer) {
            gate.close();
        }
    }

    /// Nothing can be said to a peer until its gate is opened anew: whoever waits or comes is told.
    pub(crate) fn bar(&self, peer: PeerId) {
        if let Ok(gate) = self.of(peer) {
            gate.is_barred.store(true, Ordering::Relaxed);
            gate.close();
        }
    }

    /// Waits for room. Cancel-safe.
    pub(crate) async fn pass(&self, peer: PeerId, octets: usize) -> Result<Pass, NodeError> {
        let share = self.share(octets);
        let gate = self.of(peer)?;
        match gate.room.try_acquire_many(share) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::Closed) => return Err(gate.why_closed(peer)),
            Err(TryAcquireError::NoPermits) => {
                let permit = gate.room.acquire_many(share).await;
                permit.map_err(|_| gate.why_closed(peer))?.forget();
            }
        }
        Ok(Pass {
            gate,
            share: share as usize,
        })
    }

    /// As [`pass`](Self::pass), but refused with `Busy` where that would wait.
    pub(crate) fn try_pass(&self, peer: PeerId, octets: usize) -> Result<Pass, NodeError> {
        let share = self.share(octets);
        let gate = self.of(peer)?;
        match gate.room.try_acquire_many(share) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::Closed) => return Err(gate.why_closed(peer)),
            Err(TryAcquireError::NoPermits) => return Err(NodeError::Busy),
        }
        Ok(Pass {
            gate,
            share: share as usize,
        })
    }

    /// Gives back what a peer's socket has taken; `usize::MAX` when nothing is queued any more, which
    /// also gives back what messages take beside their octets.
    pub(crate) fn release(&self, peer: PeerId, octets: usize) {
        if let Ok(gate) = self.of(peer) {
            let paid = octets.min(gate.owed.load(Ordering::Relaxed));
            if paid > 0 {
                gate.owed.fetch_sub(paid, Ordering::Relaxed);
                gate.room.add_permits(paid);
                gate.released.notify_waiters();
            }
        }
    }

    /// Waits until at most `octets` are queued for a peer. Cancel-safe.
    pub(crate) async fn drained(&self, peer: PeerId, octets: usize) -> Result<(), NodeError> {
        let gate = self.of(peer)?;
        let room = self.size.saturating_sub(octets);
        loop {
            let released = gate.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if gate.room.is_closed() {
                return Err(gate.why_closed(peer));
            }
            if gate.room.available_permits() >= room {
                return Ok(());
            }
            released.await;
        }
    }

    /// Whether a sender would have to wait.
    pub(crate) fn is_full(&self, peer: PeerId) -> bool {
        self.of(peer)
            .is_ok_and(|gate| gate.room.available_permits() == 0)
    }

    /// How much waits for a peer, messages with what they take beside their octets.
    pub(crate) fn queued(&self, peer: PeerId) -> usize {
        self.of(peer).map_or(0, |gate| self.taken(&gate))
    }

    /// The same of all peers together.
    pub(crate) fn queued_for_all(&self) -> usize {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        gates.values().map(|gate| self.taken(gate)).sum()
    }

    fn taken(&self, gate: &Gate) -> usize {
        self.size.saturating_sub(gate.room.available_permits())
    }

    fn of(&self, peer: PeerId) -> Result<Arc<Gate>, NodeError> {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        gates.get(&peer).cloned().ok_or(NodeError::NodeGone(peer))
    }

    fn share(&self, octets: usize) -> u32 {
        // So that many small messages are bounded as well.
        u32::try_from(octets.saturating_add(OVERHEAD).min(self.size)).unwrap_or(u32::MAX)
    }
}

impl Gate {
    fn why_closed(&self, peer: PeerId) -> NodeError {
        if self.is_barred.load(Ordering::Relaxed) {
            NodeError::Unreachable(peer)
        } else {
            NodeError::NodeGone(peer)
        }
    }

    /// Wakes all who wait: the peer is gone, or cannot be told anything.
    fn close(&self) {
        self.room.close();
        self.released.notify_waiters();
    }
}

impl Pass {
    /// The message is queued: its share is given back by [`Gates::release`].
    pub(crate) fn redeem(mut self) {
        let share = std::mem::take(&mut self.share);
        self.gate.owed.fetch_add(share, Ordering::Relaxed);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.share > 0 {
            self.gate.room.add_permits(self.share);
            self.gate.released.notify_waiters();
        }
    }
}

/// What a queued message takes beside its octets. With the default of 16 MiB for each peer, fewer
/// messages than the ZRE core holds for one pass a gate, so that what passed is never refused there.
const OVERHEAD: usize = 128;
