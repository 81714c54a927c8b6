//! The datagram with which a node says that it is there, or leaves.
//!
//! Model: `ZRE`, a version octet, the UUID and the port of the node's mailbox;
//! the host is the datagram's source. Version 3 carries a CURVE key as well.
//! Invariants: I1. What [`Beacon::encode`] writes has exactly the length of its
//! version; one old peer's thread dies of any other datagram that begins with
//! `ZRE`. I2. Port 0 is a goodbye, so no node may announce a mailbox there.
//! Spec: 36/ZRE "UDP Beacon Framing"; 20/ZRE for version 1's fields;
//! docs/reference/protocol.md §1.1, §1.3.

use crate::PeerId;

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
        key: [u8; 32],
    },
}

/// The octets of a version 1 beacon.
pub type BeaconV1 = [u8; V1_LEN];

const V1_LEN: usize = 22;
const V3_LEN: usize = 54;

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
                key: key.try_into().ok()?,
            }),
            _ => None,
        }
    }

    /// Writes the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::V1 { id, port } => out.extend_from_slice(&encode_v1(*id, *port)),
            Self::V3 { id, port, key } => {
                out.reserve(V3_LEN);
                put(out, 3, *id, *port);
                out.extend_from_slice(key);
            }
        }
    }
}

/// A version 1 beacon without any allocation.
pub(crate) fn encode_v1(id: PeerId, port: u16) -> BeaconV1 {
    let mut beacon = [0; V1_LEN];
    beacon[..4].copy_from_slice(b"ZRE\x01");
    beacon[4..20].copy_from_slice(id.as_bytes());
    beacon[20..].copy_from_slice(&port.to_be_bytes());
    beacon
}

fn put(out: &mut Vec<u8>, version: u8, id: PeerId, port: u16) {
    out.extend_from_slice(b"ZRE");
    out.push(version);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(&port.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_of_another_length_or_version_is_none() {
        let good = encode_v1(PeerId::new([9; 16]), 4711);
        assert!(Beacon::parse(&good).is_some());
        for cut in 0..good.len() {
            assert_eq!(Beacon::parse(&good[..cut]), None);
        }
        let mut long = good.to_vec();
        long.push(0);
        assert_eq!(Beacon::parse(&long), None);
        let mut other = good;
        other[3] = 2;
        assert_eq!(Beacon::parse(&other), None);
    }

    #[test]
    fn both_versions_come_back_as_they_were_written() {
        let id = PeerId::new([3; 16]);
        let key = [5; 32];
        for beacon in [Beacon::V1 { id, port: 0 }, Beacon::V3 { id, port: 1, key }] {
            let mut octets = Vec::new();
            beacon.encode(&mut octets);
            assert_eq!(Beacon::parse(&octets), Some(beacon));
        }
    }
}
