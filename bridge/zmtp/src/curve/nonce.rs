//! Nonces: 24 octets that are never used twice with one key.
//!
//! A short nonce is a prefix of 16 characters that names its use, and a number that counts up; a
//! long one is a prefix of 8 and 16 random octets.
//!
//! Spec: 26/CURVEZMQ "The CurveZMQ Protocol".

use crypto_box::Nonce;

use crate::error::{Misbehaved, NoncesSpent};

/// The numbers of what we send. The next one is drawn once; there are 2^64 - 1.
#[derive(Debug)]
pub(super) struct Counter(u64);

impl Counter {
    /// The first number, and what counts on from it.
    pub(super) fn begin() -> (u64, Self) {
        (1, Self(1))
    }

    /// The next number, while there is one.
    pub(super) fn draw(&mut self) -> Result<u64, NoncesSpent> {
        self.0 = self.0.checked_add(1).ok_or(NoncesSpent)?;
        Ok(self.0)
    }

    /// How many more there are.
    pub(super) fn left(&self) -> u64 {
        u64::MAX - self.0
    }

    /// As if so many had been drawn.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, drawn: u64) {
        self.0 = drawn;
    }
}

/// The numbers of what comes in, which rise.
#[derive(Debug)]
pub(super) struct Rising(u64);

impl Rising {
    pub(super) fn after(first: u64) -> Self {
        Self(first)
    }

    /// Takes note of a number that is above the last one. To be called before its box is opened: a box
    /// that does not open ends the connection anyway.
    pub(super) fn accept(&mut self, number: u64) -> Result<(), Misbehaved> {
        if number <= self.0 {
            return Err(Misbehaved::NonceNotRising);
        }
        self.0 = number;
        Ok(())
    }
}

/// What a short nonce is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Hello,
    Initiate,
    Ready,
    MessageFromClient,
    MessageFromServer,
}

/// A short nonce.
pub(super) fn short(purpose: Use, number: u64) -> Nonce {
    let prefix: &[u8; 16] = match purpose {
        Use::Hello => b"CurveZMQHELLO---",
        Use::Initiate => b"CurveZMQINITIATE",
        Use::Ready => b"CurveZMQREADY---",
        Use::MessageFromClient => b"CurveZMQMESSAGEC",
        Use::MessageFromServer => b"CurveZMQMESSAGES",
    };
    let mut nonce = Nonce::default();
    nonce[..16].copy_from_slice(prefix);
    nonce[16..].copy_from_slice(&number.to_be_bytes());
    nonce
}

/// A long nonce.
pub(super) fn long(prefix: &[u8; 8], random: &[u8; 16]) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[..8].copy_from_slice(prefix);
    nonce[8..].copy_from_slice(random);
    nonce
}

pub(super) const WELCOME: &[u8; 8] = b"WELCOME-";
pub(super) const COOKIE: &[u8; 8] = b"COOKIE--";
pub(super) const VOUCH: &[u8; 8] = b"VOUCH---";
