//! Labels: any name as an element of a bus name or path or as a member name, and back.
//!
//! Model: [`label`] converts a name to a label, [`unlabel`] converts it back. Of the UTF-8 octets of the name,
//! `A-Z a-z 0-9` are kept, but a leading digit is escaped; `_` is kept unless the next two octets are both in `0-9a-f`;
//! every other octet becomes `_` and two lowercase hex digits. The empty name is `_`, the name `_` is `_5f`.
//! Invariants:
//! LABEL-1. A label is not empty, has at most [`LABEL_LEN_MAX`] octets of `A-Z a-z 0-9 _`, and no leading digit.
//! LABEL-2. `unlabel(label(name)) == Some(name)` if the label is not cut, so labels that are not cut are unique.
//! LABEL-3. `unlabel` returns a name only if `label` converts it to the same label.
//! Limits: a label that would be longer than [`LABEL_LEN_MAX`] is cut to 183 octets, followed by `_` and the 16 hex
//! digits of the 64-bit FNV-1a hash of the name (offset basis `cbf29ce484222325`, prime `100000001b3`, over the UTF-8
//! octets). A cut label cannot be converted back, and a peer can choose two names with the same one, so a table of
//! labels must check for it.
//! Not here: which of two nodes with the same name gets the [`suffixed`] label, see `crate::directory`.
//! Spec: docs/reference/dbus.md, "Labels".

/// The longest label, in octets.
pub const LABEL_LEN_MAX: usize = 200;

/// The octets that remain of a label longer than [`LABEL_LEN_MAX`].
const CUT_LEN: usize = LABEL_LEN_MAX - 1 - 16;

/// The label of `name`.
#[must_use]
pub fn label(name: &str) -> String {
    match name {
        "" => return "_".to_owned(),
        "_" => return "_5f".to_owned(),
        _ => {}
    }
    let octets = name.as_bytes();
    let mut label = String::with_capacity(octets.len().min(LABEL_LEN_MAX) + 8);
    for (at, &octet) in octets.iter().enumerate() {
        if stays(octets, at) {
            label.push(char::from(octet));
        } else {
            push_escaped(&mut label, octet);
        }
        if label.len() > LABEL_LEN_MAX {
            return cut(label, octets);
        }
    }
    label
}

/// Converts a label to its name; `None` if the text is not a label, or if its name is not UTF-8.
///
/// Of a label that was cut this is not the name: it answers `None` or another name.
#[must_use]
pub fn unlabel(label: &str) -> Option<String> {
    if label == "_" {
        return Some(String::new());
    }
    let octets = label.as_bytes();
    let mut name = Vec::with_capacity(octets.len());
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        match (octet, escaped(octets, at)) {
            (b'_', Some(value)) => {
                name.push(value);
                at += 3;
            }
            _ => {
                name.push(octet);
                at += 1;
            }
        }
    }
    let name = String::from_utf8(name).ok()?;
    (self::label(&name) == label).then_some(name)
}

/// The label of the later one of two present nodes with the same name.
///
/// `uuid` is the node's UUID in hex digits; the first 8 of them are taken.
#[must_use]
pub fn suffixed(label: &str, uuid: &str) -> String {
    let mut suffixed = String::with_capacity(label.len() + 9);
    suffixed.push_str(label);
    suffixed.push('_');
    suffixed.extend(
        uuid.chars()
            .filter(char::is_ascii_hexdigit)
            .take(8)
            .map(|digit| digit.to_ascii_lowercase()),
    );
    suffixed
}

/// Whether the octet at `at` is not escaped.
fn stays(octets: &[u8], at: usize) -> bool {
    match octets[at] {
        b'A'..=b'Z' | b'a'..=b'z' => true,
        b'0'..=b'9' => at > 0,
        b'_' => !octets
            .get(at + 1..at + 3)
            .is_some_and(|next| next.iter().copied().all(is_hex)),
        _ => false,
    }
}

/// The octet of the escape sequence at `at`.
fn escaped(octets: &[u8], at: usize) -> Option<u8> {
    let high = hex_value(*octets.get(at + 1)?)?;
    let low = hex_value(*octets.get(at + 2)?)?;
    Some(high << 4 | low)
}

