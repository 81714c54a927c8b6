//! Helpers for tests of other modules: strings of all kinds, and a check that every implementation can read a message.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test's helpers fail like the test"
)]

use proptest::prelude::*;
use zbus::{Message, Signature, Variant, wire::OwnedStructure};

/// Strings, many with characters that some D-Bus or XML implementation rejects, or that control a terminal.
pub fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => any::<String>(),
        3 => "[\0\u{1}\u{1b}\na\u{7f}\u{85}\u{2028}\u{202e}\u{2400}\u{fdd0}\u{fdef}\u{feff}\u{fffd}-\u{ffff}\u{1fffe}\u{1ffff}\u{10ffff}]{0,5}",
        1 => Just("/../a.b:c\"<&'>]]>".to_owned()),
        1 => Just("x".repeat(300)),
    ]
}

/// Asserts that a bus accepts a message, that sd-bus, GLib and libdbus can read it, and that no dictionary in it has
/// duplicate keys.
///
/// # Panics
/// When one of them does not.
pub fn assert_readable(message: &Message) {
    let body = message.body();
    body.validate().expect("a bus takes it");
    if *body.signature() == Signature::Unit {
        return;
    }
    let OwnedStructure(values) = body.deserialize().expect("values");
    for value in values.fields() {
        let mut found = Vec::new();
        strings(value, &mut found);
        for text in found {
            let refused = text.chars().find(|letter| !is_read_by_all(*letter));
            assert_eq!(refused, None, "in {text:?} of {message:?}");
        }
    }
    // zbus drops duplicate keys, so the same values would then be shorter.
    let again =
        Message::signal("/", "a.B", "C").endian(message.primary_header().endian_sig().into());
    let again = again.build(&values).expect("the same once more");
    let lens = [message, &again].map(|it| it.primary_header().body_len());
    assert_eq!(lens[0], lens[1], "a key comes twice in {message:?}");
}

/// `unichar_is_valid` of systemd 254, and no NUL.
pub(super) fn is_read_by_all(letter: char) -> bool {
    let code = u32::from(letter);
    code != 0 && !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
}

/// All strings in a value, including keys and the contents of variants.
pub(super) fn strings(value: &Variant<'_>, found: &mut Vec<String>) {
    match value {
        Variant::Str(text) => found.push(text.to_string()),
        Variant::Variant(inner) => strings(inner, found),
        Variant::Array(array) => array.inner().iter().for_each(|it| strings(it, found)),
        Variant::Structure(fields) => fields.fields().iter().for_each(|it| strings(it, found)),
        Variant::Dict(dict) => dict.iter().for_each(|(key, value)| {
            strings(key, found);
            strings(value, found);
        }),
        _ => {}
    }
}
