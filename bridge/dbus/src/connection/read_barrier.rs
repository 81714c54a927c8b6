//! Tells whether everything that a bus has written to a connection was processed.
//!
//! Model: the reader of a connection sets a *mark* before it reads octets from the kernel, and clears it when every
//! message that arrived was processed. Suppose that the receive buffer of the kernel is empty and there is no mark. If
//! the bus writes each message before it handles the next one, then every message that it sent earlier than one that
//! was received on another connection has been processed here. dbus-daemon is such a bus. For other buses this is not
//! known, so a round trip to the bus takes the place of this test.
//! Not here: asking the bus (`zocp_relay::services`).

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use super::socket::Socket;

/// Clones share the mark.
#[derive(Debug, Clone)]
pub struct ReadBarrier {
    /// `None` if the bus is not known to write messages in order.
    socket: Option<Weak<Socket>>,
    is_marked: Arc<AtomicBool>,
}

impl ReadBarrier {
    pub(super) fn new(socket: &Arc<Socket>) -> Self {
        let is_orderly = socket.program().is_some_and(|name| name == "dbus-daemon");
        Self {
            socket: is_orderly.then(|| Arc::downgrade(socket)),
            // Messages may have arrived together with the reply to `Hello`.
            is_marked: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Of a connection of which it is not known.
    pub(super) fn unknown() -> Self {
        Self {
            socket: None,
            is_marked: Arc::new(AtomicBool::new(true)),
        }
    }

    /// A message may have arrived that was not processed.
    pub(super) fn mark(&self) {
        self.is_marked.store(true, Ordering::Release);
    }

    /// Every message that arrived was processed.
    pub(super) fn clear(&self) {
        self.is_marked.store(false, Ordering::Release);
    }

    /// Whether every message was processed; `false` if that is not known.
    pub fn is_level(&self) -> bool {
        let socket = self.socket.as_ref().and_then(Weak::upgrade);
        // The order matters: the reader sets the mark before it reads from the kernel.
        socket.is_some_and(|socket| matches!(socket.waiting(), Ok(0)))
            && !self.is_marked.load(Ordering::Acquire)
    }
}
