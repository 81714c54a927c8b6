//! All peers: by index, which is short-lived and quick, and by id.
//!
//! Invariants: PEERTABLE-1. `by_id` holds exactly the peers that have an id. PEERTABLE-2. An index is
//! free after `remove` and may be given to another peer.

use std::collections::HashMap;

use crate::PeerId;
use crate::hash::IdHash;
use crate::peer::Peer;

/// The index of a peer.
pub(crate) type Key = usize;

/// All peers, heard and present.
#[derive(Debug)]
pub(crate) struct Peers {
    slots: Vec<Option<Peer>>,
    free: Vec<Key>,
    by_id: HashMap<PeerId, Key, IdHash>,
}

impl Peers {
    pub(crate) fn new(hash: IdHash) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::with_hasher(hash),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, peer: Peer) -> Key {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(id) = peer.id {
            self.by_id.insert(id, key);
        }
        self.slots[key] = Some(peer);
        key
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Peer> {
        let peer = self.slots.get_mut(key)?.take()?;
        self.free.push(key);
        if let Some(id) = peer.id {
            self.by_id.remove(&id);
        }
        Some(peer)
    }

    /// Gives an id to a peer, which is known by it from now on.
    pub(crate) fn rename(&mut self, key: Key, id: PeerId) {
        if let Some(peer) = self.at_mut(key) {
            let former = peer.id.replace(id);
            if let Some(former) = former {
                self.by_id.remove(&former);
            }
            self.by_id.insert(id, key);
        }
    }

    pub(crate) fn key(&self, id: PeerId) -> Option<Key> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn at(&self, key: Key) -> Option<&Peer> {
        self.slots.get(key)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, key: Key) -> Option<&mut Peer> {
        self.slots.get_mut(key)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Peer)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(key, slot)| Some((key, slot.as_ref()?)))
    }

    /// The first peer for which `test` holds.
    pub(crate) fn find(&self, test: impl Fn(&Peer) -> bool) -> Option<Key> {
        self.iter().find(|(_, peer)| test(peer)).map(|(key, _)| key)
    }
}
