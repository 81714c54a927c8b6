//! What is sealed after the handshake.

use super::{command, met, send_command, take};
use crate::tests::{events, frame, frames, message};
use crate::{
    Connection, Error, Event, Forged, LimitExceeded, Limits, Malformed, Misbehaved, NoncesSpent,
    SendError,
};

fn messages(of: &mut Connection) -> Vec<Vec<Vec<u8>>> {
    events(of)
        .iter()
        .map(|event| match event {
            Event::Message(message) => frames(message),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn pair() -> (Connection, Connection) {
    met(&Limits::default())
}

#[test]
fn messages_go_both_ways() {
    let (mut client, mut server) = pair();
    client.send(&[b"", b"two", &[3; 300]]).unwrap();
    client.send(&[b"x"]).unwrap();
    server.handle_input(&take(&mut client)).unwrap();
    let sent = vec![
        vec![vec![], b"two".to_vec(), vec![3; 300]],
        vec![b"x".to_vec()],
    ];
    assert_eq!(messages(&mut server), sent);
    server.send(&[b"back"]).unwrap();
    client.handle_input(&take(&mut server)).unwrap();
    assert_eq!(messages(&mut client), [[b"back"]]);
}

#[test]
fn nothing_that_is_said_can_be_read_on_the_wire() {
    let (mut client, _) = pair();
    client
        .send(&[b"attention please", b"attention please"])
        .unwrap();
    let octets = take(&mut client);
    assert!(
        !octets
            .windows(5)
            .any(|part| b"attention please".windows(5).any(|x| x == part))
    );
    // The same twice is not the same on the wire.
    let (first, second) = octets.split_at(octets.len() / 2);
    assert_ne!(first[18..], second[18..]);
}

#[test]
fn a_message_that_comes_again_or_too_late_ends_the_connection() {
    let (mut client, mut server) = pair();
    client.send(&[b"one"]).unwrap();
    let one = take(&mut client);
    client.send(&[b"two"]).unwrap();
    let two = take(&mut client);
    let replayed: Error = Misbehaved::NonceNotRising.into();
    server.handle_input(&one).unwrap();
    assert_eq!(server.handle_input(&one), Err(replayed.clone()));
    assert_eq!(messages(&mut server), [[b"one"]]);

    let (_, mut server) = pair();
    server.handle_input(&two).unwrap();
    assert_eq!(server.handle_input(&one), Err(replayed));
    assert_eq!(messages(&mut server), [[b"two"]]);
}

#[test]
fn a_message_is_not_taken_back_by_who_sent_it() {
    let (mut client, _) = pair();
    client.send(&[b"x"]).unwrap();
    let own = take(&mut client);
    assert_eq!(client.handle_input(&own), Err(Forged::Message.into()));
}

#[test]
fn plain_messages_and_commands_are_refused() {
    let plain: Result<(), Error> = Err(Misbehaved::Plain.into());
    let ping = command(b"PING", b"\0\0");
    let more = frame(1, &[0; 40]);
    let looks_sealed = message(&[&[7; 60]]);
    for octets in [ping, more, looks_sealed] {
        let (_, mut server) = pair();
        assert_eq!(server.handle_input(&octets), plain);
    }
}

#[test]
fn a_sealed_frame_that_is_too_short_to_be_one_is_refused() {
    for len in 0..33 {
        let (_, mut server) = pair();
        let mut body = b"\x07MESSAGE\0\0\0\0\0\0\0\x09".to_vec();
        body.resize(33, 0);
        let short = server.handle_input(&frame(0, &body[..len]));
        assert!(short.is_err(), "{len}");
    }
}

// protocol.md §2.5
#[test]
fn a_sealed_ping_is_answered_with_a_sealed_pong_also_within_a_message() {
    let (mut client, mut server) = pair();
    client.send(&[b"a", b"b"]).unwrap();
    send_command(&mut client, b"\x04PING\0\x0acontext");
    let octets = take(&mut client);
    server.handle_input(&octets).unwrap();
    assert_eq!(messages(&mut server).len(), 1);
    let pong = take(&mut server);
    assert!(!pong.windows(4).any(|part| part == b"PONG"));
    client.handle_input(&pong).unwrap();
    assert_eq!(messages(&mut client), Vec::<Vec<Vec<u8>>>::new());
    assert!(client.is_ready());
}

#[test]
fn a_sealed_ready_or_error_ends_the_connection() {
    let (mut client, mut server) = pair();
    send_command(&mut client, b"\x05READY");
    let twice = server.handle_input(&take(&mut client));
    assert_eq!(twice, Err(Misbehaved::ReadyTwice.into()));
    let (mut client, mut server) = pair();
    send_command(&mut client, b"\x05ERROR\x02no");
    let refused = server.handle_input(&take(&mut client));
    assert!(matches!(refused, Err(Error::Refused { .. })));
}

#[test]
fn when_its_numbers_are_spent_a_connection_says_so_and_uses_none_twice() {
    let (mut client, mut server) = pair();
    client.session().0.skip_to(u64::MAX - 2);
    let spent = Err(SendError::NoncesSpent(NoncesSpent));
    assert_eq!(client.send(&[b"a", b"b", b"c"]), spent);
    assert_eq!(client.output_len(), 0);
    client.send(&[b"a", b"b"]).unwrap();
    assert_eq!(client.send(&[b"c"]), spent);
    server.handle_input(&take(&mut client)).unwrap();
    assert_eq!(messages(&mut server), [[b"a", b"b"]]);
    // A PING cannot be answered any more either.
    send_command(&mut server, b"\x04PING\0\0");
    let unanswered = client.handle_input(&take(&mut server));
    assert_eq!(unanswered, Err(NoncesSpent.into()));
}

fn limits() -> Limits {
    Limits {
        frame_len_max: 5000,
        message_len_max: 6000,
        frames_max: 3,
        command_len_max: 1000,
        output_len_max: 1 << 20,
    }
}

/// What a server with small limits says to a client without.
fn refusal(sends: &[&[u8]]) -> Error {
    let (mut client, mut server) = met(&limits());
    client.lift_limits();
    client.send(sends).unwrap();
    let error = server.handle_input(&take(&mut client)).unwrap_err();
    assert_eq!(events(&mut server), []);
    error
}

#[test]
fn limits_bind_what_is_sealed_too() {
    let long = LimitExceeded::Frame {
        len: 5001,
        max: 5000,
    };
    assert_eq!(refusal(&[&[0; 5001]]), long.into());
    let long = LimitExceeded::Message {
        len: 6001,
        max: 6000,
    };
    assert_eq!(refusal(&[&[0; 5000], &[0; 1001]]), long.into());
    assert_eq!(refusal(&[&[0; 5000], &[0; 999], &[0; 2]]), long.into());
    let many = LimitExceeded::Frames { max: 3 };
    assert_eq!(refusal(&[b"", b"", b"", b""]), many.into());
    let (mut client, mut server) = met(&limits());
    client.send(&[&[0; 5000], &[0; 1000], b""]).unwrap();
    server.handle_input(&take(&mut client)).unwrap();
    assert_eq!(messages(&mut server).len(), 1);
}

#[test]
fn a_long_frame_is_refused_at_its_header_before_anything_is_kept() {
    let (_, mut server) = met(&limits());
    let before = server.capacity();
    let announced = [&[2][..], &(1_u64 << 40).to_be_bytes()].concat();
    assert!(matches!(
        server.handle_input(&announced),
        Err(Error::Limit(_))
    ));
    assert!(server.capacity() <= before);
}

#[test]
fn a_sealed_frame_takes_no_more_memory_than_has_come_of_it() {
    let (mut client, mut server) = pair();
    client.send(&[&vec![7; 1 << 20]]).unwrap();
    let octets = take(&mut client);
    let mut arrived = 0;
    for piece in octets.chunks(1460) {
        arrived += piece.len();
        server.handle_input(piece).unwrap();
        assert!(server.capacity() <= 2 * arrived + (16 << 10));
    }
    assert_eq!(messages(&mut server)[0][0].len(), 1 << 20);
    assert!(server.capacity() <= 16 << 10);
}

#[test]
fn flags_that_are_not_defined_are_refused_inside_of_the_box_too() {
    let (mut client, mut server) = pair();
    let (session, out) = client.session();
    session.seal_with(3, out);
    let reserved = server.handle_input(&take(&mut client));
    assert_eq!(reserved, Err(Malformed::ReservedFlags { flags: 3 }.into()));
}
