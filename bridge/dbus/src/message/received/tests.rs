use std::{fs::File, num::NonZeroU32};

use zbus::message::{Flags, Type};

use super::*;

/// A field: its code, its type, and the octets of its value.
type Odd<'a> = (u8, &'a [u8], &'a [u8]);

/// Inserts a field before all others; they stay aligned, because each begins at a multiple of eight.
fn with_field(message: &Message, (code, signature, value): Odd<'_>) -> Vec<u8> {
    let octets = message.data().bytes();
    let mut field = vec![code, signature.len() as u8];
    field.extend_from_slice(signature);
    field.push(0);
    field.extend_from_slice(value);
    field.resize(field.len().next_multiple_of(8), 0);
    let order = Endian::from(message.primary_header().endian_sig());
    let len = order.read_u32(&octets[12..16]) + field.len() as u32;
    let mut made = octets[..FIELDS_AT].to_vec();
    order.write_u32(&mut made[12..16], len);
    made.extend_from_slice(&field);
    made.extend_from_slice(&octets[FIELDS_AT..]);
    made
}

/// A message with another value in the `u32` field of this code.
fn with_number(message: &Message, code: u8, number: u32) -> Vec<u8> {
    let mut octets = message.data().bytes().to_vec();
    let field = Fields::of(&octets)
        .unwrap()
        .flatten()
        .find(|it| it.code == code);
    let at = field.unwrap().value.start;
    octets[at..at + 4].copy_from_slice(&number.to_le_bytes());
    octets
}

fn call() -> Message {
    let call = Message::method_call("/a", "Do").interface("org.a.B");
    let call = call.sender(":1.7").destination("org.here");
    call.build(&("body", vec![1u64])).unwrap()
}

fn reply_to(call: &Message, is_error: bool) -> Message {
    let header = call.header();
    let reply = match is_error {
        true => Message::error(&header, "org.a.Broken"),
        false => Message::method_return(&header),
    };
    reply.sender(":1.9").build(&"body").unwrap()
}

fn signal(order: Endian) -> Message {
    let signal = Message::signal("/a", "org.a.B", "C").sender(":1.7");
    signal.endian(order).build(&vec!["body"]).unwrap()
}

fn all() -> Vec<Message> {
    let call = call();
    let (returned, error) = (reply_to(&call, false), reply_to(&call, true));
    vec![
        call,
        returned,
        error,
        signal(Endian::Little),
        signal(Endian::Big),
    ]
}

fn read(octets: Vec<u8>) -> Result<Message, Unreadable> {
    received(octets, &mut Vec::new())
}

#[test]
fn fields_that_nobody_knows_are_left_out_and_nothing_else() {
    let odd: &[Odd<'_>] = &[
        (10, b"y", b"\x01"),
        (77, b"(yyyy)", b"\0\0\0\0abcd"),
        (255, b"ay", b"\0\0\0\0\0\0\0"),
        (200, b"g", b"\x01u\0"),
    ];
    for message in all() {
        for field in odd {
            let octets = with_field(&message, *field);
            assert_ne!(octets, message.data().bytes());
            let read = read(octets).unwrap();
            assert!(read.data().bytes() == message.data().bytes(), "{field:?}");
        }
        let read = read(message.data().bytes().to_vec()).unwrap();
        assert!(read.data().bytes() == message.data().bytes());
    }
}

#[test]
fn thousands_of_fields_are_left_out() {
    let mut octets = signal(Endian::Little).data().bytes().to_vec();
    for number in 0..5000u32 {
        let value = number.to_le_bytes();
        // The same octets are inserted at the front repeatedly.
        let mut field = vec![100, 1, b'u', 0];
        field.extend_from_slice(&value);
        octets.splice(FIELDS_AT..FIELDS_AT, field);
    }
    let len = Endian::Little.read_u32(&octets[12..16]) + 5000 * 8;
    Endian::Little.write_u32(&mut octets[12..16], len);
    let read = read(octets).unwrap();
    assert_eq!(
        read.data().bytes().len(),
        signal(Endian::Little).data().bytes().len()
    );
}

/// Malformed calls, each with another error.
fn unreadable_calls() -> Vec<Vec<u8>> {
    let octets = call().data().bytes().to_vec();
    let changed = |at: usize, to: u8| {
        let mut octets = octets.clone();
        octets[at] = to;
        octets
    };
    let path = octets
        .windows(4)
        .position(|it| it == [1, 1, b'o', 0])
        .unwrap();
    let text = octets.windows(4).position(|it| it == *b"body").unwrap();
    vec![
        with_field(&call(), (0, b"s", b"\x01\0\0\0x\0")),
        // A field of the wrong type, a duplicate field, and a missing required field.
        with_field(&call(), (3, b"u", b"\x01\0\0\0")),
        with_field(&call(), (3, b"s", b"\x01\0\0\0x\0")),
        changed(path, 77),
        // An unknown version; a body that is not UTF-8.
        changed(3, 2),
        changed(text, 0xff),
    ]
}

