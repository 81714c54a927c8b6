//! Values on their way from another protocol to the mesh, by their address.
//!
//! Model: of a state only the newest value waits, and it is set at most once in [`INTERVAL`]; each event is set, in
//! order. Whoever sets takes one after the other, when it is ready.
//! Invariants: SETS-1. What is set last of a state is the value that came last.
//! Limits: a state for each address; [`EVENTS_MAX`] events, further ones are dropped and counted.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::mesh::Value;

/// What is to be set.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    queue: VecDeque<Waiting>,
    /// The newest value of each state in the queue.
    states: HashMap<Arc<str>, Value>,
    /// When each was set last.
    last: HashMap<Arc<str>, Instant>,
    events: usize,
    /// Values that a newer one has replaced.
    pub(crate) replaced: u64,
    /// Events for which there was no place.
    pub(crate) dropped: u64,
}

#[derive(Debug)]
enum Waiting {
    State(Instant, Arc<str>),
    Event(Arc<str>, Value),
}

impl Sets {
    /// The newest value of a state.
    pub(crate) fn state(&mut self, now: Instant, address: &Arc<str>, value: Value) {
        if self.states.insert(Arc::clone(address), value).is_some() {
            self.replaced += 1;
            return;
        }
        let due = self
            .last
            .get(address)
            .map_or(now, |last| (*last + INTERVAL).max(now));
        self.queue
            .push_back(Waiting::State(due, Arc::clone(address)));
    }

    /// A state that could not be set now and is to be tried again, unless there is a newer value.
    pub(crate) fn again(&mut self, now: Instant, address: &Arc<str>, value: Value) {
        if !self.states.contains_key(address) {
            self.states.insert(Arc::clone(address), value);
            let due = now + BUSY_PAUSE;
            self.queue
                .push_back(Waiting::State(due, Arc::clone(address)));
        }
    }

    pub(crate) fn event(&mut self, address: &Arc<str>, value: Value) {
        if self.events == EVENTS_MAX {
            self.dropped += 1;
            return;
        }
        self.events += 1;
        self.queue
            .push_back(Waiting::Event(Arc::clone(address), value));
    }

    /// The address is gone.
    pub(crate) fn forget(&mut self, address: &str) {
        self.states.remove(address);
        self.last.remove(address);
    }

    /// The next that is to be set now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(Arc<str>, Value)> {
        loop {
            if let Waiting::State(due, _) = self.queue.front()?
                && *due > now
            {
                return None;
            }
            match self.queue.pop_front()? {
                Waiting::State(_, address) => {
                    if let Some(value) = self.states.remove(&address) {
                        self.last.insert(Arc::clone(&address), now);
                        return Some((address, value));
                    }
                }
                Waiting::Event(address, value) => {
                    self.events -= 1;
                    return Some((address, value));
                }
            }
        }
    }

    /// When there is something to be taken next.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match self.queue.front()? {
            Waiting::State(due, _) => Some(*due),
            Waiting::Event(..) => Some(now),
        }
    }
}

/// The shortest time between two values of one state.
pub(crate) const INTERVAL: Duration = Duration::from_millis(1);
/// After a node was too busy to take a value.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Events that wait to be set.
pub(crate) const EVENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_flood_the_newest_value_is_set() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let level: Arc<str> = "/lamp/level".into();
        sets.state(start, &level, json!(0));
        assert_eq!(
            sets.take(start),
            Some((Arc::clone(&level), json!(0))),
            "at once"
        );
        for number in 1..1000 {
            sets.state(start, &level, json!(number));
        }
        assert_eq!(sets.take(start), None);
        assert_eq!(sets.poll_timeout(start), Some(start + INTERVAL));
        assert_eq!(sets.take(start + INTERVAL), Some((level, json!(999))));
        assert_eq!(sets.take(start + INTERVAL), None);
        assert_eq!(sets.replaced, 998);
    }

    #[test]
    fn events_are_set_in_order_up_to_a_bound() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let go: Arc<str> = "/lamp/go".into();
        for number in 0..EVENTS_MAX + 1 {
            sets.event(&go, json!(number));
        }
        for number in 0..EVENTS_MAX {
            assert_eq!(sets.take(start), Some((Arc::clone(&go), json!(number))));
        }
        assert_eq!((sets.take(start), sets.dropped), (None, 1));
    }

    #[test]
    fn what_was_refused_for_now_is_tried_again_unless_there_is_something_newer() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let level: Arc<str> = "/lamp/level".into();
        sets.again(start, &level, json!(1));
        assert_eq!(sets.take(start), None);
        sets.state(start, &level, json!(2));
        sets.again(start, &level, json!(1));
        assert_eq!(sets.take(start + BUSY_PAUSE), Some((level, json!(2))));
    }
}
