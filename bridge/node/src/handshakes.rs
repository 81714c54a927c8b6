//! The slots of connections whose handshake is not over.
//!
//! Model: until a peer has completed its handshake, its connection costs memory and has proved nothing. Each such
//! connection holds a [`HandshakeSlot`]: one of those of all connections, and one of those of its address.
//! Limits: [`Limits::handshakes_max`]; when all slots are taken, [`HandshakeSlots::next`] waits, and further
//! connections wait in the kernel's queue. [`Limits::handshakes_per_address_max`]; beyond it
//! [`FreeSlot::of_address`] gives none, and the connection is closed.
//! Not here: how often an address may begin a handshake (`handshake_limiter.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::quota::{AddressQuota, AddressSlot};

/// All slots. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct HandshakeSlots {
    all: Arc<Semaphore>,
    by_address: AddressQuota,
}

/// The slot of a connection that has not come yet, so that its address is unknown.
pub(crate) struct FreeSlot {
    slot: OwnedSemaphorePermit,
    by_address: AddressQuota,
}

/// The slot of one connection. Dropping it frees it.
pub(crate) struct HandshakeSlot {
    _of_all: OwnedSemaphorePermit,
    _of_address: AddressSlot,
}

impl HandshakeSlots {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.handshakes_max)),
            by_address: AddressQuota::new(limits.handshakes_per_address_max),
        }
    }

    /// Waits for a free slot. Cancel-safe.
    pub(crate) async fn next(&self) -> FreeSlot {
        let Ok(slot) = Arc::clone(&self.all).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        FreeSlot {
            slot,
            by_address: self.by_address.clone(),
        }
    }
}

impl FreeSlot {
    /// Gives the slot to a connection from this address; `None` if the address holds as many as it may.
    pub(crate) fn of_address(self, address: IpAddr) -> Option<HandshakeSlot> {
        let of_address = self.by_address.take(address)?;
        Some(HandshakeSlot {
            _of_all: self.slot,
            _of_address: of_address,
        })
    }
}
