//! The serials of the messages on one connection.

use std::num::NonZeroU32;

/// Counts from 1, and leaves 0 out, which is no serial.
#[derive(Debug, Default)]
pub(crate) struct Serials {
    last: u32,
}

impl Serials {
    pub(crate) fn next(&mut self) -> NonZeroU32 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        NonZeroU32::new(self.last).unwrap_or(NonZeroU32::MIN)
    }
}
