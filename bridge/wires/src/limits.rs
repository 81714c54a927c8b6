//! How many wires there are at most.
//!
//! Spec: docs/reference/limits.md

/// Bounds of wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wires that were made here; further ones are refused.
    pub wires_max: usize,
    /// Wires of others that are shown; further ones are not.
    pub wires_seen_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wires_max: 4096,
            wires_seen_max: 16_384,
        }
    }
}
