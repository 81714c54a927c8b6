//! What is known of a wire at work, and how it is shown.
//!
//! Model: a [`Record`] is shared between the wire's object on the bus, who hands it values, and who passes
//! them on. Its object's properties are made of it when they are asked for.
//! Invariants: RECORD-1. a value that was passed on, or not, is counted before the next one is. RECORD-2. between two
//! tellings of a record's change it is due once.
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

/// A wire at work. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Record {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: String,
    status: Mutex<Status>,
    due: Due,
    /// Its state is another.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Status {
    state: Option<State>,
    is_direct: bool,
    /// The newest value was not passed on.
    fails: bool,
    count: u64,
    lost: u64,
    skipped: u64,
    last: Option<Value>,
    error: String,
    is_due: bool,
    /// What it passes on may come back to it.
    is_in_circle: bool,
}

/// What makes a property.
type Show = fn(&Status) -> Variant<'static>;

/// Records whose change is to be told.
#[derive(Debug, Clone, Default)]
pub(super) struct Due {
    queue: Arc<Mutex<Vec<Record>>>,
    pub(super) wake: Arc<Notify>,
}

impl Due {
    /// Takes all that are due.
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

    /// Its object.
    pub(super) fn path(&self) -> &str {
        &self.shared.path
    }

    /// The wire is so far.
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

    /// Whether what it passes on may come back to it.
    pub(super) fn set_in_circle(&self, is_in_circle: bool) {
        self.status().is_in_circle = is_in_circle;
    }

    /// The same.
    pub(super) fn is_in_circle(&self) -> bool {
        self.status().is_in_circle
    }

    /// The wire is no more.
    pub(super) fn end(&self) {
        self.status().state = Some(State::Failed("it was taken away".to_owned()));
        self.shared.changed.notify_waiters();
    }

    /// Waits while a node is asked. Cancel safe.
    pub(super) async fn is_answered(&self) {
        until(&self.shared.changed, || {
            self.status().state != Some(State::Waiting(None))
        })
        .await;
    }

    /// Why it cannot be, if it cannot.
    pub(super) fn refused(&self) -> Option<String> {
        match &self.status().state {
            Some(State::Failed(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    /// A value was passed on.
    pub(super) fn passed(&self, value: Value) {
        let mut status = self.status();
        status.count += 1;
        status.last = Some(value);
        status.fails = false;
        self.is_due(status);
    }

    /// No value could be passed on, if one came.
    pub(super) fn target_failed(&self, reason: &str) {
        let mut status = self.status();
        status.fails = true;
        status.error = cut(reason);
        self.is_due(status);
    }

    /// A value was not passed on.
    pub(super) fn failed(&self, reason: &str) {
        let mut status = self.status();
        status.lost += 1;
        status.fails = true;
        status.error = cut(reason);
        self.is_due(status);
    }

    /// Newer values took the place of so many.
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

    /// How its object looks; `shape` has the members.
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

    /// Has its change told.
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

    /// An empty text in a variant where there was none.
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

/// Plain data, whole between the steps of each method.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Characters of an error's text.
const ERROR_LEN_MAX: usize = 500;
