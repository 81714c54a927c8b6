//! A D-Bus message around octets that are not looked into: the one place that needs `unsafe`.
//!
//! Model: forwarding must not decode (64 KiB of `ay` cost a thousand times as much decoded as copied),
//! and zbus marks both ways around decoding as unsafe, since they can make a malformed message.
//! Invariants: W1. a message from [`parse`] has a header that zbus has checked and a body that
//! [`zbus::message::Body::validate`] has checked against its signature. W2. a message from [`rebuild`]
//! has the body, the signature and the byte order of a message that a bus has checked, or that is W1.
//! Neither `unsafe` touches memory by what the octets say: the danger is a malformed message, which
//! W1 and W2 exclude.
#![expect(unsafe_code, reason = "see the module's description")]

use zbus::{
    Message,
    message::{Builder, EndianSig},
    wire::{Endian, serialized},
};

/// Octets from the mesh as a message (W1).
///
/// # Errors
/// The sender's fault: they are no D-Bus message, or its body is not what its signature says.
pub(super) fn parse(octets: &[u8]) -> zbus::Result<Message> {
    let endian = match octets.first().copied().map(EndianSig::try_from) {
        Some(Ok(sig)) => Endian::from(sig),
        _ => return Err(zbus::Error::IncorrectEndian),
    };
    let context = serialized::Context::new(endian, 0);
    let data = serialized::Data::new(octets.to_vec(), context);
    // SAFETY: the body is validated right below, the header by the function itself.
    let message = unsafe { Message::from_bytes(data) }?;
    if message.body().len() != message.primary_header().body_len() as usize {
        return Err(zbus::Error::ExcessData);
    }
    message.body().validate()?;
    Ok(message)
}

/// A new header around another message's body (W2). Descriptors are left out: nobody may forward a
/// message that has some.
///
/// # Errors
/// Ours or the sender's: a field of the header is not legal, or the whole would be too long.
pub(crate) fn rebuild(header: Builder<'_>, like: &Message) -> zbus::Result<Message> {
    let body = like.body();
    let endian = Endian::from(like.primary_header().endian_sig());
    let header = header.endian(endian);
    let signature = body.signature().clone();
    // SAFETY: octets, signature and byte order are those of a checked message.
    unsafe { header.build_raw_body(body.data().bytes(), signature, Vec::new()) }
}
