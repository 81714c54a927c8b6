//! The datagram with which a node announces that it is present, or leaves.
//!
//! Model: `ZRE`, a version octet, the UUID and the port of the node's mailbox;
//! the host is the datagram's source. Version 3 carries a CURVE key as well.
//! Invariants: BEACON-1. What [`Beacon::encode`] writes has exactly the length of its
//! version; one old peer's thread dies of any other datagram that begins with
//! `ZRE`. BEACON-2. Port 0 is a goodbye, so no node may announce a mailbox there.
//! Spec: 36/ZRE "UDP Beacon Framing"; 20/ZRE for version 1's fields;
//! docs/reference/protocol.md §1.1, §1.3, §8.5.

use smallvec::SmallVec;

use crate::{NodeKey, PeerId};

/// What a node says on the beacon port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beacon {
    /// A node of an open mesh.
    V1 {
        /// Who speaks.
        id: PeerId,
        /// Where its mailbox is on the sending host; 0 says goodbye.
        port: u16,
    },
    /// A node of a mesh that is secured with CURVE.
    V3 {
        /// Who speaks.
        id: PeerId,
        /// Where its mailbox is on the sending host; 0 says goodbye.
        port: u16,
        /// The public key of its mailbox.
        key: NodeKey,
    },
}

/// The octets of a beacon; those of version 1 need no allocation.
pub type BeaconOctets = SmallVec<[u8; 24]>;

impl Beacon {
    /// Reads a datagram; `None` if it is no beacon. Whatever else arrives on the
    /// port is nobody's error.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let (version, rest) = datagram.strip_prefix(b"ZRE")?.split_first()?;
        let (uuid, rest) = rest.split_first_chunk::<16>()?;
        let (port, key) = rest.split_first_chunk::<2>()?;
        let id = PeerId::new(*uuid);
        let port = u16::from_be_bytes(*port);
        match (version, key) {
            (1, []) => Some(Self::V1 { id, port }),
            (3, key) => Some(Self::V3 {
                id,
                port,
                key: NodeKey::new(key.try_into().ok()?),
            }),
            _ => None,
        }
    }

    /// The beacon of a node with this key, or without one.
    pub(crate) fn of(id: PeerId, port: u16, key: Option<NodeKey>) -> Self {
        match key {
            None => Self::V1 { id, port },
            Some(key) => Self::V3 { id, port, key },
        }
    }

    /// The datagram.
    #[must_use]
    pub fn encode(&self) -> BeaconOctets {
        let (version, id, port, key) = match self {
            Self::V1 { id, port } => (1, id, port, None),
            Self::V3 { id, port, key } => (3, id, port, Some(key)),
        };
        let mut octets = BeaconOctets::from_slice(b"ZRE");
        octets.push(version);
        octets.extend_from_slice(id.as_bytes());
        octets.extend_from_slice(&port.to_be_bytes());
        octets.extend_from_slice(key.map_or(&[], |key| key.as_bytes().as_slice()));
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_of_another_length_or_version_is_none() {
        let id = PeerId::new([9; 16]);
        let good = Beacon::V1 { id, port: 4711 }.encode();
        assert_eq!(good.len(), 22);
        assert!(Beacon::parse(&good).is_some());
        for cut in 0..good.len() {
            assert_eq!(Beacon::parse(&good[..cut]), None);
        }
        let mut long = good.to_vec();
        long.push(0);
        assert_eq!(Beacon::parse(&long), None);
        let mut other = good.clone();
        other[3] = 2;
        assert_eq!(Beacon::parse(&other), None);
    }

    #[test]
    fn both_versions_come_back_as_they_were_written() {
        let id = PeerId::new([3; 16]);
        let key = NodeKey::new([5; 32]);
        for beacon in [Beacon::V1 { id, port: 0 }, Beacon::V3 { id, port: 1, key }] {
            assert_eq!(Beacon::parse(&beacon.encode()), Some(beacon));
        }
    }
}
