//! Wakes the task that serves a connection.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// A notification for one task. Several notifications before the task polls count as one.
#[derive(Debug, Default)]
pub(super) struct Waker {
    is_notified: AtomicBool,
    waker: AtomicWaker,
}

impl Waker {
    pub(super) fn notify(&self) {
        if !self.is_notified.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Consumes the notification, or waits for one.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_notified.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // A notification may have arrived before the waker was registered.
        match self.is_notified.swap(false, Ordering::AcqRel) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_notice_is_taken_once_also_one_from_before() {
        let wake = Waker::default();
        let context = &mut Context::from_waker(std::task::Waker::noop());
        assert!(wake.poll(context).is_pending());
        wake.notify();
        wake.notify();
        assert!(wake.poll(context).is_ready());
        assert!(wake.poll(context).is_pending());
    }
}
