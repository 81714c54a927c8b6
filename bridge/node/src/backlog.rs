//! Bounds the events that wait for their reader beside the queue to it.
//!
//! Model: while the queue of events is full, what this node's own program does adds events to a list. The
//! [`Backlog`] weighs that list: each event counts one unit and one more for each KiB of its values.
//! Invariants: BACKLOG-1. An event is weighed once, and only while events wait.
//! Limits: [`BACKLOG_SIZE_MAX`] units; then commands that make events wait until the reader has taken some. So a
//! program may publish a few thousand capabilities before it reads its first event.
//! Not here: the queue (`startup.rs`), who waits (`actor.rs`).

use zocp_model::{Change, Value};

use crate::event::Event;

/// The weight of the events that wait. See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    weighed: usize,
    size: usize,
}

impl Backlog {
    /// Whether no more is to be added to these events, of which those weighed before are the first.
    pub(crate) fn is_full(&mut self, events: &[Event]) -> bool {
        if events.len() < self.weighed {
            *self = Self::default();
        }
        self.size += events[self.weighed..].iter().map(size).sum::<usize>();
        self.weighed = events.len();
        self.size >= BACKLOG_SIZE_MAX
    }
}

fn size(event: &Event) -> usize {
    let octets = match event {
        Event::LocalEmitted { value, .. } | Event::Set { value, .. } => octets(value),
        Event::LocalChanged { changes } => changes.iter().map(changed).sum(),
        _ => 0,
    };
    1 + octets / UNIT
}

/// The octets of the values of a change.
fn changed(change: &Change) -> usize {
    match change {
        Change::Value { value, .. } => octets(value),
        Change::CapabilityAdded { capability, .. }
        | Change::CapabilityChanged { capability, .. } => {
            capability.value.as_ref().map_or(0, octets)
        }
        _ => 0,
    }
}

fn octets(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 0,
    }
}

const UNIT: usize = 1024;
/// Units: as many small events, or 4 MiB of large ones.
pub(crate) const BACKLOG_SIZE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use zocp_model::CapPath;

    use super::*;

    fn emitted(value: Value) -> Event {
        Event::LocalEmitted {
            path: CapPath::root("level"),
            value,
            cause: None,
        }
    }

    #[test]
    fn small_events_count_one_each_and_large_ones_by_their_size() {
        let mut backlog = Backlog::default();
        let mut events: Vec<Event> = Vec::new();
        events.resize(BACKLOG_SIZE_MAX - 1, emitted(Value::Bool(true)));
        assert!(!backlog.is_full(&events));
        assert!(!backlog.is_full(&events), "each is weighed once");
        events.push(emitted(Value::Null));
        assert!(backlog.is_full(&events));
        events.clear();
        assert!(!backlog.is_full(&events), "what was taken weighs nothing");
        events.push(emitted(Value::String("x".repeat(BACKLOG_SIZE_MAX * UNIT))));
        assert!(backlog.is_full(&events));
    }
}
