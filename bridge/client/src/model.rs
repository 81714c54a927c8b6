//! The state of a mesh as its bridge shows it, and which of it changed since when.
//!
//! Model: each *thing* (the bridge, a node's shape, one value, a wire, the counters) has a [`Key`] and the version at
//! which it changed last. Whoever shows the model remembers the version up to which it has shown, and asks for the
//! [`Changes`] after it: so a slow reader never has a queue, it gets the newest of each thing when it asks again.
//! Invariants: SHOWN-1. a thing is named at most once in all changes, at its newest version. SHOWN-2. whoever starts from the
//! whole and applies every change in turn has the whole: a node comes with all its values.
//! Limits: nodes that left are kept for [`GONE_KEPT`], [`GONE_MAX`] of them at most; `REMOVED_MAX` removals are
//! remembered, and whoever is behind the oldest is told to start from the whole again.
//! Not here: where it comes from (`feed`), how it is shown.

mod end;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use serde_json::{Map, Value};

use crate::tree::{Reading, Tree};

/// A thing that changes as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The bridge itself.
    Bridge,
    /// What was counted.
    Statistics,
    /// A node with everything but its values, by label.
    Node(String),
    /// A value, by the id of its capability.
    Value(String),
    /// A wire, by its number.
    Wire(u32),
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// These things; one that is not in the model any more is gone.
    Keys(Vec<Key>),
    /// Too much to say: start from the whole.
    Everything,
}

/// The bridge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bridge {
    /// Whether it is on the bus.
    pub is_present: bool,
    /// `Name`, `Version`, `Uuid`, `Endpoint`, `Groups`, `Exports`, as the bus has them.
    pub properties: Map<String, Value>,
}

/// A node or another peer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// Its name, any text.
    pub name: String,
    /// Its bus name; empty while it has none.
    pub bus_name: String,
    /// All that the bridge says of the peer.
    pub properties: Map<String, Value>,
    /// What it has.
    pub tree: Tree,
    /// Its values by the ids of their capabilities.
    pub values: HashMap<String, Value>,
    /// When it left, on the clock of whoever feeds the model.
    pub left: Option<Duration>,
    /// Capabilities by the texts by which wires name them.
    ends: HashMap<String, String>,
}

/// A wire, as the bus has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wire {
    /// All its properties.
    pub properties: Map<String, Value>,
}

/// The state.
#[derive(Debug, Default)]
pub struct Model {
    version: u64,
    /// Each thing at the version of its last change.
    changed: BTreeMap<u64, Key>,
    versions: HashMap<Key, u64>,
    /// Removals, oldest first; whoever is behind `forgotten` has missed one.
    removed: VecDeque<Key>,
    forgotten: u64,
    bridge: Bridge,
    nodes: BTreeMap<String, Node>,
    wires: BTreeMap<u32, Wire>,
    statistics: Map<String, Value>,
}

impl Model {
    /// The version of the newest change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What changed after a version.
    #[must_use]
    pub fn since(&self, version: u64) -> Changes {
        if version < self.forgotten {
            return Changes::Everything;
        }
        Changes::Keys(
            self.changed
                .range(version + 1..)
                .map(|(_, key)| key.clone())
                .collect(),
        )
    }

    /// The bridge.
    #[must_use]
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// Nodes by label, those that left too.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// Wires by number.
    #[must_use]
    pub fn wires(&self) -> &BTreeMap<u32, Wire> {
        &self.wires
    }

    /// What was counted.
    #[must_use]
    pub fn statistics(&self) -> &Map<String, Value> {
        &self.statistics
    }

    /// A value, by the id of its capability.
    #[must_use]
    pub fn value(&self, id: &str) -> Option<&Value> {
        self.nodes.get(node_of(id))?.values.get(id)
    }

    /// The bridge is there, or says something else of itself.
    pub fn set_bridge(&mut self, properties: Map<String, Value>) {
        let properties = merged(&self.bridge.properties, properties);
        let bridge = Bridge {
            is_present: true,
            properties,
        };
        if self.bridge != bridge {
            self.bridge = bridge;
            self.touch(Key::Bridge);
        }
    }

    /// The bridge is gone, and with it all that it showed.
    pub fn lose_bridge(&mut self, now: Duration) {
        self.bridge.is_present = false;
        self.touch(Key::Bridge);
        let labels: Vec<String> = self.nodes.keys().cloned().collect();
        for label in labels {
            self.lose_node(&label, now);
        }
        let numbers: Vec<u32> = self.wires.keys().copied().collect();
        for number in numbers {
            self.lose_wire(number);
        }
    }

