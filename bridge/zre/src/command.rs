//! The first frame of every message: which command, its number, its fields.
//!
//! Model: `AA A1`, id, version 2, sequence, then the fields of the id. WHISPER and
//! SHOUT are followed by content frames, which this file never sees.
//! Invariants: COMMAND-1. Decoding reserves memory only for fields that are there in
//! full. COMMAND-2. It loops over one cursor and never recurs. COMMAND-3. Encoding writes nothing
//! that any known peer chokes on: valid UTF-8, `string`s of at most 255 octets cut at
//! a character, the headers dictionary always, ids 1 to 7 only.
//! Limits: [`HelloLimits`]; octets behind the last field are ignored, as zyre does.
//! Spec: 36/ZRE "Protocol Grammar"; docs/reference/protocol.md §3.1.

mod cursor;
mod hello;

use std::borrow::Cow;

use cursor::Cursor;
pub use hello::{Hello, HelloLimits};

use crate::name::cut;

/// A command, as the first frame of a message carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Who a node is; the first message of a connection.
    Hello(Box<Hello>),
    /// To one peer; the content follows.
    Whisper,
    /// To a group; the content follows.
    Shout {
        /// Which group.
        group: Cow<'a, str>,
    },
    /// The sender joined a group.
    Join {
        /// Which group.
        group: Cow<'a, str>,
        /// The sender's count of its joins and leaves, modulo 256.
        status: u8,
    },
    /// The sender left a group.
    Leave {
        /// Which group.
        group: Cow<'a, str>,
        /// The sender's count of its joins and leaves, modulo 256.
        status: u8,
    },
    /// Asks for a [`Self::PingOk`].
    Ping,
    /// Answers a [`Self::Ping`].
    PingOk,
    /// One of zyre's elections and such, ids 8 to 10: it counts, no more.
    Other(u8),
}

/// A frame is no command. The peer's fault: what it says is not understood, so
/// neither is its state; the connection must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer octets than the command's fields need.
    #[error("the frame ends in the middle of a command")]
    Truncated,
    /// It does not begin with `AA A1`.
    #[error("the frame does not begin with the signature of ZRE")]
    BadSignature,
    /// Not version 2.
    #[error("version {0} of ZRE")]
    BadVersion(u8),
    /// An id that no peer uses.
    #[error("command {0} is unknown")]
    UnknownCommand(u8),
    /// A HELLO with more groups than we follow.
    #[error("{count} groups, more than {max}")]
    TooManyGroups {
        /// As announced.
        count: usize,
        /// [`HelloLimits::groups_max`].
        max: usize,
    },
    /// A HELLO with more headers than we keep.
    #[error("{count} headers, more than {max}")]
    TooManyHeaders {
        /// As announced.
        count: usize,
        /// [`HelloLimits::headers_max`].
        max: usize,
    },
    /// A group name or header value that is too long.
    #[error("a text of {len} octets, longer than {max}")]
    TextTooLong {
        /// As announced.
        len: usize,
        /// The limit of that kind of text.
        max: usize,
    },
}

const SIGNATURE: [u8; 2] = [0xAA, 0xA1];
const VERSION: u8 = 2;

const HELLO: u8 = 1;
const WHISPER: u8 = 2;
const SHOUT: u8 = 3;
const JOIN: u8 = 4;
const LEAVE: u8 = 5;
const PING: u8 = 6;
const PING_OK: u8 = 7;

/// Reads the first frame of a message: the command and its sequence number.
///
/// # Errors
///
/// If the frame is malformed or beyond `limits`.
pub fn decode<'a>(
    frame: &'a [u8],
    limits: &HelloLimits,
) -> Result<(Command<'a>, u16), DecodeError> {
    let mut cursor = Cursor::new(frame);
    if cursor.array()? != SIGNATURE {
        return Err(DecodeError::BadSignature);
    }
    let id = cursor.octet()?;
    let version = cursor.octet()?;
    if version != VERSION {
        return Err(DecodeError::BadVersion(version));
    }
    let sequence = u16::from_be_bytes(cursor.array()?);
    let command = match id {
        HELLO => Command::Hello(Box::new(Hello::decode(&mut cursor, limits)?)),
        WHISPER => Command::Whisper,
        SHOUT => Command::Shout {
            group: cursor.string()?,
        },
        JOIN => Command::Join {
            group: cursor.string()?,
            status: cursor.octet()?,
        },
        LEAVE => Command::Leave {
            group: cursor.string()?,
            status: cursor.octet()?,
        },
        PING => Command::Ping,
        PING_OK => Command::PingOk,
        // protocol.md §3.8
        8..=10 => Command::Other(id),
        _ => return Err(DecodeError::UnknownCommand(id)),
    };
    Ok((command, sequence))
}

impl Command<'_> {
    /// Writes the first frame of a message.
    ///
    /// [`Self::Other`] comes out as its head alone; it is decoded for its number and
    /// never sent.
    pub fn encode(&self, sequence: u16, out: &mut impl Extend<u8>) {
        out.extend(SIGNATURE);
        out.extend([self.id(), VERSION]);
        out.extend(sequence.to_be_bytes());
        match self {
            Self::Hello(hello) => hello.encode(out),
            Self::Shout { group } => put_string(group, out),
            Self::Join { group, status } | Self::Leave { group, status } => {
                put_string(group, out);
                out.extend([*status]);
            }
            Self::Whisper | Self::Ping | Self::PingOk | Self::Other(_) => {}
        }
    }

    const fn id(&self) -> u8 {
        match self {
            Self::Hello(_) => HELLO,
            Self::Whisper => WHISPER,
            Self::Shout { .. } => SHOUT,
            Self::Join { .. } => JOIN,
            Self::Leave { .. } => LEAVE,
            Self::Ping => PING,
            Self::PingOk => PING_OK,
            Self::Other(id) => *id,
        }
    }
}

/// A `string`: one octet of length, cut so that it fits.
fn put_string(text: &str, out: &mut impl Extend<u8>) {
    let text = cut(text);
    out.extend([text.len() as u8]);
    out.extend(text.bytes());
}

#[cfg(test)]
mod tests;
