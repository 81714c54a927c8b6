//! A wire, and how far it is.

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
    /// Where it begins.
    pub(crate) from: End,
    /// Where it ends.
    pub(crate) to: End,
    /// What it makes of values.
    pub(crate) conversion: Conversion,
    /// Whether it outlives the bridge.
    pub(crate) lasting: bool,
    /// By whom it was made.
    pub(crate) maker: Maker,
    pub(super) stage: WireStage,
}

/// By whom a wire was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// By a client of this bridge.
    Us,
    /// By somebody else, between two nodes.
    Others,
}

/// How far a wire is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WireStage {
    /// Something is not here.
    Waiting(PlanError),
    /// The nodes were told; the emitter does not list it yet.
    Asked {
        emitter: CapabilityAddress,
        sensor: CapabilityAddress,
    },
    /// The emitter lists it.
    Direct {
        emitter: CapabilityAddress,
        sensor: CapabilityAddress,
    },
    /// It goes through this bridge.
    Through(Route),
    /// It goes through another bridge, which announces it under this number.
    Elsewhere(PeerId),
    /// It cannot be.
    Refused(String),
}

/// What is shown of how far a wire is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// An end is missing; which.
    Waiting(Option<String>),
    /// Values pass.
    Active,
    /// It cannot be; why.
    Failed(String),
}

impl Wire {
    /// How far it is.
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

    /// Whether values go from node to node without this bridge.
    #[must_use]
    pub(crate) fn is_direct(&self) -> bool {
        matches!(
            self.stage,
            WireStage::Asked { .. } | WireStage::Direct { .. }
        )
    }

    /// Whether others made it, and it is no more when this node goes.
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

    /// Whether one of its ends is this capability of this node, or may become it.
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

    /// Whether one of its ends is at this node, or may be once it is known.
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

    /// Notes which very nodes the ends are, and their names.
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

/// Whether two ends mean the same.
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
