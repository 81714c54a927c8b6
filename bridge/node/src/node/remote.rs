//! The trees of other nodes: values, calls, subscriptions.

use zocp_model::{Tree, Value};
use zocp_zre::PeerId;

use super::Node;
use crate::call::{Call, CallResult};
use crate::error::{NodeError, RemoteError};
use crate::target::{End, IntoCapPath};

/// # Other nodes
impl Node {
    /// What is known of a peer's tree; `None` before the peer has sent it. This node's own tree for its own identity.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn tree(&self, peer: PeerId) -> Result<Option<Tree>, NodeError> {
        self.request(move |actor, _| actor.tree(peer)).await
    }

    /// Sets a value of another node.
    ///
    /// Old nodes take any value and confirm none, so access, type and range are checked here, against the tree that the
    /// node sent.
    ///
    /// # Errors
    /// `NodeGone`; `Unreachable`; `Busy` when too much is queued for the node; `Invalid` when the path is malformed or
    /// names no capability, or the capability is not writable or does not take the value; `Closed`.
    pub async fn set(
        &self,
        peer: PeerId,
        path: impl IntoCapPath,
        value: impl Into<Value>,
    ) -> Result<(), NodeError> {
        self.set_through(peer, path, value, (0, None)).await
    }

    /// Calls a method of another node, and waits for its reply.
    ///
    /// # Errors
    /// `NotSupported` at once if the node does not know calls; `Remote` with the node's own error; `Timeout` when no
    /// reply came within [`call_max`](crate::Limits::call_max); `NodeGone`; `Unreachable`; `Busy`; `Invalid` when the
    /// path is malformed, or the node has no such method, or one with another number of arguments; `Closed`.
    pub async fn call(
        &self,
        peer: PeerId,
        method: impl IntoCapPath,
        args: Vec<Value>,
    ) -> CallResult {
        let path = method.into_cap_path()?;
        let reply = self
            .request(move |actor, now| actor.call(now, peer, &path, args))
            .await??;
        reply.await.map_err(|_| NodeError::NodeGone(peer))?
    }

    /// Answers a call that came as [`Event::Called`](crate::Event::Called). Does nothing if the caller does not wait
    /// for a reply.
    ///
    /// # Errors
    /// `NodeGone`; `Closed`; `Invalid` when the call has been answered through a clone of it.
    pub async fn reply(
        &self,
        call: Call,
        result: Result<Vec<Value>, RemoteError>,
    ) -> Result<(), NodeError> {
        let Call { peer, id, .. } = call;
        let Some(id) = id else { return Ok(()) };
        self.request(move |actor, _| actor.reply(peer, id, result))
            .await?
    }

    /// Subscribes a sensor of one node to an emitter of another; either may be this node. An emitter without a name is
    /// every emitter of its node; a sensor without a name is none in particular.
    ///
    /// # Errors
    /// `NodeGone`; `Invalid` when the emitter's node has no such emitter, since old nodes end at a subscription to it;
    /// `Closed`.
    pub async fn subscribe(&self, emitter: End, sensor: End) -> Result<(), NodeError> {
        self.subscribe_with(emitter, sensor, false).await
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn unsubscribe(&self, emitter: End, sensor: End) -> Result<(), NodeError> {
        self.command(move |actor, _| actor.unsubscribe(&emitter, &sensor))
            .await?
    }
}
