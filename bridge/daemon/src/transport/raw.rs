//! A D-Bus message around octets that are not looked into: it needs `unsafe`.
//!
//! Model: forwarding must not decode (64 KiB of `ay` cost a thousand times as much decoded as copied),
//! and zbus marks the way around decoding as unsafe, since it can make a malformed message.
//! Invariants: W1. a message from [`parse`] has a header that zbus has checked and a body that
//! [`zbus::message::Body::validate`] has checked against its signature. W2. a message from [`received`]
//! has a header that zbus has checked and a body that a bus has checked. Neither `unsafe` touches memory
//! by what the octets say: the danger is a malformed message, which W1 and W2 exclude.
#![expect(unsafe_code, reason = "see the module's description")]

use std::os::fd::OwnedFd;

use zbus::{
    Message,
    message::EndianSig,
    wire::{Endian, serialized},
};

use super::header::descriptors_of;

/// Octets from the mesh as a message (W1).
///
/// # Errors
/// The sender's fault: they are no D-Bus message, or its body is not what its signature says.
pub(super) fn parse(octets: &[u8]) -> zbus::Result<Message> {
    let data = serialized::Data::new(octets.to_vec(), context(octets)?);
    // SAFETY: the body is validated right below, the header by the function itself.
    let message = unsafe { Message::from_bytes(data) }?;
    if message.body().len() != message.primary_header().body_len() as usize {
        return Err(zbus::Error::ExcessData);
    }
    message.body().validate()?;
    Ok(message)
}

/// Octets from a bus as a message (W2). It takes as many descriptors as it says that it
/// brings.
///
/// # Errors
/// The bus's fault: they are no D-Bus message.
pub(crate) fn received(octets: Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> zbus::Result<Message> {
    let context = context(&octets)?;
    let count = match descriptors.len() {
        0 => 0,
        len => descriptors_of(&octets).min(len),
    };
    let brought: Vec<OwnedFd> = descriptors.drain(..count).collect();
    // SAFETY: a bus has checked it.
    unsafe { Message::from_bytes(serialized::Data::new_fds(octets, context, brought)) }
}

fn context(octets: &[u8]) -> zbus::Result<serialized::Context> {
    match octets.first().copied().map(EndianSig::try_from) {
        Some(Ok(sig)) => Ok(serialized::Context::new(Endian::from(sig), 0)),
        _ => Err(zbus::Error::IncorrectEndian),
    }
}
