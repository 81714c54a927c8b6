//! What a mirror asks of the mesh.
//!
//! Model: a trait with the few commands that are needed, so that mirrors are tested without a mesh; the
//! real one is [`Node`].

use std::future::Future;

use crate::streams::{self, Acquired, Wanted};
use zocp_dbus::errors::Refusal;
use zocp_node::{CapPath, Node, NodeError, ObjectPath, PeerId, Value};

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

    /// Opens a stream of the node of this name.
    fn acquire(
        &self,
        peer: PeerId,
        name: &str,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Acquired, Refusal>> + Send;
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

    async fn acquire(&self, peer: PeerId, name: &str, wanted: Wanted) -> Result<Acquired, Refusal> {
        streams::acquire(self, peer, name, wanted).await
    }
}
