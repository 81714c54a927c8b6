//! Accepts the connections of peers, and bounds what those cost that have not completed their handshake.
//!
//! Model: one task accepts. It takes a handshake slot first (`handshakes.rs`), on a secure mesh asks the rate limiter
//! (`handshake_limiter.rs`), and starts a task for the connection (`connection.rs`), which frees the slot when the
//! handshake is over.
//! Limits: those of the two modules; a handshake ends after [`Limits::handshake_max`](crate::Limits::handshake_max).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use zocp_zre::LinkId;

use crate::clock;
use crate::connection::{ConnectionContext, prepare, run_link};
use crate::handshake_limiter::{Decision, HandshakeLimiter};
use crate::handshakes::{HandshakeSlot, HandshakeSlots};
use crate::log_throttle::LogThrottle;
use crate::traffic_kinds::Rejection;

/// The sockets at which peers connect: one for each family of addresses, at the same port.
pub(crate) struct Mailbox {
    pub(crate) first: TcpListener,
    pub(crate) second: Option<TcpListener>,
}

impl Mailbox {
    /// The next connection. Cancel-safe.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(second) = &self.second else {
            return self.first.accept().await;
        };
        tokio::select! {
            accepted = self.first.accept() => accepted,
            accepted = second.accept() => accepted,
        }
    }
}

/// The state of the accepting task.
struct Acceptor {
    mailbox: Mailbox,
    context: ConnectionContext,
    slots: HandshakeSlots,
    /// On a secure mesh, where a handshake costs cryptography.
    limiter: Option<HandshakeLimiter>,
    crowded: LogThrottle,
    failed: LogThrottle,
}

impl Acceptor {
    /// The next connection that may shake hands.
    async fn next(&mut self) -> (TcpStream, SocketAddr, HandshakeSlot) {
        loop {
            let free = self.slots.next().await;
            let (stream, remote) = match self.mailbox.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // It may fail for a long time; a line for each attempt could fill the disk.
                    if self.failed.is_due(clock::now()) {
                        warn!(%error, "connections cannot be accepted; trying again");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            if !self.is_within_rate(remote).await {
                continue;
            }
            if let Some(slot) = free.of_address(remote.ip()) {
                return (stream, remote, slot);
            }
            let why = || String::from("too many of its address are half open");
            let traffic = &self.context.traffic;
            traffic.reject(Rejection::Handshake, Some(remote), why);
            if self.crowded.is_due(clock::now()) {
                warn!(%remote, "too many connections from this address do not say who they are");
            }
        }
    }

    /// Whether the rate limiter lets a connection shake hands; waits as long as it demands.
    async fn is_within_rate(&mut self, remote: SocketAddr) -> bool {
        let Some(limiter) = &mut self.limiter else {
            return true;
        };
        loop {
            match limiter.decide(clock::now(), remote.ip()) {
                Decision::Accept => return true,
                Decision::Wait(wait) => tokio::time::sleep(wait).await,
                Decision::Close { is_first } => {
                    let why = || String::from("its address connects too often");
                    let traffic = &self.context.traffic;
                    traffic.reject(Rejection::Rate, Some(remote), why);
                    if is_first {
                        warn!(%remote, "connections of this address come too often, and are closed");
                    }
                    return false;
                }
            }
        }
    }
}

/// Accepts connections until `connections` is cancelled, and serves each in a task of its own.
pub(crate) async fn accept(
    mailbox: Mailbox,
    context: ConnectionContext,
    tasks: TaskTracker,
    connections: CancellationToken,
    slots: HandshakeSlots,
    numbers: LinkNumbers,
) {
    let is_secure = context.keys.pair.is_some();
    let mut acceptor = Acceptor {
        mailbox,
        context: context.clone(),
        slots,
        limiter: is_secure.then(|| HandshakeLimiter::new(clock::now())),
        crowded: LogThrottle::default(),
        failed: LogThrottle::default(),
    };
    let serve = async {
        loop {
            let (stream, remote, slot) = acceptor.next().await;
            // If this fails, the connection is closed already, which its task finds out.
            let _ = prepare(&stream, context.silence_max);
            let link = numbers.next();
            let token = connections.child_token();
            tasks.spawn(run_link(link, stream, remote, slot, context.clone(), token));
        }
    };
    tokio::select! {
        () = serve => {}
        () = connections.cancelled() => {}
    }
}

/// The numbers of the connections that peers open, at whichever mailbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkNumbers(Arc<AtomicU64>);

impl LinkNumbers {
    fn next(&self) -> LinkId {
        LinkId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// After a failure such as a lack of file descriptors, until the next attempt.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
