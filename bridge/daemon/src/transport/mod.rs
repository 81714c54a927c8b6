//! D-Bus messages between bridges: what is on the mesh, and how it shares a connection.
//!
//! Model: a message travels as a *packet*: the D-Bus message with a new header, its body the sender's
//! octets. On the mesh the header's fields mean: of a call `sender` the caller's unique name on its own
//! bus, `destination` the service, `serial` the call's number between these two bridges; of an answer
//! `reply_serial` that number and `destination` the caller; of a signal `reply_serial` the number of the
//! subscription, and `destination` the caller if it is for that one alone. A call without a destination
//! is for the bridge itself ([`Control`]).
//! Invariants: T1. nothing of a header from the mesh goes on as it came: each end makes a new one.
//! T2. no body reaches a bus that was not checked. T3. what is on one [`Lane`] stays in order.
//! Limits: [`PACKET_LEN_MAX`] octets for a packet; those of `outlet` and `parts`.
//! Not here: who may do what (`crate::policy`).
//! Spec: docs/reference/protocol.md §7.1, §7.4

mod control;
mod outlet;
mod parts;
mod raw;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use bytes::Bytes;
use zbus::{
    Message,
    message::{Flags, Type},
};
use zocp_node::Content;

#[cfg(test)]
pub(crate) use self::raw::rebuild;
pub use self::{
    control::{Control, Offer},
    outlet::{Busy, Lane, NodePost, Outlet, Post},
    parts::Parts,
};

/// The first frame of a whisper that is a packet.
pub const TAG: &[u8] = b"DBUS1";
/// The first frame of a whisper that is a piece of a long packet.
pub const PIECE_TAG: &[u8] = b"DBUS1+";
/// The longest packet, also what waits of one peer's long packets: below the limit for a message on
/// the mesh.
pub const PACKET_LEN_MAX: usize = 48 << 20;

/// Why a packet is not taken. The sender's fault; it is dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Too long, or more at once than is kept.
    #[error("{len} octets are more than the {max} that are taken")]
    TooLong {
        /// How many.
        len: usize,
        /// How many are taken.
        max: usize,
    },
    /// No D-Bus message, or a body that is not what its signature says.
    #[error("not a D-Bus message: {0}")]
    Malformed(#[from] zbus::Error),
    /// A piece that does not go on where the last one ended.
    #[error("a piece that does not fit")]
    Misfit,
    /// A whisper with our tag and the wrong number of frames.
    #[error("a packet has two frames, not {0}")]
    Frames(usize),
    /// It names descriptors, which cannot travel.
    #[error("a packet with file descriptors")]
    Descriptors,
}

/// Whether a whisper is a packet or a piece of one.
#[must_use]
pub fn is_ours(content: &Content) -> bool {
    content
        .first()
        .is_some_and(|tag| **tag == *TAG || **tag == *PIECE_TAG)
}

/// Whether a message carries file descriptors.
#[must_use]
pub fn has_descriptors(message: &Message) -> bool {
    !message.data().fds().is_empty() || message.header().unix_fds().unwrap_or(0) > 0
}

/// Reads a packet.
///
/// # Errors
/// See [`PacketError`].
pub fn read(octets: &[u8]) -> Result<Message, PacketError> {
    if octets.len() > PACKET_LEN_MAX {
        return Err(PacketError::TooLong {
            len: octets.len(),
            max: PACKET_LEN_MAX,
        });
    }
    let message = raw::parse(octets)?;
    if has_descriptors(&message) {
        return Err(PacketError::Descriptors);
    }
    Ok(message)
}

/// The octets of a packet, without a copy.
#[must_use]
pub fn octets(packet: Message) -> Bytes {
    struct Owner(Message);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.data().bytes()
        }
    }
    Bytes::from_owner(Owner(packet))
}

/// A local call as a packet for the exporter of `service`.
///
/// # Errors
/// A field of the header is not legal.
pub fn outgoing_call(call: &Message, service: &str, id: NonZeroU32) -> zbus::Result<Message> {
    let header = call.header();
    let packet = call_like(call, service)?;
    let packet = match header.sender() {
        Some(sender) => packet.sender(sender.to_owned()),
        None => packet,
    };
    raw::rebuild(packet.serial(id), call)
}

