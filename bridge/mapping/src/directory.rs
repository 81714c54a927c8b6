//! The present peers and their labels, and the search for a peer by a text.
//!
//! Model: plain data that tasks share. The task that follows the mesh enters a peer before any other task learns of
//! it, and removes it after all others have. Objects and bus names of a peer use its label.
//! Invariants: DIRECTORY-1. No two present peers have the same label. DIRECTORY-2. Of several peers with the same
//! name, the first one has the plain label; later ones have the first digits of their UUID appended. DIRECTORY-3. A
//! label changes only when the peer with the plain label leaves: then the first of the others gets it
//! ([`Directory::promote`]).
//! Spec: docs/reference/dbus.md, "Labels".

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zocp_zre::PeerId;

use crate::label::{label, suffixed};

/// The present peers. Clones share one directory.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    peers: BTreeMap<PeerId, Entry>,
    labels: HashMap<Arc<str>, PeerId>,
    arrivals: u64,
}

/// A change of the label of a present peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relabelled {
    /// The peer.
    pub peer: PeerId,
    /// Its previous label.
    pub before: Arc<str>,
    /// Its new label.
    pub label: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    label: Arc<str>,
    arrival: u64,
}

impl Directory {
    /// Enters a peer and returns its label. A peer that is already present keeps its label.
    pub fn enter(&self, id: PeerId, name: &str) -> Arc<str> {
        let mut present = self.present();
        if let Some(entry) = present.peers.get(&id) {
            return entry.label.clone();
        }
        let label = present.free_label(id, name);
        present.arrivals += 1;
        let entry = Entry {
            name: name.to_owned(),
            label: label.clone(),
            arrival: present.arrivals,
        };
        present.labels.insert(label.clone(), id);
        present.peers.insert(id, entry);
        label
    }

    /// Removes a peer and returns its label.
    pub fn leave(&self, id: PeerId) -> Option<Arc<str>> {
        let mut present = self.present();
        let entry = present.peers.remove(&id)?;
        present.labels.remove(&entry.label);
        Some(entry.label)
    }

    /// Assigns a free label to the present peer that would have it if the peer that left had never been present.
    pub fn promote(&self, freed: &Arc<str>) -> Option<Relabelled> {
        let mut present = self.present();
        if present.labels.contains_key(freed) {
            return None;
        }
        let waits = |entry: &Entry| *label(&entry.name) == **freed;
        let waiting = present.peers.iter().filter(|(_, entry)| waits(entry));
        let (peer, _) = waiting.min_by_key(|(_, entry)| entry.arrival)?;
        let peer = *peer;
        let entry = present.peers.get_mut(&peer)?;
        let before = std::mem::replace(&mut entry.label, freed.clone());
        present.labels.remove(&before);
        present.labels.insert(freed.clone(), peer);
        Some(Relabelled {
            peer,
            before,
            label: freed.clone(),
        })
    }

    /// The label of a present peer.
    #[must_use]
    pub fn label_of(&self, id: PeerId) -> Option<Arc<str>> {
        self.present()
            .peers
            .get(&id)
            .map(|entry| entry.label.clone())
    }

    /// The present peer with this label.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<PeerId> {
        self.present().labels.get(label).copied()
    }

    /// Finds a peer by its name (of several, the one that entered first), by its label, or by its UUID or a unique
    /// beginning of it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<PeerId> {
        let present = self.present();
        let named = present.peers.iter().filter(|(_, entry)| entry.name == text);
        named
            .min_by_key(|(_, entry)| entry.arrival)
            .map(|(id, _)| *id)
            .or_else(|| present.labels.get(text).copied())
            .or_else(|| present.identified(text))
    }

    /// Whether a present peer has this name.
    #[must_use]
    pub fn has_name(&self, text: &str) -> bool {
        let present = self.present();
        present.peers.values().any(|entry| entry.name == text)
    }

    /// The data is consistent whenever the lock is free, so a poisoned lock can still be used.
    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    /// The first possible label that no present peer has.
    fn free_label(&self, id: PeerId, name: &str) -> Arc<str> {
        let plain = label(name);
        let hex = id.to_string();
        // Two UUIDs may have the same first digits; then all digits are used.
        [
            plain.clone(),
            suffixed(&plain, &hex),
            format!("{plain}_{hex}"),
        ]
        .into_iter()
        .find(|label| !self.labels.contains_key(label.as_str()))
        .unwrap_or(hex)
        .into()
    }

    fn identified(&self, text: &str) -> Option<PeerId> {
        let hex = text.replace('-', "").to_ascii_lowercase();
        if hex.len() < UUID_PREFIX_MIN {
            return None;
        }
        let mut found = self
            .peers
            .keys()
            .filter(|id| id.to_string().starts_with(&hex));
        let first = found.next();
        first.filter(|_| found.next().is_none()).copied()
    }
}

