//! Properties: of any split of a connection, of any flipped bit in it, of any octets at all.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{client, command, greeted, met, send_command, server, take};
use crate::frame::Header;
use crate::tests::events;
use crate::{Connection, Event, Limits};

/// A connection as one end saw it: what came in, at which of its octets the owner was asked.
struct Recorded {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// Behind INITIATE.
    verdict_at: usize,
}

/// A whole connection, which ends with two messages and a PING each way.
fn recorded() -> Recorded {
    let limits = Limits::default();
    let (mut client, mut server) = (client(&limits), server(&limits));
    let mut recorded = Recorded {
        to_server: Vec::new(),
        to_client: Vec::new(),
        verdict_at: 0,
    };
    while !client.is_ready() {
        let octets = take(&mut client);
        server.handle_input(&octets).unwrap();
        recorded.to_server.extend(octets);
        if server.accept() {
            recorded.verdict_at = recorded.to_server.len();
        }
        let octets = take(&mut server);
        client.handle_input(&octets).unwrap();
        recorded.to_client.extend(octets);
    }
    for end in [&mut client, &mut server] {
        end.send(&[b"head", &[5; 300]]).unwrap();
        send_command(end, b"\x04PING\0\0ctx");
        end.send(&[b"tail"]).unwrap();
    }
    recorded.to_server.extend(take(&mut client));
    recorded.to_client.extend(take(&mut server));
    recorded
}

/// What an end makes of pieces: events, output, and whether it failed. A server lets everybody in.
fn replay(
    mut end: Connection,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> (Vec<Event>, Vec<u8>, bool) {
    let (mut seen, mut said) = (Vec::new(), Vec::new());
    for piece in pieces {
        let failed = end.handle_input(&piece).is_err();
        while let Some(event) = end.poll_event() {
            if matches!(event, Event::PeerKey { .. }) {
                end.accept();
            }
            seen.push(event);
        }
        said.extend(take(&mut end));
        if failed {
            return (seen, said, true);
        }
    }
    (seen, said, false)
}

/// Where a piece must end: an owner that is asked within one input answers only behind it.
fn split(octets: &[u8], cuts: &[usize], verdict_at: Option<usize>) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % octets.len()).collect();
    cuts.extend(verdict_at);
    cuts.push(octets.len());
    cuts.sort_unstable();
    cuts.dedup();
    let mut from = 0;
    cuts.into_iter()
        .map(|cut| octets[std::mem::replace(&mut from, cut)..cut].to_vec())
        .collect()
}

fn flipped(octets: &[u8], bit: usize) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[bit / 8] ^= 1 << (bit % 8);
    octets
}

/// Octets of a greeting that nothing depends on: inside of the signature, the minor version, as-server
/// and the filler; and the major version may be greater.
fn is_free(at: usize) -> bool {
    matches!(at, 1..=8 | 10..=11 | 32..=63)
}

/// Whether an octet is in the header of a frame, and not in a body.
fn is_header(octets: &[u8], at: usize) -> bool {
    let mut start = 64;
    while start < octets.len() {
        let header = Header::parse(&octets[start..]).unwrap().unwrap();
        let body = start + header.size;
        if (start..body).contains(&at) {
            return true;
        }
        start = body + header.len as usize;
    }
    false
}

