//! Decoding and checking of D-Bus messages from a bus or from another bridge.
//!
//! Model: [`received`] makes a message from octets, or returns [`Unreadable`] with the parts that can still be used:
//! who waits for a reply to it, or which call it answers. Unknown header fields are removed, as the specification
//! requires; zbus rejects a message that has one.
//! Invariants: RECEIVED-1. zbus has checked the header of a message from [`received`], and
//! [`zbus::message::Body::validate`] has checked its body against its signature and its file descriptors. RECEIVED-2.
//! The file descriptors of a message belong to it or are closed; they never belong to the next message. RECEIVED-3.
//! Bodies are not decoded: to decode 64 KiB of `ay` costs a thousand times as much as to copy them.
//! Needs `unsafe`: zbus marks the constructor that does not decode as unsafe, because it can create a malformed
//! message. The octets do not control any memory access; the only risk is a malformed message, which RECEIVED-1
//! excludes.
//! Not here: the boundaries of messages (`crate::connection`), new headers (`zocp_relay::transport`).
//! Spec: D-Bus specification, "Message Format"
#![expect(unsafe_code, reason = "see the module's description")]

mod fields;
mod unreadable;

use std::os::fd::{AsFd, OwnedFd};

use zbus::{
    Message,
    message::EndianSig,
    wire::{Endian, serialized},
};

use self::fields::{FIELDS_AT, Fields, is_big};
pub use self::unreadable::Unreadable;

/// The length of the message that begins with these octets; `None` if its fixed header is incomplete.
///
/// # Errors
/// These octets begin no message, or one that is longer than [`MESSAGE_LEN_MAX`].
pub fn message_len(octets: &[u8]) -> zbus::Result<Option<usize>> {
    let Some(head) = octets.first_chunk::<HEAD_LEN>() else {
        return Ok(None);
    };
    let number = |at: usize| {
        let octets = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let number = match head[0] {
            b'B' => u32::from_be_bytes(octets),
            _ => u32::from_le_bytes(octets),
        };
        u64::from(number)
    };
    if ![b'l', b'B'].contains(&head[0]) {
        return Err(zbus::Error::IncorrectEndian);
    }
    // The fixed header, the padded header fields, and the body.
    let len = HEAD_LEN as u64 + number(12).next_multiple_of(8) + number(4);
    match usize::try_from(len) {
        Ok(len) if len <= MESSAGE_LEN_MAX => Ok(Some(len)),
        _ => Err(zbus::Error::ExcessData),
    }
}

/// Decodes a message. It takes as many file descriptors from the front of `descriptors` as its header declares.
///
/// # Errors
/// The octets are not a D-Bus message, the body does not match its signature, or file descriptors are missing: the
/// fault of the sender or of a program in between.
pub fn received(octets: Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> Result<Message, Unreadable> {
    let count = match descriptors.len() {
        0 => 0,
        len => descriptors_of(&octets).min(len),
    };
    let brought: Vec<OwnedFd> = descriptors.drain(..count).collect();
    let unreadable = |octets: &[u8], reason| Unreadable::new(octets, reason);
    let order = octets.first().copied().map(EndianSig::try_from);
    let Some(Ok(order)) = order else {
        return Err(unreadable(&octets, zbus::Error::IncorrectEndian));
    };
    let context = serialized::Context::new(Endian::from(order), 0);
    let data = serialized::Data::new_fds(octets, context, brought);
    let message = parsed(data.clone()).or_else(|reason| {
        // Only now, since hardly any message has a field that zbus does not know.
        let known = without(data.bytes(), |code| code > UNIX_FDS).ok_or(reason)?;
        let brought = data.fds().iter().map(|fd| fd.as_fd().try_clone_to_owned());
        let brought = brought.collect::<std::io::Result<Vec<_>>>()?;
        parsed(serialized::Data::new_fds(known, context, brought))
    });
    let message = message.map_err(|reason| unreadable(data.bytes(), reason))?;
    let body = message.body();
    let checked = match body.len() == message.primary_header().body_len() as usize {
        true => body.validate(),
        false => Err(zbus::Error::ExcessData),
    };
    checked.map_err(|reason| unreadable(data.bytes(), reason))?;
    Ok(message)
}

fn parsed(data: serialized::Data<'static, 'static>) -> zbus::Result<Message> {
    // SAFETY: the function itself checks the header, and `received` the body (RECEIVED-1).
    unsafe { Message::from_bytes(data) }
}

/// The octets of a message with a header that declares no file descriptors; `None` if it declares none already.
pub fn without_descriptors(message: &Message) -> Option<Vec<u8>> {
    without(message.data().bytes(), |code| code == UNIX_FDS)
}

/// The number of file descriptors that the header declares.
fn descriptors_of(octets: &[u8]) -> usize {
    let Some(fields) = Fields::of(octets) else {
        return 0;
    };
    let mut known = fields.clone().map_while(|field| field);
    let count = known
        .find(|field| field.code == UNIX_FDS)
        .and_then(|field| fields.number(&field));
    count.map_or(0, |count| count as usize)
}

/// A message without some of its header fields; `None` if it has none of them, or if its fields cannot be parsed.
fn without(octets: &[u8], is_left_out: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let fields = Fields::of(octets)?;
    let mut has_left_out = false;
    for field in fields.clone() {
        has_left_out |= is_left_out(field?.code);
    }
    if !has_left_out {
        return None;
    }
    let mut kept = Vec::with_capacity(octets.len());
    kept.extend_from_slice(&octets[..FIELDS_AT]);
    for field in fields.clone().flatten() {
        if !is_left_out(field.code) {
            // Each field begins at a multiple of eight, so its contents stay aligned.
            kept.resize(kept.len().next_multiple_of(8), 0);
            kept.extend_from_slice(&octets[field.start..field.value.end]);
        }
    }
    // The fields are shorter than before, so the length still fits a `u32`.
    let len = u32::try_from(kept.len() - FIELDS_AT).ok()?;
    let len = match is_big(octets) {
        true => len.to_be_bytes(),
        false => len.to_le_bytes(),
    };
    kept[FIELDS_AT - 4..FIELDS_AT].copy_from_slice(&len);
    kept.resize(kept.len().next_multiple_of(8), 0);
    kept.extend_from_slice(octets.get(fields.end().next_multiple_of(8)..)?);
    Some(kept)
}

/// The last field code that the specification defines.
const UNIX_FDS: u8 = 9;

/// Octets of the fixed header, which contains the lengths of the rest, and the length of the header fields.
pub const HEAD_LEN: usize = 16;
/// Octets of a message. D-Bus specification, "Message Format"
pub const MESSAGE_LEN_MAX: usize = 128 << 20;

#[cfg(test)]
mod tests;
