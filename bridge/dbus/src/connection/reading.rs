//! Reads what a socket has into the decoder of messages.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
};

use super::{error::ConnectError, incoming::Incoming, socket::Socket};

/// Waits for octets and takes what is there.
pub(super) async fn read_into(
    socket: &Socket,
    incoming: &mut Incoming,
) -> Result<(), ConnectError> {
    poll_fn(|context| poll_read_into(socket, incoming, context)).await
}

pub(super) fn poll_read_into(
    socket: &Socket,
    incoming: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Result<(), ConnectError>> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(READ_LEN, 0);
        let received = ready!(socket.poll_read(context, scratch))?;
        if received.len == 0 {
            let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "the bus hung up");
            return Poll::Ready(Err(closed.into()));
        }
        let fed = incoming.feed(&scratch[..received.len], received.descriptors);
        Poll::Ready(fed.map_err(|error| ConnectError::Refused(error.to_string())))
    })
}

thread_local! {
    /// One buffer a thread, not one a connection: it is used between two waits only.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Octets that one read takes: a message of 64 KiB is one.
const READ_LEN: usize = 128 << 10;
