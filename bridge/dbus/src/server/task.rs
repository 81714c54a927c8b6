//! The task behind a `Server`.
//!
//! Model: `disconnected -> connect -> Connected -> (fails) -> disconnected …` until the server is closed. While
//! connected, one loop reads, answers, awaits the handler and writes. The future of the current write is a field, so
//! that no branch
//! of the `select!` can drop it.

mod calls;
mod naming;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use zbus::{Connection, Message, MessageStream, message::Type};

use zocp_interfaces::POLICY_NAME;

pub(super) use self::naming::Names;
use self::naming::{Naming, may_be_named};
use super::{
    CHANGE_INTERVAL, CLOSE_DEADLINE, Done, ObjectHandler, Presence, ServerOptions,
    fair_queue::{FairQueue, WAITING_MAX},
    in_flight::InFlightQuota,
};
use crate::{
    connection::{Backoff, Descriptors, bus_call, ready},
    errors::Refusal,
    message::send_all,
};

/// Serves until `stop`.
pub(super) async fn run<O: ObjectHandler>(
    options: ServerOptions,
    handler: O,
    mut names: Names,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let connected = tokio::select! {
            () = stop.cancelled() => break,
            // Cancel safe: before the connection is made, nothing was sent.
            connected = timeout(CONNECT_DEADLINE, connect(&options)) => connected,
        };
        match connected.unwrap_or_else(|_| {
            Err(zbus::Error::Failure(
                "the bus did not answer in time".to_owned(),
            ))
        }) {
            Ok(stream) => {
                backoff.reset();
                Connected::new(&options, &handler, &mut names, stream)
                    .run(&stop)
                    .await;
            }
            Err(error) => options.emit_presence(Presence::Unreachable(error.to_string())),
        }
        if !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = backoff.wait() => {}
            }
        }
    }
    options.emit_presence(Presence::Closed);
}

async fn connect(options: &ServerOptions) -> zbus::Result<MessageStream> {
    let report = options.site.report.clone();
    let descriptors = match options.takes_descriptors {
        Some(method) => Descriptors::Of(method),
        None => Descriptors::Close,
    };
    let ready = ready(&options.site.address, descriptors, report).await?;
    ready.stream().await
}

impl ServerOptions {
    fn emit_presence(&self, presence: Presence) {
        (self.on_presence)(presence);
    }
}

/// The task while it has a connection.
struct Connected<'a, O> {
    options: &'a ServerOptions,
    handler: &'a O,
    connection: Connection,
    stream: MessageStream,
    /// Received calls that were not processed yet.
    waiting: FairQueue,
    /// Calls that wait for the handler.
    pending: FuturesUnordered<BoxFuture<'a, Done>>,
    /// The number of pending calls of each caller.
    in_flight: InFlightQuota,
    /// The current write.
    sending: Option<BoxFuture<'static, zbus::Result<()>>>,
    names: &'a mut Names,
    naming: Naming,
    /// The name that is also owned until the wanted one is owned and this one is released.
    previous_name: Option<Arc<str>>,
    /// When property changes were last announced.
    changes_sent_at: Option<Instant>,
    closing: Option<Closing>,
}

/// The state of closing.
struct Closing {
    /// The serial of the call of `ReleaseName` that the bus has not answered yet.
    releasing: Option<NonZeroU32>,
    deadline: Instant,
}

/// Why a connection ended.
enum Disconnection {
    /// It was closed on request.
    Done,
    /// It failed; the text says why.
    Failed(String),
}

