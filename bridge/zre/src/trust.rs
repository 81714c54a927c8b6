//! Who may be on a secure mesh: the keys that are trusted, and those that asked in vain.
//!
//! Model: on a secure mesh a node is whoever has its key; the caller's connections prove it (CURVE), this
//! crate only compares. [`Trust`] holds the trusted keys. A *stranger* is a key that was heard or that proved
//! itself without being trusted: it is remembered for people, who may compare it and trust it, and nothing
//! else comes of it.
//! Invariants: I1. On a secure mesh every peer has a key that was admitted when it was made a peer; no peer
//! is dialed, and none enters, whose key is not. I2. Without security no peer has one.
//! Limits: [`TRUSTED_MAX`] keys, [`STRANGERS_MAX`] strangers, the longest silent making room when it has been
//! so for [`STRANGER_FOR`]: a flood of made-up keys costs that much and shows each of them once.
//! Spec: docs/reference/protocol.md §8.4, §8.7.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::PeerId;

/// A public key, as octets. Whether it is one, and whether somebody has it, is the caller's affair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey([u8; 32]);

impl NodeKey {
    /// A key of these octets.
    #[must_use]
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The first octets, in hexadecimal.
impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKey(")?;
        self.0[..4].iter().try_for_each(|o| write!(f, "{o:02x}"))?;
        write!(f, "…)")
    }
}

/// What makes a mesh a secure one. See [`Config::security`](crate::Config::security).
#[derive(Debug, Clone)]
pub struct Security {
    /// Our own key, which our beacons tell.
    pub key: NodeKey,
    /// Who may be here.
    pub trusted: Vec<NodeKey>,
    /// Whether everybody may who proves to have the key that he tells; such keys are trusted from then on.
    pub first_use: FirstUse,
}

/// What becomes of a key that is not trusted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstUse {
    /// Nothing: it is a stranger.
    #[default]
    Refuse,
    /// It is let in, and trusted from then on.
    Trust,
}

/// A key that asked in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// The key. If only a beacon told it, nobody has proved to have it.
    pub key: NodeKey,
    /// Who it says to be.
    pub id: PeerId,
    /// Where it was heard last.
    pub from: SocketAddr,
    /// When.
    pub heard: Instant,
}

/// The keys of a secure mesh.
#[derive(Debug)]
pub(crate) struct Trust {
    own: NodeKey,
    trusted: HashSet<NodeKey>,
    pub(crate) first_use: FirstUse,
    strangers: Vec<Stranger>,
}

/// More keys are not trusted: [`Trust::add`] refuses.
pub(crate) const TRUSTED_MAX: usize = 65_536;
/// Strangers remembered.
const STRANGERS_MAX: usize = 64;
/// A stranger that has been silent for this long makes room for another.
const STRANGER_FOR: Duration = Duration::from_secs(30);

impl Trust {
    pub(crate) fn new(security: &Security) -> Self {
        Self {
            own: security.key,
            trusted: security.trusted.iter().copied().collect(),
            first_use: security.first_use,
            strangers: Vec::new(),
        }
    }

    pub(crate) const fn own(&self) -> NodeKey {
        self.own
    }

    /// Whether who has this key may be here. Our own is no exception: nodes that share one list it.
    pub(crate) fn admits(&self, key: NodeKey) -> bool {
        self.first_use == FirstUse::Trust || self.trusted.contains(&key)
    }

    /// `true` if it was not trusted before, and is now.
    pub(crate) fn add(&mut self, key: NodeKey) -> bool {
        self.strangers.retain(|stranger| stranger.key != key);
        self.trusted.len() < TRUSTED_MAX && self.trusted.insert(key)
    }

    /// `true` if it was trusted before.
    pub(crate) fn remove(&mut self, key: NodeKey) -> bool {
        self.trusted.remove(&key)
    }

    pub(crate) fn trusted(&self) -> impl Iterator<Item = NodeKey> {
        self.trusted.iter().copied()
    }

    pub(crate) fn strangers(&self) -> &[Stranger] {
        &self.strangers
    }

    /// Takes note of a key that asked in vain; `true` if it is a new one, and there was room.
    pub(crate) fn refused(&mut self, stranger: Stranger) -> bool {
        if let Some(known) = self.strangers.iter_mut().find(|s| s.key == stranger.key) {
            *known = stranger;
            return false;
        }
        if self.strangers.len() >= STRANGERS_MAX {
            let old = |s: &Stranger| stranger.heard.saturating_duration_since(s.heard);
            let oldest = (0..self.strangers.len()).max_by_key(|&at| old(&self.strangers[at]));
            match oldest {
                Some(at) if old(&self.strangers[at]) >= STRANGER_FOR => {
                    self.strangers.swap_remove(at);
                }
                _ => return false,
            }
        }
        self.strangers.push(stranger);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> NodeKey {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&number.to_le_bytes());
        NodeKey::new(octets)
    }

    #[test]
    fn no_more_keys_are_trusted_than_there_may_be() {
        let mut trust = Trust::new(&Security {
            key: key(0),
            trusted: (1..TRUSTED_MAX).map(key).collect(),
            first_use: FirstUse::Refuse,
        });
        assert!(trust.add(key(TRUSTED_MAX)));
        assert!(!trust.add(key(TRUSTED_MAX + 1)));
        assert!(!trust.admits(key(TRUSTED_MAX + 1)));
        assert!(trust.remove(key(1)) && trust.add(key(TRUSTED_MAX + 1)));
    }
}
