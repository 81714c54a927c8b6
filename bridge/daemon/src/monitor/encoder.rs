//! How events become octets.

use super::event::Event;

/// Encodes events in one format.
pub(super) trait Encoder: Send {
    /// Writes what the format has before the first event.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Notes that this many events were dropped here.
    fn lost(&mut self, count: u64, out: &mut Vec<u8>);

    /// Writes an event, unless the filters exclude it.
    fn write(&mut self, event: &Event, out: &mut Vec<u8>);
}
