//! Reading and writing one socket.
//!
//! Model: all connections of a thread share one buffer to read into, since it is used between two waits only.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use zocp_zmtp::{Connection, Event};

use super::handshake_time::HandshakeTime;

/// Sets a socket's options: small messages are sent at once, and the kernel notices when the other end is gone without
/// closing the connection, also while the peer's beacons still come.
pub(crate) fn prepare(stream: &TcpStream, silence_max: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let probes = socket2::TcpKeepalive::new()
        .with_time((silence_max / 2).max(KEEPALIVE_MIN))
        .with_interval((silence_max / 6).max(KEEPALIVE_MIN))
        .with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(silence_max))
}

/// Exchanges greeting and READY; returns the peer's identity.
pub(crate) async fn shake_hands(
    stream: &mut TcpStream,
    codec: &mut Connection,
    time: &mut HandshakeTime,
) -> io::Result<Bytes> {
    loop {
        write_out(stream, codec).await?;
        if let Some(Event::Ready { identity, .. }) = codec.poll_event() {
            return Ok(identity);
        }
        read_in_time(stream, codec, time).await?;
    }
}

/// As [`read_into`], as long as there is time for the handshake.
pub(crate) async fn read_in_time(
    stream: &mut TcpStream,
    codec: &mut Connection,
    time: &mut HandshakeTime,
) -> io::Result<()> {
    let read = timeout_at(time.until(), read_into(stream, codec)).await;
    time.received(read.unwrap_or_else(|_| Err(too_slow()))?);
    Ok(())
}

/// Waits for octets, and gives those of one read to the codec. Cancel-safe. After a read that does not fill the buffer
/// tokio knows that the socket is empty, and spares the next attempt.
pub(crate) async fn read_into(stream: &mut TcpStream, codec: &mut Connection) -> io::Result<usize> {
    poll_fn(|context| {
        with_scratch(|scratch| {
            let mut octets = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut octets))?;
            match octets.filled() {
                [] => Poll::Ready(Err(closed_by_peer())),
                octets => {
                    let taken = codec.handle_input(octets).map_err(io::Error::other);
                    Poll::Ready(taken.map(|()| octets.len()))
                }
            }
        })
    })
    .await
}

/// Writes all output of the codec: handshake and PONGs.
pub(crate) async fn write_out(stream: &TcpStream, codec: &mut Connection) -> io::Result<()> {
    while codec.output_len() > 0 {
        match stream.try_write(codec.output()) {
            Ok(len) => codec.consume_output(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads without waiting; `None` when there is nothing to read.
pub(crate) fn try_read(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.try_read(scratch) {
        Ok(0) => Err(closed_by_peer()),
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`try_read`]. A read that does not fill the buffer has emptied the socket, as [`read_into`] has it; so the next one
/// waits at once, without a call that finds nothing.
pub(crate) fn try_read_all(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<Option<usize>> {
    let mut read = None;
    let emptied = stream.try_io(Interest::READABLE, || {
        let (_, len) = recv(stream, &mut *scratch, RecvFlags::DONTWAIT)?;
        read = Some(len);
        match len < scratch.len() {
            // Tells tokio that the socket is empty. What comes meanwhile is an event of its own.
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    match (read, emptied) {
        (Some(0), _) => Err(closed_by_peer()),
        (Some(len), _) => Ok(Some(len)),
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        (None, emptied) => emptied.map(|()| None),
    }
}

pub(crate) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(READ_LEN, 0);
        read(scratch)
    })
}

pub(super) fn closed_by_peer() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer")
}

pub(super) fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")
}

/// The kernel counts in seconds.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// The most that one read takes: enough to batch a burst, little enough to be fair to others.
const READ_LEN: usize = 128 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
