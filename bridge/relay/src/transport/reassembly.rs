//! Long packets that come in fragments.
//!
//! Model: a fragment is the tag and one frame: the number of its packet, the length of the whole, both 32 bits, little
//! endian, then octets. Fragments of several packets come interleaved, those of one in order.
//! Invariants: FRAGMENT-1. Memory grows with what has come, not with the length that is announced. FRAGMENT-2. The fragments
//! that follow of a refused packet are dropped silently; none of them is taken for the beginning of a packet.
//! Limits: `packet_len_max` octets for a packet and twice that for all of one peer; [`OPEN_MAX`] packets at once, and as
//! many of which the rest is dropped. A packet beyond these limits is refused.
//! Spec: docs/reference/protocol.md §7.5

use std::collections::HashMap;

use bytes::Bytes;

use super::{FRAGMENT_TAG, PacketError, waiting_for};

/// What has come of one peer's long packets.
#[derive(Debug, Default)]
pub struct Reassembly {
    open: HashMap<u32, Packet>,
    held: usize,
    /// How many octets are still to come of packets that were refused.
    dropped: HashMap<u32, usize>,
}

#[derive(Debug)]
struct Packet {
    len: usize,
    octets: Vec<u8>,
}

impl Reassembly {
    /// Takes a fragment of a packet of at most `max` octets; the packet when it is the last one.
    ///
    /// # Errors
    /// See [`PacketError`]; the whole packet is dropped.
    pub fn add(&mut self, fragment: &[u8], max: usize) -> Result<Option<Vec<u8>>, PacketError> {
        let (number, len, octets) = split(fragment).ok_or(PacketError::Misfit)?;
        if self.is_dropped(number, octets.len()) {
            return Ok(None);
        }
        let outcome = self.extend(number, len, octets, max);
        let is_done = match &outcome {
            Ok(is_done) => *is_done,
            Err(_) => true,
        };
        let packet = if is_done {
            self.open.remove(&number)
        } else {
            None
        };
        let come = packet.as_ref().map_or(0, |packet| packet.octets.len());
        self.held -= come;
        if outcome.is_err() {
            self.drop_rest(number, len.saturating_sub(come + octets.len()));
        }
        match outcome {
            Ok(_) => Ok(packet.map(|packet| packet.octets)),
            // What it is stands in its beginning.
            Err(PacketError::TooLong { len, max, .. }) => Err(PacketError::TooLong {
                len,
                max,
                waiting: waiting_for(packet.as_ref().map_or(octets, |packet| &packet.octets)),
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether a fragment belongs to a packet that was refused (FRAGMENT-2).
    fn is_dropped(&mut self, number: u32, len: usize) -> bool {
        let Some(left) = self.dropped.get_mut(&number) else {
            return false;
        };
        *left = left.saturating_sub(len);
        if *left == 0 {
            self.dropped.remove(&number);
        }
        true
    }

    fn drop_rest(&mut self, number: u32, left: usize) {
        if left > 0 && self.dropped.len() < OPEN_MAX {
            self.dropped.insert(number, left);
        }
    }

    fn extend(
        &mut self,
        number: u32,
        len: usize,
        octets: &[u8],
        max: usize,
    ) -> Result<bool, PacketError> {
        let too_long = |len, max| {
            Err(PacketError::TooLong {
                len,
                max,
                waiting: None,
            })
        };
        if len > max {
            return too_long(len, max);
        }
        let held = self.held + octets.len();
        if held > 2 * max {
            return too_long(held, 2 * max);
        }
        let count = self.open.len();
        if count >= OPEN_MAX && !self.open.contains_key(&number) {
            return Err(PacketError::Misfit);
        }
        let packet = self.open.entry(number).or_insert_with(|| Packet {
            len,
            octets: Vec::new(),
        });
        if packet.len != len || packet.octets.len() + octets.len() > len || octets.is_empty() {
            return Err(PacketError::Misfit);
        }
        packet.octets.extend_from_slice(octets);
        self.held = held;
        Ok(packet.octets.len() == len)
    }
}

/// The frame of a fragment.
pub(super) fn fragment(number: u32, len: u32, octets: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(HEAD_LEN + octets.len());
    frame.extend_from_slice(&number.to_le_bytes());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(octets);
    frame.into()
}

/// The tag of a fragment.
pub(super) fn fragment_tag() -> Bytes {
    Bytes::from_static(FRAGMENT_TAG)
}

fn split(fragment: &[u8]) -> Option<(u32, usize, &[u8])> {
    let (number, rest) = fragment.split_first_chunk::<4>()?;
    let (len, octets) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    Some((u32::from_le_bytes(*number), len, octets))
}

const HEAD_LEN: usize = 8;
/// As many as a fair sender has streams under way; one that opens more is not ours.
const OPEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::transport::Waiting;

    #[test]
    fn of_a_packet_that_is_refused_the_rest_is_dropped_and_the_next_is_taken() {
        let mut parts = Reassembly::default();
        let call = |serial: u8| [b"l\x01\x00\x01\0\0\0\0", &[serial, 0, 0, 0][..]].concat();
        let first = parts.add(&fragment(1, 30, &call(7)), 20);
        let waiting = Some(Waiting::Sender(NonZeroU32::new(7).unwrap()));
        assert!(matches!(first, Err(PacketError::TooLong { waiting: its, .. }) if its == waiting));
        // It looks like the beginning of another call, which its sender may have written on purpose.
        assert!(matches!(
            parts.add(&fragment(1, 30, &call(9)), 20),
            Ok(None)
        ));
        assert!(matches!(parts.add(&fragment(1, 30, &[0; 6]), 20), Ok(None)));
        let next = parts.add(&fragment(1, 6, b"packet"), 20).unwrap();
        assert_eq!(next.as_deref(), Some(&b"packet"[..]));
    }

    #[test]
    fn more_packets_in_pieces_than_a_fair_sender_has_are_refused() {
        let mut parts = Reassembly::default();
        let mut is_whole = |number: usize| {
            let frame = fragment(u32::try_from(number).unwrap(), 2, b"x");
            parts.add(&frame, 2048).map(|whole| whole.is_some()).ok()
        };
        for number in 0..OPEN_MAX {
            assert_eq!(is_whole(number), Some(false));
        }
        assert_eq!(is_whole(OPEN_MAX), None);
        assert_eq!(is_whole(0), Some(true));
        assert_eq!(is_whole(OPEN_MAX), Some(false));
    }
}
