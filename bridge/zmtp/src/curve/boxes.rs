//! Boxes: octets with a tag of 16 octets before them, as NaCl lays them out.
//!
//! The cipher is `crypto_box` (two key pairs) or `crypto_secretbox` (one key); both are XSalsa20 with
//! Poly1305 and differ in where the key comes from.

use crypto_box::aead::AeadInPlace;
use crypto_box::aead::consts::{U0, U16, U24};
use crypto_box::{Nonce, Tag};
use zeroize::Zeroizing;

/// A cipher that makes boxes.
pub(super) trait Cipher:
    AeadInPlace<NonceSize = U24, TagSize = U16, CiphertextOverhead = U0>
{
}

impl<C: AeadInPlace<NonceSize = U24, TagSize = U16, CiphertextOverhead = U0>> Cipher for C {}

/// Octets that a box has more than what is in it.
pub(super) const TAG_LEN: usize = 16;

/// Appends the box of `parts`, one behind the other.
pub(super) fn seal(cipher: &impl Cipher, nonce: &Nonce, parts: &[&[u8]], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + TAG_LEN, 0);
    for part in parts {
        out.extend_from_slice(part);
    }
    let (tag, text) = out[start..].split_at_mut(TAG_LEN);
    match cipher.encrypt_in_place_detached(nonce, b"", text) {
        Ok(made) => tag.copy_from_slice(&made),
        // Only with associated data, of which there is none; never would anything go out as it was.
        Err(_) => text.fill(0),
    }
}

/// Opens a box where it lies; `None`, and nothing of it is to be read, if it is not from whom it should
/// be.
pub(super) fn open_in_place<'a>(
    cipher: &impl Cipher,
    nonce: &Nonce,
    sealed: &'a mut [u8],
) -> Option<&'a mut [u8]> {
    let (tag, text) = sealed.split_at_mut_checked(TAG_LEN)?;
    let tag = Tag::clone_from_slice(tag);
    let opened = cipher.decrypt_in_place_detached(nonce, b"", text, &tag);
    opened.ok().map(|()| text)
}

/// What is in a box, zeroed after use: handshakes have keys in them.
pub(super) fn open(
    cipher: &impl Cipher,
    nonce: &Nonce,
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (tag, text) = sealed.split_at_checked(TAG_LEN)?;
    let mut text = Zeroizing::new(text.to_vec());
    let tag = Tag::clone_from_slice(tag);
    let opened = cipher.decrypt_in_place_detached(nonce, b"", &mut text, &tag);
    opened.ok().map(|()| text)
}
