//! Wires that bridges announce in their trees, so that every program of the mesh can see them.
//!
//! Model: a bridge announces each wire that passes through it as an object of its own tree: the object `wires`
//! contains an object named by the number of the wire, with the entries `type` `wire`, `from` and `to`.
//! [`Announcements`] collects the announcements of other bridges.
//! Limits: those of the trees. An announcement is shown but not trusted: a false one can at most make wires of this
//! bridge look like parts of a circle.
//! Spec: docs/reference/protocol.md §6.6

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use zocp_node::{
    ObjectPath, PeerId, Value,
    model::{Change, Tree},
};

use super::{WireId, wire::Wire};
use crate::end::End;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    parts: HashMap<(PeerId, Arc<str>), Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    from: Option<End>,
    to: Option<End>,
}

impl Announcements {
    /// Reads the tree of a bridge; returns the numbers of its wires.
    pub(crate) fn adopt(&mut self, bridge: PeerId, tree: &Tree) -> BTreeSet<Arc<str>> {
        let wires = tree.object(&all());
        let mut numbers = BTreeSet::new();
        for (number, wire) in wires.into_iter().flat_map(|wires| &wires.objects) {
            let number: Arc<str> = number.as_str().into();
            for (name, value) in &wire.data {
                self.record((bridge, number.clone()), name, Some(value));
            }
            numbers.insert(number);
        }
        numbers
    }

    /// Reads a change of a tree; returns the number of the wire that it affects.
    pub(crate) fn follow(&mut self, bridge: PeerId, change: &Change) -> Option<Arc<str>> {
        match change {
            Change::Data {
                object,
                name,
                value,
            } => {
                let number = number(object)?;
                self.record((bridge, number.clone()), name, value.as_ref());
                Some(number)
            }
            Change::ObjectRemoved(object) => {
                let number = number(object)?;
                self.parts.remove(&(bridge, number.clone()));
                Some(number)
            }
            _ => None,
        }
    }

    /// The ends of a wire, once both are known.
    pub(crate) fn ends(&self, wire: &(PeerId, Arc<str>)) -> Option<(End, End)> {
        let parts = self.parts.get(wire)?;
        Some((parts.from.clone()?, parts.to.clone()?))
    }

    /// Removes the announcements of a bridge that has left.
    pub(crate) fn forget(&mut self, bridge: PeerId) {
        self.parts.retain(|(one, _), _| *one != bridge);
    }

    fn record(&mut self, wire: (PeerId, Arc<str>), name: &str, value: Option<&Value>) {
        let end = || value.and_then(Value::as_str)?.parse().ok();
        match name {
            "from" => self.parts.entry(wire).or_default().from = end(),
            "to" => self.parts.entry(wire).or_default().to = end(),
            _ => {}
        }
    }
}

/// The object that contains all announced wires.
pub(crate) fn all() -> ObjectPath {
    ObjectPath::root().child(WIRES)
}

/// The object that announces a wire.
pub(crate) fn object(id: WireId) -> ObjectPath {
    all().child(&id.0.to_string())
}

/// The entries of the object that announces a wire.
pub(crate) fn entries(wire: &Wire) -> Vec<(String, Value)> {
    let entry = |name: &str, text: String| (name.to_owned(), Value::from(text));
    vec![
        entry("type", "wire".to_owned()),
        entry("from", wire.from.to_string()),
        entry("to", wire.to.to_string()),
    ]
}

/// The number of the wire that an object announces.
fn number(object: &ObjectPath) -> Option<Arc<str>> {
    match object.segments() {
        [wires, number] if **wires == *WIRES => Some(number.clone()),
        _ => None,
    }
}

const WIRES: &str = "wires";
