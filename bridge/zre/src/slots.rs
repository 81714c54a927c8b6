//! Limits how many connections are opened at once because of one remote address.
//!
//! Model: an address whose beacon or HELLO makes this node dial has *slots*. A dial takes one from its beginning until it
//! is ready or has failed. A peer for which there is none waits for its turn; peers that were not dialed before come
//! first.
//! Invariants: SLOT-1. An address has an entry exactly while a slot of its is taken. SLOT-2. A peer waits once at most.
//! Limits: `Limits::dials_per_address_max` slots for each address; as many wait as there are peers.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::peers::Key;

/// The slots of all addresses.
#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug, Default)]
struct Address {
    taken: usize,
    waiting: VecDeque<Key>,
}

impl Slots {
    /// `max` for each address, one at least.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            addresses: HashMap::new(),
        }
    }

    /// Takes a slot for a peer, or has the peer wait; returns whether a slot was taken.
    pub(crate) fn take(&mut self, ip: IpAddr, peer: Key, is_new: bool) -> bool {
        let address = self.addresses.entry(ip).or_default();
        if address.taken < self.max {
            address.taken += 1;
            return true;
        }
        if is_new {
            address.waiting.push_front(peer);
        } else {
            address.waiting.push_back(peer);
        }
        false
    }

    /// Gives a slot back; returns the peer whose turn it is.
    pub(crate) fn release(&mut self, ip: IpAddr) -> Option<Key> {
        let address = self.addresses.get_mut(&ip)?;
        address.taken = address.taken.saturating_sub(1);
        let next = address.waiting.pop_front();
        if address.taken == 0 && next.is_none() {
            self.addresses.remove(&ip);
        }
        next
    }

    /// Removes a peer from those that wait.
    pub(crate) fn leave(&mut self, ip: IpAddr, peer: Key) {
        if let Some(address) = self.addresses.get_mut(&ip) {
            address.waiting.retain(|waiting| *waiting != peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_to_who_waits_and_to_who_was_not_tried_first() {
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut slots = Slots::new(1);
        assert!(slots.take(one, 1, true));
        assert!(slots.take(other, 2, true));
        assert!(!slots.take(one, 3, false));
        assert!(!slots.take(one, 4, false));
        assert!(!slots.take(one, 5, true));
        slots.leave(one, 3);
        assert_eq!(slots.release(one), Some(5));
        assert!(slots.take(one, 5, true));
        assert_eq!(slots.release(one), Some(4));
        assert_eq!(slots.release(one), None);
        assert_eq!(slots.release(other), None);
        assert!(slots.addresses.is_empty());
    }
}
