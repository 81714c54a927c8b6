//! One who speaks ZMTP and ZRE octet by octet, well or badly.
//!
//! Model: an [`Intruder`] is a connection to a mailbox, which sends whatever it is told. What comes back is not read,
//! save in the handshake.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A connection to a mailbox.
pub(super) struct Intruder {
    stream: TcpStream,
    id: [u8; 16],
    sequence: u16,
}

impl Intruder {
    /// Connects, and says nothing.
    pub(super) async fn connect(endpoint: &str) -> std::io::Result<Self> {
        let address = endpoint.trim_start_matches("tcp://");
        let connected = timeout(PATIENCE, TcpStream::connect(address)).await?;
        Ok(Self {
            stream: connected?,
            id: rand::random(),
            sequence: 0,
        })
    }

    /// Connects as this identity, with greeting and READY.
    pub(super) async fn enter(endpoint: &str, id: [u8; 16]) -> std::io::Result<Self> {
        let mut intruder = Self::connect(endpoint).await?;
        intruder.id = id;
        intruder.send(&greeting()).await?;
        let mut theirs = [0; 64];
        timeout(PATIENCE, intruder.stream.read_exact(&mut theirs)).await??;
        intruder.send(&ready(&id)).await?;
        let mut head = [0; 2];
        timeout(PATIENCE, intruder.stream.read_exact(&mut head)).await??;
        let mut body = vec![0; usize::from(head[1])];
        timeout(PATIENCE, intruder.stream.read_exact(&mut body)).await??;
        Ok(intruder)
    }

    /// Octets as they are; an end when the other side takes nothing.
    pub(super) async fn send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(octets)).await?
    }

    /// One ZRE command, its content in further frames.
    pub(super) async fn command(
        &mut self,
        id: u8,
        rest: &[u8],
        content: &[&[u8]],
    ) -> std::io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let [high, low] = self.sequence.to_be_bytes();
        let mut body = vec![0xaa, 0xa1, id, 2, high, low];
        body.extend_from_slice(rest);
        let mut octets = frame(&body, !content.is_empty());
        for (number, part) in (1..).zip(content) {
            octets.extend(frame(part, number < content.len()));
        }
        self.send(&octets).await
    }

    /// HELLO as one who speaks ZOCP and our additions.
    pub(super) async fn hello(&mut self, name: &str, endpoint: &str) -> std::io::Result<()> {
        let headers =
            [("X-ZOCP", "1"), ("X-ZOCP-DBUS", "1")].map(|(key, value)| (key.to_owned(), value));
        let hello = hello(name, endpoint, &["ZOCP".to_owned()], &headers);
        self.command(HELLO, &hello, &[]).await
    }

    /// A whisper of one frame.
    pub(super) async fn whisper(&mut self, content: &[u8]) -> std::io::Result<()> {
        self.command(WHISPER, &[], &[content]).await
    }

    /// Whether the other side has hung up by now, or does within a while.
    pub(super) async fn is_out(&mut self, within: Duration) -> bool {
        let mut rest = vec![0; 65_536];
        let end = async { while matches!(self.stream.read(&mut rest).await, Ok(1..)) {} };
        timeout(within, end).await.is_ok()
    }
}

/// What every ZMTP peer says first.
pub(super) fn greeting() -> Vec<u8> {
    let mut octets = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    octets.extend_from_slice(b"NULL");
    octets.resize(64, 0);
    octets
}

fn ready(id: &[u8; 16]) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x11\x01".to_vec();
    body.extend_from_slice(id);
    let mut octets = vec![4, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    octets.extend(body);
    octets
}

/// The fields of a HELLO.
pub(super) fn hello(
    name: &str,
    endpoint: &str,
    groups: &[String],
    headers: &[(String, &str)],
) -> Vec<u8> {
    let mut octets = short(endpoint);
    octets.extend(count(groups.len()));
    groups.iter().for_each(|group| octets.extend(long(group)));
    octets.push(1);
    octets.extend(short(name));
    octets.extend(count(headers.len()));
    for (key, value) in headers {
        octets.extend(short(key));
        octets.extend(long(value));
    }
    octets
}

/// A text of up to 255 octets.
pub(super) fn short(text: &str) -> Vec<u8> {
    let mut octets = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    octets.extend_from_slice(text.as_bytes());
    octets
}

fn long(text: &str) -> Vec<u8> {
    let mut octets = count(text.len());
    octets.extend_from_slice(text.as_bytes());
    octets
}

fn count(number: usize) -> Vec<u8> {
    u32::try_from(number)
        .unwrap_or(u32::MAX)
        .to_be_bytes()
        .to_vec()
}

fn frame(body: &[u8], more: bool) -> Vec<u8> {
    let mut octets = vec![2 | u8::from(more)];
    octets.extend((body.len() as u64).to_be_bytes());
    octets.extend_from_slice(body);
    octets
}

/// The announcement of a frame of this length.
pub(super) fn announcement(length: u64) -> Vec<u8> {
    let mut octets = vec![2];
    octets.extend(length.to_be_bytes());
    octets
}

pub(super) const HELLO: u8 = 1;
pub(super) const WHISPER: u8 = 2;
pub(super) const JOIN: u8 = 4;
pub(super) const LEAVE: u8 = 5;
const PATIENCE: Duration = Duration::from_secs(3);
