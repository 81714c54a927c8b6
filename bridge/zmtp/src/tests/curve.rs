//! CURVE: the helpers of its tests.

mod handshake;
mod keys;
mod properties;
mod traffic;
mod vectors;

use super::{command, greeting};
use crate::frame::FrameKind;
use crate::{Connection, Entropy, Event, KeyPair, Limits};

/// Key pairs that differ by their number.
pub(super) fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

/// Octets that differ by their number, and from each other.
fn entropy(number: u8) -> Entropy {
    let mut next = number;
    let entropy = Entropy::draw(|octets| {
        octets.fill(next);
        next = next.wrapping_add(1);
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok(entropy) = entropy;
    entropy
}

fn client_pair() -> KeyPair {
    pair(1)
}

fn server_pair() -> KeyPair {
    pair(2)
}

fn client(limits: &Limits) -> Connection {
    let server = server_pair().public();
    Connection::curve_dealer(
        b"client",
        &client_pair(),
        server,
        entropy(0x40),
        limits.clone(),
    )
}

fn server(limits: &Limits) -> Connection {
    Connection::curve_router(&server_pair(), entropy(0x60), limits.clone())
}

/// Two ends that are about to begin, with their greetings exchanged and taken off their outputs.
fn greeted() -> (Connection, Connection) {
    let limits = Limits::default();
    let (mut client, mut server) = (client(&limits), server(&limits));
    greet(&mut client, &mut server);
    (client, server)
}

fn greet(client: &mut Connection, server: &mut Connection) {
    client.handle_input(&server.output()[..64]).unwrap();
    server.handle_input(&client.output()[..64]).unwrap();
    client.consume_output(64);
    server.consume_output(64);
}

/// Takes all that waits to be written.
pub(super) fn take(from: &mut Connection) -> Vec<u8> {
    let octets = from.output().to_vec();
    from.consume_output(octets.len());
    octets
}

/// Two ends whose handshake is over, their events polled and their outputs written.
pub(super) fn met(limits: &Limits) -> (Connection, Connection) {
    let (mut client, mut server) = (client(limits), server(limits));
    for _ in 0..3 {
        server.handle_input(&take(&mut client)).unwrap();
        if let Some(Event::PeerKey { key, .. }) = server.poll_event() {
            assert_eq!(key, client_pair().public());
            assert!(server.accept());
        }
        client.handle_input(&take(&mut server)).unwrap();
    }
    for end in [&mut client, &mut server] {
        assert!(matches!(end.poll_event(), Some(Event::Ready { .. })));
        assert_eq!((end.poll_event(), end.output_len()), (None, 0));
    }
    (client, server)
}

/// A greeting that says CURVE.
fn curve_greeting() -> Vec<u8> {
    let mut greeting = greeting();
    greeting[12..17].copy_from_slice(b"CURVE");
    greeting
}

/// Seals a command, as libzmq does with its PINGs.
fn send_command(of: &mut Connection, body: &[u8]) {
    let (session, out) = of.session();
    session.seal(FrameKind::Command, body, out).unwrap();
}
