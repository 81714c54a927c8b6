//! A bus connection for messages that are passed on as they are.
//!
//! Model: a [`Line`] is a queue of messages for the bus, there before, between and after connections.
//! [`live`] serves it on one connection: what is queued is written, as much at once as there is, and
//! what the bus says is given to an [`Ear`], in the bus's order.
//! Invariants: L1. one task writes, and nothing cancels a write: one dropped half way would corrupt the
//! connection. L2. what is queued goes out in that order. L3. when a line ends, what is queued goes out
//! first.
//! Limits: [`QUEUED_MAX`] octets wait to be written; above that nothing more is read, and who fills the
//! queue waits at [`Line::room`].
//! Not here: connections that serve a table of objects (`crate::served`).

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use zbus::{Connection, Message, MessageStream, connection::Builder};

use crate::errors::Refusal;

/// A queue of messages for the bus. Clones are the same line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, or to look at.
    wake: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    /// Also of those that are being written.
    octets: usize,
}

/// Who hears what the bus says on a line.
pub(crate) trait Ear: Send {
    /// A message.
    fn hear(&mut self, message: Message);

    /// Looks at what is due; called after each batch of messages, each nudge, and when it said.
    fn turn(&mut self) -> Option<Instant> {
        None
    }

    /// Nothing is read before this is done; `None` where it is.
    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// Why a line left its connection.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was to stop.
    Stopped,
    /// The connection failed.
    Failed(String),
}

