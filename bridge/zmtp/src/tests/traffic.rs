//! Messages and commands after the handshake, and every error there.

use super::{carry, command, events, frame, frames, greeting, message, ready_pair, ready_router};
use crate::{
    Error, Event, LimitExceeded, Limits, Malformed, Message, Misbehaved, SendError, Unsupported,
};

/// Small enough to reach each by hand.
fn small() -> Limits {
    Limits {
        frame_len_max: 300,
        message_len_max: 400,
        frames_max: 3,
        command_len_max: 64,
        output_len_max: 1000,
    }
}

/// The messages before the error, and the error; the same when the octets come one by one.
fn outcome(octets: &[u8]) -> (Vec<Message>, Option<Error>) {
    let mut whole = ready_router(small());
    let error = whole.handle_input(octets).err();
    let mut by_octet = ready_router(small());
    let same = octets
        .iter()
        .find_map(|octet| by_octet.handle_input(&[*octet]).err());
    assert_eq!(error, same);
    let got = events(&mut whole);
    assert_eq!(got, events(&mut by_octet));
    let messages = got.into_iter().map(|event| match event {
        Event::Message(message) => message,
        other => panic!("{other:?}"),
    });
    (messages.collect(), error)
}

fn error(octets: &[u8]) -> Error {
    let (messages, error) = outcome(octets);
    assert_eq!(messages, []);
    error.unwrap()
}

#[test]
fn a_message_has_its_frames() {
    let (messages, error) = outcome(&message(&[b"", b"one", b""]));
    assert_eq!(error, None);
    let [message] = &messages[..] else { panic!() };
    assert_eq!((message.len(), message.octet_len()), (3, 3));
    assert_eq!(frames(message), [&b""[..], b"one", b""]);
    assert_eq!(message.frame(1), Some(&b"one"[..]));
    assert_eq!(message.frame(3), None);
    assert_eq!(format!("{message:?}"), "Message { frame_lens: [0, 3, 0] }");
}

#[test]
fn a_frame_is_taken_out_of_its_message() {
    let (messages, _) = outcome(&message(&[b"head", b"", b"body"]));
    let taken = |index| messages[0].clone().into_frame(index);
    assert_eq!(taken(0).unwrap(), "head");
    assert_eq!(taken(1).unwrap(), "");
    assert_eq!(taken(2).unwrap(), "body");
    assert_eq!(taken(3), None);
}

#[test]
fn a_short_body_in_the_long_form_is_taken() {
    let (messages, error) = outcome(b"\x02\0\0\0\0\0\0\0\x02hi");
    assert_eq!(error, None);
    assert_eq!(messages[0].frame(0), Some(&b"hi"[..]));
}

#[test]
fn reserved_flags_are_refused_before_the_length() {
    for flags in [0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
        assert_eq!(error(&[flags]), Malformed::ReservedFlags { flags }.into());
    }
}

#[test]
fn a_command_in_several_frames_is_refused() {
    assert_eq!(error(&[5]), Malformed::CommandWithMore.into());
    assert_eq!(error(&[7]), Malformed::CommandWithMore.into());
}

#[test]
fn a_frame_over_its_limit_is_refused_at_its_header() {
    let long = |len: u64| [&[2][..], &len.to_be_bytes()].concat();
    let too_long = |len| LimitExceeded::Frame { len, max: 300 }.into();
    assert_eq!(error(&long(301)), too_long(301));
    assert_eq!(error(&long(u64::MAX)), too_long(u64::MAX));
    assert_eq!(outcome(&long(300)), (vec![], None));
    assert_eq!(outcome(&frame(0, &[9; 300])).1, None);
}

#[test]
fn a_message_over_its_limit_is_refused_at_the_header_that_goes_over() {
    let parts = [frame(1, &[1; 300]), vec![0, 101]].concat();
    assert_eq!(
        error(&parts),
        LimitExceeded::Message { len: 401, max: 400 }.into()
    );
    assert_eq!(outcome(&message(&[&[1; 300], &[1; 100]])).1, None);
}

