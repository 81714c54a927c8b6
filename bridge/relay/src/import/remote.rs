//! A peer whose services are imported, with what it was asked.

use std::{
    num::NonZeroU32,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    link::Link,
    requests::{Request, Requests},
};
use zocp_dbus::errors::Refusal;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Remote<R> {
    link: Arc<Link>,
    requests: Mutex<Requests<R>>,
}

impl<R: Request> Remote<R> {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            requests: Mutex::new(Requests::default()),
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Keeps a request; its number.
    pub(super) fn open(&self, request: R) -> Result<NonZeroU32, Refusal> {
        let limits = self.limits.now();
        self.requests().open(request, &limits, &self.name)
    }

    /// Takes a request out, to answer it.
    pub(super) fn close(&self, id: NonZeroU32) -> Option<R> {
        self.requests().close(id)
    }

    /// Whether a request waits.
    pub(super) fn is_open(&self, id: NonZeroU32) -> bool {
        self.requests().is_open(id)
    }

    /// A program here has left its bus.
    pub(super) fn close_program(&self, program: &str) {
        self.requests().close_program(program);
    }

    /// Takes out all requests that something holds of.
    pub(super) fn close_all(&self, is_its: impl Fn(&R) -> bool) -> Vec<R> {
        self.requests().close_all(is_its)
    }

    /// Plain data, whole between the steps of each method.
    fn requests(&self) -> MutexGuard<'_, Requests<R>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Deref for Remote<R> {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}
