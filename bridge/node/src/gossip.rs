//! Gossip over TCP: the connections, time and names around the core (`zocp_zre::gossip`).
//!
//! Model: one task owns the core. A task for each connection shakes hands, hands over what it reads and writes what the
//! core sends. The node's actor is told of an entry when it is new, and of all that the core knows each
//! [`INTRODUCE_INTERVAL`], so that a peer that was lost is met again.
//! Limits: [`CONNECTIONS_MAX`] connections that were accepted, further ones are closed at once; [`OUTGOING_MAX`] messages
//! wait for a connection, which is closed with one more; [`FRAME_LEN_MAX`] octets of a message.
//! Not here: secure meshes, on which gossip is refused: it is not encrypted.
//! Spec: docs/reference/protocol.md §1.11.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use zocp_zmtp::{Connection, Event, Limits};
use zocp_zre::gossip::{ENTRIES_MAX, Gossip, GossipEnd, GossipOutput, PING_INTERVAL};
use zocp_zre::{Endpoint, PeerId};

use crate::command::run_on;
use crate::connection::{HandshakeTime, open, prepare, read_into, shake_hands, write_out};
use crate::shared::Commands;

/// What the task of the gossip needs.
pub(crate) struct GossipParts {
    pub(crate) id: PeerId,
    /// The port of the node's mailbox.
    pub(crate) port: u16,
    pub(crate) servers: Vec<Endpoint>,
    pub(crate) listener: Option<TcpListener>,
    pub(crate) requests: Commands,
    pub(crate) silence_max: Duration,
    pub(crate) stop: CancellationToken,
}

/// What a connection tells the task.
enum Input {
    Opened {
        number: u64,
        end: GossipEnd,
        local: SocketAddr,
        outgoing: mpsc::Sender<Vec<u8>>,
    },
    Message(u64, Vec<Vec<u8>>),
    Closed(u64),
}

struct Running {
    core: Gossip,
    port: u16,
    outgoing: HashMap<u64, mpsc::Sender<Vec<u8>>>,
    requests: Commands,
}

/// What all connections have in common.
#[derive(Clone)]
struct Context {
    inputs: mpsc::Sender<Input>,
    silence_max: Duration,
}

/// Runs until the node ends.
pub(crate) async fn run(parts: GossipParts) {
    let (inputs, mut received) = mpsc::channel(INPUTS_MAX);
    let context = Context {
        inputs,
        silence_max: parts.silence_max,
    };
    let tasks = TaskTracker::new();
    let mut next = 0;
    let token = parts.stop.child_token();
    for server in parts.servers {
        let (number, context, token) = (next, context.clone(), token.clone());
        next += 1;
        tasks.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = keep(server, number, context) => {}
            }
        });
    }
    let clients = tasks.len();
    let mut running = Running {
        core: Gossip::new(parts.id),
        port: parts.port,
        outgoing: HashMap::new(),
        requests: parts.requests,
    };
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut introductions = interval(INTRODUCE_INTERVAL);
    introductions.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Each branch is cancel safe.
        tokio::select! {
            () = parts.stop.cancelled() => break,
            Some(input) = received.recv() => running.handle(input),
            (stream, remote) = accept(parts.listener.as_ref()) => {
                if tasks.len() >= CONNECTIONS_MAX + clients {
                    warn!(%remote, "a connection of the gossip is refused: there are too many");
                    continue;
                }
                let (number, context, token) = (next, context.clone(), token.clone());
                next += 1;
                tasks.spawn(async move {
                    tokio::select! {
                        () = token.cancelled() => {}
                        () = admit(stream, remote, number, context) => {}
                    }
                });
            }
            _ = pings.tick() => running.core.handle_ping_time(),
            _ = introductions.tick() => running.introduce_all().await,
        }
        let news = running.flush();
        running.introduce(news).await;
    }
}

impl Running {
    fn handle(&mut self, input: Input) {
        match input {
            Input::Opened {
                number,
                end,
                local,
                outgoing,
            } => {
                self.outgoing.insert(number, outgoing);
                let own = SocketAddr::new(local.ip().to_canonical(), self.port);
                self.core.handle_opened(number, end, format!("tcp://{own}"));
            }
            Input::Message(number, frames) => {
                let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
                self.core.handle_message(number, &frames);
            }
            Input::Closed(number) => {
                self.outgoing.remove(&number);
                self.core.handle_closed(number);
            }
        }
    }

    /// Gives what is to be sent to the connections; returns the peers that are new.
    fn flush(&mut self) -> Vec<(PeerId, Endpoint)> {
        let mut news = Vec::new();
        while let Some(output) = self.core.poll_output() {
            match output {
                GossipOutput::Send(to, octets) => {
                    let sent = self
                        .outgoing
                        .get(&to)
                        .map(|outgoing| outgoing.try_send(octets));
                    if matches!(sent, Some(Err(_))) {
                        // It takes nothing, or has ended: its task ends when nobody sends to it.
                        self.outgoing.remove(&to);
                        self.core.handle_closed(to);
                    }
                }
                GossipOutput::Close(connection) => {
                    self.outgoing.remove(&connection);
                }
                GossipOutput::New(id, endpoint) => news.push((id, endpoint)),
            }
        }
        news
    }

