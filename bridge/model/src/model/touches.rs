//! What the emissions of our capabilities come from, and which signals are echoes.
//!
//! Model: [`Touches`] has a [`History`] for each capability of ours that emitted or sensed. With nodes that tell
//! causes it decides. A node that tells none (pyZOCP) passes values on without them: it emits what its sensor
//! receives if it is another value. So where a wire from such a node, or by way of one, leads to a sensor of ours
//! in a *circle*, what our sensor's capability emits is expected to return on that wire, in order, and what
//! returns is an echo. A value that such a node would not pass on, since it has it, is not expected.
//! Invariants: TOUCH-1. only wires that are known to be in a circle have expectations: everywhere else each signal
//! is a touch. TOUCH-2. when a circle has been quiet after an echo for 500 ms, or longer where it is slow, and its
//! last node shows another value than ours, that was a touch of the same value as an older one: it is taken then.
//! Limits: those of [`Returns`]; circles are followed through [`NODES_MAX`] capabilities.
//! Spec: docs/reference/protocol.md §6.8, §6.9.

mod returns;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use serde_json::Value;

use self::returns::Returns;
use super::Model;
use crate::{CapPath, Cause, History, Meaning, NodeId, Origin, json};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Touches {
    pub(super) now: Option<Instant>,
    capabilities: BTreeMap<CapPath, Touched>,
    /// Capabilities that were given a number.
    slots: u32,
    /// Changes whenever a wire may have been made or removed.
    generation: u64,
    /// Wires to be looked at when they have been quiet.
    settling: BTreeSet<(Instant, CapPath, NodeId, String)>,
}

/// What is known of one capability.
#[derive(Debug)]
struct Touched {
    origin: Origin,
    history: History,
    generation: Option<u64>,
    returns: Vec<Returns>,
}

/// Which peers are sent a change of this node, and as what.
#[derive(Debug, Default)]
pub(super) struct Telling {
    pub(super) cause: Option<Cause>,
    /// A peer that is left out.
    pub(super) except: Option<NodeId>,
    /// Old peers are left out.
    pub(super) is_for_extended: bool,
    /// The wire that it came from.
    pub(super) source: Option<(NodeId, String)>,
}

/// What happens to a value that is received.
#[derive(Debug, PartialEq)]
pub(super) enum Met {
    /// It is taken, and passed on with this cause.
    Taken(Option<Cause>),
    /// It is the echo of a value that was taken.
    Echo,
    /// The same, and its sender is sent the present value.
    Retold(Cause),
}

impl Telling {
    pub(super) fn all(cause: Option<Cause>) -> Self {
        Self {
            cause,
            ..Self::default()
        }
    }

    pub(super) fn except(self, peer: NodeId) -> Self {
        Self {
            except: Some(peer),
            ..self
        }
    }

    pub(super) fn is_again(&self) -> bool {
        self.cause.as_ref().is_some_and(Cause::is_again)
    }
}

impl Touches {
    /// When wires are to be checked.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.settling.first().map(|(at, ..)| *at)
    }

    /// Capabilities were withdrawn.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&CapPath) -> bool) {
        self.capabilities.retain(|path, _| !is_gone(path));
    }

    fn touched(&mut self, me: NodeId, path: &CapPath) -> &mut Touched {
        let slots = &mut self.slots;
        let capabilities = &mut self.capabilities;
        if !capabilities.contains_key(path) {
            *slots = slots.wrapping_add(1);
        }
        capabilities
            .entry(path.clone())
            .or_insert_with(|| Touched::new(Origin::new(me, *slots)))
    }
}

impl Touched {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            history: History::default(),
            generation: None,
            returns: Vec::new(),
        }
    }

    fn returns(&mut self, peer: NodeId, emitter: &str) -> Option<&mut Returns> {
        let mut returns = self.returns.iter_mut();
        returns.find(|one| one.peer == peer && one.emitter == emitter)
    }
}

impl Model {
    /// A program of this node touches one of its capabilities.
    pub(super) fn touch(&mut self, path: &CapPath) -> Option<Cause> {
        let touched = self.touches.touched(self.me, path);
        touched.history.touch(touched.origin, false)
    }

    /// A wire may have been made or removed.
    pub(super) fn rewired(&mut self) {
        self.touches.generation += 1;
    }

    /// What a message of a peer says that its emissions come from. Nothing of that holds for an old peer.
    pub(super) fn told(&mut self, peer: NodeId, cause: Cause) -> Option<Cause> {
        let known = self.peers.get_mut(&peer)?;
        if !known.kind.extended {
            return None;
        }
        if !std::mem::replace(&mut known.tells_causes, true) {
            self.rewired();
        }
        Some(cause)
    }

    /// Whether a peer passes values on without their causes.
    pub(super) fn strips(&self, peer: NodeId) -> bool {
        peer != self.me && !self.peers.get(&peer).is_some_and(|peer| peer.tells_causes)
    }

