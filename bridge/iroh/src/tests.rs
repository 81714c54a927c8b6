//! Two engines on the loopback interface, whose relay is not there: they know each other's addresses.

use std::{collections::HashSet, io, time::Duration};

use iroh::{
    Endpoint, EndpointAddr,
    endpoint::{Connection, presets},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};
use zeroize::Zeroizing;

use crate::{
    Engine, Id, LinkOptions, Options, StartError, accept::HANDSHAKES_MAX, dial::ALPN,
    identity::secret_key, open::STREAMS_MAX,
};

fn link(secret: u8) -> LinkOptions {
    LinkOptions {
        id: Id::of_secret(&[secret; 32]),
        relays: vec!["http://127.0.0.1:9".to_owned()],
        certificate: None,
    }
}

fn options(secret: u8, links: Vec<LinkOptions>) -> Options {
    Options {
        secret: Zeroizing::new([secret; 32]),
        links,
    }
}

/// The engine of bridge 1, which accepts bridge 2, and its mailbox.
async fn engine() -> (Engine, TcpListener) {
    let engine = Engine::start(&options(1, vec![link(2)])).await.unwrap();
    let mailbox = TcpListener::bind("127.0.0.1:0").await.unwrap();
    engine.serve(mailbox.local_addr().unwrap().port());
    (engine, mailbox)
}

async fn endpoint(secret: u8) -> Endpoint {
    let from = Endpoint::builder(presets::Minimal).secret_key(secret_key(&[secret; 32]));
    from.bind().await.unwrap()
}

/// Where the engine of bridge 1 is, if it has this port.
fn at(port: u16) -> EndpointAddr {
    let address = EndpointAddr::new(Id::of_secret(&[1; 32]).endpoint());
    address.with_ip_addr(([127, 0, 0, 1], port).into())
}

async fn connect(engine: &Engine, secret: u8) -> (Endpoint, Connection) {
    let from = endpoint(secret).await;
    let connection = from.connect(at(engine.udp_port()), ALPN).await.unwrap();
    (from, connection)
}

#[tokio::test]
async fn what_is_sent_on_a_stream_arrives_at_the_mailbox_and_the_answer_comes_back() {
    let (engine, mailbox) = engine().await;
    let (_from, connection) = connect(&engine, 2).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(b"greeting").await.unwrap();
    let (mut local, from) = mailbox.accept().await.unwrap();
    assert!(from.ip().is_loopback());
    // One address for each bridge at the other end.
    assert_ne!(from.ip().to_string(), "127.0.0.1");
    let mut octets = [0; 8];
    local.read_exact(&mut octets).await.unwrap();
    assert_eq!(&octets, b"greeting");
    local.write_all(b"answer").await.unwrap();
    let mut octets = [0; 6];
    receive.read_exact(&mut octets).await.unwrap();
    assert_eq!(&octets, b"answer");
    // The end of the connection is that of the socket, at once.
    connection.close(0_u32.into(), b"");
    let end = timeout(Duration::from_secs(5), local.read(&mut octets)).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
}

#[tokio::test]
async fn a_bridge_that_no_link_names_reaches_no_mailbox() {
    let (engine, mailbox) = engine().await;
    let (_from, stranger) = connect(&engine, 3).await;
    let reason = stranger.closed().await.to_string();
    assert!(reason.contains("not linked"), "{reason}");
    // Whoever comes next is the first that the mailbox sees.
    let (_from, friend) = connect(&engine, 2).await;
    let (mut send, _receive) = friend.open_bi().await.unwrap();
    send.write_all(b"friend").await.unwrap();
    let mut octets = [0; 6];
    let (mut local, _) = mailbox.accept().await.unwrap();
    local.read_exact(&mut octets).await.unwrap();
    assert_eq!(&octets, b"friend");
}

#[tokio::test]
async fn streams_have_a_bound_and_one_that_ends_makes_room() {
    let (engine, mailbox) = engine().await;
    let (_from, connection) = connect(&engine, 2).await;
    let mut open = Vec::new();
    let mut locals: Vec<TcpStream> = Vec::new();
    for _ in 0..STREAMS_MAX {
        let mut streams = connection.open_bi().await.unwrap();
        streams.0.write_all(b"x").await.unwrap();
        open.push(streams);
        let (mut local, _) = mailbox.accept().await.unwrap();
        local.read_exact(&mut [0]).await.unwrap();
        locals.push(local);
    }
    let further = timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(further.is_err(), "more than {STREAMS_MAX} streams");
    // The other end is told of room in portions of an eighth.
    for _ in 0..STREAMS_MAX / 4 {
        let (mut send, mut receive) = open.remove(0);
        send.finish().unwrap();
        drop(locals.remove(0));
        let end = receive.read_to_end(1).await;
        assert!(end.as_ref().is_ok_and(Vec::is_empty), "{end:?}");
    }
    connection.open_bi().await.unwrap();
}

