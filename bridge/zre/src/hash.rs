//! A cheap hash for keys of 8 and 16 octets that peers may have chosen.
//!
//! Model: the key, mixed with two secret words by a folded multiplication. Not for
//! texts, and no defence against one who can measure single look-ups.

use std::hash::{BuildHasher, Hasher};

/// Hashes the ids of peers and connections, for maps of them; made from a secret number such as
/// [`Config::seed`](crate::Config::seed).
#[derive(Debug, Clone, Copy)]
pub struct IdHash(u64, u64);

impl IdHash {
    /// From a secret random number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1, seed.rotate_left(32) ^ 0x9E37_79B9_7F4A_7C15)
    }
}

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher {
            state: self.0,
            secret: self.1,
        }
    }
}

/// The state of one hash.
#[derive(Debug)]
pub struct IdHasher {
    state: u64,
    secret: u64,
}

impl Hasher for IdHasher {
    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product =
            u128::from(self.state ^ word) * u128::from(self.secret ^ word.rotate_left(23));
        self.state = self.state.rotate_left(5) ^ (product as u64) ^ (product >> 64) as u64;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
