//! The TCP connections of the mesh: the tasks that serve them, and what those tell the actor.
//!
//! Model: a *link* is a connection that a peer opened; this node is its ROUTER, and receives all that the peer sends
//! there (`link.rs`). A *dial* is a connection that this node opened; it is the DEALER, and sends everything there
//! (`dial.rs`). The task of a link owns its socket and codec. The task of a dial connects and shakes hands, then gives
//! the codec to the actor, which writes, and only reads and waits from then on. A link over which this node is to send
//! too becomes a dial: its task gives the codec to the actor and does what the task of a dial does.
//! Invariants: TCP-1. The messages of a link reach the actor in order, between `LinkReady` and `LinkClosed`. TCP-2. The
//! task of a connection ends when its token is cancelled or its socket closes; a dial reports that once, and so does a
//! link whose handshake was complete; a link that has become a dial reports as a dial. TCP-3. A connection has at most
//! `BATCHES_MAX` batches in the actor's queue, so a peer that sends without end delays others by as much, not by the
//! whole queue.
//! Limits: one read is at most `READ_LEN` octets, so a batch is bounded; the actor's queue is bounded, and when it is
//! full nothing is read, so that TCP holds the peer back. Handshakes have a deadline.
//! Spec: 23/ZMTP; 36/ZRE "Interconnection model"; docs/reference/protocol.md §2.1.

mod dial;
mod handshake_time;
mod link;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zocp_zmtp::{Connection, Message, PublicKey};
use zocp_zre::{DialEnd, DialId, LinkId};

pub(crate) use self::dial::{open, run_dial};
pub(crate) use self::handshake_time::{HandshakeTime, LONGEST as HANDSHAKE_LONGEST};
pub(crate) use self::link::run_link;
pub(crate) use self::stream::{
    prepare, read_into, shake_hands, try_read_all, with_scratch, write_out,
};
use crate::clock;
use crate::log_throttle::AddressLogThrottle;
use crate::security::Keys;
use crate::tickets::{Ticket, TicketTable};
use crate::traffic::Traffic;
use crate::traffic_kinds::Rejection;

/// What the tasks of connections tell the actor.
pub(crate) enum Input {
    /// A link has completed its handshake.
    LinkReady {
        link: LinkId,
        local: SocketAddr,
        remote: SocketAddr,
        identity: Bytes,
        /// On a secure mesh, the key that the peer proved to have.
        key: Option<PublicKey>,
        token: CancellationToken,
        /// Has the task give its writing half to the actor: then the link is also a dial, with this number.
        turn: oneshot::Sender<DialId>,
    },
    /// On a secure mesh: a peer proved that it has a key, and waits for the decision.
    Authorize {
        remote: SocketAddr,
        pending: PendingAuthorization,
    },
    /// Messages of one read.
    LinkMessages {
        link: LinkId,
        messages: Vec<Message>,
        /// The link's share of the actor's queue; given back when the actor has taken the messages.
        share: OwnedSemaphorePermit,
    },
    /// A part of a message was received.
    LinkProgressed { link: LinkId },
    /// A link is closed.
    LinkClosed { link: LinkId, why: String },
    /// A dial has completed its handshake, or a link has become one.
    DialReady {
        dial: DialId,
        local: SocketAddr,
        remote: SocketAddr,
        outgoing: Box<Outgoing>,
    },
    /// Octets that the peer sent on a dial: PINGs of ZMTP, and messages where both nodes send on it.
    DialOctets {
        dial: DialId,
        octets: Vec<u8>,
        /// The dial's share of the actor's queue; given back when the actor has handled the octets.
        share: OwnedSemaphorePermit,
    },
    /// The socket of a dial was full and takes octets again.
    DialWritable { dial: DialId },
    /// A dial failed, or is closed.
    DialClosed {
        dial: DialId,
        end: DialEnd,
        why: String,
    },
}

/// A peer of a secure mesh that proved its key and waits for the decision about it.
pub(crate) struct PendingAuthorization {
    pub(crate) key: PublicKey,
    pub(crate) identity: Bytes,
    /// Takes the decision; dropping it refuses the peer.
    pub(crate) decision: oneshot::Sender<bool>,
}