#[test]
fn the_recorded_connection_is_what_it_should_be() {
    let recorded = recorded();
    let pieces = split(&recorded.to_server, &[], Some(recorded.verdict_at));
    let (seen, said, failed) = replay(server(&Limits::default()), pieces.into_iter());
    assert!(!failed);
    assert_eq!(seen.len(), 4);
    // Greeting, WELCOME, READY and a PONG.
    assert_eq!(said.len(), 64 + 170 + 67 + 2 + 41);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_a_connection_is_split_the_same_comes_of_it(cuts in vec(any::<usize>(), 0..40)) {
        let recorded = recorded();
        let whole = split(&recorded.to_server, &[], Some(recorded.verdict_at));
        let split_up = split(&recorded.to_server, &cuts, Some(recorded.verdict_at));
        prop_assert_eq!(
            replay(server(&Limits::default()), split_up.into_iter()),
            replay(server(&Limits::default()), whole.into_iter())
        );
        let whole = split(&recorded.to_client, &[], None);
        let split_up = split(&recorded.to_client, &cuts, None);
        prop_assert_eq!(
            replay(client(&Limits::default()), split_up.into_iter()),
            replay(client(&Limits::default()), whole.into_iter())
        );
    }

    #[test]
    fn no_flipped_bit_brings_a_message_that_was_not_sent(at in any::<prop::sample::Index>()) {
        let recorded = recorded();
        for (octets, is_server) in [(&recorded.to_server, true), (&recorded.to_client, false)] {
            let end = || if is_server { server(&Limits::default()) } else { client(&Limits::default()) };
            let verdict_at = is_server.then_some(recorded.verdict_at);
            let whole = replay(end(), split(octets, &[], verdict_at).into_iter());
            let bit = at.index(octets.len() * 8);
            let changed = flipped(octets, bit);
            let (seen, _, failed) = replay(end(), split(&changed, &[], verdict_at).into_iter());
            // What was before it, if anything: nothing of the changed frame, and nothing behind it.
            prop_assert!(whole.0.starts_with(&seen));
            prop_assert!(is_free(bit / 8) || seen.len() < whole.0.len());
            // A length that grew waits for octets that never come; all else ends the connection.
            let header = is_header(octets, bit / 8);
            prop_assert!(failed || is_free(bit / 8) || header);
        }
    }

    #[test]
    fn a_flipped_bit_of_a_command_ends_the_handshake(at in any::<prop::sample::Index>()) {
        let (mut client, mut server) = greeted();
        let hello = take(&mut client);
        // Behind the header of the frame.
        let bit = 16 + at.index((hello.len() - 2) * 8);
        prop_assert!(server.handle_input(&flipped(&hello, bit)).is_err());
        let (_, mut server) = greeted();
        server.handle_input(&hello).unwrap();
        let welcome = take(&mut server);
        let bit = 16 + at.index((welcome.len() - 2) * 8);
        let (mut other, _) = greeted();
        prop_assert!(other.handle_input(&flipped(&welcome, bit)).is_err());
        client.handle_input(&welcome).unwrap();
        let initiate = take(&mut client);
        let bit = 72 + at.index((initiate.len() - 9) * 8);
        prop_assert!(server.handle_input(&flipped(&initiate, bit)).is_err());
        prop_assert_eq!(events(&mut server), []);
    }

    #[test]
    fn any_octets_after_the_greetings_are_taken_or_refused(octets in vec(any::<u8>(), 0..600)) {
        let (mut client, mut server) = greeted();
        let _ = client.handle_input(&octets);
        let _ = server.handle_input(&octets);
        prop_assert_eq!((events(&mut client), events(&mut server)), (vec![], vec![]));
    }

    #[test]
    fn any_data_in_a_command_of_the_handshake_is_refused(
        name in 0..4_usize,
        data in vec(any::<u8>(), 0..400)
    ) {
        let name = [&b"HELLO"[..], b"WELCOME", b"INITIATE", b"READY"][name];
        let octets = command(name, &data);
        let (mut client, mut server) = greeted();
        prop_assert!(client.handle_input(&octets).is_err());
        prop_assert!(server.handle_input(&octets).is_err());
    }

    #[test]
    fn any_sealed_looking_frame_is_refused(data in vec(any::<u8>(), 0..400)) {
        let (mut client, mut server) = met(&Limits::default());
        let octets = crate::tests::frame(0, &[&b"\x07MESSAGE"[..], &data].concat());
        prop_assert!(client.handle_input(&octets).is_err());
        prop_assert!(server.handle_input(&octets).is_err());
    }

    #[test]
    fn any_messages_arrive_as_they_were_sent(
        sent in vec(vec(vec(any::<u8>(), 0..300), 1..4), 0..8),
        cuts in vec(any::<usize>(), 0..20)
    ) {
        let (mut client, mut server) = met(&Limits::default());
        for message in &sent {
            let frames: Vec<&[u8]> = message.iter().map(Vec::as_slice).collect();
            client.send(&frames).unwrap();
        }
        let octets = take(&mut client);
        if !octets.is_empty() {
            for piece in split(&octets, &cuts, None) {
                server.handle_input(&piece).unwrap();
            }
        }
        let got: Vec<_> = events(&mut server).iter().map(|event| match event {
            Event::Message(message) => crate::tests::frames(message),
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(got, sent);
    }
}
