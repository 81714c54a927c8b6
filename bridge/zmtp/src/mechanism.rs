//! The security mechanisms of ZMTP that this crate speaks.
//!
//! Spec: 23/ZMTP "Greeting"; docs/reference/protocol.md §2.2, §8.1.

/// The security mechanism of a connection, 23/ZMTP "Security".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// None: everybody may connect, and messages are sent in the clear.
    Null,
    /// Each end proves that it has its key, and everything after that is encrypted and authenticated (25/ZMTP-CURVE).
    Curve,
}

impl Mechanism {
    /// The name in the greeting, filled up with zeros.
    pub(crate) fn octets(self) -> &'static [u8; MECHANISM_LEN] {
        match self {
            Self::Null => b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            Self::Curve => b"CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        }
    }
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "NULL",
            Self::Curve => "CURVE",
        })
    }
}

/// Octets of a mechanism in the greeting.
pub(crate) const MECHANISM_LEN: usize = 20;
