//! Connections that peers open, until they have said who they are.
//!
//! Model: a connection is *half open* from when it is accepted until its task has shaken hands, and
//! holds a place among all and one among those of its address meanwhile.
//! Limits: [`Limits::handshakes_max`]; above it nothing is accepted, and TCP has further ones wait.
//! [`Limits::handshakes_per_address_max`]; above it one is closed at once, so that nobody keeps all others
//! waiting. Both end after [`Limits::handshake_max`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use zocp_zre::LinkId;

use crate::config::Limits;
use crate::connection::{Wiring, prepare, run_link};
use crate::door::{Door, Verdict};
use crate::share::{Place, Places, Seldom};
use crate::start::std_now;
use crate::traffic::Turned;

/// The places of connections that are half open.
#[derive(Debug, Clone)]
pub(crate) struct HalfOpen {
    all: Arc<Semaphore>,
    of_addresses: Places,
}

/// The places that one connection holds.
pub(crate) struct Held {
    _of_all: OwnedSemaphorePermit,
    _of_its_address: Place,
}

/// Who watches the mailbox.
struct Guard {
    /// On a secure mesh.
    door: Option<Door>,
    /// What was said is said again only after a while.
    crowded: Seldom,
    failed: Seldom,
}

impl HalfOpen {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.handshakes_max)),
            of_addresses: Places::new(limits.handshakes_per_address_max),
        }
    }

    /// The next connection that may be half open.
    async fn next(
        &self,
        mailbox: &TcpListener,
        wiring: &Wiring,
        guard: &mut Guard,
    ) -> (TcpStream, SocketAddr, Held) {
        loop {
            // The semaphore is never closed.
            let Ok(of_all) = Arc::clone(&self.all).acquire_owned().await else {
                return std::future::pending().await;
            };
            let (stream, remote) = match mailbox.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // It fails many times then; a log that fills the disk would be one fault more.
                    if guard.failed.is_due(std_now()) {
                        warn!(%error, "connections cannot be accepted; trying again");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            if let Some(door) = &mut guard.door
                && !may_knock(door, remote, wiring).await
            {
                continue;
            }
            if let Some(of_its_address) = self.of_addresses.take(remote.ip()) {
                let held = Held {
                    _of_all: of_all,
                    _of_its_address: of_its_address,
                };
                return (stream, remote, held);
            }
            let why = || String::from("too many of its address are half open");
            wiring
                .traffic
                .turn_away(Turned::Handshake, Some(remote), why);
            if guard.crowded.is_due(std_now()) {
                warn!(%remote, "too many connections from this address do not say who they are");
            }
        }
    }
}

/// Accepts connections until the node ends.
pub(crate) async fn accept(
    mailbox: TcpListener,
    wiring: Wiring,
    tasks: TaskTracker,
    connections: CancellationToken,
    half_open: HalfOpen,
) {
    let mut next = 0;
    let mut guard = Guard {
        door: wiring.keys.is_some().then(|| Door::new(std_now())),
        crowded: Seldom::default(),
        failed: Seldom::default(),
    };
    let serve = async {
        loop {
            let (stream, remote, held) = half_open.next(&mailbox, &wiring, &mut guard).await;
            // Failing means that it is closed already, which its task finds out.
            let _ = prepare(&stream, wiring.silence_max);
            let link = LinkId(next);
            next += 1;
            let token = connections.child_token();
            tasks.spawn(run_link(link, stream, remote, held, wiring.clone(), token));
        }
    };
    tokio::select! {
        () = serve => {}
        () = connections.cancelled() => {}
    }
}

/// Whether a connection on a secure mesh may shake hands; waits until it is its turn.
async fn may_knock(door: &mut Door, remote: SocketAddr, wiring: &Wiring) -> bool {
    loop {
        match door.knock(std_now(), remote.ip()) {
            Verdict::Come => return true,
            Verdict::Wait(wait) => tokio::time::sleep(wait).await,
            Verdict::TooOften { is_new } => {
                let why = || String::from("its address connects too often");
                wiring.traffic.turn_away(Turned::Rate, Some(remote), why);
                if is_new {
                    warn!(%remote, "connections of this address come too often, and are closed");
                }
                return false;
            }
        }
    }
}

/// After a failure such as no free descriptors, for others to free some.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
