//! The present nodes, their capabilities and subscriptions, as far as wires need them.
//!
//! Model: [`Nodes`] follows trees and their changes; the bridge itself is one of the nodes. Metadata is shared with
//! the trees.
//! Invariants: NODES-1. If several nodes have the same name, the name refers to the one that entered first.
//! NODES-2. [`Nodes::listed_by`] returns every emitter that lists a node as a receiver, also if that node is absent.
//! Limits: those of the trees.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use zocp_node::{
    CapPath, Capability, ObjectPath, PeerId, PeerInfo,
    model::{Change, Info, Tree},
};

use super::end::NodeEnd;
use zocp_mapping::label::label;

/// A capability of a present node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CapabilityAddress {
    /// The node.
    pub peer: PeerId,
    /// Its capability.
    pub path: CapPath,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: HashMap<PeerId, Node>,
    /// The emitters that list a receiver, by receiver.
    listed: HashMap<PeerId, BTreeSet<CapabilityAddress>>,
    arrivals: u64,
    me: Option<PeerId>,
}

/// A present node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// Whether it has sent the header `X-ZOCP-DBUS`.
    pub(super) is_extended: bool,
    /// Whether its tree has arrived.
    pub(super) is_known: bool,
    arrival: u64,
    capabilities: HashMap<CapPath, Known>,
}

/// The metadata of a capability, and whether it has a value.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) info: Arc<Info>,
    pub(super) has_value: bool,
}

impl Nodes {
    /// Adds a node that has entered.
    pub(super) fn enter(&mut self, info: &PeerInfo) {
        self.insert(info.id, &info.name, info.extended, false);
    }

    /// Adds the bridge itself, which is always present.
    pub(super) fn insert_me(&mut self, id: PeerId, name: &str) {
        self.insert(id, name, true, true);
        self.me = Some(id);
    }

    pub(super) fn is_me(&self, id: PeerId) -> bool {
        self.me == Some(id)
    }

    fn insert(&mut self, id: PeerId, name: &str, is_extended: bool, is_known: bool) {
        self.leave(id);
        self.arrivals += 1;
        let node = Node {
            name: name.to_owned(),
            is_extended,
            is_known,
            arrival: self.arrivals,
            capabilities: HashMap::new(),
        };
        self.nodes.insert(id, node);
    }

    /// Removes a node that has left.
    pub(super) fn leave(&mut self, peer: PeerId) {
        let Some(node) = self.nodes.remove(&peer) else {
            return;
        };
        for (path, known) in node.capabilities {
            self.unlist(&CapabilityAddress { peer, path }, &known.info);
        }
    }

    /// Reads the tree of a node; returns its emitters that have subscribers.
    pub(super) fn adopt(&mut self, peer: PeerId, tree: &Tree) -> Vec<CapabilityAddress> {
        if let Some(node) = self.nodes.get_mut(&peer) {
            node.is_known = true;
        }
        let mut listing = Vec::new();
        for (path, capability) in tree.capabilities() {
            let spot = CapabilityAddress { peer, path };
            if has_subscribers(&capability.info) {
                listing.push(spot.clone());
            }
            self.learn(spot, capability);
        }
        listing
    }

