//! What ends circles of wires.
//!
//! Model: in a circle, what a wire passes on may come back to it. Equal values end there, as pyZOCP ends
//! them. For the rest there are two guards. Within one bridge a value knows how many wires it has come
//! through, and goes through [`HOPS_MAX`] at most. The protocol has no place for such a number, so over
//! several bridges a wire that is part of a circle, as far as wires are known, goes at a [`Pace`].
//! Invariants: P1. wires that are in no circle know no guard.

use tokio::time::Instant;

/// The pace of a wire in a circle: [`RATE`] values a second, and [`BURST`] more at once.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How much of it is used, and when that was so.
    used: f64,
    at: Option<Instant>,
}

/// Why a value goes no further. Fault of whoever made the wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CircleError {
    /// More values than a person's hand makes.
    #[error("a circle of wires: more than {RATE} values a second")]
    TooFast,
    /// It has come through too many wires.
    #[error("a circle of wires: the value has come through {HOPS_MAX} of them")]
    TooFar,
}

impl Pace {
    /// One value more.
    pub(super) fn step(&mut self) -> Result<(), CircleError> {
        let now = Instant::now();
        if let Some(at) = self.at.replace(now) {
            let passed = now.duration_since(at).as_secs_f64();
            self.used = (self.used - passed * f64::from(RATE)).max(0.0);
        }
        if self.used >= f64::from(BURST) {
            return Err(CircleError::TooFast);
        }
        self.used += 1.0;
        Ok(())
    }
}

/// Wires that a value goes through.
pub(super) const HOPS_MAX: u8 = 16;
/// Values a second: what a fader sends that is moved by hand.
const RATE: u32 = 100;
/// Values at once.
const BURST: u32 = 100;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_circle_goes_at_the_pace_of_a_hand() {
        let mut pace = Pace::default();
        assert!((0..BURST).all(|_| pace.step().is_ok()));
        assert_eq!(pace.step(), Err(CircleError::TooFast));
        tokio::time::advance(Duration::from_millis(100)).await;
        let passed = (0..BURST).filter(|_| pace.step().is_ok()).count();
        assert_eq!(passed, 10);
    }
}
