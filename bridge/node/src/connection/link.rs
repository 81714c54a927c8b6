//! The connections that peers open.
//!
//! Not here: accepting them (`acceptor.rs`).

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use zocp_zmtp::{Connection, Event, Message, PublicKey};
use zocp_zre::{DialEnd, DialId, LinkId};

use super::dial::{end_of, serve_dial};
use super::handshake_time::HandshakeTime;
use super::stream::{read_in_time, read_into, too_slow, write_out};
use super::{BATCHES_MAX, ConnectionContext, Input};
use crate::clock;
use crate::handshakes::HandshakeSlot;
use crate::security;
use crate::tickets::{Arrival, Ticket};
use crate::traffic_kinds::Rejection;

/// Serves one link until it closes. `slot` is freed when the handshake is over.
pub(crate) async fn run_link(
    link: LinkId,
    mut stream: TcpStream,
    remote: SocketAddr,
    slot: HandshakeSlot,
    context: ConnectionContext,
    token: CancellationToken,
) {
    let codec = security::router(context.keys.pair.as_ref(), context.limits.clone());
    let greeted = async {
        let mut codec = codec?;
        let greeted = greet_link(&mut stream, &mut codec, remote, &context).await?;
        Ok((codec, greeted, stream.local_addr()?))
    };
    let ready = tokio::select! {
        greeted = greeted => greeted,
        () = token.cancelled() => return,
    };
    drop(slot);
    let Ok((mut codec, (identity, key), local)) = ready.inspect_err(|error| {
        if !context.is_old(Some(remote), error) {
            context
                .traffic
                .reject(Rejection::Handshake, Some(remote), || error.to_string());
            tracing::info!(%remote, %error, "a connection did not shake hands");
        }
    }) else {
        return;
    };
    if let Some(ticket) = Ticket::from_routing_id(&identity) {
        // protocol.md §9.3
        let codec = Box::new(codec);
        let arrival = Arrival::Connection { stream, codec };
        if !context.tickets.arrive(ticket, key, arrival) {
            let why = || String::from("its ticket is unknown, used or expired");
            let traffic = &context.traffic;
            traffic.reject(Rejection::Identity, Some(remote), why);
        }
        return;
    }
    let (turn, turned) = oneshot::channel();
    context
        .report(Input::LinkReady {
            link,
            local,
            remote,
            identity,
            key,
            token: token.clone(),
            turn,
        })
        .await;
    match serve(link, &mut stream, &mut codec, &context, &token, turned).await {
        Served::Closed(why) => context.report(Input::LinkClosed { link, why }).await,
        Served::Turned(dial) => {
            let ended = serve_dial(dial, stream, codec, &context, &token).await;
            let (end, why) = match ended {
                Ok(()) => (DialEnd::Closed, String::from("closed by us")),
                Err(error) => (end_of(&error), error.to_string()),
            };
            context.report(Input::DialClosed { dial, end, why }).await;
        }
    }
}

/// Why a link is no longer read as one.
enum Served {
    /// It is closed, for this reason.
    Closed(String),
    /// It is a dial from now on.
    Turned(DialId),
}

/// Reads a link until it closes, or until the actor wants to write on it.
async fn serve(
    link: LinkId,
    stream: &mut TcpStream,
    codec: &mut Connection,
    context: &ConnectionContext,
    token: &CancellationToken,
    turned: oneshot::Receiver<DialId>,
) -> Served {
    let mut turned = pin!(turned.fuse());
    let mut dial = None;
    let mut ended: Option<io::Error> = None;
    let shares = Arc::new(Semaphore::new(BATCHES_MAX));
    let mut reported_at = clock::now();
    loop {
        // Messages that came in one read with the handshake are delivered before the next read, and those that were
        // complete before an error as well.
        let messages = drain(codec);
        if codec.is_within_message()
            && messages.is_empty()
            && clock::now().saturating_duration_since(reported_at) >= PROGRESS_EACH
        {
            reported_at = clock::now();
            context.report(Input::LinkProgressed { link }).await;
        }
        // The semaphore is never closed.
        if !messages.is_empty()
            && let Ok(share) = Arc::clone(&shares).acquire_owned().await
        {
            let messages = Input::LinkMessages {
                link,
                messages,
                share,
            };
            context.report(messages).await;
        }
        if let Some(error) = ended {
            return Served::Closed(error.to_string());
        }
        if let Some(dial) = dial {
            return Served::Turned(dial);
        }
        let exchange = async {
            read_into(stream, codec).await?;
            write_out(stream, codec).await
        };
        tokio::select! {
            exchanged = exchange => ended = exchanged.err(),
            // The exchange is cancel-safe: what was read and what is to be written are in the codec.
            turned = &mut turned => dial = turned.ok(),
            () = token.cancelled() => return Served::Closed(String::from("closed by us")),
        }
    }
}

/// Exchanges the handshake of a link; on a secure mesh it asks the actor about the peer's key. Returns the peer's
/// identity and its key.
async fn greet_link(
    stream: &mut TcpStream,
    codec: &mut Connection,
    remote: SocketAddr,
    context: &ConnectionContext,
) -> io::Result<(Bytes, Option<PublicKey>)> {
    let mut proved = None;
    let mut time = HandshakeTime::accepting(context.handshake_max);
    loop {
        timeout_at(time.until(), write_out(stream, codec))
            .await
            .unwrap_or_else(|_| Err(too_slow()))?;
        match codec.poll_event() {
            Some(Event::Ready { identity, .. }) => return Ok((identity, proved)),
            Some(Event::PeerKey { key, identity }) => {
                proved = Some(key);
                if context.admits(remote, key, identity).await {
                    codec.accept();
                } else {
                    codec.refuse();
                    write_out(stream, codec).await?;
                    return Err(io::Error::other(format!("its key {key} is not trusted")));
                }
            }
            _ => read_in_time(stream, codec, &mut time).await?,
        }
    }
}

fn drain(codec: &mut Connection) -> Vec<Message> {
    std::iter::from_fn(|| codec.poll_event())
        .filter_map(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        })
        .collect()
}

/// The shortest time between two reports that a part of a message came.
const PROGRESS_EACH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
