//! The header with which a node says that it also reads messages on the connections that it opened.
//!
//! Model: its value is the node's UUID in hexadecimal, since the identity of a ROUTER is not part of a ZMTP handshake,
//! and then ` answer` if the receiver is asked to send on this connection and to open none of its own.
//! Spec: docs/reference/protocol.md §2.11.

use crate::output::Headers;
use crate::{HEADER_BRIDGE, HEADER_LINK, PeerId};

/// What a peer says about the connection that it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// It does not read there.
    No,
    /// It reads there.
    Can,
    /// It reads there, and asks to be sent everything there.
    Asks,
}

/// The value of the header.
pub(crate) fn value(id: PeerId, asks: bool) -> String {
    match asks {
        true => format!("{id}{ASKS}"),
        false => id.to_string(),
    }
}

/// The node that a HELLO comes from, and what it says; `None` without the header, with a malformed one, and if the node
/// is none of ours.
pub(crate) fn parse(headers: &[(String, String)]) -> Option<(PeerId, Sharing)> {
    let value = |key| headers.iter().find(|(k, _)| k == key).map(|(_, v)| v);
    value(HEADER_BRIDGE)?;
    parse_value(value(HEADER_LINK)?)
}

/// What a peer says about its connections.
pub(crate) fn of(headers: &Headers, id: PeerId) -> Sharing {
    let is_ours = headers.value(HEADER_BRIDGE).is_some();
    let said = headers.value(HEADER_LINK).filter(|_| is_ours);
    match said.and_then(parse_value) {
        Some((named, sharing)) if named == id => sharing,
        _ => Sharing::No,
    }
}

fn parse_value(value: &str) -> Option<(PeerId, Sharing)> {
    let (id, sharing) = match value.strip_suffix(ASKS) {
        Some(id) => (id, Sharing::Asks),
        None => (value, Sharing::Can),
    };
    Some((id.parse().ok()?, sharing))
}

const ASKS: &str = " answer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_counts_only_from_ours_and_for_its_own_node() {
        let id = PeerId::new([7; 16]);
        let headers = |value: &str| {
            vec![
                (HEADER_BRIDGE.to_owned(), "1".to_owned()),
                (HEADER_LINK.to_owned(), value.to_owned()),
            ]
        };
        for (asks, sharing) in [(false, Sharing::Can), (true, Sharing::Asks)] {
            let headers = headers(&value(id, asks));
            assert_eq!(parse(&headers), Some((id, sharing)));
            assert_eq!(of(&headers.clone().into(), id), sharing);
            assert_eq!(
                of(&headers.clone().into(), PeerId::new([8; 16])),
                Sharing::No
            );
            assert_eq!(parse(&headers[1..]), None);
        }
        for odd in ["", "1", "answer", " answer", "07 answer"] {
            assert_eq!(parse(&headers(odd)), None, "{odd}");
        }
    }
}
