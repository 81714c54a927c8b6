//! D-Bus messages as octets: what a message bus has to know of them, and no more.
//!
//! Model: a [`Message`] is a view of octets that are somewhere else: its header is read, its body is not. A
//! [`RawMessage`] owns its octets and is what goes out. Between the two is [`stamp`](Message::stamp), which copies
//! the header with the name of the sender; the body of a large message is shared, not copied.
//! Invariants: MESSAGE-1. no length is believed before it was compared with [`Limits`](crate::Limits) and with what
//! is there. MESSAGE-2. nothing here recurses over what a peer sent. MESSAGE-3. a header that was accepted is valid:
//! known fields have their type and their form, none is there twice.
//! Layout: `fixed` and `header` read; `syntax` and `signature` know forms of names and of types; `args` reads
//! arguments; `writer` makes messages of the bus itself; `stamp` copies headers; `incoming` finds messages in a stream.
//! Spec: D-Bus specification, "Message Protocol"

mod args;
mod fixed;
mod header;
mod incoming;
mod invalid;
mod signature;
mod stamp;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;
mod writer;

use std::{num::NonZeroU32, os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;

use self::header::{Header, Span};
pub(crate) use self::{
    args::{Arg, Args, Cursor},
    writer::{Draft, Writer},
};
pub use self::{
    fixed::Fixed,
    incoming::{Frame, Incoming},
    invalid::Invalid,
};
use crate::Limits;

/// The descriptors of a message. They are closed with the last message that has them.
pub type Descriptors = Arc<[OwnedFd]>;

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A method call.
    Call,
    /// A reply with the results of a call.
    Return,
    /// A reply that says why a call failed.
    Error,
    /// A signal.
    Signal,
    /// A type that the specification has not defined yet: such messages are ignored.
    Unknown(u8),
}

impl Kind {
    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Call,
            2 => Self::Return,
            3 => Self::Error,
            4 => Self::Signal,
            other => Self::Unknown(other),
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Return => 2,
            Self::Error => 3,
            Self::Signal => 4,
            Self::Unknown(code) => code,
        }
    }
}

/// The order of the octets of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least significant octet first.
    Little,
    /// The most significant octet first.
    Big,
}

impl Order {
    pub(crate) fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    pub(crate) fn octets(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

/// A message whose octets are somewhere else.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    header: Header,
    head: &'a [u8],
    body: Body<'a>,
    descriptors: Option<Descriptors>,
}

/// A body: borrowed from a buffer that is used again, or one that can be shared.
#[derive(Debug, Clone)]
enum Body<'a> {
    Borrowed(&'a [u8]),
    Shared(Bytes),
}

impl<'a> Message<'a> {
    /// Reads the header of a frame.
    ///
    /// # Errors
    /// When the message is none: by the specification its sender's connection ends.
    pub fn parse(frame: &'a Frame<'_>, limits: &Limits) -> Result<Self, Invalid> {
        let octets = frame.octets();
        let header = Header::parse(octets, limits)?;
        let (head, body) = octets.split_at(header.len());
        let body = match frame {
            Frame::Owned(owned) => Body::Shared(owned.slice(header.len()..)),
            Frame::Borrowed(_) => Body::Borrowed(body),
        };
        Ok(Self::new(header, head, body))
    }

    /// Reads the header of a message that is owned.
    ///
    /// # Errors
    /// When the message is none.
    pub fn of_raw(raw: &'a RawMessage, limits: &Limits) -> Result<Self, Invalid> {
        let header = Header::parse_parts(&raw.head, raw.body.len(), limits)?;
        let (head, rest) = raw.head.split_at(header.len());
        let body = match rest.is_empty() {
            true => Body::Shared(raw.body.clone()),
            false => Body::Shared(raw.head.slice(header.len()..)),
        };
        let mut message = Self::new(header, head, body);
        message.descriptors.clone_from(&raw.descriptors);
        Ok(message)
    }

    fn new(header: Header, head: &'a [u8], body: Body<'a>) -> Self {
        Self {
            header,
            head,
            body,
            descriptors: None,
        }
    }

