//! Reads fields off a frame, front to back.

use std::borrow::Cow;

use super::DecodeError;

/// What is left of a frame.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) const fn new(frame: &'a [u8]) -> Self {
        Self(frame)
    }

    pub(super) const fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (field, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn octet(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A `number-4`, as a count or length.
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
        let count = u32::from_be_bytes(self.array()?);
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// A `string`. A peer that cuts it in the middle of a character is forgiven.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let len = usize::from(self.octet()?);
        self.text(len)
    }

    /// A `longstr` of at most `max` octets.
    pub(super) fn long_string(&mut self, max: usize) -> Result<Cow<'a, str>, DecodeError> {
        let len = self.count()?;
        if len > max {
            return Err(DecodeError::TextTooLong { len, max });
        }
        self.text(len)
    }

    fn text(&mut self, len: usize) -> Result<Cow<'a, str>, DecodeError> {
        let (text, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text))
    }
}
