//! What can go wrong with a request to a node, by whose fault it is.
//!
//! Model: [`NodeError`] is what every request may answer; [`Invalid`] is the caller's fault and keeps the
//! core's own error as it is; [`RemoteError`] is what a called node said.
//! Not here: why a node does not start (`start.rs`).

use zocp_model::{CallError, PathError, PublishError, ReplyError, SetError, SubscribeError};
use zocp_zre::{ConnectError, PeerId, SendError};

/// Why a node could not do what it was asked for. Nothing was changed or sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No such peer is present, or it left meanwhile.
    #[error("node {0} is not present")]
    NodeGone(PeerId),
    /// The peer is here, but none of its endpoints can be dialed, so nothing can be said to it.
    #[error(
        "node {0} cannot be reached: it opened a connection to this machine, but nobody answers at its endpoint; \
         a firewall or an address translation may be before it"
    )]
    Unreachable(PeerId),
    /// Too much is queued for this peer. The caller may try again later.
    #[error("too much is queued for this node already")]
    Busy,
    /// The caller asked for something that cannot be; the text says what.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The peer is too old to know what it is asked for.
    #[error("this node does not know calls (it sent no header X-ZOCP-DBUS)")]
    NotSupported,
    /// No answer came in time.
    #[error("the node did not answer in time")]
    Timeout,
    /// The peer answered with an error.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// This node has ended.
    #[error("this node has ended")]
    Closed,
}

/// What was wrong with a request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A message without any frame, which would end old peers.
    #[error("a message needs at least one frame")]
    NoContent,
    /// Every node is in the group `ZOCP`.
    #[error("the group ZOCP is not left")]
    HomeGroup,
    /// A message or a group that cannot be sent.
    #[error(transparent)]
    Send(SendError),
    /// The path of a capability has an empty element.
    #[error(transparent)]
    Path(PathError),
    /// What stands behind the `|` of an endpoint is no key.
    #[error(transparent)]
    Key(zocp_zmtp::KeyError),
    /// A question about keys, on a mesh without them.
    #[error("this node's mesh is not a secure one")]
    NotSecure,
    /// An endpoint that cannot be met.
    #[error(transparent)]
    Connect(ConnectError),
    /// A value that another node would not take.
    #[error(transparent)]
    Set(SetError),
    /// A call that another node would not take.
    #[error(transparent)]
    Call(CallError),
    /// An answer to nothing.
    #[error(transparent)]
    Reply(ReplyError),
    /// A change of this node's own tree.
    #[error(transparent)]
    Publish(PublishError),
    /// A subscription that cannot be.
    #[error(transparent)]
    Subscribe(SubscribeError),
}

/// The error that a called method answered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct RemoteError {
    /// The name, in the form of a D-Bus error name.
    pub name: String,
    /// What a person should read.
    pub message: String,
}
