//! What ends circles of wires that touches do not end.
//!
//! Model: in a circle, what a wire passes on may come back to it. Between nodes that tell causes a touch is
//! passed on once (`zocp_model::Cause`). For the rest, circles through old nodes and services, equal
//! values end as pyZOCP ends them, and there are two guards. Within one bridge a value knows how many wires it
//! has come through, and goes through [`HOPS_MAX`] at most. Over several bridges a wire that is part of a
//! circle, as far as wires are known, goes at a [`Pace`]; what comes faster waits, and the newest value takes
//! the place of those that wait: the last one is always passed on.
//! Invariants: PACE-1. wires that are in no circle know no guard.

use std::time::Duration;

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
    /// It has come through too many wires.
    #[error("a circle of wires: the value has come through {HOPS_MAX} of them")]
    TooFar,
}

impl Pace {
    /// One value more; how long it waits before it is passed on.
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

/// Wires that a value goes through.
pub(super) const HOPS_MAX: u8 = 16;
/// Values a second: what a fader sends that is moved by hand.
const RATE: u32 = 100;
/// Values at once.
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
