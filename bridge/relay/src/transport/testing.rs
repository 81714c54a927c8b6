//! What tests of this crate and of others make with the octets of a call.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::num::NonZeroU32;

use zbus::{Message, message::Type};
use zocp_dbus::received::received;

use super::header::Heading;

/// A reply to a call, with the octets of its body as they came.
///
/// # Panics
/// When the call has no body that D-Bus knows.
#[must_use]
pub fn answer_with_body_of(call: &Message) -> Message {
    let header = call.header();
    let heading = Heading {
        reply_serial: Some(call.primary_header().serial_num()),
        destination: header.sender().map(|sender| sender.as_str()),
        ..Heading::new(Type::MethodReturn, NonZeroU32::MIN)
    };
    let octets = heading.around(call).expect("the body of a call");
    received(octets.to_vec(), &mut Vec::new()).expect("a message")
}