    /// A capability of this node receives a value. Without a cause it is a touch.
    pub(super) fn meet(&mut self, path: &CapPath, cause: Option<&Cause>, relayed: bool) -> Met {
        let touched = self.touches.touched(self.me, path);
        let Some(cause) = cause else {
            return Met::Taken(touched.history.touch(touched.origin, relayed));
        };
        match touched.history.meet(cause) {
            Meaning::New | Meaning::Wins => Met::Taken(touched.history.cause()),
            Meaning::Echo => Met::Echo,
            Meaning::Loses => touched.history.untold().map_or(Met::Echo, Met::Retold),
        }
    }

    /// The cause of the present value of a capability, for messages that are no emission.
    pub(super) fn present_cause(&mut self, path: &CapPath) -> Option<Cause> {
        let touched = self.touches.touched(self.me, path);
        let cause = touched
            .history
            .cause()
            .or_else(|| touched.history.touch(touched.origin, false))?;
        Some(Cause {
            again: true,
            ..cause
        })
    }

    /// Sends the present value to the peers that know causes; this is no emission.
    pub(super) fn tell_again(&mut self, path: &CapPath, cause: Cause) {
        let value = self.tree.capability(path).and_then(|it| it.value.clone());
        let telling = Telling {
            cause: Some(cause),
            except: None,
            is_for_extended: true,
            source: None,
        };
        if let Some(value) = value {
            // An equal value breaks no limit.
            self.update(path, value, telling).ok();
        }
    }

    /// A capability of ours emits: it is expected to come back where a circle leads through old nodes.
    pub(super) fn expect_returns(&mut self, path: &CapPath, value: &Value, telling: &Telling) {
        let Some(now) = self.touches.now else { return };
        self.find_circles(path);
        let Some(touched) = self.touches.capabilities.get_mut(path) else {
            return;
        };
        for returns in &mut touched.returns {
            returns.forget_old(now);
            returns.moved = Some(now);
            let is_from_there = telling.source.as_ref().is_some_and(|(peer, emitter)| {
                *peer == returns.peer && *emitter == returns.emitter
            });
            if is_from_there && telling.except != Some(returns.peer) {
                returns.push(value.clone(), now, true);
                returns.took(value.clone(), now);
                continue;
            }
            let shown = || {
                let tree = self.peers.get(&returns.peer)?.tree.as_ref()?;
                let path = tree.resolve(&returns.emitter)?;
                tree.capability(&path)?.value.as_ref()
            };
            let newest = returns.expected.back().map(|one| &one.value);
            let is_there = newest.or_else(shown);
            if !is_there.is_some_and(|there| json::equal(there, value)) {
                returns.push(value.clone(), now, false);
            }
        }
    }

    /// Whether a signal is what a capability of ours emitted, on its way through nodes that tell no causes.
    pub(super) fn is_return(
        &mut self,
        path: &CapPath,
        (peer, emitter): (NodeId, &str),
        value: &Value,
        cause: Option<&Cause>,
    ) -> bool {
        if cause.is_some_and(|cause| !cause.relayed) {
            return false;
        }
        let Some(now) = self.touches.now else {
            return false;
        };
        self.touches.touched(self.me, path);
        self.find_circles(path);
        let touches = &mut self.touches;
        let Some(touched) = touches.capabilities.get_mut(path) else {
            return false;
        };
        // The node that numbered it knew our present value: so it comes after that, whatever its value is.
        if cause.is_some_and(|cause| !touched.history.is_unaware(cause)) {
            return false;
        }
        let Some(returns) = touched.returns(peer, emitter) else {
            return false;
        };
        returns.moved = Some(now);
        let comes_round = cause.is_none() && returns.comes_round(value, now);
        if !returns.take(value, now) && !comes_round {
            return false;
        }
        if !std::mem::replace(&mut returns.is_settling, true) {
            let wire = (
                now + returns.settle(),
                path.clone(),
                peer,
                emitter.to_owned(),
            );
            touches.settling.insert(wire);
        }
        if let Some(cause) = cause {
            touched.history.absorb(cause);
        }
        true
    }

    /// The old node that a value came from, when it needs not be told of it: the wire back leads to where it
    /// came from, and nothing of ours is on the way there.
    pub(super) fn spared(
        &mut self,
        path: &CapPath,
        (peer, emitter): (NodeId, &str),
    ) -> Option<NodeId> {
        let known = self.peers.get(&peer)?;
        let receivers = known.subscribers.get(&Some(path.clone()))?;
        let is_pair = receivers.len() == 1
            && receivers.contains(&Some(emitter.to_owned()))
            && !known.kind.extended
            && !known.subscribers.contains_key(&None);
        let touched = self.touches.capabilities.get_mut(path)?;
        let is_quiet = touched.returns(peer, emitter)?.expected.is_empty();
        (is_pair && is_quiet).then_some(peer)
    }

