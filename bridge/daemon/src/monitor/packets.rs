//! The D-Bus messages in whispers between bridges.
//!
//! Model: a packet travels in one whisper or in pieces. The pieces of each peer and direction are put together
//! here as the receiver does it.
//! Limits: [`PACKET_LEN_MAX`] octets for a packet, twice that for the pieces of one peer and direction; [`OPEN_MAX`]
//! peers and directions have pieces at once. Beyond that, whispers are shown without their packets.

use std::collections::HashMap;

use zbus::Message;
use zocp_node::{
    PeerId,
    plumbing::{Direction, TracedMessage},
};

use zocp_relay::transport::{FRAGMENT_TAG, Reassembly, TAG, read};

/// Packets whose pieces are incomplete. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Packets {
    parts: HashMap<(PeerId, bool), Reassembly>,
}

impl Packets {
    /// The D-Bus message that a message of the mesh brings to its end.
    pub(super) fn whole(&mut self, passed: &TracedMessage) -> Option<Message> {
        let [tag, octets] = &passed.content[..] else {
            return None;
        };
        if **tag == *TAG {
            return read(octets, PACKET_LEN_MAX).ok();
        }
        if **tag != *FRAGMENT_TAG {
            return None;
        }
        let key = (passed.peer?, passed.direction == Direction::In);
        if self.parts.len() >= OPEN_MAX && !self.parts.contains_key(&key) {
            return None;
        }
        match self
            .parts
            .entry(key)
            .or_default()
            .add(octets, PACKET_LEN_MAX)
        {
            Ok(whole) => read(&whole?, PACKET_LEN_MAX).ok(),
            // A piece of a packet whose beginning passed before the watcher came.
            Err(_) => {
                self.parts.remove(&key);
                None
            }
        }
    }

    /// Forgets all pieces, since some may have been dropped.
    pub(super) fn forget(&mut self) {
        self.parts.clear();
    }

    /// A peer is gone.
    pub(super) fn left(&mut self, peer: PeerId) {
        self.parts.retain(|(of, _), _| *of != peer);
    }
}

const PACKET_LEN_MAX: usize = 48 << 20;
const OPEN_MAX: usize = 256;
