//! Descriptors that pass themselves between two nodes of one machine, instead of being relayed.
//!
//! Model: each node that knows channels listens at an abstract Unix socket (`server`), whose name its HELLO has
//! (`name`). Whoever has a ticket of a peer of this machine shows it there; then one of the two *gives* a descriptor and
//! the other *takes* it, which of the two follows from what the ticket is for. That connection is a [`Handover`]
//! (`socket` moves its octets). Everything else, and what does not succeed, goes over a channel.
//! Invariants: HANDOVER-1. Both ends see that the other is a process of the same user or of root, by what the kernel says
//! of it, before anything is shown. HANDOVER-2. A ticket that is shown here is used up, like one that opens a channel;
//! one that was not issued for it stays good for a channel. HANDOVER-3. A peer names no socket of anybody else: a name is
//! 32 hex digits behind a prefix that only nodes have, and only a peer with an address of this machine is looked for.
//! Limits: [`HANDOVER_TIME_MAX`] for one; those of `server`.
//! Not here: what is passed, and to whom (`zocp_relay`, the bridge's streams).
//! Spec: docs/reference/protocol.md §9.10, unix(7)

mod name;
mod server;
mod socket;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

pub use self::name::LocalName;
pub(crate) use self::server::{HandoverServer, serve};
use self::socket::{is_trusted, receive, receive_exactly, send};
use crate::tickets::Ticket;

/// The header of a HELLO that says where its node takes and gives descriptors. protocol.md §9.10
pub const HEADER_LOCAL: &str = "X-ZOCP-LOCAL";

/// A connection between two nodes of one machine whose ticket is redeemed: one end gives a descriptor.
#[derive(Debug)]
pub struct Handover {
    socket: UnixStream,
}

impl Handover {
    /// Connects to a node of this machine and shows a ticket.
    ///
    /// # Errors
    /// Nobody listens there, or not in this network namespace; it is another user; the ticket is not good for this.
    pub(crate) async fn open(name: &LocalName, ticket: Ticket) -> io::Result<Self> {
        in_time(async {
            let socket = name.connect()?;
            if !is_trusted(&socket)? {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            send(&socket, &ticket.routing_id(), None).await?;
            receive_exactly(&socket, [READY]).await?;
            Ok(Self { socket })
        })
        .await
    }

    /// A connection of this machine that has shown its ticket.
    pub(crate) const fn of(socket: UnixStream) -> Self {
        Self { socket }
    }

    /// Gives a descriptor, and waits until the other end has it.
    ///
    /// # Errors
    /// The other end is gone, or no descriptors may be under way.
    pub async fn give(self, fd: impl AsFd) -> io::Result<()> {
        in_time(async {
            send(&self.socket, &[GIVEN], Some(fd.as_fd())).await?;
            receive_exactly(&self.socket, [TAKEN]).await
        })
        .await
    }

    /// Takes the descriptor that the other end gives.
    ///
    /// # Errors
    /// The other end is gone or gives none; this process has too many.
    pub async fn take(self) -> io::Result<OwnedFd> {
        in_time(async {
            let mut octet = [0];
            let (_, fd) = receive(&self.socket, &mut octet).await?;
            let fd = fd.filter(|_| octet == [GIVEN]);
            let fd = fd.ok_or(io::ErrorKind::InvalidData)?;
            send(&self.socket, &[TAKEN], None).await?;
            Ok(fd)
        })
        .await
    }
}

async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(HANDOVER_TIME_MAX, step).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The ticket is good.
const READY: u8 = 0;
/// With a descriptor.
const GIVEN: u8 = 1;
/// The descriptor is there.
const TAKEN: u8 = 2;
/// For each step of a handover: the other end is on this machine and waits for nobody.
const HANDOVER_TIME_MAX: Duration = Duration::from_secs(2);
