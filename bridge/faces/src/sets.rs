//! Values on their way from another protocol to the mesh, by their address.
//!
//! Model: of a state only the newest value waits, and it is set at most once in [`INTERVAL`]; each event is set, in
//! order. A state that has to wait does not delay others. A value has a number; whoever could not set one gives it back
//! with its number. `V` is a value with what its owner wants to know of it.
//! Invariants: SETS-1. What is set last of a state is the value that came last.
//! Limits: a state for each address; [`EVENTS_MAX`] events, further ones are dropped and counted.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

/// What is to be set.
#[derive(Debug)]
pub(crate) struct Sets<V> {
    /// The newest value of each state that waits, and where in `due` it is.
    states: HashMap<Arc<str>, Waiting<V>>,
    /// The states that wait, by when they may be set and by number.
    due: BTreeMap<(Instant, u64), Arc<str>>,
    events: VecDeque<Event<V>>,
    /// When each state was set last, and the number of that value.
    last: HashMap<Arc<str>, (Instant, u64)>,
    numbers: u64,
    /// Values that a newer one has replaced.
    pub(crate) replaced: u64,
    /// Events for which there was no place.
    pub(crate) dropped: u64,
}

#[derive(Debug)]
struct Waiting<V> {
    value: V,
    place: (Instant, u64),
}

#[derive(Debug)]
struct Event<V> {
    number: u64,
    address: Arc<str>,
    value: V,
}

/// A value that is to be set now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due<V> {
    pub(crate) address: Arc<str>,
    pub(crate) value: V,
    pub(crate) number: u64,
}

impl<V> Default for Sets<V> {
    fn default() -> Self {
        Self {
            states: HashMap::new(),
            due: BTreeMap::new(),
            events: VecDeque::new(),
            last: HashMap::new(),
            numbers: 0,
            replaced: 0,
            dropped: 0,
        }
    }
}

impl<V> Sets<V> {
    /// The newest value of a state.
    pub(crate) fn state(&mut self, now: Instant, address: &Arc<str>, value: V) {
        let last = self.last.get(address);
        let due = last.map_or(now, |(last, _)| (*last + INTERVAL).max(now));
        self.wait(due, address, value);
    }

    /// A state that could not be set now and is to be tried again, unless a newer value came.
    pub(crate) fn again(&mut self, now: Instant, due: Due<V>) {
        let is_newest = self
            .last
            .get(&due.address)
            .is_some_and(|(_, number)| *number == due.number);
        if is_newest && !self.states.contains_key(&due.address) {
            self.wait(now + BUSY_PAUSE, &due.address, due.value);
        }
    }

