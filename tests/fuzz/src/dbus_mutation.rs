//! Real messages, changed: fields that nobody knows, and then any octets.
//!
//! Input: the kind of the message and its byte order, how many fields are added, for each a code, a type and a place,
//! and then places with what is written there.
//! Holds: with nothing but added fields, what is read is the message as it was. Whatever is changed, what the
//! reference takes, as a bus does, is read or has its one answer: a call that wants one is refused, an answer
//! becomes an error for its caller, and a signal is nobody's. And all that holds of a header.

use zbus::{Message, message::Flags, wire::Endian};
use zocp_dbus::message::received::received;

use crate::{dbus_header, reference, show};

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = data.iter().copied();
    let mut next = || input.next().unwrap_or_default();
    let message = real(next());
    let mut octets = message.data().bytes().to_vec();
    for _ in 0..next() % FIELDS_MAX {
        let (code, kind, place) = (next(), next(), next());
        add_field(&mut octets, (code.max(CODE_MIN), kind, place));
    }
    let read = received(octets.clone(), &mut Vec::new()).expect("what is added is left out");
    assert!(read.data().bytes() == message.data().bytes());
    for _ in 0..next() % CHANGES_MAX {
        let place = usize::from(u16::from_le_bytes([next(), next()])) % octets.len();
        octets[place] = next();
    }
    show(&octets);
    match received(octets.clone(), &mut Vec::new()) {
        Ok(message) => dbus_header::taken(&message, &octets),
        Err(unreadable) => {
            dbus_header::not_taken(&unreadable, &octets);
            let (call, answer) = (unreadable.call(), unreadable.answer());
            let field = FIELDS_AT..FIELDS_AT + SENDER_LEN;
            let has_sender = octets.get(field.clone()) == message.data().bytes().get(field);
            if reference::takes(&octets) != Some(true) || !has_sender {
                return;
            }
            let is_quiet = octets[2] & Flags::NO_REPLY_EXPECTED.bits() != 0;
            assert_eq!(call.is_some(), octets[1] == CALL && !is_quiet);
            assert_eq!(answer.is_some(), [RETURN, ERROR].contains(&octets[1]));
        }
    }
}

/// A message of each kind, in each byte order, whose first field is its sender, as a bus could put it.
fn real(which: u8) -> Message {
    let order = if which & 4 == 0 {
        Endian::Little
    } else {
        Endian::Big
    };
    let body = ("text", vec![(1u8, 2u64)], [("k", zbus::Variant::new(7i16))]);
    let call = Message::method_call("/a/b", "Do").interface("org.a.B");
    let call = call.sender(":1.7").destination("org.here").endian(order);
    let call = call.build(&body).expect("a call");
    let header = call.header();
    let message = match which & 3 {
        0 => return with_sender_first(&call),
        1 => Message::method_return(&header),
        2 => Message::error(&header, "org.a.Broken"),
        _ => Message::signal("/a/b", "org.a.B", "Told"),
    };
    let message = message.sender(":1.9").endian(order).build(&body);
    with_sender_first(&message.expect("a message"))
}

/// The same with its sender in front.
fn with_sender_first(message: &Message) -> Message {
    let octets = message.data().bytes();
    // Fields begin at a multiple of eight; elsewhere, in the serial for instance, the same octets are no field.
    let mut places = (FIELDS_AT..octets.len()).step_by(8);
    let at = places.find(|at| octets[*at..].starts_with(SENDER_FIELD));
    let at = at.expect("it has a sender");
    // A code, a type, a length, four octets and a NUL: sixteen with what is behind them.
    let mut moved = octets.to_vec();
    let end = (at + 16).min(moved.len());
    let mut field: Vec<u8> = moved.drain(at..end).collect();
    field.resize(16, 0);
    moved.splice(FIELDS_AT..FIELDS_AT, field);
    received(moved, &mut Vec::new()).expect("the order of fields is free")
}

/// Adds a field behind the sender: of this code, one of some types, with what is not zero in it.
fn add_field(octets: &mut Vec<u8>, (code, kind, place): (u8, u8, u8)) {
    let is_big = octets[0] == b'B';
    let two = if is_big {
        2u32.to_be_bytes()
    } else {
        2u32.to_le_bytes()
    };
    let field: Vec<u8> = match kind % 8 {
        0 => [&[code, 1, b'u', 0][..], &two].concat(),
        1 => [&[code, 1, b's', 0][..], &two, b"ab\0"].concat(),
        2 => vec![code, 1, b'y', 0, place],
        3 => [&[code, 2, b'a', b'y', 0, 0, 0, 0][..], &two, b"ab"].concat(),
        4 => vec![code, 1, b'v', 0, 1, b'v', 0, 1, b'y', 0, place],
        5 => [&[code, 4][..], b"(yy)\0\0", &[place, 0]].concat(),
        6 => [&[code, 5][..], b"a{sv}", &[0; 9]].concat(),
        _ => vec![code, 1, b'g', 0, 2, b'a', b'y', 0],
    };
    let mut field = field;
    field.resize(field.len().next_multiple_of(8), 0);
    let at = FIELDS_AT + 16;
    let len = octets[12..16].try_into().expect("four octets");
    let len = if is_big {
        u32::from_be_bytes(len)
    } else {
        u32::from_le_bytes(len)
    };
    let len = len + field.len() as u32;
    let len = if is_big {
        len.to_be_bytes()
    } else {
        len.to_le_bytes()
    };
    octets[12..16].copy_from_slice(&len);
    octets.splice(at..at, field);
}

/// A text, as the sender's name.
const SENDER_FIELD: &[u8] = &[7, 1, b's', 0];
/// Of the field with the name of the sender: code and type, length, a name such as `:1.7`, and the NUL.
const SENDER_LEN: usize = 4 + 4 + 4 + 1;
const FIELDS_AT: usize = 16;
/// Codes below have a meaning.
const CODE_MIN: u8 = 10;
const FIELDS_MAX: u8 = 32;
const CHANGES_MAX: u8 = 16;
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
