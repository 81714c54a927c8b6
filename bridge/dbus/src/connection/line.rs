//! The way to a bus: a socket, or none, where the bus is a part of this process.
//!
//! Model: a bus within the process takes messages at once, whatever waits for whom, and gives them without a copy of the
//! kernel. So nothing is ever partly written, and nobody waits until it is writable.

use std::{
    io,
    os::fd::AsFd,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use zocp_bus::{Attached, RawMessage};

use super::{
    error::ConnectError,
    incoming::Incoming,
    queue::{Queue, Waiting, Written},
    reading::poll_read_into,
    socket::Socket,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Line {
    Socket(Arc<Socket>),
    Within(Attached),
}

impl Line {
    /// Writes as much as the bus accepts.
    pub(super) fn write(&self, queue: &mut Queue) -> io::Result<Written> {
        match self {
            Self::Socket(socket) => queue.write(socket),
            Self::Within(bus) => {
                let messages = queue.take().into_iter().map(raw);
                let messages = messages.collect::<io::Result<Vec<_>>>()?;
                if !messages.is_empty() {
                    bus.send(messages).map_err(io::Error::other)?;
                }
                Ok(Written::All)
            }
        }
    }

    /// Completes when the bus accepts more octets.
    pub(super) fn writable(&self) -> BoxFuture<'static, io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.writable().boxed(),
            Self::Within(_) => std::future::ready(Ok(())).boxed(),
        }
    }

    /// Passes what has arrived to the decoder, or waits for it.
    pub(super) fn poll_read_into(
        &self,
        incoming: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectError>> {
        match self {
            Self::Socket(socket) => poll_read_into(socket, incoming, context),
            Self::Within(bus) => poll_take(bus, incoming, context),
        }
    }
}

/// A message with its descriptors, as a bus within the process takes it.
fn raw(message: Waiting) -> io::Result<RawMessage> {
    let fds = message.holder.as_ref().map(|holder| holder.data().fds());
    let copies = fds.map(|fds| {
        let copies = fds.iter().map(|fd| fd.as_fd().try_clone_to_owned());
        copies.collect::<io::Result<_>>()
    });
    Ok(RawMessage::new(message.octets, copies.transpose()?))
}

fn poll_take(
    bus: &Attached,
    incoming: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Result<(), ConnectError>> {
    for count in 0..TAKEN_MAX {
        match bus.poll_receive(context) {
            Poll::Ready(Some(message)) => incoming.take(&message)?,
            _ if count > 0 => break,
            Poll::Ready(None) => {
                let ended = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the bus closed the connection",
                );
                return Poll::Ready(Err(ended.into()));
            }
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(()))
}

/// Messages that are taken at once.
const TAKEN_MAX: usize = 64;
