//! Attacks of programs on the bus, and faults beside the bridge.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use rustix::process::Signal;
use serde_json::json;
use zbus::{Connection, DynamicType, Message, MessageStream, Variant, export::serde::Serialize};
use zocp_testkit::{Bridge, PyPeer, message};

use super::{
    arena::{Arena, TARGET_THERE},
    mesh::TIME,
};
use crate::service::{INTERFACE, PATH};

pub(super) async fn calls_in_flight(arena: &Arena) -> String {
    let client = arena.client().await;
    let calls: Vec<Message> = (0..10_000)
        .map(|_| call(TARGET_THERE, "Slow", &2000u32))
        .collect();
    let answered = answers(&client, &calls).await;
    format!("10,000 calls in flight of one client; {answered} answered")
}

pub(super) async fn deaf_client(arena: &Arena) -> String {
    let client = arena.client().await;
    let rule = "type='signal'";
    let listen = call_at(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", &rule);
    if client.send(&listen).await.is_err() {
        return "the bus refused".to_owned();
    }
    // A queue that is never read: the connection takes nothing more.
    let _deaf = MessageStream::from(&client);
    let text = "x".repeat(1 << 20);
    for number in 0..50u32 {
        let _ = client
            .send(&call(TARGET_THERE, "Echo", &(number, &*text)))
            .await;
    }
    tokio::time::sleep(TIME).await;
    "a client that asks for all signals and 50 answers of 1 MiB, and reads nothing".to_owned()
}

pub(super) async fn rules_and_publications(arena: &Arena) -> String {
    let client = arena.client().await;
    let mut messages = Vec::new();
    for number in 0..1000 {
        let rule = format!("type='signal',sender='{TARGET_THERE}',member='M{number}'");
        messages.push(call_at(
            BUS,
            "/org/freedesktop/DBus",
            BUS,
            "AddMatch",
            &rule,
        ));
        let name = format!("flood {number}");
        let options = HashMap::<&str, Variant<'_>>::new();
        let body = (&*name, Variant::new(number), options);
        let local = ("/org/z25/Zocp1/Local", "org.z25.Zocp1.Local");
        messages.push(call_at("org.z25.Zocp1", local.0, local.1, "Publish", &body));
    }
    let answered = answers(&client, &messages).await;
    let _ = client.close().await;
    format!(
        "1,000 match rules and 1,000 publications; {answered} answered, all gone with the client"
    )
}

pub(super) async fn long_bodies(arena: &Arena) -> String {
    let client = arena.client().await;
    let text = "x".repeat(30 << 20);
    let (mut sent, mut answered) = (0, 0);
    let until = Instant::now() + TIME;
    while Instant::now() < until {
        answered += answers(&client, &[call(TARGET_THERE, "Echo", &(1u32, &*text))]).await;
        sent += 1;
    }
    let beyond = "x".repeat(60 << 20);
    let refused = answers(&client, &[call(TARGET_THERE, "Echo", &(1u32, &*beyond))]).await;
    format!(
        "{sent} calls of 30 MiB, {answered} answered; one of 60 MiB, {refused} answered (refused)"
    )
}

pub(super) async fn stopped_peer(arena: &Arena) -> String {
    let tick =
        json!({"register": {"name": "tick", "value": 0, "typeHint": "int", "access": "rwes"}});
    let mut peer = PyPeer::start(&arena.third_host, "stopped", &[tick]).await;
    arena.stage.bus.appears("org.z25.Zocp1.Node.stopped").await;
    peer.program.signal(Signal::STOP);
    tokio::time::sleep(TIME).await;
    let there = arena.stage.bus.has("org.z25.Zocp1.Node.stopped").await;
    peer.program.signal(Signal::CONT);
    peer.program.kill().await;
    arena.stage.bus.vanishes("org.z25.Zocp1.Node.stopped").await;
    format!(
        "a node of pyre stopped for 4 s ({}), then killed: gone",
        if there { "kept" } else { "gone" }
    )
}

pub(super) async fn bus_restart(arena: &Arena) -> String {
    let mut third = Bridge::start(&arena.zocp, &arena.third_host, "third", &[]).await;
    arena.stage.bus.appears("org.z25.Zocp1.Node.third").await;
    third.bus.kill().await;
    tokio::time::sleep(TIME).await;
    third.program.kill().await;
    arena.stage.bus.vanishes("org.z25.Zocp1.Node.third").await;
    "the bus of a third bridge killed, then that bridge".to_owned()
}

pub(super) async fn packet_loss(arena: &Arena) -> String {
    let link = arena.stage_host.link(0);
    let (mut times, until) = (0, Instant::now() + TIME);
    while Instant::now() < until {
        link.go_silent().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        link.go_on().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        times += 1;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    format!("{times} times every frame of 10 ms lost, both ways")
}

/// How many of these get an answer, in a while.
async fn answers(client: &Connection, calls: &[Message]) -> usize {
    let mut stream = MessageStream::from(client);
    let serial = |call: &Message| call.primary_header().serial_num().get();
    let mut open: HashSet<u32> = calls.iter().map(serial).collect();
    let total = open.len();
    let hearing = async {
        while !open.is_empty() {
            let Some(Ok(message)) = stream.next().await else {
                break;
            };
            if let Some(serial) = message.header().reply_serial() {
                open.remove(&serial.get());
            }
        }
    };
    let both = async { tokio::join!(client.send_all(calls), hearing) };
    // Who is not answered by then is not.
    let _ = tokio::time::timeout(ANSWERS_MAX, both).await;
    total - open.len()
}

fn call<B: Serialize + DynamicType>(service: &str, method: &str, body: &B) -> Message {
    call_at(service, PATH, INTERFACE, method, body)
}

fn call_at<B: Serialize + DynamicType>(
    service: &str,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> Message {
    let call = message(service, path, interface, method).build(body);
    call.unwrap_or_else(|error| panic!("{method}: {error}"))
}

const BUS: &str = "org.freedesktop.DBus";
const ANSWERS_MAX: Duration = Duration::from_secs(25);
