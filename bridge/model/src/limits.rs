//! Every bound of the model, with its default.
//!
//! Sizes are memory, approximately, in octets: a JSON value counts
//! 48 and what its text needs, an object 640 more for each eight
//! entries, so that a small message cannot unfold into much memory.

/// The bounds of a [`crate::Model`] and its trees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of one message; a longer one is malformed.
    pub message_len_max: usize,
    /// Memory of one decoded message; a larger one is malformed.
    pub message_size_max: usize,
    /// Memory of one node's tree; a change beyond it is refused as a whole.
    pub tree_size_max: usize,
    /// Memory of all nodes' trees together; a change beyond it is refused as a whole.
    pub trees_size_max: usize,
    /// Objects of all nodes together.
    pub all_objects_max: usize,
    /// Nesting of a node's tree, its values included, and of each argument of a call. At most 120,
    /// since printing and dropping recurse. A message may nest three deeper
    /// than what it brings.
    pub depth_max: usize,
    /// Capabilities of one node, in all its objects.
    pub capabilities_max: usize,
    /// Objects of one node.
    pub objects_max: usize,
    /// Octets of a name (of any key in a tree, and of emitters, sensors, methods).
    pub name_len_max: usize,
    /// Subscriptions of one peer, in each direction.
    pub subscriptions_max: usize,
    /// Calls of one peer that await our answer, and ours that await its answer.
    pub calls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_len_max: 4 << 20,
            message_size_max: 32 << 20,
            tree_size_max: 32 << 20,
            trees_size_max: 512 << 20,
            all_objects_max: 65_536,
            depth_max: 64,
            capabilities_max: 16_384,
            objects_max: 4_096,
            name_len_max: 1_024,
            subscriptions_max: 4_096,
            calls_max: 512,
        }
    }
}

impl Limits {
    /// The nesting that is really allowed: what recursion bears, at most.
    pub(crate) fn depth(&self) -> usize {
        self.depth_max.min(DEPTH_HARD_MAX)
    }

    /// How deep a message may nest: whatever a tree or a call may hold can be told.
    pub(crate) fn message_depth(&self) -> usize {
        self.depth() + MESSAGE_DEPTH
    }
}

/// serde_json prints and drops values by recursion; this deep is harmless.
const DEPTH_HARD_MAX: usize = 120;
/// What a message puts around a value at most: `{"CALL": [method, [value]]}`.
const MESSAGE_DEPTH: usize = 3;
