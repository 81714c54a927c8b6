//! Where a program publishes something: a value and a method of one name are two places.

use zocp_node::CapPath;

/// Whether a value or a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Capability,
    Method,
}

/// A capability or a method of the local node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    // First, so that all of an object are together.
    pub(super) path: CapPath,
    pub(super) kind: Kind,
}

impl Place {
    pub(super) fn new(kind: Kind, path: CapPath) -> Self {
        Self { path, kind }
    }
}
