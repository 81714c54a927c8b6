//! A wire and its state.

use zocp_node::PeerId;

use super::super::{
    conversion::Conversion,
    end::End,
    nodes::CapabilityAddress,
    plan::{PlanError, Route},
};
use zocp_mapping::label::label;

/// A wire.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    /// Its source.
    pub(crate) from: End,
    /// Its target.
    pub(crate) to: End,
    /// The conversion of its values.
    pub(crate) conversion: Conversion,
    /// Whether it is saved and made again when the bridge restarts.
    pub(crate) lasting: bool,
    /// Who made it.
    pub(crate) maker: Maker,
    pub(super) stage: WireStage,
}

/// Who made a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// A client of this bridge.
    Us,
    /// Another program or bridge.
    Others,
}

/// The internal state of a wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WireStage {
    /// An end is missing, or its node has not sent its tree.
    Waiting(PlanError),
    /// The subscription was requested, but the emitter does not list it yet.
    Asked {
        emitter: CapabilityAddress,
        sensor: CapabilityAddress,
    },
    /// The emitter lists the subscription.
    Direct {
        emitter: CapabilityAddress,
        sensor: CapabilityAddress,
    },
    /// It passes through this bridge.
    Through(Route),
    /// It passes through another bridge, which announces it.
    Elsewhere(PeerId),
    /// It cannot be made; the text says why.
    Refused(String),
}

/// The state of a wire as it is shown on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not active yet; the text says why, unless only the confirmation of a node is missing.
    Waiting(Option<String>),
    /// Values are passed on.
    Active,
    /// It cannot be made; the text says why.
    Failed(String),
}

impl Wire {
    /// The state that is shown on the bus.
    #[must_use]
    pub(crate) fn state(&self) -> State {
        match &self.stage {
            WireStage::Waiting(error) => State::Waiting(Some(error.to_string())),
            WireStage::Asked { .. } => State::Waiting(None),
            WireStage::Direct { .. } | WireStage::Through(_) | WireStage::Elsewhere(_) => {
                State::Active
            }
            WireStage::Refused(reason) => State::Failed(reason.clone()),
        }
    }

    /// Whether values pass directly between the nodes, without this bridge.
    #[must_use]
    pub(crate) fn is_direct(&self) -> bool {
        matches!(
            self.stage,
            WireStage::Asked { .. } | WireStage::Direct { .. }
        )
    }

    /// Whether it is a foreign wire that disappears when this node leaves.
    pub(super) fn is_foreign_at(&self, peer: PeerId) -> bool {
        match self.stage {
            WireStage::Elsewhere(bridge) => bridge == peer,
            _ => self.maker == Maker::Others && self.has_peer(peer),
        }
    }

    pub(super) fn is_established(&self) -> bool {
        matches!(self.stage, WireStage::Direct { .. } | WireStage::Through(_))
    }

    pub(super) fn sensor(&self) -> Option<&CapabilityAddress> {
        match &self.stage {
            WireStage::Asked { sensor, .. } | WireStage::Direct { sensor, .. } => Some(sensor),
            _ => None,
        }
    }

    pub(super) fn has_peer(&self, peer: PeerId) -> bool {
        let pinned = |end: &End| matches!(end, End::Node(end) if end.pinned == Some(peer));
        pinned(&self.from) || pinned(&self.to)
    }

    /// Whether one of its ends is, or may become, this capability of this node.
    pub(super) fn is_about(&self, (peer, name, capability): &(PeerId, String, String)) -> bool {
        let is_it = |end: &End| match end {
            End::Node(end) if self.is_established() => {
                end.pinned == Some(*peer) && end.capability == *capability
            }
            End::Node(end) => {
                end.pinned == Some(*peer) || end.node == *name || end.node == label(name)
            }
            End::Bus(_) => false,
        };
        is_it(&self.from) || is_it(&self.to)
    }

    /// Whether one of its ends is at this node, or may be once the node's tree is known.
    pub(super) fn may_be_at(&self, (peer, name): &(PeerId, String)) -> bool {
        let is_it = |end: &End| match end {
            End::Node(end) => {
                end.pinned == Some(*peer)
                    || end.node == *name
                    || end.node == label(name)
                    || end.node.parse() == Ok(*peer)
            }
            End::Bus(_) => false,
        };
        is_it(&self.from) || is_it(&self.to)
    }

    /// Stores the ids of the nodes at its ends, and the paths of their capabilities.
    pub(super) fn pin(&mut self, stage: &WireStage) {
        let (from, to) = match stage {
            WireStage::Asked { emitter, sensor } | WireStage::Direct { emitter, sensor } => {
                (Some(emitter), Some(sensor))
            }
            WireStage::Through(route) => (route.source.spot(), route.target.spot()),
            WireStage::Waiting(_) | WireStage::Refused(_) | WireStage::Elsewhere(_) => return,
        };
        for (end, spot) in [(&mut self.from, from), (&mut self.to, to)] {
            if let (End::Node(end), Some(spot)) = (end, spot) {
                end.pinned = Some(spot.peer);
                end.capability = spot.path.to_string();
            }
        }
    }
}

/// Whether two ends are the same capability or member.
pub(super) fn is_same(one: &End, other: &End) -> bool {
    match (one, other) {
        (End::Node(one), End::Node(other)) => {
            let same_node = match (one.pinned, other.pinned) {
                (Some(one), Some(other)) => one == other,
                _ => one.node == other.node,
            };
            same_node && one.capability == other.capability
        }
        (one, other) => one == other,
    }
}
