//! The wires by number, with an index of the wires that a change of a capability can affect.
//!
//! Model: an established wire is listed at the capabilities of its ends. Every other wire may be affected by any
//! capability, so those are listed separately; they are few in a stable mesh.
//! Invariants: TABLE-1. The index follows every change, because wires are changed only through [`WireTable::edit`].

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

    /// All wires in the order of their numbers.
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

    /// Changes a wire; `None` if it does not exist.
    pub(super) fn edit<R>(&mut self, id: WireId, change: impl FnOnce(&mut Wire) -> R) -> Option<R> {
        // Removed and inserted again, so that the index follows the change.
        let mut wire = self.remove(id)?;
        let result = change(&mut wire);
        self.insert(id, wire);
        Some(result)
    }

    /// The wires that a change of a capability may affect, in the order of their numbers.
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

/// The capabilities at the ends of an established wire; `None` for any other wire.
fn spots(wire: &Wire) -> Option<[Option<&CapabilityAddress>; 2]> {
    match &wire.stage {
        WireStage::Direct { emitter, sensor } => Some([Some(emitter), Some(sensor)]),
        WireStage::Through(route) => Some([route.source.spot(), route.target.spot()]),
        // Another bridge maintains it.
        WireStage::Elsewhere(_) => Some([None, None]),
        WireStage::Waiting(_) | WireStage::Asked { .. } | WireStage::Refused(_) => None,
    }
}
