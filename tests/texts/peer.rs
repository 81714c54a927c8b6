//! A peer that says whatever it is told, octet by octet.
//!
//! Model: one connection to the bridge's mailbox, which speaks; one listener, where the bridge speaks to it:
//! all that it says is kept as it comes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use zocp_testkit::in_time;

/// See the [module](self).
pub(crate) struct Peer {
    stream: TcpStream,
    id: [u8; 16],
    sequence: u16,
    endpoint: String,
    heard: Arc<Heard>,
}

/// What the bridge said.
#[derive(Default)]
struct Heard {
    octets: Mutex<Vec<u8>>,
    more: Notify,
}

/// What a HELLO says, whatever octets that are.
pub(crate) struct Hello<'a> {
    pub(crate) name: &'a [u8],
    /// The true one where there is none.
    pub(crate) endpoint: Option<&'a [u8]>,
    pub(crate) groups: &'a [&'a [u8]],
    pub(crate) headers: &'a [(&'a [u8], &'a [u8])],
}

impl Peer {
    /// Connects to a mailbox, with greeting and READY.
    pub(crate) async fn connect(mailbox: &str, number: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let heard = Arc::<Heard>::default();
        tokio::spawn(listen(listener, heard.clone()));
        let stream = TcpStream::connect(mailbox.trim_start_matches("tcp://")).await;
        let mut peer = Self {
            stream: stream.expect("a mailbox"),
            id: [number; 16],
            sequence: 0,
            endpoint: format!("tcp://127.0.0.1:{port}"),
            heard,
        };
        let identity = [&[1], &peer.id[..]].concat();
        in_time("a handshake", greet(&mut peer.stream, "DEALER", &identity))
            .await
            .expect("a handshake");
        peer
    }

    /// Its UUID.
    pub(crate) fn uuid(&self) -> String {
        self.id.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    pub(crate) async fn hello(&mut self, hello: &Hello<'_>) {
        let endpoint = self.endpoint.clone();
        let mut body = short(hello.endpoint.unwrap_or(endpoint.as_bytes()));
        body.extend(count(hello.groups.len()));
        hello
            .groups
            .iter()
            .for_each(|group| body.extend(long(group)));
        body.push(1);
        body.extend(short(hello.name));
        body.extend(count(hello.headers.len()));
        for (name, value) in hello.headers {
            body.extend(short(name));
            body.extend(long(value));
        }
        self.command(HELLO, &body, &[]).await;
    }

    pub(crate) async fn whisper(&mut self, content: &[u8]) {
        self.command(WHISPER, &[], &[content]).await;
    }

    pub(crate) async fn shout(&mut self, group: &[u8], content: &[u8]) {
        self.command(SHOUT, &short(group), &[content]).await;
    }

    pub(crate) async fn join(&mut self, group: &[u8], status: u8) {
        self.command(JOIN, &[short(group), vec![status]].concat(), &[])
            .await;
    }

    /// The number of the next call that the bridge makes.
    pub(crate) async fn called(&self) -> u64 {
        in_time("a call", async {
            loop {
                if let Some(id) = self.heard.take_call() {
                    return id;
                }
                self.heard.more.notified().await;
            }
        })
        .await
    }

    async fn command(&mut self, id: u8, rest: &[u8], content: &[&[u8]]) {
        self.sequence = self.sequence.wrapping_add(1);
        let [high, low] = self.sequence.to_be_bytes();
        let mut body = vec![0xaa, 0xa1, id, 2, high, low];
        body.extend_from_slice(rest);
        let mut octets = frame(&body, !content.is_empty());
        for (number, part) in (1..).zip(content) {
            octets.extend(frame(part, number < content.len()));
        }
        in_time("the bridge to read", self.stream.write_all(&octets))
            .await
            .expect("the bridge hung up");
    }
}

impl Heard {
    /// The number of the first call that is whole, which is taken out with all before it.
    fn take_call(&self) -> Option<u64> {
        let mut octets = self.locked();
        let text = String::from_utf8_lossy(&octets).into_owned();
        let (_, call) = text.split_once("\"CALL\"")?;
        let (_, id) = call.split_once("\"id\":")?;
        let end = id.find(['}', ','])?;
        let id = id[..end].trim().parse().ok()?;
        octets.clear();
        Some(id)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.octets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what comes.
async fn listen(listener: TcpListener, heard: Arc<Heard>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let heard = heard.clone();
        tokio::spawn(async move {
            if greet(&mut stream, "ROUTER", &[]).await.is_ok() {
                let mut octets = vec![0; 65_536];
                while let Ok(len @ 1..) = stream.read(&mut octets).await {
                    heard.locked().extend_from_slice(&octets[..len]);
                    heard.more.notify_one();
                }
            }
        });
    }
}

/// Both ends of a handshake of ZMTP, as far as anybody has to know.
async fn greet(stream: &mut TcpStream, socket: &str, identity: &[u8]) -> std::io::Result<()> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    stream.write_all(&greeting).await?;
    stream.read_exact(&mut [0; 64]).await?;
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    body.extend(long(socket.as_bytes()));
    body.extend_from_slice(b"\x08Identity");
    body.extend(long(identity));
    let head = [4, u8::try_from(body.len()).expect("it is short")];
    stream.write_all(&[&head, &body[..]].concat()).await?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    stream
        .read_exact(&mut vec![0; usize::from(head[1])])
        .await?;
    Ok(())
}

/// A text of up to 255 octets.
fn short(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(255)];
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[len], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&count(text.len()), text].concat()
}

fn count(number: usize) -> Vec<u8> {
    u32::try_from(number)
        .expect("it is few")
        .to_be_bytes()
        .to_vec()
}

fn frame(body: &[u8], more: bool) -> Vec<u8> {
    let mut octets = vec![2 | u8::from(more)];
    octets.extend((body.len() as u64).to_be_bytes());
    octets.extend_from_slice(body);
    octets
}

const HELLO: u8 = 1;
const WHISPER: u8 = 2;
const SHOUT: u8 = 3;
const JOIN: u8 = 4;
