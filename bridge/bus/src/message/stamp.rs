//! Headers as they go on: with the name of the sender, and without what nobody has defined.
//!
//! Model: the new field is put behind the others, which stay where they are, so that no offset changes. Only where
//! the sender wrote a name itself, or a field that the specification has not defined, the fields are written anew.
//! A small body is copied along, so that a message is one piece of memory and holds no buffer that is larger than it.

use bytes::Bytes;

use super::{
    Body, Cursor, Fixed, Message, RawMessage, aligned,
    header::{begin_field, code},
};

impl Message<'_> {
    /// The message as it goes on, from this sender.
    pub(crate) fn stamp(&self, sender: &str) -> RawMessage {
        let fields = &self.head[Fixed::LEN..Fixed::LEN + self.header.fixed.fields_len];
        let body = self.body();
        let is_small = body.len() <= INLINE_LEN_MAX;
        let copied = if is_small { body.len() } else { 0 };
        let mut octets =
            Vec::with_capacity(self.head.len() + SENDER_OVERHEAD + sender.len() + copied);
        octets.extend_from_slice(&self.head[..Fixed::LEN]);
        match self.header.sender.is_some() || self.header.has_unknown {
            false => octets.extend_from_slice(fields),
            true => self.copy_fields(&mut octets),
        }
        self.append_sender(&mut octets, sender);
        let fields_len = u32::try_from(octets.len() - Fixed::LEN).unwrap_or(u32::MAX);
        octets[12..16].copy_from_slice(&self.order().octets(fields_len));
        pad(&mut octets);
        let shared = match (&self.body, is_small) {
            (_, true) => {
                octets.extend_from_slice(body);
                Bytes::new()
            }
            (Body::Shared(shared), false) => shared.clone(),
            (Body::Borrowed(body), false) => Bytes::copy_from_slice(body),
        };
        RawMessage {
            head: octets.into(),
            body: shared,
            descriptors: self.descriptors.clone(),
        }
    }

    /// The fields that others may see.
    fn copy_fields(&self, octets: &mut Vec<u8>) {
        let end = Fixed::LEN + self.header.fixed.fields_len;
        let mut cursor = Cursor::new(&self.head[..end], Fixed::LEN, self.order());
        while cursor.at() < end {
            let start = aligned(cursor.at(), 8);
            // It was read before, so it can be read.
            let Ok((code, kind)) = begin_field(&mut cursor) else {
                return;
            };
            if cursor.skip(kind).is_none() {
                return;
            }
            if code != code::SENDER && code <= code::LAST {
                pad(octets);
                octets.extend_from_slice(&self.head[start..cursor.at()]);
            }
        }
    }

    fn append_sender(&self, octets: &mut Vec<u8>, sender: &str) {
        pad(octets);
        octets.extend_from_slice(&[code::SENDER, 1, b's', 0]);
        let len = u32::try_from(sender.len()).unwrap_or_default();
        octets.extend_from_slice(&self.order().octets(len));
        octets.extend_from_slice(sender.as_bytes());
        octets.push(0);
    }
}

fn pad(octets: &mut Vec<u8>) {
    octets.resize(aligned(octets.len(), 8), 0);
}

/// What a field takes beside its text, and what fills up before and behind it.
const SENDER_OVERHEAD: usize = 24;

/// A body up to this is copied; a larger one is shared.
const INLINE_LEN_MAX: usize = 4 << 10;
