//! How long an answer of a peer takes, and how long to wait for one because of that.
//!
//! Model: the handshake of a connection takes [`HANDSHAKE_TRIPS`] round trips, which is the first guess; then each PING that
//! is answered is measured. The longest of the last ones counts: a line that was slow may be so again.
//! Limits: a wait is not shorter than its fixed time, and not longer than [`PATIENCE`] unless that is.
//! Spec: docs/reference/protocol.md §3.12

use std::time::Duration;

/// The round trip of one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RoundTrip(Option<Duration>);

impl RoundTrip {
    /// A connection became ready after this time.
    pub(crate) fn shook_hands(&mut self, time: Duration) {
        self.0.get_or_insert(time / HANDSHAKE_TRIPS);
    }

    /// An answer came after this time.
    pub(crate) fn measured(&mut self, time: Duration) {
        let former = self.0.unwrap_or_default();
        // A machine that slept answers late once.
        let time = time.min(PATIENCE / 2);
        self.0 = Some(time.max(former.saturating_sub(former / 8)));
    }

    pub(crate) const fn get(self) -> Option<Duration> {
        self.0
    }

    /// How long to wait for an answer that otherwise is waited for this long.
    pub(crate) fn patience(self, fixed: Duration) -> Duration {
        let twice = self.0.unwrap_or_default() * 2;
        twice.min(PATIENCE).max(fixed)
    }
}

/// From the first SYN until READY: that of TCP, the greetings, HELLO and WELCOME, INITIATE and READY.
const HANDSHAKE_TRIPS: u32 = 4;
/// What a peer has to answer in, where it is silent for 5 s and gone after 10.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_wait_grows_with_the_round_trip_between_its_bounds() {
        let mut trip = RoundTrip::default();
        assert_eq!(trip.patience(millis(1000)), millis(1000));
        trip.shook_hands(millis(6000));
        assert_eq!(trip.get(), Some(millis(1500)));
        assert_eq!(trip.patience(millis(1000)), millis(3000));
        assert_eq!(trip.patience(millis(3500)), millis(3500));
        trip.measured(millis(4000));
        assert_eq!(trip.patience(millis(1000)), millis(5000));
        assert_eq!(trip.patience(millis(6000)), millis(6000));
        for _ in 0..100 {
            trip.measured(millis(2));
        }
        assert_eq!(trip.patience(millis(1000)), millis(1000));
    }
}
