//! A bus connection for messages that are passed on unchanged.
//!
//! Model: a [`BusConnection`] is a queue of outgoing messages. It exists independently of the socket: messages can be
//! queued before the bus is connected and between two connections. [`run`] serves the queue on one connected socket: it
//! writes the queued messages, many in one system call, and passes each received message to a [`Handler`], in the order
//! of the bus. It reads and writes the socket without further tasks, because a call from one bus to another passes this
//! code four times and each task switch would add to its latency.
//! Invariants: DBUSCONNECTION-1. Only one task writes, and it continues a partly written message before anything else.
//! DBUSCONNECTION-2. Messages are sent in the order in which they were queued. DBUSCONNECTION-3. When a connection is
//! stopped, the queued messages are sent before the socket is closed.
//! Limits: `QUEUED_MAX` octets may wait to be written; above that the socket is not read, and senders wait in
//! [`BusConnection::room`].
//! Layout: `handshake` connects; `line` is the way to the bus; `socket` reads and writes; `incoming` decodes and
//! `queue` holds outgoing messages; `event_loop` serves a connection; `zbus_transport` lets zbus use the same socket
//! code.
//! Not here: connections that serve a table of objects (`crate::server`).

mod backoff;
mod error;
mod event_loop;
mod handshake;
mod incoming;
mod line;
mod queue;
mod read_barrier;
mod reading;
mod registration;
mod socket;
#[cfg(test)]
mod tests;
mod waker;
mod zbus_transport;

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::Notify;
use zbus::Message;

pub use self::zbus_transport::Ready;
pub use self::{
    backoff::Backoff,
    error::ConnectError,
    event_loop::{Ended, Handler, run},
    handshake::{Connected, attach, connect},
    read_barrier::ReadBarrier,
    zbus_transport::{Descriptors, ready},
};
use self::{
    line::Line,
    queue::{Queue, Written},
    waker::Waker,
};
use crate::{
    errors::Refusal,
    message::{Octets, Outgoing},
    report::Report,
};

/// A queue of messages for the bus. Clones share the queue. See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct BusConnection {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Locked because any task appends messages, so that sending needs no hand-over, and the task of the connection
    /// writes them.
    queue: Mutex<Queue>,
    /// Wakes the event loop to write, or to call [`Handler::turn`].
    wake: Waker,
    room: Notify,
    /// The serial that was assigned last.
    serial: AtomicU32,
    /// Counts error replies.
    report: Report,
}

/// Builds a call of a method of the bus, with this serial or with the next one of zbus. If that fails, logs the error and
/// returns `None`.
pub fn bus_call<B>(member: &'static str, body: &B, serial: Option<NonZeroU32>) -> Option<Outgoing>
where
    B: serde::Serialize + zbus::DynamicType,
{
    let call = Message::method_call("/org/freedesktop/DBus", member)
        .destination(BUS_NAME)
        .interface(BUS_NAME);
    let call = match serial {
        Some(serial) => call.serial(serial),
        None => call,
    };
    Outgoing::build(call, body)
        .inspect_err(|error| tracing::error!(%error, member, "cannot build a call to the bus"))
        .ok()
}

/// The name of the bus itself.
pub const BUS_NAME: &str = "org.freedesktop.DBus";

/// Waits until `holds` returns true, and calls it again after each notification. Cancel safe.
pub async fn until(notice: &Notify, holds: impl Fn() -> bool) {
    loop {
        let noticed = notice.notified();
        tokio::pin!(noticed);
        // Enabled before `holds` is called, so that a notification in between is not missed.
        noticed.as_mut().enable();
        if holds() {
            return;
        }
        noticed.await;
    }
}

impl BusConnection {
    /// A connection that counts its error replies in `report`.
    pub fn new(report: Report) -> Self {
        let shared = Shared {
            report,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What counts its error replies.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.shared.report
    }

    /// A serial for a message whose reply the caller expects. Messages of [`ask_bus`](Self::ask_bus) take their serials
    /// from zbus and may collide with these, so a connection must use only one of the two.
    pub fn serial(&self) -> NonZeroU32 {
        loop {
            let last = self.shared.serial.fetch_add(1, Ordering::Relaxed);
            if let Some(serial) = NonZeroU32::new(last.wrapping_add(1)) {
                return serial;
            }
        }
    }

    /// Queues a message.
    pub fn push(&self, message: impl Into<Octets>) {
        let (octets, holder) = message.into().into_parts();
        self.lock().push(octets, holder);
        self.nudge();
    }

    /// Queues a call of a method of the bus and returns its serial.
    pub fn ask_bus<B>(&self, member: &'static str, body: &B) -> Option<NonZeroU32>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = bus_call(member, body, None)?;
        let serial = call.serial();
        self.push(call);
        Some(serial)
    }

    /// Queues an error reply to a call, unless the call expects no reply.
    pub fn refuse(&self, call: &Message, refusal: &Refusal) {
        let flags = call.primary_header().flags();
        if flags.contains(zbus::message::Flags::NO_REPLY_EXPECTED) {
            return;
        }
        let header = call.header();
        self.shared.report.refused(refusal, Some(&header));
        let error = Message::error(&header, refusal.name());
        match Outgoing::build(error, &refusal.to_string()) {
            Ok(error) => self.push(error),
            Err(error) => tracing::error!(%error, "cannot build an error reply"),
        }
    }

    /// Makes the event loop call [`Handler::turn`].
    pub fn nudge(&self) {
        self.shared.wake.notify();
    }

    /// The number of octets that wait to be written.
    pub fn octets(&self) -> usize {
        self.lock().octets()
    }

    /// Whether fewer than `QUEUED_MAX` octets wait to be written.
    pub fn has_room(&self) -> bool {
        self.octets() < QUEUED_MAX
    }

    /// Waits until fewer than `QUEUED_MAX` octets wait to be written. Cancel safe.
    pub async fn room(&self) {
        until(&self.shared.room, || self.has_room()).await;
    }

    /// Discards the queued messages, because the connection they were queued for has ended.
    fn clear(&self) {
        *self.lock() = Queue::default();
        self.shared.room.notify_waiters();
    }

    fn write(&self, line: &Line) -> std::io::Result<Written> {
        let mut queue = self.lock();
        let was_full = queue.octets() >= QUEUED_MAX;
        let written = line.write(&mut queue);
        let is_full = queue.octets() >= QUEUED_MAX;
        drop(queue);
        if was_full && !is_full {
            self.shared.room.notify_waiters();
        }
        written
    }

    /// The queue. It is consistent whenever the lock is free, so a poisoned lock can still be used.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octets that may wait to be written.
const QUEUED_MAX: usize = 16 << 20;
