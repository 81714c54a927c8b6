//! The tree of this node: what it publishes, sets and emits.

use zocp_model::{Capability, Method, Value};

use super::Node;
use crate::error::NodeError;
use crate::target::{IntoCapPath, IntoObjectPath};

/// # This node's own tree
impl Node {
    /// Publishes a capability of this node, or replaces one that it has published.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or a limit is exceeded; `Closed`.
    pub async fn publish(
        &self,
        path: impl IntoCapPath,
        capability: Capability,
    ) -> Result<(), NodeError> {
        let path = path.into_cap_path()?;
        self.command(move |actor, _| actor.publish(path, capability))
            .await?
    }

    /// Withdraws a capability of this node.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or names none; `Closed`.
    pub async fn unpublish(&self, path: impl IntoCapPath) -> Result<(), NodeError> {
        let path = path.into_cap_path()?;
        self.command(move |actor, _| actor.unpublish(&path)).await?
    }

    /// Publishes a method of this node, or replaces one. Calls of it come as [`Event::Called`](crate::Event::Called).
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or a limit is exceeded; `Closed`.
    pub async fn publish_method(
        &self,
        path: impl IntoCapPath,
        method: Method,
    ) -> Result<(), NodeError> {
        let path = path.into_cap_path()?;
        self.command(move |actor, _| actor.publish_method(&path, &method))
            .await?
    }

    /// Withdraws a method of this node.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or names none; `Closed`.
    pub async fn unpublish_method(&self, path: impl IntoCapPath) -> Result<(), NodeError> {
        let path = path.into_cap_path()?;
        self.command(move |actor, _| actor.unpublish_method(&path))
            .await?
    }

    /// Creates an object of this node, or sets plain entries of one; null removes an entry. The entry `type` says which
    /// kind of object it is.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or a limit is exceeded; the entries before the one that is refused are set.
    /// `Closed`.
    pub async fn describe(
        &self,
        object: impl IntoObjectPath,
        entries: Vec<(String, Value)>,
    ) -> Result<(), NodeError> {
        let object = object.into_object_path()?;
        self.command(move |actor, _| actor.describe(&object, entries))
            .await?
    }

    /// Removes an object of this node with everything in it.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or names none; `Closed`.
    pub async fn remove_object(&self, object: impl IntoObjectPath) -> Result<(), NodeError> {
        let object = object.into_object_path()?;
        self.command(move |actor, _| actor.remove_object(&object))
            .await?
    }

    /// Sets a value of this node, and tells the peers that follow its tree if it differs from the last one.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or names no capability, or the value is not of its type; `Closed`.
    pub async fn set_local(
        &self,
        path: impl IntoCapPath,
        value: impl Into<Value>,
    ) -> Result<(), NodeError> {
        let (path, value) = (path.into_cap_path()?, value.into());
        self.command(move |actor, _| actor.set_local(&path, value))
            .await?
    }

    /// Emits a value of this node to the peers that subscribed to it, each time, also an equal value.
    ///
    /// # Errors
    /// `Invalid` when the path is malformed or names no emitter, or the value is not of its type; `Closed`.
    pub async fn emit(
        &self,
        path: impl IntoCapPath,
        value: impl Into<Value>,
    ) -> Result<(), NodeError> {
        let (path, value) = (path.into_cap_path()?, value.into());
        self.command(move |actor, _| actor.emit(&path, value))
            .await?
    }
}
