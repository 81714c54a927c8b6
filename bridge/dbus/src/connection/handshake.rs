//! Connecting to a bus: authentication and the call of `Hello`, whose reply contains our unique name.
//!
//! Model: authentication and `Hello` are sent at once, because no part of them depends on a reply. Then the replies are
//! read: the lines of the authentication protocol, and one message.
//! Limits: [`LINE_LEN_MAX`] octets for a line; [`CONNECT_MAX`] for the whole handshake.
//! Spec: D-Bus specification, "Authentication Protocol"

use std::{future::poll_fn, io, io::IoSlice, sync::Arc, time::Duration};

use tokio::time::timeout;
use zbus::{Address, Message, message::Type};
use zocp_bus::{Credentials, Handle, RawMessage};

use super::{
    ReadBarrier, bus_call,
    error::ConnectError,
    incoming::{Inbound, Incoming},
    line::Line,
    socket::Socket,
};
use crate::message::{Octets, Outgoing};

/// A connected socket after the handshake.
#[derive(Debug)]
pub struct Connected {
    pub(super) line: Line,
    pub(super) incoming: Incoming,
    pub(super) barrier: ReadBarrier,
    unique_name: Arc<str>,
    /// The GUID of the bus.
    pub(super) guid: String,
    /// Whether the bus accepts file descriptors.
    pub(super) takes_descriptors: bool,
}

impl Connected {
    /// The connection's unique name.
    pub fn unique_name(&self) -> Arc<str> {
        self.unique_name.clone()
    }

    /// The first message.
    async fn answer(&mut self) -> Result<Message, ConnectError> {
        loop {
            match self.incoming.next() {
                Some(Inbound::Message(message)) => return Ok(message),
                Some(Inbound::Unreadable(..)) => {}
                None => {
                    let (line, incoming) = (&self.line, &mut self.incoming);
                    poll_fn(|context| line.poll_read_into(incoming, context)).await?;
                }
            }
        }
    }

    /// The read barrier of this connection.
    pub fn read_barrier(&self) -> ReadBarrier {
        self.barrier.clone()
    }
}

/// Connects to a bus.
///
/// # Errors
/// See `ConnectError`.
pub async fn connect(address: &str) -> Result<Connected, ConnectError> {
    let (_, connected) = connect_socket(address).await?;
    Ok(connected)
}

/// The same, with the socket.
pub(super) async fn connect_socket(
    address: &str,
) -> Result<(Arc<Socket>, Connected), ConnectError> {
    let connected = timeout(CONNECT_MAX, handshake(address)).await;
    connected.unwrap_or(Err(ConnectError::Silent))
}

/// Connects to a bus within this process.
///
/// # Errors
/// See `ConnectError`.
pub async fn attach(bus: &Handle) -> Result<Connected, ConnectError> {
    let credentials = Credentials {
        user: Some(rustix::process::geteuid().as_raw()),
        process: Some(std::process::id()),
        ..Credentials::default()
    };
    let line = bus.attach(credentials);
    let hello = hello()?;
    let octets = Octets::from(hello).into_bytes();
    line.send([RawMessage::new(octets, None)])
        .map_err(|error| ConnectError::Refused(error.to_string()))?;
    let mut connected = Connected {
        line: Line::Within(line),
        incoming: Incoming::default(),
        barrier: ReadBarrier::unknown(),
        unique_name: Arc::from(""),
        guid: bus.guid(),
        takes_descriptors: true,
    };
    connected.unique_name = name_in(&connected.answer().await?)?;
    Ok(connected)
}

fn hello() -> Result<Outgoing, ConnectError> {
    bus_call("Hello", &(), None)
        .ok_or_else(|| ConnectError::Refused("cannot build the call of Hello".to_owned()))
}

async fn handshake(address: &str) -> Result<(Arc<Socket>, Connected), ConnectError> {
    let address: Address = address.parse().map_err(ConnectError::Address)?;
    let (socket, mut connected) = authenticate(&address, hello()?.data()).await?;
    connected.unique_name = name_in(&connected.answer().await?)?;
    Ok((socket, connected))
}

/// Connects and authenticates; `first` is sent directly after the authentication.
async fn authenticate(
    address: &Address,
    first: &[u8],
) -> Result<(Arc<Socket>, Connected), ConnectError> {
    let socket = Socket::connect(address).await?;
    send_handshake(&socket, first).await?;
    let mut lines = LineReader {
        socket: &socket,
        octets: Vec::new(),
    };
    let accepted = lines.next().await?;
    let Some(guid) = accepted.strip_prefix("OK") else {
        return Err(ConnectError::Refused(accepted));
    };
    let agreed = lines.next().await?;
    let takes_descriptors = agreed.starts_with("AGREE_UNIX_FD");
    if !takes_descriptors && !agreed.starts_with("ERROR") {
        return Err(ConnectError::Refused(agreed));
    }
    let mut incoming = Incoming::default();
    incoming
        .feed(&lines.octets, Vec::new())
        .map_err(malformed)?;
    let socket = Arc::new(socket);
    let connected = Connected {
        barrier: ReadBarrier::new(&socket),
        line: Line::Socket(socket.clone()),
        incoming,
        unique_name: Arc::from(""),
        guid: guid.trim().to_owned(),
        takes_descriptors,
    };
    Ok((socket, connected))
}

/// Sends our user id and that we accept file descriptors. Without the latter a bus replies with an error for a message
/// that has descriptors, instead of forwarding it.
async fn send_handshake(socket: &Socket, first: &[u8]) -> io::Result<()> {
    let user = rustix::process::geteuid().as_raw().to_string();
    let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
    let mut octets =
        format!("\0AUTH EXTERNAL {user}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n").into_bytes();
    octets.extend_from_slice(first);
    let mut sent = 0;
    while sent < octets.len() {
        match socket.try_write(&[IoSlice::new(&octets[sent..])])? {
            Some(len) => sent += len,
            None => socket.writable().await?,
        }
    }
    Ok(())
}

/// Reads the lines of the authentication protocol.
struct LineReader<'a> {
    socket: &'a Socket,
    /// Octets after the last line.
    octets: Vec<u8>,
}

impl LineReader<'_> {
    async fn next(&mut self) -> Result<String, ConnectError> {
        let end = loop {
            if let Some(end) = self.octets.windows(2).position(|pair| pair == b"\r\n") {
                break end;
            }
            if self.octets.len() > LINE_LEN_MAX {
                return Err(ConnectError::Refused(
                    "the authentication line is too long".to_owned(),
                ));
            }
            let mut more = [0; 512];
            let read = poll_fn(|context| self.socket.poll_read(context, &mut more));
            match read.await?.len {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                len => self.octets.extend_from_slice(&more[..len]),
            }
        };
        let line = String::from_utf8_lossy(&self.octets[..end]).into_owned();
        self.octets.drain(..end + 2);
        Ok(line)
    }
}

fn name_in(answer: &Message) -> Result<Arc<str>, ConnectError> {
    let body = answer.body();
    match (answer.message_type(), body.deserialize::<&str>()) {
        (Type::MethodReturn, Ok(name)) => Ok(name.into()),
        _ => Err(ConnectError::Refused(answer.to_string())),
    }
}

fn malformed(error: zbus::Error) -> ConnectError {
    ConnectError::Refused(error.to_string())
}

const LINE_LEN_MAX: usize = 4096;
const CONNECT_MAX: Duration = Duration::from_secs(5);