/// A call to the bus itself; `None`, with a line in the log, if it cannot be made.
pub(crate) fn bus_call<B>(member: &'static str, body: &B) -> Option<Message>
where
    B: serde::Serialize + zbus::DynamicType,
{
    Message::method_call("/org/freedesktop/DBus", member)
        .destination("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .build(body)
        .inspect_err(|error| tracing::error!(%error, member, "a call to the bus cannot be made"))
        .ok()
}

/// Waits until something holds, looking again at each notice. Cancel safe.
pub(crate) async fn until(notice: &Notify, holds: impl Fn() -> bool) {
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

impl Line {
    /// Queues a message.
    pub(crate) fn push(&self, message: Message) {
        let mut queue = self.lock();
        queue.octets += cost(&message);
        queue.messages.push(message);
        drop(queue);
        self.nudge();
    }

    /// Queues a call to the bus itself; its serial.
    pub(crate) fn ask_bus<B>(&self, member: &'static str, body: &B) -> Option<NonZeroU32>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = bus_call(member, body)?;
        let serial = call.primary_header().serial_num();
        self.push(call);
        Some(serial)
    }

    /// Queues the refusal of a call, if it wants an answer.
    pub(crate) fn refuse(&self, call: &Message, refusal: &Refusal) {
        let flags = call.primary_header().flags();
        if flags.contains(zbus::message::Flags::NO_REPLY_EXPECTED) {
            return;
        }
        match Message::error(&call.header(), refusal.name()).build(&refusal.to_string()) {
            Ok(error) => self.push(error),
            Err(error) => tracing::error!(%error, "a refusal cannot be made"),
        }
    }

    /// Has the ear look at what is due.
    pub(crate) fn nudge(&self) {
        self.shared.wake.notify_one();
    }

    /// How much waits.
    pub(crate) fn octets(&self) -> usize {
        self.lock().octets
    }

    /// Whether little enough waits.
    pub(crate) fn has_room(&self) -> bool {
        self.octets() < QUEUED_MAX
    }

    /// Waits until little enough waits. Cancel safe.
    pub(crate) async fn room(&self) {
        until(&self.shared.room, || self.has_room()).await;
    }

    /// Forgets what is queued: there is no connection that it was meant for.
    pub(crate) fn clear(&self) {
        *self.lock() = Queue::default();
        self.shared.room.notify_waiters();
    }

    fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.lock().messages)
    }

    fn written(&self, octets: usize) {
        let mut queue = self.lock();
        queue.octets = queue.octets.saturating_sub(octets);
        drop(queue);
        self.shared.room.notify_waiters();
    }

    /// Plain data, whole between the steps of each method.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to a bus.
///
/// # Errors
/// When it cannot be reached, or does not answer in time.
pub(crate) async fn connect(address: &str) -> zbus::Result<MessageStream> {
    let stream = Builder::address(address).build_message_stream();
    timeout(CONNECT_MAX, stream)
        .await
        .unwrap_or_else(|_| Err(zbus::Error::Failure("no answer".to_owned())))
}

/// The unique name of a connection to a bus.
pub(crate) fn unique_name(stream: &MessageStream) -> Arc<str> {
    let connection = Connection::from(stream);
    let name = connection.unique_name().map(ToString::to_string);
    name.unwrap_or_default().into()
}

/// Serves a line until `stop`, or until the connection fails.
pub(crate) async fn live<E: Ear>(
    line: &Line,
    mut stream: MessageStream,
    ear: &mut E,
    stop: &CancellationToken,
) -> Ended {
    let connection = Connection::from(&stream);
    let mut writing: Option<BoxFuture<'static, (zbus::Result<()>, usize)>> = None;
    let ended = loop {
        let wake_at = ear.turn();
        if writing.is_none() {
            writing = write(&connection, line.take());
        }
        let busy = ear.busy();
        let may_read = line.has_room();
        // Every branch is cancel safe: streams, timers and notices keep their place, and the write
        // stays where it is.
        tokio::select! {
            (sent, octets) = finished(&mut writing) => {
                writing = None;
                line.written(octets);
                if let Err(error) = sent {
                    break Ended::Failed(error.to_string());
                }
            }
            message = next(&mut stream, busy), if may_read => {
                if let Err(reason) = hear_ready(message, &mut stream, ear) {
                    break Ended::Failed(reason);
                }
            }
            () = line.shared.wake.notified() => {}
            () = stop.cancelled() => break Ended::Stopped,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
    };
    if let Ended::Stopped = ended {
        let last = async {
            finished_or_none(&mut writing).await;
            // An error means that the bus is gone, and with it who would have listened.
            let _ = connection.send_all(&line.take()).await;
            connection.close().await.ok();
        };
        if timeout(CLOSE_MAX, last).await.is_err() {
            tracing::warn!("the bus does not take the last messages of a connection");
        }
    }
    line.clear();
    ended
}

type Writing = BoxFuture<'static, (zbus::Result<()>, usize)>;

fn write(connection: &Connection, messages: Vec<Message>) -> Option<Writing> {
    if messages.is_empty() {
        return None;
    }
    let connection = connection.clone();
    Some(
        async move {
            let octets = messages.iter().map(cost).sum();
            (connection.send_all(&messages).await, octets)
        }
        .boxed(),
    )
}

/// The next message, not before the ear has room for it.
async fn next(
    stream: &mut MessageStream,
    busy: Option<BoxFuture<'static, ()>>,
) -> Option<zbus::Result<Message>> {
    if let Some(busy) = busy {
        busy.await;
    }
    stream.next().await
}

/// Hears a message, and those that are there already: what they lead to goes out in one write.
fn hear_ready<E: Ear>(
    first: Option<zbus::Result<Message>>,
    stream: &mut MessageStream,
    ear: &mut E,
) -> Result<(), String> {
    let mut received = first;
    for left in (0..HEARD_AT_ONCE_MAX).rev() {
        match received {
            Some(Ok(message)) => ear.hear(message),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the bus closed the connection".to_owned()),
        }
        if left == 0 || ear.busy().is_some() {
            break;
        }
        match stream.next().now_or_never() {
            Some(next) => received = next,
            None => break,
        }
    }
    Ok(())
}

/// Waits for a write, for ever if there is none.
async fn finished(writing: &mut Option<Writing>) -> (zbus::Result<()>, usize) {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

async fn finished_or_none(writing: &mut Option<Writing>) {
    if let Some(writing) = writing.take() {
        writing.await.0.ok();
    }
}

fn cost(message: &Message) -> usize {
    message.data().len() + OVERHEAD
}

/// Octets that wait to be written.
const QUEUED_MAX: usize = 16 << 20;
/// What a message takes beside its octets.
const OVERHEAD: usize = 256;
/// Then others get their turn. As many as zbus keeps for us.
const HEARD_AT_ONCE_MAX: usize = 64;
const CONNECT_MAX: Duration = Duration::from_secs(5);
const CLOSE_MAX: Duration = Duration::from_secs(1);
