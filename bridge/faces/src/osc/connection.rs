//! Connections of TCP that carry OSC.
//!
//! Model: a task for each connection takes packets out of it and hands them to the face, and writes what the face hands
//! to it. Who listens for connections, and who makes them, are tasks of their own.
//! Limits: [`CONNECTIONS_MAX`] connections, further ones are closed at once; [`PACKETS_MAX`] packets wait to be written,
//! then the face keeps what is newest.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};

use super::{
    description::Answer,
    destination::Destination,
    http,
    options::Target,
    stream::{Deframer, Framing, framed},
};
use crate::allow::Allow;

/// What connections tell a face.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection is here.
    Opened {
        id: Destination,
        outlet: mpsc::Sender<Outgoing>,
        kind: Kind,
    },
    Packet {
        id: Destination,
        octets: Vec<u8>,
    },
    Closed {
        id: Destination,
    },
    /// Whether a WebSocket listens for an address.
    Listen {
        id: Destination,
        address: String,
        listens: bool,
    },
    /// What is at a path.
    Question {
        path: String,
        attribute: Option<String>,
        reply: oneshot::Sender<Answer>,
    },
}

/// What a connection is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Somebody sends OSC.
    Source,
    /// The face made it, to send what is wanted there.
    Target(Target),
    /// Somebody asks, and listens.
    WebSocket,
}

/// What a face sends in a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Packet(Vec<u8>),
    /// Only to WebSockets.
    Text(String),
}

/// What is spoken where connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Osc,
    Http,
    /// The first octet tells which.
    Both,
}

/// What all connections have in common.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) allow: Allow,
    numbers: Arc<AtomicU64>,
    places: Arc<Semaphore>,
}

impl Connections {
    /// Connections are numbered from `first` on.
    pub(crate) fn new(inputs: mpsc::Sender<Input>, allow: Allow, first: Destination) -> Self {
        Self {
            inputs,
            allow,
            numbers: Arc::new(AtomicU64::new(first)),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    /// A number for a connection.
    pub(crate) fn number(&self) -> Destination {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes connections, as long as the face is there.
    pub(crate) async fn accept(self, listener: TcpListener, speaks: Speaks) {
        while !self.inputs.is_closed() {
            match listener.accept().await {
                Ok((stream, from)) => self.admit(stream, from, speaks),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    // No descriptors are left: others must end first.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, from: SocketAddr, speaks: Speaks) {
        if !self.allow.permits(from.ip()) {
            tracing::info!(%from, "a connection was refused: see --allow");
            return;
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(self.clone().carry(stream, speaks, place));
            }
            Err(_) => tracing::warn!(%from, "a connection was refused: there are too many"),
        }
    }

    async fn carry(self, stream: TcpStream, speaks: Speaks, _place: OwnedSemaphorePermit) {
        let is_http = match speaks {
            Speaks::Osc => false,
            Speaks::Http => true,
            Speaks::Both => {
                let mut first = [0];
                let looked = tokio::time::timeout(FIRST_TIMEOUT, stream.peek(&mut first)).await;
                // A packet begins with a length, an END or its address; a request with its method.
                matches!(looked, Ok(Ok(1))) && first[0].is_ascii_uppercase()
            }
        };
        if is_http {
            http::serve(self, stream).await;
        } else {
            self.serve(stream, None).await;
        }
    }

    /// Makes a connection to a target, and again whenever it ends.
    pub(crate) async fn dial(self, target: Target, framing: Framing) {
        while !self.inputs.is_closed() {
            match TcpStream::connect(&target.place).await {
                Ok(stream) => {
                    self.serve(stream, Some((target.clone(), framing))).await;
                }
                Err(error) => tracing::debug!(place = %target.place, %error, "not connected"),
            }
            tokio::time::sleep(DIAL_PAUSE).await;
        }
    }

    async fn serve(&self, mut stream: TcpStream, target: Option<(Target, Framing)>) {
        let mut deframer = Deframer::default();
        let id = self.number();
        let (outlet, mut packets) = mpsc::channel(PACKETS_MAX);
        let said = target.as_ref().map(|(_, framing)| *framing);
        let kind = target.map_or(Kind::Source, |(target, _)| Kind::Target(target));
        let opened = Input::Opened { id, outlet, kind };
        if self.inputs.send(opened).await.is_err() {
            return;
        }
        // Without it each message of a hand would wait for the answer to the last.
        let _ = stream.set_nodelay(true);
        let mut buffer = vec![0; READ_LEN];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => {
                    let octets = match read {
                        Ok(0) | Err(_) => break,
                        Ok(len) => &buffer[..len],
                    };
                    if !self.take(id, &mut deframer, octets).await {
                        break;
                    }
                }
                packet = packets.recv() => {
                    let Some(packet) = packet else { break };
                    let Outgoing::Packet(packet) = packet else { continue };
                    let framing = said.or_else(|| deframer.framing()).unwrap_or(Framing::Length);
                    let octets = framed(framing, &packet);
                    let written = tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&octets));
                    if !matches!(written.await, Ok(Ok(()))) {
                        break;
                    }
                }
            }
        }
        let _ = self.inputs.send(Input::Closed { id }).await;
    }

    /// Whether the stream goes on.
    async fn take(&self, id: Destination, deframer: &mut Deframer, octets: &[u8]) -> bool {
        let mut packets = Vec::new();
        let outcome = deframer.push(octets, |packet| packets.push(packet.to_vec()));
        for octets in packets {
            if self
                .inputs
                .send(Input::Packet { id, octets })
                .await
                .is_err()
            {
                return false;
            }
        }
        if let Err(error) = &outcome {
            tracing::warn!(%error, "a stream of OSC cannot be read on");
        }
        outcome.is_ok()
    }
}

/// Connections at a time.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Packets that wait to be written to one connection.
pub(crate) const PACKETS_MAX: usize = 16;
/// A connection that takes nothing for so long is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the first octet of a connection.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);
/// Before a connection that ended or was not made is tried again.
const DIAL_PAUSE: Duration = Duration::from_secs(1);
/// After no connection could be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Octets that are read at once.
const READ_LEN: usize = 16 * 1024;
