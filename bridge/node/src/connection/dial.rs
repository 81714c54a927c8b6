//! The connections that this node opens.
//!
//! Not here: writing to them (`actor/dials.rs`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use zocp_zmtp::Connection;
use zocp_zre::{DialEnd, DialId, NodeKey};

use super::handshake_time::HandshakeTime;
use super::stream::{prepare, shake_hands, too_slow, try_read, with_scratch};
use super::{BATCHES_MAX, ConnectionContext, Input, Outgoing};
use crate::security;

/// Connects to a peer's mailbox, and serves the reading side until the connection closes.
pub(crate) async fn run_dial(
    dial: DialId,
    (endpoint, key): (String, Option<NodeKey>),
    identity: [u8; 17],
    context: ConnectionContext,
    token: CancellationToken,
) {
    // When this node closed the connection, the actor has forgotten the dial and ignores the report.
    let codec = security::dealer(&context.keys, key, &identity, context.limits.clone());
    let ended = dial_until_closed(dial, &endpoint, codec, &context, &token).await;
    let (end, why) = match ended {
        Ok(()) => (DialEnd::Closed, String::from("closed by us")),
        Err(error) => {
            context.is_old(endpoint.parse().ok(), &error);
            (end_of(&error), error.to_string())
        }
    };
    context.report(Input::DialClosed { dial, end, why }).await;
}

async fn dial_until_closed(
    dial: DialId,
    endpoint: &str,
    codec: io::Result<Connection>,
    context: &ConnectionContext,
    token: &CancellationToken,
) -> io::Result<()> {
    let mut codec = codec?;
    let (handshake_max, silence_max) = (context.handshake_max, context.silence_max);
    let connected = connect(endpoint, &mut codec, handshake_max, silence_max);
    let stream = tokio::select! {
        stream = connected => stream?,
        () = token.cancelled() => return Ok(()),
    };
    serve_dial(dial, stream, codec, context, token).await
}

/// Gives the writing half of a connection to the actor, and the octets that come, until the connection closes.
pub(super) async fn serve_dial(
    dial: DialId,
    stream: TcpStream,
    codec: Connection,
    context: &ConnectionContext,
    token: &CancellationToken,
) -> io::Result<()> {
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let stream = Arc::new(stream);
    let shares = Arc::new(Semaphore::new(BATCHES_MAX));
    let full = Arc::new(Notify::new());
    let outgoing = Box::new(Outgoing {
        codec,
        stream: Arc::clone(&stream),
        full: Arc::clone(&full),
        waiting: false,
    });
    context
        .report(Input::DialReady {
            dial,
            local,
            remote,
            outgoing,
        })
        .await;
    loop {
        // Cancel-safe: each branch only waits; reading happens after it won.
        tokio::select! {
            readable = stream.readable() => readable?,
            () = full.notified() => {
                tokio::select! {
                    writable = stream.writable() => writable?,
                    () = token.cancelled() => return Ok(()),
                }
                context.report(Input::DialWritable { dial }).await;
                continue;
            }
            () = token.cancelled() => return Ok(()),
        }
        let octets = with_scratch(|scratch| {
            try_read(&stream, scratch).map(|len| len.map(|len| scratch[..len].to_vec()))
        })?;
        // The semaphore is never closed.
        if let Some(octets) = octets
            && let Ok(share) = Arc::clone(&shares).acquire_owned().await
        {
            let input = Input::DialOctets {
                dial,
                octets,
                share,
            };
            context.report(input).await;
        }
    }
}

/// Opens a connection and shakes hands, within `handshake_max`, or longer on a slow line ([`HandshakeTime`]); a host name is looked up, and each of its addresses
/// tried.
pub(crate) async fn open(
    endpoint: &str,
    mut codec: Connection,
    handshake_max: Duration,
    silence_max: Duration,
) -> io::Result<(TcpStream, Connection)> {
    let stream = connect(endpoint, &mut codec, handshake_max, silence_max).await?;
    Ok((stream, codec))
}

async fn connect(
    endpoint: &str,
    codec: &mut Connection,
    handshake_max: Duration,
    silence_max: Duration,
) -> io::Result<TcpStream> {
    let mut time = HandshakeTime::dialing(handshake_max);
    let connected = timeout_at(time.until(), TcpStream::connect(endpoint)).await;
    let mut stream = connected.unwrap_or_else(|_| Err(too_slow()))?;
    prepare(&stream, silence_max)?;
    shake_hands(&mut stream, codec, &mut time).await?;
    Ok(stream)
}

pub(super) fn end_of(error: &io::Error) -> DialEnd {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialEnd::Refused,
        io::ErrorKind::TimedOut => DialEnd::TimedOut,
        // The codec's errors.
        io::ErrorKind::Other => DialEnd::Protocol,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => DialEnd::Closed,
        _ => DialEnd::Unreachable,
    }
}
