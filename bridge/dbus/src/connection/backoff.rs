//! How long to wait before a lost connection to a bus is made again.
//!
//! Model: the first pause is short, since a bus that was started again is there soon; each further one is twice as long,
//! up to a bound. A connection that was made begins anew.

use std::time::Duration;

use tokio::time::sleep;

/// The pauses between attempts. See the [module](self).
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSE_MIN }
    }
}

impl Backoff {
    /// A connection was made: the next pause is the first one again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Waits for the next pause. When it is cancelled, the pause counts as waited for.
    pub async fn wait(&mut self) {
        sleep(self.take()).await;
    }

    fn take(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..8).map(|_| backoff.take()).collect();
        assert_eq!(pauses[..2], [PAUSE_MIN, PAUSE_MIN * 2]);
        assert_eq!(pauses[6..], [PAUSE_MAX, PAUSE_MAX]);
        backoff.reset();
        assert_eq!(backoff.take(), PAUSE_MIN);
    }
}
