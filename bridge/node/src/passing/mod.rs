//! Nodes of other venues: which nodes of its own venue a node passes on to bridges of others, and which it is told of.
//!
//! Model: between two nodes of different venues that are linked, each tells the other of nodes that it follows itself and
//! that its rules name ([`PassRule`]), and carries out what is asked of them. [`Passing`] has, for each linked peer, what
//! that has been told and what waits for it ([`outbox`]), and each node that is known through such a peer ([`Away`]).
//! `message` reads and writes what passes between the two, `hear` decides what comes of it.
//! Invariants: PASS-1. Only nodes that are met themselves, and are of the own venue, are passed on: nothing is passed on
//! twice, over any topology. PASS-2. A node is present once: a peer that is met itself takes the place of what others tell
//! of it; of several that tell of it, the first does. PASS-3. Nothing passes to a peer that has proved no key, or is of the
//! own venue.
//! Limits: [`NODES_MAX`] nodes of one linked peer; further ones are ignored and logged.
//! Not here: sockets and the model (`actor/passing.rs`).
//! Spec: docs/reference/protocol.md §10.1, §10.3.

mod hear;
mod message;
mod nodes;
mod outbox;
mod rule;
#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, HashMap};

use zocp_model::CallId;
use zocp_zre::{DialId, PeerId};

use crate::peer::PeerInfo;

pub(crate) use self::hear::Step;
pub use self::message::passed_whisper;
pub(crate) use self::message::{HEADER_NODES, Introduction, Passed, read, write};
pub use self::nodes::{PassedNodes, PassedStep};
pub(crate) use self::outbox::{Item, Outbox};
pub use self::rule::PassRule;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Passing {
    pub(crate) rules: Vec<PassRule>,
    links: BTreeMap<PeerId, LinkedPeer>,
    away: BTreeMap<PeerId, Away>,
    /// The calls of linked peers that a node of this venue has not answered.
    pub(crate) calls: HashMap<CallId, (PeerId, PeerId, u64)>,
    /// The linked peer whose request is carried out: it knows what that changes.
    pub(crate) asking: Option<PeerId>,
}

/// A peer of another venue that passes nodes on, and is told of ours.
#[derive(Debug)]
pub(crate) struct LinkedPeer {
    pub(crate) venue: String,
    pub(crate) outbox: Outbox,
    /// The connection whose queue in the kernel is limited.
    pub(crate) limited: Option<DialId>,
    /// The nodes that it is told of.
    told: BTreeMap<PeerId, Told>,
}

/// What a linked peer is told of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whether of its D-Bus services, too.
    pub(crate) with_services: bool,
}

/// A node of another venue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Away {
    /// Who tells of it, the first first.
    offers: Vec<Offer>,
    /// Through whom it is present now.
    present: Option<PeerId>,
}

/// That a linked peer tells of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) via: PeerId,
    /// The name within its venue.
    pub(crate) name: String,
}

impl Passing {
    pub(crate) fn new(rules: Vec<PassRule>) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// A peer of another venue is here.
    pub(crate) fn link(&mut self, peer: PeerId, venue: &str) {
        let state = LinkedPeer {
            venue: venue.to_owned(),
            outbox: Outbox::default(),
            limited: None,
            told: BTreeMap::new(),
        };
        self.links.insert(peer, state);
    }

    pub(crate) fn linked(&self, peer: PeerId) -> Option<&LinkedPeer> {
        self.links.get(&peer)
    }

    /// Whether the queue of this connection with a linked peer is to be limited now.
    pub(crate) fn limits(&mut self, peer: PeerId, dial: DialId) -> bool {
        let link = self.links.get_mut(&peer);
        link.is_some_and(|link| link.limited.replace(dial) != Some(dial))
    }

    pub(crate) fn outbox(&mut self, peer: PeerId) -> Option<&mut Outbox> {
        self.links.get_mut(&peer).map(|link| &mut link.outbox)
    }

    pub(crate) fn links(&self) -> Vec<PeerId> {
        self.links.keys().copied().collect()
    }

    /// The linked peers for which something waits.
    pub(crate) fn waiting(&self) -> Vec<PeerId> {
        let waiting = self.links.iter().filter(|(_, it)| !it.outbox.is_empty());
        waiting.map(|(peer, _)| *peer).collect()
    }

