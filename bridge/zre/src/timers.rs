//! Which peer has to be looked at next, without work for each sign of life.
//!
//! Model: a heap of (when, key). A sign of life moves the peer's deadline, and
//! the heap is left as it is: the entry comes up at the old time, the peer's present
//! deadline is read, and the peer is armed again.
//! Invariants: TIMER-1. For an armed key there is an entry no later than its deadline.
//! TIMER-2. A key has one live entry; an earlier one makes the later stale. TIMER-3. The top
//! of the heap is live: what makes an entry stale lies above it, and stale ones are
//! dropped whenever one is taken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The deadlines of the peers, by their index.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    armed: Vec<Option<Instant>>,
}

impl Timers {
    /// Arms `key`, so that it comes up at `at` or earlier.
    pub(crate) fn arm(&mut self, key: usize, at: Instant) {
        if self.armed.len() <= key {
            self.armed.resize(key + 1, None);
        }
        if self.armed[key].is_none_or(|armed| at < armed) {
            self.armed[key] = Some(at);
            self.heap.push(Reverse((at, key)));
        }
    }

    /// When the next key comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes a key that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<usize> {
        let Reverse((at, key)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        self.armed[key] = None;
        self.drop_stale();
        Some(key)
    }

    fn drop_stale(&mut self) {
        while let Some(Reverse((at, key))) = self.heap.peek() {
            if self.armed[*key] == Some(*at) {
                return;
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_time_of_a_key_counts_and_counts_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.arm(3, at(9));
        timers.arm(3, at(5));
        timers.arm(3, at(7));
        timers.arm(0, at(6));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop(at(4)), None);
        assert_eq!(timers.pop(at(9)), Some(3));
        assert_eq!(timers.pop(at(9)), Some(0));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.next(), None);
    }
}
