//! The ZOCP side of one node: its own tree, what it knows of others, who subscribed to
//! what, and the calls that are open.
//!
//! Model: a [`Model`] owns one tree of its own and a [`Peer`] for each present node. A peer owns
//! the copy of its tree, its subscriptions to ours and ours to its, and its open calls.
//! All of it is dropped with the peer, as in pyZOCP.
//! Invariants:
//! MODEL-1. `CallDone` comes exactly once for each call.
//! MODEL-2. A `SIG` or `MOD` goes only to peers that subscribed to it.
//! MODEL-3. An old peer (without `X-ZOCP-DBUS`) is never sent `methods`, a `null` that takes an entry
//!     away, `CALL` or `REP`, a subscription to an emitter that it may not have, or a wire to a sensor
//!     that it may not have: these would raise in it, or confuse it. The `null` that answers a `GET` of
//!     an unknown name takes nothing away, and pyZOCP itself answers so.
//! MODEL-4. An extended peer and we end on the same value, whoever sets it meanwhile and whether or not
//!     that is taken: it is told what holds after each of its `SET`s. Old ones are not.
//! MODEL-5. What one touch causes ends in every circle of wires (`touches`), and a touch that reaches a sensor
//!     of ours is taken.
//! Limits: [`Limits`]; what exceeds them is refused or ignored, and reported.
//! Spec: docs/reference/protocol.md §4, §5; §6.1 (MODEL-3)
//! Not here: who is present (zre), the octets around a message (zmtp), waiting (node).

mod calls;
mod local;
mod remote;
mod removals;
mod subscribers;
mod subscriptions;
mod totals;
mod touches;
mod verbs;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use crate::{
    CapPath, JsonError, Limits, NodeId, Tree,
    event::{CallFailure, CallId, Event, Ignored, Output, RequestId},
    json::Decoded,
    message::{self, MessageError, VERBS, Verb, Wire},
    tree::Held,
};

use touches::Touches;

pub use calls::{CallError, ReplyError};
pub use local::PublishError;
pub use remote::SetError;
pub use subscriptions::SubscribeError;

/// A node's model. **After each call that takes `&mut self`, drain
/// [`Self::poll_output`] until it gives `None`.**
///
/// ```
/// use std::time::Instant;
/// use zocp_model::{CapPath, Access, Capability, Event, Limits, Model, NodeId, Output, PeerKind};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (now, lamp, desk) = (Instant::now(), NodeId::new([1; 16]), NodeId::new([2; 16]));
/// let mut model = Model::new(lamp, Limits::default());
/// model.publish(CapPath::root("dim"), Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0))?;
/// model.peer_entered(now, desk, PeerKind { zocp: true, extended: false });
/// model.handle_message(now, desk, br#"{"SET": {"dim": {"value": 1.0}}}"#)?;
/// let set = std::iter::from_fn(|| model.poll_output())
///     .any(|output| matches!(output, Output::Event(Event::LocalSet { .. })));
/// assert!(set);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Model {
    me: NodeId,
    limits: Limits,
    follow: Follow,
    tree: Tree,
    peers: BTreeMap<NodeId, Peer>,
    /// The memory and the objects of the trees of all peers.
    held: Held,
    /// The touches that emissions of our capabilities come from.
    touches: Touches,
    calls: BTreeMap<CallId, OpenCall>,
    deadlines: BTreeSet<(Instant, CallId)>,
    last_call: u64,
    output: VecDeque<Output>,
}

/// What the headers of a peer say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerKind {
    /// It has the header `X-ZOCP`.
    pub zocp: bool,
    /// It has the header `X-ZOCP-DBUS: 1`.
    pub extended: bool,
}

/// Whether ZOCP nodes that enter are asked for their tree and followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// All nodes.
    #[default]
    Everyone,
    /// No node; all trees stay unknown.
    Nobody,
}

