//! How long a handshake may take: by the time that the first answer of the other end took.
//!
//! Model: until that answer `handshake_max`; then a multiple of its time, which is as many round trips as the whole takes
//! and some that are lost. On a line of 1.5 s there and back a handshake with CURVE takes 6 s.
//! Limits: not shorter than `handshake_max`, and not longer than [`LONGEST`] unless that is.
//! Spec: docs/reference/protocol.md §2.13

use std::time::{Duration, Instant};

use crate::clock;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct HandshakeTime {
    begin: Instant,
    floor: Duration,
    until: Instant,
    /// The answer is complete with more octets than this.
    before_answer: usize,
    received: usize,
    factor: u32,
}

impl HandshakeTime {
    /// Of a connection that this end opens: the first octets come after two round trips of four.
    pub(crate) fn dialing(floor: Duration) -> Self {
        Self::new(floor, (0, 4))
    }

    /// Of one that the other end opened: its greeting is no answer; what follows comes after one of three.
    pub(crate) fn accepting(floor: Duration) -> Self {
        Self::new(floor, (GREETING_LEN, 8))
    }

    fn new(floor: Duration, (before_answer, factor): (usize, u32)) -> Self {
        let begin = clock::now();
        Self {
            begin,
            floor,
            until: begin + floor,
            before_answer,
            received: 0,
            factor,
        }
    }

    /// So many octets came.
    pub(crate) fn received(&mut self, octets: usize) {
        let was_answered = self.received > self.before_answer;
        self.received = self.received.saturating_add(octets);
        if !was_answered && self.received > self.before_answer {
            let first = clock::now().saturating_duration_since(self.begin);
            self.until = self.begin + (first * self.factor).min(LONGEST).max(self.floor);
        }
    }

    /// When it is over.
    pub(crate) fn until(&self) -> tokio::time::Instant {
        self.until.into()
    }
}

/// Octets of a greeting of ZMTP 3.
const GREETING_LEN: usize = 64;
/// The longest time of a handshake.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn left(time: &HandshakeTime) -> Duration {
        time.until.saturating_duration_since(time.begin)
    }

    #[test]
    fn what_is_answered_late_may_take_longer_and_never_shorter() {
        let floor = Duration::from_secs(5);
        let late = Duration::from_secs(3);
        let mut time = HandshakeTime::dialing(floor);
        assert_eq!(left(&time), floor);
        time.begin -= late;
        time.received(10);
        assert!(left(&time) >= late * 4 && left(&time) < late * 5);
        let former = left(&time);
        time.received(1000);
        assert_eq!(left(&time), former, "the first answer counts");

        let mut time = HandshakeTime::accepting(floor);
        time.received(64);
        assert_eq!(left(&time), floor);
        time.begin -= late;
        time.received(1);
        assert!(left(&time) >= late * 8 && left(&time) <= LONGEST);
        let mut time = HandshakeTime::accepting(floor);
        time.begin -= floor;
        time.received(65);
        assert_eq!(left(&time), LONGEST);
        let mut time = HandshakeTime::dialing(floor);
        time.received(65);
        assert_eq!(left(&time), floor);
    }
}
