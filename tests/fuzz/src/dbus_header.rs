//! Any octets as a D-Bus message from a bus or from the mesh: what is read of it, and who is told where nothing is.
//!
//! Input: the octets of a message.
//! Holds: what is read is taken by the reference too, has the end of the octets as its body and no field that
//! nobody knows, and is read once more as it is. What is not read has one who waits for it at most: its caller, or
//! the caller that it answers; what that one gets is read. All that the reference takes is read, unless it is of a
//! type that nobody has defined, has descriptors, nests deeper than others take, or has a unique name that no bus gives.

use zbus::Message;
use zocp_dbus::message::received::{Unreadable, received};

use crate::{memory, reference};

/// Runs the target.
pub fn run(data: &[u8]) {
    let octets = data.to_vec();
    let (read, most) = memory::peak(|| received(octets, &mut Vec::new()));
    assert!(
        most <= FIXED + EACH * data.len(),
        "{most} octets for {}",
        data.len()
    );
    match read {
        Ok(message) => taken(&message, data),
        Err(unreadable) => not_taken(&unreadable, data),
    }
}

/// What holds of a message that was read from these octets.
pub(crate) fn taken(message: &Message, data: &[u8]) {
    let octets = message.data().bytes();
    let header = message.header();
    let is_reserved = header.path().is_some_and(|path| *path == RESERVED_PATH)
        || header
            .interface()
            .is_some_and(|name| *name == RESERVED_INTERFACE);
    assert!(
        is_reserved || reference::takes(octets) != Some(false),
        "{octets:02x?}"
    );
    assert!(octets.len() <= data.len());
    let body = message.body();
    assert!(data.ends_with(body.data().bytes()));
    let again = received(octets.to_vec(), &mut Vec::new()).expect("it was read");
    assert!(again.data().bytes() == octets);
}

/// What holds where none was read.
pub(crate) fn not_taken(unreadable: &Unreadable, data: &[u8]) {
    let (call, answer) = (unreadable.call(), unreadable.answer());
    assert!(call.is_none() || answer.is_none());
    for told in call.iter().chain(&answer) {
        taken(told, told.data().bytes());
    }
    if reference::takes(data) == Some(true) {
        let is_defined = (1..=4).contains(&data[1]);
        let is_deep = data.iter().filter(|octet| b"a(v{".contains(octet)).count() > DEPTH_MAX;
        let has_descriptors = data.contains(&b'h') || data.contains(&UNIX_FDS);
        // The reference takes a message with octets of another one behind it.
        let is_longer = matches!(unreadable.reason(), zbus::Error::ExcessData);
        // It takes names such as `:1` and `:.1`, which no bus gives to anybody.
        let reason = unreadable.reason().to_string();
        let is_nobodys = reason.contains("unique name") || reason.contains("bus name");
        assert!(
            !is_defined || is_deep || has_descriptors || is_longer || is_nobodys,
            "{unreadable}: {data:02x?}"
        );
    }
}

const UNIX_FDS: u8 = 9;
/// In the path and the interface that a library keeps for itself: no bus passes them on, nor does `transport`.
const RESERVED_PATH: &str = "/org/freedesktop/DBus/Local";
const RESERVED_INTERFACE: &str = "org.freedesktop.DBus.Local";
/// Signatures of so few containers nest no deeper than anybody takes.
const DEPTH_MAX: usize = 30;
const FIXED: usize = 64 << 10;
const EACH: usize = 256;
