//! What anybody can cause at any rate is logged at most once in [`PAUSE`].

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When something was logged last.
/// Locked because all connections log through it.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is to be logged again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let due = |seconds| seldom.is_due(start + Duration::from_secs(seconds));
        assert_eq!(
            [0, 0, 59, 60, 61, 120].map(due),
            [true, false, false, true, false, true]
        );
    }
}
