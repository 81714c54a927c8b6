//! The outputs of a model: messages to send, and events.

use std::{fmt, sync::Arc};

use crate::{CapPath, Cause, Change, CheckError, Flaws, NodeId, ObjectPath, TreeError, Value};

/// The next message to send, or the next event.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this message to a peer, as one frame.
    Whisper {
        /// The peer.
        peer: NodeId,
        /// The message.
        octets: Vec<u8>,
    },
    /// Something happened.
    Event(Event),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A peer sent its whole tree; from now on [`crate::Model::remote`] returns it.
    TreeKnown {
        /// The owner of the tree.
        peer: NodeId,
    },
    /// A known tree changed: state, of which only the newest matters.
    Changed {
        /// The owner of the tree.
        peer: NodeId,
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// A capability with `e` emitted: an event, also when the value is the old one.
    /// A `Changed` comes before it when the value is another.
    Emitted {
        /// The owner of the tree.
        peer: NodeId,
        /// The capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// The touch that it comes from, if the peer says which.
        cause: Option<Cause>,
    },
    /// This node set a capability of a peer that has `e`: the peer emits the value to its other subscribers, but not to
    /// this node. Reported for an equal value only when no wire led to it.
    Set {
        /// The owner of the tree.
        peer: NodeId,
        /// The capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// How many wires the value came through.
        hops: u8,
        /// The touch that it comes from, if it is known.
        cause: Option<Cause>,
    },
    /// This node's own tree changed, whoever changed it.
    LocalChanged {
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// A capability of this node with `e` emitted, whoever caused it, and its subscribers are sent the value. A
    /// `LocalChanged` comes before it if the value differs. What a sensor received is reported as `LocalSensed` only.
    LocalEmitted {
        /// The capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// The touch that it comes from.
        cause: Option<Cause>,
    },
    /// A peer set a value of this node. It was checked, applied, and sent to the other subscribers.
    LocalSet {
        /// The peer.
        peer: NodeId,
        /// The capability.
        path: CapPath,
        /// The value, as its hint wants it.
        value: Value,
    },
    /// A sensor of this node received an emission, also one of an equal value. The echo of an emission that it has
    /// received before is not reported.
    LocalSensed {
        /// The emitter's node.
        peer: NodeId,
        /// The emitter, as the peer names it.
        emitter: Arc<str>,
        /// This node's sensor; `None` for a subscription without one.
        receiver: Option<CapPath>,
        /// The value.
        value: Value,
        /// The touch that it comes from, if it is known.
        cause: Option<Cause>,
    },
    /// A peer subscribed to an emitter of this node.
    Subscribed {
        /// The receiver.
        peer: NodeId,
        /// This node's emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor.
        receiver: Option<String>,
    },
    /// A peer ended a subscription.
    Unsubscribed {
        /// The receiver.
        peer: NodeId,
        /// This node's emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor.
        receiver: Option<String>,
    },
    /// Some node wired a peer's emitter to a sensor of this node.
    Wired {
        /// The emitter's node.
        peer: NodeId,
        /// The emitter; `None` for all.
        emitter: Option<String>,
        /// This node's sensor.
        receiver: Option<String>,
    },
    /// Some node removed such a wire.
    Unwired {
        /// The emitter's node.
        peer: NodeId,
        /// The emitter; `None` for all.
        emitter: Option<String>,
        /// This node's sensor.
        receiver: Option<String>,
    },
    /// A peer calls a method of this node.
    Called {
        /// The peer.
        peer: NodeId,
        /// For [`crate::Model::reply`]; `None` when no answer is wanted.
        id: Option<RequestId>,
        /// The object that has the method.
        object: ObjectPath,
        /// The method.
        method: String,
        /// The arguments, as they came.
        args: Vec<Value>,
    },
    /// A call of ours is over. Exactly one for each call.
    CallDone {
        /// Which.
        id: CallId,
        /// Its results, or why there are none.
        result: Result<Vec<Value>, CallFailure>,
    },
    /// Part of a message was not followed. Nothing changed; worth a line in a log.
    Ignored {
        /// Whose message.
        peer: NodeId,
        /// Why.
        reason: Ignored,
    },
}

/// The number of a call of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(crate) u64);

/// The number that a peer gave its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a call has no results.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// No answer before the deadline; one that comes later is ignored.
    #[error("no answer in time")]
    Timeout,
    /// The peer left first.
    #[error("the node is gone")]
    NodeGone,
    /// The peer answered with an error.
    #[error("{error}: {message}")]
    Remote {
        /// Its name, in the manner of D-Bus; not checked.
        error: String,
        /// What it says.
        message: String,
    },
}

/// Why part of a message was not followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// A verb that we do not know. Fault of the peer.
    #[error("unknown verb {0:?}")]
    UnknownVerb(String),
    /// The tree of a peer that is no ZOCP node (no header `X-ZOCP`).
    #[error("a tree of a peer that is no ZOCP node")]
    NotZocp,
    /// A signal of a capability that the peer's tree does not have.
    #[error("signal of unknown emitter {0:?}")]
    UnknownEmitter(String),
    /// A subscription with a sensor that does not exist, or whose existence is not known.
    #[error("subscription with unknown sensor {0:?}")]
    UnknownSensor(String),
    /// A subscription between nodes of which we are none, or are both.
    #[error("a subscription that is not ours to make")]
    NotOurs,
    /// A subscription with a node that is not here.
    #[error("subscription with absent node {0}")]
    UnknownNode(NodeId),
    /// More subscriptions than the limit.
    #[error("too many subscriptions")]
    TooManySubscriptions,
    /// A peer sets what our tree does not have.
    #[error("set of unknown {0:?}")]
    UnknownCapability(String),
    /// A peer sets something else than a value.
    #[error("set of more than the value of {0:?}")]
    NotAValue(String),
    /// A value for ours of the wrong type, out of range, or for something not writable.
    #[error("value for {path} refused")]
    Refused {
        /// For which capability.
        path: CapPath,
        /// Why.
        #[source]
        cause: CheckError,
    },
    /// A value for ours that would make our tree break a limit.
    #[error("value for {path} exceeds a limit")]
    TooLarge {
        /// For which capability.
        path: CapPath,
        /// Why.
        #[source]
        cause: TreeError,
    },
    /// A signal wired to a capability of ours without `s`.
    #[error("{0} is no sensor")]
    NotASensor(CapPath),
    /// A call of what our tree does not have; the peer was told if it asked for an answer.
    #[error("call of unknown method {0:?}")]
    UnknownMethod(String),
    /// A call that wants an answer while too many do, or with the number of one that does.
    #[error("call refused, too many are open")]
    TooManyCalls,
    /// So many entries of a tree that are too deep, or have names that are too long. The rest was taken.
    #[error("{0} entries of a tree are too deep, or have names that are too long")]
    Pruned(usize),
    /// Values of a message that are broken by themselves. The rest was taken.
    #[error("{} values of a message are broken, the first: {}", .0.count, .0.first)]
    Flawed(Flaws),
    /// An answer to no call, to someone else's, or too late.
    #[error("answer to no open call")]
    UnexpectedAnswer,
}
