//! Loop protection for circles of wires that causes do not end.
//!
//! Model: in a circle, a value that a wire passes on may return to it. Nodes that send causes with their values pass a
//! touch on once (`zocp_model::Cause`). All other circles, through old nodes and services, need two guards. Within one
//! bridge a value counts the wires that it has passed, and passes at most [`HOPS_MAX`]. Over several bridges, the rate
//! of each wire that is known to be in a circle is limited by a [`Pace`]: values above the rate wait, and a newer
//! value replaces those that wait, so the last value is always passed on. Equal values also end a circle, as in
//! pyZOCP.
//! Invariants: PACE-1. Wires outside circles have no guard.

use std::time::Duration;

use tokio::time::Instant;

/// The rate limiter of a wire in a circle: [`RATE`] values a second, and [`BURST`] more at once.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The used part of the burst, and the time when it was computed.
    used: f64,
    at: Option<Instant>,
}

/// Why a value is not passed on: a mistake of the creator of the wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CircleError {
    /// It has passed too many wires.
    #[error("a circle of wires: the value has passed {HOPS_MAX} of them")]
    TooFar,
}

impl Pace {
    /// Counts a value; returns how long it must wait.
    pub(super) fn step(&mut self) -> Duration {
        let now = Instant::now();
        if let Some(at) = self.at.replace(now) {
            let passed = now.duration_since(at).as_secs_f64();
            self.used = (self.used - passed * f64::from(RATE)).max(0.0);
        }
        self.used += 1.0;
        let beyond = (self.used - f64::from(BURST)).max(0.0);
        Duration::from_secs_f64(beyond / f64::from(RATE))
    }
}

/// Wires that a value may pass.
pub(super) const HOPS_MAX: u8 = 16;
/// Values a second: the rate of a fader that is moved by hand.
const RATE: u32 = 100;
/// Values that may pass at once.
const BURST: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_circle_goes_at_the_pace_of_a_hand() {
        let mut pace = Pace::default();
        assert!((0..BURST).all(|_| pace.step().is_zero()));
        let begun = Instant::now();
        for _ in 0..10 {
            tokio::time::sleep(pace.step()).await;
        }
        let taken = begun.elapsed().as_millis();
        assert!((95..=110).contains(&taken), "{taken} ms");
    }
}
