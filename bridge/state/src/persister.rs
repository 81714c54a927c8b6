//! The task that writes a document, and its handle.
//!
//! Model: changes are counted. The task waits for one, then for [`SAVE_DELAY`] or for somebody who wants
//! it saved, asks for the state and writes it. What it has tried is told by its number.
//! Invariants: PERSISTER-1. a state that is asked for after a change holds it, so what is told as saved is.
//! PERSISTER-2. a document that has not changed its form is not written again.
//! Limits: after a failure it is tried again with each change, at most each [`RETRY_MAX`].

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

/// Says when a document changed. Clones say it of the same.
#[derive(Debug, Clone)]
pub struct Persister {
    kept: Option<Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    shared: Arc<Shared>,
    tried: watch::Receiver<Tried>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: AtomicU64,
    changed: Notify,
    wanted: Notify,
}

/// The last attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct Tried {
    /// How many changes it held.
    pub(super) changes: u64,
    pub(super) error: Option<Arc<StateError>>,
}

impl Persister {
    pub(super) fn none() -> Self {
        Self { kept: None }
    }

    pub(super) fn start<D: Document>(
        tasks: &TaskTracker,
        stop: CancellationToken,
        directory: Arc<Directory>,
        state: impl Fn() -> D + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (tell, tried) = watch::channel(Tried::default());
        let writer = Writer {
            shared: shared.clone(),
            tell,
            directory,
            state,
            written: Arc::default(),
        };
        tasks.spawn(writer.run(stop));
        Self {
            kept: Some(Kept { shared, tried }),
        }
    }

    /// Whether there is a place where it is kept.
    pub fn is_persistent(&self) -> bool {
        self.kept.is_some()
    }

    /// The state changed: it is written soon. Costs next to nothing.
    pub fn changed(&self) {
        if let Some(Kept { shared, .. }) = &self.kept {
            shared.changes.fetch_add(1, Ordering::Relaxed);
            shared.changed.notify_one();
        }
    }

    /// The state changed, and is written at once; waits until it is. Cancel safe: it is written anyway.
    ///
    /// # Errors
    ///
    /// It could not be written; it is tried again. No error where nothing is kept at all.
    pub async fn save(&self) -> Result<(), Arc<StateError>> {
        let Some(Kept { shared, mut tried }) = self.kept.clone() else {
            return Ok(());
        };
        let mine = shared.changes.fetch_add(1, Ordering::Relaxed) + 1;
        shared.changed.notify_one();
        shared.wanted.notify_one();
        let tried = tried.wait_for(|tried| tried.changes >= mine).await;
        let error = match tried {
            Ok(tried) => tried.error.clone(),
            Err(_) => Some(Arc::new(StateError::Closed)),
        };
        error.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
impl Persister {
    /// Waits for such an attempt.
    pub(super) async fn tried(&self, is_such: impl FnMut(&Tried) -> bool) {
        let mut tried = self.kept.as_ref().unwrap().tried.clone();
        tried.wait_for(is_such).await.unwrap();
    }
}

struct Writer<F> {
    shared: Arc<Shared>,
    tell: watch::Sender<Tried>,
    directory: Arc<Directory>,
    state: F,
    /// What the file has in it, as far as it was us.
    written: Arc<[u8]>,
}

impl<D: Document, F: Fn() -> D + Send + Sync + 'static> Writer<F> {
    async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let is_last = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                // Cancel safe: who notifies before the next turn is heard then.
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

    /// Writes what changed; how often in a row that has failed now.
    async fn save(&mut self, failures: u32) -> u32 {
        let changes = self.shared.changes.load(Ordering::Relaxed);
        if changes == self.tell.borrow().changes && failures == 0 {
            return 0;
        }
        let error = self.write().await.err();
        match &error {
            Some(error) if failures == 0 => {
                tracing::error!(%error, document = D::NAME, "cannot be kept; trying again");
            }
            None if failures > 0 => tracing::info!(document = D::NAME, "is kept again"),
            _ => {}
        }
        let failures = error.as_ref().map_or(0, |_| failures.saturating_add(1));
        self.tell.send_replace(Tried {
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

/// A full disk is rarely emptied sooner.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Beyond it the pause is `RETRY_MAX` anyway.
const RETRY_SHIFT_MAX: u32 = 8;
