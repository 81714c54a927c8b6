//! The mesh as an OSC address space.
//!
//! Model: each capability of each chosen node has the address `/<label>/<object labels…>/<capability label>`. A
//! [`Space`] is told what happens on the mesh and says as [`News`] what that means for addresses.
//! Invariants: SPACE-1. No two capabilities have one address. SPACE-2. The address of a capability stays as long as its
//! node does: of two nodes of one name the later one has the first eight digits of its identity behind its label.
//! Limits: [`ADDRESSES_MAX`]; further capabilities have no address.
//! Not here: who is told, see `outbox`; what arguments are, see `types`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use zocp_mapping::label::{label, suffixed};

use super::{packet::Arg, types::Kind};
use crate::mesh::{CapPath, Capability, Change, ObjectPath, PeerId, Tree, Value};

/// The addresses, and what is at each.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// The nodes that are shown, by name, label or the beginning of their identity; none: all.
    chosen: Vec<String>,
    nodes: HashMap<PeerId, Shown>,
    entries: BTreeMap<Arc<str>, Entry>,
}

/// A node that is present.
#[derive(Debug)]
struct Shown {
    name: String,
    label: String,
    /// The addresses of its capabilities.
    places: BTreeMap<CapPath, Arc<str>>,
}

/// What is at an address.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) peer: PeerId,
    pub(crate) path: CapPath,
    pub(crate) capability: Capability,
    pub(crate) kind: Kind,
}

/// What is new at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Added(Arc<str>),
    Removed(Arc<str>),
    /// Its description is another one.
    Described(Arc<str>),
    /// Its value is another one.
    Value(Arc<str>),
}

impl Entry {
    fn new(peer: PeerId, path: CapPath, capability: Capability) -> Self {
        let kind = Kind::of(&capability);
        Self {
            peer,
            path,
            capability,
            kind,
        }
    }

    /// Whether it has a value at any time; else there are only events.
    pub(crate) fn is_state(&self) -> bool {
        self.capability.info.access.read
    }

    /// The arguments of its present value.
    pub(crate) fn args(&self) -> Option<Vec<Arg>> {
        let value = self.capability.value.as_ref()?;
        Some(self.kind.args(value))
    }
}

impl Space {
    pub(crate) fn new(chosen: Vec<String>) -> Self {
        Self {
            chosen,
            ..Self::default()
        }
    }

    /// What is at an address.
    pub(crate) fn at(&self, address: &str) -> Option<&Entry> {
        self.entries.get(address)
    }

    /// An address that is there, as it is kept.
    pub(crate) fn known(&self, address: &str) -> Option<Arc<str>> {
        let (address, _) = self.entries.get_key_value(address)?;
        Some(Arc::clone(address))
    }

    /// The address of a capability.
    pub(crate) fn address(&self, peer: PeerId, path: &CapPath) -> Option<&Arc<str>> {
        self.nodes.get(&peer)?.places.get(path)
    }

    /// All addresses, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.entries.iter()
    }

    /// The addresses that are `container` or below it, in order.
    pub(crate) fn below<'a>(
        &'a self,
        container: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Entry)> {
        self.entries
            .range(Arc::from(container)..)
            .take_while(move |(address, _)| address.starts_with(container))
            .filter(move |(address, _)| is_below(address, container))
    }

    /// The name of the node that has this label.
    pub(crate) fn name_of(&self, label: &str) -> Option<&str> {
        let mut nodes = self.nodes.values();
        nodes
            .find(|node| node.label == label)
            .map(|node| &*node.name)
    }

    pub(crate) fn entered(&mut self, peer: PeerId, name: String) {
        let plain = label(&name);
        let id = peer.to_string();
        let is_chosen = self.chosen.is_empty()
            || self.chosen.iter().any(|one| {
                *one == name || *one == plain || (one.len() >= ID_LEN_MIN && id.starts_with(&**one))
            });
        if !is_chosen || self.nodes.contains_key(&peer) {
            return;
        }
        let is_taken = self.nodes.values().any(|node| node.label == plain);
        let label = if is_taken {
            suffixed(&plain, &id)
        } else {
            plain
        };
        let places = BTreeMap::new();
        self.nodes.insert(
            peer,
            Shown {
                name,
                label,
                places,
            },
        );
    }

    pub(crate) fn left(&mut self, peer: PeerId) -> Vec<News> {
        let Some(node) = self.nodes.remove(&peer) else {
            return Vec::new();
        };
        let gone = node.places.into_values().inspect(|address| {
            self.entries.remove(address);
        });
        gone.map(News::Removed).collect()
    }

    /// The whole tree of a node.
    pub(crate) fn tree(&mut self, peer: PeerId, tree: &Tree) -> Vec<News> {
        let mut news = Vec::new();
        for (path, capability) in tree.capabilities() {
            news.extend(self.put(peer, path, capability.clone()));
        }
        news
    }

    /// Parts of a tree changed.
    pub(crate) fn changed(&mut self, peer: PeerId, changes: Vec<Change>) -> Vec<News> {
        let mut news = Vec::new();
        for change in changes {
            match change {
                Change::CapabilityAdded { path, capability }
                | Change::CapabilityChanged { path, capability } => {
                    news.extend(self.put(peer, path, capability));
                }
                Change::CapabilityRemoved { path } => news.extend(self.remove(peer, &path)),
                Change::ObjectRemoved(object) => news.extend(self.remove_object(peer, &object)),
                Change::Value { path, value } => news.extend(self.value(peer, &path, value)),
                _ => {}
            }
        }
        news
    }

    fn put(&mut self, peer: PeerId, path: CapPath, capability: Capability) -> Option<News> {
        let node = self.nodes.get_mut(&peer)?;
        let access = capability.info.access;
        if !(access.read || access.write || access.emit) {
            // What only senses is reached by wires.
            return self.remove(peer, &path);
        }
        if let Some(address) = node.places.get(&path) {
            let entry = Entry::new(peer, path, capability);
            self.entries.insert(Arc::clone(address), entry);
            return Some(News::Described(Arc::clone(address)));
        }
        let address: Arc<str> = address_of(&node.label, &path).into();
        if self.entries.len() >= ADDRESSES_MAX || self.entries.contains_key(&address) {
            return None;
        }
        node.places.insert(path.clone(), Arc::clone(&address));
        let entry = Entry::new(peer, path, capability);
        self.entries.insert(Arc::clone(&address), entry);
        Some(News::Added(address))
    }

    fn remove(&mut self, peer: PeerId, path: &CapPath) -> Option<News> {
        let address = self.nodes.get_mut(&peer)?.places.remove(path)?;
        self.entries.remove(&address);
        Some(News::Removed(address))
    }

    fn remove_object(&mut self, peer: PeerId, object: &ObjectPath) -> Vec<News> {
        let Some(node) = self.nodes.get(&peer) else {
            return Vec::new();
        };
        let within = node
            .places
            .keys()
            .filter(|path| path.object.starts_with(object));
        let within: Vec<CapPath> = within.cloned().collect();
        within
            .iter()
            .filter_map(|path| self.remove(peer, path))
            .collect()
    }

    /// A capability has another value.
    pub(crate) fn value(&mut self, peer: PeerId, path: &CapPath, value: Value) -> Option<News> {
        let address = Arc::clone(self.address(peer, path)?);
        let entry = self.entries.get_mut(&address)?;
        entry.capability.value = Some(value);
        if entry.kind == Kind::Free {
            entry.kind = Kind::of(&entry.capability);
        }
        Some(News::Value(address))
    }
}

