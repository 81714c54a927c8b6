//! The ways to connections, and the notices that wait for WebSockets.
//!
//! Limits: [`NOTICES_MAX`] notices wait; then there is one of everything in their place.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::connection::Outgoing;

/// The way to a connection.
pub(crate) struct Outlet {
    pub(crate) queue: mpsc::Sender<Outgoing>,
    /// Of a WebSocket: which paths came and went.
    pub(crate) notices: Option<Notices>,
}

/// Paths that came and went and were not told yet.
#[derive(Default)]
pub(crate) struct Notices(VecDeque<String>);

impl Outlet {
    /// Whether all notices were handed over.
    pub(crate) fn flush_notices(&mut self) -> bool {
        let Some(Notices(waiting)) = &mut self.notices else {
            return true;
        };
        while !waiting.is_empty() {
            let Ok(place) = self.queue.try_reserve() else {
                return false;
            };
            if let Some(notice) = waiting.pop_front() {
                place.send(Outgoing::Text(notice));
            }
        }
        true
    }
}

impl Notices {
    pub(crate) fn push(&mut self, command: &str, address: &str) {
        let notice = |command: &str, address: &str| {
            serde_json::json!({"COMMAND": command, "DATA": address}).to_string()
        };
        if self.0.len() == NOTICES_MAX {
            // Too much at once: everything may be another.
            self.0.clear();
            self.0.push_back(notice("PATH_CHANGED", "/"));
        }
        self.0.push_back(notice(command, address));
    }
}

/// Notices that wait for one WebSocket.
pub(crate) const NOTICES_MAX: usize = 1024;
