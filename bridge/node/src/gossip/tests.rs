//! The bounds of a gossip that listens.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A gossip that listens, without an actor: its address, and what ends it.
async fn listening() -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let parts = GossipParts {
        id: PeerId::new([1; 16]),
        port: 5671,
        servers: Vec::new(),
        listener: Some(listener),
        requests: mpsc::channel(1).0,
        silence_max: Duration::from_secs(30),
        stop: stop.clone(),
    };
    tokio::spawn(run(parts));
    (address, stop)
}

/// Whether the other end greets, instead of closing.
async fn is_greeted(stream: &mut TcpStream) -> bool {
    let mut greeting = [0; 64];
    let reading = timeout(HANDSHAKE_MAX, stream.read_exact(&mut greeting));
    reading.await.unwrap().is_ok()
}

#[tokio::test]
async fn connections_have_a_bound_and_one_that_ends_makes_room() {
    let (address, _stop) = listening().await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(is_greeted(&mut stream).await);
        connections.push(stream);
    }
    let mut further = TcpStream::connect(address).await.unwrap();
    assert!(!is_greeted(&mut further).await);
    connections.pop();
    let entering =
        async { while !is_greeted(&mut TcpStream::connect(address).await.unwrap()).await {} };
    timeout(HANDSHAKE_MAX, entering).await.unwrap();
}

#[tokio::test]
async fn a_message_has_a_bound() {
    let (address, _stop) = listening().await;
    for (len, is_open) in [(FRAME_LEN_MAX, true), (FRAME_LEN_MAX + 1, false)] {
        let codec = Connection::dealer(b"", Limits::default());
        let address = address.to_string();
        let opened = open(&address, codec, HANDSHAKE_MAX, Duration::from_secs(30)).await;
        let (mut stream, mut codec) = opened.unwrap();
        // It is answered as something that cannot be read, unless it is too long to be read at all.
        codec.send(&[&vec![0; len]]).unwrap();
        stream.write_all(codec.output()).await.unwrap();
        let mut answer = Vec::new();
        let reading = timeout(HANDSHAKE_MAX, stream.read_to_end(&mut answer));
        // The end may be a reset.
        let _ = reading.await.unwrap();
        assert_eq!(!answer.is_empty(), is_open, "{len}");
    }
}
