//! New headers around the bodies of messages.
//!
//! Model: a [`Heading`] is what a new header says; [`Heading::around`] writes it in front of another message's body, whose
//! octets, signature and byte order stay. It writes the octets itself: that is a tenth of the work of a general builder.
//! Invariants: HEADING-1. What a heading contains was checked before: it comes from the header of a message that zbus has
//! parsed, from a name that is valid, or is a constant. HEADING-2. The body and its signature are those of a message that
//! was checked, so the new message is as valid as that one.
//! Limits: [`MESSAGE_LEN_MAX`].
//! Spec: D-Bus specification, "Message Format"

use std::num::NonZeroU32;

use zbus::{
    Message,
    message::{EndianSig, Flags, Type},
};

use zocp_dbus::message::Octets;

/// What a new header says. See the [module](self).
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading<'a> {
    pub(super) kind: Type,
    pub(super) flags: Flags,
    pub(super) serial: NonZeroU32,
    pub(super) path: Option<&'a str>,
    pub(super) interface: Option<&'a str>,
    pub(super) member: Option<&'a str>,
    pub(super) error_name: Option<&'a str>,
    pub(super) reply_serial: Option<NonZeroU32>,
    pub(super) destination: Option<&'a str>,
    pub(super) sender: Option<&'a str>,
}

impl<'a> Heading<'a> {
    /// A header with nothing in it.
    pub(super) fn new(kind: Type, serial: NonZeroU32) -> Self {
        Self {
            kind,
            flags: Flags::empty(),
            serial,
            path: None,
            interface: None,
            member: None,
            error_name: None,
            reply_serial: None,
            destination: None,
            sender: None,
        }
    }

    /// The octets of a message with this header and another message's body.
    ///
    /// # Errors
    /// It would be longer than a D-Bus message may be.
    pub(super) fn around(&self, like: &Message) -> zbus::Result<Octets> {
        let data = like.data().bytes();
        let body_len = like.primary_header().body_len();
        let body = data.get(data.len() - (body_len as usize).min(data.len())..);
        let signature = signature_of(data, is_big(like));
        let octets = self.write(like, (body.unwrap_or_default(), body_len), signature)?;
        #[expect(clippy::disallowed_methods, reason = "HEADING-1 and HEADING-2")]
        Ok(Octets::of_checked(octets.into()).with_descriptors_of(like))
    }

    /// The octets of a message with this header and no body, in another message's byte order.
    ///
    /// # Errors
    /// As [`Heading::around`].
    pub(super) fn alone(&self, like: &Message) -> zbus::Result<Vec<u8>> {
        self.write(like, (&[], 0), &[])
    }

    fn write(
        &self,
        like: &Message,
        (body, body_len): (&[u8], u32),
        signature: &[u8],
    ) -> zbus::Result<Vec<u8>> {
        let mut octets = Writer {
            buffer: Vec::with_capacity(body.len() + HEADER_ROOM),
            is_big: is_big(like),
        };
        octets.buffer.extend_from_slice(&like.data().bytes()[..1]);
        octets
            .buffer
            .extend_from_slice(&[self.kind as u8, self.flags.bits(), VERSION]);
        octets.number(body_len);
        octets.number(self.serial.get());
        octets.number(0);
        self.fields(&mut octets, signature);
        let descriptors = if signature.is_empty() {
            0
        } else {
            like.data().fds().len()
        };
        if let Ok(count @ 1..) = u32::try_from(descriptors) {
            octets.field(UNIX_FDS, b'u');
            octets.number(count);
        }
        let fields_len = octets.buffer.len() - FIELDS_AT;
        octets.put_len(fields_len)?;
        octets.align(8);
        if octets.buffer.len() + body.len() > MESSAGE_LEN_MAX {
            return Err(zbus::Error::ExcessData);
        }
        octets.buffer.extend_from_slice(body);
        Ok(octets.buffer)
    }

    fn fields(&self, octets: &mut Writer, signature: &[u8]) {
        octets.text_field(PATH, b'o', self.path);
        octets.text_field(INTERFACE, b's', self.interface);
        octets.text_field(MEMBER, b's', self.member);
        octets.text_field(ERROR_NAME, b's', self.error_name);
        if let Some(serial) = self.reply_serial {
            octets.field(REPLY_SERIAL, b'u');
            octets.number(serial.get());
        }
        octets.text_field(DESTINATION, b's', self.destination);
        octets.text_field(SENDER, b's', self.sender);
        if let Ok(len @ 1..) = u8::try_from(signature.len()) {
            octets.field(SIGNATURE, b'g');
            octets.buffer.push(len);
            octets.buffer.extend_from_slice(signature);
            octets.buffer.push(0);
        }
    }
}