    async fn introduce_all(&self) {
        let entries = self.core.entries();
        let entries = entries.map(|(id, endpoint)| (id, endpoint.clone()));
        self.introduce(entries.collect()).await;
    }

    /// Tells the actor of peers.
    async fn introduce(&self, entries: Vec<(PeerId, Endpoint)>) {
        if entries.is_empty() {
            return;
        }
        let introducing = run_on(&self.requests, move |actor, now| {
            for (id, endpoint) in entries {
                actor.introduce(now, id, endpoint);
            }
        });
        // Without an actor the node is ending.
        introducing.await.ok();
    }
}

/// Connects to a server, and again whenever that ends.
async fn keep(server: Endpoint, number: u64, context: Context) {
    let mut reported = false;
    loop {
        let address = server.to_dial(|_| None);
        let codec = Connection::dealer(b"", limits());
        match open(&address, codec, HANDSHAKE_MAX, context.silence_max).await {
            Ok((stream, codec)) => {
                reported = false;
                info!(%server, "connected to a gossip server");
                let ended = serve(stream, codec, (number, GossipEnd::Client), &context).await;
                debug!(%server, ?ended, "the connection to a gossip server ended");
            }
            Err(error) if reported => debug!(%server, %error, "no connection to a gossip server"),
            Err(error) => {
                warn!(%server, %error, "cannot connect to the gossip server; trying again every second");
                reported = true;
            }
        }
        context.inputs.send(Input::Closed(number)).await.ok();
        sleep(RETRY).await;
    }
}

async fn admit(mut stream: TcpStream, remote: SocketAddr, number: u64, context: Context) {
    let mut codec = Connection::router(limits());
    let greeted = async {
        prepare(&stream, context.silence_max)?;
        let mut time = HandshakeTime::dialing(HANDSHAKE_MAX);
        let shaking = timeout(
            HANDSHAKE_MAX,
            shake_hands(&mut stream, &mut codec, &mut time),
        );
        shaking.await.map_err(|_| io::ErrorKind::TimedOut)?
    };
    let ended = match greeted.await {
        Ok(_) => serve(stream, codec, (number, GossipEnd::Server), &context).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        debug!(%remote, %error, "a connection of the gossip ended");
    }
    context.inputs.send(Input::Closed(number)).await.ok();
}

/// Serves a connection whose handshake is complete, until either end closes it.
async fn serve(
    mut stream: TcpStream,
    mut codec: Connection,
    (number, end): (u64, GossipEnd),
    context: &Context,
) -> io::Result<()> {
    let (outgoing, mut queue) = mpsc::channel(OUTGOING_MAX);
    let local = stream.local_addr()?;
    let opened = Input::Opened {
        number,
        end,
        local,
        outgoing,
    };
    if context.inputs.send(opened).await.is_err() {
        return Ok(());
    }
    loop {
        let writing = timeout(HANDSHAKE_MAX, write_out(&stream, &mut codec));
        writing.await.map_err(|_| io::ErrorKind::TimedOut)??;
        // A message may have come together with the end of the handshake.
        while let Some(event) = codec.poll_event() {
            if let Event::Message(message) = event {
                let frames = message.frames().map(|frame| frame.to_vec()).collect();
                let message = Input::Message(number, frames);
                if context.inputs.send(message).await.is_err() {
                    return Ok(());
                }
            }
        }
        // Each branch is cancel safe.
        tokio::select! {
            read = read_into(&mut stream, &mut codec) => {
                read?;
            }
            message = queue.recv() => {
                // The core closed it.
                let Some(message) = message else { return Ok(()) };
                codec.send(&[&message]).map_err(io::Error::other)?;
            }
        }
    }
}

/// The next connection; none without a listener.
async fn accept(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                debug!(%error, "a connection of the gossip cannot be accepted");
                sleep(RETRY).await;
            }
        }
    }
}

fn limits() -> Limits {
    Limits {
        frame_len_max: FRAME_LEN_MAX,
        message_len_max: FRAME_LEN_MAX,
        frames_max: 2,
        ..Limits::default()
    }
}

/// Connections that were accepted.
const CONNECTIONS_MAX: usize = 256;
/// Messages that wait for one connection: twice the entries that are kept.
const OUTGOING_MAX: usize = 2 * ENTRIES_MAX;
/// Inputs that wait for the task.
const INPUTS_MAX: usize = 64;
/// Octets of a message.
const FRAME_LEN_MAX: usize = 1024;
/// For connecting, shaking hands, and for the other end to take something.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Before another attempt.
const RETRY: Duration = Duration::from_secs(1);
/// How often the actor is told all that is known.
const INTRODUCE_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
