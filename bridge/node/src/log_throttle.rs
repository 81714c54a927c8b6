//! Limits how often a repeated problem is logged.
//!
//! Model: [`LogThrottle`] lets one line through in each [`PAUSE`]. [`AddressLogThrottle`] does so for each remote
//! address, and for at most [`ADDRESSES_MAX`] addresses in one [`PAUSE`].
//! Limits: one moment, or [`ADDRESSES_MAX`] of them; whatever exceeds them is not logged. The counters in `traffic.rs`
//! still count every case.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line of a kind through in each [`PAUSE`].
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    last: Option<Instant>,
}

impl LogThrottle {
    /// Whether a line may be logged now; if so, the next pause begins.
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

/// Lets one line of a kind through for each address in each [`PAUSE`]. Clones share their state.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressLogThrottle {
    /// Locked because tasks of all connections log through one throttle.
    last: Arc<Mutex<HashMap<IpAddr, Instant>>>,
}

impl AddressLogThrottle {
    /// Whether a line about this address may be logged now; if so, its next pause begins.
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
/// Between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_repeated_problem_is_logged_once_a_minute() {
        let now = clock::now();
        let mut throttle = LogThrottle::default();
        let logged = (0..600).filter(|second| throttle.is_due(now + SECOND * *second));
        assert_eq!(logged.count(), 10);
    }

    #[tokio::test]
    async fn each_address_is_logged_once_a_minute_and_so_many_addresses_in_all() {
        let now = clock::now();
        let throttle = AddressLogThrottle::default();
        let due = |at, number: u8| throttle.is_due(at, [10, 0, 0, number].into());
        assert!(due(now, 1) && !due(now, 1) && due(now, 2));
        let more = (3..=200).filter(|number| due(now, *number));
        assert_eq!(more.count(), ADDRESSES_MAX - 2);
        assert!(due(now + PAUSE, 1));
    }
}
