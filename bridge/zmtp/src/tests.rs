//! Tests of the crate as a whole: what goes in as octets, what comes out.
//!
//! Octets are written by hand here and not with the code under test, but for [`ready_pair`].

mod channel;
mod curve;
mod handshake;
mod memory;
mod properties;
mod traffic;
mod vectors;

use crate::{Connection, Event, Limits, Message};

/// A peer's greeting as a present-day libzmq sends it.
pub(crate) fn greeting() -> Vec<u8> {
    let mut octets = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL".to_vec();
    octets.resize(64, 0);
    octets
}

/// A command frame.
pub(crate) fn command(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = vec![name.len() as u8];
    body.extend_from_slice(name);
    body.extend_from_slice(data);
    let mut frame = frame(4, &body);
    if body.len() > 255 {
        frame[0] |= 2;
    }
    frame
}

/// A frame with these flags, long if the body demands it.
pub(crate) fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = match u8::try_from(body.len()) {
        Ok(len) => vec![flags, len],
        Err(_) => [&[flags | 2][..], &(body.len() as u64).to_be_bytes()].concat(),
    };
    octets.extend_from_slice(body);
    octets
}

/// A message as frames.
pub(crate) fn message(bodies: &[&[u8]]) -> Vec<u8> {
    let last = bodies.len() - 1;
    let frames = bodies.iter().enumerate();
    frames
        .flat_map(|(at, body)| frame(u8::from(at != last), body))
        .collect()
}

/// Properties of a READY.
pub(crate) fn properties(of: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (name, value) in of {
        octets.push(name.len() as u8);
        octets.extend_from_slice(name);
        octets.extend_from_slice(&(value.len() as u32).to_be_bytes());
        octets.extend_from_slice(value);
    }
    octets
}

/// Greeting and READY of a DEALER.
pub(crate) fn dealer_opening() -> Vec<u8> {
    let ready = properties(&[(b"Socket-Type", b"DEALER"), (b"Identity", b"peer")]);
    [greeting(), command(b"READY", &ready)].concat()
}

/// A ROUTER whose handshake is over, its output written and its events polled.
pub(crate) fn ready_router(limits: Limits) -> Connection {
    let mut router = Connection::router(limits);
    router.handle_input(&dealer_opening()).unwrap();
    assert!(matches!(router.poll_event(), Some(Event::Ready { .. })));
    router.consume_output(router.output_len());
    router
}

/// A DEALER and a ROUTER that have met.
pub(crate) fn ready_pair(limits: &Limits) -> (Connection, Connection) {
    let mut dealer = Connection::dealer(b"dealer", limits.clone());
    let mut router = Connection::router(limits.clone());
    for _ in 0..2 {
        carry(&mut dealer, &mut router);
        carry(&mut router, &mut dealer);
    }
    assert!(dealer.is_ready() && router.is_ready());
    events(&mut dealer);
    events(&mut router);
    (dealer, router)
}

pub(crate) fn carry(from: &mut Connection, to: &mut Connection) {
    to.handle_input(from.output()).unwrap();
    from.consume_output(from.output_len());
}

pub(crate) fn events(of: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| of.poll_event()).collect()
}

pub(crate) fn frames(of: &Message) -> Vec<Vec<u8>> {
    of.frames().map(<[u8]>::to_vec).collect()
}
