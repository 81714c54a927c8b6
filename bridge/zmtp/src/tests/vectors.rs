//! What other implementations put on the wire: decoded, compared, and encoded again to the same octets.

use super::{events, frames, greeting};
use crate::{Connection, Event, Limits, Message, SocketKind};

macro_rules! vector {
    ($name:literal) => {
        Vector::parse(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/zmtp/",
            $name,
            ".txt"
        )))
    };
}

/// One connection, captured.
pub(super) struct Vector {
    lines: Vec<Line>,
}

struct Line {
    from: String,
    kind: String,
    octets: Vec<u8>,
}

impl Vector {
    /// See `tests/vectors/zmtp/README.md`.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| {
            let mut words = line.split(' ');
            Line {
                from: words.next().unwrap().to_owned(),
                kind: words.next().unwrap().to_owned(),
                octets: words.flat_map(group).collect(),
            }
        });
        Self {
            lines: lines.collect(),
        }
    }

    fn of<'a>(&'a self, from: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.from == from)
    }

    /// All that one side sent, with a greeting if the capture lacks it.
    pub(super) fn octets(&self, from: &str) -> Vec<u8> {
        let captured = self.of(from).flat_map(|line| &line.octets).copied();
        if self.of(from).any(|line| line.kind == "greeting") {
            captured.collect()
        } else {
            greeting().into_iter().chain(captured).collect()
        }
    }

    /// The messages that one side sent: bodies without headers, up to a frame without MORE.
    fn messages(&self, from: &str) -> Vec<Vec<Vec<u8>>> {
        let mut messages = vec![vec![]];
        for line in self.of(from).filter(|line| line.kind == "frame") {
            let header = if line.octets[0] & 2 == 0 { 2 } else { 9 };
            let message = messages.last_mut().unwrap();
            message.push(line.octets[header..].to_vec());
            if line.octets[0] & 1 == 0 {
                messages.push(vec![]);
            }
        }
        assert_eq!(messages.pop(), Some(vec![]), "ends with a whole message");
        messages
    }

    /// What our own implementation sends in place of one side: without the PINGs, and with zeros in
    /// the signature.
    fn octets_of_ours(&self, from: &str) -> Vec<u8> {
        let mut octets = self.octets(from);
        for ping in self
            .of(from)
            .filter(|line| line.octets[2..].starts_with(b"\x04PING"))
        {
            let at = octets
                .windows(ping.octets.len())
                .position(|part| part == ping.octets);
            octets.drain(at.unwrap()..at.unwrap() + ping.octets.len());
        }
        octets[1..9].fill(0);
        octets
    }
}

fn group(text: &str) -> Vec<u8> {
    let (octets, times) = text.split_once('*').unwrap_or((text, "1"));
    let octet = |at| u8::from_str_radix(&octets[at..at + 2], 16).unwrap();
    let octets: Vec<u8> = (0..octets.len()).step_by(2).map(octet).collect();
    octets.repeat(times.parse().unwrap())
}

/// Takes what the DEALER sent, compares it, sends it again; returns it, and the PONGs it called for.
fn replay(vector: &Vector) -> (Vec<Message>, Vec<u8>) {
    let mut router = Connection::router(Limits::default());
    router.handle_input(&vector.octets("dealer")).unwrap();
    let Some(Event::Ready {
        socket_type,
        identity,
    }) = router.poll_event()
    else {
        panic!()
    };
    assert_eq!(socket_type, SocketKind::Dealer);
    assert_eq!(identity.len(), 17);
    let messages: Vec<_> = events(&mut router)
        .into_iter()
        .map(|event| match event {
            Event::Message(message) => message,
            other => panic!("{other:?}"),
        })
        .collect();
    let bodies: Vec<_> = messages.iter().map(frames).collect();
    assert_eq!(bodies, vector.messages("dealer"));

    let opening = [greeting(), ROUTER_READY.to_vec()].concat();
    let mut sent = Connection::dealer(&identity, Limits::default());
    sent.handle_input(&opening).unwrap();
    for message in &messages {
        sent.send(&message.frames().collect::<Vec<_>>()).unwrap();
    }
    assert!(
        sent.output() == vector.octets_of_ours("dealer"),
        "the same octets"
    );
    let opening_len = opening.len();
    (messages, router.output()[opening_len..].to_vec())
}

const ROUTER_READY: &[u8] = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0";

/// Meets the captured ROUTER, and opens as it did.
fn meet_router(vector: &Vector) {
    let mut dealer = Connection::dealer(b"id", Limits::default());
    dealer.handle_input(&vector.octets("router")).unwrap();
    let ready = Event::Ready {
        socket_type: SocketKind::Router,
        identity: "".into(),
    };
    assert_eq!(events(&mut dealer), [ready]);

    let mut ours = Connection::router(Limits::default());
    ours.handle_input(&vector.octets("dealer")).unwrap();
    assert_eq!(ours.output(), vector.octets_of_ours("router"));
}

#[test]
fn zyre_greets_a_node() {
    let vector = vector!("zyre-c-hello");
    meet_router(&vector);
    let (messages, _) = replay(&vector);
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[0].octet_len(), 63);
}

#[test]
fn zyre_talks() {
    let (messages, _) = replay(&vector!("zyre-c-talk"));
    assert_eq!(messages.len(), 9);
    assert_eq!(messages[1].frame(1), Some(&b"hello whisper"[..]));
    assert_eq!(messages[2].len(), 3);
    assert_eq!(messages[3].frame(1), Some(&b"hello shout"[..]));
}

#[test]
fn pyre_greets_a_node() {
    let vector = vector!("pyre-hello");
    meet_router(&vector);
    assert_eq!(replay(&vector).0.len(), 1);
}

#[test]
fn pyre_talks() {
    let (messages, _) = replay(&vector!("pyre-talk"));
    assert_eq!(messages.len(), 6);
    assert_eq!(messages[1].frame(1), Some(&b"hello whisper"[..]));
}

#[test]
fn libzmq_sends_short_and_long_forms() {
    let (messages, _) = replay(&vector!("libzmq-forms"));
    let lens: Vec<Vec<_>> = messages
        .iter()
        .map(|message| message.frames().map(<[u8]>::len).collect())
        .collect();
    assert_eq!(lens, [vec![0, 255, 256], vec![70_000], vec![0]]);
}

#[test]
fn libzmq_pings_between_the_frames_of_a_message() {
    let (messages, pongs) = replay(&vector!("libzmq-ping-between-frames"));
    let [message] = &messages[..] else { panic!() };
    assert_eq!((message.len(), message.octet_len()), (9, 48_004));
    assert_eq!(pongs, b"\x04\x05\x04PONG\x04\x05\x04PONG");
}

#[test]
fn a_ping_is_answered_as_libzmq_does() {
    let vector = vector!("libzmq-heartbeat");
    let [ping, pong] = &vector.lines[..] else {
        panic!()
    };
    let mut router = super::ready_router(Limits::default());
    router.handle_input(&ping.octets).unwrap();
    assert_eq!(router.output(), pong.octets);
}
