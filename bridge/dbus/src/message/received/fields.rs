//! The header fields of a message, with any codes and types.
//!
//! Model: [`Fields`] iterates over the fields. It uses the signature that each field contains, so it can skip unknown
//! fields. It reads no values except lengths.
//! Invariants: FIELD-1. No octet outside the array of the header is read. FIELD-2. The time is linear in the number of
//! octets, without recursion.
//! Limits: [`VARIANTS_MAX`] nested variants.
//! Not here: the validity of values (zbus checks that).
//! Spec: D-Bus specification, "Header Fields", "Type System"

use std::ops::Range;

/// The offset of the fields in a message.
pub(super) const FIELDS_AT: usize = 16;

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) code: u8,
    /// The type of its value.
    pub(super) signature: &'a [u8],
    /// The range of the value, with the padding before it.
    pub(super) value: Range<usize>,
    /// The offset of the field.
    pub(super) start: usize,
}

/// Iterates over the fields of a message; `None` as an item ends it: the rest is malformed.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    /// The message up to the end of its fields.
    octets: &'a [u8],
    is_big: bool,
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message; `None` if the octets end before the header does.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        let is_big = is_big(message);
        let len = number_at(message, FIELDS_AT - 4, is_big)?;
        let octets = message.get(..FIELDS_AT.checked_add(len)?)?;
        Some(Self {
            octets,
            is_big,
            at: FIELDS_AT,
        })
    }

    /// The offset of the end of the array.
    pub(super) fn end(&self) -> usize {
        self.octets.len()
    }

    /// The value, if it is a `u32`.
    pub(super) fn number(&self, field: &Field<'_>) -> Option<u32> {
        let number = number_at(self.octets, field.value.start, self.is_big)?;
        (field.signature == b"u").then_some(number as u32)
    }

    /// The value, if it is a string in UTF-8.
    pub(super) fn text(&self, field: &Field<'_>) -> Option<&'a str> {
        // After the length, before the NUL.
        let text = field.value.start.checked_add(4)?..field.value.end.checked_sub(1)?;
        let text = std::str::from_utf8(self.octets.get(text)?).ok()?;
        (field.signature == b"s").then_some(text)
    }

    fn step(&mut self) -> Option<Field<'a>> {
        let start = self.at.next_multiple_of(8);
        let [code, len] = *self.octets.get(start..)?.first_chunk()?;
        let from = start + 2;
        // The NUL after a signature belongs to it, and a value may need no further octet.
        let value = from + usize::from(len) + 1;
        let signature = self.octets.get(from..value)?.split_last()?.1;
        let end = behind(self.octets, self.is_big, signature, value)?;
        Some(Field {
            code,
            signature,
            value: value..end,
            start,
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.octets.len() {
            return None;
        }
        let field = self.step();
        self.at = field.as_ref().map_or(usize::MAX, |field| field.value.end);
        Some(field)
    }
}

/// Whether the message is big-endian.
pub(super) fn is_big(message: &[u8]) -> bool {
    message.first() == Some(&b'B')
}

/// The `u32` at an offset.
pub(super) fn number_at(octets: &[u8], at: usize, is_big: bool) -> Option<usize> {
    let octets = *octets.get(at..)?.first_chunk::<4>()?;
    let number = match is_big {
        true => u32::from_be_bytes(octets),
        false => u32::from_le_bytes(octets),
    };
    usize::try_from(number).ok()
}

/// The offset after a value of these types; `None` if the octets end before it does.
fn behind(octets: &[u8], is_big: bool, signature: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut types) = (from, signature);
    // The remaining types around each open variant.
    let mut around: Vec<&[u8]> = Vec::new();
    loop {
        let Some((code, rest)) = types.split_first() else {
            match around.pop() {
                Some(rest) => types = rest,
                None => return Some(at),
            }
            continue;
        };
        types = rest;
        let start = at.next_multiple_of(alignment(*code)?);
        let len = match code {
            b'(' | b')' => 0,
            b's' | b'o' => number_at(octets, start, is_big)?.checked_add(4 + 1)?,
            b'g' => usize::from(*octets.get(start)?) + 1 + 1,
            b'a' => {
                let (element, rest) = first_type(types)?;
                types = rest;
                let elements = (start + 4).next_multiple_of(alignment(element)?);
                number_at(octets, start, is_big)?.checked_add(elements - start)?
            }
            b'v' => {
                let len = usize::from(*octets.get(start)?);
                if around.len() >= VARIANTS_MAX {
                    return None;
                }
                around.push(types);
                types = octets.get(start + 1..start + 1 + len)?;
                len + 1 + 1
            }
            fixed => alignment(*fixed)?,
        };
        at = start.checked_add(len)?;
        if at > octets.len() {
            return None;
        }
    }
}

