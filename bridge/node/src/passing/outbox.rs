//! What waits for a linked peer whose line does not carry it yet.
//!
//! Model: a queue of [`Item`]s in order, of the nodes that are passed on and of this node itself. A state and a SET are
//! there once for each capability, with the newest value; what a node emits is there as often as it emits. An item becomes
//! a message when it is taken out, so what waits takes little and is as new as can be.
//! Invariants: PASSBOX-1. Events of a capability, and the state after them, go out in order. PASSBOX-2. After everything has
//! gone out, the peer has the newest value of every capability. PASSBOX-3. A value never goes out before a patch of its node
//! that came before it.
//! Limits: [`EVENTS_MAX`] events, of [`EVENT_OCTETS_MAX`] octets together; then all that wait become states, so that the line is not ever further behind, and are
//! counted. [`PATCHES_MAX`] patches; then the nodes that they are of enter anew. [`MESSAGES_MAX`] others; then the peer does
//! not keep up ([`Outbox::is_full`]).
//! Spec: docs/reference/protocol.md §10.5.

use std::collections::{BTreeSet, HashMap, VecDeque};

use zocp_model::{CapPath, Cause, Value};
use zocp_zre::PeerId;

/// What waits. See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    /// The newest of each capability, with the number of its item.
    newest: HashMap<(PeerId, CapPath), (u64, Newest)>,
    last: u64,
    /// The last number before the last patch of a node that waits.
    patched: HashMap<PeerId, u64>,
    events: usize,
    /// Octets of their values, about.
    event_octets: usize,
    patches: usize,
    /// All others but the newest of capabilities.
    messages: usize,
    /// Events that became states.
    merged: u64,
}

/// One that waits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// Tell of a node, with the tree that it has by then.
    Enter(PeerId),
    /// A node is gone.
    Leave(PeerId),
    /// A patch of a node's tree.
    Patch(PeerId, Vec<u8>),
    /// A value that a capability of a node has.
    State(PeerId, CapPath, Value),
    /// A value that a capability of a node emitted.
    Event(PeerId, CapPath, Value, Option<Cause>),
    /// A message to a node of the peer's venue, or a reply of one of ours.
    Message(PeerId, Vec<u8>),
    /// What this node emitted, as a message.
    Emission(PeerId, CapPath, Vec<u8>),
    /// Ask to be told of a node.
    Ask(PeerId),
    /// The place of the newest of a capability.
    #[doc(hidden)]
    Newest(PeerId, CapPath, u64),
}

#[derive(Debug, PartialEq)]
enum Newest {
    State(Value),
    /// A message: a SET, or a value of this node.
    Message(Vec<u8>),
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the peer does not take what cannot be left out.
    pub(crate) fn is_full(&self) -> bool {
        self.messages > MESSAGES_MAX
    }

    /// Whether a request would wait for many others.
    pub(crate) fn is_busy(&self) -> bool {
        self.messages > MESSAGES_MAX / 2
    }

    /// Events that were not sent one by one since this was asked.
    pub(crate) fn take_merged(&mut self) -> u64 {
        std::mem::take(&mut self.merged)
    }

    /// A node enters, or enters anew: what waits of it is out of date.
    pub(crate) fn enter(&mut self, node: PeerId) {
        self.forget(node);
        self.push(Item::Enter(node));
    }

    pub(crate) fn leave(&mut self, node: PeerId) {
        self.forget(node);
        self.push(Item::Leave(node));
    }

    pub(crate) fn ask(&mut self, node: PeerId) {
        self.push(Item::Ask(node));
    }

    pub(crate) fn patch(&mut self, node: PeerId, octets: Vec<u8>) {
        self.items.push_back(Item::Patch(node, octets));
        self.patched.insert(node, self.last);
        self.patches += 1;
        if self.patches > PATCHES_MAX {
            self.enter_anew();
        }
    }

    pub(crate) fn state(&mut self, node: PeerId, path: CapPath, value: Value) {
        self.put_newest(node, path, Newest::State(value));
    }

    /// A value of this node, as a message.
    pub(crate) fn own_state(&mut self, own: PeerId, path: CapPath, octets: Vec<u8>) {
        self.put_newest(own, path, Newest::Message(octets));
    }

    /// What this node emitted, as a message.
    pub(crate) fn own_event(&mut self, own: PeerId, path: CapPath, octets: Vec<u8>) {
        self.put_event(Item::Emission(own, path, octets));
    }

    /// A patch of this node's tree.
    pub(crate) fn own_patch(&mut self, own: PeerId, octets: Vec<u8>) {
        self.push(Item::Message(own, octets));
        self.patched.insert(own, self.last);
    }

    /// A SET of a node's capability; returns whether it takes the place of one that was not sent.
    pub(crate) fn set(&mut self, node: PeerId, path: CapPath, octets: Vec<u8>) -> bool {
        self.put_newest(node, path, Newest::Message(octets))
    }

    fn put_newest(&mut self, node: PeerId, path: CapPath, newest: Newest) -> bool {
        let key = (node, path);
        // PASSBOX-3: behind the patch it takes a place of its own.
        let patched = self.patched.get(&node).copied().unwrap_or_default();
        if let Some((number, waiting)) = self.newest.get_mut(&key)
            && *number > patched
        {
            *waiting = newest;
            return true;
        }
        self.last += 1;
        let item = Item::Newest(node, key.1.clone(), self.last);
        self.items.push_back(item);
        self.newest.insert(key, (self.last, newest)).is_some()
    }