    /// What the rules say that a linked peer is told of a node of this venue; `None`: not of the node at all.
    pub(crate) fn names(&self, link: PeerId, node: &str) -> Option<Told> {
        let venue = &self.links.get(&link)?.venue;
        let rules = self.rules.iter().filter(|rule| rule.names(node, venue));
        let services = rules.map(|rule| rule.with_services);
        let with_services = services.reduce(|one, other| one || other)?;
        Some(Told { with_services })
    }

    /// Tells a linked peer of a node from now on, or anew.
    pub(crate) fn tell(&mut self, link: PeerId, node: PeerId, told: Told) {
        if let Some(state) = self.links.get_mut(&link) {
            state.told.insert(node, told);
            state.outbox.enter(node);
        }
    }

    /// Tells a linked peer that a node is gone, if it was told of it.
    pub(crate) fn tell_gone(&mut self, link: PeerId, node: PeerId) {
        if let Some(state) = self.links.get_mut(&link)
            && state.told.remove(&node).is_some()
        {
            state.outbox.leave(node);
        }
    }

    /// What a linked peer is told of a node; `None` if it is not told of the node.
    pub(crate) fn told_of(&self, link: PeerId, node: PeerId) -> Option<Told> {
        self.links.get(&link)?.told.get(&node).copied()
    }

    /// Whether a linked peer is told of a node.
    pub(crate) fn is_told(&self, link: PeerId, node: PeerId) -> bool {
        self.told_of(link, node).is_some()
    }

    /// Whether a linked peer is told of the D-Bus services of a node.
    pub(crate) fn passes_services(&self, link: PeerId, node: PeerId) -> bool {
        self.told_of(link, node).is_some_and(|it| it.with_services)
    }

    /// What waits for the linked peers that are told of a node, without the one whose request is carried out.
    pub(crate) fn told(&mut self, node: PeerId) -> impl Iterator<Item = (Told, &mut Outbox)> {
        let asking = self.asking;
        let links = self.links.iter_mut();
        let others = links.filter(move |(peer, _)| asking != Some(**peer));
        others.filter_map(move |(_, link)| Some((*link.told.get(&node)?, &mut link.outbox)))
    }

    /// Whether anybody is told of a node.
    pub(crate) fn is_passed(&self, node: PeerId) -> bool {
        self.links.values().any(|it| it.told.contains_key(&node))
    }

    /// Through whom a node of another venue is present.
    pub(crate) fn via(&self, node: PeerId) -> Option<PeerId> {
        self.away.get(&node)?.present
    }

    /// The nodes of other venues that are present.
    pub(crate) fn present(&self) -> impl Iterator<Item = (PeerId, PeerId)> {
        let present = self.away.iter();
        present.filter_map(|(node, away)| Some((*node, away.present?)))
    }

    /// What the one through whom a node is present tells of it.
    pub(crate) fn offer(&self, node: PeerId) -> Option<&Offer> {
        let away = self.away.get(&node)?;
        away.offers
            .iter()
            .find(|offer| Some(offer.via) == away.present)
    }

    /// A linked peer tells of a node; `false` if it tells of too many.
    fn offered(&mut self, node: PeerId, offer: Offer) -> bool {
        let via = offer.via;
        let count = self.away.values();
        let count = count.filter(|away| away.offers.iter().any(|it| it.via == via));
        let is_new = !self.is_offered(node, via);
        if is_new && count.count() >= NODES_MAX {
            return false;
        }
        let away = self.away.entry(node).or_insert(Away {
            offers: Vec::new(),
            present: None,
        });
        match away.offers.iter_mut().find(|it| it.via == via) {
            Some(known) => *known = offer,
            None => away.offers.push(offer),
        }
        true
    }

    fn is_offered(&self, node: PeerId, via: PeerId) -> bool {
        let away = self.away.get(&node);
        away.is_some_and(|away| away.offers.iter().any(|it| it.via == via))
    }

    /// The node is present through a linked peer, or not through one any more.
    fn set_present(&mut self, node: PeerId, via: Option<PeerId>) {
        if let Some(away) = self.away.get_mut(&node) {
            away.present = via;
        }
    }

