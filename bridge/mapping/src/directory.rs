//! The present peers and their labels, and the search for a peer by a text.
//!
//! Model: plain data that tasks share. The task that follows the mesh enters a peer before any other task learns of
//! it, and removes it after all others have. Objects and bus names of a peer use its label.
//! Invariants: DIRECTORY-1. No two present peers have the same label. DIRECTORY-2. Of several peers with the same
//! name, the first one has the plain label; later ones have the first digits of their UUID appended. DIRECTORY-3. A
//! label changes only when the peer with the plain label leaves: then the first of the others gets it
//! ([`Directory::promote`]).
//! DIRECTORY-4. The label of a peer of another venue is that of the venue, a dot and its own; as an element of a path
//! ([`path_element`]) the dot is a slash, escaped as in every label. No two present peers have the same such element.
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
    /// Locked because connection tasks look peers up while the task that follows the mesh changes them.
    present: Arc<Mutex<Present>>,
    /// The venue that the bridge is in.
    venue: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Present {
    peers: BTreeMap<PeerId, Entry>,
    /// By their labels as elements of a path.
    labels: HashMap<String, PeerId>,
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
    /// The label that it has if nobody else has it.
    plain: String,
    label: Arc<str>,
    arrival: u64,
}

impl Directory {
    /// The directory of a bridge in this venue, whose own peers may be named with it.
    #[must_use]
    pub fn within(venue: Option<&str>) -> Self {
        Self {
            present: Arc::default(),
            venue: venue.map(Into::into),
        }
    }

    /// Enters a peer and returns its label. A peer that is already present keeps its label. The name of a peer of another
    /// venue begins with that and a slash.
    pub fn enter(&self, id: PeerId, name: &str, venue: Option<&str>) -> Arc<str> {
        let mut present = self.present();
        if let Some(entry) = present.peers.get(&id) {
            return entry.label.clone();
        }
        let plain = plain_label(name, venue);
        let label = present.free_label(id, &plain);
        present.arrivals += 1;
        let entry = Entry {
            name: name.to_owned(),
            plain,
            label: label.clone(),
            arrival: present.arrivals,
        };
        present.labels.insert(path_element(&label), id);
        present.peers.insert(id, entry);
        label
    }

    /// Removes a peer and returns its label.
    pub fn leave(&self, id: PeerId) -> Option<Arc<str>> {
        let mut present = self.present();
        let entry = present.peers.remove(&id)?;
        present.labels.remove(&path_element(&entry.label));
        Some(entry.label)
    }