/// What is known of a present node.
#[derive(Debug)]
struct Peer {
    kind: PeerKind,
    tree: Option<Tree>,
    /// The memory and the objects of its tree.
    held: Held,
    /// Whether it is an old node that has asked for our whole tree: it is sent additions and removals.
    keeps_copy: bool,
    /// Its receivers, by our emitter; `None`: all of ours.
    subscribers: BTreeMap<Option<CapPath>, BTreeSet<Option<String>>>,
    /// Our receivers, by its emitter.
    wires: BTreeMap<String, BTreeSet<Option<String>>>,
    /// How many `SET`s of ours it has not answered yet, by capability; none for an old one.
    sets: BTreeMap<CapPath, u32>,
    /// Its calls that await our answer.
    requests: BTreeSet<RequestId>,
    /// How many of our calls await its answer.
    calls: usize,
    /// Whether it has sent a cause: its emissions without one have none.
    tells_causes: bool,
}

/// A call of ours that awaits its answer.
#[derive(Debug)]
struct OpenCall {
    peer: NodeId,
    deadline: Instant,
}

impl Model {
    /// The model of a node with an empty tree and no peers.
    pub fn new(me: NodeId, limits: Limits) -> Self {
        Self {
            me,
            limits,
            follow: Follow::default(),
            tree: Tree::new(),
            peers: BTreeMap::new(),
            held: Held::default(),
            touches: Touches::default(),
            calls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            last_call: 0,
            output: VecDeque::new(),
        }
    }

    /// The same, following as told: for those who enter from now on.
    #[must_use]
    pub fn with_follow(mut self, follow: Follow) -> Self {
        self.follow = follow;
        self
    }

    /// Our identity.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// The limits that it keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Our own tree.
    pub fn local(&self) -> &Tree {
        &self.tree
    }

    /// A peer's tree, once it came.
    pub fn remote(&self, peer: NodeId) -> Option<&Tree> {
        self.peers.get(&peer)?.tree.as_ref()
    }

    /// What a peer said of itself; `None` when it is not here.
    pub fn kind(&self, peer: NodeId) -> Option<PeerKind> {
        self.peers.get(&peer).map(|peer| peer.kind)
    }

    /// The nodes that are here.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    /// A peer is here. One that was is a new one: it has forgotten us, too.
    pub fn peer_entered(&mut self, now: Instant, peer: NodeId, kind: PeerKind) {
        self.peer_left(now, peer);
        self.peers.insert(peer, Peer::new(kind));
        self.rewired();
        if self.follow == Follow::Everyone && kind.zocp {
            // protocol.md §5.6
            let wire = self.following(peer);
            self.whisper(peer, wire.sub_and_get_all());
        }
    }

