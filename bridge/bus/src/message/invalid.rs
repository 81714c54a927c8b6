//! Why octets are refused.

/// Why octets are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message: {0}")]
pub struct Invalid(pub(crate) &'static str);
