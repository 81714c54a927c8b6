//! What linked peers tell of nodes and ask of them, and what comes of it.
//!
//! Model: each message, and each peer that enters or exits, changes [`Passing`], and gives [`Step`]s, which the caller
//! carries out in order.
//! Invariants: PASSHEAR-1. Of one node `Enter` and `Exit` alternate, `Enter` first; none is entered that is met itself.
//! Spec: docs/reference/protocol.md §10.2, §10.3.

use bytes::Bytes;
use zocp_zre::{Content, ExitReason, PeerId};

use super::{Introduction, Offer, Passed, Passing};

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A node enters, with this tree.
    Enter(PeerId, Bytes),
    /// A node exits.
    Exit(PeerId, ExitReason),
    /// A node that is present sends this message.
    Said(PeerId, Bytes),
    /// The linked peer asks this of a node that is passed on to it.
    Asked(PeerId, Bytes),
    /// A node that is present whispers this, which is not ZOCP.
    Whispered(PeerId, Content),
    /// The linked peer whispers this to a node that is passed on to it with its services.
    WhisperedTo(PeerId, Content),
    /// The message is ignored, for this reason.
    Refused(&'static str),
}

impl Passing {
    /// A linked peer tells of a node, or asks something of one. `is_met`: the node is met itself, or is this one.
    pub(crate) fn hear(
        &mut self,
        link: PeerId,
        (node, passed): (PeerId, Passed),
        is_met: bool,
    ) -> Vec<Step> {
        match passed {
            Passed::Enter(introduction, tree) => {
                self.offer_of(link, node, introduction, &tree, is_met)
            }
            Passed::Leave => {
                let exit = self.exit(node, Some(link), ExitReason::Goodbye);
                self.withdraw(node, link);
                self.ask_for(node, is_met);
                exit
            }
            Passed::Message(octets) if self.is_told(link, node) => vec![Step::Asked(node, octets)],
            Passed::Message(octets) if self.via(node) == Some(link) => {
                vec![Step::Said(node, octets)]
            }
            Passed::Whisper(content) if self.passes_services(link, node) => {
                vec![Step::WhisperedTo(node, content)]
            }
            Passed::Whisper(content) if self.via(node) == Some(link) => {
                vec![Step::Whispered(node, content)]
            }
            Passed::Message(_) | Passed::Whisper(_) => Vec::new(),
            Passed::Ask => {
                if let Some(told) = self.told_of(link, node) {
                    self.tell(link, node, told);
                }
                Vec::new()
            }
        }
    }

    fn offer_of(
        &mut self,
        link: PeerId,
        node: PeerId,
        introduction: Introduction,
        tree: &Bytes,
        is_met: bool,
    ) -> Vec<Step> {
        let offer = Offer {
            via: link,
            name: introduction.name,
        };
        if !self.offered(node, offer) {
            return vec![Step::Refused("more nodes than one peer may tell of")];
        }
        // PASS-2
        if is_met || self.via(node).is_some_and(|via| via != link) {
            return Vec::new();
        }
        let mut steps = self.exit(node, Some(link), ExitReason::Replaced);
        self.set_present(node, Some(link));
        steps.push(Step::Enter(node, tree.clone()));
        steps
    }

    /// A node is met itself from now on.
    pub(crate) fn met(&mut self, node: PeerId) -> Vec<Step> {
        let via = self.via(node);
        self.exit(node, via, ExitReason::Replaced)
    }

    /// A peer that was met has left: those who were told of it are told that, and others are asked for it.
    pub(crate) fn lost(&mut self, peer: PeerId) {
        for link in self.links() {
            self.tell_gone(link, peer);
        }
        self.ask_for(peer, false);
    }

    /// A linked peer has left, and with it the nodes that it told of.
    pub(crate) fn cut(&mut self, link: PeerId, is_met: impl Fn(PeerId) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for node in self.unlink(link) {
            steps.extend(self.exit(node, Some(link), ExitReason::LinkClosed));
            self.withdraw(node, link);
            self.ask_for(node, is_met(node));
        }
        steps
    }

    /// The node is present no more, if it was through this peer.
    fn exit(&mut self, node: PeerId, via: Option<PeerId>, reason: ExitReason) -> Vec<Step> {
        if via.is_none() || self.via(node) != via {
            return Vec::new();
        }
        self.set_present(node, None);
        vec![Step::Exit(node, reason)]
    }

    /// Asks another one who tells of a node to do so anew, if the node is not present.
    fn ask_for(&mut self, node: PeerId, is_met: bool) {
        if is_met {
            return;
        }
        if let Some(via) = self.next_offer(node)
            && let Some(outbox) = self.outbox(via)
        {
            outbox.ask(node);
        }
    }
}
