//! Greeting and READY, and every way in which they are refused.

use super::{command, dealer_opening, frame, greeting, message, properties};
use crate::{
    Connection, Error, Event, LimitExceeded, Limits, Malformed, Misbehaved, SendError, SocketKind,
    Unsupported,
};

/// What a ROUTER says to a peer that sends this, however it is split.
fn refusal(octets: &[u8]) -> Error {
    let mut whole = Connection::router(Limits::default());
    let error = whole.handle_input(octets).unwrap_err();
    assert!(!whole.is_ready());

    let mut by_octet = Connection::router(Limits::default());
    let same = octets
        .iter()
        .find_map(|octet| by_octet.handle_input(&[*octet]).err());
    assert_eq!(same.as_ref(), Some(&error));
    error
}

fn refusal_of_ready(with: &[(&[u8], &[u8])]) -> Error {
    refusal(&[greeting(), command(b"READY", &properties(with))].concat())
}

fn greeting_with(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut greeting = greeting();
    greeting[at..at + octets.len()].copy_from_slice(octets);
    greeting
}

fn meets(ours: Connection, theirs: &[u8]) -> Result<SocketKind, Error> {
    let mut ours = ours;
    let ready = command(b"READY", &properties(&[(b"Socket-Type", theirs)]));
    ours.handle_input(&[greeting(), ready].concat())?;
    match ours.poll_event() {
        Some(Event::Ready { socket_type, .. }) => Ok(socket_type),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ready_tells_who_the_peer_is() {
    let mut router = Connection::router(Limits::default());
    router.handle_input(&dealer_opening()).unwrap();
    assert_eq!(
        router.poll_event(),
        Some(Event::Ready {
            socket_type: SocketKind::Dealer,
            identity: "peer".into()
        })
    );
    assert_eq!(router.poll_event(), None);
    assert!(router.is_ready());
}

#[test]
fn an_unknown_property_is_skipped_and_case_does_not_matter() {
    let ready = properties(&[
        (b"X-Colour", b"blue"),
        (b"sOCKET-tYPE", b"REQ"),
        (b"IDENTITY", b"asker"),
        (b"X-Empty", b""),
    ]);
    let mut router = Connection::router(Limits::default());
    router
        .handle_input(&[greeting(), command(b"READY", &ready)].concat())
        .unwrap();
    let ready = Event::Ready {
        socket_type: SocketKind::Req,
        identity: "asker".into(),
    };
    assert_eq!(router.poll_event(), Some(ready));
}

#[test]
fn only_the_greeting_is_put_out_before_the_peers_greeting() {
    let mut dealer = Connection::dealer(b"id", Limits::default());
    assert_eq!(dealer.output_len(), 64);
    assert_eq!(
        dealer.output()[..16],
        *b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL"
    );
    dealer.handle_input(&greeting()[..63]).unwrap();
    assert_eq!(dealer.output_len(), 64);
    dealer.handle_input(&greeting()[63..]).unwrap();
    let ready = properties(&[(b"Socket-Type", b"DEALER"), (b"Identity", b"id")]);
    assert_eq!(dealer.output()[64..], command(b"READY", &ready));
}

// protocol.md §2.4
#[test]
fn nothing_can_be_sent_before_the_peers_ready() {
    let mut dealer = Connection::dealer(b"id", Limits::default());
    assert_eq!(dealer.send(&[b"early"]), Err(SendError::NotReady));
    dealer.handle_input(&greeting()).unwrap();
    let before = dealer.output_len();
    assert_eq!(dealer.send(&[b"early"]), Err(SendError::NotReady));
    assert_eq!(dealer.output_len(), before);
    assert!(!dealer.is_ready());
}

// protocol.md §2.2
#[test]
fn minor_versions_and_later_majors_are_welcome() {
    for version in [[3, 0], [3, 1], [3, 9], [4, 0], [255, 255]] {
        let mut router = Connection::router(Limits::default());
        let opening = [&greeting_with(10, &version), &dealer_opening()[64..]].concat();
        router.handle_input(&opening).unwrap();
        assert!(router.is_ready());
    }
}

#[test]
fn the_octets_inside_the_signature_the_server_flag_and_the_filler_do_not_matter() {
    let mut odd = greeting_with(1, &[1, 2, 3, 4, 5, 6, 7, 8]);
    odd[32..].fill(0xee);
    let mut router = Connection::router(Limits::default());
    router
        .handle_input(&[&odd, &dealer_opening()[64..]].concat())
        .unwrap();
    assert!(router.is_ready());
}

#[test]
fn another_protocol_is_refused_at_its_first_octet() {
    assert_eq!(refusal(b"G"), Malformed::Signature.into());
    assert_eq!(
        refusal(b"\xff\0\0\0\0\0\0\0\x01\x7e"),
        Malformed::Signature.into()
    );
}

#[test]
fn an_older_zmtp_is_refused_without_waiting_for_64_octets() {
    let zmtp_2 = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05";
    assert_eq!(refusal(zmtp_2), Unsupported::Version { major: 1 }.into());
}

#[test]
fn another_mechanism_is_refused_by_name() {
    let name = |name: &str| {
        Unsupported::Mechanism {
            name: name.into(),
            ours: crate::Mechanism::Null,
        }
        .into()
    };
    assert_eq!(refusal(&greeting_with(12, b"CURVE")), name("CURVE"));
    assert_eq!(refusal(&greeting_with(12, b"NULLS")), name("NULLS"));
    assert_eq!(refusal(&greeting_with(12, b"\0\0\0\0")), name(""));
    assert_eq!(refusal(&greeting_with(12, b"\x1b[2J")), name("\\x1b[2J"));
    assert_eq!(
        refusal(&greeting_with(31, b"!")),
        name("NULL\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00!")
    );
}

#[test]
fn a_dealer_meets_router_rep_and_dealer() {
    let dealer = || Connection::dealer(b"", Limits::default());
    assert_eq!(meets(dealer(), b"ROUTER"), Ok(SocketKind::Router));
    assert_eq!(meets(dealer(), b"REP"), Ok(SocketKind::Rep));
    assert_eq!(meets(dealer(), b"DEALER"), Ok(SocketKind::Dealer));
    for name in ["REQ", "PUB", "SUB", "PULL", "", "dealer"] {
        let refused = Unsupported::SocketType {
            name: name.into(),
            ours: SocketKind::Dealer,
        };
        assert_eq!(meets(dealer(), name.as_bytes()), Err(refused.into()));
    }
}

#[test]
fn a_router_meets_dealer_req_and_router() {
    let router = || Connection::router(Limits::default());
    assert_eq!(meets(router(), b"DEALER"), Ok(SocketKind::Dealer));
    assert_eq!(meets(router(), b"REQ"), Ok(SocketKind::Req));
    assert_eq!(meets(router(), b"ROUTER"), Ok(SocketKind::Router));
    for name in ["REP", "PUSH", "XPUB", "ROUTER "] {
        let refused = Unsupported::SocketType {
            name: name.into(),
            ours: SocketKind::Router,
        };
        assert_eq!(meets(router(), name.as_bytes()), Err(refused.into()));
    }
}

#[test]
fn ready_without_socket_type_is_refused() {
    assert_eq!(refusal_of_ready(&[]), Malformed::SocketTypeMissing.into());
    assert_eq!(
        refusal_of_ready(&[(b"Identity", b"x")]),
        Malformed::SocketTypeMissing.into()
    );
}

#[test]
fn a_property_that_counts_may_be_there_once() {
    let name = "Socket-Type";
    assert_eq!(
        refusal_of_ready(&[(b"Socket-Type", b"DEALER"), (b"socket-type", b"DEALER")]),
        Malformed::PropertyTwice { name }.into()
    );
    let name = "Identity";
    assert_eq!(
        refusal_of_ready(&[(b"Identity", b""), (b"Identity", b"b")]),
        Malformed::PropertyTwice { name }.into()
    );
}

#[test]
fn a_property_that_is_cut_off_anywhere_is_refused() {
    let whole = properties(&[(b"Socket-Type", b"DEALER")]);
    for len in 1..whole.len() {
        let ready = command(b"READY", &whole[..len]);
        let error = refusal(&[greeting(), ready].concat());
        assert_eq!(error, Malformed::Property.into(), "{len}");
    }
}

#[test]
fn a_property_without_a_name_is_refused() {
    let error = refusal_of_ready(&[(b"", b"x"), (b"Socket-Type", b"DEALER")]);
    assert_eq!(error, Malformed::Property.into());
}

#[test]
fn an_identity_may_have_255_octets() {
    let ready = |len: usize| {
        let identity = vec![7; len];
        let ready = properties(&[(b"Socket-Type", b"DEALER"), (b"Identity", &identity)]);
        [greeting(), command(b"READY", &ready)].concat()
    };
    let mut router = Connection::router(Limits::default());
    router.handle_input(&ready(255)).unwrap();
    assert!(router.is_ready());
    assert_eq!(
        refusal(&ready(256)),
        Malformed::Identity { len: 256 }.into()
    );
}

#[test]
fn the_reason_of_an_error_command_is_told() {
    let refused = |data: &[u8]| refusal(&[greeting(), command(b"ERROR", data)].concat());
    let reason = |reason: &str| Error::Refused {
        reason: reason.into(),
    };
    assert_eq!(refused(b"\x07go away"), reason("go away"));
    assert_eq!(refused(b"\0"), reason(""));
    assert_eq!(refused(b"\x03a\nb"), reason("a\\nb"));
    for wrong in [&b""[..], b"\x05four", b"\x03four"] {
        assert_eq!(refused(wrong), Malformed::Reason.into());
    }
}

#[test]
fn a_message_before_ready_is_refused_at_its_header() {
    let opening = [greeting(), vec![0, 200]].concat();
    assert_eq!(refusal(&opening), Misbehaved::MessageBeforeReady.into());
    let opening = [greeting(), message(&[b"x"])].concat();
    assert_eq!(refusal(&opening), Misbehaved::MessageBeforeReady.into());
}

#[test]
fn only_ready_and_error_may_be_the_first_command() {
    for first in [
        command(b"PING", b"\0\0"),
        command(b"HELLO", b""),
        command(b"PONG", b""),
    ] {
        let error = refusal(&[greeting(), first].concat());
        assert_eq!(error, Misbehaved::CommandBeforeReady.into());
    }
}

#[test]
fn a_command_without_a_name_is_refused() {
    for body in [&b""[..], b"\0", b"\0READY", b"\x05READ"] {
        let error = refusal(&[greeting(), frame(4, body)].concat());
        assert_eq!(error, Malformed::CommandName.into());
    }
}

#[test]
fn ready_has_the_limit_of_a_command() {
    let limits = Limits {
        command_len_max: 40,
        ..Limits::default()
    };
    let ready = command(
        b"READY",
        &properties(&[(b"Socket-Type", b"DEALER"), (b"Identity", b"peer")]),
    );
    let mut router = Connection::router(limits);
    let error = router
        .handle_input(&[&greeting(), &ready[..2]].concat())
        .unwrap_err();
    let len = ready.len() as u64 - 2;
    assert_eq!(error, LimitExceeded::Command { len, max: 40 }.into());
}

#[test]
fn messages_in_one_piece_with_greeting_and_ready_are_taken() {
    let mut router = Connection::router(Limits::default());
    let all = [dealer_opening(), message(&[b"hello"])].concat();
    router.handle_input(&all).unwrap();
    assert!(matches!(router.poll_event(), Some(Event::Ready { .. })));
    let Some(Event::Message(hello)) = router.poll_event() else {
        panic!()
    };
    assert_eq!(hello.frame(0), Some(&b"hello"[..]));
}
