//! D-Bus messages between bridges: what is on the mesh, and how it shares a connection.
//!
//! Model: a message travels as a *packet*: the D-Bus message with a new header, its body the sender's octets. On the mesh
//! the header's fields mean: of a call `sender` the caller's unique name on its own bus, `destination` the service,
//! `serial` the call's number between these two bridges; of a reply `reply_serial` that number and `destination` the
//! caller; of a
//! signal `reply_serial` the number of the subscription, and `destination` the caller if it is for that one alone. A
//! call of a service to one that called it has the fields of such a signal. A call without a destination is for the
//! bridge itself
//! ([`Control`]).
//! Invariants: PACKET-1. No header field from the mesh is passed on as it came: each end makes a new header. PACKET-2. No
//! body reaches a bus before it was checked against its signature. PACKET-3. Packets on one [`Stream`] stay in order.
//! Limits: `packet_len_max` octets for a packet; those of `scheduler` and `reassembly`.
//! Not here: who may do what (`zocp_policy`).
//! Spec: docs/reference/protocol.md §7.1, §7.4

mod changes;
mod control;
mod header;
mod pace;
mod reassembly;
mod scheduler;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{io, num::NonZeroU32, os::fd::OwnedFd};

use bytes::Bytes;
use zbus::{
    Message,
    message::{Flags, Header, Type},
};
use zocp_node::Content;

use self::header::Heading;
pub use self::header::{Waiting, waiting_for};
pub use self::{
    control::{Control, Offer},
    pace::Pace,
    reassembly::Reassembly,
    scheduler::{Busy, NodeSink, Scheduler, Sink, Stream},
};
use zocp_dbus::message::received::{Unreadable, received};
use zocp_dbus::message::{Octets, is_reserved};

/// The first frame of a whisper that is a packet.
pub const TAG: &[u8] = b"DBUS1";
/// The first frame of a whisper that is a fragment of a long packet.
pub const FRAGMENT_TAG: &[u8] = b"DBUS1+";

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
        /// Who waits for a reply because of it.
        waiting: Option<Waiting>,
    },
    /// No D-Bus message, or a body that is not what its signature says.
    #[error("{0}")]
    Malformed(#[from] Unreadable),
    /// A fragment that does not go on where the last one ended.
    #[error("a fragment does not continue its packet")]
    Misfit,
    /// A whisper with our tag and the wrong number of frames.
    #[error("a packet has two frames, not {0}")]
    Frames(usize),
    /// It has other descriptors than it declares, or notes of them that cannot be read.
    #[error("a packet with other file descriptors than it declares")]
    Descriptors {
        /// Who waits for a reply because of it.
        waiting: Option<Waiting>,
    },
    /// The descriptors for it cannot be made here.
    #[error("file descriptors for a packet: {error}")]
    NoDescriptors {
        /// Why.
        error: io::Error,
        /// Who waits for a reply because of it.
        waiting: Option<Waiting>,
    },
}

/// Whether a whisper is a packet or a fragment of one.
#[must_use]
pub fn is_ours(content: &Content) -> bool {
    content
        .first()
        .is_some_and(|tag| **tag == *TAG || **tag == *FRAGMENT_TAG)
}

/// What is kept of a call until its reply comes: all of it, or of a long one the header.
#[must_use]
pub fn kept(call: &Message) -> Message {
    // A descriptor that is kept is one that is not closed.
    if call.body().len() <= KEPT_LEN_MAX && !has_descriptors(call) {
        return call.clone();
    }
    without_body(call).unwrap_or_else(|| call.clone())
}

fn without_body(call: &Message) -> Option<Message> {
    let header = call.header();
    let heading = Heading {
        flags: call.primary_header().flags(),
        path: header.path().map(|path| path.as_str()),
        interface: header.interface().map(|name| name.as_str()),
        member: header.member().map(|name| name.as_str()),
        sender: header.sender().map(|name| name.as_str()),
        ..Heading::new(Type::MethodCall, call.primary_header().serial_num())
    };
    let octets = heading.alone(call).ok()?;
    received(octets, &mut Vec::new()).ok()
}

