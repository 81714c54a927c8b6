//! Who is present, under which label, and who is meant by a text.
//!
//! Model: plain data. Each peer has a label of its own from its arrival to its leaving.
//! Invariants: D1. no two present peers have one label. D2. a peer's label never changes: the first of
//! several of one name has the plain one, later ones the first digits of their UUID behind it.

use std::collections::BTreeMap;

use zocp_node::PeerId;

use crate::label::{label, suffixed};

/// Who is present.
#[derive(Debug, Default)]
pub(super) struct Directory {
    peers: BTreeMap<PeerId, Entry>,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    name: String,
    label: String,
    arrival: u64,
}

impl Directory {
    /// A peer is here now; its label.
    pub(super) fn enter(&mut self, id: PeerId, name: &str) -> String {
        let plain = label(name);
        let hex = id.to_string();
        // Two UUIDs with the same first digits are possible; then all digits tell them apart.
        let label = [
            plain.clone(),
            suffixed(&plain, &hex),
            format!("{plain}_{hex}"),
        ]
        .into_iter()
        .find(|label| !self.is_taken(label))
        .unwrap_or(hex);
        self.arrivals += 1;
        let entry = Entry {
            name: name.to_owned(),
            label: label.clone(),
            arrival: self.arrivals,
        };
        self.peers.insert(id, entry);
        label
    }

    /// A peer is gone; the label that it had.
    pub(super) fn leave(&mut self, id: PeerId) -> Option<String> {
        self.peers.remove(&id).map(|entry| entry.label)
    }

    /// The label of a present peer.
    pub(super) fn label_of(&self, id: PeerId) -> Option<&str> {
        self.peers.get(&id).map(|entry| entry.label.as_str())
    }

    /// The present peer with this label.
    pub(super) fn labelled(&self, label: &str) -> Option<PeerId> {
        self.peers
            .iter()
            .find(|(_, entry)| entry.label == label)
            .map(|(id, _)| *id)
    }

    /// The peer that is meant: by its name, of several the first that came; by its label; or by its
    /// UUID, of which the beginning will do if only one begins so.
    pub(super) fn find(&self, text: &str) -> Option<PeerId> {
        let named = self.peers.iter().filter(|(_, entry)| entry.name == text);
        named
            .min_by_key(|(_, entry)| entry.arrival)
            .map(|(id, _)| *id)
            .or_else(|| self.labelled(text))
            .or_else(|| self.identified(text))
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

    fn is_taken(&self, label: &str) -> bool {
        self.peers.values().any(|entry| entry.label == label)
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
        let mut directory = Directory::default();
        assert_eq!(directory.enter(id(1, 1), "lamp@foh"), "lamp_40foh");
        assert_eq!(directory.enter(id(2, 2), "lamp@foh"), "lamp_40foh_02070707");
        let long = directory.enter(id(2, 3), "lamp@foh");
        assert_eq!(long, format!("lamp_40foh_{}", id(2, 3)));
        assert_eq!(directory.find("lamp@foh"), Some(id(1, 1)));
        assert_eq!(directory.leave(id(1, 1)).as_deref(), Some("lamp_40foh"));
        assert_eq!(directory.label_of(id(2, 2)), Some("lamp_40foh_02070707"));
        assert_eq!(
            directory.find("lamp@foh"),
            Some(id(2, 2)),
            "the first that is still here"
        );
        assert_eq!(directory.enter(id(3, 3), "lamp@foh"), "lamp_40foh");
    }

    #[test]
    fn a_peer_is_found_by_label_and_beginning_of_its_uuid() {
        let mut directory = Directory::default();
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
