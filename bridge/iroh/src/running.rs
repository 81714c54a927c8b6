//! What those have in common that dial and accept.

use std::sync::{Mutex, PoisonError};

use iroh::Endpoint;
use tokio_util::task::TaskTracker;

use crate::links::Links;

/// The links, the endpoint while there is one, and the tasks.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) links: Links,
    /// Locked because tasks that dial take the endpoint that is open, which a change of links replaces.
    endpoint: Mutex<Option<Endpoint>>,
    pub(crate) tasks: TaskTracker,
}

impl Running {
    /// The endpoint that is open.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        let endpoint = self.endpoint.lock();
        endpoint.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts one in its place.
    pub(crate) fn set_endpoint(&self, endpoint: Option<Endpoint>) -> Option<Endpoint> {
        let mut now = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut now, endpoint)
    }
}
