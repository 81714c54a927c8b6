//! Nodes that send to each other on one connection, since only one of the two can dial the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use zocp_node::{
    Access, BeaconMode, Capability, Config, Content, Event, Events, ExitReason, Invalid, KeyPair,
    Node, NodeError, PeerInfo, Received, Security, SharedWay,
};

use common::until;

#[tokio::test]
async fn both_nodes_send_on_the_connection_of_one_and_see_each_other_as_ever() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1)).await.unwrap();
    let level = Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5);
    lamp.publish("level", level).await.unwrap();
    let (desk, mut at_desk) = linked("desk", 2, &lamp).await;
    assert_eq!(entered(&mut at_desk).await.id, lamp.id());
    assert_eq!(entered(&mut at_lamp).await.id, desk.id());
    // The tree comes on the desk's own connection.
    let tree = until(&mut at_desk, |event| match event {
        Event::TreeKnown { tree, .. } => Some(tree),
        _ => None,
    })
    .await;
    assert_eq!(tree.capabilities().count(), 1);
    let way = async |node: &Node, of| node.peer(of).await.unwrap().unwrap().shared;
    assert_eq!(way(&desk, lamp.id()).await, Some(SharedWay::Ours));
    assert_eq!(way(&lamp, desk.id()).await, Some(SharedWay::Theirs));

    desk.set(lamp.id(), "level", 0.75).await.unwrap();
    until(&mut at_lamp, |event| match event {
        Event::LocalSet { value, .. } if value == 0.75 => Some(()),
        _ => None,
    })
    .await;
    lamp.emit("level", 0.25).await.unwrap();
    until(&mut at_desk, |event| match event {
        Event::Emitted { value, .. } if value == 0.25 => Some(()),
        _ => None,
    })
    .await;
    for (node, to) in [(&desk, lamp.id()), (&lamp, desk.id())] {
        assert!(node.ping(to).await.unwrap() < SOON);
        node.join("lights").await.unwrap();
    }
    for (events, of) in [(&mut at_desk, lamp.id()), (&mut at_lamp, desk.id())] {
        let joined = |event| match event {
            Event::Joined { peer, group } if peer == of => Some(group),
            _ => None,
        };
        assert_eq!(until(events, joined).await, "lights");
    }
}

#[tokio::test]
async fn much_goes_both_ways_at_once_in_order() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1)).await.unwrap();
    let (desk, mut at_desk) = linked("desk", 2, &lamp).await;
    entered(&mut at_desk).await;
    entered(&mut at_lamp).await;
    let send = async |from: &Node, to| {
        for number in 0..MANY {
            let mut octets = vec![7; if number % 100 == 0 { 300_000 } else { 20 }];
            octets[..4].copy_from_slice(&number.to_be_bytes());
            let content = Content::from_iter([Bytes::from(octets)]);
            from.whisper(to, content).await.unwrap();
        }
    };
    let receive = async |events: &mut Events| {
        for number in 0..MANY {
            let octets = until(events, |event| match event {
                Event::Whispered { content, .. } => Some(content[0].clone()),
                _ => None,
            })
            .await;
            assert_eq!(octets[..4], number.to_be_bytes());
        }
    };
    tokio::join!(
        send(&desk, lamp.id()),
        send(&lamp, desk.id()),
        receive(&mut at_desk),
        receive(&mut at_lamp),
    );
}

#[tokio::test]
async fn a_channel_is_opened_by_who_can_dial_whoever_asks_for_it() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1)).await.unwrap();
    let (desk, mut at_desk) = linked("desk", 2, &lamp).await;
    entered(&mut at_desk).await;
    entered(&mut at_lamp).await;
    for (asks, gives, events) in [(&desk, &lamp, &mut at_lamp), (&lamp, &desk, &mut at_desk)] {
        let asked = asks.request_channel(gives.id(), "a film".into());
        let given = async {
            let request = until(events, |event| match event {
                Event::ChannelRequested(request) => Some(request),
                _ => None,
            });
            gives.accept_channel(&request.await).await
        };
        let (asked, given) = tokio::join!(asked, given);
        let (asked, given) = (asked.unwrap(), given.unwrap());
        asked.send(b"to who gives").await.unwrap();
        given.send(b"to who asks").await.unwrap();
        for (channel, wanted) in [(given, "to who gives"), (asked, "to who asks")] {
            let received = channel.receive().await.unwrap();
            assert_eq!(received, Received::Piece(wanted.into()));
        }
    }
}

