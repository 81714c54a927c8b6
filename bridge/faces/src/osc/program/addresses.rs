//! The addresses of a program, and the capabilities that they are.
//!
//! Model: each address is one capability, and each capability one address. What is new or another one is to be published,
//! what is gone to be withdrawn.
//! Limits: [`ENTRIES_MAX`] addresses; a further one is not known.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::super::{
    map::{ENTRIES_MAX, Entry, Map},
    types::Kind,
};
use crate::mesh::{CapPath, Capability, ObjectPath, Value, Withdrawal};

/// Why an address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The map has it.
    Map,
    /// The program sent it.
    Learned,
    /// The program described it.
    Described,
}

/// What is known of an address.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) entry: Entry,
    pub(super) path: CapPath,
    /// With the value that came last, from either side.
    pub(super) capability: Capability,
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    /// What it was given last, since when it has sent nothing else, and when. Many a program sends that back.
    pub(super) given: Option<(Value, Instant)>,
    /// Whether its capability waits to be published.
    is_due: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: BTreeMap<Arc<str>, Known>,
    places: HashMap<CapPath, Arc<str>>,
    /// Addresses whose capability is to be published; each is here once.
    publications: VecDeque<Arc<str>>,
    /// What is gone.
    withdrawals: BTreeSet<Withdrawal>,
}

/// An address that cannot be known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are too many addresses, or two of one name")]
pub(super) struct NoPlace;

impl Addresses {
    /// An address is there, and is this from now on.
    pub(super) fn know(
        &mut self,
        entry: Entry,
        value: Option<Value>,
        origin: Origin,
    ) -> Result<(), NoPlace> {
        let address: Arc<str> = entry.address.as_str().into();
        let path = entry.path().ok_or(NoPlace)?;
        let other = self.places.get(&path);
        let is_taken = other.is_some_and(|other| *other != address);
        let before = self.known.get(&address);
        if is_taken || (before.is_none() && self.known.len() >= ENTRIES_MAX) {
            return Err(NoPlace);
        }
        let capability = entry.capability(value);
        if !before.is_some_and(|before| before.is_due) {
            self.publications.push_back(Arc::clone(&address));
        }
        self.places.insert(path.clone(), Arc::clone(&address));
        let known = Known {
            kind: Kind::of(&capability),
            entry,
            path,
            capability,
            origin,
            given: None,
            is_due: true,
        };
        self.known.insert(address, known);
        Ok(())
    }

    /// Addresses are gone: their capabilities, and the objects in which there is nothing else.
    pub(super) fn remove(&mut self, gone: &[Arc<str>]) {
        let gone = gone.iter().filter_map(|address| self.known.remove(address));
        let gone: Vec<CapPath> = gone.map(|known| known.path).collect();
        for path in &gone {
            self.places.remove(path);
        }
        let mut occupied = HashSet::new();
        for path in self.places.keys().filter(|_| !gone.is_empty()) {
            let mut object = path.object.clone();
            // Where one is occupied, so are those above it.
            while !object.is_root() && occupied.insert(object.clone()) {
                object = object.parent().unwrap_or_default();
            }
        }
        self.withdrawals
            .extend(gone.into_iter().map(|path| withdrawal(path, &occupied)));
    }

    pub(super) fn at(&self, address: &str) -> Option<(&Arc<str>, &Known)> {
        self.known.get_key_value(address)
    }

    pub(super) fn at_mut(&mut self, address: &str) -> Option<&mut Known> {
        self.known.get_mut(address)
    }

    pub(super) fn by_path(&mut self, path: &CapPath) -> Option<(Arc<str>, &mut Known)> {
        let address = self.places.get(path)?;
        Some((Arc::clone(address), self.known.get_mut(address)?))
    }

    /// The addresses that the program described.
    pub(super) fn described(&self) -> impl Iterator<Item = &Arc<str>> {
        let described = self.known.iter();
        let described = described.filter(|(_, known)| known.origin == Origin::Described);
        described.map(|(address, _)| address)
    }

    /// What was learned, for the next time.
    pub(super) fn learned(&self) -> Map {
        let learned = self.known.values();
        let learned = learned.filter(|known| known.origin == Origin::Learned);
        Map {
            learn: true,
            capability: learned.map(|known| known.entry.clone()).collect(),
        }
    }

    pub(super) fn next_publication(&mut self) -> Option<(CapPath, Capability)> {
        loop {
            let address = self.publications.pop_front()?;
            if let Some(known) = self.known.get_mut(&address) {
                known.is_due = false;
                return Some((known.path.clone(), known.capability.clone()));
            }
        }
    }

    pub(super) fn next_withdrawal(&mut self) -> Option<Withdrawal> {
        self.withdrawals.pop_first()
    }

    /// Whether something is to be published or withdrawn.
    pub(super) fn has_news(&self) -> bool {
        !self.publications.is_empty() || !self.withdrawals.is_empty()
    }
}

/// What is gone with a capability: the highest object in which there is nothing.
fn withdrawal(path: CapPath, occupied: &HashSet<ObjectPath>) -> Withdrawal {
    let mut empty = None;
    let mut object = path.object.clone();
    while !object.is_root() && !occupied.contains(&object) {
        let parent = object.parent().unwrap_or_default();
        empty = Some(std::mem::replace(&mut object, parent));
    }
    match empty {
        Some(object) => Withdrawal::Object(object),
        None => Withdrawal::Capability(path),
    }
}
