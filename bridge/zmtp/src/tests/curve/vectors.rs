//! Whole connections of libzmq with libsodium, of whose keys and random octets we know all.

use crate::tests::vectors::Vector;
use crate::tests::{events, frames};
use crate::{Connection, Entropy, Event, KeyPair, Limits};

fn keys(first: u8) -> KeyPair {
    KeyPair::from_secret(&std::array::from_fn(|at| first + at as u8))
}

/// Draws of one octet each: the key of the connection, the key of the cookie, then the two nonces.
fn entropy(secret: u8, cookie_key: u8, nonces: [u8; 2]) -> Entropy {
    let mut draws = 0;
    let drawn = Entropy::draw(|octets| {
        draws += 1;
        match draws {
            1 => octets.fill(secret),
            2 => octets.fill(cookie_key),
            _ => {
                let (first, second) = octets.split_at_mut(16);
                first.fill(nonces[0]);
                second.fill(nonces[1]);
            }
        }
        Ok::<_, ()>(())
    });
    drawn.unwrap()
}

fn client() -> Connection {
    let identity: Vec<u8> = std::iter::once(1).chain(0..16).collect();
    let entropy = entropy(0x12, 0, [0x13, 0]);
    Connection::curve_dealer(
        &identity,
        &keys(1),
        keys(101).public(),
        entropy,
        Limits::default(),
    )
}

fn server() -> Connection {
    let entropy = entropy(0x52, 0x54, [0x53, 0x55]);
    Connection::curve_router(&keys(101), entropy, Limits::default())
}

/// libzmq fills the signature and leaves as-server, both of which mean nothing.
fn like_libzmq(octets: &[u8], from: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[1..9].copy_from_slice(&from[1..9]);
    octets[32] = 0;
    octets
}

fn messages(of: &mut Connection) -> Vec<Vec<Vec<u8>>> {
    let messages = events(of).into_iter().filter_map(|event| match event {
        Event::Message(message) => Some(frames(&message)),
        _ => None,
    });
    messages.collect()
}

fn vector() -> Vector {
    Vector::parse(include_str!(
        "../../../../../tests/vectors/zmtp/libzmq-curve.txt"
    ))
}

#[test]
fn as_client_we_say_what_libzmq_says() {
    let (theirs, answers) = (vector().octets("dealer"), vector().octets("router"));
    let mut ours = client();
    ours.handle_input(&answers).unwrap();
    ours.send(&[b"one"]).unwrap();
    ours.send(&[b"head", &[b'x'; 300]]).unwrap();
    assert!(like_libzmq(ours.output(), &theirs) == theirs);
    assert_eq!(messages(&mut ours), [[b"answer"]]);
}

#[test]
fn as_server_we_say_what_libzmq_says() {
    let (theirs, calls) = (vector().octets("router"), vector().octets("dealer"));
    let mut ours = server();
    // Up to INITIATE, at which the owner decides.
    let (handshake, traffic) = calls.split_at(64 + 202 + 9 + 309);
    ours.handle_input(handshake).unwrap();
    let asked = ours.poll_event();
    assert!(matches!(asked, Some(Event::PeerKey { key, .. }) if key == keys(1).public()));
    assert!(ours.accept());
    ours.handle_input(traffic).unwrap();
    ours.send(&[b"answer"]).unwrap();
    assert!(like_libzmq(ours.output(), &theirs) == theirs);
    let long = vec![b"head".to_vec(), vec![b'x'; 300]];
    assert_eq!(messages(&mut ours), [vec![b"one".to_vec()], long]);
}

#[test]
fn the_sealed_heartbeat_of_libzmq_is_answered_as_libzmq_does() {
    let vector = Vector::parse(include_str!(
        "../../../../../tests/vectors/zmtp/libzmq-curve-heartbeat.txt"
    ));
    let (theirs, calls) = (vector.octets("router"), vector.octets("dealer"));
    let mut ours = server();
    let (handshake, traffic) = calls.split_at(64 + 202 + 9 + 309);
    ours.handle_input(handshake).unwrap();
    assert!(ours.accept());
    ours.handle_input(traffic).unwrap();
    assert_eq!(messages(&mut ours).len(), 2);
    // The first PONG; libzmq sent its answer between the later ones.
    let said = like_libzmq(ours.output(), &theirs);
    let pong_end = 64 + 170 + 67 + 40;
    assert!(said[..pong_end] == theirs[..pong_end]);
}
