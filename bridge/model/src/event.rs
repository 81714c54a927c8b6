//! What a model tells its owner.

use std::{fmt, sync::Arc};

use crate::{CapPath, Cause, Change, CheckError, Flaws, NodeId, ObjectPath, TreeError, Value};

/// What to do, or to know, next.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Whisper these octets to a peer, as one frame.
    Whisper {
        /// To whom.
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
    /// A peer's tree came: from here on [`crate::Model::remote`] has it.
    TreeKnown {
        /// Whose.
        peer: NodeId,
    },
    /// A known tree changed: state, of which only the newest matters.
    Changed {
        /// Whose.
        peer: NodeId,
        /// What, in order.
        changes: Vec<Change>,
    },
    /// A capability with `e` emitted: an event, also when the value is the old one.
    /// A `Changed` comes before it when the value is another.
    Emitted {
        /// Whose.
        peer: NodeId,
        /// Which capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// Which touch it comes from, if the peer says.
        cause: Option<Cause>,
    },
    /// We set a capability of a peer that has `e`: the peer tells its other subscribers of it as of an
    /// emission, and not us. Told of an equal value only when no wire led to it.
    Set {
        /// Whose.
        peer: NodeId,
        /// Which capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// How many wires it has come through.
        hops: u8,
        /// Which touch it comes from, if that is known.
        cause: Option<Cause>,
    },
    /// Our own tree changed, by whomever.
    LocalChanged {
        /// What, in order.
        changes: Vec<Change>,
    },
    /// A capability of ours with `e` emitted, by whomever: those who subscribed are told. A
    /// `LocalChanged` comes before it when the value is another. Not told of what a sensor received,
    /// which is a `LocalSensed`.
    LocalEmitted {
        /// Which capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// Which touch it comes from.
        cause: Option<Cause>,
    },
    /// A peer set a value of ours: checked, applied and told to the other subscribers.
    LocalSet {
        /// Who.
        peer: NodeId,
        /// Which capability.
        path: CapPath,
        /// The value, as its hint wants it.
        value: Value,
    },
    /// A sensor of ours received a signal; also when the value is the old one. The echo of what it has had
    /// already is not told.
    LocalSensed {
        /// Whose signal.
        peer: NodeId,
        /// The emitter, as the peer names it.
        emitter: Arc<str>,
        /// Our sensor; `None` for a subscription without one.
        receiver: Option<CapPath>,
        /// The value.
        value: Value,
        /// Which touch it comes from, if that is known.
        cause: Option<Cause>,
    },
    /// A peer subscribed to ours.
    Subscribed {
        /// The receiver.
        peer: NodeId,
        /// Our emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor.
        receiver: Option<String>,
    },
    /// A peer no longer subscribes.
    Unsubscribed {
        /// The receiver.
        peer: NodeId,
        /// Our emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor.
        receiver: Option<String>,
    },
    /// Someone wired a peer's emitter to a sensor of ours.
    Wired {
        /// The emitter's node.
        peer: NodeId,
        /// The emitter; `None` for all.
        emitter: Option<String>,
        /// Our sensor.
        receiver: Option<String>,
    },
    /// Someone took such a wire away.
    Unwired {
        /// The emitter's node.
        peer: NodeId,
        /// The emitter; `None` for all.
        emitter: Option<String>,
        /// Our sensor.
        receiver: Option<String>,
    },
    /// A peer calls a method of ours.
    Called {
        /// Who.
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
