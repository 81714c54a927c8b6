//! How a wire can be made between two ends that are here.
//!
//! Model: a [`Plan`] is *direct*, a subscription between two nodes, which goes on without this bridge; or
//! it goes *through* this bridge, which hears the source and does something at the target. Direct is
//! chosen where it says the same: no conversion, kinds that suit, two nodes that bear the subscription.
//! A target that can be written gets a SET: every value arrives, checked against its range, also an equal
//! one, and nothing is added to its node. A sensor that cannot be written hears the SIG of an emitter of
//! ours (a *relay*), as its node knows no other way.
//! Not here: doing it (`super::worker`, `super::control`).

use zocp_node::{PeerId, model::Access};

use super::{
    conversion::{Conversion, Side},
    end::{BusEnd, End, NodeEnd},
    nodes::{CapabilityAddress, Known, Nodes},
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
    /// This bridge is in between.
    Through(Route),
}

/// A way through this bridge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    /// Where values come from.
    pub source: Source,
    /// Where they go.
    pub target: Target,
    /// What is known of the source.
    pub from: Side,
    /// What is known of the target.
    pub to: Side,
    /// Whether the target is a state, as far as that is known without asking it.
    pub is_state: bool,
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// An emitter of a node.
    Emitter(CapabilityAddress),
    /// A property or a signal of a service.
    Bus(BusEnd),
}

/// Where values go.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// A capability of a node, by SET.
    Set(CapabilityAddress),
    /// A sensor of a node, by the SIG of an emitter of ours.
    Relay(CapabilityAddress),
    /// A property or a method of a service.
    Bus(BusEnd),
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum PlanError {
    /// A node is not here.
    #[error("no node \"{0}\" is here")]
    NodeGone(String),
    /// The tree of a node has not come yet.
    #[error("\"{0}\" has not told what it has")]
    Unknown(String),
    /// A node has no such capability.
    #[error("\"{node}\" has no capability \"{capability}\"")]
    NoCapability {
        /// The node.
        node: String,
        /// What is missing.
        capability: String,
    },
    /// A service is not on the bus.
    #[error("no service {0} is on the bus")]
    NoService(String),
    /// Fault of whoever wants the wire.
    #[error("{0} does not emit: its access has no e")]
    NotAnEmitter(String),
    /// Fault of whoever wants the wire.
    #[error("{0} takes no values: its access has neither s nor w")]
    NotASensor(String),
    /// Fault of whoever wants the wire.
    #[error("a wire leads to another place than that where it begins")]
    SamePlace,
}

impl Source {
    /// The capability that it is, if it is one.
    #[must_use]
    pub(super) fn spot(&self) -> Option<&CapabilityAddress> {
        match self {
            Self::Emitter(spot) => Some(spot),
            Self::Bus(_) => None,
        }
    }
}

impl Target {
    /// The capability that it is, if it is one.
    #[must_use]
    pub(super) fn spot(&self) -> Option<&CapabilityAddress> {
        match self {
            Self::Set(spot) | Self::Relay(spot) => Some(spot),
            Self::Bus(_) => None,
        }
    }
}

impl PlanError {
    /// Whether it may pass by itself, when nodes and services come.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NodeGone(_) | Self::Unknown(_) | Self::NoCapability { .. } | Self::NoService(_)
        )
    }
}

/// How a wire can be made now.
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
            let target = through(nodes, spot, access);
            (target, Side::of(&known.info), is_state(access))
        }
        // Whether it is a property is seen when it is opened.
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

/// Whether a capability is a state, of which the newest value counts: what can be read.
pub(super) fn is_state(access: Access) -> bool {
    access.read
}

fn through(nodes: &Nodes, spot: CapabilityAddress, access: Access) -> Target {
    // The bridge itself is handed values, sensor or not.
    if access.write || nodes.is_me(spot.peer) {
        Target::Set(spot)
    } else {
        Target::Relay(spot)
    }
}

/// Whether two nodes can be told to do it between themselves. Old nodes look for both ends at their root,
/// append to a list of subscribers that must be there, and compare with a value that must be there.
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
