//! The header of a frame: one octet of flags, then the length in one octet or in eight.
//!
//! Spec: 23/ZMTP "Framing". The body follows the header as it is.

use crate::error::Malformed;

/// A frame's header, its flags checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the body is.
    pub(crate) kind: FrameKind,
    /// Octets of the header itself: 2 or 9.
    pub(crate) size: usize,
    /// Octets of the body, as announced.
    pub(crate) len: u64,
}

/// What a frame's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A part of a message, not its last.
    More,
    /// The last or only part of a message.
    Last,
    /// A command.
    Command,
}

impl Header {
    /// The header at the front of `octets`, or `None` as long as it is not whole.
    #[inline]
    pub(crate) fn parse(octets: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((&flags, rest)) = octets.split_first() else {
            return Ok(None);
        };
        let kind = match flags & !FLAG_LONG {
            0 => FrameKind::Last,
            FLAG_MORE => FrameKind::More,
            FLAG_COMMAND => FrameKind::Command,
            both if both == FLAG_COMMAND | FLAG_MORE => return Err(Malformed::CommandWithMore),
            _ => return Err(Malformed::ReservedFlags { flags }),
        };
        let len = if flags & FLAG_LONG == 0 {
            rest.first().map(|&len| (SHORT_SIZE, u64::from(len)))
        } else {
            rest.first_chunk()
                .map(|len| (LONG_SIZE, u64::from_be_bytes(*len)))
        };
        Ok(len.map(|(size, len)| Self { kind, size, len }))
    }

    /// Octets that a whole header has whose first octet is this.
    pub(crate) fn size_of(flags: u8) -> usize {
        if flags & FLAG_LONG == 0 {
            SHORT_SIZE
        } else {
            LONG_SIZE
        }
    }
}

/// Octets of a frame with a body of `len`.
#[inline]
pub(crate) fn frame_len(len: usize) -> usize {
    let size = if len <= SHORT_LEN_MAX {
        SHORT_SIZE
    } else {
        LONG_SIZE
    };
    size.saturating_add(len)
}

/// Appends one frame, its length in the shorter form that holds it.
#[inline]
pub(crate) fn encode(kind: FrameKind, body: &[u8], out: &mut Vec<u8>) {
    encode_header(kind, body.len(), out);
    out.extend_from_slice(body);
}

/// Appends the header of a frame with a body of `len` octets.
#[inline]
pub(crate) fn encode_header(kind: FrameKind, len: usize, out: &mut Vec<u8>) {
    let flags = match kind {
        FrameKind::More => FLAG_MORE,
        FrameKind::Last => 0,
        FrameKind::Command => FLAG_COMMAND,
    };
    match u8::try_from(len) {
        Ok(len) => out.extend_from_slice(&[flags, len]),
        Err(_) => {
            out.push(flags | FLAG_LONG);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The size of the longest header.
pub(crate) const LONG_SIZE: usize = 9;
const SHORT_SIZE: usize = 2;
const SHORT_LEN_MAX: usize = 255;

const FLAG_MORE: u8 = 1;
const FLAG_LONG: u8 = 2;
const FLAG_COMMAND: u8 = 4;
