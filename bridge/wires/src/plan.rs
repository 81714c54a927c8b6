//! How a wire can be made between two present ends.
//!
//! Model: a [`Plan`] is either *direct*, a subscription between two nodes that works without this bridge, or it passes
//! *through* this bridge, which receives values from the source and delivers them to the target. A direct plan is
//! chosen if it has the same effect: no conversion, compatible kinds, and two nodes that support the subscription.
//! Values for a writable target are sent as SET: every value arrives, also an equal one, is checked against the range,
//! and adds nothing to the target's node. A sensor that is not writable receives the SIG of an emitter of this bridge
//! (a *relay*), because its node accepts no other message.
//! Not here: carrying the plan out (`super::worker`).

use zocp_node::{PeerId, model::Access};

use super::{
    conversion::{Conversion, Side},
    end::{BusEnd, End, NodeEnd},
    nodes::{CapabilityAddress, Known, Nodes, Place},
};

/// How a wire is made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// A subscription of one node to another.
    Direct {
        /// The emitter.
        emitter: CapabilityAddress,
        /// The sensor.
        sensor: CapabilityAddress,
    },
    /// Values pass through this bridge.
    Through(Route),
}

/// A route through this bridge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    /// The source of values.
    pub source: Source,
    /// The target.
    pub target: Target,
    /// The kind and range of the source.
    pub from: Side,
    /// The kind and range of the target.
    pub to: Side,
    /// Whether the target is a state, as far as this is known before it is opened.
    pub is_state: bool,
}

/// The source of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// An emitter of a node.
    Emitter(CapabilityAddress),
    /// A property or a signal of a service.
    Bus(BusEnd),
}

/// The target of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// A capability of a node, by SET.
    Set(CapabilityAddress),
    /// A sensor of a node, by SIG of an emitter of this bridge.
    Relay(CapabilityAddress),
    /// A property or a method of a service.
    Bus(BusEnd),
}

/// Why a wire cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum PlanError {
    /// A node is not present.
    #[error("no node \"{0}\" is present")]
    NodeGone(String),
    /// The tree of a node has not arrived yet.
    #[error("the node \"{0}\" has not sent its capabilities yet")]
    Unknown(String),
    /// A node has no such capability.
    #[error("\"{node}\" has no capability \"{capability}\"")]
    NoCapability {
        /// The node.
        node: String,
        /// The missing capability.
        capability: String,
    },
    /// A service is not on the bus.
    #[error("no service {0} is on the bus")]
    NoService(String),
    /// A mistake of the caller.
    #[error("{0} does not emit: its access has no e")]
    NotAnEmitter(String),
    /// A mistake of the caller.
    #[error("{0} takes no values: its access has neither s nor w")]
    NotASensor(String),
    /// A node behind the bridge of another venue takes SETs, and no emissions.
    #[error("{0} is a node of another venue that takes only emissions: its access has no w")]
    NotWritable(String),
    /// A mistake of the caller.
    #[error("the source and the target of a wire must differ")]
    SamePlace,
}

impl Source {
    /// The capability, if it is one.
    #[must_use]
    pub(super) fn spot(&self) -> Option<&CapabilityAddress> {
        match self {
            Self::Emitter(spot) => Some(spot),
            Self::Bus(_) => None,
        }
    }
}

impl Target {
    /// The capability, if it is one.
    #[must_use]
    pub(super) fn spot(&self) -> Option<&CapabilityAddress> {
        match self {
            Self::Set(spot) | Self::Relay(spot) => Some(spot),
            Self::Bus(_) => None,
        }
    }
}

impl PlanError {
    /// Whether the error may disappear when nodes and services appear.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NodeGone(_) | Self::Unknown(_) | Self::NoCapability { .. } | Self::NoService(_)
        )
    }
}

