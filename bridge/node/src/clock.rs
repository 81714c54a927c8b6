//! The clock of this crate.
//!
//! Model: the pure cores take the time as an argument. Everything in this crate reads it here, from tokio, so that a
//! test with a paused clock controls all time.

use std::time::Instant;

/// The present moment by tokio's clock, as the cores take it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
