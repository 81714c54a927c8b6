//! Subscriptions: SUB and UNSUB, between any two nodes, requested by any node.
//!
//! Model: a wire leads from an emitter (or all of a node's) to a sensor (or to the node as
//! such). The emitter's node gets the message, and passes it on to the receiver's node if
//! that is not the one that sent it. pyZOCP follows both from `subscribers` of the emitter's capability.
//! Guards (see MODEL-3 in `model`): pyZOCP raises at a SUB or UNSUB of an emitter that it does not have, and
//! at a SIG for a sensor that it does not have. So neither is sent unless its tree is known to
//! have them.
//! Spec: docs/reference/protocol.md §5.5.

use super::Model;
use crate::{
    CapPath, Capability, NodeId,
    event::{Event, Ignored},
    message::Wire,
};

impl Model {
    /// Wires an emitter to a sensor; either may be of this node or of a peer. `None` is every
    /// emitter of the node, or no particular sensor.
    pub fn subscribe(
        &mut self,
        emitter_node: NodeId,
        emitter: Option<&str>,
        sensor_node: NodeId,
        sensor: Option<&str>,
    ) -> Result<(), SubscribeError> {
        self.subscribe_with((emitter_node, emitter), (sensor_node, sensor), false)
    }

    /// The same; with `first` the sensor gets the present value, if the emitter's node is extended.
    pub fn subscribe_with(
        &mut self,
        (emitter_node, emitter): (NodeId, Option<&str>),
        (sensor_node, sensor): (NodeId, Option<&str>),
        first: bool,
    ) -> Result<(), SubscribeError> {
        let wire = wire(emitter_node, emitter, sensor_node, sensor);
        self.check(&wire)?;
        if emitter_node == self.me {
            self.add_subscriber(&wire)?;
            self.whisper(sensor_node, wire.sub());
            if first {
                self.tell_first(&wire);
            }
            return Ok(());
        }
        if sensor_node == self.me {
            self.remember(&wire)?;
        }
        let is_extended = self.kind(emitter_node).is_some_and(|kind| kind.extended);
        let sub = if first && is_extended {
            wire.sub_first()
        } else {
            wire.sub()
        };
        self.whisper(emitter_node, sub);
        Ok(())
    }

    /// Sends the receiver of a new subscription the present value, which is no emission.
    fn tell_first(&mut self, wire: &Wire) {
        let Some(path) = self.emitter(wire) else {
            return;
        };
        let Some(value) = self.tree.capability(&path).and_then(|it| it.value.clone()) else {
            return;
        };
        let cause = self.present_cause(&path);
        self.tell_value(wire.receiver_node, &path, &value, cause.as_ref());
    }

    /// Removes such a wire.
    pub fn unsubscribe(
        &mut self,
        emitter_node: NodeId,
        emitter: Option<&str>,
        sensor_node: NodeId,
        sensor: Option<&str>,
    ) -> Result<(), SubscribeError> {
        let wire = wire(emitter_node, emitter, sensor_node, sensor);
        self.check_nodes(&wire)?;
        self.check_emitter(&wire)?;
        if emitter_node == self.me {
            self.remove_subscriber(&wire);
            self.whisper(sensor_node, wire.unsub());
            return Ok(());
        }
        self.whisper(emitter_node, wire.unsub());
        if sensor_node == self.me {
            self.forget(&wire);
            self.rewired();
            self.keep_following(&wire);
        }
        Ok(())
    }

    pub(super) fn sub(&mut self, peer: NodeId, wire: Wire, first: bool) {
        if let Err(reason) = self.try_sub(peer, &wire, first) {
            self.ignore(peer, reason);
        }
    }

    fn try_sub(&mut self, peer: NodeId, wire: &Wire, first: bool) -> Result<(), Ignored> {
        let error = |error: SubscribeError| error.reason(wire);
        self.check_ours(wire)?;
        if wire.emitter_node == self.me {
            self.check_nodes(wire)
                .and_then(|()| self.check_emitter(wire))
                .map_err(error)?;
            let forward = wire.receiver_node != peer;
            if forward {
                self.check_sensor(wire).map_err(error)?;
            }
            self.add_subscriber(wire).map_err(error)?;
            if forward {
                self.whisper(wire.receiver_node, wire.sub());
            }
            if first {
                self.tell_first(wire);
            }
            let (emitter, receiver) = (self.emitter(wire), wire.receiver.clone());
            self.event(Event::Subscribed {
                peer: wire.receiver_node,
                emitter,
                receiver,
            });
            return Ok(());
        }
        self.check_nodes(wire)
            .and_then(|()| self.check_sensor(wire))
            .map_err(error)?;
        let emitter_is_known = self.check_emitter(wire);
        if peer != wire.emitter_node {
            // A third party took the shortcut to the receiver: the emitter must still be told.
            emitter_is_known.map_err(error)?;
        }
        if self.remember(wire).map_err(error)? {
            // pyZOCP confirms, and its emitters tell their program only then.
            if emitter_is_known.is_ok() {
                self.whisper(wire.emitter_node, wire.sub());
            }
            let Wire {
                emitter_node,
                emitter,
                receiver,
                ..
            } = wire.clone();
            self.event(Event::Wired {
                peer: emitter_node,
                emitter,
                receiver,
            });
        }
        Ok(())
    }

    pub(super) fn unsub(&mut self, peer: NodeId, wire: Wire) {
        if let Err(reason) = self.try_unsub(peer, &wire) {
            self.ignore(peer, reason);
        }
    }

