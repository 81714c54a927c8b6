//! The server by itself: connections without a socket, turns, and ends.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::*;
use crate::message::{Arg, Args, Draft, Frame, Incoming, Kind, Message, Writer};

/// Runs a test with a bus of its own, on one thread, at most so long.
fn with_bus(test: impl AsyncFnOnce(&Server)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::bind(&directory.path().join("bus"), ServerConfig::for_user()).unwrap();
        timeout(Duration::from_secs(30), test(&server))
            .await
            .expect("the test ends in time");
    });
}

/// A message of a client; what it expects is said by the flags.
fn message(
    serial: u32,
    kind: Kind,
    to: Option<&str>,
    member: &str,
    text: &str,
    flags: u8,
) -> RawMessage {
    let mut body = Writer::default();
    body.string(text);
    let draft = Draft {
        kind,
        serial: serial.try_into().unwrap(),
        reply_serial: (kind == Kind::Return).then(|| serial.try_into().unwrap()),
        sender: ":1.999",
        destination: to,
        path: Some("/"),
        interface: Some(if to == Some(BUS) { BUS } else { "x.y" }),
        member: Some(member),
        error_name: None,
        signature: if text.is_empty() { "" } else { "s" },
        body: if text.is_empty() {
            Writer::default()
        } else {
            body
        },
    };
    let mut octets = draft.finish().octets().to_vec();
    octets[2] = flags;
    RawMessage::new(octets.into(), None)
}

const BUS: &str = "org.freedesktop.DBus";

/// What came, as text: the member or the error, and the first argument.
fn shown(raw: &RawMessage) -> String {
    let limits = Limits::default();
    let message = Message::of_raw(raw, &limits).unwrap();
    let name = message
        .member()
        .or_else(|| message.error_name())
        .unwrap_or("return");
    let text = match Args::new(&message).get(0) {
        Some(Arg::String(text)) => text.to_owned(),
        _ => String::new(),
    };
    format!("{name} {text}").trim_end().to_owned()
}

/// A connection without a socket that has said Hello, and its name.
async fn attached(server: &Server) -> (Attached, String) {
    let attached = server.handle().attach(Credentials::default());
    attached
        .send([message(1, Kind::Call, Some(BUS), "Hello", "", 0)])
        .unwrap();
    let answer = attached.receive().await.unwrap();
    let name = shown(&answer).strip_prefix("return ").unwrap().to_owned();
    assert_eq!(
        shown(&attached.receive().await.unwrap()),
        format!("NameAcquired {name}")
    );
    (attached, name)
}

/// A connection with a socket that has said Hello.
struct Socket {
    stream: UnixStream,
    incoming: Incoming,
    read: Vec<RawMessage>,
}

impl Socket {
    async fn open(server: &Server) -> Self {
        let mut stream = UnixStream::connect(&server.path).await.unwrap();
        stream
            .write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while answer.iter().filter(|octet| **octet == b'\n').count() < 2 {
            answer.push(stream.read_u8().await.unwrap());
        }
        let mut socket = Self {
            stream,
            incoming: Incoming::default(),
            read: Vec::new(),
        };
        socket
            .write(&[message(1, Kind::Call, Some(BUS), "Hello", "", 0)])
            .await;
        socket.next().await;
        socket.next().await;
        socket
    }

    async fn write(&mut self, messages: &[RawMessage]) {
        let octets: Vec<u8> = messages
            .iter()
            .flat_map(|raw| raw.octets().to_vec())
            .collect();
        self.stream.write_all(&octets).await.unwrap();
    }

    async fn next(&mut self) -> String {
        while self.read.is_empty() {
            let mut buffer = [0; 4096];
            let len = self.stream.read(&mut buffer).await.unwrap();
            assert!(len > 0, "the bus hung up");
            let mut input = &buffer[..len];
            while let Some(frame) = self.incoming.next(&mut input, &Limits::default()).unwrap() {
                let octets = match frame {
                    Frame::Borrowed(octets) => Bytes::copy_from_slice(octets),
                    Frame::Owned(octets) => octets,
                };
                self.read.push(RawMessage::new(octets, None));
            }
        }
        shown(&self.read.remove(0))
    }
}

