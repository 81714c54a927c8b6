//! The pauses between attempts to reconnect to a bus.
//!
//! Model: the first pause is short, because a restarted bus is soon available; each further pause is twice as long, up
//! to a limit. A successful connection resets the pause.

use std::time::Duration;

use tokio::time::sleep;

/// The pauses between attempts.
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
    /// Resets the pause after a successful connection.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Waits for the next pause. A cancelled wait counts as a complete one.
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