#[tokio::test]
async fn either_end_that_leaves_is_gone_at_once_and_what_it_said_before_arrives() {
    for leaver in [0, 1] {
        let (lamp, at_lamp) = Node::start(secure("lamp", 1)).await.unwrap();
        let (desk, at_desk) = linked("desk", 2, &lamp).await;
        let mut ends = [(lamp, at_lamp), (desk, at_desk)];
        for (_, events) in &mut ends {
            entered(events).await;
        }
        let [first, second] = ends;
        let ((leaver, at_leaver), (stays, mut events)) = match leaver {
            0 => (first, second),
            _ => (second, first),
        };
        let last = Content::from_iter([Bytes::from_static(b"the last word")]);
        leaver.whisper(stays.id(), last).await.unwrap();
        leaver.ping(stays.id()).await.unwrap();
        drop((leaver, at_leaver));
        until(&mut events, |event| match event {
            Event::Whispered { content, .. } => Some(content),
            Event::Exited { .. } => panic!("its last word is missing"),
            _ => None,
        })
        .await;
        let reason = until(&mut events, |event| match event {
            Event::Exited { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(reason.await, ExitReason::LinkClosed);
    }
}

#[tokio::test]
async fn nodes_that_link_to_each_other_meet_once() {
    let (lamp, mut at_lamp) = Node::start(secure("lamp", 1)).await.unwrap();
    let (desk, mut at_desk) = linked("desk", 2, &lamp).await;
    let back = format!("tcp://127.0.0.1:{}|{}", desk.port(), pair(2).public());
    lamp.link(&back).await.unwrap();
    entered(&mut at_lamp).await;
    entered(&mut at_desk).await;
    // Longer than a HELLO may take to be answered, so that a second connection would show.
    tokio::time::sleep(Duration::from_secs(4)).await;
    lamp.ping(desk.id()).await.unwrap();
    desk.ping(lamp.id()).await.unwrap();
    for events in [&mut at_lamp, &mut at_desk] {
        while let Ok(Some(event)) = timeout(Duration::from_millis(100), events.next()).await {
            assert!(
                !matches!(event, Event::Exited { .. } | Event::Entered(_)),
                "{event:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_link_needs_a_secure_mesh_and_a_key() {
    let open = Config::new("open")
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    let (open, _events) = Node::start(open).await.unwrap();
    let refused = open.link("tcp://127.0.0.1:5000").await;
    assert!(matches!(
        refused,
        Err(NodeError::Invalid(Invalid::NotSecure))
    ));
    let (desk, _events) = Node::start(secure("desk", 2)).await.unwrap();
    let refused = desk.link("tcp://127.0.0.1:5000").await;
    assert!(matches!(refused, Err(NodeError::Invalid(Invalid::Key(_)))));
}

/// A node that opens a link to `to`, and trusts it by that alone.
async fn linked(name: &str, number: u8, to: &Node) -> (Node, Events) {
    let endpoint = format!("tcp://127.0.0.1:{}|{}", to.port(), to.key().unwrap());
    let config = secure(name, number).with_links([endpoint]);
    Node::start(config).await.unwrap()
}

fn secure(name: &str, number: u8) -> Config {
    let trusted = [1, 2].map(|number| pair(number).public());
    let trusted = trusted.into_iter().filter(|_| number == 1);
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
        .with_security(Security::new(pair(number)).with_trusted(trusted))
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

async fn entered(events: &mut Events) -> PeerInfo {
    until(events, |event| match event {
        Event::Entered(info) => Some(info),
        _ => None,
    })
    .await
}

const MANY: u32 = 2000;
const SOON: Duration = Duration::from_secs(20);