    /// Assigns a free label to the present peer that would have it if the peer that left had never been present.
    pub fn promote(&self, freed: &Arc<str>) -> Option<Relabelled> {
        let mut present = self.present();
        if present.labels.contains_key(&path_element(freed)) {
            return None;
        }
        let waits = |entry: &Entry| *entry.plain == **freed;
        let waiting = present.peers.iter().filter(|(_, entry)| waits(entry));
        let (peer, _) = waiting.min_by_key(|(_, entry)| entry.arrival)?;
        let peer = *peer;
        let entry = present.peers.get_mut(&peer)?;
        let before = std::mem::replace(&mut entry.label, freed.clone());
        present.labels.remove(&path_element(&before));
        present.labels.insert(path_element(freed), peer);
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

    /// The present peer whose label is this element of a path.
    #[must_use]
    pub fn labelled(&self, element: &str) -> Option<PeerId> {
        self.present().labels.get(element).copied()
    }

    /// Finds a peer by its name (of several, the one that entered first), by its label, or by its UUID or a unique
    /// beginning of it. A peer of the bridge's own venue may be named with the venue, as one of another.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<PeerId> {
        let present = self.present();
        let here = self.venue.as_deref();
        let here = here.and_then(|venue| text.strip_prefix(venue)?.strip_prefix('/'));
        present
            .named(text)
            .or_else(|| present.named(here?))
            .or_else(|| present.labels.get(&path_element(text)).copied())
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
    fn free_label(&self, id: PeerId, plain: &str) -> Arc<str> {
        let hex = id.to_string();
        // Two UUIDs may have the same first digits; then all digits are used.
        [
            plain.to_owned(),
            suffixed(plain, &hex),
            format!("{plain}_{hex}"),
        ]
        .into_iter()
        .find(|label| !self.labels.contains_key(&path_element(label)))
        .unwrap_or(hex)
        .into()
    }

    fn named(&self, text: &str) -> Option<PeerId> {
        let named = self.peers.iter().filter(|(_, entry)| entry.name == text);
        named
            .min_by_key(|(_, entry)| entry.arrival)
            .map(|(id, _)| *id)
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

/// The label of a peer that nobody else has.
fn plain_label(name: &str, venue: Option<&str>) -> String {
    let within = venue.and_then(|venue| Some((venue, name.strip_prefix(venue)?)));
    let within = within.and_then(|(venue, rest)| Some((venue, rest.strip_prefix('/')?)));
    match within {
        Some((venue, name)) => {
            let dotted = format!("{}.{}", label(venue), label(name));
            match dotted.len() <= DOTTED_LEN_MAX {
                true => dotted,
                false => label(&format!("{venue}/{name}")),
            }
        }
        None => label(name),
    }
}

/// The label of a peer as an element of a path.
#[must_use]
pub fn path_element(label: &str) -> String {
    label.replace('.', "_2f")
}

/// Of a label with a dot; a bus name has 255 octets, some before the label and some after it.
const DOTTED_LEN_MAX: usize = 200;

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
    fn a_peer_of_the_own_venue_may_be_named_with_it() {
        let directory = Directory::within(Some("south"));
        let [lamp, fader] = [1, 2].map(|number| PeerId::new([number; 16]));
        directory.enter(lamp, "lamp", None);
        directory.enter(fader, "north/fader", Some("north"));
        assert_eq!(directory.find("south/lamp"), Some(lamp));
        assert_eq!(directory.find("north/fader"), Some(fader));
        assert_eq!(directory.find("north/lamp"), None);
        assert_eq!(directory.find("south/fader"), None);
        assert_eq!(Directory::default().find("south/lamp"), None);
    }

    #[test]
    fn the_first_of_a_name_has_the_plain_label() {
        let directory = Directory::default();
        assert_eq!(&*directory.enter(id(1, 1), "lamp@foh", None), "lamp_40foh");
        assert_eq!(
            &*directory.enter(id(2, 2), "lamp@foh", None),
            "lamp_40foh_02070707"
        );
        let long = directory.enter(id(2, 3), "lamp@foh", None);
        assert_eq!(*long, format!("lamp_40foh_{}", id(2, 3)));
        assert_eq!(directory.find("lamp@foh"), Some(id(1, 1)));
        let freed = directory.leave(id(1, 1)).unwrap();
        assert_eq!(&*freed, "lamp_40foh");
        assert_eq!(
            directory.find("lamp@foh"),
            Some(id(2, 2)),
            "the first that is still here"
        );
        assert_eq!(&*directory.enter(id(3, 3), "lamp@foh", None), "lamp_40foh");
        assert_eq!(directory.promote(&freed), None, "it is not free");
    }

    #[test]
    fn a_label_that_becomes_free_goes_to_the_first_that_is_still_here() {
        let directory = Directory::default();
        for (digit, name) in [(1, "lamp"), (9, "lamp"), (2, "lamp"), (3, "fader")] {
            directory.enter(id(digit, digit), name, None);
        }
        let freed = directory.leave(id(3, 3)).unwrap();
        assert_eq!(directory.promote(&freed), None, "nobody else has that name");
        let suffixed = directory.leave(id(2, 2)).unwrap();
        assert_eq!(directory.promote(&suffixed), None, "it is nobody's own");
        directory.enter(id(2, 2), "lamp", None);
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
    fn a_peer_of_another_venue_has_its_own_label_there_and_no_element_of_a_path_twice() {
        let directory = Directory::default();
        let (there, here, twin) = (id(1, 1), id(2, 2), id(3, 3));
        let label = directory.enter(there, "north-hall/my lamp", Some("north-hall"));
        assert_eq!(&*label, "north_2dhall.my_20lamp");
        assert_eq!(path_element(&label), "north_2dhall_2fmy_20lamp");
        assert_eq!(directory.labelled(&path_element(&label)), Some(there));
        for text in ["north-hall/my lamp", "north_2dhall.my_20lamp"] {
            assert_eq!(directory.find(text), Some(there), "{text}");
        }
        assert_eq!(directory.find("my lamp"), None);
        // A node of this venue that calls itself so.
        let same = directory.enter(here, "north-hall/my lamp", None);
        assert_eq!(&*same, "north_2dhall_2fmy_20lamp_02070707");
        let twin_label = directory.enter(twin, "north-hall/my lamp", Some("north-hall"));
        assert_eq!(&*twin_label, "north_2dhall.my_20lamp_03070707");
        directory.leave(there);
        let freed = directory.promote(&label).expect("one waits");
        assert_eq!((freed.peer, freed.label), (twin, label));
        let long = directory.enter(there, &format!("north/{}", "x".repeat(250)), Some("north"));
        assert!(long.len() <= 200, "{long}");
    }

    #[test]
    fn a_peer_is_found_by_label_and_beginning_of_its_uuid() {
        let directory = Directory::default();
        directory.enter(id(0xab, 1), "a b", None);
        directory.enter(id(0xac, 1), "c", None);
        assert_eq!(directory.find("a_20b"), Some(id(0xab, 1)));
        assert_eq!(directory.find("AB07"), Some(id(0xab, 1)));
        assert_eq!(directory.find("ac07-0707"), Some(id(0xac, 1)));
        assert_eq!(directory.find("ab"), None, "too short");
        assert_eq!(directory.find("nobody"), None);
        directory.enter(id(0xab, 2), "d", None);
        assert_eq!(directory.find("ab07"), None, "two begin so");
    }
}
