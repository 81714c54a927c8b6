//! The id by which iroh knows a bridge.
//!
//! Model: an Ed25519 key whose seed is HMAC-SHA256 of the text `zocp-iroh-1` under the secret key of CURVE. So a bridge has
//! one secret to keep, and its id stays the same as long as its key does.

use std::{fmt, str::FromStr};

use iroh::{EndpointId, SecretKey};
use ring::hmac;

/// The id of a bridge for iroh: the public half of an Ed25519 key, written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(EndpointId);

/// The text is no id. The user's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 64 hexadecimal digits; `zocp key show` prints it at the other end")]
pub struct IdError;

impl Id {
    /// The id of the bridge with this secret key of CURVE.
    #[must_use]
    pub fn of_secret(secret: &[u8; 32]) -> Self {
        Self(secret_key(secret).public())
    }

    pub(crate) fn endpoint(self) -> EndpointId {
        self.0
    }
}

impl From<EndpointId> for Id {
    fn from(id: EndpointId) -> Self {
        Self(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .as_bytes()
            .iter()
            .try_for_each(|octet| write!(out, "{octet:02x}"))
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(IdError);
        }
        let mut octets = [0; 32];
        for (at, octet) in octets.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).ok_or(IdError)?;
            *octet = u8::from_str_radix(digits, 16).map_err(|_| IdError)?;
        }
        EndpointId::from_bytes(&octets)
            .map(Self)
            .map_err(|_| IdError)
    }
}

/// The secret key of iroh that belongs to a secret key of CURVE.
pub(crate) fn secret_key(secret: &[u8; 32]) -> SecretKey {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut seed = [0; 32];
    seed.copy_from_slice(hmac::sign(&key, DOMAIN).as_ref());
    SecretKey::from_bytes(&seed)
}

/// Sets this use of the secret apart from others.
const DOMAIN: &[u8] = b"zocp-iroh-1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = Id::of_secret(&[7; 32]);
        let text = id.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(text.parse(), Ok(id));
        assert_ne!(Id::of_secret(&[8; 32]), id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let text = Id::of_secret(&[7; 32]).to_string();
        let odd = [
            String::new(),
            text[1..].to_owned(),
            format!("{text}0"),
            "+f".repeat(32),
            "ä".repeat(32),
        ];
        for odd in odd {
            assert_eq!(odd.parse::<Id>(), Err(IdError), "{odd}");
        }
    }
}
