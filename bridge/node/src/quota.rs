//! How much of a shared resource one remote address may take.
//!
//! Model: [`AddressQuota`] bounds what an address holds at the same time: each holder has an [`AddressSlot`], and
//! dropping it frees the slot. [`AddressRate`] bounds what arrives within one second, from one address and in all.
//! Limits: memory for as many addresses as hold a slot, or as sent something within the present second. The holders
//! are bounded by the caller, and the arrivals by [`AddressRate::admit`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The slots of all addresses. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct AddressQuota {
    max: usize,
    /// Locked because a slot is taken by the task that accepts and freed where a connection ends.
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One slot of an address. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct AddressSlot {
    address: IpAddr,
    quota: AddressQuota,
}

impl AddressQuota {
    /// At most `max` slots for each address.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            held: Arc::default(),
        }
    }

    /// A slot for an address; `None` if it holds as many as it may.
    pub(crate) fn take(&self, address: IpAddr) -> Option<AddressSlot> {
        let address = address.to_canonical();
        let mut held = self.held();
        let count = held.get(&address).copied().unwrap_or_default();
        if count >= self.max {
            return None;
        }
        held.insert(address, count + 1);
        drop(held);
        let quota = self.clone();
        Some(AddressSlot { address, quota })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut held = self.quota.held();
        match held.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.address)),
        }
    }
}

/// Counts what arrived within the present second, in all and by address.
#[derive(Debug)]
pub(crate) struct AddressRate {
    max: usize,
    per_address_max: usize,
    since: Instant,
    count: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl AddressRate {
    pub(crate) fn new(now: Instant, max: usize, per_address_max: usize) -> Self {
        Self {
            max,
            per_address_max,
            since: now,
            count: 0,
            by_address: HashMap::new(),
        }
    }

    /// Counts one arrival from an address; `false` if it exceeds a limit of this second.
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
        let is_admitted = *of_address < self.per_address_max;
        *of_address += usize::from(is_admitted);
        self.count += usize::from(is_admitted);
        is_admitted
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    #[test]
    fn an_address_holds_no_more_slots_than_it_may_and_others_have_theirs() {
        let quota = AddressQuota::new(2);
        let first = quota.take(address(1)).unwrap();
        let _second = quota.take(address(1)).unwrap();
        assert!(quota.take(address(1)).is_none());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(quota.take(mapped).is_none(), "the same address");
        let _other = quota.take(address(2)).unwrap();
        drop(first);
        let _again = quota.take(address(1)).unwrap();
        assert!(quota.take(address(1)).is_none());
    }

    #[tokio::test]
    async fn beacons_are_counted_for_each_address_and_for_all_second_by_second() {
        let now = clock::now();
        let mut rate = AddressRate::new(now, 5, 3);
        let admitted = |rate: &mut AddressRate, at, number| {
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
}
