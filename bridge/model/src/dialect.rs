//! The two ways in which nodes of the mesh describe a change of a capability.
//!
//! Spec: docs/reference/protocol.md §4.3.

/// Which kind of node sent a patch, which decides what the patch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// pyZOCP: a value that is an object is merged into the old one, and null is a value.
    Python,
    /// Nodes with the header `X-ZOCP-DBUS`: a value replaces the old one, and null removes an entry of the description.
    Ours,
}
