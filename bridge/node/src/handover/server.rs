//! Takes the tickets that nodes of this machine show.
//!
//! Model: a task accepts, and starts one for each connection, which reads the ticket and gives the connection to whoever
//! issued it.
//! Limits: [`HANDOVERS_MAX`] connections that have not shown their ticket; further ones wait in the kernel's queue. Those
//! of other users are closed at once.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::name::LocalName;
use super::socket::{is_trusted, receive_all, send};
use super::{READY, in_time};
use crate::clock;
use crate::log_throttle::LogThrottle;
use crate::tickets::{Ticket, TicketTable};

/// A socket at which nodes of this machine show tickets.
pub(crate) struct HandoverServer {
    pub(crate) name: LocalName,
    listener: UnixListener,
}

impl HandoverServer {
    /// Listens at a name that nobody else has.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn open(name: LocalName) -> io::Result<Self> {
        let listener = name.listen()?;
        Ok(Self { name, listener })
    }
}

impl fmt::Debug for HandoverServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandoverServer({})", self.name)
    }
}

/// Accepts until `stop` is cancelled.
pub(crate) async fn serve(server: HandoverServer, tickets: TicketTable, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(HANDOVERS_MAX));
    let mut failed = LogThrottle::default();
    let accepting = async {
        // The semaphore is never closed.
        while let Ok(permit) = room.clone().acquire_owned().await {
            match server.listener.accept().await {
                Ok((socket, _)) => {
                    let (tickets, stop) = (tickets.clone(), stop.clone());
                    tokio::spawn(async move {
                        let admitted = admit(socket, &tickets);
                        let admitted = stop.run_until_cancelled(in_time(admitted)).await;
                        if let Some(Err(error)) = admitted {
                            debug!(%error, "a program of this machine showed no ticket");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    if failed.is_due(clock::now()) {
                        warn!(%error, "connections of this machine cannot be accepted; trying again");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn admit(socket: UnixStream, tickets: &TicketTable) -> io::Result<()> {
    if !is_trusted(&socket)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let identity: [u8; 17] = receive_all(&socket).await?;
    let ticket = Ticket::from_routing_id(&identity).ok_or(io::ErrorKind::InvalidData)?;
    let claim = tickets.redeem_here(ticket);
    let claim = claim.ok_or(io::ErrorKind::PermissionDenied)?;
    send(&socket, &[READY], None).await?;
    // Whoever issued it may be gone.
    claim.hand_over(socket);
    Ok(())
}

/// Connections that have not shown their ticket.
const HANDOVERS_MAX: usize = 64;
/// After a failure such as a lack of file descriptors, until the next attempt.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::socket::receive_exactly;
    use super::super::{HANDOVER_TIME_MAX, Handover};
    use super::*;

    fn served(octet: u8) -> (LocalName, CancellationToken) {
        let stop = CancellationToken::new();
        let server = HandoverServer::open(LocalName::new([octet; 16])).unwrap();
        let name = server.name;
        tokio::spawn(serve(server, TicketTable::default(), stop.clone()));
        (name, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_and_shows_no_ticket_is_closed_in_time() {
        let (name, _stop) = served(0xa1);
        let began = Instant::now();
        let silent = name.connect().unwrap();
        let ended = receive_exactly(&silent, [READY]).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(began.elapsed() >= HANDOVER_TIME_MAX);
    }

    #[tokio::test]
    async fn a_ticket_that_is_not_good_is_refused() {
        let (name, _stop) = served(0xa2);
        let opened = Handover::open(&name, Ticket::new([1; 16])).await;
        assert!(opened.is_err());
        // Neither is what is none.
        let socket = name.connect().unwrap();
        send(&socket, &[1; 17], None).await.unwrap();
        let ended = receive_exactly(&socket, [READY]).await;
        assert!(ended.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_may_wait_and_the_next_one_is_served_behind_them() {
        let (name, stop) = served(0xa3);
        let silent: Vec<_> = (0..HANDOVERS_MAX)
            .map(|_| name.connect().unwrap())
            .collect();
        let opened = Handover::open(&name, Ticket::new([1; 16]));
        // It is refused, and not before the others are.
        let refused = opened.await.unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                io::ErrorKind::TimedOut | io::ErrorKind::UnexpectedEof
            ),
            "{refused}"
        );
        drop(silent);
        stop.cancel();
        tokio::task::yield_now().await;
        // A queue that nobody serves takes so many.
        let server = HandoverServer::open(LocalName::new([0xa4; 16])).unwrap();
        let waiting: Vec<_> = (0..=128)
            .map_while(|_| server.name.connect().ok())
            .collect();
        assert!(waiting.len() >= 128, "{}", waiting.len());
        let refused = server.name.connect().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
}