/// Whether a message carries file descriptors.
#[must_use]
pub fn has_descriptors(message: &Message) -> bool {
    !message.data().fds().is_empty() || message.header().unix_fds().unwrap_or(0) > 0
}

/// Reads a packet of at most `max` octets.
///
/// # Errors
/// See [`PacketError`].
pub fn read(octets: &[u8], max: usize) -> Result<Message, PacketError> {
    read_with(octets, Vec::new(), max)
}

/// As [`read`], with the descriptors that belong to the packet.
///
/// # Errors
/// See [`PacketError`].
pub(crate) fn read_with(
    octets: &[u8],
    mut descriptors: Vec<OwnedFd>,
    max: usize,
) -> Result<Message, PacketError> {
    if octets.len() > max {
        return Err(PacketError::TooLong {
            len: octets.len(),
            max,
            waiting: waiting_for(octets),
        });
    }
    let count = descriptors.len();
    let message = received(octets.to_vec(), &mut descriptors)?;
    let declared = message.header().unix_fds().unwrap_or(0) as usize;
    if declared != count || message.data().fds().len() != count {
        let waiting = waiting_for(octets);
        return Err(PacketError::Descriptors { waiting });
    }
    Ok(message)
}

/// A local call as a packet for the exporter of `service`; with `interface` if it has none.
///
/// # Errors
/// The call is one that no bus takes, or too long.
pub fn outgoing_call(
    call: &Message,
    service: &str,
    interface: Option<&str>,
    id: NonZeroU32,
) -> zbus::Result<Bytes> {
    let header = call.header();
    let to = Addressee {
        destination: service,
        interface,
        sender: header.sender().map(|sender| sender.as_str()),
        subscription: None,
    };
    call_like(call, &header, to, id).map(Octets::into_bytes)
}

/// A local call to one that called its sender from another bus, as a packet.
///
/// # Errors
/// The call is one that no bus takes, or too long.
pub fn outgoing_call_back(
    call: &Message,
    subscription: NonZeroU32,
    caller: &str,
    interface: Option<&str>,
    id: NonZeroU32,
) -> zbus::Result<Bytes> {
    let to = Addressee {
        destination: caller,
        interface,
        sender: None,
        subscription: Some(subscription),
    };
    call_like(call, &call.header(), to, id).map(Octets::into_bytes)
}

/// A packet as a call on this bus, with this serial: of a service, or of one that called it; with `interface` if it
/// has none.
///
/// # Errors
/// The call is one that no bus takes, or too long.
pub fn local_call(
    packet: &Message,
    service: &str,
    interface: Option<&str>,
    serial: NonZeroU32,
) -> zbus::Result<Octets> {
    let to = Addressee {
        destination: service,
        interface,
        sender: None,
        subscription: None,
    };
    call_like(packet, &packet.header(), to, serial)
}

/// Whom a call is for, and from whom.
struct Addressee<'a> {
    destination: &'a str,
    /// For a call that has none.
    interface: Option<&'a str>,
    sender: Option<&'a str>,
    subscription: Option<NonZeroU32>,
}

fn call_like(
    message: &Message,
    header: &Header<'_>,
    to: Addressee<'_>,
    serial: NonZeroU32,
) -> zbus::Result<Octets> {
    let (Some(path), Some(member)) = (header.path(), header.member()) else {
        return Err(zbus::Error::InvalidField);
    };
    if is_reserved(header) {
        return Err(zbus::Error::InvalidField);
    }
    let heading = Heading {
        flags: message.primary_header().flags() & FORWARDED,
        path: Some(path),
        interface: header
            .interface()
            .map_or(to.interface, |name| Some(name.as_str())),
        member: Some(member),
        reply_serial: to.subscription,
        destination: Some(to.destination),
        sender: to.sender,
        ..Heading::new(Type::MethodCall, serial)
    };
    heading.around(message)
}

/// A local reply as a packet: to the call of this number, of this caller.
///
/// # Errors
/// It is no reply, or too long.
pub fn outgoing_reply(answer: &Message, caller: &str, id: NonZeroU32) -> zbus::Result<Bytes> {
    reply_like(answer, id, Some(caller)).map(Octets::into_bytes)
}