#[test]
fn a_message_of_too_many_frames_is_refused() {
    let parts = [frame(1, b""), frame(1, b""), frame(1, b""), frame(0, b"")].concat();
    assert_eq!(error(&parts), LimitExceeded::Frames { max: 3 }.into());
}

#[test]
fn a_command_over_its_limit_is_refused_at_its_header() {
    assert_eq!(
        error(&[4, 65]),
        LimitExceeded::Command { len: 65, max: 64 }.into()
    );
    let huge = b"\x06\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(
        error(huge),
        LimitExceeded::Command {
            len: u64::MAX,
            max: 64
        }
        .into()
    );
}

#[test]
fn what_was_whole_before_an_error_can_still_be_polled() {
    let (messages, error) = outcome(&[message(&[b"good"]), vec![0x80]].concat());
    assert_eq!(messages.len(), 1);
    assert_eq!(error, Some(Malformed::ReservedFlags { flags: 0x80 }.into()));
}

#[test]
fn after_an_error_nothing_is_taken_or_sent() {
    let mut router = ready_router(Limits::default());
    router.handle_input(&[0x80]).unwrap_err();
    assert!(!router.is_ready());
    assert_eq!(router.handle_input(&message(&[b"x"])), Err(Error::Failed));
    assert_eq!(router.handle_input(b""), Err(Error::Failed));
    assert_eq!(router.send(&[b"x"]), Err(SendError::Failed));
    assert_eq!(router.poll_event(), None);
    assert_eq!(router.output_len(), 0);
}

#[test]
fn a_ping_is_answered_with_its_context() {
    for context in [&b""[..], b"ctx", b"sixteen octets!!"] {
        let mut router = ready_router(Limits::default());
        let ping = command(b"PING", &[&b"\0\x64"[..], context].concat());
        router.handle_input(&ping).unwrap();
        assert_eq!(router.output(), command(b"PONG", context));
        assert_eq!(router.poll_event(), None);
    }
}

#[test]
fn a_ping_without_ttl_or_with_too_much_context_is_refused() {
    for len in [0, 1, 19] {
        let ping = command(b"PING", &vec![0; len]);
        assert_eq!(error(&ping), Malformed::Ping { len }.into());
    }
}

// protocol.md §2.5
#[test]
fn commands_between_the_frames_of_a_message_leave_it_whole() {
    let mut router = ready_router(Limits::default());
    let ping = command(b"PING", b"\0\x01c");
    let octets = [
        frame(1, b"a"),
        ping,
        frame(1, b""),
        command(b"X", b"y"),
        frame(0, b"b"),
    ];
    router.handle_input(&octets.concat()).unwrap();
    let Some(Event::Message(message)) = router.poll_event() else {
        panic!()
    };
    assert_eq!(frames(&message), [&b"a"[..], b"", b"b"]);
    assert_eq!(router.output(), command(b"PONG", b"c"));
}

#[test]
fn commands_that_mean_nothing_here_are_ignored() {
    let octets = [
        command(b"PONG", b"whatever"),
        command(b"SUBSCRIBE", b"topic"),
        command(b"CANCEL", b"topic"),
        command(b"JOIN", b"group"),
        command(b"NEVER-HEARD-OF", b""),
        message(&[b"x"]),
    ];
    let (messages, error) = outcome(&octets.concat());
    assert_eq!((messages.len(), error), (1, None));
}

#[test]
fn ready_a_second_time_is_refused() {
    let ready = command(b"READY", b"");
    assert_eq!(error(&ready), Misbehaved::ReadyTwice.into());
}

#[test]
fn an_error_command_ends_the_connection_at_any_time() {
    let reason = "tired".into();
    assert_eq!(
        error(&command(b"ERROR", b"\x05tired")),
        Error::Refused { reason }
    );
}

#[test]
fn a_nameless_command_is_refused_in_traffic_too() {
    assert_eq!(error(&frame(4, b"\0")), Malformed::CommandName.into());
}

