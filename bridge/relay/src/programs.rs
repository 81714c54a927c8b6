//! The programs of this bus whose end matters to somebody, until they leave it.
//!
//! Model: whoever keeps something for a program *follows* it, by its unique name, and gets its name once when it has left.
//! The connection that watches the bus says so.
//! Invariants: PROGRAM-1. A program that had left before it was followed is reported, too. PROGRAM-2. When the bus is lost,
//! all programs have left: on the next bus their names belong to others.
//! Limits: as many as somebody keeps something for, which each keeper limits.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::Notify;

use crate::{lock::lock, watch::Watch};

/// See the [module](self). Clones are the same.
#[derive(Debug, Clone)]
pub struct Programs {
    watch: Watch,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Locked because connection tasks follow programs, and the connection that watches the bus reports their end.
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

    /// Has [`next_gone`](Self::next_gone) give the name of a program when it leaves.
    pub fn follow(&self, program: &str) {
        let program: Arc<str> = program.into();
        if self.known().followed.insert(program.clone()) {
            self.watch.want();
            // It may have left before we could know of it.
            self.watch.ask_program(&program);
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
        lock(&self.shared.known)
    }
}
