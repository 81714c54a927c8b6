//! The serials of the messages on one connection.

use std::num::NonZeroU32;

/// Counts, and leaves 0 out, which is no serial.
#[derive(Debug)]
pub(crate) struct Serials {
    next: NonZeroU32,
}

impl Default for Serials {
    fn default() -> Self {
        Self {
            next: NonZeroU32::MIN,
        }
    }
}

impl Serials {
    pub(crate) fn next(&mut self) -> NonZeroU32 {
        let next = self.next.checked_add(1).unwrap_or(NonZeroU32::MIN);
        std::mem::replace(&mut self.next, next)
    }
}
