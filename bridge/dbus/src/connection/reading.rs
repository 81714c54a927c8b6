//! Reads from a socket into the decoder of messages.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
};

use super::{error::ConnectError, incoming::Incoming, socket::Socket};

/// Waits until octets arrive and passes them to the decoder.
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
            let closed = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the bus closed the connection",
            );
            return Poll::Ready(Err(closed.into()));
        }
        let fed = incoming.feed(&scratch[..received.len], received.descriptors);
        Poll::Ready(fed.map_err(|error| ConnectError::Refused(error.to_string())))
    })
}

thread_local! {
    /// One buffer for each thread instead of each connection: no read keeps it across a wait.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Size of the read buffer: large enough to read a message of 64 KiB at once.
const READ_LEN: usize = 128 << 10;
