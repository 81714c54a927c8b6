//! The TCP ports that a mailbox may use; it takes the first that is free.
//!
//! Invariants: PORT-1. Port 0 is not among them, and the first is not above the last.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// One port or a range of them: `49152`, `49152-49160`.
///
/// ```
/// use zocp_node::Ports;
/// let ports: Ports = "49152-49160".parse()?;
/// assert_eq!(ports.iter().count(), 9);
/// assert_eq!(ports.to_string(), "49152-49160");
/// # Ok::<(), zocp_node::PortsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// The text is neither a port nor a range. The user's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a port is a number from 1 to 65535; a range is two of them with a - between, the lower one first"
)]
pub struct PortsError;

impl Ports {
    /// All of them, in order.
    #[must_use]
    pub fn iter(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| PortsError);
        let (first, last) = (port(first)?, port(last)?);
        if first == 0 || first > last {
            return Err(PortsError);
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_range_are_read_and_all_else_is_refused() {
        for (text, count) in [("1", 1), ("65535", 1), ("49152-49160", 9), ("1 - 2", 2)] {
            assert_eq!(
                text.parse::<Ports>().unwrap().iter().count(),
                count,
                "{text}"
            );
        }
        for text in [
            "", "0", "0-5", "65536", "-1", "5-", "-5", "9-8", "1-2-3", "many",
        ] {
            assert_eq!(text.parse::<Ports>(), Err(PortsError), "{text}");
        }
    }
}
