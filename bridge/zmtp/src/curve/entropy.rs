//! The random octets that a handshake needs.

use zeroize::Zeroizing;

/// Random octets for one connection: they become its own key pair, the cookie's key and the long
/// nonces.
///
/// Whoever could guess them could read the connection, so they come from the operating system; and
/// they are given away to one connection, since used twice they would repeat its nonces.
pub struct Entropy {
    /// The secret key of the connection.
    pub(super) secret: Zeroizing<[u8; 32]>,
    /// The key that a server seals its cookie with.
    pub(super) cookie_key: Zeroizing<[u8; 32]>,
    /// Long nonces.
    pub(super) nonces: [[u8; 16]; 2],
}

impl Entropy {
    /// Draws what is needed with `fill`, which fills all of the slice, as `getrandom::fill` does.
    ///
    /// # Errors
    ///
    /// Those of `fill`.
    pub fn draw<E>(mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut entropy = Self {
            secret: Zeroizing::new([0; 32]),
            cookie_key: Zeroizing::new([0; 32]),
            nonces: [[0; 16]; 2],
        };
        fill(entropy.secret.as_mut_slice())?;
        fill(entropy.cookie_key.as_mut_slice())?;
        fill(entropy.nonces.as_flattened_mut())?;
        Ok(entropy)
    }
}

/// Says nothing of what is inside.
impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}
