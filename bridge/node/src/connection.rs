//! TCP connections of the mesh: the tasks that read them.
//!
//! Model: a *link* is a connection that a peer opened to us (we are the ROUTER, all its traffic
//! comes in there); a *dial* is one that we opened to a peer (we are the DEALER, all of ours goes
//! out there). A link's task owns its socket and codec. A dial's task connects, shakes hands,
//! hands the codec to the actor, which writes, and from then on only reads and waits.
//! Invariants: I1. A link's messages reach the actor in order, between `LinkReady` and `LinkClosed`.
//! I2. Every connection's task ends when its token is cancelled or its socket closes; a dial says so
//! once, and a link that has shaken hands.
//! I3. One link has [`TURNS_MAX`] batches in the actor's queue at most, so who sends without end holds up others by as
//! much, not by the whole queue.
//! Limits: one read is at most [`READ_LEN`] octets, so a batch is bounded; the actor's queue is
//! bounded, and a full one stops reading, which TCP tells the peer. Handshakes have a deadline.
//! Spec: 23/ZMTP; 36/ZRE "Interconnection model"; docs/reference/protocol.md §2.1.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zocp_zmtp::{Connection, Event, KeyPair, Message, PublicKey};
use zocp_zre::{DialEnd, DialId, LinkId, NodeKey};

use crate::clock;
use crate::handshakes::HandshakeSlot;
use crate::log_throttle::AddressLogThrottle;
use crate::security;
use crate::traffic::Traffic;
use crate::traffic_kinds::Rejection;

/// What connections tell the actor.
pub(crate) enum Input {
    /// A peer opened a connection and said who it is.
    LinkReady {
        link: LinkId,
        local: SocketAddr,
        remote: SocketAddr,
        identity: Bytes,
        /// On a secure mesh, the key that the peer has proved.
        key: Option<PublicKey>,
        token: CancellationToken,
    },
    /// A peer has proved a key and is to be let in or not, on a secure mesh.
    Authorize {
        remote: SocketAddr,
        pending: PendingAuthorization,
    },
    /// Messages of one read.
    LinkMessages {
        link: LinkId,
        messages: Vec<Message>,
        /// Of the link's share of the actor's queue; given back when the messages have been taken.
        turn: OwnedSemaphorePermit,
    },
    /// A part of a message came.
    LinkProgressed { link: LinkId },
    /// The connection is closed.
    LinkClosed { link: LinkId, why: String },
    /// Our connection to a peer is up.
    DialReady {
        dial: DialId,
        local: SocketAddr,
        remote: SocketAddr,
        outgoing: Box<Outgoing>,
    },
    /// Octets from the far end of a dial: PINGs, normally nothing.
    DialOctets { dial: DialId, octets: Vec<u8> },
    /// A socket that was full takes octets again.
    DialWritable { dial: DialId },
    /// Our connection to a peer failed or is closed.
    DialClosed {
        dial: DialId,
        end: DialEnd,
        why: String,
    },
}

/// Who wants in.
pub(crate) struct PendingAuthorization {
    pub(crate) key: PublicKey,
    pub(crate) identity: Bytes,
    /// The answer; none is a refusal.
    pub(crate) admitted: oneshot::Sender<bool>,
}

/// The writing half of a dial, which the actor owns.
pub(crate) struct Outgoing {
    pub(crate) codec: Connection,
    stream: Arc<TcpStream>,
    full: Arc<Notify>,
    waiting: bool,
}

impl Outgoing {
    /// Writes what the socket takes of what the codec has queued; returns the octets written.
    /// When not everything went out, [`Input::DialWritable`] follows.
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

    /// Says that nothing more will be written; the peer reads what is under way, then an end.
    pub(crate) fn finish(&self) {
        // An error means that the connection is closed already.
        let _ = socket2::SockRef::from(self.stream.as_ref()).shutdown(std::net::Shutdown::Write);
    }
}

/// What both kinds of task need.
#[derive(Clone)]
pub(crate) struct ConnectionContext {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) limits: zocp_zmtp::Limits,
    pub(crate) handshake_max: Duration,
    pub(crate) silence_max: Duration,
    /// On a secure mesh.
    pub(crate) keys: Option<KeyPair>,
    pub(crate) traffic: Arc<Traffic>,
    /// From where somebody spoke a ZMTP that is too old.
    pub(crate) old: AddressLogThrottle,
}

impl ConnectionContext {
    /// Whether who has proved this key may come in.
    async fn admits(&self, remote: SocketAddr, key: PublicKey, identity: Bytes) -> bool {
        let (admitted, answer) = oneshot::channel();
        let pending = PendingAuthorization {
            key,
            identity,
            admitted,
        };
        self.tell(Input::Authorize { remote, pending }).await;
        answer.await.unwrap_or(false)
    }

    /// Whether a connection failed since the peer speaks a ZMTP older than 3; then that is counted and told.
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

    async fn tell(&self, input: Input) {
        // A closed queue means that the node is gone, and this task is ending anyway.
        let _ = self.inputs.send(input).await;
    }
}

