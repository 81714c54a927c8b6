//! The limits of wires.
//!
//! Spec: docs/reference/limits.md

/// Limits of wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wires of this bridge; further ones are rejected.
    pub wires_max: usize,
    /// Foreign wires; further ones are not shown.
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
