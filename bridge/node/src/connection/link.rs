//! The connections that peers open.
//!
//! Not here: accepting them (`acceptor.rs`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zocp_zmtp::{Connection, Event, Message, PublicKey};
use zocp_zre::LinkId;

use super::stream::{read_into, too_slow, write_out};
use super::{ConnectionContext, Input};
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
    let codec = security::router(context.keys.as_ref(), context.limits.clone());
    let greeted = async {
        let mut codec = codec?;
        let greeted = greet_link(&mut stream, &mut codec, remote, &context).await?;
        Ok((codec, greeted, stream.local_addr()?))
    };
    let ready = tokio::select! {
        greeted = timeout(context.handshake_max, greeted) => {
            greeted.unwrap_or_else(|_| Err(too_slow()))
        }
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
        if !context
            .tickets
            .arrive(ticket, key, Arrival { stream, codec })
        {
            let why = || String::from("its ticket is unknown, used or expired");
            let traffic = &context.traffic;
            traffic.reject(Rejection::Identity, Some(remote), why);
        }
        return;
    }
    context
        .report(Input::LinkReady {
            link,
            local,
            remote,
            identity,
            key,
            token: token.clone(),
        })
        .await;
    let why = serve(link, &mut stream, &mut codec, &context, &token).await;
    context.report(Input::LinkClosed { link, why }).await;
}

/// Reads a link until it closes; returns why it did.
async fn serve(
    link: LinkId,
    stream: &mut TcpStream,
    codec: &mut Connection,
    context: &ConnectionContext,
    token: &CancellationToken,
) -> String {
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
            return error.to_string();
        }
        let exchange = async {
            read_into(stream, codec).await?;
            write_out(stream, codec).await
        };
        tokio::select! {
            exchanged = exchange => ended = exchanged.err(),
            // The exchange is not cancel-safe, which does not matter when the connection ends.
            () = token.cancelled() => return String::from("closed by us"),
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
    loop {
        write_out(stream, codec).await?;
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
            _ => read_into(stream, codec).await?,
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

/// Batches of one link in the actor's queue: one that the actor handles, and one that is ready by then.
const BATCHES_MAX: usize = 2;

#[cfg(test)]
mod tests;
