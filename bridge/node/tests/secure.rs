//! Secure meshes of the loopback: who meets whom, and who does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zocp_node::{
    BeaconMode, Config, Content, Event, Events, ExitReason, FirstUse, Invalid, KeyPair, Node,
    NodeError, PeerInfo, Rejection, Security,
};

use common::until;

#[tokio::test]
async fn two_nodes_that_trust_each_other_meet_by_their_beacons_and_talk() {
    let config = |name, number, trusted| {
        secure(name, number, &[trusted])
            .with_beacon(BeaconMode::Broadcast)
            .with_beacon_port(15_669)
    };
    let (lamp, mut at_lamp) = Node::start(config("lamp", 1, 2)).await.unwrap();
    let (desk, mut at_desk) = Node::start(config("desk", 2, 1)).await.unwrap();
    let info = entered(&mut at_desk).await;
    assert_eq!((info.id, info.key), (lamp.id(), Some(pair(1).public())));
    assert!(info.is_secure());
    let told = (String::from("X-PUBLICKEY"), pair(1).public().to_string());
    assert!(info.headers.contains(&told));
    assert_eq!(entered(&mut at_lamp).await.key, desk.key());

    let long = content(&vec![7; 1 << 20]);
    desk.whisper(lamp.id(), long.clone()).await.unwrap();
    let whispered = until(&mut at_lamp, |event| match event {
        Event::Whispered { content, .. } => Some(content),
        _ => None,
    });
    assert_eq!(whispered.await, long);
    assert!(lamp.ping(desk.id()).await.unwrap() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_endpoint_is_met_with_its_key() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1, &[2])).await.unwrap();
    let (desk, mut at_desk) = Node::start(secure("desk", 2, &[1])).await.unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}", lamp.port());
    let without = desk.connect(&endpoint).await;
    assert!(matches!(
        without,
        Err(NodeError::Invalid(Invalid::Connect(_)))
    ));
    let odd = desk.connect(&format!("{endpoint}|key")).await;
    assert!(matches!(odd, Err(NodeError::Invalid(Invalid::Key(_)))));
    desk.connect(&format!("{endpoint}|{}", pair(1).public()))
        .await
        .unwrap();
    assert_eq!(entered(&mut at_desk).await.id, lamp.id());
    assert_eq!(entered(&mut at_lamp).await.id, desk.id());
}

#[tokio::test]
async fn who_is_not_trusted_is_not_let_in_until_it_is() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1, &[])).await.unwrap();
    let (desk, mut at_desk) = Node::start(secure("desk", 2, &[1])).await.unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}|{}", lamp.port(), pair(1).public());
    desk.connect(&endpoint).await.unwrap();
    let stranger = until(&mut at_lamp, |event| match event {
        Event::Stranger(stranger) => Some(stranger),
        Event::Entered(info) => panic!("{info:?}"),
        _ => None,
    })
    .await;
    assert_eq!((stranger.key, stranger.id), (pair(2).public(), desk.id()));
    assert_eq!(lamp.strangers().await.unwrap().len(), 1);
    assert_eq!(lamp.peers().await.unwrap(), []);
    assert_eq!(desk.peers().await.unwrap(), []);

    assert!(lamp.trust(stranger.key).await.unwrap());
    assert_eq!(entered(&mut at_lamp).await.id, desk.id());
    assert_eq!(entered(&mut at_desk).await.id, lamp.id());
    assert_eq!(lamp.strangers().await.unwrap(), []);
    assert_eq!(lamp.trusted().await.unwrap(), [pair(2).public()]);
}

#[tokio::test]
async fn who_is_distrusted_is_gone_at_both_ends() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1, &[2])).await.unwrap();
    let (desk, mut at_desk) = met("desk", 2, &lamp).await;
    entered(&mut at_desk).await;
    entered(&mut at_lamp).await;
    assert!(lamp.distrust(pair(2).public()).await.unwrap());
    let left = until(&mut at_lamp, |event| match event {
        Event::Exited { peer, reason } => Some((peer, reason)),
        _ => None,
    });
    assert_eq!(left.await, (desk.id(), ExitReason::Distrusted));
    until(&mut at_desk, |event| {
        matches!(event, Event::Exited { .. }).then_some(())
    })
    .await;
    assert_eq!(lamp.peers().await.unwrap(), []);
    assert!(!lamp.distrust(pair(2).public()).await.unwrap());
}

