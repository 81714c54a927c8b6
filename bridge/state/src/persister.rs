//! The task that writes a document, and its handle.
//!
//! Model: changes are counted. The task waits for a change, then for [`SAVE_DELAY`] or a request to save at once; then
//! it requests the state and writes it. It publishes the number of the last change that it attempt to write.
//! Invariants: PERSISTER-1. The state is requested after a change was counted, so it contains the changes that are
//! reported as saved. PERSISTER-2. A document whose formatted text has not changed is not written again.
//! Limits: after a failure, writing is retried with each change and at intervals of at most [`RETRY_MAX`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Document, SAVE_DELAY, StateError, file::Directory};

/// The handle of the task that saves a document. Clones share it.
#[derive(Debug, Clone)]
pub struct Persister {
    handle: Option<Handle>,
}

#[derive(Debug, Clone)]
struct Handle {
    shared: Arc<Shared>,
    attempt: watch::Receiver<Attempt>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: AtomicU64,
    changed: Notify,
    wanted: Notify,
}

/// The last attempt to write.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    /// The number of changes that it contained.
    pub(super) changes: u64,
    pub(super) error: Option<Arc<StateError>>,
}

impl Persister {
    pub(super) fn none() -> Self {
        Self { handle: None }
    }

    pub(super) fn start<D: Document>(
        tasks: &TaskTracker,
        stop: CancellationToken,
        directory: Arc<Directory>,
        state: impl Fn() -> D + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (attempts, attempt) = watch::channel(Attempt::default());
        let writer = Writer {
            shared: shared.clone(),
            attempts,
            directory,
            state,
            written: Arc::default(),
        };
        tasks.spawn(writer.run(stop));
        Self {
            handle: Some(Handle { shared, attempt }),
        }
    }

    /// Whether the document is saved at all.
    pub fn is_persistent(&self) -> bool {
        self.handle.is_some()
    }

    /// Reports a change; the document is written soon. This call is cheap.
    pub fn changed(&self) {
        if let Some(Handle { shared, .. }) = &self.handle {
            shared.changes.fetch_add(1, Ordering::Relaxed);
            shared.changed.notify_one();
        }
    }

    /// Reports a change, and waits until the document is written, which happens at once. Cancel safe: the document
    /// is written in any case.
    ///
    /// # Errors
    ///
    /// The document could not be written; writing is retried. There is no error if documents are not saved at all.
    pub async fn save(&self) -> Result<(), Arc<StateError>> {
        let Some(Handle {
            shared,
            mut attempt,
        }) = self.handle.clone()
        else {
            return Ok(());
        };
        let mine = shared.changes.fetch_add(1, Ordering::Relaxed) + 1;
        shared.changed.notify_one();
        shared.wanted.notify_one();
        let attempt = attempt.wait_for(|attempt| attempt.changes >= mine).await;
        let error = match attempt {
            Ok(attempt) => attempt.error.clone(),
            Err(_) => Some(Arc::new(StateError::Closed)),
        };
        error.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
impl Persister {
    /// Waits for an attempt that matches.
    pub(super) async fn tried(&self, is_such: impl FnMut(&Attempt) -> bool) {
        let mut attempt = self.handle.as_ref().unwrap().attempt.clone();
        attempt.wait_for(is_such).await.unwrap();
    }
}

struct Writer<F> {
    shared: Arc<Shared>,
    attempts: watch::Sender<Attempt>,
    directory: Arc<Directory>,
    state: F,
    /// The octets that this task has last written.
    written: Arc<[u8]>,
}

impl<D: Document, F: Fn() -> D + Send + Sync + 'static> Writer<F> {
    async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let is_last = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                // Cancel safe: a notification before the next poll is not lost.
                () = self.shared.changed.notified() => {
                    tokio::select! {
                        () = stop.cancelled() => true,
                        () = self.shared.wanted.notified() => false,
                        () = sleep(SAVE_DELAY) => false,
                    }
                }
                () = retry(failures), if failures > 0 => false,
            };
            failures = self.save(failures).await;
            if is_last {
                return;
            }
        }
    }

    /// Writes the changes; returns the number of consecutive failures.
    async fn save(&mut self, failures: u32) -> u32 {
        let changes = self.shared.changes.load(Ordering::Relaxed);
        if changes == self.attempts.borrow().changes && failures == 0 {
            return 0;
        }
        let error = self.write().await.err();
        match &error {
            Some(error) if failures == 0 => {
                tracing::error!(%error, document = D::NAME, "cannot save the state; retrying");
            }
            None if failures > 0 => tracing::info!(document = D::NAME, "the state is saved again"),
            _ => {}
        }
        let failures = error.as_ref().map_or(0, |_| failures.saturating_add(1));
        self.attempts.send_replace(Attempt {
            changes,
            error: error.map(Arc::new),
        });
        failures
    }

    async fn write(&mut self) -> Result<(), StateError> {
        let (document, before) = ((self.state)(), self.written.clone());
        let directory = self.directory.clone();
        let writing = spawn_blocking(move || {
            let octets = Directory::form(document)?;
            if *octets != *before {
                directory.write::<D>(&octets)?;
            }
            Ok(octets.into())
        });
        self.written = writing
            .await
            .unwrap_or_else(|error| Err(StateError::Unwritable(error.to_string())))?;
        Ok(())
    }
}

async fn retry(failures: u32) {
    let pause = SAVE_DELAY.saturating_mul(1 << failures.min(RETRY_SHIFT_MAX));
    sleep(pause.min(RETRY_MAX)).await;
}

/// Longest pause between two attempts: a full disk is rarely cleared sooner.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Above this exponent the pause is `RETRY_MAX`.
const RETRY_SHIFT_MAX: u32 = 8;