    /// A present peer had to be greeted afresh: it saw us leave and enter and forgot our
    /// subscriptions, which are told again. What it has of ours, and we of it, stays.
    pub fn peer_renewed(&mut self, peer: NodeId) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let followed = self.follow == Follow::Everyone && known.kind.zocp;
        let wires: Vec<Wire> = known
            .wires
            .iter()
            .flat_map(|(emitter, receivers)| receivers.iter().map(move |to| (emitter, to)))
            .map(|(emitter, receiver)| Wire {
                emitter_node: peer,
                emitter: Some(emitter.clone()),
                receiver_node: self.me,
                receiver: receiver.clone(),
            })
            .collect();
        if followed {
            self.renew(peer);
        }
        for wire in wires {
            self.whisper(peer, wire.sub());
        }
    }

    /// A peer is gone, and with it its tree, subscriptions and calls.
    pub fn peer_left(&mut self, now: Instant, peer: NodeId) {
        self.handle_timeout(now);
        let Some(gone) = self.peers.remove(&peer) else {
            return;
        };
        self.give_back(gone.held);
        self.rewired();
        let open: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| call.peer == peer)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.end_call(id, Err(CallFailure::NodeGone));
        }
        for emitter in gone.subscribers.into_keys().flatten() {
            self.unlist(&emitter, peer);
        }
    }

    /// One message: the content of a WHISPER, or of a SHOUT in the group `ZOCP`.
    ///
    /// `Ok(false)`: it is not ZOCP (its octets do not begin as a JSON object whose first key is
    /// a verb), and was not looked into further. An error is the peer's fault, unless it says otherwise;
    /// what could be handled was, and the peer stays.
    pub fn handle_message(
        &mut self,
        now: Instant,
        peer: NodeId,
        octets: &[u8],
    ) -> Result<bool, MessageError> {
        self.handle_timeout(now);
        // protocol.md §5.8
        if !crate::json::starts_with_key(octets, &VERBS) {
            return Ok(false);
        }
        if !self.peers.contains_key(&peer) {
            return Err(MessageError::UnknownPeer);
        }
        let (len, max) = (octets.len(), self.limits.message_len_max);
        if len > max {
            return Err(MessageError::TooLong { len, max });
        }
        let mut outcome = Ok(true);
        // protocol.md §5.1
        let Decoded { entries, flaws } = crate::json::decode(octets, &self.limits)?;
        if let Some(flaws) = flaws {
            self.ignore(peer, Ignored::Flawed(flaws));
        }
        let lost = flaws.filter(|flaws| flaws.has_lost);
        let cause = match message::cause(&entries) {
            Ok(cause) => cause.and_then(|cause| self.told(peer, cause)),
            Err(error) => {
                outcome = Err(error);
                None
            }
        };
        let wants_first = message::wants_first(&entries);
        for (name, payload) in entries {
            let handled = match Verb::parse(&name, payload) {
                // What is in a list has its meaning by its place.
                Ok(verb) if lost.is_some() && verb.is_list() => Err(lost
                    .map_or(JsonError::NotAnObject, |flaws| flaws.first)
                    .into()),
                Ok(Verb::Unknown) if [message::CAUSE, message::FIRST].contains(&&*name) => Ok(()),
                Ok(Verb::Sub(wire)) => {
                    self.sub(peer, wire, wants_first);
                    Ok(())
                }
                Ok(Verb::Unknown) => {
                    self.ignore(peer, Ignored::UnknownVerb(name));
                    Ok(())
                }
                Ok(verb) => self.handle_verb(peer, verb, cause.as_ref()),
                Err(error) => Err(error),
            };
            if let (Ok(_), Err(error)) = (&outcome, handled) {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Tells the time, ends the calls whose deadline has come, and looks whether circles of wires have come to
    /// rest.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.touches.now = Some(now);
        self.settle_circles(now);
        while let Some((_, id)) = self
            .deadlines
            .first()
            .copied()
            .filter(|(deadline, _)| *deadline <= now)
        {
            self.end_call(id, Err(CallFailure::Timeout));
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let call = self.deadlines.first().map(|(deadline, _)| *deadline);
        [call, self.touches.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What to send or to know next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    fn whisper(&mut self, peer: NodeId, octets: Vec<u8>) {
        self.output.push_back(Output::Whisper { peer, octets });
    }

    fn event(&mut self, event: Event) {
        self.output.push_back(Output::Event(event));
    }

    fn ignore(&mut self, peer: NodeId, reason: Ignored) {
        self.event(Event::Ignored { peer, reason });
    }

    /// Subscribes to everything of a peer that we follow, again or for the first time.
    fn renew(&mut self, peer: NodeId) {
        let wire = self.following(peer);
        self.whisper(peer, wire.sub());
    }

    fn following(&self, peer: NodeId) -> Wire {
        Wire {
            emitter_node: peer,
            emitter: None,
            receiver_node: self.me,
            receiver: None,
        }
    }
}

impl Peer {
    fn new(kind: PeerKind) -> Self {
        Self {
            kind,
            tree: None,
            held: Held::default(),
            keeps_copy: false,
            subscribers: BTreeMap::new(),
            wires: BTreeMap::new(),
            sets: BTreeMap::new(),
            requests: BTreeSet::new(),
            calls: 0,
            tells_causes: false,
        }
    }
}

#[cfg(test)]
mod tests;