#[tokio::test]
async fn handshakes_under_way_have_a_bound() {
    let (engine, _mailbox) = engine().await;
    // The first packet of each is passed on, and no answer to it.
    let hole = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = hole.local_addr().unwrap().port();
    let (mut seen, mut clients) = (HashSet::new(), Vec::new());
    for _ in 0..HANDSHAKES_MAX {
        let from = endpoint(3).await;
        clients.push(tokio::spawn(async move {
            from.connect(at(port), ALPN).await.is_ok()
        }));
        loop {
            let mut octets = [0; 2048];
            let (len, _) = hole.recv_from(&mut octets).await.unwrap();
            // The id of the connection that the client chose: others send theirs again.
            if seen.insert(octets[6..14].to_vec()) {
                let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let target = ("127.0.0.1", engine.udp_port());
                sender.send_to(&octets[..len], target).await.unwrap();
                break;
            }
        }
    }
    let further = endpoint(2).await.connect(at(engine.udp_port()), ALPN).await;
    let error = further.map(|_| ()).expect_err("one more than may be");
    let error = format!("{error:?}");
    assert!(
        error.contains("refused") || error.contains("CONNECTION_REFUSED"),
        "{error}"
    );
    for client in clients {
        client.abort();
    }
}

#[tokio::test]
async fn a_second_connection_of_a_bridge_replaces_the_first() {
    let (engine, _mailbox) = engine().await;
    let (_from, first) = connect(&engine, 2).await;
    let (_again, second) = connect(&engine, 2).await;
    let reason = first.closed().await.to_string();
    assert!(reason.contains("replaced"), "{reason}");
    assert!(second.close_reason().is_none());
}

#[tokio::test]
async fn one_of_two_ends_dials() {
    let (one, two) = (Id::of_secret(&[1; 32]), Id::of_secret(&[2; 32]));
    let first = Engine::start(&options(1, vec![link(2)])).await.unwrap();
    let second = Engine::start(&options(2, vec![link(1)])).await.unwrap();
    assert_ne!(first.port(two).is_some(), second.port(one).is_some());
    let dials = if first.port(two).is_some() {
        &first
    } else {
        &second
    };
    let port = dials
        .port(if first.port(two).is_some() { two } else { one })
        .unwrap();
    assert!(port.ip().is_loopback());
    // Nobody is there: whoever dials is told by the end of the connection, not left waiting for ever.
    let mut local = TcpStream::connect(port).await.unwrap();
    let end = timeout(Duration::from_secs(30), local.read(&mut [0]))
        .await
        .expect("an end");
    assert!(
        matches!(&end, Ok(0))
            || matches!(&end, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
    );
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn wrong_options_are_refused_with_what_to_do() {
    let refused = async |change: fn(&mut LinkOptions)| {
        let mut link = link(2);
        change(&mut link);
        let error = Engine::start(&options(1, vec![link])).await.err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    let text = refused(|link| link.relays.clear()).await;
    assert!(text.contains("relay = [\"https://HOST\"]"), "{text}");
    for odd in ["relay.example", "ftp://relay.example", "https://", ""] {
        let mut link = link(2);
        link.relays = vec![odd.to_owned()];
        let error = crate::check(&link).unwrap_err();
        assert!(
            matches!(&error, StartError::Relay(text) if text == odd),
            "{odd}: {error}"
        );
    }
    let text = refused(|link| link.id = Id::of_secret(&[1; 32])).await;
    assert!(text.contains("this bridge itself"), "{text}");
    let text = refused(|link| link.certificate = Some(b"nothing".to_vec())).await;
    assert!(text.contains("no CERTIFICATE"), "{text}");
}

#[tokio::test]
async fn links_come_and_go_while_the_engine_runs() {
    let engine = Engine::start(&options(1, Vec::new())).await.unwrap();
    let mailbox = TcpListener::bind("127.0.0.1:0").await.unwrap();
    engine.serve(mailbox.local_addr().unwrap().port());
    let id = link(2).id;
    assert!(engine.state(id).is_none() && !engine.remove(id).await);
    for _ in 0..2 {
        let port = engine.add(&link(2)).await.unwrap();
        assert_eq!(port, engine.port(id));
        let again = engine.add(&link(2)).await.unwrap_err().to_string();
        assert!(again.contains("already"), "{again}");
        let mut changes = engine.changes();
        let (_from, connection) = connect(&engine, 2).await;
        changes.wait_for(|count| *count > 0).await.unwrap();
        while engine.state(id).and_then(|it| it.way) != Some(crate::Way::Direct) {
            changes.changed().await.unwrap();
        }
        assert!(engine.remove(id).await);
        let reason = connection.closed().await.to_string();
        assert!(reason.contains("removed"), "{reason}");
        if let Some(port) = port {
            assert!(TcpStream::connect(port).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_bridge_is_known_by_the_local_endpoint_that_stands_for_it() {
    let engine = Engine::start(&options(1, vec![link(2), link(3), link(4)]))
        .await
        .unwrap();
    for secret in 2..5 {
        let id = link(secret).id;
        let at = engine
            .port(id)
            .unwrap_or_else(|| (crate::accept::source(id), 7).into());
        assert_eq!(engine.behind(at), Some(id));
    }
    assert_eq!(engine.behind(([127, 0, 0, 1], 1).into()), None);
    assert_eq!(engine.behind(([10, 0, 0, 1], 1).into()), None);
}