#[test]
fn connections_with_and_without_a_socket_talk_with_each_other() {
    with_bus(async |server| {
        let (service, service_name) = attached(server).await;
        let (other, other_name) = attached(server).await;
        let mut client = Socket::open(server).await;
        client
            .write(&[message(2, Kind::Call, Some(&service_name), "Do", "x", 0)])
            .await;
        let call = service.receive().await.unwrap();
        assert_eq!(shown(&call), "Do x");
        let limits = Limits::default();
        let caller = Message::of_raw(&call, &limits)
            .unwrap()
            .sender()
            .unwrap()
            .to_owned();
        service
            .send([message(2, Kind::Return, Some(&caller), "R", "done", 1)])
            .unwrap();
        assert!(client.next().await.ends_with("done"));
        // Without any socket.
        service
            .send([message(3, Kind::Signal, Some(&other_name), "Psst", "y", 0)])
            .unwrap();
        assert_eq!(shown(&other.receive().await.unwrap()), "Psst y");
        // Its end is told.
        other
            .send([message(4, Kind::Call, Some(BUS), "AddMatch", "arg0='", 0)])
            .unwrap();
        assert!(shown(&other.receive().await.unwrap()).contains("MatchRuleInvalid"));
        let rule = format!("member='NameOwnerChanged',arg0='{service_name}'");
        other
            .send([message(5, Kind::Call, Some(BUS), "AddMatch", &rule, 1)])
            .unwrap();
        drop(service);
        assert_eq!(
            shown(&other.receive().await.unwrap()),
            format!("NameOwnerChanged {service_name}")
        );
    });
}

#[test]
fn who_is_attached_is_who_it_was_said_to_be() {
    with_bus(async |server| {
        let credentials = Credentials {
            user: Some(4711),
            process: Some(12),
            ..Credentials::default()
        };
        let stranger = server.handle().attach(credentials);
        let ask = |serial, member, text| message(serial, Kind::Call, Some(BUS), member, text, 0);
        stranger
            .send([ask(1, "Hello", ""), ask(2, "GetConnectionUnixUser", ":1.0")])
            .unwrap();
        let mut user = None;
        while user.is_none() {
            let raw = stranger.receive().await.unwrap();
            let limits = Limits::default();
            let message = Message::of_raw(&raw, &limits).unwrap();
            user =
                (message.reply_serial().map(u32::from) == Some(2)).then(|| message.body().to_vec());
        }
        assert_eq!(user.unwrap(), 4711_u32.to_le_bytes());
    });
}

#[test]
fn what_is_no_message_ends_a_connection_without_a_socket() {
    with_bus(async |server| {
        let (broken, _) = attached(server).await;
        let nonsense = RawMessage::new(Bytes::from_static(b"nonsense"), None);
        assert!(matches!(
            broken.send([nonsense]),
            Err(AttachError::Invalid(_))
        ));
        assert_eq!(broken.send([]), Err(AttachError::Closed));
        assert!(broken.receive().await.is_none());
    });
}

#[test]
fn the_end_of_the_bus_is_the_end_of_its_connections() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus");
        let server = Server::bind(&path, ServerConfig::for_user()).unwrap();
        let (local, _) = attached(&server).await;
        let mut client = Socket::open(&server).await;
        let handle = server.handle();
        drop(server);
        assert!(!path.exists());
        assert!(local.receive().await.is_none());
        assert_eq!(client.stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
        let late = handle.attach(Credentials::default());
        assert_eq!(late.send([]), Err(AttachError::Closed));
    });
}