/// The writing half of a dial, which the actor owns.
pub(crate) struct Outgoing {
    pub(crate) codec: Connection,
    stream: Arc<TcpStream>,
    full: Arc<Notify>,
    waiting: bool,
}

impl Outgoing {
    /// Writes as much of the codec's output as the socket takes, and returns how many octets. When some are left,
    /// [`Input::DialWritable`] follows.
    ///
    /// # Errors
    /// Those of the socket: the connection is lost.
    pub(crate) fn flush(&mut self) -> io::Result<usize> {
        let mut written = 0;
        while !self.waiting && self.codec.output_len() > 0 {
            match self.stream.try_write(self.codec.output()) {
                Ok(len) => {
                    self.codec.consume_output(len);
                    written += len;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting = true;
                    self.full.notify_one();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    pub(crate) fn writable(&mut self) {
        self.waiting = false;
    }

    /// Has the kernel take no more than it can send soon, so that what is queued behind it can still be replaced by what is
    /// newer, or be overtaken.
    pub(crate) fn limit_unsent(&self, octets: u32) {
        let socket = socket2::SockRef::from(self.stream.as_ref());
        if let Err(error) = socket.set_tcp_notsent_lowat(octets) {
            tracing::debug!(%error, "the kernel's queue of a connection cannot be limited");
        }
    }

    /// Closes the writing side: the peer reads what was written, and then the end of the stream.
    pub(crate) fn finish(&self) {
        // An error means that the connection is closed already.
        let _ = socket2::SockRef::from(self.stream.as_ref()).shutdown(std::net::Shutdown::Write);
    }
}

/// What the tasks of links and dials share.
#[derive(Clone)]
pub(crate) struct ConnectionContext {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) limits: zocp_zmtp::Limits,
    pub(crate) handshake_max: Duration,
    pub(crate) silence_max: Duration,
    /// This node's keys on a secure mesh.
    pub(crate) keys: Keys,
    pub(crate) traffic: Arc<Traffic>,
    /// Who may open a channel.
    pub(crate) tickets: TicketTable,
    /// Limits how often an address that speaks an old ZMTP is logged.
    pub(crate) old: AddressLogThrottle,
}

impl ConnectionContext {
    /// Asks the actor whether a peer that proved this key may be here.
    async fn admits(&self, remote: SocketAddr, key: PublicKey, identity: Bytes) -> bool {
        if let Some(ticket) = Ticket::from_routing_id(&identity) {
            return self.tickets.admits(ticket, Some(key));
        }
        let (decision, decided) = oneshot::channel();
        let pending = PendingAuthorization {
            key,
            identity,
            decision,
        };
        self.report(Input::Authorize { remote, pending }).await;
        decided.await.unwrap_or(false)
    }

    /// Whether a connection failed because the peer speaks a ZMTP older than 3; if so, that is counted and logged.
    fn is_old(&self, remote: Option<SocketAddr>, error: &io::Error) -> bool {
        use zocp_zmtp::{Error, Unsupported};
        let inner = error.get_ref().and_then(|error| error.downcast_ref());
        let Some(Error::Unsupported(Unsupported::Version { .. })) = inner else {
            return false;
        };
        self.traffic
            .reject(Rejection::Version, remote, || error.to_string());
        let ip = remote.map(|remote| remote.ip());
        if ip.is_none_or(|ip| self.old.is_due(clock::now(), ip)) {
            warn!(
                from = ip.map(|ip| ip.to_string()).unwrap_or_default(),
                "a program there speaks ZMTP 2 or older, as NetMQ before 4, libzmq before 4 and old jyre do; it cannot be \
                 met until its library is a newer one"
            );
        }
        true
    }

    async fn report(&self, input: Input) {
        // The queue is closed when the node has ended; this task ends as well then.
        let _ = self.inputs.send(input).await;
    }
}

/// Batches of one connection in the actor's queue: one that the actor handles, and one that is ready by then.
const BATCHES_MAX: usize = 2;
