//! Messages of linked peers about nodes of other venues.
//!
//! Input: the frames of one whisper behind the octet `N`, or operations of several linked peers.
//! Holds: what is read is written, and read again as the same. A node enters and exits in turn, and is not present while
//! it is met itself; it has a name of 255 octets at most. What a node says, whispers and is asked comes only from a peer
//! that tells of it, or is told of it, with its services where it is whispered to. A node is present as long as one of the peers that tell of it is linked, as soon as that one
//! has answered that it tells of it still. Nobody else is asked than who tells of it.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use zocp_node::plumbing::{PassedNodes, PassedStep};
use zocp_node::{Content, PeerId};

#[derive(Debug, Arbitrary)]
enum Operation {
    Link { peer: u8, told: u8 },
    Cut { peer: u8 },
    Meet { node: u8 },
    Enter { peer: u8, node: u8, name: u16 },
    Leave { peer: u8, node: u8 },
    Message { peer: u8, node: u8 },
    Ask { peer: u8, node: u8 },
    Raw { peer: u8, frames: Vec<Vec<u8>> },
    Whisper { peer: u8, node: u8 },
}

/// Runs the target.
pub fn run(data: &[u8]) {
    if let [b'N', rest @ ..] = data {
        return whisper(rest);
    }
    let Ok(operations) = Vec::<Operation>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut bench = Bench::default();
    for operation in operations {
        crate::show(&operation);
        bench.follow(operation);
    }
}