#[test]
fn who_calls_with_what_cannot_be_read_is_told() {
    for octets in unreadable_calls() {
        let unreadable = read(octets.clone()).unwrap_err();
        assert!(unreadable.answer().is_none());
        let stand_in = unreadable
            .call()
            .unwrap_or_else(|| panic!("{unreadable}: {octets:x?}"));
        assert_eq!(stand_in.header().sender().unwrap(), ":1.7");
        let serial = |message: &Message| message.primary_header().serial_num();
        assert_eq!(
            serial(&stand_in),
            NonZeroU32::new(Endian::Little.read_u32(&octets[8..])).unwrap()
        );
        let mut unasked = octets;
        unasked[2] = Flags::NO_REPLY_EXPECTED.bits();
        assert!(read(unasked).unwrap_err().call().is_none());
    }
}

#[test]
fn who_waits_for_an_answer_that_cannot_be_read_gets_an_error() {
    let call = call();
    for is_error in [false, true] {
        let reply = reply_to(&call, is_error);
        let mut octets = reply.data().bytes().to_vec();
        octets[3] = 9;
        let unreadable = read(octets).unwrap_err();
        assert!(unreadable.call().is_none());
        let answer = unreadable.answer().unwrap();
        assert_eq!(answer.message_type(), Type::Error);
        let header = answer.header();
        assert_eq!(
            header.reply_serial(),
            Some(call.primary_header().serial_num())
        );
        assert_eq!(header.sender().unwrap(), ":1.9");
    }
}

#[test]
fn for_signals_and_for_types_that_nobody_has_defined_there_is_no_answer() {
    let mut odd = call().data().bytes().to_vec();
    odd[1] = 9;
    let mut broken = signal(Endian::Big).data().bytes().to_vec();
    broken[3] = 0;
    for octets in [
        odd,
        broken,
        Vec::new(),
        vec![0; 16],
        b"l\x01\0\x01".to_vec(),
    ] {
        let unreadable = read(octets).unwrap_err();
        assert!(unreadable.call().is_none() && unreadable.answer().is_none());
    }
}

/// A call with a descriptor, and the descriptor.
fn with_descriptor() -> (Message, OwnedFd) {
    let file = OwnedFd::from(File::open("/dev/null").unwrap());
    let call = Message::method_call("/a", "Take").sender(":1.7");
    let call = call
        .build(&zbus::Fd::from(file.try_clone().unwrap()))
        .unwrap();
    (call, file)
}

#[test]
fn descriptors_are_of_the_message_that_says_so_whatever_else_it_has() {
    let (call, file) = with_descriptor();
    let (plain, odd) = (
        signal(Endian::Little),
        (77, &b"ay"[..], &b"\0\0\0\0\0\0\0"[..]),
    );
    let mut descriptors = vec![file.try_clone().unwrap(), file.try_clone().unwrap()];
    let octets = with_field(&call, odd);
    let taken = received(octets, &mut descriptors).unwrap();
    assert_eq!((taken.data().fds().len(), descriptors.len()), (1, 1));
    let taken = received(plain.data().bytes().to_vec(), &mut descriptors).unwrap();
    assert_eq!((taken.data().fds().len(), descriptors.len()), (0, 1));
    // A rejected message takes its descriptors with it (RECEIVED-2).
    let mut broken = with_field(&call, odd);
    broken[3] = 2;
    assert!(
        received(broken, &mut descriptors)
            .unwrap_err()
            .call()
            .is_some()
    );
    assert!(descriptors.is_empty());
}

#[test]
fn a_body_with_a_descriptor_that_did_not_come_cannot_be_read() {
    let (call, file) = with_descriptor();
    // The bus treats an `h` as a number, so it forwards this message.
    let none = without_descriptors(&call).unwrap();
    assert!(read(none).unwrap_err().call().is_some());
    assert!(
        read(call.data().bytes().to_vec())
            .unwrap_err()
            .call()
            .is_some()
    );
    let more = with_number(&call, UNIX_FDS, 2);
    assert!(
        received(more, &mut vec![file])
            .unwrap_err()
            .call()
            .is_some()
    );
    let empty: Vec<zbus::Fd<'_>> = Vec::new();
    let empty = Message::method_call("/a", "Take").build(&empty).unwrap();
    assert!(
        read(empty.data().bytes().to_vec()).is_ok(),
        "an array without any"
    );
}
