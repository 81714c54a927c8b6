//! The record of a wire: its state and counters, and their properties on the bus.
//!
//! Model: a [`Record`] is shared by the engine, the senders of values and the worker. The properties of the wire's
//! object are computed from it when they are read.
//! Invariants: RECORD-1. Whether a value was delivered is counted before the next value is handled. RECORD-2. A record
//! is queued at most once between two publications of its changes.
//! Limits: texts of errors are cut to [`ERROR_LEN_MAX`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use zbus::Variant;
use zocp_interfaces::WIRE_INTERFACE;
use zocp_node::Value;

use super::{
    options,
    registry::{Maker, State, Wire, WireId},
};
use zocp_dbus::{
    connection::until,
    interface::{Content, Interface, SlotError},
    message::Text,
    objects::{Objects, TableError},
};
use zocp_mapping::types;

/// The record of a wire. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: String,
    /// Locked because senders and the worker count, and the connection of the bridge reads the properties.
    status: Mutex<Status>,
    due: Due,
    /// Notifies when the state changes.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Status {
    state: Option<State>,
    is_direct: bool,
    /// Whether the newest value was not delivered.
    fails: bool,
    count: u64,
    lost: u64,
    skipped: u64,
    last: Option<Value>,
    error: String,
    is_due: bool,
    /// Whether the wire is in a circle.
    is_in_circle: bool,
}

/// Computes a property.
type Show = fn(&Status) -> Variant<'static>;

/// Records whose changes must be published.
#[derive(Debug, Clone, Default)]
pub(super) struct Due {
    /// Locked because all wires append their records, and one task publishes them.
    queue: Arc<Mutex<Vec<Record>>>,
    pub(super) wake: Arc<Notify>,
}

impl Due {
    /// Removes and returns all of them.
    pub(super) fn take(&self) -> Vec<Record> {
        let records = std::mem::take(&mut *locked(&self.queue));
        for record in &records {
            record.status().is_due = false;
        }
        records
    }
}