    pub(crate) fn event(
        &mut self,
        node: PeerId,
        path: CapPath,
        value: Value,
        cause: Option<Cause>,
    ) {
        self.put_event(Item::Event(node, path, value, cause));
    }

    fn put_event(&mut self, item: Item) {
        // The event brings the value, too.
        if let Item::Event(node, path, ..) | Item::Emission(node, path, _) = &item {
            self.newest.remove(&(*node, path.clone()));
        }
        self.event_octets += item.event_octets();
        self.items.push_back(item);
        self.events += 1;
        if self.events > EVENTS_MAX || self.event_octets > EVENT_OCTETS_MAX {
            self.merge_events();
        }
    }

    pub(crate) fn message(&mut self, node: PeerId, octets: Vec<u8>) {
        self.push(Item::Message(node, octets));
    }

    fn push(&mut self, item: Item) {
        self.items.push_back(item);
        self.messages += 1;
    }

    /// The next item, to be sent.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        loop {
            let Some(item) = self.items.pop_front() else {
                self.patched.clear();
                return None;
            };
            match item {
                Item::Newest(node, path, number) => {
                    let key = (node, path);
                    if self.newest.get(&key).is_none_or(|(it, _)| *it != number) {
                        continue;
                    }
                    let (_, newest) = self.newest.remove(&key)?;
                    return Some(match newest {
                        Newest::State(value) => Item::State(node, key.1, value),
                        Newest::Message(octets) => Item::Message(node, octets),
                    });
                }
                item => {
                    match &item {
                        Item::Event(..) | Item::Emission(..) => {
                            self.events -= 1;
                            self.event_octets -= item.event_octets();
                        }
                        Item::Patch(..) => self.patches -= 1,
                        _ => self.messages -= 1,
                    }
                    return Some(item);
                }
            }
        }
    }

    /// Forgets what waits of a node.
    fn forget(&mut self, node: PeerId) {
        self.items.retain(|item| item.node() != node);
        self.newest.retain(|(of, _), _| *of != node);
        self.count();
    }

    fn count(&mut self) {
        (self.events, self.patches, self.messages) = (0, 0, 0);
        self.event_octets = self.items.iter().map(Item::event_octets).sum();
        for item in &self.items {
            match item {
                Item::Event(..) | Item::Emission(..) => self.events += 1,
                Item::Patch(..) => self.patches += 1,
                Item::Newest(..) => {}
                _ => self.messages += 1,
            }
        }
    }

    /// Has the last event of each capability wait as a state, and drops the others.
    fn merge_events(&mut self) {
        let mut last = HashMap::new();
        let (events, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(|item| matches!(item, Item::Event(..) | Item::Emission(..)));
        self.items = others;
        self.merged += events.len() as u64;
        (self.events, self.event_octets) = (0, 0);
        for item in events {
            match item {
                Item::Event(node, path, value, _) => {
                    last.insert((node, path), Newest::State(value));
                }
                Item::Emission(node, path, octets) => {
                    last.insert((node, path), Newest::Message(octets));
                }
                _ => {}
            }
        }
        for ((node, path), newest) in last {
            // A state that waits came after the events.
            if !self.newest.contains_key(&(node, path.clone())) {
                self.put_newest(node, path, newest);
            }
        }
    }

    fn enter_anew(&mut self) {
        let patches = self.items.iter();
        let nodes: BTreeSet<PeerId> = patches
            .filter(|it| matches!(it, Item::Patch(..)))
            .map(Item::node)
            .collect();
        for node in nodes {
            self.enter(node);
        }
    }
}

impl Item {
    /// Octets of the value of an event, about.
    fn event_octets(&self) -> usize {
        match self {
            Self::Event(_, _, value, _) => octets_of(value),
            Self::Emission(_, _, octets) => octets.len(),
            _ => 0,
        }
    }

    /// The node that it is about.
    pub(crate) const fn node(&self) -> PeerId {
        match self {
            Self::Enter(node)
            | Self::Leave(node)
            | Self::Patch(node, _)
            | Self::State(node, ..)
            | Self::Event(node, ..)
            | Self::Message(node, _)
            | Self::Emission(node, ..)
            | Self::Ask(node)
            | Self::Newest(node, ..) => *node,
        }
    }
}

/// Octets of a value, about, without making its text.
fn octets_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().map(|it| octets_of(it) + 1).sum::<usize>() + 2,
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, it)| key.len() + octets_of(it) + 4);
            entries.sum::<usize>() + 2
        }
        _ => 8,
    }
}

/// Octets of the values of these events: a second of such a line.
pub(crate) const EVENT_OCTETS_MAX: usize = 128 << 10;
/// Events that wait for one linked peer: half a second of a line of 1 Mbit/s.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Replies, and nodes that come and go, that wait for one linked peer.
pub(crate) const MESSAGES_MAX: usize = 4096;
/// Patches that wait for one linked peer.
pub(crate) const PATCHES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
