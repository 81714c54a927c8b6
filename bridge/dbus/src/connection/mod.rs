//! A bus connection for messages that are passed on as they are.
//!
//! Model: a [`BusConnection`] is a queue of messages for the bus, there before, between and after connections.
//! [`live`] serves it on one connection: what is queued is written, as much at once as there is, and
//! what the bus says is given to an [`Handler`], in the bus's order. It reads and writes the socket itself,
//! since a call that crosses two buses passes four times here, and each task in between costs.
//! Invariants: DBUSCONNECTION-1. one task writes, and a message that is written in part is continued by it. DBUSCONNECTION-2. what is
//! queued goes out in that order. DBUSCONNECTION-3. when a line ends, what is queued goes out first.
//! Limits: [`QUEUED_MAX`] octets wait to be written; above that nothing more is read, and who fills the
//! queue waits at [`BusConnection::room`].
//! Layout: `greeting` connects; `socket` reads and writes; `incoming` and `queue` are the two directions;
//! `live` is the loop; `stack` has zbus use the same reading and writing.
//! Not here: connections that serve a table of objects (`crate::server`).

mod backoff;
mod error;
mod event_loop;
mod handshake;
mod incoming;
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
    event_loop::{Ended, Handler, run},
    handshake::connect,
    read_barrier::ReadBarrier,
    zbus_transport::{Descriptors, ready},
};
use self::{
    queue::{Queue, Written},
    socket::Socket,
    waker::Waker,
};
use crate::{
    errors::Refusal,
    message::{Octets, Outgoing},
    report::Report,
};

/// A queue of messages for the bus. Clones are the same line.
#[derive(Debug, Clone, Default)]
pub struct BusConnection {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, or to look at.
    wake: Waker,
    room: Notify,
    /// The last serial.
    serial: AtomicU32,
    /// Where refusals are counted.
    report: Report,
}

/// A call to the bus itself; `None`, with a line in the log, if it cannot be made.
pub fn bus_call<B>(member: &'static str, body: &B) -> Option<Outgoing>
where
    B: serde::Serialize + zbus::DynamicType,
{
    let call = Message::method_call("/org/freedesktop/DBus", member)
        .destination("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus");
    Outgoing::build(call, body)
        .inspect_err(|error| tracing::error!(%error, member, "a call to the bus cannot be made"))
        .ok()
}

/// Waits until something holds, looking again at each notice. Cancel safe.
pub async fn until(notice: &Notify, holds: impl Fn() -> bool) {
    loop {
        let noticed = notice.notified();
        tokio::pin!(noticed);
        // Before looking, so that no notice is missed between the look and the wait.
        noticed.as_mut().enable();
        if holds() {
            return;
        }
        noticed.await;
    }
}

impl BusConnection {
    /// A line whose refusals are counted here.
    pub fn new(report: Report) -> Self {
        let shared = Shared {
            report,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A serial for a message whose answer is waited for. Those of [`ask_bus`](Self::ask_bus) are
    /// others', so a line uses one or the other.
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
        self.lock().push(message.into().into_bytes());
        self.nudge();
    }

    /// Queues a call to the bus itself; its serial.
    pub fn ask_bus<B>(&self, member: &'static str, body: &B) -> Option<NonZeroU32>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = bus_call(member, body)?;
        let serial = call.serial();
        self.push(call);
        Some(serial)
    }

    /// Queues the refusal of a call, if it wants an answer.
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
            Err(error) => tracing::error!(%error, "a refusal cannot be made"),
        }
    }

    /// Has the ear look at what is due.
    pub fn nudge(&self) {
        self.shared.wake.give();
    }

    /// How much waits.
    pub fn octets(&self) -> usize {
        self.lock().octets()
    }

    /// Whether little enough waits.
    pub fn has_room(&self) -> bool {
        self.octets() < QUEUED_MAX
    }

    /// Waits until little enough waits. Cancel safe.
    pub async fn room(&self) {
        until(&self.shared.room, || self.has_room()).await;
    }

    /// Forgets what is queued: there is no connection that it was meant for.
    fn clear(&self) {
        *self.lock() = Queue::default();
        self.shared.room.notify_waiters();
    }

    fn write(&self, socket: &Socket) -> std::io::Result<Written> {
        let mut queue = self.lock();
        let was_full = queue.octets() >= QUEUED_MAX;
        let written = queue.write(socket);
        let is_full = queue.octets() >= QUEUED_MAX;
        drop(queue);
        if was_full && !is_full {
            self.shared.room.notify_waiters();
        }
        written
    }

    /// Plain data, whole between the steps of each method.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octets that wait to be written.
const QUEUED_MAX: usize = 16 << 20;
