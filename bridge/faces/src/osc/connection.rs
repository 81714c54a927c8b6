//! Connections of TCP that carry OSC.
//!
//! Model: a task for each connection takes packets out of it and hands them to the face, and writes what the face hands
//! to it. Who makes connections is a task of its own; who takes them is in `listener`.
//! Limits: [`PACKETS_MAX`] packets wait to be written, then the face keeps what is newest. A connection whose other end
//! is gone without a word, with its power for instance, ends after [`SILENCE_MAX`]; until then it keeps its place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use super::{
    description::Answer,
    destination::Destination,
    options::Target,
    seldom::Seldom,
    stream::{Deframer, Framing, framed},
};

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

/// What all connections have in common.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(crate) inputs: mpsc::Sender<Input>,
    numbers: Arc<AtomicU64>,
    /// For what one connection after the other may cause.
    pub(crate) refusals: Arc<Seldom>,
}

impl Connections {
    /// Connections are numbered from `first` on.
    pub(crate) fn new(inputs: mpsc::Sender<Input>, first: Destination) -> Self {
        Self {
            inputs,
            numbers: Arc::new(AtomicU64::new(first)),
            refusals: Arc::default(),
        }
    }

    /// A number for a connection.
    pub(crate) fn number(&self) -> Destination {
        self.numbers.fetch_add(1, Ordering::Relaxed)
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

    pub(crate) async fn serve(&self, mut stream: TcpStream, target: Option<(Target, Framing)>) {
        let mut deframer = Deframer::default();
        let id = self.number();
        let (outlet, mut packets) = mpsc::channel(PACKETS_MAX);
        let said = target.as_ref().map(|(_, framing)| *framing);
        let kind = target.map_or(Kind::Source, |(target, _)| Kind::Target(target));
        let opened = Input::Opened { id, outlet, kind };
        if self.inputs.send(opened).await.is_err() {
            return;
        }
        prepare(&stream);
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
        if let Err(error) = &outcome
            && self.refusals.is_due(Instant::now())
        {
            tracing::warn!(%error, "a stream of OSC cannot be read on");
        }
        outcome.is_ok()
    }
}

/// Sets a socket's options. Without them each message of a hand would wait for the answer to the last, and an end that
/// is gone would not be noticed.
pub(crate) fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new()
        .with_time(SILENCE_MAX / 2)
        .with_interval(SILENCE_MAX / 6)
        .with_retries(3);
    let outcome = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&probes))
        .and_then(|()| socket.set_tcp_user_timeout(Some(SILENCE_MAX)));
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection has not the options that it should have");
    }
}

/// Packets that wait to be written to one connection.
pub(crate) const PACKETS_MAX: usize = 16;
/// A connection that takes nothing for so long is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the machine at the other end may answer nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Before a connection that ended or was not made is tried again.
const DIAL_PAUSE: Duration = Duration::from_secs(1);
/// Octets that are read at once.
const READ_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_end_that_is_gone_without_a_word_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (made, taken) = tokio::join!(TcpStream::connect(address), listener.accept());
        for stream in [made.unwrap(), taken.unwrap().0] {
            prepare(&stream);
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE_MAX));
        }
    }
}
