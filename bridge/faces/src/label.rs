//! Labels: any name as an element of an address, the same that it has on D-Bus.
//!
//! Model: over the UTF-8 octets of the name `A-Z a-z 0-9` stay; a leading digit is escaped; `_` stays unless the next
//! two octets are both in `0-9a-f`; all else, and what must be escaped, becomes `_` and two lowercase hex digits. The
//! empty name is `_`, the name `_` is `_5f`. A label has no character that is one of a pattern of OSC.
//! Limits: a label that would be longer than [`LABEL_LEN_MAX`] is cut and gets `_` and the 16 hex digits of the name's
//! FNV-1a hash.
//! Spec: docs/reference/dbus.md, "Labels".

/// The longest label, in octets.
pub(crate) const LABEL_LEN_MAX: usize = 200;
/// What is kept of a longer one.
const CUT_LEN: usize = LABEL_LEN_MAX - 1 - 16;

/// The label of `name`.
pub(crate) fn label(name: &str) -> String {
    match name {
        "" => return "_".to_owned(),
        "_" => return "_5f".to_owned(),
        _ => {}
    }
    let octets = name.as_bytes();
    let mut label = String::new();
    for (at, octet) in octets.iter().enumerate() {
        if stays(octets, at) {
            label.push(char::from(*octet));
        } else {
            label.push_str(&format!("_{octet:02x}"));
        }
        if label.len() > LABEL_LEN_MAX {
            label.truncate(CUT_LEN);
            label.push_str(&format!("_{:016x}", fnv1a(octets)));
            break;
        }
    }
    label
}

/// Whether the octet at `at` stands for itself.
fn stays(octets: &[u8], at: usize) -> bool {
    let is_hex = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
    match octets[at] {
        b'A'..=b'Z' | b'a'..=b'z' => true,
        b'0'..=b'9' => at > 0,
        b'_' => !octets
            .get(at + 1..at + 3)
            .is_some_and(|next| next.iter().all(is_hex)),
        _ => false,
    }
}

fn fnv1a(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_bridge() {
        let table = [
            ("my_float", "my_float"),
            ("My Float", "My_20Float"),
            ("lamp@foh", "lamp_40foh"),
            ("a_bed", "a_5fbed"),
            ("", "_"),
            ("_", "_5f"),
            ("1", "_31"),
        ];
        for (name, expected) in table {
            assert_eq!(label(name), expected);
        }
        let long = label(&"x".repeat(1000));
        assert_eq!(long.len(), LABEL_LEN_MAX);
        assert_ne!(long, label(&"x".repeat(1001)));
    }
}
