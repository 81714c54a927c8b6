//! Wires that bridges announce in their trees, so that everybody sees them.
//!
//! Model: a wire that goes through a bridge is the object `wires`, and in it its number, of the bridge's own
//! tree, with `type` `wire`, `from` and `to` as its ends are written. [`Announcements`] collects what
//! others say so.
//! Limits: those of the trees. What is said is shown, and trusted in nothing: at worst it takes wires of
//! ours for parts of a circle.
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
    /// A bridge's tree came; the numbers that it has.
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

    /// A tree changed; the number of the wire that it is about.
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

    /// The ends of a wire, once both were said.
    pub(crate) fn ends(&self, wire: &(PeerId, Arc<str>)) -> Option<(End, End)> {
        let parts = self.parts.get(wire)?;
        Some((parts.from.clone()?, parts.to.clone()?))
    }

    /// A bridge is gone.
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

/// The object that all announced wires are in.
pub(crate) fn all() -> ObjectPath {
    ObjectPath::root().child(WIRES)
}

/// The object that announces a wire.
pub(crate) fn object(id: WireId) -> ObjectPath {
    all().child(&id.0.to_string())
}

/// What it says.
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