    /// Gives the message its descriptors, as many as [`descriptors_announced`](Self::descriptors_announced).
    pub fn attach(&mut self, descriptors: Vec<OwnedFd>) {
        self.descriptors = (!descriptors.is_empty()).then(|| descriptors.into());
    }

    /// How many descriptors the header says that there are.
    #[must_use]
    pub fn descriptors_announced(&self) -> usize {
        self.header.descriptors as usize
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.descriptors.as_ref().map_or(0, |some| some.len())
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.header.fixed.kind
    }

    /// The number that its sender gave it.
    #[must_use]
    pub fn serial(&self) -> NonZeroU32 {
        self.header.fixed.serial
    }

    /// The call that it answers.
    #[must_use]
    pub fn reply_serial(&self) -> Option<NonZeroU32> {
        self.header.reply_serial
    }

    /// Whether its sender waits for an answer.
    #[must_use]
    pub fn expects_reply(&self) -> bool {
        self.kind() == Kind::Call && self.header.fixed.flags & NO_REPLY_EXPECTED == 0
    }

    /// Whether a service may be started for it.
    pub(crate) fn may_start(&self) -> bool {
        self.header.fixed.flags & NO_AUTO_START == 0
    }

    /// The object.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        self.text(self.header.path)
    }

    /// The interface.
    #[must_use]
    pub fn interface(&self) -> Option<&'a str> {
        self.text(self.header.interface)
    }

    /// The method or signal.
    #[must_use]
    pub fn member(&self) -> Option<&'a str> {
        self.text(self.header.member)
    }

    /// The name of the error.
    #[must_use]
    pub fn error_name(&self) -> Option<&'a str> {
        self.text(self.header.error_name)
    }

    /// To whom it is.
    #[must_use]
    pub fn destination(&self) -> Option<&'a str> {
        self.text(self.header.destination)
    }

    /// Who it says it is from.
    #[must_use]
    pub fn sender(&self) -> Option<&'a str> {
        self.text(self.header.sender)
    }

    /// The types of its arguments.
    #[must_use]
    pub fn signature(&self) -> &'a str {
        self.text(self.header.signature).unwrap_or_default()
    }

    /// The octets of its arguments.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Borrowed(body) => body,
            Body::Shared(body) => body,
        }
    }

    pub(crate) fn order(&self) -> Order {
        self.header.fixed.order
    }

    fn text(&self, span: Option<Span>) -> Option<&'a str> {
        // What is not UTF-8 was refused when the header was read.
        std::str::from_utf8(&self.head[span?.range()]).ok()
    }
}

/// A message as octets, with its descriptors. Clones share both.
#[derive(Debug, Clone)]
pub struct RawMessage {
    /// The header, and the body where that is small.
    head: Bytes,
    /// The body, where it is large; else nothing.
    body: Bytes,
    descriptors: Option<Descriptors>,
}

impl RawMessage {
    /// A message of its octets, which are looked at when it is sent.
    #[must_use]
    pub fn new(octets: Bytes, descriptors: Option<Descriptors>) -> Self {
        Self {
            head: octets,
            body: Bytes::new(),
            descriptors,
        }
    }

    /// The octets, in one or two parts.
    #[must_use]
    pub fn parts(&self) -> [&Bytes; 2] {
        [&self.head, &self.body]
    }

    /// The number of octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All octets in one part; copied where there are two.
    #[must_use]
    pub fn octets(&self) -> Bytes {
        match self.body.is_empty() {
            true => self.head.clone(),
            false => [&self.head[..], &self.body[..]].concat().into(),
        }
    }

    /// The descriptors.
    #[must_use]
    pub fn descriptors(&self) -> Option<&Descriptors> {
        self.descriptors.as_ref()
    }
}

/// The next multiple of a power of two.
pub(crate) const fn aligned(offset: usize, to: usize) -> usize {
    (offset + to - 1) & !(to - 1)
}

const NO_REPLY_EXPECTED: u8 = 1;
const NO_AUTO_START: u8 = 2;
