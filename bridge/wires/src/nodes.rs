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
    /// The venue of the bridge.
    venue: Option<String>,
}

/// A present node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// Whether it has sent the header `X-ZOCP-DBUS`.
    pub(super) is_extended: bool,
    /// Where it is.
    pub(super) place: Place,
    /// Whether its tree has arrived.
    pub(super) is_known: bool,
    arrival: u64,
    capabilities: HashMap<CapPath, Known>,
}

/// Where a node is, for this bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In this venue: it has met the other nodes of it.
    Here,
    /// In another venue: of this one it has met this bridge alone.
    Linked,
    /// In another venue, behind the bridge of that one: it has met nobody of this one.
    Passed,
}

impl Place {
    const fn of(info: &PeerInfo) -> Self {
        match (&info.via, &info.venue) {
            (Some(_), _) => Self::Passed,
            (None, Some(_)) => Self::Linked,
            (None, None) => Self::Here,
        }
    }
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
        let node = Node {
            is_extended: info.extended,
            place: Place::of(info),
            ..Node::new(&info.name)
        };
        self.insert(info.id, node);
    }

    /// Adds the bridge itself, which is always present.
    pub(super) fn insert_me(&mut self, id: PeerId, name: &str) {
        let node = Node {
            is_extended: true,
            is_known: true,
            ..Node::new(name)
        };
        self.insert(id, node);
        self.me = Some(id);
    }

    pub(super) fn set_venue(&mut self, venue: Option<&str>) {
        self.venue = venue.map(str::to_owned);
    }

    /// Whether one of two nodes can send to the other.
    pub(super) fn have_met(&self, one: PeerId, other: PeerId) -> bool {
        let place = |id| self.nodes.get(&id).map(|node| node.place);
        match (place(one), place(other)) {
            (Some(Place::Here), Some(Place::Here)) => true,
            (Some(Place::Linked), Some(Place::Here)) => self.is_me(other),
            (Some(Place::Here), Some(Place::Linked)) => self.is_me(one),
            _ => false,
        }
    }

    pub(super) fn is_me(&self, id: PeerId) -> bool {
        self.me == Some(id)
    }

    fn insert(&mut self, id: PeerId, mut node: Node) {
        self.leave(id);
        self.arrivals += 1;
        node.arrival = self.arrivals;
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

    /// The node of an end: the pinned one, else the first with that name or label, else the one with that UUID. A node of
    /// the bridge's own venue may be named with the venue, as one of another.
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
        let here = self.venue.as_deref();
        let here = here.and_then(|venue| end.node.strip_prefix(venue)?.strip_prefix('/'));
        first(&|node| node.name == end.node)
            .or_else(|| first(&|node| Some(&*node.name) == here && node.place == Place::Here))
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

impl Node {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_extended: false,
            place: Place::Here,
            is_known: false,
            arrival: 0,
            capabilities: HashMap::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_met_those_of_its_venue_and_a_linked_one_the_bridge_alone() {
        let id = |number| PeerId::new([number; 16]);
        let [me, lamp, fader, linked, passed] = [1, 2, 3, 4, 5].map(id);
        let mut nodes = Nodes::default();
        nodes.insert_me(me, "foh");
        nodes.set_venue(Some("south"));
        nodes.enter(&PeerInfo::new(lamp, "lamp"));
        nodes.enter(&PeerInfo::new(fader, "fader"));
        let mut info = PeerInfo::new(linked, "north/stage");
        info.venue = Some("north".to_owned());
        nodes.enter(&info);
        let mut info = PeerInfo::new(passed, "north/lamp");
        info.venue = Some("north".to_owned());
        info.via = Some(linked);
        nodes.enter(&info);
        for (one, other) in [(lamp, fader), (me, lamp), (me, linked), (linked, me)] {
            assert!(nodes.have_met(one, other), "{one} {other}");
        }
        for (one, other) in [(lamp, linked), (linked, lamp), (me, passed), (passed, me)] {
            assert!(!nodes.have_met(one, other), "{one} {other}");
        }
        let find = |name| nodes.find(&NodeEnd::new(name, "level"));
        assert_eq!(find("south/lamp"), Some(lamp));
        assert_eq!(find("south/foh"), Some(me));
        assert_eq!(find("north/lamp"), Some(passed));
        assert_eq!(find("north/foh"), None);
    }
}
