//! A D-Bus message around octets that are not looked into: the one place that needs `unsafe`.
//!
//! Model: forwarding must not decode (64 KiB of `ay` cost a thousand times as much decoded as copied),
//! and zbus marks both ways around decoding as unsafe, since they can make a malformed message.
//! Invariants: W1. a message from [`parse`] has a header that zbus has checked and a body that
//! [`zbus::message::Body::validate`] has checked against its signature. W2. a message from [`rebuild`]
//! has the body, the signature and the byte order of a message that a bus has checked, or that is W1. W3. one
//! structure stays one: zbus reads the signatures `(dd)` and `dd` as the same value and writes both as `dd`.
//! Neither `unsafe` touches memory by what the octets say: the danger is a malformed message, which
//! W1 and W2 exclude.
#![expect(unsafe_code, reason = "see the module's description")]

use zbus::{
    Message, Signature,
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
    // SAFETY: octets, signature and byte order are those of a checked message.
    unsafe { header.build_raw_body(body.data().bytes(), arguments(like), Vec::new()) }
}

/// The signature of a message's body as zbus has to be given it, so that it is written as it was (W3).
fn arguments(message: &Message) -> Signature {
    let body = message.body();
    let signature = body.signature().clone();
    let is_one_structure = matches!(signature, Signature::Structure(_))
        && signature_len(message) == Some(signature.string_len());
    match is_one_structure {
        true => Signature::structure([signature]),
        false => signature,
    }
}

/// The length of a body's signature as it is written in the message's header, which zbus has checked.
fn signature_len(message: &Message) -> Option<usize> {
    let octets = message.data().bytes();
    let number = |at: usize| {
        let octets = octets.get(at..at + 4)?.try_into().ok()?;
        match Endian::from(message.primary_header().endian_sig()) {
            Endian::Little => usize::try_from(u32::from_le_bytes(octets)).ok(),
            Endian::Big => usize::try_from(u32::from_be_bytes(octets)).ok(),
        }
    };
    let (mut at, end) = (FIELDS_AT, FIELDS_AT + number(FIELDS_AT - 4)?);
    // A field: its code, its type as a signature of one letter, its value.
    while at < end {
        let &[code, _, letter, _] = octets.get(at..at + 4)? else {
            return None;
        };
        at += 4;
        match letter {
            b'g' if code == SIGNATURE => return octets.get(at).copied().map(usize::from),
            b'g' => at += usize::from(*octets.get(at)?) + 2,
            b'u' => at += 4,
            _ => at += number(at)? + 5,
        }
        at = at.next_multiple_of(8);
    }
    None
}

/// Where the fields of a header begin, behind the number of their octets.
const FIELDS_AT: usize = 16;
/// The code of the field that holds the signature.
const SIGNATURE: u8 = 8;