impl<'a, O: ObjectHandler> Connected<'a, O> {
    fn new(
        options: &'a ServerOptions,
        handler: &'a O,
        names: &'a mut Names,
        stream: MessageStream,
    ) -> Self {
        options.table.lock().set_announcing(true);
        let after = names.wanted.borrow_and_update().after.clone();
        let connected = Self {
            options,
            handler,
            connection: Connection::from(&stream),
            stream,
            waiting: FairQueue::default(),
            pending: FuturesUnordered::new(),
            in_flight: InFlightQuota::default(),
            sending: None,
            names,
            naming: Naming::Waiting(after),
            previous_name: None,
            changes_sent_at: None,
            closing: None,
        };
        // Requested before any name under which we can be called. To be in the queue for the name is enough for a policy
        // of the bus.
        if options.site.may_have_policy() {
            connected.call_bus("RequestName", &(POLICY_NAME, 0u32));
        }
        connected
    }

    async fn run(mut self, stop: &CancellationToken) {
        let disconnection = loop {
            if let Some(disconnection) = self.step(stop).await {
                break disconnection;
            }
        };
        self.options.table.lock().set_announcing(false);
        self.options.table.forget_pending_calls();
        self.options.table.inner.room.notify_waiters();
        match disconnection {
            Disconnection::Done => {
                self.connection.close().await.ok();
            }
            Disconnection::Failed(reason) => {
                self.options.emit_presence(Presence::Unreachable(reason))
            }
        }
    }

    /// Waits for one event and handles it. Every branch is cancel safe: streams and timers keep their state, and the
    /// current write is a field.
    async fn step(&mut self, stop: &CancellationToken) -> Option<Disconnection> {
        if let Some(disconnection) = self.receive_ready() {
            return Some(disconnection);
        }
        // Messages that were emitted before are sent before the replies, and the replies at once if no write is active.
        self.write_due();
        self.serve();
        self.write_due();
        if self.is_closed() {
            return Some(Disconnection::Done);
        }
        let is_sending = self.sending.is_some();
        let may_read = self.may_read();
        let may_serve = self.may_serve();
        let wake_at = self.wake_at();
        let may_rename = self.closing.is_none() && !matches!(self.naming, Naming::Asked(..));
        tokio::select! {
            sent = finished(&mut self.sending) => {
                self.sending = None;
                self.options.table.inner.room.notify_waiters();
                return sent.err().map(|error| Disconnection::Failed(error.to_string()));
            }
            message = self.stream.next(), if may_read => return self.received(message),
            // Yields to the tasks that read from and write to the socket.
            () = tokio::task::yield_now(), if may_serve => {}
            Some((ticket, answer)) = self.pending.next(), if !self.pending.is_empty() => {
                self.in_flight.release(ticket.caller());
                let mut objects = self.options.table.lock();
                objects.flush_changes();
                objects.answer(ticket, answer);
            }
            () = self.options.table.inner.outgoing.notified(), if !is_sending => {}
            () = stop.cancelled(), if self.closing.is_none() => self.begin_to_close(),
            () = may_be_named(&self.naming), if self.closing.is_none() => self.ask_for_name(0),
            // While a name is requested, only the reply tells whether it must be released later.
            Ok(()) = self.names.wanted.changed(), if may_rename => self.begin_to_rename(),
            () = self.names.let_go.notified() => self.release_previous_name(),
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {
                self.wake();
            }
        }
        None
    }

    /// Starts to write the emitted messages, unless a write is active.
    fn write_due(&mut self) {
        if self.sending.is_some() {
            return;
        }
        let mut objects = self.options.table.lock();
        if objects.has_changes() && self.send_changes_at() <= Instant::now() {
            objects.flush_changes();
            self.changes_sent_at = Some(Instant::now());
        }
        let messages = objects.take_outgoing();
        drop(objects);
        if !messages.is_empty() {
            let connection = self.connection.clone();
            self.sending = Some(async move { send_all(&connection, messages).await }.boxed());
        }
    }

    /// The earliest time of the next announcement of property changes.
    fn send_changes_at(&self) -> Instant {
        self.changes_sent_at
            .map_or_else(Instant::now, |changes_sent_at| {
                changes_sent_at + CHANGE_INTERVAL
            })
    }

