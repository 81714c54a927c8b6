//! What tests of this crate and of others make with the octets of a call.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::num::NonZeroU32;

use zbus::{Message, message::Type};
use zocp_dbus::message::received::received;

use super::header::Heading;

/// A reply to a call, with the octets of its body as they came.
///
/// # Panics
/// When the call has no body that D-Bus knows.
#[must_use]
pub fn reply_with_body_of(call: &Message) -> Message {
    let header = call.header();
    let heading = Heading {
        reply_serial: Some(call.primary_header().serial_num()),
        destination: header.sender().map(|sender| sender.as_str()),
        ..Heading::new(Type::MethodReturn, NonZeroU32::MIN)
    };
    let octets = heading.around(call).expect("the body of a call");
    received(octets.to_vec(), &mut Vec::new()).expect("a message")
}

/// A message of these octets.
pub(crate) fn whole(octets: &[u8]) -> Message {
    received(octets.to_vec(), &mut Vec::new()).expect("a message")
}

/// A message as it is when it comes from this sender.
pub(crate) fn sent_by(message: &Message, sender: &str) -> Message {
    let header = message.header();
    let heading = Heading {
        flags: message.primary_header().flags(),
        path: header.path().map(|path| path.as_str()),
        interface: header.interface().map(|name| name.as_str()),
        member: header.member().map(|name| name.as_str()),
        error_name: header.error_name().map(|name| name.as_str()),
        reply_serial: header.reply_serial(),
        destination: header.destination().map(|name| name.as_str()),
        sender: Some(sender),
        ..Heading::new(
            message.message_type(),
            message.primary_header().serial_num(),
        )
    };
    whole(&heading.around(message).expect("the body of a message"))
}
