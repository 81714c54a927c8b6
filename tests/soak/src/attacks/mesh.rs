//! Attacks from the network.
//!
//! Each takes about [`TIME`] and says what came of it.

use std::time::{Duration, Instant};

use rand::RngCore;

use super::{
    arena::Arena,
    intruder::{HELLO, Intruder, JOIN, LEAVE, WHISPER, announcement, greeting, hello, short},
};

/// Beacons of this identity each time, or of another one each time.
async fn beacons(arena: &Arena, id: Option<[u8; 16]>, port: u16) -> u64 {
    let Ok(socket) = arena.beacons().await else {
        return 0;
    };
    let mut sent = 0;
    let until = Instant::now() + TIME;
    while Instant::now() < until {
        for _ in 0..20 {
            let mut beacon = b"ZRE\x01".to_vec();
            beacon.extend(id.unwrap_or_else(rand::random));
            beacon.extend(port.to_be_bytes());
            sent += u64::from(socket.send_to(&beacon, BROADCAST).await.is_ok());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    sent
}

pub(super) async fn random_beacons(arena: &Arena) -> String {
    let sent = beacons(arena, None, 9).await;
    format!(
        "{sent} beacons of as many identities; {} nodes shown",
        arena.nodes().await
    )
}

pub(super) async fn own_beacons(arena: &Arena) -> String {
    let sent = beacons(arena, Some(arena.stage_id), 9).await;
    format!("{sent} beacons with the bridge's own identity, ignored")
}

pub(super) async fn others_beacons(arena: &Arena) -> String {
    let sent = beacons(arena, Some(arena.foh_id), 9).await;
    let there = arena.stage.bus.has("org.z25.Zocp1.Node.foh").await;
    format!(
        "{sent} beacons that put the other bridge elsewhere; it is {}",
        kept(there)
    )
}

pub(super) async fn goodbyes(arena: &Arena) -> String {
    let sent = beacons(arena, Some(arena.foh_id), 0).await;
    let there = arena.stage.bus.has("org.z25.Zocp1.Node.foh").await;
    format!(
        "{sent} goodbyes in its name from another address; it is {}",
        kept(there)
    )
}

pub(super) async fn half_open(arena: &Arena) -> String {
    let mut open = Vec::new();
    for _ in 0..1000 {
        if let Ok(intruder) = Intruder::connect(&arena.endpoint).await {
            open.push(intruder);
        }
    }
    let connected = open.len();
    tokio::time::sleep(Duration::from_secs(6)).await;
    format!(
        "{connected} connections that say nothing; {} ended by the bridge within 6 s",
        ended(open).await
    )
}

pub(super) async fn slow_greetings(arena: &Arena) -> String {
    let mut open = Vec::new();
    for _ in 0..200 {
        if let Ok(intruder) = Intruder::connect(&arena.endpoint).await {
            open.push(intruder);
        }
    }
    for octet in greeting() {
        for intruder in &mut open {
            // It may be out by now.
            let _ = intruder.send(&[octet]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    format!(
        "200 greetings, an octet each 0.1 s; {} ended by the bridge",
        ended(open).await
    )
}

/// How many connections the other side has ended.
async fn ended(open: Vec<Intruder>) -> usize {
    let mut ended = 0;
    for mut intruder in open {
        ended += usize::from(intruder.is_out(Duration::from_millis(1)).await);
    }
    ended
}

pub(super) async fn garbage(arena: &Arena) -> String {
    let mut octets = vec![0; 65_536];
    let (mut tries, until) = (0, Instant::now() + TIME);
    while Instant::now() < until {
        rand::rng().fill_bytes(&mut octets);
        if let Ok(mut intruder) = Intruder::connect(&arena.endpoint).await {
            // What is taken of it is the bridge's choice.
            let _ = intruder.send(&octets).await;
            tries += 1;
        }
    }
    format!("{tries} connections with 64 KiB of noise, ended at the first wrong octet")
}

pub(super) async fn huge_frames(arena: &Arena) -> String {
    let (mut tries, mut out) = (0, 0);
    let until = Instant::now() + TIME;
    while Instant::now() < until {
        let Ok(mut intruder) = Intruder::enter(&arena.endpoint, rand::random()).await else {
            continue;
        };
        // It may be refused before all is sent.
        let _ = intruder.send(&announcement(1 << 62)).await;
        tries += 1;
        out += u64::from(intruder.is_out(Duration::from_secs(1)).await);
    }
    format!("{tries} frames of 4 EiB announced; {out} times out at once")
}

pub(super) async fn many_small(arena: &Arena) -> String {
    let Some(mut intruder) = entered(arena, "small").await else {
        return NOT_LET_IN.to_owned();
    };
    let (mut sent, until) = (0, Instant::now() + TIME);
    while Instant::now() < until && intruder.whisper(b"{\"SET\": {}}").await.is_ok() {
        sent += 1;
    }
    format!("{sent} empty ZOCP messages from one node")
}

pub(super) async fn long_hello(arena: &Arena) -> String {
    let groups: Vec<String> = (0..100_000)
        .map(|number| format!("group {number}"))
        .collect();
    let headers: Vec<(String, &str)> = (0..100_000)
        .map(|number| (format!("X-{number}"), "x"))
        .collect();
    let cases = [(groups, Vec::new()), (Vec::new(), headers)];
    let mut out = 0;
    for (groups, headers) in &cases {
        if let Ok(mut intruder) = Intruder::enter(&arena.endpoint, rand::random()).await {
            let hello = hello("long", NOWHERE, groups, headers);
            // It may be refused before all is sent.
            let _ = intruder.command(HELLO, &hello, &[]).await;
            out += u32::from(intruder.is_out(Duration::from_secs(2)).await);
        }
    }
    format!(
        "100,000 groups, then 100,000 headers; {out} of 2 out, {} nodes shown",
        arena.nodes().await
    )
}

pub(super) async fn huge_trees(arena: &Arena) -> String {
    let Some(mut intruder) = entered(arena, "tree").await else {
        return NOT_LET_IN.to_owned();
    };
    let deep = format!(
        "{{\"MOD\": {{\"x\": {}1{}}}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let wide: Vec<String> = (0..50_000)
        .map(|number| format!("\"c{number}\": {{\"value\": {number}, \"access\": \"r\"}}"))
        .collect();
    let wide = format!("{{\"MOD\": {{{}}}}}", wide.join(", "));
    let long = format!(
        "{{\"MOD\": {{\"t\": {{\"value\": \"{}\"}}}}}}",
        "x".repeat(3 << 20)
    );
    let (mut sent, until) = (0, Instant::now() + TIME);
    while Instant::now() < until {
        for tree in [&deep, &wide, &long] {
            sent += u32::from(intruder.whisper(tree.as_bytes()).await.is_ok());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    format!("{sent} trees: 100,000 lists in each other, 50,000 capabilities, texts of 3 MiB")
}

pub(super) async fn joins(arena: &Arena) -> String {
    let Some(mut intruder) = entered(arena, "joins").await else {
        return NOT_LET_IN.to_owned();
    };
    let (mut sent, mut status, until) = (0, 1u8, Instant::now() + TIME);
    while Instant::now() < until {
        for id in [JOIN, LEAVE] {
            status = status.wrapping_add(1);
            let mut body = short(&format!("group {}", sent % 5000));
            body.push(status);
            if intruder.command(id, &body, &[]).await.is_err() {
                return format!("out after {sent} joins and leaves");
            }
            sent += 1;
        }
    }
    format!("{sent} joins and leaves of one node")
}

pub(super) async fn taken_identity(arena: &Arena) -> String {
    let (mut tries, mut out) = (0, 0);
    let until = Instant::now() + TIME;
    while Instant::now() < until {
        if let Ok(mut intruder) = Intruder::enter(&arena.endpoint, arena.foh_id).await {
            let _ = intruder.hello("foh", NOWHERE).await;
            tries += 1;
            out += u64::from(intruder.is_out(Duration::from_millis(300)).await);
        }
    }
    let there = arena.stage.bus.has("org.z25.Zocp1.Node.foh").await;
    format!(
        "{tries} greetings in the name and with the identity of the other bridge, {out} put out; it is {}",
        kept(there)
    )
}

pub(super) async fn taken_name(arena: &Arena) -> String {
    let intruder = entered(arena, "foh").await;
    tokio::time::sleep(TIME).await;
    let there = arena.stage.bus.has("org.z25.Zocp1.Node.foh").await;
    drop(intruder);
    format!(
        "a node that calls itself as the other bridge gets a name with its own identity; the other is {}",
        kept(there)
    )
}

pub(super) async fn subscriptions(arena: &Arena) -> String {
    let Some(mut intruder) = entered(arena, "many").await else {
        return NOT_LET_IN.to_owned();
    };
    let stage = hex(&arena.stage_id);
    let (mut sent, until) = (0u64, Instant::now() + TIME);
    while Instant::now() < until {
        let receiver = format!("{sent:032x}");
        let sub = format!("{{\"SUB\": [\"{stage}\", null, \"{receiver}\", \"s{sent}\"]}}");
        if intruder.whisper(sub.as_bytes()).await.is_err() {
            break;
        }
        sent += 1;
    }
    format!("{sent} subscriptions in the name of as many nodes")
}

pub(super) async fn bad_packets(arena: &Arena) -> String {
    let Some(mut intruder) = entered(arena, "packets").await else {
        return NOT_LET_IN.to_owned();
    };
    let (mut sent, until) = (0, Instant::now() + TIME);
    let mut noise = vec![0; 200];
    while Instant::now() < until {
        rand::rng().fill_bytes(&mut noise);
        // The head of a call, little endian, and then no body that its signature describes.
        noise[..4].copy_from_slice(b"l\x01\x00\x01");
        if intruder
            .command(WHISPER, &[], &[b"DBUS1", &noise])
            .await
            .is_err()
        {
            break;
        }
        sent += 1;
    }
    format!("{sent} D-Bus messages that are none")
}

/// One who is let in, and shown.
async fn entered(arena: &Arena, name: &str) -> Option<Intruder> {
    let mut intruder = Intruder::enter(&arena.endpoint, rand::random())
        .await
        .ok()?;
    intruder.hello(name, NOWHERE).await.ok()?;
    Some(intruder)
}

fn kept(there: bool) -> &'static str {
    if there { "still there" } else { "GONE" }
}

fn hex(id: &[u8; 16]) -> String {
    id.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// So long is an attack.
pub(super) const TIME: Duration = Duration::from_secs(4);
const BROADCAST: &str = "10.99.0.255:5670";
/// Where nobody listens.
const NOWHERE: &str = "tcp://10.99.0.254:9";
const NOT_LET_IN: &str = "not let in";