#[test]
fn what_is_sent_arrives() {
    let (mut dealer, mut router) = ready_pair(&Limits::default());
    let long = vec![5; 256];
    dealer.send(&[b"", &long, b"x"]).unwrap();
    dealer.send(&[&long]).unwrap();
    let wire = [message(&[b"", &long, b"x"]), message(&[&long])].concat();
    assert_eq!(dealer.output(), wire);
    carry(&mut dealer, &mut router);
    router.send(&[b"back"]).unwrap();
    carry(&mut router, &mut dealer);
    assert_eq!(events(&mut router).len(), 2);
    assert_eq!(events(&mut dealer).len(), 1);
}

#[test]
fn of_a_frame_that_is_offered_what_is_not_taken_waits() {
    for body in [&[5; 300][..], b"short", b""] {
        let wire = message(&[body]);
        for taken in 0..=wire.len() {
            let (mut dealer, _) = ready_pair(&Limits::default());
            let offered = |parts: [&[u8]; 2]| {
                assert_eq!(parts.concat(), wire);
                taken
            };
            dealer.send_through(body, offered).unwrap();
            assert_eq!(dealer.output(), &wire[taken..]);
        }
    }
    let (mut dealer, _) = ready_pair(&Limits::default());
    dealer.send(&[b"first"]).unwrap();
    dealer
        .send_through(b"second", |_| panic!("something waits"))
        .unwrap();
    let wire = [message(&[b"first"]), message(&[b"second"])].concat();
    assert_eq!(dealer.output(), wire);
}

#[test]
fn what_goes_over_a_limit_is_not_sent() {
    let (mut dealer, _) = ready_pair(&small());
    let refused = [
        (dealer.send(&[]), SendError::NoFrames),
        (
            dealer.send(&[b"", b"", b"", b""]),
            LimitExceeded::Frames { max: 3 }.into(),
        ),
        (
            dealer.send(&[&[0; 301]]),
            LimitExceeded::Frame { len: 301, max: 300 }.into(),
        ),
        (
            dealer.send(&[&[0; 300], &[0; 101]]),
            LimitExceeded::Message { len: 401, max: 400 }.into(),
        ),
    ];
    for (result, error) in refused {
        assert_eq!(result, Err(error));
    }
    assert_eq!(dealer.output_len(), 0);
}

#[test]
fn output_that_is_not_written_fills_up_and_empties() {
    let (mut dealer, _) = ready_pair(&small());
    for _ in 0..10 {
        dealer.send(&[&[0; 98]]).unwrap();
    }
    assert_eq!(dealer.send(&[b""]), Err(SendError::Full { len: 1000 }));
    dealer.consume_output(1);
    dealer.send(&[b""]).unwrap();
    assert_eq!(dealer.output_len(), 1001);
}

#[test]
fn with_no_room_for_output_one_message_at_a_time_still_goes() {
    let limits = Limits {
        output_len_max: 0,
        ..small()
    };
    let (mut dealer, _) = ready_pair(&limits);
    dealer.send(&[b"x"]).unwrap();
    assert_eq!(dealer.send(&[b"y"]), Err(SendError::Full { len: 3 }));
    dealer.consume_output(3);
    dealer.send(&[b"y"]).unwrap();
}

#[test]
fn error_texts_say_what_and_by_whom() {
    let mut router = crate::Connection::router(Limits::default());
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let error = router.handle_input(&curve).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported: the peer's security mechanism is \"CURVE\", ours is NULL"
    );
    let error = Unsupported::SocketType {
        name: "PUB".into(),
        ours: crate::SocketKind::Router,
    };
    assert_eq!(
        error.to_string(),
        "the peer's socket type is \"PUB\", which does not go with our ROUTER"
    );
}

#[test]
fn a_part_of_a_message_is_known_as_one_and_a_part_of_a_command_is_not() {
    let mut connection = ready_router(small());
    let within = |octets: &[u8], connection: &mut crate::Connection| {
        connection.handle_input(octets).unwrap();
        connection.is_within_message()
    };
    let two = message(&[b"first", b"second"]);
    assert!(!within(b"", &mut connection));
    assert!(within(&two[..4], &mut connection), "in the first frame");
    assert!(within(&two[4..7], &mut connection), "between the frames");
    assert!(!within(&two[7..], &mut connection), "whole");
    let ping = command(b"PING", b"\0\0");
    assert!(!within(&ping[..5], &mut connection), "no message");
}
