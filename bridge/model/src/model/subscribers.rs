//! The tables of subscriptions: the receivers of this node's emitters, and the emitters that its sensors receive.
//!
//! Invariants: a receiver of a named emitter is in that capability's `subscribers`, too, for
//! all to see; receivers of everything are not, as in pyZOCP. Nodes that leave are taken out.
//! Limits: `subscriptions_max` a peer and direction.

use serde_json::Value;

use super::{Model, subscriptions::SubscribeError};
use crate::{
    CapPath, NodeId,
    capability::{MISSED, Subscriber},
    message::{Wire, entry, modified, nested},
};

impl Model {
    /// The capability of this node that a wire begins at.
    pub(super) fn emitter(&self, wire: &Wire) -> Option<CapPath> {
        self.tree.resolve(wire.emitter.as_deref()?)
    }

    /// Registers a receiver of one emitter of this node, or of all.
    pub(super) fn add_subscriber(&mut self, wire: &Wire) -> Result<(), SubscribeError> {
        let emitter = self.emitter(wire);
        let max = self.limits.subscriptions_max;
        let Some(receiver) = self.peers.get(&wire.receiver_node) else {
            return Err(SubscribeError::NodeGone(wire.receiver_node));
        };
        let has = receiver
            .subscribers
            .get(&emitter)
            .is_some_and(|names| names.contains(&wire.receiver));
        if has {
            return Ok(());
        }
        if receiver
            .subscribers
            .values()
            .map(|names| names.len())
            .sum::<usize>()
            >= max
        {
            return Err(SubscribeError::TooMany);
        }
        if let Some(emitter) = &emitter {
            let one = subscriber(wire);
            self.miss(emitter, |missed| missed.retain(|missed| *missed != one));
            let mut list = self.listed(emitter);
            list.push(one);
            self.list(emitter, list);
        }
        if let Some(receiver) = self.peers.get_mut(&wire.receiver_node) {
            receiver
                .subscribers
                .entry(emitter)
                .or_default()
                .insert(wire.receiver.clone());
        }
        Ok(())
    }

    /// Removes a receiver; returns whether there was one.
    pub(super) fn remove_subscriber(&mut self, wire: &Wire) -> bool {
        let emitter = self.emitter(wire);
        if let Some(emitter) = &emitter {
            let gone = subscriber(wire);
            self.miss(emitter, |missed| missed.retain(|missed| *missed != gone));
            let (before, mut list) = (self.listed(emitter), self.listed(emitter));
            list.retain(|listed| *listed != gone);
            if list != before {
                self.list(emitter, list);
            }
        }
        let Some(receiver) = self.peers.get_mut(&wire.receiver_node) else {
            return false;
        };
        let Some(names) = receiver.subscribers.get_mut(&emitter) else {
            return false;
        };
        let existed = names.remove(&wire.receiver);
        if names.is_empty() {
            receiver.subscribers.remove(&emitter);
        }
        existed
    }

    /// Removes a node that left from an emitter's list, to those who are missed.
    pub(super) fn unlist(&mut self, emitter: &CapPath, node: NodeId) {
        let node = node.to_string();
        let (gone, list): (Vec<_>, Vec<_>) = self
            .listed(emitter)
            .into_iter()
            .partition(|listed| *listed.node == *node);
        // protocol.md §6.11
        self.miss(emitter, |missed| {
            missed.retain(|one| !gone.contains(one));
            missed.extend(gone.iter().cloned());
            let beyond = missed.len().saturating_sub(MISSED_MAX);
            missed.drain(..beyond);
        });
        self.list(emitter, list);
    }

    /// Changes who is missed at an emitter: told to peers that know the word.
    fn miss(&mut self, emitter: &CapPath, change: impl FnOnce(&mut Vec<Subscriber>)) {
        let Some(capability) = self.tree.capability(emitter) else {
            return;
        };
        let before = capability.info.missed();
        let mut missed = before.clone();
        change(&mut missed);
        if missed == before {
            return;
        }
        let list: Value = missed.iter().map(Subscriber::to_json).collect();
        let part = nested(
            &emitter.object,
            entry(&emitter.name, Value::Object(entry(MISSED, list))),
        );
        if self.merge(part.clone()).is_err() {
            return;
        }
        let octets = modified(part);
        for (peer, is_extended) in self.subscribers(Some(emitter)) {
            if is_extended {
                self.whisper(peer, octets.clone());
            }
        }
    }

    fn listed(&self, emitter: &CapPath) -> Vec<Subscriber> {
        self.tree
            .capability(emitter)
            .and_then(|capability| capability.info.subscribers.clone())
            .unwrap_or_default()
    }

    /// Replaces an emitter's list and sends it to those who subscribed before, as pyZOCP does.
    fn list(&mut self, emitter: &CapPath, list: Vec<Subscriber>) {
        self.rewired();
        let list: Value = list.iter().map(Subscriber::to_json).collect();
        let part = nested(
            &emitter.object,
            entry(&emitter.name, Value::Object(entry("subscribers", list))),
        );
        // A list that exceeds the limits of the tree is not shown; the subscription is still valid.
        if self.tree.capability(emitter).is_none() || self.merge(part.clone()).is_err() {
            return;
        }
        let octets = modified(part);
        for (peer, _) in self.subscribers(Some(emitter)) {
            self.whisper(peer, octets.clone());
        }
    }

    /// Remembers a wire to this node; returns whether it is new.
    pub(super) fn remember(&mut self, wire: &Wire) -> Result<bool, SubscribeError> {
        let max = self.limits.subscriptions_max;
        let Some(known) = self.peers.get_mut(&wire.emitter_node) else {
            return Err(SubscribeError::NodeGone(wire.emitter_node));
        };
        // What all emitters of a node send has no sensor: there is nothing to remember.
        let Some(emitter) = &wire.emitter else {
            return Ok(false);
        };
        if known
            .wires
            .get(emitter)
            .is_some_and(|sensors| sensors.contains(&wire.receiver))
        {
            return Ok(false);
        }
        if known
            .wires
            .values()
            .map(|sensors| sensors.len())
            .sum::<usize>()
            >= max
        {
            return Err(SubscribeError::TooMany);
        }
        known
            .wires
            .entry(emitter.clone())
            .or_default()
            .insert(wire.receiver.clone());
        self.rewired();
        Ok(true)
    }

    /// Forgets a wire to this node; returns whether there was one.
    pub(super) fn forget(&mut self, wire: &Wire) -> bool {
        let (Some(known), Some(emitter)) = (self.peers.get_mut(&wire.emitter_node), &wire.emitter)
        else {
            return false;
        };
        let Some(sensors) = known.wires.get_mut(emitter) else {
            return false;
        };
        let existed = sensors.remove(&wire.receiver);
        if sensors.is_empty() {
            known.wires.remove(emitter);
        }
        existed
    }
}

/// Receivers that left and are remembered at an emitter, the newest.
const MISSED_MAX: usize = 64;

fn subscriber(wire: &Wire) -> Subscriber {
    Subscriber {
        node: wire.receiver_node.to_string().into(),
        receiver: wire.receiver.as_deref().map(Into::into),
    }
}