    fn wait(&mut self, due: Instant, address: &Arc<str>, value: V) {
        self.numbers += 1;
        match self.states.entry(Arc::clone(address)) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().value = value;
                self.replaced += 1;
            }
            Entry::Vacant(entry) => {
                let place = (due, self.numbers);
                self.due.insert(place, Arc::clone(address));
                entry.insert(Waiting { value, place });
            }
        }
    }

    pub(crate) fn event(&mut self, address: &Arc<str>, value: V) {
        if self.events.len() == EVENTS_MAX {
            self.dropped += 1;
            return;
        }
        self.numbers += 1;
        self.events.push_back(Event {
            number: self.numbers,
            address: Arc::clone(address),
            value,
        });
    }

    /// The address is gone.
    pub(crate) fn forget(&mut self, address: &str) {
        if let Some(waiting) = self.states.remove(address) {
            self.due.remove(&waiting.place);
        }
        self.last.remove(address);
    }

    /// The next that is to be set now: what came first.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Due<V>> {
        let state = self.due.first_key_value();
        let state = state
            .map(|(place, _)| *place)
            .filter(|(due, _)| *due <= now);
        let event = self.events.front().map(|event| event.number);
        match (state, event) {
            (Some((_, number)), Some(event)) if event < number => self.take_event(),
            (Some(_), _) => self.take_state(now),
            (None, _) => self.take_event(),
        }
    }

    fn take_state(&mut self, now: Instant) -> Option<Due<V>> {
        let (_, address) = self.due.pop_first()?;
        let waiting = self.states.remove(&address)?;
        self.numbers += 1;
        self.last.insert(Arc::clone(&address), (now, self.numbers));
        Some(Due {
            address,
            value: waiting.value,
            number: self.numbers,
        })
    }

    fn take_event(&mut self) -> Option<Due<V>> {
        let Event {
            number,
            address,
            value,
        } = self.events.pop_front()?;
        Some(Due {
            address,
            value,
            number,
        })
    }

    /// When there is something to be taken next.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if !self.events.is_empty() {
            return Some(now);
        }
        self.due.first_key_value().map(|((due, _), _)| *due)
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
    use super::*;

    fn taken(sets: &mut Sets<usize>, now: Instant) -> Option<(String, usize)> {
        sets.take(now)
            .map(|due| (due.address.to_string(), due.value))
    }

    #[test]
    fn of_a_flood_the_newest_value_is_set() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let level: Arc<str> = "level".into();
        sets.state(start, &level, 0);
        assert_eq!(
            taken(&mut sets, start),
            Some(("level".into(), 0)),
            "at once"
        );
        for number in 1..1000 {
            sets.state(start, &level, number);
        }
        assert_eq!(taken(&mut sets, start), None);
        assert_eq!(sets.poll_timeout(start), Some(start + INTERVAL));
        let over = start + INTERVAL;
        assert_eq!(taken(&mut sets, over), Some(("level".into(), 999)));
        assert_eq!(taken(&mut sets, over), None);
        assert_eq!((sets.replaced, sets.poll_timeout(over)), (998, None));
    }

    #[test]
    fn events_are_set_in_order_up_to_a_bound() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let go: Arc<str> = "go".into();
        for number in 0..EVENTS_MAX + 1 {
            sets.event(&go, number);
        }
        for number in 0..EVENTS_MAX {
            assert_eq!(taken(&mut sets, start), Some(("go".into(), number)));
        }
        assert_eq!((taken(&mut sets, start), sets.dropped), (None, 1));
    }

    #[test]
    fn a_state_that_waits_delays_neither_events_nor_other_states() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let [level, pan, go] = ["level", "pan", "go"].map(Arc::from);
        sets.state(start, &level, 1);
        sets.take(start);
        sets.state(start, &level, 2);
        sets.state(start, &pan, 3);
        sets.event(&go, 4);
        assert_eq!(taken(&mut sets, start), Some(("pan".into(), 3)));
        assert_eq!(taken(&mut sets, start), Some(("go".into(), 4)));
        assert_eq!(taken(&mut sets, start), None);
        assert_eq!(
            taken(&mut sets, start + INTERVAL),
            Some(("level".into(), 2))
        );
    }

    #[test]
    fn what_was_refused_for_now_is_tried_again_unless_there_is_something_newer() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let level: Arc<str> = "level".into();
        sets.state(start, &level, 1);
        let first = sets.take(start).unwrap();
        sets.again(start, first);
        assert_eq!(taken(&mut sets, start), None);
        let mut now = start + BUSY_PAUSE;
        let first = sets.take(now).unwrap();
        assert_eq!(first.value, 1);

        // A newer one waits.
        sets.state(now, &level, 2);
        sets.again(now, first);
        now += BUSY_PAUSE;
        let second = sets.take(now).unwrap();
        assert_eq!(second.value, 2);

        // A newer one was set meanwhile.
        sets.state(now, &level, 3);
        now += INTERVAL;
        assert_eq!(sets.take(now).unwrap().value, 3);
        sets.again(now, second);
        assert_eq!(sets.poll_timeout(now), None);
    }

    #[test]
    fn nothing_waits_for_an_address_that_is_gone() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        let level: Arc<str> = "level".into();
        sets.state(start, &level, 1);
        sets.forget("level");
        assert_eq!(
            (sets.poll_timeout(start), taken(&mut sets, start)),
            (None, None)
        );
    }
}
