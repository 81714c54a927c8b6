//! Where a program publishes something: a value, a method and a stream of one name are places of their own.

use zocp_node::{CapPath, model::stream::Direction};

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Capability,
    Method,
    Stream(Direction),
}

/// A capability, a method or a stream of the local node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    // First, so that all of an object are together.
    pub(super) path: CapPath,
    pub(super) kind: Kind,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self::Capability,
        Self::Method,
        Self::Stream(Direction::Source),
        Self::Stream(Direction::Sink),
    ];
}

impl Place {
    pub(super) fn new(kind: Kind, path: CapPath) -> Self {
        Self { path, kind }
    }
}
