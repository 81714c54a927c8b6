//! Every command, round and round; every frame that is none.

use proptest::prelude::*;

use super::*;

fn round(frame: &[u8]) -> Result<(Command<'_>, u16), DecodeError> {
    decode(frame, &HelloLimits::default())
}

fn encoded(command: &Command<'_>, sequence: u16) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(sequence, &mut out);
    out
}

fn hello() -> Hello {
    Hello {
        endpoint: "tcp://10.99.1.1:49152".into(),
        groups: vec!["ZOCP".into(), "lights".into()],
        status: 2,
        name: "alice".into(),
        headers: vec![("X-ZOCP".into(), "1".into())],
    }
}

#[test]
fn every_prefix_of_a_hello_is_truncated_or_malformed() {
    let frame = encoded(&Command::Hello(Box::new(hello())), 1);
    for cut in 0..frame.len() {
        assert!(round(&frame[..cut]).is_err(), "{cut}");
    }
    assert!(round(&frame).is_ok());
}

#[test]
fn ids_8_to_10_are_counted_and_others_refused() {
    for id in 8..=10 {
        let frame = [0xAA, 0xA1, id, 2, 0, 9];
        assert_eq!(round(&frame), Ok((Command::Other(id), 9)));
    }
    for id in [0, 11, 255] {
        let frame = [0xAA, 0xA1, id, 2, 0, 9];
        assert_eq!(round(&frame), Err(DecodeError::UnknownCommand(id)));
    }
}

#[test]
fn another_signature_or_version_is_refused() {
    assert_eq!(
        round(&[0xAA, 0xA0, 1, 2, 0, 1]),
        Err(DecodeError::BadSignature)
    );
    assert_eq!(
        round(&[0xAA, 0xA1, 6, 3, 0, 1]),
        Err(DecodeError::BadVersion(3))
    );
}

#[test]
fn a_name_cut_in_the_middle_of_a_character_is_taken() {
    let mut frame = vec![0xAA, 0xA1, JOIN, 2, 0, 2, 3, b'a', b'b', 0xC3, 7];
    let Ok((Command::Join { group, status }, 2)) = round(&frame) else {
        panic!("not a JOIN");
    };
    assert_eq!((group.as_ref(), status), ("ab\u{fffd}", 7));
    frame.push(0);
    assert!(
        round(&frame).is_ok(),
        "what follows the last field is ignored"
    );
}

#[test]
fn limits_hold_before_anything_is_reserved() {
    let limits = HelloLimits {
        groups_max: 1,
        headers_max: 0,
        header_value_len_max: 4,
    };
    let frame = encoded(&Command::Hello(Box::new(hello())), 1);
    assert_eq!(
        decode(&frame, &limits),
        Err(DecodeError::TooManyGroups { count: 2, max: 1 })
    );
    let mut hello = hello();
    hello.groups.clear();
    let frame = encoded(&Command::Hello(Box::new(hello.clone())), 1);
    assert_eq!(
        decode(&frame, &limits),
        Err(DecodeError::TooManyHeaders { count: 1, max: 0 })
    );
    hello.headers[0].1 = "12345".into();
    let frame = encoded(&Command::Hello(Box::new(hello)), 1);
    let limits = HelloLimits {
        headers_max: 1,
        ..limits
    };
    assert_eq!(
        decode(&frame, &limits),
        Err(DecodeError::TextTooLong { len: 5, max: 4 })
    );
    // Announced, but not there: no memory for 2^32 groups.
    let greedy = [0xAA, 0xA1, 1, 2, 0, 1, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    assert!(matches!(
        round(&greedy),
        Err(DecodeError::TooManyGroups { .. })
    ));
}

// protocol.md §3.11
#[test]
fn what_is_too_long_for_a_string_is_cut_at_a_character() {
    let mut long = hello();
    long.name = "ü".repeat(200);
    let frame = encoded(&Command::Hello(Box::new(long)), 1);
    let Ok((Command::Hello(back), _)) = round(&frame) else {
        panic!("not a HELLO");
    };
    assert_eq!(back.name, "ü".repeat(127));
}

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn any_command() -> impl Strategy<Value = Command<'static>> {
    let hello = (
        any_text(),
        prop::collection::vec(any_text(), 0..5),
        any::<u8>(),
        any_text(),
        prop::collection::vec((any_text(), any_text()), 0..5),
    )
        .prop_map(|(endpoint, groups, status, name, headers)| {
            Command::Hello(Box::new(Hello {
                endpoint,
                groups,
                status,
                name,
                headers,
            }))
        });
    let group = || any_text().prop_map(Cow::Owned);
    prop_oneof![
        hello,
        Just(Command::Whisper),
        group().prop_map(|group| Command::Shout { group }),
        (group(), any::<u8>()).prop_map(|(group, status)| Command::Join { group, status }),
        (group(), any::<u8>()).prop_map(|(group, status)| Command::Leave { group, status }),
        Just(Command::Ping),
        Just(Command::PingOk),
        (8u8..=10).prop_map(Command::Other),
    ]
}

proptest! {
    #[test]
    fn any_command_comes_back_as_it_was_written(command in any_command(), sequence: u16) {
        let frame = encoded(&command, sequence);
        prop_assert_eq!(round(&frame), Ok((command, sequence)), "frame {:02x?}", frame);
    }

    #[test]
    fn no_octets_make_decoding_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = round(&octets);
    }

    #[test]
    fn no_fields_behind_a_good_head_make_decoding_panic(
        id in 1u8..=7,
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut frame = vec![0xAA, 0xA1, id, 2, 0, 1];
        frame.extend(octets);
        let _ = round(&frame);
    }
}