fn is_big(message: &Message) -> bool {
    matches!(message.primary_header().endian_sig(), EndianSig::Big)
}

struct Writer {
    buffer: Vec<u8>,
    is_big: bool,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.buffer
            .resize(self.buffer.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        let octets = match self.is_big {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        };
        self.buffer.extend_from_slice(&octets);
    }

    /// The beginning of a field, up to its value.
    fn field(&mut self, code: u8, kind: u8) {
        self.align(8);
        self.buffer.extend_from_slice(&[code, 1, kind, 0]);
    }

    fn text_field(&mut self, code: u8, kind: u8, text: Option<&str>) {
        // No name and no path is longer than its message was.
        let Some((text, len)) = text.and_then(|it| Some((it, u32::try_from(it.len()).ok()?)))
        else {
            return;
        };
        self.field(code, kind);
        self.number(len);
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(0);
    }

    /// Fills in the length of the fields.
    fn put_len(&mut self, len: usize) -> zbus::Result<()> {
        let len = u32::try_from(len).map_err(|_| zbus::Error::ExcessData)?;
        let octets = match self.is_big {
            true => len.to_be_bytes(),
            false => len.to_le_bytes(),
        };
        self.buffer[FIELDS_AT - 4..FIELDS_AT].copy_from_slice(&octets);
        Ok(())
    }
}

/// The signature in a header that was checked, as it stands there: read by a parser, one structure and
/// its members have one and the same.
fn signature_of(data: &[u8], is_big: bool) -> &[u8] {
    value_of(data, is_big, SIGNATURE).unwrap_or_default()
}

/// Who waits for a reply when a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Who sent it: it is a call of this number.
    Sender(NonZeroU32),
    /// Who called: it is the reply to the call of this number.
    Receiver(NonZeroU32),
}

/// What waits for the answer that a packet is, or asks for, going by its beginning. What is not understood is
/// nothing that anybody waits for.
pub fn waiting_for(beginning: &[u8]) -> Option<Waiting> {
    let is_big = match beginning.first()? {
        b'B' => true,
        b'l' => false,
        _ => return None,
    };
    let number = |value: usize| NonZeroU32::new(u32::try_from(value).ok()?);
    let (kind, flags) = (
        *beginning.get(1)?,
        Flags::from_bits_truncate(*beginning.get(2)?),
    );
    if kind == Type::MethodCall as u8 {
        let wants_answer = !flags.contains(Flags::NO_REPLY_EXPECTED);
        let serial = number(number_at(beginning, SERIAL_AT, is_big)?)?;
        return wants_answer.then_some(Waiting::Sender(serial));
    }
    if kind == Type::MethodReturn as u8 || kind == Type::Error as u8 {
        let value = value_of(beginning, is_big, REPLY_SERIAL)?;
        return Some(Waiting::Receiver(number(number_at(value, 0, is_big)?)?));
    }
    None
}

/// The octets of the value of a field, without the length and the end of a text.
fn value_of(data: &[u8], is_big: bool, wanted: u8) -> Option<&[u8]> {
    // The fields of the specification have no other types, and a message that was read has no others.
    let end = FIELDS_AT.checked_add(number_at(data, FIELDS_AT - 4, is_big)?)?;
    let mut at = FIELDS_AT;
    while at < end {
        let [code, _, kind, _] = *data.get(at..)?.first_chunk::<4>()?;
        let value = at + 4;
        let (from, len, behind) = match kind {
            b'u' => (value, 4, 0),
            b'g' => (value + 1, usize::from(*data.get(value)?), 1),
            _ => (value + 4, number_at(data, value, is_big)?, 1),
        };
        let to = from.checked_add(len)?;
        if code == wanted {
            return data.get(from..to);
        }
        at = (to + behind).next_multiple_of(8);
    }
    None
}

fn number_at(data: &[u8], at: usize, is_big: bool) -> Option<usize> {
    let octets = *data.get(at..)?.first_chunk::<4>()?;
    let number = match is_big {
        true => u32::from_be_bytes(octets),
        false => u32::from_le_bytes(octets),
    };
    usize::try_from(number).ok()
}

const VERSION: u8 = 1;
/// Where the serial is.
const SERIAL_AT: usize = 8;
/// Where the fields begin.
const FIELDS_AT: usize = 16;
/// A guess.
const HEADER_ROOM: usize = 256;
const MESSAGE_LEN_MAX: usize = 128 << 20;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;
const UNIX_FDS: u8 = 9;
