//! The keys that are trusted on a secure mesh, and those that were refused.
//!
//! Model: on a secure mesh a node is identified by its key. The caller's connections prove that a peer has its key
//! (CURVE); this crate compares keys, and computes nothing. [`Trust`] holds the trusted keys. A *stranger* is a key that
//! was announced or proved without being trusted: it is remembered so that a person can compare and trust it, and has no
//! other effect. [`NodeKey`] is any 32 octets that a beacon may announce, also those that are no usable key; whether they
//! are one is known to the crate that encrypts, and so it is a type of its own.
//! Invariants: ADMISSION-1. On a secure mesh every peer has a key that was admitted when it was made a peer; no peer
//! is dialed, and none enters, whose key is not. ADMISSION-2. Without security no peer has one.
//! ADMISSION-3. A key that is trusted on first use is the first that had its node's name; one that comes later under
//! a name that another trusted key has is not.
//! Limits: [`TRUSTED_MAX`] keys, [`LEARNED_MAX`] of them on first use, above which others are strangers;
//! [`STRANGERS_MAX`] strangers, the longest silent making room when it has been so for [`STRANGER_FOR`], and
//! [`NAMESAKES_MAX`] namesakes: a flood of made-up keys costs that much and shows each of them once.
//! Spec: docs/reference/protocol.md §8.4, §8.7, §8.9.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::PeerId;

/// The octets of a public key, as a beacon announces them. They may be no usable key, and nobody may have it: the caller
/// finds out.
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
    /// This node's key, which its beacons announce.
    pub key: NodeKey,
    /// The keys of the nodes that may be peers.
    pub trusted: Vec<NodeKey>,
    /// Further keys that were trusted on first use, each with the name of its node.
    pub learned: Vec<(NodeKey, Box<str>)>,
    /// Keys that are not trusted on first use.
    pub barred: Vec<NodeKey>,
    /// Whether other keys are trusted when a peer first proves to have one.
    pub first_use: FirstUse,
}

/// What happens to a key that is not trusted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstUse {
    /// It is refused, and remembered as a stranger.
    #[default]
    Refuse,
    /// It is trusted from then on, unless a node with the same name has another trusted key.
    Trust,
}

/// A key that was announced or proved without being trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// The key. If only beacons announced it, nobody has proved to have it.
    pub key: NodeKey,
    /// The identity that its node announced.
    pub id: PeerId,
    /// The remote address of its last announcement.
    pub from: SocketAddr,
    /// The time of its last announcement.
    pub heard: Instant,
    /// The number of its announcements: beacons and connections.
    pub times: u64,
}

/// The keys of a secure mesh.
#[derive(Debug)]
pub(crate) struct Trust {
    own: NodeKey,
    trusted: HashMap<NodeKey, Trusted>,
    /// How many of them on first use.
    learned: usize,
    /// Who is not trusted on first use: whoever was distrusted.
    barred: HashSet<NodeKey>,
    /// Keys of nodes that came under the name of another's, the latest last.
    namesakes: VecDeque<NodeKey>,
    pub(crate) first_use: FirstUse,
    strangers: Vec<Stranger>,
}

/// What is known of a trusted key.
#[derive(Debug, Default)]
struct Trusted {
    on_first_use: bool,
    /// What its node called itself when it entered last.
    name: Option<Box<str>>,
}

/// More keys are not trusted: [`Trust::add`] refuses.
pub(crate) const TRUSTED_MAX: usize = 65_536;
/// More are not trusted on first use: far more nodes than one network has, and few enough to be looked at.
pub(crate) const LEARNED_MAX: usize = 1024;
/// Strangers remembered.
const STRANGERS_MAX: usize = 64;
/// A stranger that has been silent for this long makes room for another.
const STRANGER_FOR: Duration = Duration::from_secs(30);
/// Keys remembered that came under a name that is taken; who is forgotten is refused at its next HELLO again.
const NAMESAKES_MAX: usize = 64;

impl Trust {
    pub(crate) fn new(security: &Security) -> Self {
        let mut trust = Self {
            own: security.key,
            trusted: HashMap::new(),
            learned: 0,
            barred: security.barred.iter().copied().collect(),
            namesakes: VecDeque::new(),
            first_use: security.first_use,
            strangers: Vec::new(),
        };
        for key in &security.trusted {
            trust.trusted.insert(*key, Trusted::default());
        }
        for (key, name) in &security.learned {
            trust.learn(*key, name);
        }
        trust
    }

