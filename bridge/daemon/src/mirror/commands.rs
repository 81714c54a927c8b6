//! What a mirror asks of the mesh.
//!
//! Model: a trait with the few commands that are needed, so that mirrors are tested without a mesh; the
//! real one is [`Node`].

use std::future::Future;

use zocp_node::{
    CapPath, Invalid, Node, NodeError, ObjectPath, PeerId, Value,
    model::{CallError, SetError},
};

use crate::view::given::unfit;
use zocp_dbus::errors::Refusal;

/// Commands towards remote nodes.
pub trait Commands: Clone + Send + Sync + 'static {
    /// Sets a value. Access, type and range are checked by what the node told.
    fn set(
        &self,
        peer: PeerId,
        path: CapPath,
        value: Value,
    ) -> impl Future<Output = Result<(), NodeError>> + Send;

    /// Calls a method and waits for the answer.
    fn call(
        &self,
        peer: PeerId,
        object: ObjectPath,
        method: &str,
        arguments: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Value>, NodeError>> + Send;
}

impl Commands for Node {
    async fn set(&self, peer: PeerId, path: CapPath, value: Value) -> Result<(), NodeError> {
        Self::set(self, peer, path, value).await
    }

    async fn call(
        &self,
        peer: PeerId,
        object: ObjectPath,
        method: &str,
        arguments: Vec<Value>,
    ) -> Result<Vec<Value>, NodeError> {
        Self::call(self, peer, object.capability(method), arguments).await
    }
}

/// A failure of the mesh as what a client of the bus is told; `node` and `what` are for its text.
pub(super) fn refusal(error: NodeError, node: &str, what: &str) -> Refusal {
    match error {
        NodeError::NodeGone(_) => Refusal::NodeGone(node.to_owned()),
        NodeError::Busy => Refusal::Busy(format!("{node}: too much is queued")),
        NodeError::Timeout => Refusal::Timeout(format!("{node} did not answer")),
        NodeError::NotSupported => Refusal::NotSupported(format!("{node} knows no calls")),
        NodeError::Remote(remote) => Refusal::Remote {
            error: remote.name,
            message: remote.message,
        },
        NodeError::Invalid(Invalid::Set(error)) => refused_set(error, node, what),
        NodeError::Invalid(Invalid::Call(error)) => refused_call(error, node, what),
        error => Refusal::Failed(format!("{what}: {error}")),
    }
}

fn refused_set(error: SetError, node: &str, what: &str) -> Refusal {
    match error {
        SetError::NodeGone => Refusal::NodeGone(node.to_owned()),
        SetError::UnknownCapability => Refusal::UnknownProperty {
            path: node.to_owned(),
            property: what.to_owned(),
        },
        SetError::Value(error) => unfit(error, what),
        error => Refusal::InvalidArgs(format!("{what}: {error}")),
    }
}

fn refused_call(error: CallError, node: &str, what: &str) -> Refusal {
    match error {
        CallError::NodeGone => Refusal::NodeGone(node.to_owned()),
        CallError::NotSupported => Refusal::NotSupported(format!("{node} knows no calls")),
        CallError::UnknownMethod => Refusal::UnknownMethod {
            path: node.to_owned(),
            member: what.to_owned(),
        },
        CallError::WrongCount { .. } | CallError::TooDeep => {
            Refusal::InvalidArgs(format!("{what}: {error}"))
        }
        error => Refusal::Busy(format!("{what}: {error}")),
    }
}