/// A packet as a call on this bus.
///
/// # Errors
/// A field of the header is not legal, or one that a call needs is missing.
pub fn local_call(packet: &Message, service: &str) -> zbus::Result<Message> {
    raw::rebuild(call_like(packet, service)?, packet)
}

fn call_like<'m>(
    message: &'m Message,
    service: &'m str,
) -> zbus::Result<zbus::message::Builder<'m>> {
    let header = message.header();
    if is_reserved(&header) {
        return Err(zbus::Error::InvalidField);
    }
    let path = header.path().ok_or(zbus::Error::InvalidField)?.to_owned();
    let member = header.member().ok_or(zbus::Error::InvalidField)?.to_owned();
    let flags = message.primary_header().flags() & forwarded();
    let call = Message::method_call(path, member)
        .destination(service)
        .with_flags(flags);
    Ok(match header.interface() {
        Some(interface) => call.interface(interface.to_owned()),
        None => call,
    })
}

/// A local answer as a packet: to the call of this number, of this caller.
///
/// # Errors
/// A field of the header is not legal.
pub fn outgoing_answer(answer: &Message, caller: &str, id: NonZeroU32) -> zbus::Result<Message> {
    let packet = answer_like(answer, answer)?;
    let packet = packet.reply_serial(Some(id)).destination(caller);
    raw::rebuild(packet, answer)
}

/// A packet as the answer to a call on this bus.
///
/// # Errors
/// A field of the header is not legal.
pub fn local_answer(packet: &Message, call: &Message) -> zbus::Result<Message> {
    raw::rebuild(answer_like(packet, call)?, packet)
}

fn answer_like<'m>(
    answer: &'m Message,
    call: &'m Message,
) -> zbus::Result<zbus::message::Builder<'m>> {
    let header = answer.header();
    match (answer.message_type(), header.error_name()) {
        (Type::Error, Some(name)) => Ok(Message::error(&call.header(), name.to_owned())),
        (Type::MethodReturn, _) => Ok(Message::method_return(&call.header())),
        _ => Err(zbus::Error::InvalidField),
    }
}

/// A local signal as a packet for a subscription; for `caller` alone if one is named.
///
/// # Errors
/// A field of the header is not legal.
pub fn outgoing_signal(
    signal: &Message,
    subscription: NonZeroU32,
    caller: Option<&str>,
) -> zbus::Result<Message> {
    let packet = signal_like(signal)?.reply_serial(Some(subscription));
    let packet = match caller {
        Some(caller) => packet.destination(caller),
        None => packet,
    };
    raw::rebuild(packet, signal)
}

/// A packet as a signal on this bus.
///
/// # Errors
/// A field of the header is not legal, or one that a signal needs is missing.
pub fn local_signal(packet: &Message) -> zbus::Result<Message> {
    let signal = signal_like(packet)?;
    let header = packet.header();
    let signal = match header.destination() {
        Some(caller) => signal.destination(caller.to_owned()),
        None => signal,
    };
    raw::rebuild(signal, packet)
}

fn signal_like(signal: &Message) -> zbus::Result<zbus::message::Builder<'_>> {
    let header = signal.header();
    if is_reserved(&header) {
        return Err(zbus::Error::InvalidField);
    }
    match (header.path(), header.interface(), header.member()) {
        (Some(path), Some(interface), Some(member)) => Ok(Message::signal(
            path.to_owned(),
            interface.to_owned(),
            member.to_owned(),
        )),
        _ => Err(zbus::Error::InvalidField),
    }
}

/// Libraries keep this path and this interface for themselves, and a bus hangs up on whoever sends them.
fn is_reserved(header: &zbus::message::Header<'_>) -> bool {
    let path = header.path().map(|path| path.as_str());
    let interface = header.interface().map(|interface| interface.as_str());
    path == Some("/org/freedesktop/DBus/Local") || interface == Some("org.freedesktop.DBus.Local")
}

/// What a call's flags may carry to another bus.
fn forwarded() -> Flags {
    Flags::NO_REPLY_EXPECTED | Flags::NO_AUTO_START | Flags::ALLOW_INTERACTIVE_AUTH
}