    fn try_unsub(&mut self, peer: NodeId, wire: &Wire) -> Result<(), Ignored> {
        let error = |error: SubscribeError| error.reason(wire);
        self.check_ours(wire)?;
        self.check_nodes(wire).map_err(error)?;
        if wire.emitter_node == self.me {
            self.check_emitter(wire).map_err(error)?;
            let existed = self.remove_subscriber(wire);
            if wire.receiver_node != peer {
                self.whisper(wire.receiver_node, wire.unsub());
            }
            if existed {
                let (emitter, receiver) = (self.emitter(wire), wire.receiver.clone());
                self.event(Event::Unsubscribed {
                    peer: wire.receiver_node,
                    emitter,
                    receiver,
                });
            }
            return Ok(());
        }
        if peer != wire.emitter_node {
            self.check_emitter(wire).map_err(error)?;
            self.whisper(wire.emitter_node, wire.unsub());
        }
        if self.forget(wire) {
            self.rewired();
            let Wire {
                emitter_node,
                emitter,
                receiver,
                ..
            } = wire.clone();
            self.event(Event::Unwired {
                peer: emitter_node,
                emitter,
                receiver,
            });
        }
        self.keep_following(wire);
        Ok(())
    }

    /// An UNSUB makes pyZOCP forget that we follow it.
    fn keep_following(&mut self, wire: &Wire) {
        let kind = self.kind(wire.emitter_node);
        if self.follow == super::Follow::Everyone
            && kind.is_some_and(|kind| kind.zocp && !kind.extended)
        {
            self.renew(wire.emitter_node);
        }
    }

    fn check_ours(&self, wire: &Wire) -> Result<(), Ignored> {
        if (wire.emitter_node == self.me) == (wire.receiver_node == self.me) {
            return Err(Ignored::NotOurs);
        }
        Ok(())
    }

    fn check(&self, wire: &Wire) -> Result<(), SubscribeError> {
        self.check_nodes(wire)?;
        self.check_emitter(wire)?;
        self.check_sensor(wire)
    }

    /// Checks that the two nodes are different and present, and the names within the limit.
    fn check_nodes(&self, wire: &Wire) -> Result<(), SubscribeError> {
        if wire.emitter_node == wire.receiver_node {
            return Err(SubscribeError::SameNode);
        }
        for node in [wire.emitter_node, wire.receiver_node] {
            if node != self.me && !self.peers.contains_key(&node) {
                return Err(SubscribeError::NodeGone(node));
            }
        }
        let names = [&wire.emitter, &wire.receiver];
        if names
            .into_iter()
            .flatten()
            .any(|name| name.len() > self.limits.name_len_max)
        {
            return Err(SubscribeError::NameTooLong);
        }
        Ok(())
    }

    fn check_emitter(&self, wire: &Wire) -> Result<(), SubscribeError> {
        let Some(emitter) = &wire.emitter else {
            return if self.is_zocp(wire.emitter_node) {
                Ok(())
            } else {
                Err(SubscribeError::UnknownEmitter)
            };
        };
        // pyZOCP looks at the root, for a list to which it appends.
        let bears = |c: &Capability| c.info.subscribers.is_some();
        self.has(wire.emitter_node, emitter, bears)
            .then_some(())
            .ok_or(SubscribeError::UnknownEmitter)
    }

    fn check_sensor(&self, wire: &Wire) -> Result<(), SubscribeError> {
        let Some(sensor) = &wire.receiver else {
            return Ok(());
        };
        self.has(wire.receiver_node, sensor, |c| c.value.is_some())
            .then_some(())
            .ok_or(SubscribeError::UnknownSensor)
    }

    /// Whether a node, which may be us, is known to have a capability that can be wired. Old
    /// nodes look for it at their root only, and not every one `bears` being wired.
    fn has(&self, node: NodeId, name: &str, bears: impl Fn(&Capability) -> bool) -> bool {
        let Some(peer) = self.peers.get(&node) else {
            return self.tree.resolve(name).is_some();
        };
        let Some(tree) = &peer.tree else {
            return false;
        };
        if peer.kind.extended {
            return tree.resolve(name).is_some();
        }
        tree.capability(&CapPath::root(name)).is_some_and(bears)
    }

    fn is_zocp(&self, node: NodeId) -> bool {
        node == self.me || self.kind(node).is_some_and(|kind| kind.zocp)
    }
}

fn wire(
    emitter_node: NodeId,
    emitter: Option<&str>,
    receiver_node: NodeId,
    receiver: Option<&str>,
) -> Wire {
    let (emitter, receiver) = (emitter.map(str::to_owned), receiver.map(str::to_owned));
    Wire {
        emitter_node,
        emitter,
        receiver_node,
        receiver,
    }
}

/// Why a wire was not made or removed. Nothing was sent, nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// One of the nodes is not present.
    #[error("node {0} is not here")]
    NodeGone(NodeId),
    /// Both ends are of the same node; a wire leads from one node to another.
    #[error("emitter and sensor are of the same node")]
    SameNode,
    /// The emitter's node is not known to have such an emitter, at a place that can be subscribed to.
    #[error("unknown emitter")]
    UnknownEmitter,
    /// The receiver's node is not known to have such a sensor.
    #[error("unknown sensor")]
    UnknownSensor,
    /// A name is longer than the limit.
    #[error("a name is too long")]
    NameTooLong,
    /// More subscriptions than the limit.
    #[error("too many subscriptions")]
    TooMany,
}

impl SubscribeError {
    /// The same, when a peer asked for the wire.
    fn reason(self, wire: &Wire) -> Ignored {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        match self {
            Self::NodeGone(node) => Ignored::UnknownNode(node),
            Self::SameNode => Ignored::NotOurs,
            Self::UnknownEmitter | Self::NameTooLong => {
                Ignored::UnknownEmitter(name(&wire.emitter))
            }
            Self::UnknownSensor => Ignored::UnknownSensor(name(&wire.receiver)),
            Self::TooMany => Ignored::TooManySubscriptions,
        }
    }
}
