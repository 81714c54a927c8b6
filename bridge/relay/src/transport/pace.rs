//! How much goes to a peer at once.

/// How much is handed over to the node at once, since it is sent in that order, whatever comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// What is longer travels in fragments of this length.
    pub(super) fragment_len: usize,
    /// Octets that may wait for the socket when the next fragment is handed over.
    pub(super) window: usize,
    /// Whether changes of properties that wait are merged.
    pub(super) merges_changes: bool,
}

impl Pace {
    /// Within one venue.
    pub const NEAR: Self = Self {
        fragment_len: 128 << 10,
        window: 256 << 10,
        merges_changes: false,
    };
    /// Between venues, whose line may be slow: an eighth of a second of 1 Mbit/s.
    pub const FAR: Self = Self {
        fragment_len: 16 << 10,
        window: 16 << 10,
        merges_changes: true,
    };
}