#[tokio::test]
async fn a_flood_of_connections_costs_a_bounded_number_of_handshakes_and_no_honest_node_its_place()
{
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1, &[2, 3])).await.unwrap();
    let (desk, mut at_desk) = met("desk", 2, &lamp).await;
    entered(&mut at_desk).await;
    let port = lamp.port();
    let begun = std::time::Instant::now();
    let flood = tokio::spawn(async move {
        let mut greeted = 0;
        for _ in 0..1000 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
            let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
            // Who is not let in reads an end, and never a greeting.
            let mut octets = [0; 64];
            greeted += usize::from(stream.read_exact(&mut octets).await.is_ok());
        }
        greeted
    });
    let (_fader, mut at_fader) = met("fader", 3, &lamp).await;
    entered(&mut at_fader).await;
    for number in 0..100_u8 {
        lamp.whisper(desk.id(), content(&[number])).await.unwrap();
        let whispered = until(&mut at_desk, |event| match event {
            Event::Whispered { content, .. } => Some(content[0][0]),
            _ => None,
        });
        assert_eq!(whispered.await, number);
    }
    let greeted = flood.await.unwrap();
    let turned = lamp.traffic().rejections.tally(Rejection::Rate).count;
    assert_eq!(u64::try_from(1000 - greeted).unwrap(), turned);
    let seconds = 1 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(greeted <= 64 + 16 * seconds, "{greeted}");
    while let Some(event) = at_lamp.try_next() {
        assert!(!matches!(event, Event::Exited { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn on_first_use_every_key_is_trusted_and_told() {
    let mut config = secure("lamp", 1, &[]);
    config.security.as_mut().unwrap().first_use = FirstUse::Trust;
    let (lamp, mut at_lamp) = Node::start(config).await.unwrap();
    let (desk, _at_desk) = met("desk", 2, &lamp).await;
    let learned = until(&mut at_lamp, |event| match event {
        Event::KeyLearned { peer, key, .. } => Some((peer, key)),
        _ => None,
    });
    assert_eq!(learned.await, (desk.id(), pair(2).public()));
    lamp.set_first_use(FirstUse::Refuse).await.unwrap();
    let (_late, _at_late) = met("late", 3, &lamp).await;
    until(&mut at_lamp, |event| {
        matches!(event, Event::Stranger(s) if s.key == pair(3).public()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_without_keys_and_one_with_keys_do_not_meet() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1, &[2])).await.unwrap();
    let (desk, mut at_desk) = Node::start(plain("desk")).await.unwrap();
    desk.connect(&format!("tcp://127.0.0.1:{}", lamp.port()))
        .await
        .unwrap();
    // What a node of an old mesh would see of it.
    let mut stream = TcpStream::connect(("127.0.0.1", lamp.port()))
        .await
        .unwrap();
    let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL".to_vec();
    greeting.resize(64, 0);
    stream.write_all(&greeting).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    // Its greeting and nothing behind it; then it hangs up, perhaps without waiting for the rest.
    let _ = read.await.expect("it hangs up");
    assert!(answer.len() <= 64);
    assert!(answer.is_empty() || answer[12..17] == *b"CURVE");
    while let Some(event) = at_lamp.try_next().or_else(|| at_desk.try_next()) {
        assert!(!matches!(event, Event::Entered(_)), "{event:?}");
    }
    let not_secure = desk.trust(pair(1).public()).await;
    assert_eq!(not_secure, Err(Invalid::NotSecure.into()));
    assert_eq!(desk.key(), None);
}

#[test]
fn a_secure_mesh_has_a_beacon_port_of_its_own_unless_one_is_chosen() {
    assert_eq!(plain("x").beacon_port(), 5670);
    assert_eq!(secure("x", 1, &[]).beacon_port(), 5669);
    let chosen = secure("x", 1, &[]).with_beacon_port(5670);
    assert_eq!(chosen.beacon_port(), 5670);
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn plain(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

/// A node that nobody finds by itself, with the key of a number, which trusts those of others.
fn secure(name: &str, number: u8, trusted: &[u8]) -> Config {
    let trusted = trusted.iter().map(|number| pair(*number).public());
    plain(name).with_security(Security::new(pair(number)).with_trusted(trusted))
}

/// A node with the key of a number that was told where another is, whose key it trusts.
async fn met(name: &str, number: u8, other: &Node) -> (Node, Events) {
    let mut config = secure(name, number, &[]);
    let key = other.key().unwrap();
    config.security.as_mut().unwrap().trusted.push(key);
    config.peers = vec![format!("tcp://127.0.0.1:{}|{key}", other.port())];
    Node::start(config).await.unwrap()
}

async fn entered(events: &mut Events) -> PeerInfo {
    until(events, |event| match event {
        Event::Entered(info) => Some(info),
        _ => None,
    })
    .await
}

/// Waits for an event, and fails if it does not come.
fn content(octets: &[u8]) -> Content {
    Content::from_iter([Bytes::copy_from_slice(octets)])
}
