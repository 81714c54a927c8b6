//! A client of another program's OSCQuery server.
//!
//! Model: [`RemoteQuery::keep`] reads what the program is and has, opens its WebSocket where it listens, and hands over
//! what comes. When the program says that its tree is another one, or says nothing of such things, the tree is read
//! again. When the program is gone it is asked again, until the face ends.
//! Limits: [`BODY_LEN_MAX`] octets of an answer, [`ANSWER_MAX`] for it; [`MESSAGE_LEN_MAX`] octets of a message of the
//! WebSocket; [`INPUTS_MAX`] inputs wait, then nothing is read.
//! Not here: what a tree means, see `remote_tree`.
//! Spec: OSCQuery proposal; RFC 6455, RFC 9110.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt, future::OptionFuture};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use super::{
    program::Description,
    remote_tree::{Host, entries, host, is_change},
};

/// The address of a server, `http://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryUrl {
    host: String,
    port: u16,
}

/// Not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address such as http://192.168.1.7:8080")]
pub struct QueryUrlError(String);

impl FromStr for QueryUrl {
    type Err = QueryUrlError;

    fn from_str(text: &str) -> Result<Self, QueryUrlError> {
        let wrong = || QueryUrlError(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let place = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (place, 80),
        };
        let is_legal = |one: char| one.is_ascii_alphanumeric() || ".-_:[]".contains(one);
        if host.is_empty() || !host.chars().all(is_legal) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// What a client hands over.
#[derive(Debug)]
pub(crate) enum RemoteInput {
    /// The program is here: where it takes OSC with datagrams; `None`: through the client.
    Here(Option<SocketAddr>),
    /// What it has.
    Tree(Description),
    /// OSC that it sent.
    Packet(Vec<u8>),
    /// The program is gone.
    Gone,
}

/// See the module.
pub(crate) struct RemoteQuery {
    pub(crate) url: QueryUrl,
    pub(crate) inputs: mpsc::Sender<RemoteInput>,
    /// Packets for the program that do not go as datagrams.
    pub(crate) packets: mpsc::Receiver<Vec<u8>>,
}

/// Why a program cannot be followed.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("WebSocket: {0}")]
    WebSocket(#[from] tungstenite::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("an answer is longer than {BODY_LEN_MAX} octets, or broke off")]
    Body,
    #[error("an answer is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it did not answer within {} s", ANSWER_MAX.as_secs())]
    Late,
    #[error("it has closed its WebSocket")]
    Closed,
    /// The face has ended.
    #[error("the face has ended")]
    Ended,
}

type Socket = WebSocketStream<TcpStream>;

impl RemoteQuery {
    /// Follows the program for as long as the face is there.
    pub(crate) async fn keep(mut self) {
        let mut reported = String::new();
        loop {
            let Err(error) = self.follow(&mut reported).await;
            if matches!(error, RemoteError::Ended)
                || self.inputs.send(RemoteInput::Gone).await.is_err()
            {
                return;
            }
            let text = error.to_string();
            if reported != text {
                let QueryUrl { host, port } = &self.url;
                tracing::warn!(
                    host,
                    port,
                    error = text,
                    "the OSCQuery server cannot be read; trying again every second"
                );
                reported = text;
            }
            sleep(RETRY).await;
        }
    }

    async fn follow(
        &mut self,
        reported: &mut String,
    ) -> Result<std::convert::Infallible, RemoteError> {
        let (info, answered) = self.get("/?HOST_INFO").await?;
        let host = host(&info, self.url.port);
        let osc = self.osc(&host, answered).await;
        let mut socket = self.socket(&host, answered).await?;
        self.hand_over(RemoteInput::Here(osc)).await?;
        let mut listened = HashSet::new();
        self.read(&mut socket, &mut listened).await?;
        tracing::info!(name = host.name, "connected to the OSCQuery server");
        reported.clear();
        // Without a WebSocket nothing says what changes.
        let mut due = socket.is_none().then(|| Instant::now() + POLL_INTERVAL);
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_answered = true;
        loop {
            let has_socket = socket.is_some();
            let next: OptionFuture<_> = socket.as_mut().map(StreamExt::next).into();
            tokio::select! {
                // Each is cancel safe: what is not taken stays in the socket, the channel or the interval. A message comes
                // before a ping, which asks whether one came; what comes before it is seldom.
                biased;
                packet = self.packets.recv() => {
                    let packet = packet.ok_or(RemoteError::Ended)?;
                    send(&mut socket, Message::binary(packet)).await?;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = socket.is_none().then(|| Instant::now() + POLL_INTERVAL);
                    self.read(&mut socket, &mut listened).await?;
                }
                Some(message) = next => {
                    is_answered = true;
                    match message.ok_or(RemoteError::Closed)?? {
                        Message::Binary(octets) => {
                            self.hand_over(RemoteInput::Packet(octets.to_vec())).await?;
                        }
                        Message::Text(text) if is_change(&text) => {
                            due.get_or_insert_with(|| Instant::now() + TOGETHER);
                        }
                        _ => {}
                    }
                }
                _ = pings.tick(), if has_socket => {
                    if !is_answered {
                        return Err(RemoteError::Late);
                    }
                    is_answered = false;
                    send(&mut socket, Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Where the program takes OSC with datagrams.
    async fn osc(&self, host: &Host, answered: IpAddr) -> Option<SocketAddr> {
        let (name, port) = host.osc.as_ref()?;
        let places = resolve(name.as_deref(), *port, answered).await;
        let alike = places.iter().find(|it| it.is_ipv4() == answered.is_ipv4());
        alike.or_else(|| places.first()).copied()
    }

    async fn socket(&self, host: &Host, answered: IpAddr) -> Result<Option<Socket>, RemoteError> {
        let Some((name, port)) = &host.web_socket else {
            return Ok(None);
        };
        let opened = timeout(ANSWER_MAX, async {
            let places = resolve(name.as_deref(), *port, answered).await;
            let stream = TcpStream::connect(&places[..]).await?;
            stream.set_nodelay(true)?;
            let mut config = WebSocketConfig::default();
            config.max_message_size = Some(MESSAGE_LEN_MAX);
            config.max_frame_size = Some(MESSAGE_LEN_MAX);
            let url = format!("ws://{}:{port}/", self.url.host);
            let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
            Ok(socket)
        });
        opened.await.map_err(|_| RemoteError::Late)?.map(Some)
    }

    /// Reads the tree, and listens for what is new in it.
    async fn read(
        &self,
        socket: &mut Option<Socket>,
        listened: &mut HashSet<String>,
    ) -> Result<(), RemoteError> {
        let asked = Instant::now().into_std();
        let (tree, _) = self.get("/").await?;
        let (methods, left_out) = entries(&tree);
        if let Some(socket) = socket {
            let addresses: HashSet<String> =
                methods.iter().map(|it| it.entry.address.clone()).collect();
            for (command, address) in addresses
                .difference(listened)
                .map(|address| ("LISTEN", address))
                .chain(
                    listened
                        .difference(&addresses)
                        .map(|address| ("IGNORE", address)),
                )
            {
                let text = json!({"COMMAND": command, "DATA": address}).to_string();
                in_time(socket.feed(Message::text(text))).await?;
            }
            in_time(socket.flush()).await?;
            *listened = addresses;
        }
        let description = Description {
            methods,
            left_out,
            says_changes: socket.is_some(),
            asked,
        };
        self.hand_over(RemoteInput::Tree(description)).await
    }

    async fn hand_over(&self, input: RemoteInput) -> Result<(), RemoteError> {
        self.inputs
            .send(input)
            .await
            .map_err(|_| RemoteError::Ended)
    }

    /// What the server answers, and from which address.
    async fn get(&self, path: &str) -> Result<(Value, IpAddr), RemoteError> {
        let answer = timeout(ANSWER_MAX, self.ask(path));
        answer.await.map_err(|_| RemoteError::Late)?
    }

    async fn ask(&self, path: &str) -> Result<(Value, IpAddr), RemoteError> {
        let QueryUrl { host, port } = &self.url;
        let stream = TcpStream::connect(format!("{host}:{port}")).await?;
        let answered = stream.peer_addr()?.ip();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(path).header(header::HOST, format!("{host}:{port}"));
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        // Ends with this future.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(RemoteError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), BODY_LEN_MAX).collect();
        let body = body.await.map_err(|_| RemoteError::Body)?;
        Ok((serde_json::from_slice(&body.to_bytes())?, answered))
    }
}

/// The addresses that a program says; one of its own loopback, or of none, means where it answered.
async fn resolve(said: Option<&str>, port: u16, answered: IpAddr) -> Vec<SocketAddr> {
    let said = said.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    let found = match said {
        Some(host) => lookup_host((host, port)).await.ok(),
        None => None,
    };
    let is_elsewhere =
        |ip: IpAddr| ip.is_unspecified() || (ip.is_loopback() && !answered.is_loopback());
    let found = found.into_iter().flatten().map(|it| match it.ip() {
        ip if is_elsewhere(ip) => SocketAddr::new(answered, port),
        _ => it,
    });
    let found: Vec<SocketAddr> = found.collect();
    match found.is_empty() {
        true => vec![SocketAddr::new(answered, port)],
        false => found,
    }
}

async fn send(socket: &mut Option<Socket>, message: Message) -> Result<(), RemoteError> {
    let Some(socket) = socket else {
        return Ok(());
    };
    in_time(socket.send(message)).await
}

/// Waits for a WebSocket to take something.
async fn in_time(
    taken: impl Future<Output = Result<(), tungstenite::Error>>,
) -> Result<(), RemoteError> {
    let taken = timeout(ANSWER_MAX, taken).await;
    Ok(taken.map_err(|_| RemoteError::Late)??)
}

/// Octets of an answer.
const BODY_LEN_MAX: usize = 8 << 20;
/// Octets of a message of a WebSocket.
const MESSAGE_LEN_MAX: usize = 65_536;
/// Inputs that wait for the face.
pub(crate) const INPUTS_MAX: usize = 256;
/// Packets that wait for the WebSocket.
pub(crate) const PACKETS_MAX: usize = 64;
/// For an answer, and for a WebSocket to take something.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Between two pings; a WebSocket from which nothing came meanwhile has ended.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Before a program that is gone is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Between two readings of a tree of which nobody says when it changes.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Changes of a tree that come together are one.
const TOGETHER: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_are_read() {
        let read = |text: &str| text.parse::<QueryUrl>().map(|url| (url.host, url.port));
        assert_eq!(read("http://10.0.0.7:8080"), Ok(("10.0.0.7".into(), 8080)));
        assert_eq!(read("http://synth.local/"), Ok(("synth.local".into(), 80)));
        assert_eq!(read("http://[::1]:99"), Ok(("[::1]".into(), 99)));
        for wrong in [
            "",
            "10.0.0.7",
            "https://a",
            "http://",
            "http://a:b",
            "http://a/b",
            "http://a b",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
