//! Strings that every D-Bus implementation accepts.
//!
//! Model: [`Text`] is the checked form of a string. A character that some implementation rejects is replaced:
//!
//! | character | shown as | rejected by |
//! | --- | --- | --- |
//! | U+0000 | U+2400, its symbol | every bus: it closes the connection of the sender |
//! | the 66 noncharacters: U+FDD0 to U+FDEF, and U+FFFE and U+FFFF of each plane | U+FFFD | sd-bus: the message cannot be read |
//!
//! All other characters of Unicode are kept, control characters included. libdbus, dbus-broker and GLib accept
//! noncharacters, but `unichar_is_valid` of systemd does not. A property that contains one makes every reply with it
//! unreadable for `busctl` and for all services that use sd-bus.
//! Invariants: TEXT-1. A `Text` contains no character of the table. TEXT-2. A string without such characters is
//! neither changed nor copied. TEXT-3. The replacement of a `Text` is the same `Text`.
//! Not here: bus names, paths, interfaces, members and error names, which have their own types in zbus and are ASCII;
//! the characters that XML allows (`crate::introspection`).
//! Spec: docs/reference/dbus.md, "Texts"; D-Bus specification, "Marshaling (Wire Format)".

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{Serialize, Serializer};
use zbus::{Signature, Type, Variant};

/// A string that every D-Bus implementation accepts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// Replaces all characters that are not allowed.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        if is_plain(text) || text.chars().all(|letter| replacement(letter).is_none()) {
            return Self(Cow::Borrowed(text));
        }
        let letters = text.chars();
        let legal = letters.map(|letter| replacement(letter).unwrap_or(letter));
        Self(Cow::Owned(legal.collect()))
    }

    /// The text as an owned string.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }
}

/// The replacement of a character that some implementation rejects.
fn replacement(letter: char) -> Option<char> {
    match u32::from(letter) {
        0 => Some('\u{2400}'),
        0xfdd0..=0xfdef => Some(char::REPLACEMENT_CHARACTER),
        code if code & 0xfffe == 0xfffe => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

/// Whether a string is ASCII without NUL, as nearly all are. It examines each octet without branches, so that the
/// compiler can vectorize the loop.
fn is_plain(text: &str) -> bool {
    let tops = |tops: u8, octet: u8| tops | octet | octet.wrapping_sub(1);
    text.bytes().fold(0, tops) < 0x80
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Type for Text<'_> {
    const SIGNATURE: &'static Signature = &Signature::Str;
}

impl From<Text<'_>> for Variant<'static> {
    fn from(text: Text<'_>) -> Self {
        Variant::from(text.into_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::readable::is_read_by_all, *};

    #[test]
    fn each_character_passes_or_is_replaced_by_one_that_does() {
        for letter in '\0'..=char::MAX {
            let text = letter.to_string();
            let legal = Text::new(&text);
            assert!(legal.chars().all(is_read_by_all), "{letter:?}");
            assert_eq!(*legal == *text, is_read_by_all(letter), "{letter:?}");
            assert_eq!(legal.chars().count(), 1, "{letter:?}");
        }
    }

    #[test]
    fn what_is_documented_is_what_happens() {
        let shown = |text: &str| Text::new(text).into_string();
        assert_eq!(shown("a\0b"), "a\u{2400}b");
        assert_eq!(
            shown("\u{fdd0}\u{fffe}\u{1ffff}\u{10fffe}"),
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(
            shown("\u{feff}\u{1b}[31m\u{85}\u{202e}"),
            "\u{feff}\u{1b}[31m\u{85}\u{202e}"
        );
    }

    proptest! {
        #[test]
        fn a_legal_text_is_not_copied_and_stays(text in any::<String>()) {
            let legal = Text::new(&text);
            let is_legal = text.chars().all(is_read_by_all);
            prop_assert_eq!(matches!(legal.0, Cow::Borrowed(_)), is_legal);
            let again = Text::new(&legal);
            prop_assert!(matches!(again.0, Cow::Borrowed(_)));
            prop_assert_eq!(legal.chars().count(), text.chars().count());
        }

        #[test]
        fn plain_is_what_is_ascii_without_nul(text in "[\0-\u{90}]{0,40}") {
            prop_assert_eq!(is_plain(&text), text.is_ascii() && !text.contains('\0'));
        }
    }
}
