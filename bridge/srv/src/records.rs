//! What a lookup of SRV records brings.
//!
//! Spec: RFC 2782.

use std::time::Duration;

/// One host that offers a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SrvRecord {
    /// Which to choose first. All are met, so it matters only where there are too many.
    pub priority: u16,
    /// How often to choose it among those of one priority.
    pub weight: u16,
    /// The host: a name.
    pub target: String,
    /// The TCP port.
    pub port: u16,
}

/// The records of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// In no order.
    pub records: Vec<SrvRecord>,
    /// How long they hold; `None` where the resolver does not say, as systemd-resolved.
    pub holds: Option<Duration>,
}

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name servers say that there are none.
    #[error("no SRV records of this name exist")]
    Missing,
    /// Nobody said so.
    #[error("{0}")]
    Failed(String),
}
