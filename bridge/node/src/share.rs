//! What one address may have of what there is for all.
//!
//! Model: [`Places`] counts what is held now, [`Rate`] what came within the present second. Each tells once
//! a minute that an address was turned away, whichever it was.
//! Limits: as many addresses as hold a place, or as were counted in a second; both have their bounds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Places that are held, by address.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    max: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is held. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    places: Places,
}

impl Places {
    /// `max` for each address.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            held: Arc::default(),
        }
    }

    /// A place for an address, unless it holds all that it may.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut held = self.held();
        let count = held.get(&address).copied().unwrap_or_default();
        if count >= self.max {
            return None;
        }
        held.insert(address, count + 1);
        drop(held);
        let places = self.clone();
        Some(Place { address, places })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        match held.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.address)),
        }
    }
}

/// What came within the present second, in all and by address.
#[derive(Debug)]
pub(crate) struct Rate {
    max: usize,
    per_address_max: usize,
    since: Instant,
    count: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Rate {
    pub(crate) fn new(now: Instant, max: usize, per_address_max: usize) -> Self {
        Self {
            max,
            per_address_max,
            since: now,
            count: 0,
            by_address: HashMap::new(),
        }
    }

    /// Counts one more of an address; `false` if it is too many.
    pub(crate) fn admit(&mut self, now: Instant, address: IpAddr) -> bool {
        if now.saturating_duration_since(self.since) >= SECOND {
            self.since = now;
            self.count = 0;
            self.by_address.clear();
        }
        if self.count >= self.max {
            return false;
        }
        let of_address = self.by_address.entry(address.to_canonical()).or_default();
        let has_room = *of_address < self.per_address_max;
        *of_address += usize::from(has_room);
        self.count += usize::from(has_room);
        has_room
    }
}

/// Says something now and then, however often there is reason to.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Option<Instant>,
}

impl Seldom {
    /// Whether it is time to say it.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// Says something of each address now and then. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeldomEach {
    last: Arc<Mutex<HashMap<IpAddr, Instant>>>,
}

impl SeldomEach {
    /// Whether it is time to say it of this address; of at most [`ADDRESSES_MAX`] in [`PAUSE`].
    pub(crate) fn is_due(&self, now: Instant, address: IpAddr) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, last| now.saturating_duration_since(*last) < PAUSE);
        let is_due = last.len() < ADDRESSES_MAX && !last.contains_key(&address);
        if is_due {
            last.insert(address, now);
        }
        is_due
    }
}

const ADDRESSES_MAX: usize = 64;
const SECOND: Duration = Duration::from_secs(1);
/// Between two lines of the log.
const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::std_now;

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    #[test]
    fn an_address_holds_no_more_places_than_it_may_and_others_theirs() {
        let places = Places::new(2);
        let first = places.take(address(1)).unwrap();
        let _second = places.take(address(1)).unwrap();
        assert!(places.take(address(1)).is_none());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(places.take(mapped).is_none(), "the same address");
        let _other = places.take(address(2)).unwrap();
        drop(first);
        let _again = places.take(address(1)).unwrap();
        assert!(places.take(address(1)).is_none());
    }

    #[tokio::test]
    async fn beacons_are_counted_for_each_address_and_for_all_second_by_second() {
        let now = std_now();
        let mut rate = Rate::new(now, 5, 3);
        let admitted = |rate: &mut Rate, at, number| {
            let all = (0..10).filter(|_| rate.admit(at, address(number)));
            all.count()
        };
        assert_eq!(admitted(&mut rate, now, 1), 3);
        assert_eq!(admitted(&mut rate, now, 2), 2, "all together are 5");
        assert_eq!(admitted(&mut rate, now, 3), 0);
        let later = now + SECOND;
        assert_eq!(admitted(&mut rate, later, 3), 3);
        assert_eq!(admitted(&mut rate, later, 1), 2);
    }

    #[tokio::test]
    async fn of_each_address_it_is_said_once_a_minute_and_of_so_many_in_all() {
        let now = std_now();
        let seldom = SeldomEach::default();
        let due = |at, number| seldom.is_due(at, address(number));
        assert!(due(now, 1) && !due(now, 1) && due(now, 2));
        let more = (3..=200).filter(|number| due(now, *number));
        assert_eq!(more.count(), ADDRESSES_MAX - 2);
        assert!(due(now + PAUSE, 1));
    }

    #[tokio::test]
    async fn what_there_is_reason_to_say_all_the_time_is_said_once_a_minute() {
        let now = std_now();
        let mut seldom = Seldom::default();
        let said = (0..600).filter(|second| seldom.is_due(now + SECOND * *second));
        assert_eq!(said.count(), 10);
    }
}
