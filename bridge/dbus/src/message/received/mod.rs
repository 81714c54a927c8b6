//! D-Bus messages out of octets, whoever sent them: a bus or another bridge.
//!
//! Model: [`received`] makes a message of octets, or says in [`Unreadable`] what can still be said of it: who
//! waits for an answer to it, or what it answers. Fields of the header that nobody knows are left out, as the
//! specification asks; zbus takes a message with one for none.
//! Invariants: RECEIVED-1. the header of a message from [`received`] was checked by zbus, and its body by
//! [`zbus::message::Body::validate`] against its signature and the descriptors that came with it.
//! RECEIVED-2. descriptors that came with a message are its own or closed, never those of the next one.
//! RECEIVED-3. bodies are not decoded: 64 KiB of `ay` cost a thousand times as much decoded as copied.
//! Needs `unsafe`: zbus marks the way around decoding so, since it can make a malformed message. It touches
//! no memory by what the octets say; the danger is a malformed message, which RECEIVED-1 excludes.
//! Not here: where a message begins and ends (`crate::connection`), new headers (`zocp_relay::transport`).
//! Spec: D-Bus specification, "Message Format"
#![expect(unsafe_code, reason = "see the module's description")]

mod fields;
mod unreadable;

use std::os::fd::OwnedFd;

use zbus::{
    Message,
    message::EndianSig,
    wire::{Endian, serialized},
};

use self::fields::{FIELDS_AT, Fields, is_big};
pub use self::unreadable::Unreadable;

/// Octets as a message, with the descriptors that came with it: as many as it says that it brings are taken
/// from `descriptors`, from the front.
///
/// # Errors
/// The sender's fault, or that of what is between: they are no D-Bus message, its body is not what its
/// signature says, or descriptors are missing.
pub fn received(octets: Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> Result<Message, Unreadable> {
    let count = match descriptors.len() {
        0 => 0,
        len => descriptors_of(&octets).min(len),
    };
    let brought: Vec<OwnedFd> = descriptors.drain(..count).collect();
    let octets = without(&octets, |code| code > UNIX_FDS).unwrap_or(octets);
    let unreadable = |octets: &[u8], reason| Unreadable::new(octets, reason);
    let order = octets.first().copied().map(EndianSig::try_from);
    let Some(Ok(order)) = order else {
        return Err(unreadable(&octets, zbus::Error::IncorrectEndian));
    };
    let context = serialized::Context::new(Endian::from(order), 0);
    let data = serialized::Data::new_fds(octets, context, brought);
    // SAFETY: the body is checked right below, the header by the function itself (RECEIVED-1).
    let message = unsafe { Message::from_bytes(data.clone()) };
    let message = message.map_err(|reason| unreadable(data.bytes(), reason))?;
    let body = message.body();
    let checked = match body.len() == message.primary_header().body_len() as usize {
        true => body.validate(),
        false => Err(zbus::Error::ExcessData),
    };
    checked.map_err(|reason| unreadable(data.bytes(), reason))?;
    Ok(message)
}

/// The octets of a message that says that it brings no descriptors; `None` where it says so already.
pub fn without_descriptors(message: &Message) -> Option<Vec<u8>> {
    without(message.data().bytes(), |code| code == UNIX_FDS)
}

/// How many descriptors a message says that it brings.
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

/// A message without some of the fields of its header; `None` where it has none of those, or its fields
/// cannot be told apart.
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
            // Each field begins at a multiple of eight, so what is in it stays aligned.
            kept.resize(kept.len().next_multiple_of(8), 0);
            kept.extend_from_slice(&octets[field.start..field.value.end]);
        }
    }
    // What is shorter than a `u32` says is no longer than one says.
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

/// The last code that the specification gives a meaning.
const UNIX_FDS: u8 = 9;

#[cfg(test)]
mod tests;
