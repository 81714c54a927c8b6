//! Messages of the bus itself.
//!
//! Model: a [`Writer`] marshals values, little endian; a [`Draft`] has the fields of a message and becomes octets.

use std::num::NonZeroU32;

use super::{Kind, NO_REPLY_EXPECTED, RawMessage, aligned, header::code};

/// Values, one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer {
    octets: Vec<u8>,
}

impl Writer {
    pub(crate) fn align(&mut self, to: usize) {
        self.octets.resize(aligned(self.octets.len(), to), 0);
    }

    pub(crate) fn byte(&mut self, octet: u8) {
        self.octets.push(octet);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.align(4);
        self.octets.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// A string or an object path.
    pub(crate) fn string(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).unwrap_or_default());
        self.octets.extend_from_slice(text.as_bytes());
        self.octets.push(0);
    }

    pub(crate) fn signature(&mut self, types: &str) {
        self.octets
            .push(u8::try_from(types.len()).unwrap_or_default());
        self.octets.extend_from_slice(types.as_bytes());
        self.octets.push(0);
    }

    /// An array whose elements are aligned so.
    pub(crate) fn array(&mut self, to: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.octets.len() - 4;
        self.align(to);
        let start = self.octets.len();
        elements(self);
        let len = u32::try_from(self.octets.len() - start).unwrap_or_default();
        self.octets[length_at..length_at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// An array of strings.
    pub(crate) fn strings<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        self.array(4, |array| {
            texts.into_iter().for_each(|text| array.string(text))
        });
    }

    /// An entry of a dictionary from strings to variants.
    pub(crate) fn entry(&mut self, key: &str, types: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.string(key);
        self.variant(types, value);
    }

    pub(crate) fn variant(&mut self, types: &str, value: impl FnOnce(&mut Self)) {
        self.signature(types);
        value(self);
    }
}

/// A message in the making. It expects no reply.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    pub(crate) serial: NonZeroU32,
    pub(crate) reply_serial: Option<NonZeroU32>,
    pub(crate) sender: &'a str,
    pub(crate) destination: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
    pub(crate) interface: Option<&'a str>,
    pub(crate) member: Option<&'a str>,
    pub(crate) error_name: Option<&'a str>,
    pub(crate) signature: &'a str,
    pub(crate) body: Writer,
}

impl Draft<'_> {
    pub(crate) fn finish(self) -> RawMessage {
        let mut head = Writer::default();
        head.octets.reserve(256 + self.body.octets.len());
        head.octets
            .extend_from_slice(&[b'l', self.kind.code(), NO_REPLY_EXPECTED, 1]);
        head.u32(u32::try_from(self.body.octets.len()).unwrap_or_default());
        head.u32(self.serial.get());
        let texts = [
            (code::PATH, "o", self.path),
            (code::INTERFACE, "s", self.interface),
            (code::MEMBER, "s", self.member),
            (code::ERROR_NAME, "s", self.error_name),
            (code::DESTINATION, "s", self.destination),
            (code::SENDER, "s", Some(self.sender)),
        ];
        head.array(8, |fields| {
            for (code, types, text) in texts {
                if let Some(text) = text {
                    fields.field(code, types, |fields| fields.string(text));
                }
            }
            if let Some(serial) = self.reply_serial {
                fields.field(code::REPLY_SERIAL, "u", |fields| fields.u32(serial.get()));
            }
            if !self.signature.is_empty() {
                fields.field(code::SIGNATURE, "g", |fields| {
                    fields.signature(self.signature)
                });
            }
        });
        head.align(8);
        head.octets.extend_from_slice(&self.body.octets);
        RawMessage::new(head.octets.into(), None)
    }
}

impl Writer {
    fn field(&mut self, code: u8, types: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.byte(code);
        self.variant(types, value);
    }
}