/// Plans a wire for the present nodes and services.
pub(super) fn plan(
    nodes: &Nodes,
    has_service: impl Fn(&str) -> bool,
    (from, to): (&End, &End),
    conversion: &Conversion,
) -> Result<Plan, PlanError> {
    let at_node = |end: &NodeEnd| spot(nodes, end);
    let at_bus = |end: &BusEnd| {
        if has_service(&end.service) {
            Ok(end.clone())
        } else {
            Err(PlanError::NoService(end.service.clone()))
        }
    };
    let (source, from_side) = match from {
        End::Node(end) => {
            let (spot, known) = at_node(end)?;
            if !known.info.access.emit {
                return Err(PlanError::NotAnEmitter(from.to_string()));
            }
            (Source::Emitter(spot), Side::of(&known.info))
        }
        End::Bus(end) => (Source::Bus(at_bus(end)?), Side::default()),
    };
    let (target, to_side, is_state) = match to {
        End::Node(end) => {
            let (spot, known) = at_node(end)?;
            let access = known.info.access;
            if !access.sense && !access.write {
                return Err(PlanError::NotASensor(to.to_string()));
            }
            if let Source::Emitter(emitter) = &source {
                if *emitter == spot {
                    return Err(PlanError::SamePlace);
                }
                let suits = Side::of(&known.info).kind;
                if conversion.is_none()
                    && from_side.kind.suits(suits)
                    && is_direct(nodes, emitter, &spot)
                {
                    let emitter = emitter.clone();
                    return Ok(Plan::Direct {
                        emitter,
                        sensor: spot,
                    });
                }
            }
            if !access.write
                && nodes
                    .get(spot.peer)
                    .is_some_and(|it| it.place == Place::Passed)
            {
                return Err(PlanError::NotWritable(to.to_string()));
            }
            let target = through(nodes, spot, access);
            (target, Side::of(&known.info), is_state(access))
        }
        // Whether it is a property is known when it is opened.
        End::Bus(end) => (Target::Bus(at_bus(end)?), Side::default(), false),
    };
    Ok(Plan::Through(Route {
        source,
        target,
        from: from_side,
        to: to_side,
        is_state,
    }))
}

/// Whether a capability is a state, of which only the newest value matters: a readable one.
pub(super) fn is_state(access: Access) -> bool {
    access.read
}

fn through(nodes: &Nodes, spot: CapabilityAddress, access: Access) -> Target {
    // The bridge itself accepts values also for a capability that is not a sensor.
    if access.write || nodes.is_me(spot.peer) {
        Target::Set(spot)
    } else {
        Target::Relay(spot)
    }
}

/// Whether the two nodes support a subscription between them. Old nodes search for both ends at their root only,
/// append to a list of subscribers that must exist, and compare with a value that must exist.
fn is_direct(nodes: &Nodes, emitter: &CapabilityAddress, sensor: &CapabilityAddress) -> bool {
    let bears = |spot: &CapabilityAddress, is_ready: fn(&Known) -> bool| {
        let (Some(node), Some(known)) = (nodes.get(spot.peer), nodes.known(spot)) else {
            return false;
        };
        node.is_extended || (spot.path.object.is_root() && is_ready(known))
    };
    let senses = nodes
        .known(sensor)
        .is_some_and(|known| known.info.access.sense);
    emitter.peer != sensor.peer
        && nodes.have_met(emitter.peer, sensor.peer)
        && senses
        && bears(emitter, |known| known.info.subscribers.is_some())
        && bears(sensor, |known| known.has_value)
}

fn spot<'n>(nodes: &'n Nodes, end: &NodeEnd) -> Result<(CapabilityAddress, &'n Known), PlanError> {
    let peer = nodes.find(end);
    let peer = peer.ok_or_else(|| PlanError::NodeGone(end.node.clone()))?;
    find_at(nodes, peer, end)
}

fn find_at<'n>(
    nodes: &'n Nodes,
    peer: PeerId,
    end: &NodeEnd,
) -> Result<(CapabilityAddress, &'n Known), PlanError> {
    let found = nodes.resolve(peer, &end.capability).and_then(|path| {
        let spot = CapabilityAddress { peer, path };
        let known = nodes.known(&spot)?;
        Some((spot, known))
    });
    found.ok_or_else(|| match nodes.get(peer) {
        Some(node) if node.is_known => PlanError::NoCapability {
            node: node.name.clone(),
            capability: end.capability.clone(),
        },
        _ => PlanError::Unknown(end.node.clone()),
    })
}
