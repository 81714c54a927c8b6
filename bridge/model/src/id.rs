//! The identity of a node: the sixteen octets of its UUID.
//!
//! Written as 32 lowercase hex digits, as pyZOCP does in `SUB` and in
//! `subscribers`; read with or without dashes, as Python's `uuid.UUID` does.

use std::{fmt, str::FromStr};

/// The identity of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 16]);

impl NodeId {
    /// The identity with these octets.
    pub const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets of the UUID, in network order.
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for NodeId {
    fn from(octets: [u8; 16]) -> Self {
        Self(octets)
    }
}

impl From<NodeId> for [u8; 16] {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 16];
        let mut digits = 0;
        for byte in text.bytes().filter(|byte| *byte != b'-') {
            let value = char::from(byte).to_digit(16).ok_or(NodeIdError)?;
            let octet = octets.get_mut(digits / 2).ok_or(NodeIdError)?;
            *octet = (*octet << 4) | u8::try_from(value).map_err(|_| NodeIdError)?;
            digits += 1;
        }
        if digits == 32 {
            Ok(Self(octets))
        } else {
            Err(NodeIdError)
        }
    }
}

/// The text is not 32 hex digits. Fault of who wrote it; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the 32 hex digits of a node's identity")]
pub struct NodeIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_with_and_without_dashes() {
        let id: NodeId = "ba4b7e4398974a17b7a086acce19872f".parse().unwrap();
        assert_eq!(id.to_string(), "ba4b7e4398974a17b7a086acce19872f");
        assert_eq!("BA4B7E43-9897-4a17-b7a0-86acce19872f".parse(), Ok(id));
    }

    #[test]
    fn what_is_not_an_identity_is_refused() {
        for text in [
            "",
            "zz",
            "ba4b7e4398974a17b7a086acce19872",
            "ba4b7e4398974a17b7a086acce19872f0",
            "ба",
        ] {
            assert_eq!(text.parse::<NodeId>(), Err(NodeIdError), "{text}");
        }
    }
}