    /// A linked peer tells no more of a node.
    fn withdraw(&mut self, node: PeerId, via: PeerId) {
        let Some(away) = self.away.get_mut(&node) else {
            return;
        };
        away.offers.retain(|offer| offer.via != via);
        if away.present == Some(via) {
            away.present = None;
        }
        if away.offers.is_empty() {
            self.away.remove(&node);
        }
    }

    /// Who else tells of a node that is not present through anybody.
    fn next_offer(&self, node: PeerId) -> Option<PeerId> {
        let away = self.away.get(&node).filter(|it| it.present.is_none())?;
        away.offers.first().map(|offer| offer.via)
    }

    /// A linked peer is gone; returns the nodes that it told of.
    fn unlink(&mut self, peer: PeerId) -> Vec<PeerId> {
        if self.links.remove(&peer).is_none() {
            return Vec::new();
        }
        self.calls.retain(|_, (link, ..)| *link != peer);
        let of = self.away.iter();
        let of = of.filter(|(_, away)| away.offers.iter().any(|it| it.via == peer));
        of.map(|(node, _)| *node).collect()
    }
}

/// The venue of a peer that is told of nodes, and may tell of some.
pub(crate) fn venue_of(info: &PeerInfo) -> Option<String> {
    // PASS-3
    let knows = info.headers.iter().any(|(name, _)| name == HEADER_NODES);
    info.venue
        .clone()
        .filter(|_| knows && info.extended && info.key.is_some())
}

/// Nodes that one linked peer may tell of.
pub(crate) const NODES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> PeerId {
        PeerId::new([number; 16])
    }

    fn offer(via: u8) -> Offer {
        Offer {
            via: id(via),
            name: "fader".to_owned(),
        }
    }

    #[test]
    fn a_node_that_two_tell_of_is_present_through_one_and_then_through_the_other() {
        let mut passing = Passing::default();
        passing.link(id(1), "north");
        passing.link(id(2), "north");
        assert!(passing.offered(id(9), offer(1)));
        assert_eq!(passing.next_offer(id(9)), Some(id(1)));
        passing.set_present(id(9), Some(id(1)));
        assert!(passing.offered(id(9), offer(2)));
        assert_eq!(passing.next_offer(id(9)), None, "PASS-2");
        assert_eq!(passing.unlink(id(1)), [id(9)]);
        passing.withdraw(id(9), id(1));
        assert_eq!(passing.via(id(9)), None);
        assert_eq!(passing.next_offer(id(9)), Some(id(2)));
        passing.withdraw(id(9), id(2));
        assert_eq!(passing.next_offer(id(9)), None);
        assert_eq!(passing.present().count(), 0);
    }

    #[test]
    fn a_linked_peer_may_tell_of_so_many_nodes() {
        let mut passing = Passing::default();
        let node = |number: usize| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&number.to_be_bytes());
            PeerId::new(octets)
        };
        for number in 0..NODES_MAX {
            assert!(passing.offered(node(number), offer(1)));
        }
        assert!(!passing.offered(node(NODES_MAX), offer(1)));
        assert!(passing.offered(node(3), offer(1)), "it is known");
        assert!(passing.offered(node(NODES_MAX), offer(2)), "another peer");
    }

    #[test]
    fn who_is_told_of_a_node_is_who_the_rules_name() {
        let mut passing = Passing::new(vec![PassRule::new(["fader"], Some(["south"]))]);
        passing.link(id(1), "south");
        passing.link(id(2), "east");
        let told = passing.names(id(1), "fader").unwrap();
        assert!(!told.with_services);
        assert_eq!(passing.names(id(1), "lamp"), None);
        assert_eq!(passing.names(id(2), "fader"), None);
        assert_eq!(passing.names(id(3), "fader"), None, "not linked");
        passing.tell(id(1), id(9), told);
        assert!(!passing.passes_services(id(1), id(9)));
        assert_eq!(passing.told(id(9)).count(), 1);
        passing.asking = Some(id(1));
        assert_eq!(passing.told(id(9)).count(), 0);
        passing.tell_gone(id(1), id(9));
        assert!(!passing.is_passed(id(9)));
    }
}