/// A packet as the reply to a call on this bus.
///
/// # Errors
/// It is no reply, or too long.
pub fn local_reply(packet: &Message, call: &Message) -> zbus::Result<Octets> {
    let header = call.header();
    let caller = header.sender().map(|sender| sender.as_str());
    reply_like(packet, call.primary_header().serial_num(), caller)
}

fn reply_like(answer: &Message, to: NonZeroU32, caller: Option<&str>) -> zbus::Result<Octets> {
    let header = answer.header();
    let error_name = header.error_name().map(|name| name.as_str());
    let kind = answer.message_type();
    match (kind, error_name) {
        (Type::Error, Some(_)) | (Type::MethodReturn, _) => {}
        _ => return Err(zbus::Error::InvalidField),
    }
    let heading = Heading {
        error_name: error_name.filter(|_| kind == Type::Error),
        reply_serial: Some(to),
        destination: caller,
        ..Heading::new(kind, UNANSWERED)
    };
    heading.around(answer)
}

/// A local signal as a packet for a subscription; for `caller` alone if one is named.
///
/// # Errors
/// The signal is one that no bus takes, or too long.
pub fn outgoing_signal(
    signal: &Message,
    subscription: NonZeroU32,
    caller: Option<&str>,
) -> zbus::Result<Bytes> {
    signal_like(signal, &signal.header(), Some(subscription), caller).map(Octets::into_bytes)
}

/// A packet as a signal on this bus.
///
/// # Errors
/// The signal is one that no bus takes, or too long.
pub fn local_signal(packet: &Message) -> zbus::Result<Octets> {
    let header = packet.header();
    let caller = header.destination().map(|name| name.as_str());
    signal_like(packet, &header, None, caller)
}

/// A signal of another bus for one program of this bus.
///
/// # Errors
/// The signal is one that no bus takes, or too long.
pub fn directed_signal(signal: &Message, program: &str) -> zbus::Result<Octets> {
    signal_like(signal, &signal.header(), None, Some(program))
}

fn signal_like(
    signal: &Message,
    header: &Header<'_>,
    subscription: Option<NonZeroU32>,
    caller: Option<&str>,
) -> zbus::Result<Octets> {
    let (Some(path), Some(interface), Some(member)) =
        (header.path(), header.interface(), header.member())
    else {
        return Err(zbus::Error::InvalidField);
    };
    if is_reserved(header) {
        return Err(zbus::Error::InvalidField);
    }
    let heading = Heading {
        path: Some(path),
        interface: Some(interface),
        member: Some(member),
        reply_serial: subscription,
        destination: caller,
        ..Heading::new(Type::Signal, UNANSWERED)
    };
    heading.around(signal)
}

/// Octets of a call's body that is kept with it while it waits.
const KEPT_LEN_MAX: usize = 1 << 10;

/// A message with the header of one and the body of another; `None` if it would be too long.
pub(crate) fn with_body(message: &Message, body: &Message) -> Option<Message> {
    let (header, primary) = (message.header(), message.primary_header());
    let heading = Heading {
        flags: primary.flags(),
        path: header.path().map(|it| it.as_str()),
        interface: header.interface().map(|it| it.as_str()),
        member: header.member().map(|it| it.as_str()),
        error_name: header.error_name().map(|it| it.as_str()),
        reply_serial: header.reply_serial(),
        destination: header.destination().map(|it| it.as_str()),
        sender: header.sender().map(|it| it.as_str()),
        ..Heading::new(message.message_type(), primary.serial_num())
    };
    let octets = heading.around(body).ok()?.into_bytes();
    received(octets.to_vec(), &mut Vec::new()).ok()
}

/// Whether the sender of a call waits for its reply.
pub(crate) fn wants_reply(call: &Message) -> bool {
    let flags = call.primary_header().flags();
    !flags.contains(Flags::NO_REPLY_EXPECTED)
}

/// What a call's flags may carry to another bus.
const FORWARDED: Flags = Flags::NO_REPLY_EXPECTED
    .union(Flags::NO_AUTO_START)
    .union(Flags::ALLOW_INTERACTIVE_AUTH);
/// The serial of a message that gets no reply, which does not matter.
const UNANSWERED: NonZeroU32 = NonZeroU32::MIN;
