//! How events become octets.

use super::seen::Seen;

/// What makes octets of events.
pub(super) trait Encoder: Send {
    /// What stands before everything.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// So many events are missing here.
    fn lost(&mut self, count: u64, out: &mut Vec<u8>);

    /// An event, unless it is not wanted.
    fn write(&mut self, seen: &Seen, out: &mut Vec<u8>);
}
