//! The wires by number, and which of them a capability concerns.
//!
//! Model: a wire that passes values is listed at the capabilities at its ends. Every other wire may become about any
//! capability, so those are listed by themselves: they are few while a mesh is at rest.
//! Invariants: TABLE-1. The lists follow every change, since wires are changed through [`WireTable::edit`] alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    WireId,
    wire::{Wire, WireStage},
};
use crate::nodes::CapabilityAddress;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct WireTable {
    wires: BTreeMap<WireId, Wire>,
    established: HashMap<CapabilityAddress, BTreeSet<WireId>>,
    unestablished: BTreeSet<WireId>,
}

impl WireTable {
    pub(super) fn get(&self, id: WireId) -> Option<&Wire> {
        self.wires.get(&id)
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WireId, &Wire)> {
        self.wires.iter().map(|(id, wire)| (*id, wire))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Wire> {
        self.wires.values()
    }

    pub(super) fn insert(&mut self, id: WireId, wire: Wire) {
        self.list(id, &wire);
        self.wires.insert(id, wire);
    }

    pub(super) fn remove(&mut self, id: WireId) -> Option<Wire> {
        let wire = self.wires.remove(&id)?;
        self.unlist(id, &wire);
        Some(wire)
    }

    /// Changes a wire; `None` if there is none.
    pub(super) fn edit<R>(&mut self, id: WireId, change: impl FnOnce(&mut Wire) -> R) -> Option<R> {
        // Out and in again, so that the lists are those of what it is by then.
        let mut wire = self.remove(id)?;
        let result = change(&mut wire);
        self.insert(id, wire);
        Some(result)
    }

    /// The wires that a change of a capability may concern, by number.
    pub(super) fn concerned(&self, spot: &CapabilityAddress) -> Vec<WireId> {
        let established = self.established.get(spot).into_iter().flatten();
        let ids: BTreeSet<WireId> = established.chain(&self.unestablished).copied().collect();
        ids.into_iter().collect()
    }

    fn list(&mut self, id: WireId, wire: &Wire) {
        match spots(wire) {
            Some(spots) => {
                for spot in spots.into_iter().flatten() {
                    self.established.entry(spot.clone()).or_default().insert(id);
                }
            }
            None => {
                self.unestablished.insert(id);
            }
        }
    }

    fn unlist(&mut self, id: WireId, wire: &Wire) {
        let Some(spots) = spots(wire) else {
            self.unestablished.remove(&id);
            return;
        };
        for spot in spots.into_iter().flatten() {
            if let Some(ids) = self.established.get_mut(spot) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.established.remove(spot);
                }
            }
        }
    }
}

/// The capabilities at the ends of a wire that passes values; `None` of one that does not.
fn spots(wire: &Wire) -> Option<[Option<&CapabilityAddress>; 2]> {
    match &wire.stage {
        WireStage::Direct { emitter, sensor } => Some([Some(emitter), Some(sensor)]),
        WireStage::Through(route) => Some([route.source.spot(), route.target.spot()]),
        // Another bridge sees to it.
        WireStage::Elsewhere(_) => Some([None, None]),
        WireStage::Waiting(_) | WireStage::Asked { .. } | WireStage::Refused(_) => None,
    }
}
