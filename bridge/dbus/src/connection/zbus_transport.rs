//! A zbus connection whose socket is read and written by the code of this module.
//!
//! Model: zbus closes its connection when it receives a malformed message, and any client of the bus can send one. So
//! zbus receives only the messages that [`Incoming`] decoded, one by one, and malformed calls are answered with an
//! error here. One read takes all octets that have arrived, whereas zbus reads twice for each message.
//! Invariants: ZBUSTRANSPORT-1. Messages of zbus and error replies of this module are written completely, one after the
//! other. The next write continues one whose future was dropped half way.
//! Limits: those of `incoming`; nothing is read while an error reply waits to be written.
//! Not here: transports that only zbus supports (such as `unixexec`); zbus reads those itself.

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Mutex;
use zbus::{
    Address, Connection, Guid, Message, MessageStream,
    address::transport::Transport,
    connection::{
        Builder,
        socket::{ReadHalf, Split, WriteHalf},
    },
    export::async_trait::async_trait,
    message::Type,
    names::UniqueName,
};

use super::{
    error::ConnectError,
    handshake::{Connected, connect_socket},
    incoming::{Inbound, Incoming},
    queue::{Queue, Written},
    reading::read_into,
    socket::Socket,
};
use crate::{
    errors::Refusal,
    message::{Outgoing, received::without_descriptors},
    report::Report,
};

/// What happens to received file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// They stay with their messages.
    Keep,
    /// They stay with calls of this method, and are closed where other messages bring them.
    Of(&'static str),
    /// They are closed: no method takes descriptors, and queued messages would hold them open.
    Close,
}

/// A connected socket after the handshake, from which a zbus connection is built.
#[derive(Debug)]
pub struct Ready {
    builder: Builder<'static>,
    /// The unique name, if this module and not zbus did the handshake.
    name: Option<Arc<str>>,
}

impl Ready {
    /// Sets how long calls of proxies wait for their replies.
    #[must_use]
    pub fn method_timeout(mut self, timeout: Duration) -> Self {
        self.builder = self.builder.method_timeout(timeout);
        self
    }

    /// Builds the connection.
    ///
    /// # Errors
    /// The connection has failed since the handshake.
    pub async fn connection(self) -> zbus::Result<Connection> {
        let connection = self.builder.build().await?;
        name(&connection, self.name)?;
        Ok(connection)
    }

    /// Builds the connection and returns the stream of all its messages, from the first one.
    ///
    /// # Errors
    /// The connection has failed since the handshake.
    pub async fn stream(self) -> zbus::Result<MessageStream> {
        let stream = self.builder.build_message_stream().await?;
        name(&Connection::from(&stream), self.name)?;
        Ok(stream)
    }
}

/// Sets the unique name, which zbus learns only in a handshake of its own.
fn name(connection: &Connection, name: Option<Arc<str>>) -> zbus::Result<()> {
    match name {
        Some(name) => connection.set_unique_name(UniqueName::try_from(name.to_string())?),
        None => Ok(()),
    }
}

/// Connects to the bus at an address. Error replies to malformed calls are counted in `report`.
///
/// # Errors
/// No bus listens at the address, or it rejects the connection.
pub async fn ready(address: &str, descriptors: Descriptors, report: Report) -> zbus::Result<Ready> {
    let parsed: Address = address.parse()?;
    if !matches!(parsed.transport(), Transport::Unix(_) | Transport::Tcp(_)) {
        let builder = Builder::address(parsed.to_owned());
        return Ok(Ready {
            builder,
            name: None,
        });
    }
    let (socket, connected) = connect_socket(address).await.map_err(|error| match error {
        ConnectError::Address(error) => error,
        ConnectError::Unreachable(error) => {
            zbus::Error::Connection(error.into(), parsed.to_owned().into())
        }
        error => zbus::Error::Handshake(error.to_string()),
    })?;
    let name = connected.unique_name();
    let guid = Guid::try_from(connected.guid.clone())?;
    let split = split(socket, connected, descriptors, report);
    Ok(Ready {
        builder: Builder::authenticated_socket(split, guid),
        name: Some(name),
    })
}

fn split(
    socket: Arc<Socket>,
    connected: Connected,
    descriptors: Descriptors,
    report: Report,
) -> Split<Box<dyn ReadHalf>, Box<dyn WriteHalf>> {
    let Connected {
        incoming,
        takes_descriptors,
        ..
    } = connected;
    let output = Arc::new(Output {
        socket: socket.clone(),
        queue: Mutex::default(),
    });
    let reader = Reader {
        socket,
        incoming,
        current: None,
        descriptors,
        takes_descriptors,
        output: output.clone(),
        report,
    };
    let writer = Writer {
        output,
        takes_descriptors,
    };
    Split::new(Box::new(reader), Box::new(writer))
}

