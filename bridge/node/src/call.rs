//! A call of a method of this node, and what its reply is made of.

use zocp_model::{CapPath, RequestId, Value};
use zocp_zre::PeerId;

/// A call of a method of this node by a peer; answer it with [`Node::reply`](crate::Node::reply).
///
/// The number and the types of the arguments are as the caller sent them: compare them with what the method takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// The caller.
    pub peer: PeerId,
    /// The method: its object and its name.
    pub path: CapPath,
    /// The arguments.
    pub args: Vec<Value>,
    pub(crate) id: Option<RequestId>,
}

impl Call {
    /// Whether the caller waits for a reply. One to a caller that does not is dropped.
    #[must_use]
    pub const fn wants_reply(&self) -> bool {
        self.id.is_some()
    }
}

/// What a call returned: its values, or why it failed.
pub type CallResult = Result<Vec<Value>, crate::NodeError>;