#[test]
fn who_sends_without_end_has_its_turns_and_others_theirs() {
    with_bus(async |server| {
        let flood = Socket::open(server).await;
        let mut other = Socket::open(server).await;
        other
            .write(&[message(
                2,
                Kind::Call,
                Some(BUS),
                "AddMatch",
                "member='Last'",
                0,
            )])
            .await;
        assert_eq!(other.next().await, "return");
        // More than the bus reads in a turn, and all of it there before the bus has read any.
        let one = message(3, Kind::Call, Some(BUS), "GetId", "", 1);
        let last = message(4, Kind::Signal, None, "Last", "", 0);
        let count = 4 * PIECE_LEN_MAX / one.len();
        let octets: Vec<u8> = std::iter::repeat_n(one, count)
            .chain([last])
            .flat_map(|raw| raw.octets().to_vec())
            .collect();
        assert_eq!(
            flood.stream.try_write(&octets).unwrap(),
            octets.len(),
            "the kernel keeps all of it"
        );
        let ask = message(5, Kind::Call, Some(BUS), "GetId", "", 0);
        other.stream.try_write(&ask.octets()).unwrap();
        assert!(
            other.next().await.starts_with("return "),
            "the answer comes before the end of the flood"
        );
        assert_eq!(other.next().await, "Last");
    });
}

/// Signals that everybody gets who asked for them, then a call of another client, all there before the bus reads any.
async fn flood_then_ask(server: &Server, flood: &Socket, count: usize, end: &[u8]) -> Socket {
    let mut other = Socket::open(server).await;
    let rule = message(2, Kind::Call, Some(BUS), "AddMatch", "member='Tick'", 0);
    other.write(&[rule]).await;
    assert_eq!(other.next().await, "return");
    let tick = message(3, Kind::Signal, None, "Tick", "", 0);
    let mut octets = tick.octets().repeat(count);
    octets.extend(end);
    assert!(octets.len() < PIECE_LEN_MAX, "it is read at once");
    assert_eq!(flood.stream.try_write(&octets).unwrap(), octets.len());
    let ask = message(5, Kind::Call, Some(BUS), "GetId", "", 0);
    other.stream.try_write(&ask.octets()).unwrap();
    other
}

#[test]
fn a_call_waits_for_a_few_messages_of_what_was_read_of_others() {
    with_bus(async |server| {
        let flood = Socket::open(server).await;
        let mut other = flood_then_ask(server, &flood, 200, &[]).await;
        let mut before = 0;
        while other.next().await == "Tick" {
            before += 1;
        }
        assert!(before <= 2 * TURN_MESSAGES_MAX, "{before} go before it");
        for _ in before..200 {
            assert_eq!(other.next().await, "Tick");
        }
    });
}

#[test]
fn what_was_said_before_nonsense_arrives() {
    with_bus(async |server| {
        let mut flood = Socket::open(server).await;
        let mut other = flood_then_ask(server, &flood, 3 * TURN_MESSAGES_MAX, &[0; 16]).await;
        let mut ticks = 0;
        for _ in 0..=3 * TURN_MESSAGES_MAX {
            ticks += usize::from(other.next().await == "Tick");
        }
        assert_eq!(ticks, 3 * TURN_MESSAGES_MAX);
        assert_eq!(flood.stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_connection_without_a_socket_hears_others_between_the_messages_of_one() {
    with_bus(async |server| {
        let (service, name) = attached(server).await;
        let (flood, other) = (Socket::open(server).await, Socket::open(server).await);
        let call = |member| message(3, Kind::Call, Some(&name), member, "", 1);
        let octets = call("Many").octets().repeat(200);
        assert!(octets.len() < PIECE_LEN_MAX, "it is read at once");
        assert_eq!(flood.stream.try_write(&octets).unwrap(), octets.len());
        other.stream.try_write(&call("One").octets()).unwrap();
        let mut before = 0;
        while shown(&service.receive().await.unwrap()) == "Many" {
            before += 1;
        }
        assert!(
            before <= 2 * TURN_LOCAL_MESSAGES_MAX,
            "{before} go before it"
        );
    });
}
