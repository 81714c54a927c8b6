//! Serving a line on one connection.
//!
//! Model: one loop: the ear looks at what is due, what is queued is written, what came is heard, and
//! when there is nothing of all that it waits, for everything at once.
//! Invariants: as those of the line. Nothing is read while the ear is busy or too much waits to be written.
//! Limits: [`HEARD_AT_ONCE_MAX`] messages, then others get their turn.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use zbus::Message;

use super::{
    BusConnection, Written, handshake::Connected, incoming::Came, reading::poll_read_into,
};

/// Who hears what the bus says on a line.
pub trait Handler: Send {
    /// A message.
    fn hear(&mut self, message: Message);

    /// Looks at what is due; called after each batch of messages, each nudge, and when it said, or before.
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
pub enum Ended {
    /// It was to stop.
    Stopped,
    /// The connection failed.
    Failed(String),
}

/// Serves a line until `stop`, or until the connection fails.
pub async fn run<E: Handler>(
    line: &BusConnection,
    connected: Connected,
    ear: &mut E,
    stop: &CancellationToken,
) -> Ended {
    let mut living = Living {
        line,
        connected,
        ear,
        busy: None,
        room: None,
        alarm: Alarm::default(),
    };
    let ended = match living.until(stop).await {
        Ok(()) => Ended::Stopped,
        Err(error) => Ended::Failed(error.to_string()),
    };
    if let Ended::Stopped = ended {
        match timeout(CLOSE_MAX, living.write_all()).await {
            // An error means that the bus is gone, and with it who would have listened.
            Ok(_) => {}
            Err(_) => {
                tracing::warn!("the bus does not take the last messages of a connection");
            }
        }
    }
    line.clear();
    ended
}

struct Living<'a, E> {
    line: &'a BusConnection,
    connected: Connected,
    ear: &'a mut E,
    /// What the ear waits for.
    busy: Option<BoxFuture<'static, ()>>,
    /// Until the socket takes more.
    room: Option<BoxFuture<'static, io::Result<()>>>,
    alarm: Alarm,
}

impl<E: Handler> Living<'_, E> {
    async fn until(&mut self, stop: &CancellationToken) -> io::Result<()> {
        let mut stopped = pin!(stop.cancelled());
        loop {
            self.alarm.set(self.ear.turn());
            self.write()?;
            self.busy = self.ear.busy();
            if self.hear() {
                if self.connected.incoming.has_next() {
                    yield_now().await;
                }
                continue;
            }
            let is_stopped = poll_fn(|context| {
                if stopped.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Ok(true));
                }
                self.poll_wait(context).map_ok(|()| false)
            });
            if is_stopped.await? {
                return Ok(());
            }
        }
    }

    /// Hears what came and may be heard; whether there was anything.
    fn hear(&mut self) -> bool {
        let incoming = &mut self.connected.incoming;
        if !incoming.has_next() {
            return false;
        }
        let mut heard = 0;
        while self.busy.is_none()
            && heard < HEARD_AT_ONCE_MAX
            && self.line.has_room()
            && let Some(came) = incoming.next()
        {
            match came {
                Came::Message(message) => self.ear.hear(message),
                Came::Unreadable(call, refusal) => self.line.refuse(&call, &refusal),
            }
            heard += 1;
            self.busy = self.ear.busy();
        }
        if incoming.is_empty() {
            self.connected.gauge.clear();
        }
        heard > 0
    }

    /// Waits until something is to be done, or reads what came.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.shared.wake.poll(context).is_ready() || self.alarm.poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Some(room) = &mut self.room
            && let Poll::Ready(taken) = room.poll_unpin(context)
        {
            self.room = None;
            return Poll::Ready(taken);
        }
        match &mut self.busy {
            Some(busy) => busy.poll_unpin(context).map(Ok),
            // What came and was not heard waits for room in the queue.
            None if self.connected.incoming.has_next() => Poll::Pending,
            None => {
                self.connected.gauge.mark();
                let Connected {
                    socket, incoming, ..
                } = &mut self.connected;
                let read = poll_read_into(socket, incoming, context);
                if read.is_pending() && incoming.is_empty() {
                    self.connected.gauge.clear();
                }
                read.map_err(io::Error::other)
            }
        }
    }

    /// Writes what the socket takes, and has it tell when it takes the rest.
    fn write(&mut self) -> io::Result<()> {
        if self.room.is_none() && self.line.write(&self.connected.socket)? == Written::Some {
            self.room = Some(self.connected.socket.writable().boxed());
        }
        Ok(())
    }

    async fn write_all(&mut self) -> io::Result<()> {
        while self.line.write(&self.connected.socket)? == Written::Some {
            self.connected.socket.writable().await?;
        }
        Ok(())
    }
}

/// The next moment at which the ear wants to look. It is not put off: the moments that ears say come
/// later with each call, and setting a timer each time costs more than looking once for nothing.
#[derive(Debug, Default)]
struct Alarm {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, due: Option<Instant>) {
        let Some(due) = due else { return };
        if self.at.is_some_and(|at| at <= due) {
            return;
        }
        self.at = Some(due);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(due),
            None => self.sleep = Some(Box::pin(sleep_until(due))),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.at.is_some() => {
                ready!(sleep.poll_unpin(context));
                self.at = None;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

/// Messages that are heard before others get their turn.
const HEARD_AT_ONCE_MAX: usize = 64;
const CLOSE_MAX: Duration = Duration::from_secs(1);