    /// The time of the next due work.
    fn wake_at(&self) -> Option<Instant> {
        let retry = match (&self.naming, &self.closing) {
            (Naming::Retry(at), None) => Some(*at),
            _ => None,
        };
        let closing = self.closing.as_ref().map(|closing| closing.deadline);
        let changes = self.sending.is_none() && self.options.table.lock().has_changes();
        let tell = changes.then(|| self.send_changes_at());
        [retry, closing, tell].into_iter().flatten().min()
    }

    /// Whether the bus may be read: neither the queue of calls nor that of outgoing messages is full.
    fn may_read(&self) -> bool {
        !self.waiting.is_full() && self.options.table.has_room()
    }

    /// Receives the messages that have already arrived.
    fn receive_ready(&mut self) -> Option<Disconnection> {
        for _ in 0..RECEIVED_AT_ONCE_MAX {
            if !self.may_read() {
                break;
            }
            let next = self.stream.next().now_or_never()?;
            if let Some(disconnection) = self.received(next) {
                return Some(disconnection);
            }
        }
        None
    }

    /// Receives a message; calls are queued.
    fn received(&mut self, message: Option<zbus::Result<Message>>) -> Option<Disconnection> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Some(Disconnection::Failed(error.to_string())),
            None => {
                return Some(Disconnection::Failed(
                    "the bus closed the connection".to_owned(),
                ));
            }
        };
        match message.message_type() {
            Type::MethodCall => {
                if let Err(call) = self.waiting.push(message) {
                    let busy = Refusal::Busy(format!("{WAITING_MAX} of your calls are waiting"));
                    self.options.table.lock().refuse(call, busy);
                }
            }
            Type::MethodReturn | Type::Error => self.receive_answer(&message),
            _ => {}
        }
        None
    }

    fn receive_answer(&mut self, message: &Message) {
        let header = message.header();
        let Some(serial) = header.reply_serial() else {
            return;
        };
        if self.options.table.answered(serial, message) {
            return;
        }
        if let Some(closing) = &mut self.closing
            && closing.releasing == Some(serial)
        {
            closing.releasing = None;
        }
        if let Naming::Asked(asked, at) = self.naming
            && asked == serial
            && self.closing.is_none()
        {
            self.settle_name(at, message, &header);
        }
    }

    fn begin_to_close(&mut self) {
        self.changes_sent_at = None;
        let mut objects = self.options.table.lock();
        objects.flush_changes();
        objects.remove_tree("/");
        drop(objects);
        let name = match &self.naming {
            Naming::Settled(name) => name.clone(),
            Naming::Asked(_, at) => self.names.wanted.borrow().names.get(*at).cloned(),
            Naming::Waiting(_) | Naming::Retry(_) => None,
        };
        let owned = [self.previous_name.take(), name].into_iter().flatten();
        // Replies arrive in order: after the last one, all names are released.
        let releasing = owned
            .filter_map(|name| self.call_bus("ReleaseName", &name.as_ref()))
            .last();
        self.closing = Some(Closing {
            releasing,
            deadline: Instant::now() + CLOSE_DEADLINE,
        });
    }

    fn is_closed(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| {
            let is_quiet = closing.releasing.is_none() && self.sending.is_none();
            is_quiet || closing.deadline <= Instant::now()
        })
    }

    /// Queues a call of a method of the bus, after all messages that were emitted before.
    fn call_bus<B>(&self, member: &'static str, body: &B) -> Option<NonZeroU32>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = bus_call(member, body, None)?;
        let serial = call.serial();
        self.options.table.lock().push_raw(call);
        Some(serial)
    }
}

/// Waits for the current write; never completes if there is none.
async fn finished(sending: &mut Option<BoxFuture<'static, zbus::Result<()>>>) -> zbus::Result<()> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// Messages that are received before calls are processed, so that one call of a client does not wait for all calls of a
/// client that calls continuously.
const RECEIVED_AT_ONCE_MAX: usize = 1024;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
