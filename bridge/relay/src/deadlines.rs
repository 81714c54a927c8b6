//! Deadlines of what waits for a reply.
//!
//! Model: [`Deadlines`] has a deadline for each key that has one, in their order, whatever time each was given. A key whose
//! reply comes before is not taken out at once: the caller asks whether a key still waits.
//! Invariants: DEADLINE-1. Memory is bounded by the keys that wait, not by those that have waited: when twice as many keys
//! are there as waited at the last look, those that no longer wait are dropped.
//! Limits: none here; who adds keys limits how many wait.

use std::collections::BTreeSet;

use tokio::time::Instant;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    entries: BTreeSet<(Instant, K)>,
    /// How many there may be before those that no longer wait are dropped.
    sweep_at: usize,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self {
            entries: BTreeSet::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// A key waits until `deadline`.
    pub(crate) fn add(&mut self, deadline: Instant, key: K, waits: impl Fn(&K) -> bool) {
        self.entries.insert((deadline, key));
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|(_, key)| waits(key));
            self.sweep_at = (2 * self.entries.len()).max(SWEEP_MIN);
        }
    }

    /// Takes out a key whose deadline is over.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (deadline, _) = self.entries.first()?;
        if *deadline > now {
            return None;
        }
        self.entries.pop_first().map(|(_, key)| key)
    }

    /// When the next deadline is; also of a key that no longer waits.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(deadline, _)| *deadline)
    }
}

const SWEEP_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_deadline_is_the_first_whenever_it_was_added() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        for (seconds, key) in [(30, 'a'), (1, 'b'), (5, 'c')] {
            deadlines.add(at(seconds), key, |_| true);
        }
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop(at(0)), None);
        assert_eq!(deadlines.pop(at(5)), Some('b'));
        assert_eq!(deadlines.pop(at(5)), Some('c'));
        assert_eq!(deadlines.pop(at(5)), None);
        assert_eq!(deadlines.next(), Some(at(30)));
    }

    #[test]
    fn what_was_answered_is_dropped_long_before_its_deadline() {
        let deadline = Instant::now() + Duration::from_secs(24 * 60 * 60);
        let mut deadlines = Deadlines::default();
        // One of all waits.
        for key in 0..100_000u32 {
            deadlines.add(deadline, key, |key| *key == 7);
        }
        assert!(deadlines.entries.len() <= SWEEP_MIN);
        assert_eq!(deadlines.pop(deadline), Some(7));
    }
}