/// Whether an address is `container` or below it; `/` has all.
pub(crate) fn is_below(address: &str, container: &str) -> bool {
    let container = container.trim_end_matches('/');
    address
        .strip_prefix(container)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn address_of(node: &str, path: &CapPath) -> String {
    let mut address = format!("/{node}");
    for segment in path.object.segments() {
        address.push('/');
        address.push_str(&label(segment));
    }
    address.push('/');
    address.push_str(&label(&path.name));
    address
}

/// Digits of an identity that choose a node.
const ID_LEN_MIN: usize = 4;
/// Addresses of all nodes together.
pub(crate) const ADDRESSES_MAX: usize = 65_536;

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::mesh::Tree;

    pub(crate) fn peer(number: u8) -> PeerId {
        format!("{number:032x}").parse().unwrap()
    }

    pub(crate) fn tree(json: Value) -> Tree {
        Tree::from_json(json, &zocp_node::model::Limits::default()).unwrap()
    }

    fn lamp() -> Tree {
        tree(json!({
            "on": {"value": true, "typeHint": "bool", "access": "rw"},
            "sensed": {"value": 0, "typeHint": "int", "access": "s"},
            "objects": {"my pan": {"angle": {"value": 0.5, "typeHint": "flt", "access": "rwe"}}},
        }))
    }

    fn addresses(space: &Space) -> Vec<&str> {
        space.entries().map(|(address, _)| &**address).collect()
    }

    #[test]
    fn every_capability_has_an_address_while_its_node_is_here() {
        let mut space = Space::default();
        space.entered(peer(1), "lamp".into());
        let news = space.tree(peer(1), &lamp());
        assert_eq!(news.len(), 2);
        assert_eq!(addresses(&space), ["/lamp/my_20pan/angle", "/lamp/on"]);
        space.entered(peer(2), "lamp".into());
        space.tree(peer(2), &lamp());
        assert_eq!(addresses(&space)[2], "/lamp_00000000/my_20pan/angle");
        let below = space.below("/lamp/my_20pan").count();
        assert_eq!(below, 1, "and not the other lamp");
        assert_eq!(space.left(peer(1)).len(), 2);
        assert_eq!(addresses(&space).len(), 2);
        assert!(space.address(peer(1), &CapPath::root("on")).is_none());
    }

    #[test]
    fn changes_of_a_tree_are_news_of_addresses() {
        let mut space = Space::default();
        space.entered(peer(1), "lamp".into());
        space.tree(peer(1), &lamp());
        let angle = ObjectPath::root().child("my pan").capability("angle");
        let news = space.changed(
            peer(1),
            vec![
                Change::Value {
                    path: angle,
                    value: json!(0.7),
                },
                Change::ObjectRemoved(ObjectPath::root().child("my pan")),
                Change::CapabilityAdded {
                    path: CapPath::root("new"),
                    capability: Capability::new(crate::mesh::Access::EMIT, 1),
                },
            ],
        );
        let address = Arc::from("/lamp/my_20pan/angle");
        assert_eq!(
            news,
            [
                News::Value(Arc::clone(&address)),
                News::Removed(address),
                News::Added("/lamp/new".into())
            ]
        );
    }

    #[test]
    fn only_chosen_nodes_are_shown() {
        let mut space = Space::new(vec![
            "lamp".into(),
            "00000000000000000000000000000003".into(),
        ]);
        for (number, name) in [(1, "lamp"), (2, "fader"), (3, "third")] {
            space.entered(peer(number), name.into());
            space.tree(peer(number), &lamp());
        }
        assert_eq!(addresses(&space).len(), 4);
        assert!(space.at("/third/on").is_some());
        assert!(space.at("/fader/on").is_none());
    }
}
