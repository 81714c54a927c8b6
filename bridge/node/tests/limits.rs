//! The bounds of a node, reached over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use zocp_node::{
    Access, BeaconMode, CapPath, Capability, Config, Content, Event, Events, Limits, Node,
    NodeError, PeerId, model::Method,
};

use common::until;

#[tokio::test]
async fn connections_that_say_nothing_hold_nobody_up_for_longer_than_a_handshake() {
    let (lamp, mut at_lamp) = node("lamp", |limits| {
        limits.handshakes_max = 2;
        limits.handshake_max = Duration::from_millis(300);
    })
    .await;
    let address = ("127.0.0.1", lamp.port());
    let mut silent = [
        TcpStream::connect(address).await.unwrap(),
        TcpStream::connect(address).await.unwrap(),
    ];
    let (desk, _at_desk) = met("desk", &lamp).await;
    entered(&mut at_lamp, desk.id()).await;
    for connection in &mut silent {
        let ended = timeout(Duration::from_secs(10), async {
            // Its greeting, then an end.
            while connection.read(&mut [0; 64]).await.is_ok_and(|len| len > 0) {}
        });
        ended.await.expect("a silent connection stays");
    }
}

#[tokio::test]
async fn silent_connections_of_one_address_hold_up_none_of_another() {
    let (lamp, mut at_lamp) = node("lamp", |limits| {
        limits.handshakes_max = 8;
        limits.handshakes_per_address_max = 4;
        limits.handshake_max = Duration::from_secs(600);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 66], 0).into()).unwrap();
        let address = ([127, 0, 0, 1], lamp.port()).into();
        silent.push(socket.connect(address).await.unwrap());
    }
    let (desk, _at_desk) = met("desk", &lamp).await;
    entered(&mut at_lamp, desk.id()).await;
}

#[tokio::test]
async fn whispers_to_a_peer_that_does_not_read_are_busy_and_no_others() {
    let (source, mut at_source) = node("source", |limits| {
        limits.outgoing_whispers_max = 1 << 20;
    })
    .await;
    // Nobody takes its events, so it soon reads no more.
    let (deaf, _at_deaf) = met("deaf", &source).await;
    let (sink, mut at_sink) = met("sink", &source).await;
    entered(&mut at_source, deaf.id()).await;
    entered(&mut at_source, sink.id()).await;
    let full = async {
        loop {
            match source.try_whisper(deaf.id(), content(&[0; 64 << 10])) {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    };
    let refused = timeout(Duration::from_secs(20), full).await.unwrap();
    assert_eq!(refused, NodeError::Busy);
    source.try_whisper(sink.id(), content(b"x")).unwrap();
    until(&mut at_sink, |event| match event {
        Event::Whispered { content, .. } if content[0][..] == *b"x" => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_not_answered_times_out() {
    let (desk, mut at_desk) = node("desk", |limits| {
        limits.call_max = Duration::from_millis(100);
    })
    .await;
    let (lamp, _at_lamp) = node("lamp", |_| {}).await;
    lamp.publish_method("blink", Method::default())
        .await
        .unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}", lamp.port());
    desk.connect(&endpoint).await.unwrap();
    until(&mut at_desk, |event| {
        matches!(event, Event::TreeKnown { .. }).then_some(())
    })
    .await;
    let answer = desk.call(lamp.id(), "blink", Vec::new()).await;
    assert_eq!(answer, Err(NodeError::Timeout));
}

/// Commands that make events wait when nobody reads them, requests do not, and nothing is lost.
/// A program publishes all that it has before it reads its first event.
#[tokio::test]
async fn thousands_of_capabilities_are_published_before_any_event_is_read() {
    const COUNT: usize = 3000;
    let (lamp, mut at_lamp) = node("lamp", |_| {}).await;
    for number in 0..COUNT {
        let name = format!("level {number}");
        let published = lamp.publish(
            CapPath::root(name.as_str()),
            Capability::new(Access::READ | Access::EMIT, 0),
        );
        timeout(SOON, published).await.unwrap().unwrap();
    }
    let mut added = 0;
    while added < COUNT {
        added += until(&mut at_lamp, |event| match event {
            Event::LocalChanged { changes } => Some(changes.len()),
            _ => None,
        })
        .await;
    }
}

#[tokio::test]
async fn emissions_wait_for_the_reader_of_the_events_and_questions_do_not() {
    const COUNT: usize = 100_000;
    let (lamp, mut at_lamp) = node("lamp", |_| {}).await;
    lamp.publish("level", Capability::new(Access::READ | Access::EMIT, 0))
        .await
        .unwrap();
    let emitted = Arc::new(AtomicUsize::new(0));
    let emitting = {
        let (lamp, emitted) = (lamp.clone(), emitted.clone());
        tokio::spawn(async move {
            for number in 0..COUNT {
                lamp.emit("level", number as i64).await.unwrap();
                emitted.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let waiting = standstill(&lamp, &emitted).await;
    assert!(waiting < COUNT / 10, "{waiting} wait for their reader");
    // Who reads the events, and whom it waits for, is not held up by what waits for it.
    let ours = lamp.for_reader();
    timeout(SOON, ours.emit("level", -1))
        .await
        .unwrap()
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() <= COUNT {
        seen.push(emission(&mut at_lamp).await);
    }
    emitting.await.unwrap();
    let own = seen.iter().position(|number| *number == -1).unwrap();
    seen.remove(own);
    assert!(own < COUNT / 10, "it was behind {own} others");
    assert!(seen.into_iter().eq(0..COUNT as i64));
}

async fn emission(events: &mut Events) -> i64 {
    until(events, |event| match event {
        Event::LocalEmitted { value, .. } => value.as_i64(),
        _ => None,
    })
    .await
}

/// How far a count has come when it does not go on any more, however often the node takes its turn.
async fn standstill(node: &Node, count: &AtomicUsize) -> usize {
    let still = async {
        loop {
            let before = count.load(Ordering::Relaxed);
            for _ in 0..1000 {
                // The answer is a turn of the node.
                node.peers().await.unwrap();
            }
            if before > 0 && count.load(Ordering::Relaxed) == before {
                break before;
            }
        }
    };
    timeout(Duration::from_secs(60), still).await.unwrap()
}

/// A node that nobody finds by itself, with other bounds.
async fn node(name: &str, change: impl FnOnce(&mut Limits)) -> (Node, Events) {
    let mut config = Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    change(&mut config.limits);
    Node::start(config).await.unwrap()
}

/// A node that was told where another is.
async fn met(name: &str, other: &Node) -> (Node, Events) {
    let (node, events) = node(name, |_| {}).await;
    let endpoint = format!("tcp://127.0.0.1:{}", other.port());
    node.connect(&endpoint).await.unwrap();
    (node, events)
}

async fn entered(events: &mut Events, id: PeerId) {
    until(events, |event| match event {
        Event::Entered(info) if info.id == id => Some(()),
        _ => None,
    })
    .await;
}

/// Waits for an event, and fails if it does not come.
const SOON: Duration = Duration::from_secs(20);

fn content(octets: &[u8]) -> Content {
    Content::from_iter([Bytes::copy_from_slice(octets)])
}
