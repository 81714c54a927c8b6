//! Messages that must not overtake the signals that their service sent before them.
//!
//! Model: replies come on the connection of a caller, signals on that of the watch. A message enters [`Ordered`] when it
//! comes, and leaves it when the [`Barrier`] says that all signals sent before it were handled.

use std::collections::VecDeque;

use zocp_dbus::connection::BusConnection;

use crate::watch::Watch;

/// Tells whether the signals before a message are handled.
pub(crate) trait Barrier {
    /// Whether all that was sent is handled; `false` where that is not known.
    fn is_level(&self) -> bool;

    /// Begins to wait until all that was sent up to now is handled; the number of the wait.
    fn raise(&self) -> u64;

    /// Whether a wait is over.
    fn is_passed(&self, number: u64) -> bool;
}

/// The barrier of a watch, for the messages of one connection.
pub(crate) struct WatchBarrier<'a> {
    pub(crate) watch: &'a Watch,
    /// Is looked at again when a wait is over.
    pub(crate) bus: &'a BusConnection,
}

impl Barrier for WatchBarrier<'_> {
    fn is_level(&self) -> bool {
        self.watch.is_level()
    }

    fn raise(&self) -> u64 {
        self.watch.barrier(self.bus)
    }

    fn is_passed(&self, number: u64) -> bool {
        self.watch.is_passed(number)
    }
}

/// Messages that wait for the signals before them, in their order.
#[derive(Debug)]
pub(crate) struct Ordered<T> {
    /// With the number of the wait.
    held: VecDeque<(u64, T)>,
    /// What came since the last wait began.
    fresh: Vec<T>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            held: VecDeque::new(),
            fresh: Vec::new(),
        }
    }
}

impl<T> Ordered<T> {
    pub(crate) fn push(&mut self, message: T) {
        self.fresh.push(message);
    }

    /// Takes out what no signal is before any more.
    pub(crate) fn take(&mut self, barrier: &dyn Barrier) -> Vec<T> {
        if self.held.is_empty() && !self.fresh.is_empty() && barrier.is_level() {
            return std::mem::take(&mut self.fresh);
        }
        if !self.fresh.is_empty() {
            let number = barrier.raise();
            let fresh = self.fresh.drain(..).map(|message| (number, message));
            self.held.extend(fresh);
        }
        let mut taken = Vec::new();
        while let Some((number, _)) = self.held.front()
            && barrier.is_passed(*number)
            && let Some((_, message)) = self.held.pop_front()
        {
            taken.push(message);
        }
        taken
    }

    /// Takes out all for which nothing comes any more that would have to be waited for.
    pub(crate) fn take_where(&mut self, is_it: impl Fn(&T) -> bool) -> Vec<T> {
        let all = std::mem::take(&mut self.held).into_iter();
        let (taken, held): (VecDeque<_>, _) = all.partition(|(_, message)| is_it(message));
        self.held = held;
        let fresh = self.fresh.extract_if(.., |message| is_it(message));
        taken
            .into_iter()
            .map(|(_, message)| message)
            .chain(fresh)
            .collect()
    }
}