/// A shorter beginning of a UUID is more likely a slip.
const UUID_PREFIX_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u8, second: u8) -> PeerId {
        let mut octets = [7; 16];
        octets[0] = first;
        octets[15] = second;
        PeerId::new(octets)
    }

    #[test]
    fn the_first_of_a_name_has_the_plain_label() {
        let directory = Directory::default();
        assert_eq!(&*directory.enter(id(1, 1), "lamp@foh"), "lamp_40foh");
        assert_eq!(
            &*directory.enter(id(2, 2), "lamp@foh"),
            "lamp_40foh_02070707"
        );
        let long = directory.enter(id(2, 3), "lamp@foh");
        assert_eq!(*long, format!("lamp_40foh_{}", id(2, 3)));
        assert_eq!(directory.find("lamp@foh"), Some(id(1, 1)));
        let freed = directory.leave(id(1, 1)).unwrap();
        assert_eq!(&*freed, "lamp_40foh");
        assert_eq!(
            directory.find("lamp@foh"),
            Some(id(2, 2)),
            "the first that is still here"
        );
        assert_eq!(&*directory.enter(id(3, 3), "lamp@foh"), "lamp_40foh");
        assert_eq!(directory.promote(&freed), None, "it is not free");
    }

    #[test]
    fn a_label_that_becomes_free_goes_to_the_first_that_is_still_here() {
        let directory = Directory::default();
        for (digit, name) in [(1, "lamp"), (9, "lamp"), (2, "lamp"), (3, "fader")] {
            directory.enter(id(digit, digit), name);
        }
        let freed = directory.leave(id(3, 3)).unwrap();
        assert_eq!(directory.promote(&freed), None, "nobody else has that name");
        let suffixed = directory.leave(id(2, 2)).unwrap();
        assert_eq!(directory.promote(&suffixed), None, "it is nobody's own");
        directory.enter(id(2, 2), "lamp");
        let freed = directory.leave(id(1, 1)).unwrap();
        let relabelled = Relabelled {
            peer: id(9, 9),
            before: "lamp_09070707".into(),
            label: "lamp".into(),
        };
        assert_eq!(directory.promote(&freed), Some(relabelled));
        assert_eq!(directory.promote(&freed), None, "once");
        assert_eq!(directory.labelled("lamp"), Some(id(9, 9)));
        assert_eq!(directory.labelled("lamp_09070707"), None);
        assert_eq!(
            directory.label_of(id(2, 2)).as_deref(),
            Some("lamp_02070707")
        );
        // In the other order, the label is as if the first one had never been present.
        assert_eq!(directory.leave(id(9, 9)).as_deref(), Some("lamp"));
    }

    #[test]
    fn a_peer_is_found_by_label_and_beginning_of_its_uuid() {
        let directory = Directory::default();
        directory.enter(id(0xab, 1), "a b");
        directory.enter(id(0xac, 1), "c");
        assert_eq!(directory.find("a_20b"), Some(id(0xab, 1)));
        assert_eq!(directory.find("AB07"), Some(id(0xab, 1)));
        assert_eq!(directory.find("ac07-0707"), Some(id(0xac, 1)));
        assert_eq!(directory.find("ab"), None, "too short");
        assert_eq!(directory.find("nobody"), None);
        directory.enter(id(0xab, 2), "d");
        assert_eq!(directory.find("ab07"), None, "two begin so");
    }
}