/// Serves one link until it closes. `place` counts it as half open until it has shaken hands.
pub(crate) async fn run_link(
    link: LinkId,
    mut stream: TcpStream,
    remote: SocketAddr,
    place: HandshakeSlot,
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
    drop(place);
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
    context
        .tell(Input::LinkReady {
            link,
            local,
            remote,
            identity,
            key,
            token: token.clone(),
        })
        .await;
    let why = serve(link, &mut stream, &mut codec, &context, &token).await;
    context.tell(Input::LinkClosed { link, why }).await;
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
    let turns = Arc::new(Semaphore::new(TURNS_MAX));
    let mut told_at = clock::now();
    loop {
        // What came behind the handshake in one read is delivered before more is read, and what was
        // whole before an error is delivered too.
        let messages = drain(codec);
        if codec.is_within_message()
            && messages.is_empty()
            && clock::now().saturating_duration_since(told_at) >= PROGRESS_EACH
        {
            told_at = clock::now();
            context.tell(Input::LinkProgressed { link }).await;
        }
        // It is never closed.
        if !messages.is_empty()
            && let Ok(turn) = Arc::clone(&turns).acquire_owned().await
        {
            let messages = Input::LinkMessages {
                link,
                messages,
                turn,
            };
            context.tell(messages).await;
        }
        if let Some(error) = ended {
            return error.to_string();
        }
        let turn = async {
            read_into(stream, codec).await?;
            write_out(stream, codec).await
        };
        tokio::select! {
            turned = turn => ended = turned.err(),
            // Not cancel-safe, and at the end it need not be.
            () = token.cancelled() => return String::from("closed by us"),
        }
    }
}

/// Connects to a peer's mailbox and serves the reading side until it closes.
pub(crate) async fn run_dial(
    dial: DialId,
    (endpoint, key): (String, Option<NodeKey>),
    identity: [u8; 17],
    context: ConnectionContext,
    token: CancellationToken,
) {
    // Closed by us: the actor has forgotten this dial already, and ignores the report.
    let codec = security::dealer(
        context.keys.as_ref(),
        key,
        &identity,
        context.limits.clone(),
    );
    let ended = dial_until_closed(dial, &endpoint, codec, &context, &token).await;
    let (end, why) = match ended {
        Ok(()) => (DialEnd::Closed, String::from("closed by us")),
        Err(error) => {
            context.is_old(endpoint.parse().ok(), &error);
            (end_of(&error), error.to_string())
        }
    };
    context.tell(Input::DialClosed { dial, end, why }).await;
}

async fn dial_until_closed(
    dial: DialId,
    endpoint: &str,
    codec: io::Result<Connection>,
    context: &ConnectionContext,
    token: &CancellationToken,
) -> io::Result<()> {
    let mut codec = codec?;
    let connected = timeout(
        context.handshake_max,
        connect(endpoint, &mut codec, context.silence_max),
    );
    let stream = tokio::select! {
        stream = connected => stream.unwrap_or_else(|_| Err(too_slow()))?,
        () = token.cancelled() => return Ok(()),
    };
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let stream = Arc::new(stream);
    let full = Arc::new(Notify::new());
    let outgoing = Box::new(Outgoing {
        codec,
        stream: Arc::clone(&stream),
        full: Arc::clone(&full),
        waiting: false,
    });
    context
        .tell(Input::DialReady {
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
                context.tell(Input::DialWritable { dial }).await;
                continue;
            }
            () = token.cancelled() => return Ok(()),
        }
        let octets = with_scratch(|scratch| {
            try_read(&stream, scratch).map(|len| len.map(|len| scratch[..len].to_vec()))
        })?;
        if let Some(octets) = octets {
            context.tell(Input::DialOctets { dial, octets }).await;
        }
    }
}

async fn connect(
    endpoint: &str,
    codec: &mut Connection,
    silence_max: Duration,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(endpoint).await?;
    prepare(&stream, silence_max)?;
    shake_hands(&mut stream, codec).await?;
    Ok(stream)
}

/// Small messages go out at once, and a connection whose other end is gone without a word is noticed
/// by the kernel, also while the peer's beacons still come.
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

/// Exchanges the handshake of a link, on a secure mesh with the verdict about the peer's key; returns its
/// identity and that key.
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

/// Exchanges greeting and READY; returns the peer's identity.
async fn shake_hands(stream: &mut TcpStream, codec: &mut Connection) -> io::Result<Bytes> {
    loop {
        write_out(stream, codec).await?;
        if let Some(Event::Ready { identity, .. }) = codec.poll_event() {
            return Ok(identity);
        }
        read_into(stream, codec).await?;
    }
}

/// Waits for octets and gives one read's worth to the codec. Cancel-safe. A read that brings less than
/// there is room for is known to have brought everything, and none is made in vain.
async fn read_into(stream: &mut TcpStream, codec: &mut Connection) -> io::Result<()> {
    poll_fn(|context| {
        with_scratch(|scratch| {
            let mut octets = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut octets))?;
            match octets.filled() {
                [] => Poll::Ready(Err(closed_by_peer())),
                octets => Poll::Ready(codec.handle_input(octets).map_err(io::Error::other)),
            }
        })
    })
    .await
}

/// Writes all that the codec has queued: handshake and PONGs.
async fn write_out(stream: &TcpStream, codec: &mut Connection) -> io::Result<()> {
    while codec.output_len() > 0 {
        match stream.try_write(codec.output()) {
            Ok(len) => codec.consume_output(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Octets read, `None` when there are none at the moment.
fn try_read(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.try_read(scratch) {
        Ok(0) => Err(closed_by_peer()),
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
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

fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(READ_LEN, 0);
        read(scratch)
    })
}

fn end_of(error: &io::Error) -> DialEnd {
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

fn closed_by_peer() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer")
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")
}

/// The kernel counts in seconds.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);

/// The most that one read takes: enough to batch a burst, little enough to be fair to others.
const READ_LEN: usize = 128 << 10;

/// How often it is told at most that a message is on its way.
const PROGRESS_EACH: Duration = Duration::from_secs(1);

/// Batches of one link in the actor's queue: one that is looked at, and one that is ready then.
const TURNS_MAX: usize = 2;

thread_local! {
    /// One buffer a thread, not one a connection: it is used between two waits only.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;
