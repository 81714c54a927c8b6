//! A connection of zbus on a socket that is read and written here.
//!
//! Model: zbus ends its connection at a message that it does not take, and a program that is on the bus can
//! send it one. So it gets only what [`Incoming`] took, message by message, and who sent a call that was not
//! taken is refused here. It reads what there is at once, where zbus reads twice for each message.
//! Invariants: STACK-1. messages of zbus and refusals of ours are written whole, one after the other. A write
//! that is dropped half way is continued by the next one.
//! Limits: those of `incoming`; nothing is read while a refusal waits to be written.
//! Not here: transports that only zbus knows (a program as the other end); it reads those itself.

#[cfg(test)]
mod tests;

use std::{
    io,
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
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
    names::UniqueName,
};

use super::{
    error::ConnectError,
    handshake::{Connected, connect},
    incoming::{Came, Incoming},
    queue::{Queue, Written},
    reading::read_into,
    socket::Socket,
};
use crate::{
    errors::Refusal,
    message::{Outgoing, received::without_descriptors},
    report::Report,
};

/// What becomes of descriptors that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// They come with their messages.
    Keep,
    /// They are closed: nobody here takes any, and messages that wait would hold them open.
    Close,
}

/// A connection that is greeted, for zbus to go on with.
#[derive(Debug)]
pub struct Ready {
    builder: Builder<'static>,
    /// What the bus calls it, where zbus has not greeted it itself.
    name: Option<Arc<str>>,
}

impl Ready {
    /// Calls of its proxies wait this long for their answers.
    #[must_use]
    pub fn method_timeout(mut self, timeout: Duration) -> Self {
        self.builder = self.builder.method_timeout(timeout);
        self
    }

    /// The connection.
    ///
    /// # Errors
    /// It failed meanwhile.
    pub async fn connection(self) -> zbus::Result<Connection> {
        let connection = self.builder.build().await?;
        name(&connection, self.name)?;
        Ok(connection)
    }

    /// Every message that comes on it, from the first one on.
    ///
    /// # Errors
    /// It failed meanwhile.
    pub async fn stream(self) -> zbus::Result<MessageStream> {
        let stream = self.builder.build_message_stream().await?;
        name(&Connection::from(&stream), self.name)?;
        Ok(stream)
    }
}

/// zbus learns the name in its own greeting only.
fn name(connection: &Connection, name: Option<Arc<str>>) -> zbus::Result<()> {
    match name {
        Some(name) => connection.set_unique_name(UniqueName::try_from(name.to_string())?),
        None => Ok(()),
    }
}

/// Connects to the bus at an address. Refusals are counted in `report`.
///
/// # Errors
/// Nobody is there, or it is no bus that wants us.
pub async fn ready(address: &str, descriptors: Descriptors, report: Report) -> zbus::Result<Ready> {
    let parsed: Address = address.parse()?;
    if !matches!(parsed.transport(), Transport::Unix(_) | Transport::Tcp(_)) {
        let builder = Builder::address(parsed.to_owned());
        return Ok(Ready {
            builder,
            name: None,
        });
    }
    let connected = connect(address).await.map_err(|error| match error {
        ConnectError::Address(error) => error,
        ConnectError::Unreachable(error) => {
            zbus::Error::Connection(error.into(), parsed.to_owned().into())
        }
        error => zbus::Error::Handshake(error.to_string()),
    })?;
    let name = connected.unique_name();
    let guid = Guid::try_from(connected.guid.clone())?;
    let split = split(connected, descriptors, report);
    Ok(Ready {
        builder: Builder::authenticated_socket(split, guid),
        name: Some(name),
    })
}

fn split(
    connected: Connected,
    descriptors: Descriptors,
    report: Report,
) -> Split<Box<dyn ReadHalf>, Box<dyn WriteHalf>> {
    let Connected {
        socket,
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

/// The half that zbus reads from.
#[derive(Debug)]
struct Reader {
    socket: Arc<Socket>,
    incoming: Incoming,
    /// What zbus is reading.
    current: Option<Current>,
    descriptors: Descriptors,
    takes_descriptors: bool,
    output: Arc<Output>,
    report: Report,
}

/// A message, and how much of it is read.
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
                Some(Came::Message(message)) => {
                    self.current = Some(Current::new(message, self.descriptors)?);
                }
                Some(Came::Unreadable(call, refusal)) => self.refuse(&call, &refusal).await?,
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
                tracing::error!(%error, "a refusal cannot be made");
                Ok(())
            }
        }
    }
}

impl Current {
    fn new(message: Message, descriptors: Descriptors) -> io::Result<Self> {
        let kept = match descriptors {
            Descriptors::Keep => message.data().fds(),
            Descriptors::Close => &[],
        };
        let copied = kept.iter().map(|fd| fd.as_fd().try_clone_to_owned());
        let descriptors: Vec<OwnedFd> = copied.collect::<io::Result<_>>()?;
        let closed = descriptors
            .is_empty()
            .then(|| without_descriptors(&message));
        Ok(Self {
            octets: closed
                .flatten()
                .map_or_else(|| octets(message), Bytes::from),
            descriptors,
        })
    }
}

/// The half that zbus writes to.
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
    struct ObjectHandler(Message);
    impl AsRef<[u8]> for ObjectHandler {
        fn as_ref(&self) -> &[u8] {
            self.0.data().bytes()
        }
    }
    Bytes::from_owner(ObjectHandler(message))
}

/// What is written, by both halves.
#[derive(Debug)]
struct Output {
    socket: Arc<Socket>,
    /// What a write that was dropped has left, and what is being written.
    queue: Mutex<Queue>,
}

impl Output {
    async fn write(&self, messages: &[Message]) -> io::Result<()> {
        let mut queue = self.queue.lock().await;
        for message in messages {
            let fds = message.data().fds();
            if fds.is_empty() {
                queue.push(octets(message.clone()));
                continue;
            }
            // They go with the first octet of a write, so their message begins one.
            self.drain(&mut queue).await?;
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            let mut whole = octets(message.clone());
            let len = loop {
                match self.socket.try_write_with(&[IoSlice::new(&whole)], &fds)? {
                    Some(len) => break len,
                    None => self.socket.writable().await?,
                }
            };
            queue.push(whole.split_off(len));
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