/// The half from which zbus reads.
#[derive(Debug)]
struct Reader {
    socket: Arc<Socket>,
    incoming: Incoming,
    /// The message that zbus is reading.
    current: Option<Current>,
    descriptors: Descriptors,
    takes_descriptors: bool,
    output: Arc<Output>,
    report: Report,
}

/// The rest of a message that zbus has not read yet.
#[derive(Debug)]
struct Current {
    octets: Bytes,
    descriptors: Vec<OwnedFd>,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            if let Some(current) = &mut self.current {
                let len = current.octets.len().min(buffer.len());
                buffer[..len].copy_from_slice(&current.octets.split_to(len));
                let descriptors = std::mem::take(&mut current.descriptors);
                self.current.take_if(|current| current.octets.is_empty());
                return Ok((len, descriptors));
            }
            match self.incoming.next() {
                Some(Inbound::Message(message)) => {
                    self.current = Some(Current::new(message, self.descriptors));
                }
                Some(Inbound::Unreadable(call, refusal)) => self.refuse(&call, &refusal).await?,
                None => read_into(&self.socket, &mut self.incoming)
                    .await
                    .map_err(io::Error::other)?,
            }
        }
    }

    fn can_pass_unix_fd(&self) -> bool {
        self.takes_descriptors
    }
}

impl Reader {
    async fn refuse(&self, call: &Message, refusal: &Refusal) -> io::Result<()> {
        let header = call.header();
        self.report.refused(refusal, Some(&header));
        let error = Message::error(&header, refusal.name());
        match Outgoing::build(error, &refusal.to_string()) {
            Ok(error) => self.output.write(std::slice::from_ref(&*error)).await,
            Err(error) => {
                tracing::error!(%error, "cannot build an error reply");
                Ok(())
            }
        }
    }
}

impl Current {
    fn new(message: Message, descriptors: Descriptors) -> Self {
        let kept = match descriptors {
            Descriptors::Keep => message.data().fds(),
            Descriptors::Of(method) if is_call_of(&message, method) => message.data().fds(),
            Descriptors::Of(_) | Descriptors::Close => &[],
        };
        let copied = kept.iter().map(|fd| fd.as_fd().try_clone_to_owned());
        // Where the table of descriptors is full, the call fails for its types; the connection does not.
        let descriptors: Vec<OwnedFd> = copied.collect::<io::Result<_>>().unwrap_or_default();
        let closed = descriptors
            .is_empty()
            .then(|| without_descriptors(&message));
        Self {
            octets: closed
                .flatten()
                .map_or_else(|| octets(message), Bytes::from),
            descriptors,
        }
    }
}

fn is_call_of(message: &Message, method: &str) -> bool {
    let header = message.header();
    let member = header.member().map(|member| member.as_str());
    message.message_type() == Type::MethodCall && member == Some(method)
}

/// The half to which zbus writes.
#[derive(Debug)]
struct Writer {
    output: Arc<Output>,
    takes_descriptors: bool,
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        self.send_messages(std::slice::from_ref(message)).await
    }

    async fn send_messages(&mut self, messages: &[Message]) -> zbus::Result<()> {
        Ok(self.output.write(messages).await?)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.socket.shut_down()
    }

    fn can_pass_unix_fd(&self) -> bool {
        self.takes_descriptors
    }
}

/// The octets of a message, without a copy.
fn octets(message: Message) -> Bytes {
    struct MessageOwner(Message);
    impl AsRef<[u8]> for MessageOwner {
        fn as_ref(&self) -> &[u8] {
            self.0.data().bytes()
        }
    }
    Bytes::from_owner(MessageOwner(message))
}

/// The output of both halves: messages of zbus, and error replies.
#[derive(Debug)]
struct Output {
    socket: Arc<Socket>,
    /// The message that is being written, and what a dropped write has left.
    /// Locked because both halves write: zbus its messages, and the reader its error replies. Held across awaits, so
    /// that a message is written whole.
    queue: Mutex<Queue>,
}

impl Output {
    async fn write(&self, messages: &[Message]) -> io::Result<()> {
        let mut queue = self.queue.lock().await;
        for message in messages {
            let holder = (!message.data().fds().is_empty()).then(|| message.clone());
            queue.push(octets(message.clone()), holder);
        }
        self.drain(&mut queue).await
    }

    async fn drain(&self, queue: &mut Queue) -> io::Result<()> {
        while queue.write(&self.socket)? == Written::Some {
            self.socket.writable().await?;
        }
        Ok(())
    }
}
