//! The objects of wires on the bus.
//!
//! Model: an object appears and disappears with its wire; its values are published at intervals, instead of once for
//! each value that passes.

use std::time::Duration;

use tokio::time::sleep;
use zocp_dbus::objects::TableError;

use super::{EngineState, Wires, record::Record, registry::WireId};

impl Wires {
    /// Publishes the state of wires on the bus, at intervals instead of once for each value.
    pub(super) async fn publish_changes(self) {
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = self.shared.due.wake.notified() => {}
            }
            sleep(PUBLISH_INTERVAL).await;
            self.state().mark_circles();
            let Some(table) = self.shared.table.get() else {
                continue;
            };
            for record in self.shared.due.take() {
                table.with(|objects| {
                    if objects.contains(record.path()) {
                        log_error(record.publish(objects));
                    }
                });
            }
        }
    }

    pub(super) fn show(&self, state: &mut EngineState, id: WireId) {
        let Some(wire) = state.registry.wire(id) else {
            return;
        };
        let record = state
            .records
            .entry(id)
            .or_insert_with(|| Record::new(id, &self.shared.due));
        record.set_state(wire);
        let Some(table) = self.shared.table.get() else {
            return;
        };
        let shown = record
            .interface(&self.shared.shape, wire)
            .map_err(TableError::from)
            .and_then(|interface| {
                table.with(|objects| {
                    if objects.contains(record.path()) {
                        objects.take_values(record.path(), interface)
                    } else {
                        objects.insert(record.path(), [interface])
                    }
                })
            });
        log_error(shown);
    }

    pub(super) fn hide(&self, state: &mut EngineState, id: WireId) {
        self.stop_input(state, id);
        if let Some(work) = state.running.remove(&id) {
            work.removed.cancel();
        }
        if let (Some(record), Some(table)) = (state.records.remove(&id), self.shared.table.get()) {
            record.end();
            table.with(|objects| objects.remove_tree(record.path()));
        }
    }
}

impl EngineState {
    /// Marks the wires that are part of a circle.
    fn mark_circles(&mut self) {
        if !std::mem::take(&mut self.has_changed) {
            return;
        }
        let circles = self.registry.circles();
        for (id, record) in &self.records {
            record.set_in_circle(circles.contains(id));
        }
    }
}

/// Logs an error of the table; only a bug of the bridge causes one.
fn log_error(result: Result<(), TableError>) {
    if let Err(error) = result {
        tracing::error!(%error, "cannot update the object of a wire");
    }
}

/// The interval between two updates of the objects of wires.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(50);