/// The alignment of a type, which is also the length of a type with a fixed length.
fn alignment(code: u8) -> Option<usize> {
    Some(match code {
        b'y' | b'g' | b'v' | b')' => 1,
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b'h' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => return None,
    })
}

/// The code of the first complete type, and the types after it.
fn first_type(types: &[u8]) -> Option<(u8, &[u8])> {
    let mut depth = 0usize;
    for (at, code) in types.iter().enumerate() {
        match code {
            b'a' => continue,
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some((types[0], &types[at + 1..]));
        }
    }
    None
}

/// The nesting limit of the specification.
const VARIANTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A message whose header has these fields, each a code, a signature and the octets behind it.
    fn message(fields: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
        let mut octets = vec![b'l', 1, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        for (code, signature, value) in fields {
            octets.resize(octets.len().next_multiple_of(8), 0);
            octets.extend_from_slice(&[*code, signature.len() as u8]);
            octets.extend_from_slice(signature);
            octets.push(0);
            octets.extend_from_slice(value);
        }
        let len = (octets.len() - FIELDS_AT) as u32;
        octets[FIELDS_AT - 4..FIELDS_AT].copy_from_slice(&len.to_le_bytes());
        octets
    }

    fn codes(message: &[u8]) -> Vec<Option<u8>> {
        let fields = Fields::of(message).unwrap();
        fields.map(|field| field.map(|field| field.code)).collect()
    }

    #[test]
    fn a_field_of_any_type_is_passed_over() {
        let nested = [&b"\x01v\0"[..], b"\x01v\0", b"\x01y\0\x07"].concat();
        let values: &[(&[u8], &[u8])] = &[
            (b"y", b"\x01"),
            (b"n", b"\0\x01\0"),
            (b"h", b"\x05\0\0\0"),
            (b"s", b"\x02\0\0\0ab\0"),
            (b"g", b"\x02ab\0"),
            (b"v", &nested[..]),
            // Two octets of padding and the length, then padding before the elements although there are none.
            (b"ax", b"\0\0\0\0\0\0\0\0\0\0\0"),
            (b"ay", b"\0\0\0\x03\0\0\0abc"),
            (b"a{sv}", b"\0\0\0\0\0\0\0\0"),
            (b"(ya(uu)y)", b"\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02"),
            (b"", b""),
        ];
        for (signature, value) in values {
            let message = message(&[(77, signature, value), (3, b"u", b"\x09\0\0\0")]);
            let shown = String::from_utf8_lossy(signature);
            assert_eq!(codes(&message), [Some(77), Some(3)], "{shown}");
            let fields = Fields::of(&message).unwrap();
            let last = fields.clone().last().unwrap().unwrap();
            assert_eq!(fields.number(&last), Some(9), "{shown}");
            for len in FIELDS_AT..message.len() {
                assert!(Fields::of(&message[..len]).is_none(), "{len}");
            }
        }
    }

    #[test]
    fn what_is_no_field_ends_the_fields() {
        let deep = [b"\x01v\0".repeat(70), b"\x01y\0\x07".to_vec()].concat();
        let long = 9u32.to_le_bytes();
        let values: &[(&[u8], &[u8])] = &[
            (b"s", b"\xff\xff\xff\xff"),
            (b"ay", &long),
            (b"a", b"\0\0\0\0\0\0"),
            (b"a(y", b"\0\0\0\0\0\0"),
            (b"z", b"\0"),
            (b"v", &deep),
        ];
        for (signature, value) in values {
            let message = message(&[(1, b"u", b"\x09\0\0\0"), (77, signature, value)]);
            assert_eq!(codes(&message), [Some(1), None]);
        }
    }

    #[test]
    fn a_field_that_ends_within_its_signature_is_none() {
        for (signature, len) in [(&b""[..], 2), (b"", 1), (b"y", 3), (b"su", 3)] {
            let mut message = message(&[(1, b"u", b"\x09\0\0\0"), (77, signature, b"")]);
            let fields_len = 8 + len as u32;
            message.truncate(FIELDS_AT + 8 + len);
            message[FIELDS_AT - 4..FIELDS_AT].copy_from_slice(&fields_len.to_le_bytes());
            assert_eq!(codes(&message), [Some(1), None], "{signature:?} {len}");
        }
    }
}