    /// Checks wires that have been quiet since an echo (TOUCH-2).
    pub(super) fn settle_circles(&mut self, now: Instant) {
        while let Some((at, path, peer, emitter)) = self.touches.settling.first().cloned()
            && at <= now
        {
            self.touches.settling.pop_first();
            let touched = self.touches.capabilities.get_mut(&path);
            let Some(returns) = touched.and_then(|touched| touched.returns(peer, &emitter)) else {
                continue;
            };
            let quiet_at = returns.moved.map_or(at, |moved| moved + returns.settle());
            if quiet_at > now {
                let wire = (quiet_at, path, peer, emitter);
                self.touches.settling.insert(wire);
                continue;
            }
            returns.rest();
            self.adopt_shown(now, &path, (peer, &emitter));
        }
    }

    /// Takes the value that the last node of a circle shows, if it differs.
    fn adopt_shown(&mut self, now: Instant, path: &CapPath, (peer, emitter): (NodeId, &str)) {
        let shown = || {
            let tree = self.peers.get(&peer)?.tree.as_ref()?;
            let shown = tree.capability(&tree.resolve(emitter)?)?.value.as_ref()?;
            let ours = self.tree.capability(path)?;
            let shown = ours.check(shown).ok()?;
            let held = ours.value.as_ref();
            let differs = !held.is_some_and(|held| json::equal(held, &shown));
            (differs && ours.info.access.sense).then_some(shown)
        };
        let Some(value) = shown() else { return };
        let touched = self.touches.capabilities.get_mut(path);
        let returns = touched.and_then(|touched| touched.returns(peer, emitter));
        if returns.is_some_and(|returns| returns.may_adopt(&value, now)) {
            self.sense_checked((peer, emitter), path.clone(), value, None);
        }
    }

    /// Finds the wires that lead to a capability of ours in a circle through nodes that tell no causes.
    fn find_circles(&mut self, path: &CapPath) {
        let generation = Some(self.touches.generation);
        let touched = self.touches.capabilities.get(path);
        if touched.is_none_or(|touched| touched.generation == generation) {
            return;
        }
        let found = self.circles(path);
        let Some(touched) = self.touches.capabilities.get_mut(path) else {
            return;
        };
        touched.generation = generation;
        touched.returns.retain(|returns| {
            let mut found = found.iter();
            found.any(|(peer, emitter)| *peer == returns.peer && *emitter == returns.emitter)
        });
        for (peer, emitter) in found {
            if touched.returns(peer, &emitter).is_none() {
                touched.returns.push(Returns::new(peer, emitter));
            }
        }
    }

    /// The wires to a capability of ours that begin where wires from it lead to.
    fn circles(&self, path: &CapPath) -> Vec<(NodeId, String)> {
        let leads_here = |receiver: &Option<String>| {
            let receiver = receiver.as_ref().and_then(|name| self.tree.resolve(name));
            receiver.as_ref() == Some(path)
        };
        let mut wires = self.peers.iter().flat_map(|(peer, known)| {
            let to_us = known.wires.iter();
            let to_us = to_us.filter(|(_, receivers)| receivers.iter().any(leads_here));
            to_us.map(|(emitter, _)| (*peer, emitter.clone()))
        });
        let Some(first) = wires.next() else {
            return Vec::new();
        };
        let (reached, strips) = self.reached(path);
        if !strips {
            return Vec::new();
        }
        let is_reached = |(peer, emitter): &(NodeId, String)| {
            let tree = self.peers.get(peer).and_then(|peer| peer.tree.as_ref());
            let emitter = tree.and_then(|tree| tree.resolve(emitter));
            emitter.is_some_and(|emitter| reached.contains(&(*peer, emitter)))
        };
        [first]
            .into_iter()
            .chain(wires)
            .filter(is_reached)
            .collect()
    }

    /// The capabilities to which wires lead from one of ours, and whether a node of them tells no causes.
    fn reached(&self, path: &CapPath) -> (BTreeSet<(NodeId, CapPath)>, bool) {
        let mut reached = BTreeSet::new();
        let mut strips = false;
        let mut open = vec![(self.me, path.clone())];
        while let Some((node, path)) = open.pop() {
            let Some(capability) = self.tree_of(node).and_then(|tree| tree.capability(&path))
            else {
                continue;
            };
            for subscriber in capability.info.subscribers.iter().flatten() {
                let (Ok(node), Some(name)) = (subscriber.node.parse(), &subscriber.receiver) else {
                    continue;
                };
                let Some(to) = self.tree_of(node).and_then(|tree| tree.resolve(name)) else {
                    continue;
                };
                if reached.len() < NODES_MAX && reached.insert((node, to.clone())) {
                    strips |= self.strips(node);
                    open.push((node, to));
                }
            }
        }
        (reached, strips)
    }

    fn tree_of(&self, node: NodeId) -> Option<&crate::Tree> {
        if node == self.me {
            return Some(&self.tree);
        }
        self.peers.get(&node)?.tree.as_ref()
    }
}

/// Capabilities through which a circle is followed.
const NODES_MAX: usize = 4096;
