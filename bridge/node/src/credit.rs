//! Send credit: how many octets may wait to be sent to one peer.
//!
//! Model: a [`SendCredit`] counts the octets that may still be queued for its peer. A sender acquires a
//! [`CreditPermit`] before it hands a message to the actor. When the message is queued the permit is charged to the
//! peer, and the actor releases the charge as the peer's socket takes octets. When a peer leaves, its credit is closed,
//! which wakes every sender that waits.
//! Limits: [`Limits::outgoing_whispers_max`](crate::Limits::outgoing_whispers_max) octets for each peer; beyond it
//! [`SendCredits::acquire`] waits and [`SendCredits::try_acquire`] fails. One message that is longer takes all of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, Semaphore, TryAcquireError};
use zocp_zre::{IdHash, PeerId};

use crate::error::NodeError;

/// The credit of all present peers. Shared between the actor and the handles.
#[derive(Debug)]
pub(crate) struct SendCredits {
    size: usize,
    /// Locked because handles acquire credit in the tasks of their callers while the actor adds and removes peers; a
    /// reader holds up no other reader.
    peers: RwLock<HashMap<PeerId, Arc<SendCredit>, IdHash>>,
}

/// How much may still be queued for one peer.
#[derive(Debug)]
pub(crate) struct SendCredit {
    available: Semaphore,
    /// What queued messages have taken and the actor has not released. Only the actor changes it.
    charged: AtomicUsize,
    /// Notified when some of it is available again.
    released: Notify,
    /// The peer is present, but cannot be reached.
    is_unreachable: AtomicBool,
}

/// The credit for one message. Dropping it without [`CreditPermit::charge`] gives it back.
#[derive(Debug)]
pub(crate) struct CreditPermit {
    credit: Arc<SendCredit>,
    octets: usize,
}

impl SendCredits {
    pub(crate) fn new(size: usize, hash: IdHash) -> Self {
        let peers = RwLock::new(HashMap::with_hasher(hash));
        Self {
            size: size.min(u32::MAX as usize),
            peers,
        }
    }

    pub(crate) fn open(&self, peer: PeerId) {
        let credit = SendCredit {
            available: Semaphore::new(self.size),
            charged: AtomicUsize::new(0),
            released: Notify::new(),
            is_unreachable: AtomicBool::new(false),
        };
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = peers.insert(peer, Arc::new(credit)) {
            old.close();
        }
    }

    pub(crate) fn close(&self, peer: PeerId) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(credit) = peers.remove(&peer) {
            credit.close();
        }
    }

    /// Fails all who wait for a peer's credit, and all who ask for it until it is opened again, with `Unreachable`.
    pub(crate) fn mark_unreachable(&self, peer: PeerId) {
        if let Ok(credit) = self.of(peer) {
            credit.is_unreachable.store(true, Ordering::Relaxed);
            credit.close();
        }
    }

    /// Waits for available. Cancel-safe.
    pub(crate) async fn acquire(
        &self,
        peer: PeerId,
        octets: usize,
    ) -> Result<CreditPermit, NodeError> {
        let cost = self.cost(octets);
        let credit = self.of(peer)?;
        match credit.available.try_acquire_many(cost) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::Closed) => return Err(credit.why_closed(peer)),
            Err(TryAcquireError::NoPermits) => {
                let permit = credit.available.acquire_many(cost).await;
                permit.map_err(|_| credit.why_closed(peer))?.forget();
            }
        }
        Ok(CreditPermit {
            credit,
            octets: cost as usize,
        })
    }

    /// As [`acquire`](Self::acquire), but fails with `Busy` where that would wait.
    pub(crate) fn try_acquire(
        &self,
        peer: PeerId,
        octets: usize,
    ) -> Result<CreditPermit, NodeError> {
        let cost = self.cost(octets);
        let credit = self.of(peer)?;
        match credit.available.try_acquire_many(cost) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::Closed) => return Err(credit.why_closed(peer)),
            Err(TryAcquireError::NoPermits) => return Err(NodeError::Busy),
        }
        Ok(CreditPermit {
            credit,
            octets: cost as usize,
        })
    }

    /// Makes available again what a peer's socket has taken. `usize::MAX` says that nothing is queued any more, which
    /// also releases the [`OVERHEAD`] of messages.
    pub(crate) fn release(&self, peer: PeerId, octets: usize) {
        if let Ok(credit) = self.of(peer) {
            let released = octets.min(credit.charged.load(Ordering::Relaxed));
            if released > 0 {
                credit.charged.fetch_sub(released, Ordering::Relaxed);
                credit.available.add_permits(released);
                credit.released.notify_waiters();
            }
        }
    }

    /// Waits until at most `octets` are queued for a peer. Cancel-safe.
    pub(crate) async fn drained(&self, peer: PeerId, octets: usize) -> Result<(), NodeError> {
        let credit = self.of(peer)?;
        let wanted = self.size.saturating_sub(octets);
        loop {
            let released = credit.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if credit.available.is_closed() {
                return Err(credit.why_closed(peer));
            }
            if credit.available.available_permits() >= wanted {
                return Ok(());
            }
            released.await;
        }
    }

    /// Whether a sender would have to wait.
    pub(crate) fn is_full(&self, peer: PeerId) -> bool {
        self.of(peer)
            .is_ok_and(|credit| credit.available.available_permits() == 0)
    }

    /// The octets that wait for a peer, with the [`OVERHEAD`] of each message.
    pub(crate) fn queued(&self, peer: PeerId) -> usize {
        self.of(peer).map_or(0, |credit| self.taken(&credit))
    }

    /// The octets that wait for all peers together.
    pub(crate) fn queued_for_all(&self) -> usize {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.values().map(|credit| self.taken(credit)).sum()
    }

    fn taken(&self, credit: &SendCredit) -> usize {
        self.size
            .saturating_sub(credit.available.available_permits())
    }

    fn of(&self, peer: PeerId) -> Result<Arc<SendCredit>, NodeError> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&peer).cloned().ok_or(NodeError::NodeGone(peer))
    }

    fn cost(&self, octets: usize) -> u32 {
        u32::try_from(octets.saturating_add(OVERHEAD).min(self.size)).unwrap_or(u32::MAX)
    }
}

impl SendCredit {
    fn why_closed(&self, peer: PeerId) -> NodeError {
        if self.is_unreachable.load(Ordering::Relaxed) {
            NodeError::Unreachable(peer)
        } else {
            NodeError::NodeGone(peer)
        }
    }

    /// Wakes all who wait: the peer is gone or cannot be reached.
    fn close(&self) {
        self.available.close();
        self.released.notify_waiters();
    }
}

impl CreditPermit {
    /// The message is queued: from now on [`SendCredits::release`] gives its octets back.
    pub(crate) fn charge(mut self) {
        let octets = std::mem::take(&mut self.octets);
        self.credit.charged.fetch_add(octets, Ordering::Relaxed);
    }
}

impl Drop for CreditPermit {
    fn drop(&mut self) {
        if self.octets > 0 {
            self.credit.available.add_permits(self.octets);
            self.credit.released.notify_waiters();
        }
    }
}

/// What a queued message takes beside its octets, so that many small messages are bounded as well. With the default of
/// 16 MiB for each peer, the credit is spent before the ZRE core holds as many messages as it may, so that it never
/// refuses a message that has credit.
const OVERHEAD: usize = 128;
