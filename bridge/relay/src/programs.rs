//! The programs of this bus that lend us something, for as long as they stay on it.
//!
//! Model: whoever takes something from a program *follows* it, by its unique name, and is told once when it
//! is gone. The connection that watches the bus says so.
//! Invariants: PR1. a program that was gone before it was followed is told, too. PR2. when the bus is lost,
//! all programs are gone: on the next one their names mean others.
//! Limits: as many as lend something, which their lenders bound.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::watch::Watch;

/// See the [module](self). Clones are the same.
#[derive(Debug, Clone)]
pub struct Programs {
    watch: Watch,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    followed: HashSet<Arc<str>>,
    gone: Vec<Arc<str>>,
}

impl Programs {
    pub(crate) fn new(watch: Watch) -> Self {
        Self {
            watch,
            shared: Arc::default(),
        }
    }

    /// Has the end of a program told.
    pub fn follow(&self, program: &str) {
        let program: Arc<str> = program.into();
        if self.known().followed.insert(program.clone()) {
            self.watch.want();
            // It may have left before we could know of it.
            self.watch.ask_caller(&program);
        }
    }

    /// Waits until a followed program is gone. Cancel safe. For one task.
    pub async fn next_gone(&self) -> Arc<str> {
        loop {
            if let Some(program) = self.known().gone.pop() {
                return program;
            }
            self.shared.changed.notified().await;
        }
    }

    /// A name has left the bus.
    pub(crate) fn left(&self, name: &str) {
        let mut known = self.known();
        if let Some(program) = known.followed.take(name) {
            known.gone.push(program);
            self.shared.changed.notify_one();
        }
    }

    /// The bus is lost, and with it everybody.
    pub(crate) fn lost(&self) {
        let mut known = self.known();
        let followed = std::mem::take(&mut known.followed);
        known.gone.extend(followed);
        self.shared.changed.notify_one();
    }

    /// Plain data, whole between the steps of each method.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
