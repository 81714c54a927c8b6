//! Whether everything that a bus has written to a connection was heard.
//!
//! Model: who reads a connection *marks* it before it takes octets from the kernel, and clears the mark
//! when everything that came was heard. Where the kernel has nothing more and there is no mark, and the bus
//! writes each message before it looks at the next, what was sent before anything that we have heard
//! elsewhere was heard here. dbus-daemon is such a bus; of others that is not known, and they are asked
//! instead.
//! Not here: asking the bus (`zocp_relay::services`).

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use super::socket::Socket;

/// Clones are the same gauge.
#[derive(Debug, Clone)]
pub struct ReadBarrier {
    /// None where the bus is not one of which it could tell.
    socket: Option<Weak<Socket>>,
    is_marked: Arc<AtomicBool>,
}

impl ReadBarrier {
    pub(super) fn new(socket: &Arc<Socket>) -> Self {
        let is_orderly = socket.program().is_some_and(|name| name == "dbus-daemon");
        Self {
            socket: is_orderly.then(|| Arc::downgrade(socket)),
            // What came behind the greeting's answer.
            is_marked: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Something may have come that was not heard.
    pub(super) fn mark(&self) {
        self.is_marked.store(true, Ordering::Release);
    }

    /// Everything that came was heard.
    pub(super) fn clear(&self) {
        self.is_marked.store(false, Ordering::Release);
    }

    /// Whether everything was heard; `false` where that is not known.
    pub fn is_level(&self) -> bool {
        let socket = self.socket.as_ref().and_then(Weak::upgrade);
        // In this order: what is taken from the kernel is marked before.
        socket.is_some_and(|socket| matches!(socket.waiting(), Ok(0)))
            && !self.is_marked.load(Ordering::Acquire)
    }
}
