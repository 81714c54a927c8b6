//! What watchers are told, and what becomes of one that does not read.

use std::{io::Read, net::SocketAddr, os::unix::net::UnixStream, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_node::{
    PeerId, Verb,
    plumbing::{Direction, TraceEvent, TracedMessage},
};

use super::{
    capture::Capture,
    encoder::Encoder,
    event::{Event, EventKind},
    filter::Filter,
    lines::Lines,
    watcher::Watcher,
};
use zocp_dbus::{
    message::{Octets, Outgoing},
    testbus::soon,
};
use zocp_relay::transport::TAG;

const LAMP: PeerId = PeerId::new([7; 16]);

fn event(at: u64, note: TraceEvent) -> Event {
    Event {
        at,
        what: EventKind::Mesh(note),
    }
}

fn entered(at: u64) -> Event {
    let note = TraceEvent::Entered {
        peer: LAMP,
        name: "lamp".to_owned(),
        endpoint: "tcp://10.0.0.2:49152".to_owned(),
    };
    event(at, note)
}

fn message(at: u64, way: Direction, content: Vec<Bytes>) -> Event {
    let header: &[u8] = &[0xAA, 0xA1, 2, 2, 0, 1];
    let address = |host, port| SocketAddr::from(([10, 0, 0, host], port));
    let passed = TracedMessage {
        direction: way,
        peer: Some(LAMP),
        verb: Verb::of(header, &content),
        ends: Some((address(1, 50_000), address(2, 49_152))),
        header: header.into(),
        content: content.into_iter().collect(),
    };
    event(at, TraceEvent::Message(Box::new(passed)))
}

fn zocp(at: u64, way: Direction, message_text: &str) -> Event {
    message(at, way, vec![Bytes::from(message_text.to_owned())])
}

fn packet(at: u64, way: Direction, packet: Message) -> Event {
    message(
        at,
        way,
        vec![
            Bytes::from_static(TAG),
            Octets::from(Outgoing::unlawful(packet)).into_bytes(),
        ],
    )
}

fn lines(encoder: &mut Lines, event: &[Event]) -> Vec<Value> {
    let mut out = Vec::new();
    for one in event {
        encoder.write(one, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_answer_is_followed_by_how_long_its_call_took() {
    let call = Message::method_call("/player", "Play")
        .interface("org.example.Player")
        .destination("org.example.Music")
        .build(&())
        .unwrap();
    let failed = Message::error(&call.header(), "org.example.Error.Broken")
        .build(&"no sound")
        .unwrap();
    let told = lines(
        &mut Lines::new(Filter::default()),
        &[
            entered(1),
            zocp(
                10,
                Direction::In,
                r#"{"CALL": ["blink", [3], {"id": 7, "object": "cam"}]}"#,
            ),
            packet(20, Direction::Out, call),
            zocp(30, Direction::Out, r#"{"REP": [7, [true]]}"#),
            packet(1_000_045, Direction::In, failed),
        ],
    );
    let events: Vec<&str> = told
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "entered", "received", "sent", "sent", "done", "received", "done"
        ]
    );
    assert_eq!(told[2]["service"], "org.example.Music");
    assert_eq!(told[2]["packet"], "call");
    assert_eq!(told[4]["member"], "cam.blink");
    assert_eq!(told[4]["microseconds"], 20);
    assert_eq!(told[4].get("error"), None);
    assert_eq!(told[6]["member"], "org.example.Player.Play");
    assert_eq!(told[6]["microseconds"], 1_000_025);
    assert_eq!(told[6]["error"], "org.example.Error.Broken");
    assert_eq!(told[6]["service"], "org.example.Music");
    assert_eq!(told[6]["time"], json!(1.000_045));
}

#[test]
fn what_cannot_be_understood_is_told_as_what_it_is() {
    let told = lines(
        &mut Lines::new(Filter::default()),
        &[
            zocp(1, Direction::In, r#"{"CALL": 7}"#),
            zocp(2, Direction::In, r#"{"REP": ["#),
            message(
                3,
                Direction::In,
                vec![Bytes::from_static(TAG), Bytes::from_static(b"l\x01")],
            ),
            message(
                4,
                Direction::In,
                vec![Bytes::from_static(b"DBUS1+"), Bytes::new()],
            ),
        ],
    );
    let verbs: Vec<&str> = told
        .iter()
        .map(|line| line["verb"].as_str().unwrap())
        .collect();
    assert_eq!(verbs, ["CALL", "REP", "WHISPER", "WHISPER"]);
    assert!(
        told.iter()
            .all(|line| line["peer"].is_null() && line["octets"].is_u64())
    );
}

#[test]
fn a_capture_has_a_message_as_a_segment_and_its_packet_by_itself() {
    let call = Message::method_call("/player", "Play")
        .destination("org.example.Music")
        .build(&())
        .unwrap();
    let mut capture = Capture::new(Filter::default());
    let mut out = Vec::new();
    capture.begin(&mut out);
    capture.write(&entered(1), &mut out);
    capture.write(&packet(2, Direction::Out, call.clone()), &mut out);
    capture.lost(3, &mut out);
    capture.write(&zocp(4, Direction::In, r#"{"SIG": ["a", 1]}"#), &mut out);
    let blocks = blocks(&out);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    // Section, two interfaces; SYN, segment, D-Bus message; SYN, segment.
    assert_eq!(kinds, [0x0A0D_0D0A, 1, 1, 6, 6, 6, 6, 6]);
    let interfaces: Vec<u8> = blocks[3..].iter().map(|(_, body)| body[0]).collect();
    assert_eq!(interfaces, [0, 0, 1, 0, 0]);
    let (_, dbus) = &blocks[5];
    assert_eq!(&dbus[20..20 + call.data().len()], call.data().bytes());
    let comment = b"SIG from lamp";
    assert!(
        blocks[7]
            .1
            .windows(comment.len())
            .any(|part| part == comment)
    );
}

/// The blocks of a capture file, each with its type.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let number = |octets: &[u8]| u32::from_le_bytes(octets[..4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let len = number(&file[4..]) as usize;
        assert_eq!(number(&file[len - 4..]) as usize, len);
        blocks.push((number(file), file[8..len - 4].to_vec()));
        file = &file[len..];
    }
    blocks
}

#[tokio::test]
async fn a_watcher_that_does_not_read_holds_up_nobody_and_learns_what_it_missed() {
    let stop = CancellationToken::new();
    let opened = Watcher::open(":1.1", Filter::default(), stop.clone());
    let (watcher, theirs, task) = opened.unwrap();
    let task = tokio::spawn(task);
    let offered: u64 = 40_000;
    for number in 0..offered {
        watcher.offer(&Arc::new(zocp(
            number,
            Direction::In,
            r#"{"SIG": ["a", 1]}"#,
        )));
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let reading = tokio::task::spawn_blocking(move || {
        let mut theirs = UnixStream::from(theirs);
        let (mut told, mut lost, mut rest) = (0, 0, Vec::new());
        let mut octets = vec![0; 1 << 16];
        while told + lost < offered {
            let len = theirs.read(&mut octets).unwrap();
            assert_ne!(len, 0, "{told} told, {lost} lost");
            rest.extend_from_slice(&octets[..len]);
            while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line: Value = serde_json::from_slice(&line).unwrap();
                match line["event"].as_str() {
                    Some("lost") => lost += line["count"].as_u64().unwrap(),
                    _ => told += 1,
                }
            }
        }
        (told, lost)
    });
    let (told, lost) = soon(reading).await.unwrap();
    assert!(lost > 0 && told > 0, "{told} told, {lost} lost");
    assert_eq!(told + lost, offered);
    // The reader has closed its end.
    soon(task).await.unwrap();
}