impl Record {
    pub(super) fn new(id: WireId, due: &Due) -> Self {
        let shared = Shared {
            path: format!("{}/{}", zocp_interfaces::WIRES_PATH, id.0),
            status: Mutex::default(),
            due: due.clone(),
            changed: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The path of its object.
    pub(super) fn path(&self) -> &str {
        &self.shared.path
    }

    /// Sets the state of the wire.
    pub(super) fn set_state(&self, wire: &Wire) {
        let state = wire.state();
        let mut status = self.status();
        match &state {
            State::Failed(reason) => status.error = cut(reason),
            State::Waiting(Some(reason)) => status.error = cut(reason),
            State::Waiting(None) => status.error.clear(),
            State::Active if status.state.as_ref() != Some(&State::Active) => {
                status.error.clear();
                status.fails = false;
            }
            State::Active => {}
        }
        status.is_direct = wire.is_direct();
        status.state = Some(state);
        drop(status);
        self.shared.changed.notify_waiters();
    }

    /// Sets whether the wire is in a circle: a value that it passes on may return to it.
    pub(super) fn set_in_circle(&self, is_in_circle: bool) {
        self.status().is_in_circle = is_in_circle;
    }

    /// Whether the wire is in a circle.
    pub(super) fn is_in_circle(&self) -> bool {
        self.status().is_in_circle
    }

    /// The wire was removed.
    pub(super) fn end(&self) {
        self.status().state = Some(State::Failed("the wire was removed".to_owned()));
        self.shared.changed.notify_waiters();
    }

    /// Waits until the node has confirmed the wire. Cancel safe.
    pub(super) async fn is_answered(&self) {
        until(&self.shared.changed, || {
            self.status().state != Some(State::Waiting(None))
        })
        .await;
    }

    /// Why the wire cannot be made, if so.
    pub(super) fn refused(&self) -> Option<String> {
        match &self.status().state {
            Some(State::Failed(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Counts a delivered value.
    pub(super) fn passed(&self, value: Value) {
        let mut status = self.status();
        status.count += 1;
        status.last = Some(value);
        status.fails = false;
        self.is_due(status);
    }

    /// Records that the target is not available.
    pub(super) fn target_failed(&self, reason: &str) {
        let mut status = self.status();
        status.fails = true;
        status.error = cut(reason);
        self.is_due(status);
    }

    /// Counts a lost value.
    pub(super) fn failed(&self, reason: &str) {
        let mut status = self.status();
        status.lost += 1;
        status.fails = true;
        status.error = cut(reason);
        self.is_due(status);
    }

    /// Counts values that newer ones have replaced.
    pub(super) fn skipped(&self, count: usize) {
        if count == 0 {
            return;
        }
        let mut status = self.status();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        status.skipped = status.skipped.saturating_add(count);
        self.is_due(status);
    }

    #[cfg(test)]
    pub(super) fn skips(&self) -> u64 {
        self.status().skipped
    }

    #[cfg(test)]
    pub(super) fn losses(&self) -> u64 {
        self.status().lost
    }

    /// The interface of its object; `shape` has the members.
    pub(super) fn interface(&self, shape: &Interface, wire: &Wire) -> Result<Interface, SlotError> {
        let mut interface = shape
            .clone()
            .with("From", wire.from.to_string())?
            .with("To", wire.to.to_string())?
            .with("Conversion", options::shown(&wire.conversion))?
            .with("Lasting", wire.lasting)?
            .with("Foreign", wire.maker == Maker::Others)?;
        for (property, content) in self.contents() {
            interface.set(property, content)?;
        }
        Ok(interface)
    }

    /// Publishes the changed properties.
    pub(super) fn publish(&self, objects: &mut Objects) -> Result<(), TableError> {
        for (property, content) in self.contents() {
            objects.set_content(self.path(), WIRE_INTERFACE, property, content)?;
        }
        Ok(())
    }

    fn contents(&self) -> impl Iterator<Item = (&'static str, Content)> {
        let all: [(&'static str, Show); 7] = [
            ("State", |status| Variant::new(status.state_shown())),
            ("Direct", |status| Variant::new(status.is_direct)),
            ("Count", |status| Variant::new(status.count)),
            ("Lost", |status| Variant::new(status.lost)),
            ("Skipped", |status| Variant::new(status.skipped)),
            ("LastValue", Status::last_shown),
            ("LastError", |status| Variant::new(status.error.clone())),
        ];
        all.into_iter().map(|(name, show)| {
            let record = self.clone();
            let content = Content::Computed(Arc::new(move || show(&record.status())));
            (name, content)
        })
    }

    fn is_due(&self, mut status: MutexGuard<'_, Status>) {
        if status.is_due {
            return;
        }
        status.is_due = true;
        drop(status);
        locked(&self.shared.due.queue).push(self.clone());
        self.shared.due.wake.notify_one();
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        locked(&self.shared.status)
    }
}

impl Status {
    fn state_shown(&self) -> &'static str {
        match &self.state {
            Some(State::Failed(_)) => "failed",
            Some(State::Active) if self.fails => "failed",
            Some(State::Active) => "active",
            _ => "waiting",
        }
    }

    /// The last delivered value; an empty string if there was none.
    fn last_shown(&self) -> Variant<'static> {
        let value = self.last.as_ref().map_or_else(
            || Variant::from(""),
            |value| match types::natural(value) {
                Variant::Variant(inner) => *inner,
                value => value,
            },
        );
        Variant::Variant(Box::new(value))
    }
}

fn cut(text: &str) -> String {
    Text::new(text).chars().take(ERROR_LEN_MAX).collect()
}

/// Locks a mutex. The data is consistent whenever the lock is free, so a poisoned lock can still be used.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Characters of the text of an error.
const ERROR_LEN_MAX: usize = 500;
