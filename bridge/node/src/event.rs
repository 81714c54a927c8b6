//! What a node tells its owner.
//!
//! Model: [`Events`] is the one reader of a bounded queue. When nobody reads it, the node stops
//! reading from its peers and TCP holds them back, and commands that make events wait: nothing is lost, nothing grows.

use std::sync::Arc;

use tokio::sync::mpsc;
use zocp_model::{CapPath, Cause, Change, ObjectPath, RequestId, Tree, Value};
use zocp_zmtp::PublicKey;
pub use zocp_zre::Content;
use zocp_zre::{ExitReason, PeerId};

use crate::interfaces::Network;
use crate::security::Stranger;

/// What a node tells its owner, in the order in which it happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A peer is here. Nothing of a peer comes before this, nothing after its `Exited`.
    Entered(PeerInfo),
    /// A peer is gone.
    Exited {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: ExitReason,
    },
    /// A peer joined a group.
    Joined {
        /// Who.
        peer: PeerId,
        /// The group.
        group: String,
    },
    /// A peer left a group.
    Left {
        /// Who.
        peer: PeerId,
        /// The group.
        group: String,
    },
    /// A peer is silent and was asked for a sign of life.
    Evasive {
        /// Who.
        peer: PeerId,
    },
    /// A peer opened a connection to this node, and none of its endpoints can be dialed: it is heard, and nothing can
    /// be said to it. When it can be reached it exits and enters.
    Unreachable {
        /// Who.
        peer: PeerId,
    },
    /// An evasive peer gave a sign of life.
    Returned {
        /// Who.
        peer: PeerId,
    },
    /// A whisper that is not ZOCP.
    Whispered {
        /// From whom.
        peer: PeerId,
        /// What.
        content: Content,
    },
    /// A shout that is not ZOCP.
    Shouted {
        /// From whom.
        peer: PeerId,
        /// In which group.
        group: String,
        /// What.
        content: Content,
    },
    /// A node answered with its whole tree for the first time since it entered.
    TreeKnown {
        /// Whose.
        peer: PeerId,
        /// The tree. Later `Changed` events start from this.
        tree: Box<Tree>,
    },
    /// A known tree changed.
    Changed {
        /// Whose.
        peer: PeerId,
        /// What changed, in order.
        changes: Vec<Change>,
    },
    /// An emitter of a peer emitted: once for each emission, also of an equal value.
    Emitted {
        /// Whose emitter.
        peer: PeerId,
        /// The emitter.
        path: CapPath,
        /// The value.
        value: Value,
        /// Which touch it comes from, if the peer says.
        cause: Option<Cause>,
    },
    /// This node set a capability of a peer that emits: the peer tells all its subscribers but this node.
    Set {
        /// Whose.
        peer: PeerId,
        /// Which capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// How many wires it has come through, see [`Node::set_through`](crate::Node::set_through).
        hops: u8,
        /// Which touch it comes from, if that is known.
        cause: Option<Cause>,
    },
    /// This node's own tree changed.
    LocalChanged {
        /// What changed, in order.
        changes: Vec<Change>,
    },
    /// An emitter of this node emitted, by whomever: once for each emission, also of an equal value.
    LocalEmitted {
        /// The emitter.
        path: CapPath,
        /// The value.
        value: Value,
        /// Which touch it comes from.
        cause: Option<Cause>,
    },
    /// A peer set a value of this node, and access, type and range allowed it.
    LocalSet {
        /// Who.
        peer: PeerId,
        /// Which value.
        path: CapPath,
        /// The new value.
        value: Value,
    },
    /// An emission of a peer reached a sensor of this node.
    LocalSensed {
        /// Whose emitter.
        peer: PeerId,
        /// The emitter's name.
        emitter: Arc<str>,
        /// Our sensor, when the subscription named one.
        sensor: Option<CapPath>,
        /// The value.
        value: Value,
        /// Which touch it comes from, if that is known.
        cause: Option<Cause>,
    },
    /// A peer subscribed to this node's emitters.
    Subscribed {
        /// Who.
        peer: PeerId,
        /// The emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor, when it named one.
        sensor: Option<String>,
    },
    /// A peer's subscription ended at its wish.
    Unsubscribed {
        /// Who.
        peer: PeerId,
        /// The emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor, when it named one.
        sensor: Option<String>,
    },
    /// A peer calls a method of this node; answer with [`Node::reply`](crate::Node::reply).
    Called {
        /// Who.
        peer: PeerId,
        /// For the answer; `None` when the caller wants none.
        id: Option<RequestId>,
        /// The object.
        object: ObjectPath,
        /// The method's name.
        method: String,
        /// The arguments.
        args: Vec<Value>,
    },
    /// A node was heard whose key is not trusted. Told once as long as it is remembered.
    Stranger(Stranger),
    /// A key is trusted from now on, on first use. Whoever keeps the keys adds it to them.
    KeyLearned {
        /// Whose.
        peer: PeerId,
        /// The key.
        key: PublicKey,
        /// What it calls itself.
        name: String,
    },
    /// The mesh is on these networks now.
    Networks(Vec<Network>),
    /// All that happened before [`Node::mark`](crate::Node::mark) was asked for with this number has been
    /// told.
    Marked(u64),
}

/// A peer as it introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its identity, new at each of its starts.
    pub id: PeerId,
    /// Its name, not always unique.
    pub name: String,
    /// Its mailbox, `tcp://address:port`.
    pub endpoint: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Whether it speaks ZOCP (header `X-ZOCP`).
    pub zocp: bool,
    /// Whether it speaks our additions (header `X-ZOCP-DBUS: 1`).
    pub extended: bool,
    /// Whether it is silent and was asked for a sign of life.
    pub evasive: bool,
    /// Whether nothing can be said to it, since none of its endpoints can be dialed.
    pub unreachable: bool,
    /// The key that it has proved; on a secure mesh always, else never.
    pub key: Option<PublicKey>,
}

impl PeerInfo {
    /// Whether it has proved who it is, and all that is said to it and by it is sealed.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.key.is_some()
    }
}

/// The reader of a node's events; ends (`None`) when the node does.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Vec<Event>>,
    /// What is left of the batch that was received last.
    batch: std::vec::IntoIter<Event>,
}

impl Events {
    pub(crate) fn new(queue: mpsc::Receiver<Vec<Event>>) -> Self {
        Self {
            queue,
            batch: Vec::new().into_iter(),
        }
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.batch.next() {
                return Some(event);
            }
            self.batch = self.queue.recv().await?.into_iter();
        }
    }

    /// Appends up to `limit` events to `events`, waiting for the first, and returns how many; 0 when
    /// the node has ended. Cancel-safe.
    pub async fn next_many(&mut self, events: &mut Vec<Event>, limit: usize) -> usize {
        let Some(first) = self.next().await else {
            return 0;
        };
        events.push(first);
        let before = events.len();
        events.extend(self.batch.by_ref().take(limit.saturating_sub(1)));
        1 + events.len() - before
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.batch.next() {
                return Some(event);
            }
            self.batch = self.queue.try_recv().ok()?.into_iter();
        }
    }
}
