//! The event loop that serves a [`BusConnection`] on one connected socket.
//!
//! Model: each round calls [`Handler::turn`] for due work, writes queued messages and passes received messages to
//! [`Handler::hear`]. When none of this is possible, the loop waits for all of its events at once.
//! Invariants: those of `super`. Nothing is read while the handler is busy or while too many octets wait to be written.
//! Limits: after [`BATCH_MAX`] messages the loop yields to other tasks.

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

use super::{BusConnection, Written, handshake::Connected, incoming::Inbound};

/// Receives the messages that arrive on a connection.
pub trait Handler: Send {
    /// Receives a message.
    fn hear(&mut self, message: Message);

    /// Does the work that is due and returns the time of the next due work. It is called after each batch of messages,
    /// after each [`BusConnection::nudge`], and at the returned time or earlier.
    fn turn(&mut self) -> Option<Instant> {
        None
    }

    /// A future that must complete before the socket is read again; `None` if reading may continue.
    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// Why [`run`] returned.
#[derive(Debug)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// The connection failed; the text says why.
    Failed(String),
}

/// Serves a connection until `stop` is cancelled or the socket fails.
pub async fn run<E: Handler>(
    connection: &BusConnection,
    connected: Connected,
    handler: &mut E,
    stop: &CancellationToken,
) -> Ended {
    let mut event_loop = EventLoop {
        connection,
        connected,
        handler,
        busy: None,
        writable: None,
        timer: Timer::default(),
    };
    let ended = match event_loop.until(stop).await {
        Ok(()) => Ended::Stopped,
        Err(error) => Ended::Failed(error.to_string()),
    };
    if let Ended::Stopped = ended {
        match timeout(CLOSE_MAX, event_loop.write_all()).await {
            // An error means that the bus has closed the connection, so nobody can receive these messages.
            Ok(_) => {}
            Err(_) => {
                tracing::warn!("the bus does not accept the last messages of a closing connection");
            }
        }
    }
    connection.clear();
    ended
}

struct EventLoop<'a, E> {
    connection: &'a BusConnection,
    connected: Connected,
    handler: &'a mut E,
    /// The future of [`Handler::busy`].
    busy: Option<BoxFuture<'static, ()>>,
    /// Completes when the socket accepts more octets.
    writable: Option<BoxFuture<'static, io::Result<()>>>,
    timer: Timer,
}

impl<E: Handler> EventLoop<'_, E> {
    async fn until(&mut self, stop: &CancellationToken) -> io::Result<()> {
        let mut stopped = pin!(stop.cancelled());
        loop {
            self.timer.set(self.handler.turn());
            self.write()?;
            self.busy = self.handler.busy();
            if self.receive() {
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

    /// Passes received messages to the handler; returns whether there was one.
    fn receive(&mut self) -> bool {
        let incoming = &mut self.connected.incoming;
        if !incoming.has_next() {
            return false;
        }
        let mut received = 0;
        while self.busy.is_none()
            && received < BATCH_MAX
            && self.connection.has_room()
            && let Some(inbound) = incoming.next()
        {
            match inbound {
                Inbound::Message(message) => self.handler.hear(message),
                Inbound::Unreadable(call, refusal) => self.connection.refuse(&call, &refusal),
            }
            received += 1;
            self.busy = self.handler.busy();
        }
        if incoming.is_empty() {
            self.connected.barrier.clear();
        }
        received > 0
    }

    /// Waits for an event, or reads from the socket.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.shared.wake.poll(context).is_ready()
            || self.timer.poll(context).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        if let Some(writable) = &mut self.writable
            && let Poll::Ready(taken) = writable.poll_unpin(context)
        {
            self.writable = None;
            return Poll::Ready(taken);
        }
        match &mut self.busy {
            Some(busy) => busy.poll_unpin(context).map(Ok),
            // Received messages wait because too many octets wait to be written.
            None if self.connected.incoming.has_next() => Poll::Pending,
            None => {
                self.connected.barrier.mark();
                let Connected { line, incoming, .. } = &mut self.connected;
                let read = line.poll_read_into(incoming, context);
                if read.is_pending() && incoming.is_empty() {
                    self.connected.barrier.clear();
                }
                read.map_err(io::Error::other)
            }
        }
    }

    /// Writes as much as the socket accepts, and waits for it to become writable for the rest.
    fn write(&mut self) -> io::Result<()> {
        if self.writable.is_none() && self.connection.write(&self.connected.line)? == Written::Some
        {
            self.writable = Some(self.connected.line.writable());
        }
        Ok(())
    }

    async fn write_all(&mut self) -> io::Result<()> {
        while self.connection.write(&self.connected.line)? == Written::Some {
            self.connected.line.writable().await?;
        }
        Ok(())
    }
}

/// The timer for [`Handler::turn`]. It is never moved to a later time: handlers return a later time with each call, and
/// resetting the timer each time would cost more than one call without due work.
#[derive(Debug, Default)]
struct Timer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
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

/// Messages that the handler receives before the loop yields to other tasks.
const BATCH_MAX: usize = 64;
/// How long the last messages may take to be written when the connection is stopped.
const CLOSE_MAX: Duration = Duration::from_secs(1);
