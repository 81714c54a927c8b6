//! Descriptors that pass themselves between nodes of the loopback: what a user of this crate sees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::pipe;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::time::timeout;
use zocp_node::{
    BeaconMode, ChannelRequest, Config, Event, Events, HEADER_LOCAL, KeyPair, Node, Redeemed,
    Security, TICKET_TIME_MAX, model::json,
};

use common::until;

#[tokio::test]
async fn a_descriptor_passes_itself_to_whoever_has_its_ticket() {
    for mut pair in [open_mesh().await, secure_mesh().await] {
        let Pair { lamp, desk, .. } = &mut pair;
        let info = lamp.peer(desk.id()).await.unwrap().unwrap();
        let offered = lamp.try_offer_descriptor(info.id, info.key, TICKET_TIME_MAX);
        let offered = offered.unwrap();
        let (reader, _writer) = pipe().unwrap();
        let ticket = offered.ticket();
        let giving = async {
            let Redeemed::Handover(handover) = offered.redeemed().await.unwrap() else {
                panic!("a channel was opened");
            };
            handover.give(&reader).await.unwrap();
        };
        let taking = desk.take_descriptor(lamp.id(), ticket);
        let (taken, ()) = soon(async { tokio::join!(taking, giving) }).await;
        assert_eq!(number(&taken.unwrap().unwrap()), number(&reader));
        // The ticket is used up, and nothing of the peer's share is left.
        assert!(
            desk.take_descriptor(lamp.id(), ticket)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(lamp.channels(desk.id()), 0);
    }
}

#[tokio::test]
async fn a_descriptor_passes_itself_to_whoever_asks_for_a_stream() {
    for mut pair in [open_mesh().await, secure_mesh().await] {
        let (desk, lamp) = (pair.desk.clone(), pair.lamp.id());
        let asking = tokio::spawn(async move { desk.request_stream(lamp, json!({})).await });
        let request = pair.requested().await;
        let (reader, _writer) = pipe().unwrap();
        let giving = pair.lamp.give_descriptor(&request, &reader);
        let taking = async {
            let Redeemed::Handover(handover) = asking.await.unwrap().unwrap() else {
                panic!("a channel was opened");
            };
            handover.take().await.unwrap()
        };
        let (taken, given) = soon(async { tokio::join!(taking, giving) }).await;
        assert!(given.unwrap());
        assert_eq!(number(&taken), number(&reader));
        assert_eq!(pair.desk.channels(lamp), 0);
    }
}

#[tokio::test]
async fn a_ticket_for_a_channel_stays_good_for_it_when_it_is_shown_here() {
    let mut pair = open_mesh().await;
    let offered = pair.lamp.offer_channel(pair.desk.id()).await.unwrap();
    let ticket = offered.ticket();
    let taken = pair.desk.take_descriptor(pair.lamp.id(), ticket).await;
    assert!(taken.unwrap().is_none());
    let opening = pair.desk.open_channel(pair.lamp.id(), ticket);
    let (here, there) = soon(async { tokio::join!(opening, offered.opened()) }).await;
    assert!(here.is_ok() && there.is_ok());

    let (desk, lamp) = (pair.desk.clone(), pair.lamp.id());
    let asking = tokio::spawn(async move { desk.request_channel(lamp, json!({})).await });
    let request = pair.requested().await;
    let (reader, _writer) = pipe().unwrap();
    assert!(!pair.lamp.give_descriptor(&request, &reader).await.unwrap());
    pair.lamp.accept_channel(&request).await.unwrap();
    asking.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_offers_a_descriptor_has_a_channel_ready() {
    let pair = open_mesh().await;
    let offered = pair
        .lamp
        .try_offer_descriptor(pair.desk.id(), None, TICKET_TIME_MAX);
    let offered = offered.unwrap();
    let opening = pair.desk.open_channel(pair.lamp.id(), offered.ticket());
    let (here, there) = soon(async { tokio::join!(opening, offered.redeemed()) }).await;
    assert!(here.is_ok());
    assert!(matches!(there.unwrap(), Redeemed::Channel(_)));
}

#[tokio::test]
async fn a_node_without_the_additions_says_nothing_of_it() {
    let (plain, _events) = Node::start(config("plain").without_extensions())
        .await
        .unwrap();
    let (desk, mut at_desk) = Node::start(config("desk")).await.unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}", plain.port());
    desk.connect(&endpoint).await.unwrap();
    let headers = until(&mut at_desk, |event| match event {
        Event::Entered(info) => Some(info.headers),
        _ => None,
    });
    let headers = headers.await;
    assert!(headers.iter().all(|(name, _)| name != HEADER_LOCAL));
}

/// What tells files from each other.
fn number(fd: &impl AsFd) -> u64 {
    let fd: OwnedFd = fd.as_fd().try_clone_to_owned().unwrap();
    rustix::fs::fstat(fd).unwrap().st_ino
}

struct Pair {
    lamp: Node,
    desk: Node,
    at_lamp: Events,
    _at_desk: Events,
}

impl Pair {
    async fn requested(&mut self) -> ChannelRequest {
        until(&mut self.at_lamp, |event| match event {
            Event::ChannelRequested(request) => Some(request),
            _ => None,
        })
        .await
    }
}

async fn open_mesh() -> Pair {
    met(config("lamp"), config("desk"), "").await
}

async fn secure_mesh() -> Pair {
    let pair = |number| KeyPair::from_secret(&[number; 32]);
    let secure = |name, own, other: u8| {
        let security = Security::new(pair(own)).with_trusted([pair(other).public()]);
        config(name).with_security(security)
    };
    let key = format!("|{}", pair(1).public());
    met(secure("lamp", 1, 2), secure("desk", 2, 1), &key).await
}

async fn met(lamp: Config, desk: Config, key: &str) -> Pair {
    let (lamp, mut at_lamp) = Node::start(lamp).await.unwrap();
    let (desk, mut at_desk) = Node::start(desk).await.unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}{key}", lamp.port());
    desk.connect(&endpoint).await.unwrap();
    for events in [&mut at_lamp, &mut at_desk] {
        until(events, |event| {
            matches!(event, Event::Entered(_)).then_some(())
        })
        .await;
    }
    Pair {
        lamp,
        desk,
        at_lamp,
        _at_desk: at_desk,
    }
}

fn config(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), work)
        .await
        .expect("in time")
}
