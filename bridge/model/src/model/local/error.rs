//! Why a program may not change what its node publishes.

use crate::{CheckError, TreeError};

/// Why this node's own tree was not changed. The caller's fault; nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no such capability.
    #[error("unknown capability")]
    UnknownCapability,
    /// The name is `objects` or `methods`, which have a meaning of their own.
    #[error("a reserved name")]
    ReservedName,
    /// A plain entry has the name of a capability, or looks like one.
    #[error("a capability is no plain entry")]
    IsCapability,
    /// The `access` of the capability has no `e`.
    #[error("the capability does not emit")]
    NotAnEmitter,
    /// The description of the capability does not allow the value.
    #[error("the value is refused")]
    Value(#[from] CheckError),
    /// A limit is exceeded.
    #[error("the tree does not take it")]
    Tree(#[from] TreeError),
}
