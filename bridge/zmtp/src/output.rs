//! The output of a connection: one contiguous buffer, and how much of it has been written.
//!
//! Invariants: `written_at <= buffer.len()`; what is written and not yet cleared away is less than what
//! still waits, or less than [`CLEAR_MIN`], so clearing away costs a constant for each octet written.
//!
//! Limits: at most [`PONGS_MAX`] PONGs wait. A PING above that gets no answer: that many wait only when
//! the peer does not read, and whatever it reads first shows it that we live. How much else may wait is
//! the connection's affair.

use crate::capacity::retained;

/// The output of a connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    written_at: usize,
    /// PONGs put in since the last moment when none waited.
    pongs: usize,
    /// Where the last of them ends, counted from the beginning of the connection.
    pongs_end: u64,
    /// Octets written since the beginning of the connection.
    written: u64,
}

impl Output {
    /// What waits.
    #[inline]
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.buffer[self.written_at..]
    }

    /// For what is to be added behind, `len` octets of it.
    #[inline]
    pub(crate) fn reserve(&mut self, len: usize) -> &mut Vec<u8> {
        self.buffer.reserve(len);
        &mut self.buffer
    }

    /// Adds the answer to a PING, which `encode` appends, if there is room for it.
    pub(crate) fn push_pong<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.pongs < PONGS_MAX {
            encode(&mut self.buffer)?;
            self.pongs += 1;
            self.pongs_end = self.written + self.waiting().len() as u64;
        }
        Ok(())
    }

    /// Takes `len` octets away from the front, or all there are.
    pub(crate) fn consume(&mut self, len: usize) {
        let len = len.min(self.waiting().len());
        self.written_at += len;
        self.written += len as u64;
        if self.written >= self.pongs_end {
            self.pongs = 0;
        }
        let waiting = self.waiting().len();
        if waiting == 0 {
            self.reset();
        } else if self.written_at >= CLEAR_MIN && self.written_at >= waiting {
            self.buffer.drain(..self.written_at);
            self.written_at = 0;
        }
    }

    fn reset(&mut self) {
        let (capacity, peak) = (self.buffer.capacity(), self.buffer.len());
        self.buffer.clear();
        self.written_at = 0;
        let keep = retained(capacity, peak, CAPACITY_MIN);
        if keep < capacity {
            self.buffer.shrink_to(keep);
        }
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// With fewer octets written than this it is not worth moving the rest.
pub(crate) const CLEAR_MIN: usize = 64 << 10;
/// An idle connection may keep this: a mesh of hundreds has hundreds.
pub(crate) const CAPACITY_MIN: usize = 16 << 10;
/// A heartbeat is a matter of seconds: this many are minutes.
pub(crate) const PONGS_MAX: usize = 64;