    pub(crate) const fn own(&self) -> NodeKey {
        self.own
    }

    /// Whether who has this key may be here. Our own is no exception: nodes that share one list it.
    pub(crate) fn admits(&self, key: NodeKey) -> bool {
        self.trusted.contains_key(&key) || self.may_learn(key)
    }

    /// Whether it would be trusted on first use.
    fn may_learn(&self, key: NodeKey) -> bool {
        self.first_use == FirstUse::Trust
            && self.learned < LEARNED_MAX
            && !self.barred.contains(&key)
            && !self.namesakes.contains(&key)
    }

    /// `true` if it was not trusted before, and is now.
    pub(crate) fn add(&mut self, key: NodeKey) -> bool {
        self.strangers.retain(|stranger| stranger.key != key);
        self.barred.remove(&key);
        self.namesakes.retain(|namesake| *namesake != key);
        if let Some(known) = self.trusted.get_mut(&key) {
            self.learned -= usize::from(std::mem::take(&mut known.on_first_use));
            return false;
        }
        let has_room = self.trusted.len() < TRUSTED_MAX;
        if has_room {
            self.trusted.insert(key, Trusted::default());
        }
        has_room
    }

    /// Trusts a key on first use; `true` if it was not trusted before, and is now.
    fn learn(&mut self, key: NodeKey, name: &str) -> bool {
        if self.trusted.contains_key(&key)
            || self.learned >= LEARNED_MAX
            || self.trusted.len() >= TRUSTED_MAX
        {
            return false;
        }
        self.strangers.retain(|stranger| stranger.key != key);
        self.learned += 1;
        let known = Trusted {
            on_first_use: true,
            name: Some(name.into()),
        };
        self.trusted.insert(key, known);
        true
    }

    /// A node with an admitted key has entered under a name; `true` if the key is trusted only now.
    pub(crate) fn entered(&mut self, key: NodeKey, name: &str) -> bool {
        match self.trusted.get_mut(&key) {
            Some(known) => {
                if known.name.as_deref() != Some(name) {
                    known.name = Some(name.into());
                }
                false
            }
            None => self.learn(key, name),
        }
    }

    /// The trusted key that had this name before who has `key`, which would be trusted on first use.
    pub(crate) fn holder(&self, key: NodeKey, name: &str) -> Option<NodeKey> {
        if self.trusted.contains_key(&key) || name.is_empty() {
            return None;
        }
        let has_it = |known: &Trusted| known.name.as_deref() == Some(name);
        let mut holders = self.trusted.iter().filter(|(_, known)| has_it(known));
        holders.next().map(|(key, _)| *key)
    }

    /// Who has this key came under another's name: no first use for it from now on, until it is trusted.
    pub(crate) fn namesake(&mut self, key: NodeKey) {
        if self.namesakes.len() >= NAMESAKES_MAX {
            self.namesakes.pop_front();
        }
        self.namesakes.push_back(key);
    }

    /// `true` if it was trusted before. It is not trusted on first use either from now on.
    pub(crate) fn remove(&mut self, key: NodeKey) -> bool {
        if self.barred.len() < TRUSTED_MAX {
            self.barred.insert(key);
        }
        match self.trusted.remove(&key) {
            Some(known) => {
                self.learned -= usize::from(known.on_first_use);
                true
            }
            None => false,
        }
    }

    pub(crate) fn trusted(&self) -> impl Iterator<Item = NodeKey> {
        self.trusted.keys().copied()
    }

    pub(crate) fn strangers(&self) -> &[Stranger] {
        &self.strangers
    }

    /// Takes note of a key that asked in vain; `true` if it is a new one, and there was room.
    pub(crate) fn refused(&mut self, stranger: Stranger) -> bool {
        if let Some(known) = self.strangers.iter_mut().find(|s| s.key == stranger.key) {
            let times = known.times.saturating_add(stranger.times);
            *known = Stranger { times, ..stranger };
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
            learned: Vec::new(),
            barred: Vec::new(),
            first_use: FirstUse::Refuse,
        });
        assert!(trust.add(key(TRUSTED_MAX)));
        assert!(!trust.add(key(TRUSTED_MAX + 1)));
        assert!(!trust.admits(key(TRUSTED_MAX + 1)));
        assert!(trust.remove(key(1)) && trust.add(key(TRUSTED_MAX + 1)));
    }
}
