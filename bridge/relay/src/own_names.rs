//! The unique names of this bridge's own connections to the bus.
//!
//! Model: a connection that the relay makes adds its name; what such a connection owns is never exported.
//! Limits: as many as there are connections of this bridge, and of other bridges that this one has met on its bus.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::lock::lock;

/// See the [module](self). Clones are the same.
/// Locked because each connection adds and removes its own name, and the export reads all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnNames(Arc<Mutex<HashSet<Arc<str>>>>);

impl OwnNames {
    /// Adds the name of one of our connections.
    pub(crate) fn add(&self, name: Arc<str>) {
        self.names().insert(name);
    }

    /// Whether a connection is ours.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    /// Whether a connection of ours has a name that begins so.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.names().iter().any(|name| name.starts_with(prefix))
    }

    /// The bus said that the connection is gone, and before that, that all its names are.
    pub(crate) fn remove(&self, name: &str) {
        self.names().remove(name);
    }

    /// The bus is lost: the next one gives the same unique names to others. A connection of ours on the next bus says
    /// that it is a bridge's when it is asked for its origin.
    pub(crate) fn clear(&self) {
        self.names().clear();
    }

    /// Plain data, whole between the steps of each method.
    fn names(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        lock(&self.0)
    }
}
