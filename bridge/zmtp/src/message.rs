//! A message: frames that arrived together.
//!
//! Model: the octets of all frames one behind the other in one allocation, and where each ends.
//! Invariants: `ends` never decreases, its last is `octets.len()`, and there is at least one.

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

/// A whole message of at least one frame. Frames may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    octets: Vec<u8>,
    ends: Ends,
}

/// Where each frame ends; four of them need no allocation.
pub(crate) type Ends = SmallVec<[u32; 4]>;

impl Message {
    /// The caller keeps the invariants of this file.
    #[inline]
    pub(crate) fn new(octets: Vec<u8>, ends: Ends) -> Self {
        debug_assert_eq!(ends.last().map(|&end| end as usize), Some(octets.len()));
        Self { octets, ends }
    }

    /// The number of frames, one at least.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of octets in all frames.
    pub fn octet_len(&self) -> usize {
        self.octets.len()
    }

    /// Frame `index`, counted from 0.
    #[inline]
    pub fn frame(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = self.bounds(index)?;
        self.octets.get(start..end)
    }

    /// All frames in order.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut rest = self.octets.as_slice();
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let (frame, behind) = rest.split_at((end - start) as usize);
            (rest, start) = (behind, end);
            frame
        })
    }

    /// Frame `index` without copying it. It keeps the memory of the whole message.
    #[inline]
    pub fn into_frame(self, index: usize) -> Option<Bytes> {
        let (start, end) = self.bounds(index)?;
        let last = end == self.octets.len();
        let mut octets = Bytes::from(self.octets);
        // Costs an allocation, which the last frame, mostly the payload, is spared.
        if !last {
            octets.truncate(end);
        }
        octets.advance(start);
        Some(octets)
    }

    /// All frames in order without copying them. Each keeps the memory of the whole message.
    pub fn into_frames(self) -> impl ExactSizeIterator<Item = Bytes> {
        let octets = Bytes::from(self.octets);
        let mut start = 0;
        self.ends.into_iter().map(move |end| {
            let frame = octets.slice(start..end as usize);
            start = end as usize;
            frame
        })
    }

    #[inline]
    fn bounds(&self, index: usize) -> Option<(usize, usize)> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((start as usize, end as usize))
    }
}

/// Lengths only: what peers say to each other is not for logs.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("frame_lens", &FrameLens(self))
            .finish()
    }
}

struct FrameLens<'a>(&'a Message);

impl std::fmt::Debug for FrameLens<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.frames().map(<[u8]>::len))
            .finish()
    }
}
