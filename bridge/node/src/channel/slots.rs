//! How many channels each peer has.
//!
//! Model: [`ChannelSlots`] has an entry for each present peer. A channel, and a ticket that is not redeemed, holds a
//! [`ChannelSlot`] of its peer; dropping it frees the slot. When the peer leaves, the token of its slots is cancelled.
//! Limits: [`CHANNELS_PER_PEER_MAX`]; beyond it there is no slot, and the caller gets `Busy`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use zocp_zre::PeerId;

use crate::error::NodeError;

/// The slots of all present peers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelSlots {
    /// Locked because handles and connection tasks take slots, and a channel frees its slot wherever it is dropped.
    peers: Arc<Mutex<HashMap<PeerId, PeerSlots>>>,
}

#[derive(Debug, Clone)]
struct PeerSlots {
    /// One clone for each slot, and this one.
    held: Arc<()>,
    gone: CancellationToken,
}

/// The slot of one channel.
#[derive(Debug)]
pub(crate) struct ChannelSlot {
    _held: Arc<()>,
    gone: CancellationToken,
}

impl ChannelSlots {
    /// A peer entered.
    pub(crate) fn open(&self, peer: PeerId) {
        let slots = PeerSlots {
            held: Arc::default(),
            gone: CancellationToken::new(),
        };
        if let Some(old) = self.peers().insert(peer, slots) {
            old.gone.cancel();
        }
    }

    /// A peer left.
    pub(crate) fn close(&self, peer: PeerId) {
        if let Some(old) = self.peers().remove(&peer) {
            old.gone.cancel();
        }
    }

    /// A slot of a peer.
    ///
    /// # Errors
    /// `NodeGone`; `Busy` when the peer has too many channels.
    pub(crate) fn take(&self, peer: PeerId) -> Result<ChannelSlot, NodeError> {
        let peers = self.peers();
        let slots = peers.get(&peer).ok_or(NodeError::NodeGone(peer))?;
        if Arc::strong_count(&slots.held) > CHANNELS_PER_PEER_MAX {
            return Err(NodeError::Busy);
        }
        Ok(ChannelSlot {
            _held: slots.held.clone(),
            gone: slots.gone.clone(),
        })
    }

    /// How many channels a peer has.
    pub(crate) fn count(&self, peer: PeerId) -> usize {
        let peers = self.peers();
        peers
            .get(&peer)
            .map_or(0, |slots| Arc::strong_count(&slots.held) - 1)
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, PeerSlots>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChannelSlot {
    /// Cancelled when the peer leaves.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

/// Channels of one peer, with the tickets that are not redeemed: each takes a socket and up to 1 MiB.
const CHANNELS_PER_PEER_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: PeerId = PeerId::new([1; 16]);

    #[test]
    fn channels_of_one_peer_are_counted() {
        let slots = ChannelSlots::default();
        assert_eq!(slots.take(LAMP).err(), Some(NodeError::NodeGone(LAMP)));
        slots.open(LAMP);
        let mut held: Vec<_> = (0..CHANNELS_PER_PEER_MAX)
            .map(|_| slots.take(LAMP).unwrap())
            .collect();
        assert_eq!(slots.take(LAMP).err(), Some(NodeError::Busy));
        held.pop();
        assert_eq!(slots.count(LAMP), CHANNELS_PER_PEER_MAX - 1);
        assert!(slots.take(LAMP).is_ok());
    }

    #[test]
    fn who_leaves_ends_its_channels() {
        let slots = ChannelSlots::default();
        slots.open(LAMP);
        let slot = slots.take(LAMP).unwrap();
        slots.close(LAMP);
        assert!(slot.gone().is_cancelled());
        slots.open(LAMP);
        assert_eq!(
            slots.count(LAMP),
            0,
            "an old slot is not one of the new peer"
        );
    }
}
