//! Whether everything that a bus has written to a connection was heard.
//!
//! Model: a [`Gauge`] counts the messages that come in at the socket; whoever hears them counts those
//! that were heard. When both are the same, the kernel has nothing more, and the bus writes each message
//! before it looks at the next, then what was sent before anything that we have heard elsewhere was
//! heard here. dbus-daemon is such a bus; of others that is not known, and they are asked instead.
//! Limits: one read takes at most [`READ_LEN`] octets.
//! Not here: asking the bus (`watch`).

use std::{
    fs, io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use zbus::{
    Address, MessageStream,
    address::transport::{Transport, UnixSocket},
    connection::{
        Builder,
        socket::{ReadHalf, Socket, Split, WriteHalf},
    },
    export::async_trait::async_trait,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Gauge {
    socket: OwnedFd,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Messages that came in at the socket, and were whole.
    came: AtomicU64,
    /// Octets of one that is not whole yet.
    partial: AtomicU64,
    heard: AtomicU64,
}

impl Gauge {
    /// Connects to a bus with a gauge; `None` where the bus is not one of which it could tell.
    pub(super) async fn connect(address: &str) -> Option<zbus::Result<(MessageStream, Self)>> {
        let socket = match address.parse::<Address>().ok()?.transport() {
            Transport::Unix(unix) => unix.path().clone(),
            _ => return None,
        };
        let UnixSocket::File(path) = socket else {
            return None;
        };
        let stream = UnixStream::connect(path).await.ok()?;
        if !is_orderly(&stream) {
            return None;
        }
        let counts = Arc::<Counts>::default();
        let socket = rustix::io::dup(&stream).ok()?;
        let gauged = Gauged(stream, counts.clone());
        let stream = Builder::socket(gauged).build_message_stream().await;
        // The answer to the greeting is not heard on the stream.
        counts.heard.store(1, Ordering::Release);
        Some(stream.map(|stream| (stream, Self { socket, counts })))
    }

    /// A message was heard, and all that it leads to is done.
    pub(super) fn heard(&self) {
        self.counts.heard.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether everything was heard.
    pub(super) fn is_level(&self) -> bool {
        let count = |count: &AtomicU64| count.load(Ordering::Acquire);
        count(&self.counts.partial) == 0
            && count(&self.counts.came) == count(&self.counts.heard)
            && rustix::io::ioctl_fionread(&self.socket).is_ok_and(|waiting| waiting == 0)
    }
}

/// Whether the bus is one that writes each message before it looks at the next.
fn is_orderly(stream: &UnixStream) -> bool {
    let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let name = process.and_then(|process| fs::read_to_string(format!("/proc/{process}/comm")).ok());
    name.is_some_and(|name| name.trim_end() == "dbus-daemon")
}

/// A connection whose messages are counted.
#[derive(Debug)]
struct Gauged(UnixStream, Arc<Counts>);

#[derive(Debug)]
struct Reader {
    half: OwnedReadHalf,
    counts: Arc<Counts>,
    /// What was read and not asked for yet, from `taken` on.
    buffer: Vec<u8>,
    taken: usize,
    framing: Framing,
}

#[derive(Debug)]
struct Writer(OwnedWriteHalf);

impl Socket for Gauged {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        let reader = Reader {
            half: read,
            counts: self.1,
            buffer: Vec::new(),
            taken: 0,
            framing: Framing::default(),
        };
        Split::new(reader, Writer(write))
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, target: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if self.taken == self.buffer.len() && !self.fill().await? {
            return Ok((0, Vec::new()));
        }
        let ready = &self.buffer[self.taken..];
        let len = ready.len().min(target.len());
        target[..len].copy_from_slice(&ready[..len]);
        self.taken += len;
        Ok((len, Vec::new()))
    }
}

impl Reader {
    /// Reads what is there; whether there was anything before the end.
    async fn fill(&mut self) -> io::Result<bool> {
        loop {
            self.half.readable().await?;
            self.buffer.resize(READ_LEN, 0);
            self.taken = 0;
            match self.half.try_read(&mut self.buffer) {
                Ok(len) => {
                    self.buffer.truncate(len);
                    self.framing.follow(&self.buffer);
                    let counts = &self.counts;
                    counts.came.store(self.framing.messages, Ordering::Release);
                    let partial = self.framing.partial();
                    counts.partial.store(partial, Ordering::Release);
                    return Ok(len > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.buffer.clear(),
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(
        &mut self,
        buffer: &[u8],
        _: &[std::os::fd::BorrowedFd<'_>],
    ) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Where messages begin and end: lines of text first, then messages, which begin with a byte order that
/// no line begins with.
#[derive(Debug, Default)]
struct Framing {
    head: Vec<u8>,
    /// Octets of a message that are still to come.
    left: usize,
    is_line: bool,
    messages: u64,
}

impl Framing {
    fn follow(&mut self, mut octets: &[u8]) {
        while let Some(first) = octets.first() {
            if self.left > 0 {
                let len = self.left.min(octets.len());
                octets = &octets[len..];
                self.left -= len;
                self.messages += u64::from(self.left == 0);
            } else if self.is_line || (self.head.is_empty() && !matches!(first, b'l' | b'B')) {
                let end = octets.iter().position(|octet| *octet == b'\n');
                self.is_line = end.is_none();
                octets = &octets[end.map_or(octets.len(), |end| end + 1)..];
            } else {
                let len = (HEAD_LEN - self.head.len()).min(octets.len());
                self.head.extend_from_slice(&octets[..len]);
                octets = &octets[len..];
                if self.head.len() == HEAD_LEN {
                    self.left = rest_of(&self.head);
                    self.head.clear();
                    self.messages += u64::from(self.left == 0);
                }
            }
        }
    }

    fn partial(&self) -> u64 {
        (self.left + self.head.len()) as u64
    }
}

/// How much of a message comes behind its first 16 octets: its fields, padding, its body.
fn rest_of(head: &[u8]) -> usize {
    let number = |at: usize| {
        let octets = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let number = match head[0] {
            b'B' => u32::from_be_bytes(octets),
            _ => u32::from_le_bytes(octets),
        };
        number as usize
    };
    number(12).next_multiple_of(8) + number(4)
}

const HEAD_LEN: usize = 16;
const READ_LEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use zbus::{Connection, Message, fdo::DBusProxy, message::Type, wire::Endian};

    use super::*;
    use crate::testbus::{TestBus, soon};

    #[test]
    fn messages_are_counted_wherever_they_are_cut() {
        let mut octets = b"OK 0123456789abcdef\r\nAGREE\r\n".to_vec();
        for endian in [Endian::Little, Endian::Big, Endian::Little] {
            let message = Message::signal("/a", "org.a.B", "C").endian(endian);
            let message = message.build(&("body", vec![1u64, 2])).unwrap();
            octets.extend_from_slice(message.data().bytes());
        }
        octets.extend_from_slice(Message::signal("/", "a.b", "C").build(&()).unwrap().data());
        for len in [1, 3, 7, 16, 50, octets.len()] {
            let mut framing = Framing::default();
            for part in octets.chunks(len) {
                framing.follow(part);
            }
            assert_eq!(
                (framing.messages, framing.partial()),
                (4, 0),
                "in parts of {len}"
            );
            framing.follow(b"l");
            assert_eq!(framing.partial(), 1);
        }
    }

    #[tokio::test]
    async fn a_gauge_is_level_when_all_was_heard() {
        let bus = TestBus::start();
        let connected = Gauge::connect(&bus.address).await.expect("a dbus-daemon");
        let (mut stream, gauge) = connected.unwrap();
        let client = bus.client().await;
        let name = Connection::from(&stream).unique_name().unwrap().clone();
        for _ in 0..3 {
            let acquired_or_told = soon(stream.next()).await.unwrap().unwrap();
            assert_eq!(acquired_or_told.message_type(), Type::Signal);
            assert!(!gauge.is_level());
            gauge.heard();
            assert!(gauge.is_level());
            let signal = Message::signal("/", "org.a.B", "C").destination(name.as_ref());
            client.send(&signal.build(&()).unwrap()).await.unwrap();
            // The bus has answered, so it has passed the signal on before; nobody has read it yet.
            let bus = DBusProxy::new(&client).await.unwrap();
            bus.get_id().await.unwrap();
            assert!(!gauge.is_level());
        }
    }
}
