//! Which refusals were logged: one for each rule and peer, so that a log stays readable whatever a peer asks.
//!
//! Limits: [`LOGGED_MAX`] are remembered; further ones are not logged, which is said once. Rules are the user's and few; no
//! text that a peer chose is remembered.

use std::collections::HashSet;

use zocp_node::PeerId;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct RefusalLog {
    logged: HashSet<(PeerId, Box<str>)>,
    is_full: bool,
}

impl RefusalLog {
    /// Whether a refusal is to be logged: the first of a rule and a peer.
    pub(crate) fn is_new(&mut self, peer: PeerId, rule: &str) -> bool {
        if self.logged.contains(&(peer, rule.into())) {
            return false;
        }
        if self.logged.len() < LOGGED_MAX {
            return self.logged.insert((peer, rule.into()));
        }
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!("{LOGGED_MAX} refusals were logged; further ones are not");
        }
        false
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.logged.retain(|(refused, _)| *refused != peer);
    }

    /// The rules are others.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

const LOGGED_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> PeerId {
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&number.to_be_bytes());
        PeerId::new(octets)
    }

    #[test]
    fn the_first_refusal_of_a_rule_and_a_peer_is_logged_and_no_more_than_are_remembered() {
        let mut refused = RefusalLog::default();
        assert!(refused.is_new(peer(1), "org.a.*") && !refused.is_new(peer(1), "org.a.*"));
        assert!(refused.is_new(peer(1), "org.b.*") && refused.is_new(peer(2), "org.a.*"));
        refused.forget(peer(1));
        assert!(refused.is_new(peer(1), "org.a.*") && !refused.is_new(peer(2), "org.a.*"));
        for number in 3..=u16::MAX {
            refused.is_new(peer(number), "org.a.*");
        }
        assert_eq!(refused.logged.len(), LOGGED_MAX);
        refused.clear();
        assert!(refused.is_new(peer(2), "org.a.*"));
    }
}
