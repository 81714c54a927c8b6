//! The identity of a connection.

/// A connection of a bus; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

impl ConnectionId {
    /// The name that it has when it has said Hello.
    #[must_use]
    pub fn unique_name(self) -> String {
        format!(":1.{}", self.0)
    }
}
