//! Nodes on a mesh of the loopback: what a user of this crate sees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use zocp_node::{
    Access, BeaconMode, CapPath, Capability, Config, Content, Event, Events, Method, Node,
    NodeError, PeerId, Rejection,
};

use common::until;

#[tokio::test]
async fn a_node_that_nobody_holds_any_more_leaves_the_mesh() {
    let (lamp, at_lamp) = node("lamp").await;
    let (desk, mut at_desk) = met("desk", &lamp).await;
    let id = lamp.id();
    until(&mut at_desk, |event| match event {
        Event::TreeKnown { peer, .. } if peer == id => Some(()),
        _ => None,
    })
    .await;
    let handle = lamp.clone();
    drop((lamp, at_lamp));
    desk.ping(id).await.unwrap();
    drop(handle);
    until(&mut at_desk, |event| match event {
        Event::Exited { peer, .. } if peer == id => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_value_is_seen_set_and_followed_by_another_node() {
    let (lamp, mut at_lamp) = node("lamp").await;
    lamp.publish(
        "level",
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5).with_range(0.0, 1.0),
    )
    .await
    .unwrap();
    let (desk, mut at_desk) = met("desk", &lamp).await;

    let tree = until(&mut at_desk, |event| match event {
        Event::TreeKnown { peer, tree } if peer == lamp.id() => Some(tree),
        _ => None,
    })
    .await;
    assert_eq!(
        tree.capabilities().next().unwrap().1.value,
        Some(0.5.into())
    );

    desk.set(lamp.id(), CapPath::root("level"), 0.75)
        .await
        .unwrap();
    let set = until(&mut at_lamp, |event| match event {
        Event::LocalSet { peer, path, value } if peer == desk.id() => Some((path, value)),
        _ => None,
    })
    .await;
    assert_eq!(set, (CapPath::root("level"), 0.75.into()));

    lamp.emit("level", 0.9).await.unwrap();
    let emitted = until(&mut at_desk, |event| match event {
        Event::Emitted { value, .. } => Some(value),
        _ => None,
    })
    .await;
    assert_eq!(emitted, 0.9);
}

#[tokio::test]
async fn what_another_node_would_not_take_is_refused_here() {
    let (lamp, _at_lamp) = node("lamp").await;
    lamp.publish(
        "level",
        Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0),
    )
    .await
    .unwrap();
    lamp.publish("serial", Capability::new(Access::READ, "x1"))
        .await
        .unwrap();
    let (desk, mut at_desk) = met("desk", &lamp).await;
    until(&mut at_desk, |event| {
        matches!(event, Event::TreeKnown { .. }).then_some(())
    })
    .await;
    for (name, value) in [
        ("level", "2.0"),
        ("level", "\"x\""),
        ("serial", "\"x2\""),
        ("none", "1"),
    ] {
        let value: zocp_node::Value = value.parse().unwrap();
        let refused = desk.set(lamp.id(), CapPath::root(name), value).await;
        assert!(
            matches!(refused, Err(NodeError::Invalid(_))),
            "{name}: {refused:?}"
        );
    }
}

// protocol.md §6.1
#[tokio::test]
async fn a_node_without_extensions_is_treated_like_an_old_one() {
    let config = Config::new("lamp")
        .with_loopback()
        .with_beacon(BeaconMode::Off)
        .without_extensions();
    let (lamp, mut at_lamp) = Node::start(config).await.unwrap();
    let access = Access::READ | Access::WRITE;
    lamp.publish("level", Capability::new(access, 0.5))
        .await
        .unwrap();
    lamp.publish_method("blink", Method::default())
        .await
        .unwrap();
    let (desk, mut at_desk) = met("desk", &lamp).await;
    let info = until(&mut at_desk, |event| match event {
        Event::Entered(info) => Some(info),
        _ => None,
    });
    let info = info.await;
    assert!(info.zocp && !info.extended, "{info:?}");
    let is_known = |event| matches!(event, Event::TreeKnown { .. }).then_some(());
    until(&mut at_desk, is_known).await;
    let called = desk.call(lamp.id(), "blink", Vec::new()).await;
    assert_eq!(called, Err(NodeError::NotSupported));
    desk.set(lamp.id(), "level", 0.75).await.unwrap();
    until(&mut at_lamp, |event| match event {
        Event::LocalSet { value, .. } if value == 0.75 => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_flood_arrives_whole_and_in_order_although_nobody_reads_at_first() {
    const COUNT: u32 = 200_000;
    let (sink, mut at_sink) = node("sink").await;
    let (source, mut at_source) = met("source", &sink).await;
    entered(&mut at_source, sink.id()).await;
    let to = sink.id();
    let send = tokio::spawn(async move {
        for number in 0..COUNT {
            source
                .whisper(to, content(&number.to_be_bytes()))
                .await
                .unwrap();
        }
        source
    });
    let mut expected = 0;
    while expected < COUNT {
        let number = until(&mut at_sink, |event| match event {
            Event::Whispered { content, .. } => Some(content[0].clone()),
            _ => None,
        })
        .await;
        assert_eq!(number[..], expected.to_be_bytes());
        expected += 1;
    }
    send.await.unwrap();
}

#[tokio::test]
async fn a_node_that_ends_is_gone_at_once() {
    let (lamp, _at_lamp) = node("lamp").await;
    let (desk, mut at_desk) = met("desk", &lamp).await;
    entered(&mut at_desk, lamp.id()).await;
    lamp.shutdown().await;
    let gone = until(&mut at_desk, |event| match event {
        Event::Exited { peer, .. } => Some(peer),
        _ => None,
    })
    .await;
    assert_eq!(gone, lamp.id());
    let refused = desk.whisper(lamp.id(), content(b"x")).await;
    assert_eq!(refused, Err(NodeError::NodeGone(lamp.id())));
    assert_eq!(lamp.groups().await, Err(NodeError::Closed));
}

#[tokio::test]
async fn a_peer_that_asks_and_does_not_listen_does_not_hold_up_the_end() {
    let (lamp, _at_lamp) = node("lamp").await;
    let socket = TcpSocket::new_v4().unwrap();
    // Little room between the two: buffers go by the size of segments.
    socket.set_recv_buffer_size(2048).unwrap();
    socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
    let address = ([127, 0, 0, 1], lamp.port()).into();
    let mut peer = socket.connect(address).await.unwrap();
    let mut codec = zocp_zmtp::Connection::dealer(&[1; 17], zocp_zmtp::Limits::default());
    let mut buffer = [0; 1024];
    loop {
        let written = peer.write(codec.output()).await.unwrap();
        codec.consume_output(written);
        if codec.is_ready() && codec.output_len() == 0 {
            break;
        }
        let len = peer.read(&mut buffer).await.unwrap();
        codec.handle_input(&buffer[..len]).unwrap();
    }
    let mut ping = b"\x04\x17\x04PING\0\0".to_vec();
    ping.resize(2 + 0x17, b'x');
    let pings = ping.repeat(64);
    // Until the answers have filled all there is between the two.
    while let Ok(written) = timeout(Duration::from_millis(500), peer.write_all(&pings)).await {
        written.unwrap();
        tokio::task::yield_now().await;
    }
    timeout(Duration::from_secs(5), lamp.shutdown())
        .await
        .expect("the end is held up");
}

#[tokio::test]
async fn groups_shouts_and_pings_work() {
    let (lamp, mut at_lamp) = node("lamp").await;
    let (desk, mut at_desk) = met("desk", &lamp).await;
    entered(&mut at_desk, lamp.id()).await;
    lamp.join("lights").await.unwrap();
    until(&mut at_desk, |event| {
        matches!(event, Event::Joined { group, .. } if group == "lights").then_some(())
    })
    .await;
    desk.shout("lights", content(b"on")).await.unwrap();
    let shouted = until(&mut at_lamp, |event| match event {
        Event::Shouted { group, content, .. } => Some((group, content)),
        _ => None,
    })
    .await;
    assert_eq!(shouted, (String::from("lights"), content(b"on")));
    assert!(desk.ping(lamp.id()).await.unwrap() < Duration::from_secs(5));
}

#[tokio::test]
async fn nodes_find_each_other_by_beacons_on_the_loopback() {
    let config = |name| Config::new(name).with_loopback().with_beacon_port(15_670);
    let (lamp, _at_lamp) = Node::start(config("lamp")).await.unwrap();
    let (_desk, mut at_desk) = Node::start(config("desk")).await.unwrap();
    entered(&mut at_desk, lamp.id()).await;
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named_with_those_that_are() {
    let config = Config::new("lamp").with_interfaces(["nix0"]);
    let error = Node::start(config).await.unwrap_err().to_string();
    assert!(
        error.contains("nix0") && error.contains("lo (127.0.0.1)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_mailbox_takes_the_first_port_of_its_range_that_is_free_and_names_one_that_is_taken() {
    let (first, last) = two_ports();
    let start = |ports: String| {
        let config = Config::new("lamp")
            .with_loopback()
            .with_beacon(BeaconMode::Off);
        Node::start(config.with_mailbox_ports(ports.parse().unwrap()))
    };
    let range = format!("{first}-{last}");
    let (one, _at_one) = start(range.clone()).await.unwrap();
    let (two, _at_two) = start(range.clone()).await.unwrap();
    assert_eq!([one.port(), two.port()], [first, last]);
    for ports in [first.to_string(), range] {
        let error = start(ports.clone()).await.unwrap_err().to_string();
        let names_it = error.contains(&format!("port {ports}")) && error.contains("mailbox_port");
        assert!(names_it, "{error}");
    }
    one.shutdown().await;
    let (again, _at_again) = start(first.to_string()).await.unwrap();
    assert_eq!(again.port(), first);
}

/// Two ports in a row that nobody has. Below those that the system chooses, so that nobody gets them meanwhile.
fn two_ports() -> (u16, u16) {
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 10_000 + (std::process::id() % 10_000) as u16 * 2;
    let mut ports = (start..30_000).step_by(2);
    let port = ports.find(|port| is_free(*port) && is_free(*port + 1));
    let port = port.expect("two free ports");
    (port, port + 1)
}

/// An old peer over a real socket: it is counted for what it is, whichever side connects.
#[tokio::test]
async fn a_peer_of_zmtp_2_is_counted_as_one() {
    const ZMTP_2: &[u8] = b"\xff\0\0\0\0\0\0\0\0\x7f\x01\x05\0\0";
    let (lamp, _at_lamp) = node("lamp").await;
    let version = |lamp: &Node| lamp.traffic().rejections.tally(Rejection::Version).count;
    let mut old = TcpStream::connect(("127.0.0.1", lamp.port()))
        .await
        .unwrap();
    old.write_all(ZMTP_2).await.unwrap();
    let ended = async { while old.read(&mut [0; 64]).await.is_ok_and(|len| len > 0) {} };
    timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(version(&lamp), 1);
    let mailbox = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("tcp://{}", mailbox.local_addr().unwrap());
    lamp.connect(&endpoint).await.unwrap();
    let (mut dialed, _) = mailbox.accept().await.unwrap();
    dialed.write_all(ZMTP_2).await.unwrap();
    let ended = async { while dialed.read(&mut [0; 64]).await.is_ok_and(|len| len > 0) {} };
    timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(version(&lamp), 2);
}

/// It opens a connection and names an endpoint where nobody is, with nobody at its address either.
#[tokio::test]
async fn who_can_only_dial_us_is_told_to_be_unreachable() {
    let (lamp, mut at_lamp) = node("lamp").await;
    let mut stream = TcpStream::connect(("127.0.0.1", lamp.port()))
        .await
        .unwrap();
    let mut codec = zocp_zmtp::Connection::dealer(&[1; 17], zocp_zmtp::Limits::default());
    let (port, _) = two_ports();
    let hello = zocp_zre::Command::Hello(Box::new(zocp_zre::Hello {
        endpoint: format!("tcp://127.0.0.1:{port}"),
        name: "natted".into(),
        ..Default::default()
    }));
    let mut header = Vec::new();
    hello.encode(1, &mut header);
    let mut buffer = [0; 1024];
    while !codec.is_ready() || codec.output_len() > 0 {
        let written = stream.write(codec.output()).await.unwrap();
        codec.consume_output(written);
        if !codec.is_ready() {
            let len = stream.read(&mut buffer).await.unwrap();
            codec.handle_input(&buffer[..len]).unwrap();
        } else if !header.is_empty() {
            codec.send(&[&std::mem::take(&mut header)]).unwrap();
        }
    }
    let id = PeerId::new([1; 16]);
    until(&mut at_lamp, |event| match event {
        Event::Unreachable { peer } if peer == id => Some(()),
        _ => None,
    })
    .await;
    assert!(lamp.peers().await.unwrap()[0].unreachable);
    let unreachable = NodeError::Unreachable(id);
    let told = lamp.whisper(id, content(b"x")).await;
    assert_eq!(told, Err(unreachable.clone()));
    let set = lamp.set(id, CapPath::root("level"), 1).await;
    assert_eq!(set, Err(unreachable.clone()));
    assert_eq!(lamp.ping(id).await, Err(unreachable));
}

/// A node that nobody finds by itself.
async fn node(name: &str) -> (Node, Events) {
    let config = Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    Node::start(config).await.unwrap()
}

/// A node that was told where another is.
async fn met(name: &str, other: &Node) -> (Node, Events) {
    let (node, events) = node(name).await;
    node.connect(&format!("tcp://127.0.0.1:{}", other.port()))
        .await
        .unwrap();
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
fn content(octets: &[u8]) -> Content {
    Content::from_iter([Bytes::copy_from_slice(octets)])
}
