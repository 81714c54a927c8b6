//! Whether a reply may go on: it waits until the signals before it have passed.

/// Tells whether the signals before a message are handled.
pub(super) trait Barrier {
    fn is_level(&self) -> bool;
    fn raise(&self) -> u64;
    fn is_passed(&self, number: u64) -> bool;
}