fn cut(mut label: String, name: &[u8]) -> String {
    label.truncate(CUT_LEN);
    label.push('_');
    for octet in fnv1a(name).to_be_bytes() {
        label.push(char::from(HEX[usize::from(octet >> 4)]));
        label.push(char::from(HEX[usize::from(octet & 15)]));
    }
    label
}

fn fnv1a(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3)
    })
}

fn push_escaped(label: &mut String, octet: u8) {
    label.push('_');
    label.push(char::from(HEX[usize::from(octet >> 4)]));
    label.push(char::from(HEX[usize::from(octet & 15)]));
}

fn is_hex(octet: u8) -> bool {
    hex_value(octet).is_some()
}

/// The value of a lowercase hex digit.
fn hex_value(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zbus::{
        ObjectPath,
        names::{MemberName, WellKnownName},
    };

    use super::*;

    #[test]
    fn the_examples_of_the_reference_hold() {
        for (name, expected) in [
            ("my_float", "my_float"),
            ("My Float", "My_20Float"),
            ("lamp@foh", "lamp_40foh"),
            ("a_bed", "a_5fbed"),
            ("", "_"),
            ("_", "_5f"),
            ("__", "__"),
            ("_a", "_a"),
            ("_ab", "_5fab"),
            ("_AB", "_AB"),
            ("1st", "_31st"),
            ("x1", "x1"),
            ("Gr\u{fc}n/\"3\"", "Gr_c3_bcn_2f_223_22"),
            ("a.b-c", "a_2eb_2dc"),
            ("_\u{e4}", "__c3_a4"),
        ] {
            assert_eq!(label(name), expected, "{name:?}");
            assert_eq!(unlabel(expected).as_deref(), Some(name), "{expected:?}");
        }
    }

    #[test]
    fn what_no_name_is_labelled_is_no_label() {
        for text in [
            "", "a b", "1st", "_4", "_41", "a_C3", "_ff", "\u{e4}", "_5f5f",
        ] {
            let name = unlabel(text);
            assert!(
                name.as_deref().is_none_or(|name| label(name) == text),
                "{text:?} gave {name:?}"
            );
        }
        assert_eq!(unlabel("_41"), None);
        assert_eq!(unlabel("_ff"), None);
        assert_eq!(unlabel("a b"), None);
    }

    #[test]
    fn a_long_label_is_cut_and_told_apart_by_its_hash() {
        let name = "\u{fc}".repeat(100);
        let one = label(&name);
        let two = label(&format!("{name}x"));
        assert_eq!(one.len(), LABEL_LEN_MAX);
        assert_eq!(two.len(), LABEL_LEN_MAX);
        assert_eq!(one[..CUT_LEN], two[..CUT_LEN]);
        assert_ne!(one, two);
        assert_eq!(label(&"a".repeat(200)), "a".repeat(200));
        assert_eq!(&label(&"a".repeat(201))[..184], "a".repeat(183) + "_");
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_suffix_is_the_first_eight_digits() {
        assert_eq!(
            suffixed("lamp", "F7E5D430-0000-0000-0000-000000000000"),
            "lamp_f7e5d430"
        );
    }

    proptest! {
        #[test]
        fn a_label_is_legal_everywhere(name in ".{0,120}", uuid in "[0-9a-f]{32}") {
            for label in [label(&name), suffixed(&label(&name), &uuid)] {
                let (name, path) = (format!("org.z25.Zocp1.Node.{label}"), format!("/org/z25/{label}"));
                prop_assert!(WellKnownName::try_from(name).is_ok());
                prop_assert!(ObjectPath::try_from(path).is_ok());
                prop_assert!(MemberName::try_from(label).is_ok());
            }
        }

        #[test]
        fn a_label_that_is_not_cut_is_undone(name in "[_a-f0-9A-Z./ \u{e4}\u{0}]{0,60}") {
            let label = label(&name);
            if label.len() < LABEL_LEN_MAX {
                prop_assert_eq!(unlabel(&label), Some(name));
            }
        }

        #[test]
        fn no_two_names_share_a_label(a in "[_a5f ]{0,6}", b in "[_a5f ]{0,6}") {
            prop_assert_eq!(label(&a) == label(&b), a == b);
        }

        #[test]
        fn undoing_never_invents(text in "[_a-fA-F0-9]{0,12}") {
            if let Some(name) = unlabel(&text) {
                prop_assert_eq!(label(&name), text);
            }
        }
    }
}
