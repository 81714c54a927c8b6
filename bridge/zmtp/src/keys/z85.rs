//! Z85: 32 octets as 40 characters that stand in a file or a header.
//!
//! Each four octets, the most significant first, are five digits to the base of 85.
//!
//! Spec: 32/Z85.

use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// A text that is no key in Z85. The caller's fault, or whoever wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Z85Error {
    /// A key has 40 characters.
    #[error("a key has 40 characters, not {len}")]
    Length {
        /// How many octets there are.
        len: usize,
    },
    /// A character that Z85 does not have, or five that say more than four octets can hold.
    #[error("not Z85 at character {at}")]
    Character {
        /// Where, counted from 1.
        at: usize,
    },
}

/// The text of a key.
pub(super) fn encode(key: &[u8; KEY_LEN]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
    for four in key.as_chunks::<4>().0 {
        let mut rest = u32::from_be_bytes(*four);
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[(rest % 85) as usize];
            rest /= 85;
        }
        text.extend(digits.iter().map(|&digit| char::from(digit)));
        digits.zeroize();
    }
    text
}

/// The key of a text.
pub(super) fn decode(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, Z85Error> {
    let text = text.as_bytes();
    if text.len() != TEXT_LEN {
        return Err(Z85Error::Length { len: text.len() });
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let fives = text.as_chunks::<5>().0.iter().enumerate();
    for ((index, five), four) in fives.zip(key.as_chunks_mut::<4>().0) {
        let mut value = 0_u32;
        for (offset, digit) in five.iter().enumerate() {
            let wrong = Z85Error::Character {
                at: index * 5 + offset + 1,
            };
            let digit = DIGITS.iter().position(|known| known == digit);
            value = digit
                .and_then(|digit| value.checked_mul(85)?.checked_add(digit as u32))
                .ok_or(wrong)?;
        }
        *four = value.to_be_bytes();
    }
    Ok(key)
}

const KEY_LEN: usize = 32;
const TEXT_LEN: usize = 40;
const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