    /// A peer is there, or the bridge says something else of it.
    pub fn set_peer(&mut self, label: &str, properties: Map<String, Value>) {
        let is_new = !self.nodes.contains_key(label);
        let node = self.nodes.entry(label.to_owned()).or_default();
        let before = (node.left.take(), node.properties.clone());
        // Of one that comes back nothing is so any more but what is said now.
        let known = match before.0 {
            None => std::mem::take(&mut node.properties),
            Some(_) => Map::new(),
        };
        node.properties = merged(&known, properties);
        let text = |key: &str| {
            node.properties
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (name, bus_name) = (text("Name").to_owned(), text("BusName").to_owned());
        (node.name, node.bus_name) = (name, bus_name);
        if is_new || before != (None, node.properties.clone()) {
            self.touch(Key::Node(label.to_owned()));
        }
    }

    /// A peer left.
    pub fn lose_node(&mut self, label: &str, now: Duration) {
        if let Some(node) = self.nodes.get_mut(label).filter(|node| node.left.is_none()) {
            node.left = Some(now);
            self.touch(Key::Node(label.to_owned()));
        }
        let mut left: Vec<(Duration, String)> = self.gone().collect();
        left.sort();
        let beyond = left.len().saturating_sub(GONE_MAX);
        for (_, label) in left.into_iter().take(beyond) {
            self.forget_node(&label);
        }
    }

    /// What a node has, and its values.
    pub fn set_tree(&mut self, label: &str, tree: Tree, readings: Vec<Reading>) {
        let Some(node) = self.nodes.get_mut(label) else {
            return;
        };
        let before: Vec<String> = node.values.keys().cloned().collect();
        node.values = readings.into_iter().collect();
        node.ends = end::texts(label, &tree);
        let gone: Vec<String> = before
            .into_iter()
            .filter(|id| !node.values.contains_key(id))
            .collect();
        let named = [node.name.clone(), label.to_owned()];
        node.tree = tree;
        // Whoever shows a node again shows its values again.
        let ids: Vec<String> = node.values.keys().cloned().chain(gone).collect();
        for id in ids {
            self.release(&Key::Value(id));
        }
        self.touch(Key::Node(label.to_owned()));
        self.touch_wires_of(&named);
    }

    /// A value changed. What is not known of a tree yet comes with the tree.
    pub fn set_value(&mut self, id: &str, value: Value) {
        let Some(node) = self.nodes.get_mut(node_of(id)) else {
            return;
        };
        if let Some(known) = node.values.get_mut(id) {
            *known = value;
            self.touch(Key::Value(id.to_owned()));
        }
    }

    /// A wire is there, or has other properties.
    pub fn set_wire(&mut self, number: u32, properties: Map<String, Value>) {
        let wire = self.wires.entry(number).or_default();
        wire.properties = merged(&wire.properties, properties);
        self.touch(Key::Wire(number));
    }

    /// A wire was taken away.
    pub fn lose_wire(&mut self, number: u32) {
        if self.wires.remove(&number).is_some() {
            self.remove(Key::Wire(number));
        }
    }

    /// What was counted.
    pub fn set_statistics(&mut self, statistics: Map<String, Value>) {
        if self.statistics != statistics {
            self.statistics = statistics;
            self.touch(Key::Statistics);
        }
    }

    /// Forgets the nodes that left long ago.
    pub fn expire(&mut self, now: Duration) {
        let old: Vec<String> = self
            .gone()
            .filter(|(left, _)| *left + GONE_KEPT <= now)
            .map(|(_, label)| label)
            .collect();
        for label in old {
            self.forget_node(&label);
        }
    }

    fn gone(&self) -> impl Iterator<Item = (Duration, String)> {
        let nodes = self.nodes.iter();
        nodes.filter_map(|(label, node)| Some((node.left?, label.clone())))
    }

    fn forget_node(&mut self, label: &str) {
        let Some(node) = self.nodes.remove(label) else {
            return;
        };
        for id in node.values.into_keys() {
            self.release(&Key::Value(id));
        }
        self.remove(Key::Node(label.to_owned()));
    }

    /// Wires name their ends by text; whoever shows them wants to know which capabilities these are.
    fn touch_wires_of(&mut self, names: &[String]) {
        let is_of = |wire: &Wire, key: &str| {
            let text = wire
                .properties
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default();
            let node = text.split(':').next().unwrap_or_default();
            names.iter().any(|name| name == node)
        };
        let wires = self.wires.iter();
        let meant = wires.filter(|(_, wire)| is_of(wire, "From") || is_of(wire, "To"));
        let numbers: Vec<u32> = meant.map(|(number, _)| *number).collect();
        for number in numbers {
            self.touch(Key::Wire(number));
        }
    }

    fn touch(&mut self, key: Key) {
        self.version += 1;
        if let Some(before) = self.versions.insert(key.clone(), self.version) {
            self.changed.remove(&before);
        }
        self.changed.insert(self.version, key);
    }

    fn release(&mut self, key: &Key) {
        if let Some(version) = self.versions.remove(key) {
            self.changed.remove(&version);
        }
    }

    fn remove(&mut self, key: Key) {
        self.touch(key.clone());
        self.removed.push_back(key);
        while self.removed.len() > REMOVED_MAX {
            let Some(key) = self.removed.pop_front() else {
                break;
            };
            // One that is there again was not removed for good.
            let is_there = match &key {
                Key::Node(label) => self.nodes.contains_key(label),
                Key::Wire(number) => self.wires.contains_key(number),
                _ => true,
            };
            let version = self.versions.get(&key).copied().unwrap_or_default();
            if !is_there && !self.removed.contains(&key) {
                self.forgotten = self.forgotten.max(version);
                self.release(&key);
            }
        }
    }
}

/// The label of the node that a capability is of.
#[must_use]
pub fn node_of(id: &str) -> &str {
    id.split('/').next().unwrap_or_default()
}

fn merged(known: &Map<String, Value>, told: Map<String, Value>) -> Map<String, Value> {
    let mut merged = known.clone();
    merged.extend(told);
    merged
}

/// The label of the bridge's own node: no peer has one with a dot.
pub const OWN_LABEL: &str = ".own";
/// How long a node that left is shown.
pub const GONE_KEPT: Duration = Duration::from_secs(300);
/// Nodes that left and are shown.
pub const GONE_MAX: usize = 256;
/// Removals that are remembered.
const REMOVED_MAX: usize = 1024;
