//! The throttle of the login.
//!
//! Model: each login takes one of [`GUESSES_MAX`] permits. One with a wrong secret keeps it for [`GUESS_TIME`] more, in a
//! task of its own.
//! Invariants: GUESS-1. a client that closes its connection gives no permit back earlier.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::limits::{GUESS_TIME, GUESSES_MAX};

/// The permits of all logins.
#[derive(Debug, Clone)]
pub(crate) struct Guesses(Arc<Semaphore>);

/// A login that is being checked.
#[derive(Debug)]
pub(crate) struct Guess {
    /// Given back when this falls.
    _permit: OwnedSemaphorePermit,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(GUESSES_MAX)))
    }

    /// `None` when all permits are taken.
    pub(crate) fn begin(&self) -> Option<Guess> {
        Arc::clone(&self.0)
            .try_acquire_owned()
            .ok()
            .map(|permit| Guess { _permit: permit })
    }
}

impl Guess {
    /// The secret was wrong: returns after [`GUESS_TIME`], when the permit is free again. The permit stays taken for as
    /// long when nobody waits for that.
    pub(crate) async fn refuse(self) {
        let paused = tokio::spawn(async move {
            sleep(GUESS_TIME).await;
            drop(self);
        });
        // It ends in no other way than by its end.
        paused.await.ok();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn guesses_that_hang_up_keep_their_permits() {
        let guesses = Guesses::new();
        for _ in 0..GUESSES_MAX {
            let guess = guesses.begin().unwrap();
            // The server drops the future of a request whose client is gone.
            let answered = tokio::time::timeout(Duration::from_millis(1), guess.refuse()).await;
            assert!(answered.is_err(), "a wrong secret is answered late");
        }
        assert!(guesses.begin().is_none());
        sleep(GUESS_TIME).await;
        assert!(guesses.begin().is_some());
    }
}
