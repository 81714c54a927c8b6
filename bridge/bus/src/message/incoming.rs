//! Messages out of a stream of octets.
//!
//! Model: a message that is there as a whole is taken where it is, without a copy. What is there of another one is
//! kept; where that is large the rest is read to its place ([`Incoming::room`]).
//! Invariants: INCOMING-1. however the stream is split, the same messages come of it. INCOMING-2. memory grows with
//! what came, never with what was announced.

use bytes::Bytes;

use super::{Fixed, Invalid};
use crate::Limits;

/// One message of a stream.
#[derive(Debug)]
pub enum Frame<'a> {
    /// In the buffer that was read into.
    Borrowed(&'a [u8]),
    /// In memory of its own.
    Owned(Bytes),
}

impl Frame<'_> {
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Borrowed(octets) => octets,
            Self::Owned(octets) => octets,
        }
    }
}

/// What is there of a message that is not there as a whole.
#[derive(Debug, Default)]
pub struct Incoming {
    begun: Vec<u8>,
}

impl Incoming {
    /// The next message that is whole; what is used of the input is taken off it. After `None` the input is empty.
    ///
    /// # Errors
    /// When no message begins there, or one that is too large.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Frame<'a>>, Invalid> {
        if self.begun.is_empty() {
            let len = length(input, limits)?;
            if let Some(len) = len
                && let Some((message, rest)) = input.split_at_checked(len)
            {
                *input = rest;
                return Ok(Some(Frame::Borrowed(message)));
            }
            self.keep(input, input.len());
            return Ok(None);
        }
        if self.begun.len() < Fixed::LEN {
            self.keep(input, Fixed::LEN - self.begun.len());
        }
        let Some(len) = length(&self.begun, limits)? else {
            return Ok(None);
        };
        self.keep(input, len - self.begun.len());
        if self.begun.len() < len {
            return Ok(None);
        }
        Ok(Some(Frame::Owned(std::mem::take(&mut self.begun).into())))
    }

    /// Takes up to so many octets of the input.
    fn keep(&mut self, input: &mut &[u8], len: usize) {
        let (kept, rest) = input.split_at(len.min(input.len()));
        self.begun.extend_from_slice(kept);
        *input = rest;
    }

    /// Room for the rest of a message that is large; `Room::fill` says how much was read there.
    pub fn room(&mut self, limits: &Limits) -> Option<Room<'_>> {
        let len = length(&self.begun, limits).ok().flatten()?;
        let filled = self.begun.len();
        let missing = len.checked_sub(filled)?;
        if missing < ROOM_LEN_MIN {
            return None;
        }
        self.begun
            .reserve_exact(missing.min(filled.max(ROOM_LEN_MAX)));
        self.begun.resize(filled + missing.min(ROOM_LEN_MAX), 0);
        Some(Room {
            begun: &mut self.begun,
            filled,
        })
    }

    /// Octets that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.begun.len()
    }
}

/// Room at the end of a message. What is not filled is taken back when it is dropped.
#[derive(Debug)]
pub struct Room<'a> {
    begun: &'a mut Vec<u8>,
    filled: usize,
}

impl Room<'_> {
    /// The octets to be read.
    pub fn octets(&mut self) -> &mut [u8] {
        &mut self.begun[self.filled..]
    }

    /// So many were read.
    pub fn fill(&mut self, len: usize) {
        self.filled = (self.filled + len).min(self.begun.len());
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.begun.truncate(self.filled);
    }
}

/// The length of the message that begins so; `None` if that is not told yet.
fn length(octets: &[u8], limits: &Limits) -> Result<Option<usize>, Invalid> {
    match octets.first_chunk() {
        Some(fixed) => Ok(Some(Fixed::read(fixed, limits)?.message_len())),
        None => Ok(None),
    }
}

/// Less than this is read like everything else.
const ROOM_LEN_MIN: usize = 16 << 10;
/// So much is read to its place at once.
const ROOM_LEN_MAX: usize = 256 << 10;
