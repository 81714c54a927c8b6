//! Keys of Curve25519: which are usable, how they are written, and that secrets are wiped from memory.
//!
//! Invariants: CURVEKEY-1. A [`PublicKey`] is not of low order, so a secret that is shared with it depends on
//! both sides; and it has one form, so two that are equal to X25519 are equal here. CURVEKEY-2. A secret lies in one place however often its pair is cloned, is zeroed when the last
//! clone is dropped, and is in no `Debug` output.

mod z85;

use std::str::FromStr;
use std::sync::Arc;

use crypto_box::{SalsaBox, SecretKey};
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::traits::IsIdentity;
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::z85::Z85Error;

/// A usable public key of Curve25519, which identifies its owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no key.
    #[error(transparent)]
    Text(#[from] Z85Error),
    /// The key is another form of one that has a shorter: whoever compares keys would take it for
    /// another. Nobody who makes keys makes such.
    #[error("the key is not in its one form")]
    NotCanonical,
    /// The key is one of the few whose shared secrets everybody knows. Nobody draws one by chance.
    #[error("the key is of low order, so nothing would be secret")]
    LowOrder,
}

impl PublicKey {
    /// Octets that came from elsewhere.
    ///
    /// # Errors
    ///
    /// If the key is of low order or not in its one form.
    pub fn new(octets: [u8; 32]) -> Result<Self, KeyError> {
        if !is_canonical(&octets) {
            return Err(KeyError::NotCanonical);
        }
        // By 8, which is where every point of low order ends, on the curve and on its twist.
        let times_eight = [true, false, false, false].into_iter();
        if MontgomeryPoint(octets)
            .mul_bits_be(times_eight)
            .is_identity()
        {
            return Err(KeyError::LowOrder);
        }
        Ok(Self(octets))
    }

    /// The beginning of the key, for two people to compare: five groups of four hexadecimal digits. To make
    /// a key that begins so takes 2^80 attempts.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let groups = self.0[..FINGERPRINT_LEN].as_chunks::<2>().0;
        let groups = groups.iter().map(|[a, b]| format!("{a:02x}{b:02x}"));
        groups.collect::<Vec<_>>().join("-")
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether the number, its least significant octet first, is below 2^255 - 19.
fn is_canonical(octets: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = octets;
    match high {
        0..0x7f => true,
        0x7f => *low < 0xed || middle.iter().any(|octet| *octet != 0xff),
        _ => false,
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(*z85::decode(text)?)
    }
}

/// In Z85, 40 characters.
impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&z85::encode(&self.0))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Octets of a key in its fingerprint.
const FINGERPRINT_LEN: usize = 10;

/// A secret key and the public one that belongs to it. A clone shares the secret.
#[derive(Clone)]
pub struct KeyPair {
    public: PublicKey,
    secret: Arc<SecretKey>,
}

impl KeyPair {
    /// A new pair, its secret drawn with `fill`, which fills all of the slice with octets that nobody
    /// can guess, as `getrandom::fill` does.
    ///
    /// # Errors
    ///
    /// Those of `fill`.
    pub fn draw<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Zeroizing::new([0; 32]);
        fill(secret.as_mut_slice())?;
        Ok(Self::from_secret(&secret))
    }

    /// The pair of a secret key.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let secret = SecretKey::from_bytes(*secret);
        Self {
            public: PublicKey(secret.public_key().to_bytes()),
            secret: Arc::new(secret),
        }
    }

    /// The pair of a secret key in Z85.
    ///
    /// # Errors
    ///
    /// If the text is not 40 characters of Z85.
    pub fn from_secret_text(secret: &str) -> Result<Self, Z85Error> {
        Ok(Self::from_secret(&*z85::decode(secret)?))
    }

    /// The key to tell others.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret key in Z85, for the file that keeps it.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        z85::encode(&Zeroizing::new(self.secret.to_bytes()))
    }

    /// A pair that says of itself that it is another: what a thief would do.
    #[cfg(test)]
    pub(crate) fn claiming(own: &Self, public: PublicKey) -> Self {
        let secret = Arc::clone(&own.secret);
        Self { public, secret }
    }

    /// The secret key: for what else is derived from it, and sealed into a cookie.
    pub fn secret_octets(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// What only this pair and the other one can open.
    pub(crate) fn shared_with(&self, other: PublicKey) -> SalsaBox {
        SalsaBox::new(&other.0.into(), &self.secret)
    }
}

/// The public key only.
impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
