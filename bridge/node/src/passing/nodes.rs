//! The nodes of other venues that messages of linked peers make present, without an actor: for fuzzing.

use std::collections::BTreeSet;

use zocp_zre::{Content, PeerId};

use super::{Passing, Step, Told, read, write};

/// What came of a message, or of a peer that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassedStep {
    /// A node enters, with this name.
    Enter(PeerId, String),
    /// A node exits.
    Exit(PeerId),
    /// A node that is present says something.
    Said(PeerId),
    /// Something is asked of a node that is told of.
    Asked(PeerId),
    /// A node that is present whispers something that is not ZOCP.
    Whispered(PeerId),
    /// Something that is not ZOCP is whispered to a node that is told of with its services.
    WhisperedTo(PeerId),
    /// The message was refused.
    Refused,
}

/// The nodes that messages of linked peers make present, without an actor.
#[derive(Debug, Default)]
pub struct PassedNodes {
    passing: Passing,
    met: BTreeSet<PeerId>,
}

impl PassedNodes {
    /// A peer of another venue comes; it is told of these nodes, with their services or without.
    pub fn link(
        &mut self,
        peer: PeerId,
        told: impl IntoIterator<Item = (PeerId, bool)>,
    ) -> Vec<PassedStep> {
        let mut steps = self.meet(peer);
        steps.extend(self.cut(peer));
        self.passing.link(peer, "north");
        for (node, with_services) in told {
            self.passing.tell(peer, node, Told { with_services });
        }
        self.met.insert(peer);
        steps
    }

    /// It goes.
    pub fn cut(&mut self, peer: PeerId) -> Vec<PassedStep> {
        self.met.remove(&peer);
        let met = self.met.clone();
        let steps = self.passing.cut(peer, |node| met.contains(&node));
        self.passing.lost(peer);
        self.told(steps)
    }

    /// A node is met itself.
    pub fn meet(&mut self, node: PeerId) -> Vec<PassedStep> {
        self.met.insert(node);
        let steps = self.passing.met(node);
        self.told(steps)
    }

    /// A whisper of a linked peer; `None` if it is not about a node.
    pub fn hear(&mut self, link: PeerId, content: &Content) -> Option<Vec<PassedStep>> {
        let Ok((node, passed)) = read(content)? else {
            return Some(vec![PassedStep::Refused]);
        };
        let again = read(&write(node, passed.clone()));
        assert_eq!(
            again,
            Some(Ok((node, passed.clone()))),
            "it is written as it is read"
        );
        if self.passing.linked(link).is_none() {
            return Some(vec![PassedStep::Refused]);
        }
        let is_met = self.met.contains(&node);
        let steps = self.passing.hear(link, (node, passed), is_met);
        Some(self.told(steps))
    }

    /// How many items wait for a linked peer.
    #[must_use]
    pub fn waiting(&mut self, link: PeerId) -> usize {
        let Some(outbox) = self.passing.outbox(link) else {
            return 0;
        };
        std::iter::from_fn(|| outbox.pop()).count()
    }

    fn told(&self, steps: Vec<Step>) -> Vec<PassedStep> {
        let told = steps.into_iter().map(|step| match step {
            Step::Enter(node, _) => {
                let offer = self.passing.offer(node);
                let name = offer.map_or_else(String::new, |offer| offer.name.clone());
                PassedStep::Enter(node, name)
            }
            Step::Exit(node, _) => PassedStep::Exit(node),
            Step::Said(node, _) => PassedStep::Said(node),
            Step::Asked(node, _) => PassedStep::Asked(node),
            Step::Whispered(node, _) => PassedStep::Whispered(node),
            Step::WhisperedTo(node, _) => PassedStep::WhisperedTo(node),
            Step::Refused(_) => PassedStep::Refused,
        });
        told.collect()
    }
}
