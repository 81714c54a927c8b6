//! Which polls of Art-Net are answered.
//!
//! Model: a reply is longer than the poll that asks for it, and the sender's address of a poll can be forged. So each
//! address is sent at most one reply in [`INTERVAL`]; controllers poll every 2.5 s.
//! Limits: [`REPLIES_MAX`] addresses in an interval, polls of further ones are not answered.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// When each address was sent a reply.
#[derive(Debug, Default)]
pub(super) struct Replies(HashMap<IpAddr, Instant>);

impl Replies {
    /// Whether a poll of this address is answered now; it is then taken for answered.
    pub(super) fn take(&mut self, now: Instant, from: IpAddr) -> bool {
        let is_recent = |sent: &Instant| *sent + INTERVAL > now;
        if self.0.get(&from).is_some_and(is_recent) {
            return false;
        }
        if self.0.len() >= REPLIES_MAX {
            self.0.retain(|_, sent| is_recent(sent));
            if self.0.len() >= REPLIES_MAX {
                return false;
            }
        }
        self.0.insert(from, now);
        true
    }
}

/// The shortest time between two replies to one address.
const INTERVAL: Duration = Duration::from_secs(1);
/// Addresses that are answered in an interval.
pub(crate) const REPLIES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_answered_once_a_second() {
        let (mut replies, start) = (Replies::default(), Instant::now());
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert!(replies.take(start, one));
        assert!(!replies.take(start + INTERVAL / 2, one));
        assert!(replies.take(start + INTERVAL / 2, other));
        assert!(replies.take(start + INTERVAL, one));
    }

    #[test]
    fn the_addresses_of_a_second_have_a_bound() {
        let (mut replies, start) = (Replies::default(), Instant::now());
        let address = |number: usize| IpAddr::from((number as u32 + 1).to_be_bytes());
        for number in 0..REPLIES_MAX {
            assert!(replies.take(start, address(number)));
        }
        assert!(!replies.take(start, address(REPLIES_MAX)));
        assert!(replies.take(start + INTERVAL, address(REPLIES_MAX)));
    }
}
