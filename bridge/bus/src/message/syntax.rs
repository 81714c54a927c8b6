//! The forms of names.
//!
//! Spec: D-Bus specification, "Valid Names", "Valid Object Paths"

/// Whether this is an object path.
pub(crate) fn is_path(text: &str) -> bool {
    match text.strip_prefix('/') {
        None => false,
        Some("") => true,
        Some(rest) => rest
            .split('/')
            .all(|part| !part.is_empty() && part.bytes().all(is_word)),
    }
}

/// Whether this is the name of an interface, or of an error.
pub(crate) fn is_interface(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX
        && text.contains('.')
        && text
            .split('.')
            .all(|part| begins(part, false) && part.bytes().all(is_word))
}

/// Whether this is the name of a method or a signal.
pub(crate) fn is_member(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX && begins(text, false) && text.bytes().all(is_word)
}

/// Whether this is a name on the bus, unique or well known.
pub(crate) fn is_bus_name(text: &str) -> bool {
    let (rest, is_unique) = match text.strip_prefix(':') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    text.len() <= NAME_LEN_MAX
        && rest.contains('.')
        && rest.split('.').all(|part| is_part(part, is_unique))
}

/// Whether this is a well-known name, or a beginning of one.
pub(crate) fn is_namespace(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX && text.split('.').all(|part| is_part(part, false))
}

fn is_part(part: &str, may_begin_with_digit: bool) -> bool {
    begins(part, may_begin_with_digit) && part.bytes().all(|octet| is_word(octet) || octet == b'-')
}

fn begins(part: &str, with_digit: bool) -> bool {
    part.bytes()
        .next()
        .is_some_and(|first| with_digit || !first.is_ascii_digit())
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// Octets of any name.
const NAME_LEN_MAX: usize = 255;