    /// Reads a change of a node; returns the capabilities that have changed.
    pub(super) fn follow(&mut self, peer: PeerId, change: &Change) -> Vec<CapabilityAddress> {
        match change {
            Change::CapabilityAdded { path, capability }
            | Change::CapabilityChanged { path, capability } => {
                let path = path.clone();
                let spot = CapabilityAddress { peer, path };
                self.learn(spot.clone(), capability);
                vec![spot]
            }
            Change::CapabilityRemoved { path } => {
                let path = path.clone();
                vec![self.forget(CapabilityAddress { peer, path })]
            }
            Change::ObjectRemoved(object) => self.forget_object(peer, object),
            _ => Vec::new(),
        }
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<&Node> {
        self.nodes.get(&peer)
    }

    pub(super) fn known(&self, spot: &CapabilityAddress) -> Option<&Known> {
        self.nodes.get(&spot.peer)?.capabilities.get(&spot.path)
    }

    /// Whether the emitter's node lists this sensor as missed.
    pub(super) fn misses(&self, emitter: &CapabilityAddress, sensor: &CapabilityAddress) -> bool {
        let missed = self.known(emitter).map(|known| known.info.missed());
        missed.into_iter().flatten().any(|one| {
            let name = one.receiver.as_deref();
            one.node.parse() == Ok(sensor.peer) && name == Some(&*sensor.path.to_string())
        })
    }

    /// The emitters that list a node as a receiver.
    pub(super) fn listed_by(&self, receiver: PeerId) -> Vec<CapabilityAddress> {
        let spots = self.listed.get(&receiver);
        spots.into_iter().flatten().cloned().collect()
    }

    /// The node of an end: the pinned one, else the first with that name or label, else the one with that UUID.
    pub(super) fn find(&self, end: &NodeEnd) -> Option<PeerId> {
        if let Some(pinned) = end.pinned.filter(|peer| self.nodes.contains_key(peer)) {
            return Some(pinned);
        }
        let first = |is_it: &dyn Fn(&Node) -> bool| {
            let found = self.nodes.iter().filter(|(_, node)| is_it(node));
            found
                .min_by_key(|(_, node)| node.arrival)
                .map(|(id, _)| *id)
        };
        first(&|node| node.name == end.node)
            .or_else(|| first(&|node| label(&node.name) == end.node))
            .or_else(|| {
                let id = end.node.parse().ok()?;
                self.nodes.contains_key(&id).then_some(id)
            })
    }

    /// The capability with this name, this dotted path, or this dotted path of labels.
    pub(super) fn resolve(&self, peer: PeerId, text: &str) -> Option<CapPath> {
        let capabilities = &self.nodes.get(&peer)?.capabilities;
        let root = CapPath::root(text);
        if capabilities.contains_key(&root) {
            return Some(root);
        }
        let one = |is_it: &dyn Fn(&CapPath) -> bool| {
            let found = capabilities.keys().filter(|path| is_it(path));
            found.min().cloned()
        };
        one(&|path| path.to_string() == text).or_else(|| one(&|path| labelled(path) == text))
    }

    fn learn(&mut self, spot: CapabilityAddress, capability: &Capability) {
        let Some(node) = self.nodes.get_mut(&spot.peer) else {
            return;
        };
        let known = Known {
            info: capability.info.clone(),
            has_value: capability.value.is_some(),
        };
        if let Some(old) = node.capabilities.insert(spot.path.clone(), known) {
            self.unlist(&spot, &old.info);
        }
        for receiver in receivers(&capability.info) {
            self.listed
                .entry(receiver)
                .or_default()
                .insert(spot.clone());
        }
    }

    fn forget(&mut self, spot: CapabilityAddress) -> CapabilityAddress {
        let node = self.nodes.get_mut(&spot.peer);
        if let Some(old) = node.and_then(|node| node.capabilities.remove(&spot.path)) {
            self.unlist(&spot, &old.info);
        }
        spot
    }

    fn forget_object(&mut self, peer: PeerId, object: &ObjectPath) -> Vec<CapabilityAddress> {
        let Some(node) = self.nodes.get(&peer) else {
            return Vec::new();
        };
        let paths = node.capabilities.keys();
        let gone: Vec<CapPath> = paths
            .filter(|path| path.object.starts_with(object))
            .cloned()
            .collect();
        gone.into_iter()
            .map(|path| self.forget(CapabilityAddress { peer, path }))
            .collect()
    }

    fn unlist(&mut self, spot: &CapabilityAddress, info: &Info) {
        for receiver in receivers(info) {
            if let Some(spots) = self.listed.get_mut(&receiver) {
                spots.remove(spot);
                if spots.is_empty() {
                    self.listed.remove(&receiver);
                }
            }
        }
    }
}

/// The sensors that are subscribed to an emitter. A subscription without a sensor is not a wire and is left out.
pub(super) fn sensors(info: &Info) -> impl Iterator<Item = (PeerId, &str)> {
    let subscribers = info.subscribers.iter().flatten();
    subscribers.filter_map(|one| Some((one.node.parse().ok()?, one.receiver.as_deref()?)))
}

fn receivers(info: &Info) -> impl Iterator<Item = PeerId> {
    sensors(info).map(|(receiver, _)| receiver)
}

fn has_subscribers(info: &Info) -> bool {
    receivers(info).next().is_some()
}

/// The dotted path of a capability in labels.
fn labelled(path: &CapPath) -> String {
    let objects = path.object.segments().iter().map(|name| label(name));
    let labels: Vec<String> = objects.chain([label(&path.name)]).collect();
    labels.join(".")
}