/// Frames, each with its length in an octet before it.
fn whisper(mut data: &[u8]) {
    let mut frames = vec![Bytes::from_static(TAG)];
    while let [len, rest @ ..] = data {
        let (frame, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        frames.push(Bytes::copy_from_slice(frame));
        data = rest;
    }
    let mut nodes = PassedNodes::default();
    nodes.link(id(0), []);
    let steps = nodes.hear(id(0), &frames.into_iter().collect());
    assert!(steps.is_some(), "it has the tag");
}

#[derive(Default)]
struct Bench {
    nodes: PassedNodes,
    present: BTreeSet<PeerId>,
    met: BTreeSet<PeerId>,
    /// Of each linked peer, the nodes that it tells of.
    offers: BTreeMap<PeerId, BTreeSet<PeerId>>,
    told: BTreeMap<PeerId, BTreeSet<PeerId>>,
    /// Those of them whose services it is told of.
    served: BTreeMap<PeerId, BTreeSet<PeerId>>,
}

impl Bench {
    fn follow(&mut self, operation: Operation) {
        match operation {
            Operation::Link { peer, told } => {
                let (peer, node, with_services) = (linked(peer), id(told), told >= 128);
                let steps = self.nodes.link(peer, [(node, with_services)]);
                self.met.insert(peer);
                self.lose(peer);
                self.offers.insert(peer, BTreeSet::new());
                self.told.insert(peer, [node].into());
                self.served.remove(&peer);
                if with_services {
                    self.served.insert(peer, [node].into());
                }
                self.took(&steps);
            }
            Operation::Cut { peer } => {
                let peer = linked(peer);
                let steps = self.nodes.cut(peer);
                self.met.remove(&peer);
                self.offers.remove(&peer);
                self.told.remove(&peer);
                self.served.remove(&peer);
                self.lose(peer);
                self.took(&steps);
            }
            Operation::Meet { node } => {
                let steps = self.nodes.meet(id(node));
                self.met.insert(id(node));
                self.took(&steps);
                assert!(!self.present.contains(&id(node)));
            }
            Operation::Enter { peer, node, name } => {
                let introduction = format!("{{\"name\": \"{}\"}}", "x".repeat(name.into()));
                let frames = [introduction.as_bytes(), b"{\"MOD\": {}}"];
                let steps = self.hear(linked(peer), (1, id(node)), &frames);
                if name <= 255 && self.offers.contains_key(&linked(peer)) {
                    assert!(!steps.contains(&PassedStep::Refused));
                    self.offers
                        .entry(linked(peer))
                        .or_default()
                        .insert(id(node));
                    assert_ne!(
                        self.present.contains(&id(node)),
                        self.met.contains(&id(node))
                    );
                } else {
                    assert_eq!(steps, [PassedStep::Refused]);
                }
            }
            Operation::Leave { peer, node } => {
                self.hear(linked(peer), (2, id(node)), &[]);
                if let Some(offers) = self.offers.get_mut(&linked(peer)) {
                    offers.remove(&id(node));
                }
            }
            Operation::Message { peer, node } => {
                let (peer, node) = (linked(peer), id(node));
                let steps = self.hear(peer, (3, node), &[b"{}"]);
                let has = |of: &BTreeMap<PeerId, BTreeSet<PeerId>>| {
                    of.get(&peer).is_some_and(|nodes| nodes.contains(&node))
                };
                if steps.contains(&PassedStep::Said(node)) {
                    assert!(has(&self.offers) && self.present.contains(&node));
                }
                assert_eq!(steps.contains(&PassedStep::Asked(node)), has(&self.told));
            }
            Operation::Ask { peer, node } => {
                let (peer, node) = (linked(peer), id(node));
                let _before = self.nodes.waiting(peer);
                self.hear(peer, (4, node), &[]);
                let is_told = self.told.get(&peer).is_some_and(|it| it.contains(&node));
                assert_eq!(self.nodes.waiting(peer), usize::from(is_told));
            }
            Operation::Whisper { peer, node } => {
                let (peer, node) = (linked(peer), id(node));
                let steps = self.hear(peer, (5, node), &[b"DBUS1", b"l"]);
                let has = |of: &BTreeMap<PeerId, BTreeSet<PeerId>>| {
                    of.get(&peer).is_some_and(|nodes| nodes.contains(&node))
                };
                if steps.contains(&PassedStep::Whispered(node)) {
                    assert!(has(&self.offers) && self.present.contains(&node));
                }
                let is_to = steps.contains(&PassedStep::WhisperedTo(node));
                assert_eq!(is_to, has(&self.served));
            }
            Operation::Raw { peer, frames } => {
                let frames = frames.into_iter().map(Bytes::from);
                let content: Content = frames.collect();
                if content.first().is_none_or(|tag| **tag != *TAG) {
                    assert_eq!(self.nodes.hear(linked(peer), &content), None);
                }
            }
        }
        // Each that is present is told of by somebody who is linked.
        for node in &self.present {
            assert!(self.offers.values().any(|nodes| nodes.contains(node)));
        }
    }

    /// A peer has left: nobody is told of it as a node any more.
    fn lose(&mut self, peer: PeerId) {
        for nodes in self.told.values_mut().chain(self.served.values_mut()) {
            nodes.remove(&peer);
        }
    }

    fn hear(&mut self, peer: PeerId, head: (u8, PeerId), rest: &[&[u8]]) -> Vec<PassedStep> {
        let (kind, node) = head;
        let head: Vec<u8> = [kind].into_iter().chain(*node.as_bytes()).collect();
        let tag = [Bytes::from_static(TAG), Bytes::from(head)];
        let rest = rest.iter().map(|frame| Bytes::copy_from_slice(frame));
        let steps = self
            .nodes
            .hear(peer, &tag.into_iter().chain(rest).collect());
        let steps = steps.expect("it has the tag");
        self.took(&steps);
        steps
    }

    fn took(&mut self, steps: &[PassedStep]) {
        for step in steps {
            match step {
                PassedStep::Enter(node, name) => {
                    assert!(self.present.insert(*node), "it is there already");
                    assert!(!self.met.contains(node) && name.len() <= 255);
                }
                PassedStep::Exit(node) => assert!(self.present.remove(node), "it was not there"),
                _ => {}
            }
        }
    }
}

fn id(number: u8) -> PeerId {
    PeerId::new([number % 16; 16])
}

/// Peers, of which some are nodes that others tell of, too.
fn linked(number: u8) -> PeerId {
    id(number % 4)
}

const TAG: &[u8] = b"NODES1";
