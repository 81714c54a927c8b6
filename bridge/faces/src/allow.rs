//! Who may send to a face.
//!
//! Model: a list of networks, `ADDRESS/BITS`; none: the loopback alone.

use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// The networks whose packets are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// Not `ADDRESS/BITS` or `ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network such as 192.168.1.0/24")]
pub struct AllowError(String);

impl Allow {
    /// These networks, and the loopback.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse<S: AsRef<str>>(networks: &[S]) -> Result<Self, AllowError> {
        let networks = networks.iter().map(|one| one.as_ref().parse());
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }

    /// The networks that this machine is on, each with its address there and the bits of the prefix, and the loopback.
    pub(crate) fn of(networks: impl IntoIterator<Item = (Ipv4Addr, u8)>) -> Self {
        let networks = networks.into_iter().map(|(address, bits)| Network {
            address: address.into(),
            bits,
        });
        Self(networks.collect())
    }

    /// Whether nothing but the loopback is allowed.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether packets from here are taken.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.0.iter().any(|network| network.has(address))
    }
}

impl Network {
    fn has(self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differs = ours.to_bits() ^ theirs.to_bits();
                differs.leading_zeros() >= bits
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differs = ours.to_bits() ^ theirs.to_bits();
                differs.leading_zeros() >= bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let wrong = || AllowError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_the_loopback_are_permitted_and_nobody_else() {
        let allow = Allow::parse(&["10.1.0.0/16", "fe80::/10", "192.168.1.7"]).unwrap();
        let table = [
            ("127.0.0.1", true),
            ("::1", true),
            ("10.1.200.3", true),
            ("::ffff:10.1.0.1", true),
            ("10.2.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("fe80::5", true),
            ("2001::1", false),
        ];
        for (address, expected) in table {
            assert_eq!(
                allow.permits(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(
            Allow::parse(&["0.0.0.0/0"])
                .unwrap()
                .permits([8, 8, 8, 8].into())
        );
        let own = Allow::of([([10, 0, 0, 5].into(), 24)]);
        assert!(own.permits([10, 0, 0, 77].into()) && own.permits([127, 0, 0, 1].into()));
        assert!(!own.permits([10, 0, 1, 77].into()) && !Allow::of([]).permits([8, 8, 8, 8].into()));
        for wrong in ["10.0.0.0/33", "lamp", "10.0.0.0/x", ""] {
            assert!(Allow::parse(&[wrong]).is_err(), "{wrong}");
        }
    }
}
