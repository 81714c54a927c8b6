//! Any octets as a beacon, as the first frame of a message, as an endpoint, as a UUID.
//!
//! Input: an octet that says as which, then the octets.
//! Holds: what is read and written again is the same; memory is in proportion to the input, also where
//! much is announced; limits hold.

use zocp_zre::{Beacon, Command, Endpoint, HelloLimits, PeerId, decode};

use crate::memory;

/// Runs the target.
pub fn run(data: &[u8]) {
    let [kind, octets @ ..] = data else { return };
    match kind % 4 {
        0 => beacon(octets),
        1 => text(octets),
        _ => frame(octets),
    }
}

fn beacon(octets: &[u8]) {
    let Some(beacon) = Beacon::parse(octets) else {
        return;
    };
    assert_eq!(beacon.encode().as_slice(), octets);
}

fn text(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        let written = endpoint.to_string();
        assert_eq!(
            written.parse::<Endpoint>().as_ref(),
            Ok(&endpoint),
            "{written}"
        );
        assert_ne!(endpoint.port(), 0);
        let resolved = endpoint.socket_addr().map(|address| address.ip());
        assert!(resolved.is_none_or(|ip| Some(ip) == endpoint.ip()));
    }
    if let Ok(id) = text.parse::<PeerId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(PeerId::from_routing_id(&id.routing_id()), Some(id));
    }
}

fn frame(octets: &[u8]) {
    let limits = limits();
    let (decoded, most) = memory::peak(|| decode(octets, &limits));
    assert!(
        most <= FIXED + EACH * octets.len(),
        "{most} octets for {}",
        octets.len()
    );
    let Ok((command, number)) = decoded else {
        return;
    };
    if let Command::Hello(hello) = &command {
        assert!(hello.groups.len() <= limits.groups_max);
        assert!(hello.headers.len() <= limits.headers_max);
    }
    if matches!(command, Command::Other(_)) || has_replaced(&command) {
        return;
    }
    let mut written = Vec::new();
    command.encode(number, &mut written);
    // What stands behind the last field is not looked at.
    assert!(octets.starts_with(&written), "{command:?}");
    assert_eq!(decode(&written, &limits), Ok((command, number)));
}

/// Whether a text was not UTF-8, so that it cannot be written as it was.
fn has_replaced(command: &Command<'_>) -> bool {
    let is_replaced = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    match command {
        Command::Shout { group } | Command::Join { group, .. } | Command::Leave { group, .. } => {
            is_replaced(group)
        }
        Command::Hello(hello) => {
            let groups = hello.groups.iter().map(String::as_str);
            let pairs = hello.headers.iter();
            let headers = pairs.flat_map(|(key, value)| [key.as_str(), value.as_str()]);
            let own = [hello.endpoint.as_str(), hello.name.as_str()];
            groups.chain(headers).chain(own).any(is_replaced)
        }
        _ => false,
    }
}

fn limits() -> HelloLimits {
    HelloLimits {
        groups_max: 20,
        headers_max: 20,
        header_value_len_max: 300,
    }
}

const FIXED: usize = 1024;
/// A header of five octets is two texts; octets that are no UTF-8 become three each.
const EACH: usize = 24;
