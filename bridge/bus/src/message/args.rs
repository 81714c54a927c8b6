//! Reading values: what rules and the bus's own methods need of them.
//!
//! Model: a [`Cursor`] goes over marshalled values; what is not needed is skipped by its type. Arrays are skipped
//! by their length, so only structs and variants nest, and the way back is a stack of bounded depth.
//! Limits: [`DEPTH_MAX`] types that wait for their turn.

use smallvec::SmallVec;

use super::{Message, Order, aligned, signature};

/// A place in marshalled values.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
    order: Order,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(octets: &'a [u8], at: usize, order: Order) -> Self {
        Self { octets, at, order }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.octets.len()
    }

    /// Goes to a multiple; what is between must be zero.
    pub(crate) fn align(&mut self, to: usize) -> Option<()> {
        let at = aligned(self.at, to);
        let padding = self.octets.get(self.at..at)?;
        self.at = at;
        padding.iter().all(|octet| *octet == 0).then_some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.octets.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        let octets = self.take(4)?.first_chunk()?;
        Some(self.order.u32(*octets))
    }

    /// The octets of a string or an object path.
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.text(len)
    }

    /// The octets of a signature.
    pub(crate) fn signature(&mut self) -> Option<&'a [u8]> {
        let len = self.byte()?.into();
        self.text(len)
    }

    fn text(&mut self, len: usize) -> Option<&'a [u8]> {
        let (last, text) = self.take(len.checked_add(1)?)?.split_last()?;
        (*last == 0).then_some(text)
    }

    /// A string, as text.
    pub(crate) fn str(&mut self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.string()?).ok()?;
        (!text.contains('\0')).then_some(text)
    }

    /// The end of an array whose elements are aligned so; the cursor is at the first.
    pub(crate) fn begin_array(&mut self, to: usize) -> Option<usize> {
        let len = self.u32()? as usize;
        self.align(to)?;
        let end = self.at.checked_add(len)?;
        (end <= self.octets.len()).then_some(end)
    }

    /// Goes behind a value of a valid type.
    pub(crate) fn skip(&mut self, kind: &[u8]) -> Option<()> {
        let mut left: SmallVec<[&[u8]; 8]> = SmallVec::new();
        left.push(kind);
        while let Some(types) = left.pop() {
            let Some((first, rest)) = signature::split_first(types) else {
                continue;
            };
            if left.len() >= DEPTH_MAX {
                return None;
            }
            if !rest.is_empty() {
                left.push(rest);
            }
            match first[0] {
                b'v' => {
                    let inner = self.signature()?;
                    if !signature::is_single(inner) {
                        return None;
                    }
                    // Octets of the message, which live as long.
                    left.push(inner);
                }
                b'(' | b'{' => {
                    self.align(8)?;
                    left.push(&first[1..first.len() - 1]);
                }
                b'a' => {
                    let end = self.begin_array(signature::alignment(first[1]))?;
                    self.at = end;
                }
                b's' | b'o' => drop(self.string()?),
                b'g' => drop(self.signature()?),
                simple => {
                    let len = signature::alignment(simple);
                    self.align(len)?;
                    self.take(len)?;
                }
            }
        }
        Some(())
    }
}

/// The first arguments of a message, read when they are asked for.
#[derive(Debug)]
pub(crate) struct Args<'a> {
    cursor: Cursor<'a>,
    /// The types of those that were not read.
    left: &'a [u8],
    read: SmallVec<[Option<Arg<'a>>; 4]>,
}

/// An argument that a rule can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arg<'a> {
    String(&'a str),
    Path(&'a str),
}

impl<'a> Args<'a> {
    /// The arguments of a message.
    pub(crate) fn new(message: &'a Message<'_>) -> Self {
        Self {
            cursor: Cursor::new(message.body(), 0, message.order()),
            left: message.signature().as_bytes(),
            read: SmallVec::new(),
        }
    }

    /// An argument; `None` if there is none, or it is no text.
    pub(crate) fn get(&mut self, number: usize) -> Option<Arg<'a>> {
        while self.read.len() <= number {
            let (first, rest) = signature::split_first(self.left)?;
            let arg = match first {
                b"s" => self.cursor.str().map(Arg::String).map(Some),
                b"o" => self.cursor.str().map(Arg::Path).map(Some),
                other => self.cursor.skip(other).map(|()| None),
            };
            // A body that is not what its signature says has no more arguments.
            self.left = if arg.is_some() { rest } else { &[] };
            self.read.push(arg.flatten());
        }
        self.read.get(number).copied().flatten()
    }
}

/// Deeper than the specification lets structs, arrays and variants nest.
const DEPTH_MAX: usize = 256;
