//! Signatures: the types of values.
//!
//! Limits: what the specification says: [`LEN_MAX`] octets, [`NESTING_MAX`] arrays within arrays, and as many structs
//! within structs.

/// Whether these are types, none or more.
pub(super) fn is_valid(types: &[u8]) -> bool {
    types.len() <= LEN_MAX && walk(types).is_some()
}

/// Whether this is exactly one type.
pub(super) fn is_single(types: &[u8]) -> bool {
    is_valid(types) && split_first(types).is_some_and(|(_, rest)| rest.is_empty())
}

/// What is open in a signature.
#[derive(Debug, Clone, Copy)]
enum Open {
    Array,
    /// With the number of its members so far.
    Struct(usize),
    Entry(usize),
}

/// `None` if these are no types.
fn walk(types: &[u8]) -> Option<()> {
    let mut open: Vec<Open> = Vec::new();
    let mut arrays = 0_usize;
    let mut structs = 0_usize;
    for &octet in types {
        // A key of a dictionary is a simple type.
        if let Some(Open::Entry(0)) = open.last()
            && !is_simple(octet)
        {
            return None;
        }
        let is_whole = match octet {
            b'a' => {
                arrays += 1;
                open.push(Open::Array);
                false
            }
            b'(' => {
                structs += 1;
                open.push(Open::Struct(0));
                false
            }
            b'{' => {
                structs += 1;
                matches!(open.last(), Some(Open::Array)).then_some(())?;
                open.push(Open::Entry(0));
                false
            }
            b')' => {
                matches!(open.pop(), Some(Open::Struct(1..))).then_some(())?;
                structs -= 1;
                true
            }
            b'}' => {
                matches!(open.pop(), Some(Open::Entry(2))).then_some(())?;
                structs -= 1;
                true
            }
            b'v' => true,
            simple => is_simple(simple).then_some(true)?,
        };
        if arrays > NESTING_MAX || structs > NESTING_MAX {
            return None;
        }
        if is_whole {
            while let Some(Open::Array) = open.last() {
                open.pop();
                arrays -= 1;
            }
            if let Some(Open::Struct(count) | Open::Entry(count)) = open.last_mut() {
                *count += 1;
            }
        }
    }
    open.is_empty().then_some(())
}

fn is_simple(octet: u8) -> bool {
    b"ybnqiuxtdsogh".contains(&octet)
}

/// The first type of valid types, and the others; `None` if there is none.
pub(super) fn split_first(types: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut depth = 0_usize;
    for (at, octet) in types.iter().enumerate() {
        match octet {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            b'a' => continue,
            _ => {}
        }
        if depth == 0 {
            return Some(types.split_at(at + 1));
        }
    }
    None
}

/// What values of a type are aligned to; for a simple type of fixed length also that length.
pub(super) fn alignment(octet: u8) -> usize {
    match octet {
        b'y' | b'g' | b'v' => 1,
        b'n' | b'q' => 2,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 4,
    }
}

const LEN_MAX: usize = 255;
const NESTING_MAX: usize = 32;
