//! Waking the one task that serves a line.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// A notice for one task; several before it looks are one.
#[derive(Debug, Default)]
pub(super) struct Waker {
    is_given: AtomicBool,
    waker: AtomicWaker,
}

impl Waker {
    pub(super) fn give(&self) {
        if !self.is_given.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Takes the notice, or waits for one.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_given.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // It may have been given before the waker was there.
        match self.is_given.swap(false, Ordering::AcqRel) {
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
        wake.give();
        wake.give();
        assert!(wake.poll(context).is_ready());
        assert!(wake.poll(context).is_pending());
    }
}
