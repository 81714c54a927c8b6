//! The errors of a node's operations, by whose fault they are.
//!
//! Model: [`NodeError`] is what every operation may return; [`Invalid`] is the caller's fault and holds the error of the
//! protocol core as it is; [`RemoteError`] is the error that a called node replied with.
//! Not here: why a node does not start (`startup.rs`).

use zocp_model::{CallError, PathError, PublishError, ReplyError, SetError, SubscribeError};
use zocp_zre::{ConnectError, PeerId, SendError};

/// Why an operation failed. Except where an operation says otherwise, nothing was changed or sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No such peer is present, or it left before the operation was done.
    #[error("node {0} is not present")]
    NodeGone(PeerId),
    /// The peer is present, but none of its endpoints can be dialed, so nothing can be sent to it.
    #[error(
        "node {0} cannot be reached: it opened a connection to this machine, but nobody answers at its endpoint; \
         a firewall or an address translation may be before it"
    )]
    Unreachable(PeerId),
    /// Too much is queued for this peer, or for this node's actor. The caller may try again later.
    #[error("too much is queued for this node already")]
    Busy,
    /// The caller's fault: the arguments cannot be used.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The peer does not know calls: it sent no header `X-ZOCP-DBUS`.
    #[error("this node does not know calls (it sent no header X-ZOCP-DBUS)")]
    NotSupported,
    /// The peer does not know channels: it sent no header `X-ZOCP-CHANNEL`.
    #[error("this node does not know channels (it sent no header X-ZOCP-CHANNEL)")]
    NoChannels,
    /// No reply came in time. The peer may have done what it was asked for.
    #[error("the node did not answer in time")]
    Timeout,
    /// The peer replied with an error.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// This node has ended.
    #[error("this node has ended")]
    Closed,
}

/// What is wrong with the arguments of an operation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A message has no frame. Old peers end when they receive one.
    #[error("a message needs at least one frame")]
    NoContent,
    /// The group `ZOCP` cannot be left: every node is in it.
    #[error("the group ZOCP is not left")]
    HomeGroup,
    /// A message cannot be sent, or a group has no valid name.
    #[error(transparent)]
    Send(SendError),
    /// The path of a capability has an empty element.
    #[error(transparent)]
    Path(PathError),
    /// The text behind the `|` of an endpoint is no key.
    #[error(transparent)]
    Key(zocp_zmtp::KeyError),
    /// An operation on keys, on a mesh that is not secure.
    #[error("this node's mesh is not a secure one")]
    NotSecure,
    /// An endpoint cannot be connected to.
    #[error(transparent)]
    Connect(ConnectError),
    /// A value that another node does not take.
    #[error(transparent)]
    Set(SetError),
    /// A call that another node does not take.
    #[error(transparent)]
    Call(CallError),
    /// A reply to a call that is not open.
    #[error(transparent)]
    Reply(ReplyError),
    /// A change of this node's own tree that is not possible.
    #[error(transparent)]
    Publish(PublishError),
    /// A subscription that is not possible.
    #[error(transparent)]
    Subscribe(SubscribeError),
}

/// The error with which a method fails, at the node that has it and at its caller.
///
/// ```
/// use zocp_node::RemoteError;
/// let error = RemoteError::new("org.example.Lamp.Error.Hot", "the lamp is too hot");
/// assert_eq!(error.to_string(), "org.example.Lamp.Error.Hot: the lamp is too hot");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct RemoteError {
    /// The name for programs, in the form of a D-Bus error name: elements with dots between.
    pub name: String,
    /// The message for people.
    pub message: String,
}

impl RemoteError {
    /// An error with a name and a message.
    #[must_use]
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
        }
    }
}
