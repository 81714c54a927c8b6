//! The serials of the messages on one connection.

use std::num::NonZeroU32;

/// Counts, and leaves 0 out, which is no serial.
#[derive(Debug)]
pub(crate) struct Serials {
    first: NonZeroU32,
    next: NonZeroU32,
}

impl Default for Serials {
    fn default() -> Self {
        Self::from(NonZeroU32::MIN)
    }
}

impl Serials {
    /// Serials that calls of the bus do not have: those are numbered for all connections together, from 1.
    pub(crate) fn beside_the_bus() -> Self {
        Self::from(BESIDE_THE_BUS)
    }

    fn from(first: NonZeroU32) -> Self {
        Self { first, next: first }
    }

    pub(crate) fn next(&mut self) -> NonZeroU32 {
        let next = self.next.checked_add(1).unwrap_or(self.first);
        std::mem::replace(&mut self.next, next)
    }
}

const BESIDE_THE_BUS: NonZeroU32 = NonZeroU32::new(1 << 31).unwrap();
