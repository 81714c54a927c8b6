//! Reading headers.
//!
//! Model: each field is read where it is, and remembered as the place of its text. Fields that the specification
//! has not defined are skipped, and remembered as something that does not go on to others.

use std::{num::NonZeroU32, ops::Range};

use super::{Cursor, Fixed, Invalid, Kind, signature, syntax};
use crate::Limits;

/// The place of a text in the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    at: u32,
    len: u32,
}

impl Span {
    pub(super) fn range(self) -> Range<usize> {
        let at = self.at as usize;
        at..at + self.len as usize
    }
}

/// A header that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) fixed: Fixed,
    pub(super) path: Option<Span>,
    pub(super) interface: Option<Span>,
    pub(super) member: Option<Span>,
    pub(super) error_name: Option<Span>,
    pub(super) destination: Option<Span>,
    pub(super) sender: Option<Span>,
    pub(super) signature: Option<Span>,
    pub(super) reply_serial: Option<NonZeroU32>,
    pub(super) descriptors: u32,
    /// Whether there are fields that the specification has not defined.
    pub(super) has_unknown: bool,
    /// The fields that were there, a bit each.
    seen: u16,
}

/// The fields that the specification defines, by their codes.
pub(super) mod code {
    pub(in super::super) const PATH: u8 = 1;
    pub(in super::super) const INTERFACE: u8 = 2;
    pub(in super::super) const MEMBER: u8 = 3;
    pub(in super::super) const ERROR_NAME: u8 = 4;
    pub(in super::super) const REPLY_SERIAL: u8 = 5;
    pub(in super::super) const DESTINATION: u8 = 6;
    pub(in super::super) const SENDER: u8 = 7;
    pub(in super::super) const SIGNATURE: u8 = 8;
    pub(in super::super) const UNIX_FDS: u8 = 9;
    pub(in super::super) const LAST: u8 = UNIX_FDS;
}

impl Header {
    /// Octets, with what fills it up.
    pub(super) fn len(&self) -> usize {
        self.fixed.head_len()
    }

    /// Reads the header of a message that is there in one part.
    pub(super) fn parse(octets: &[u8], limits: &Limits) -> Result<Self, Invalid> {
        Self::parse_parts(octets, 0, limits)
    }

    /// Reads the header of a message, the last so many octets of which are elsewhere.
    pub(super) fn parse_parts(
        octets: &[u8],
        elsewhere: usize,
        limits: &Limits,
    ) -> Result<Self, Invalid> {
        let fixed = octets.first_chunk().ok_or(TRUNCATED)?;
        let fixed = Fixed::read(fixed, limits)?;
        if fixed.message_len() != octets.len() + elsewhere || octets.len() < fixed.head_len() {
            return Err(Invalid("its length is not what its header says"));
        }
        let mut header = Self::empty(fixed);
        let end = Fixed::LEN + fixed.fields_len;
        let mut cursor = Cursor::new(&octets[..end], Fixed::LEN, fixed.order);
        while cursor.at() < end {
            header.read_field(&mut cursor)?;
        }
        if octets[end..fixed.head_len()]
            .iter()
            .any(|octet| *octet != 0)
        {
            return Err(PADDING);
        }
        header.check(octets)?;
        Ok(header)
    }

    const fn empty(fixed: Fixed) -> Self {
        Self {
            fixed,
            path: None,
            interface: None,
            member: None,
            error_name: None,
            destination: None,
            sender: None,
            signature: None,
            reply_serial: None,
            descriptors: 0,
            has_unknown: false,
            seen: 0,
        }
    }

    fn read_field(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Invalid> {
        let (code, kind) = begin_field(cursor)?;
        if code > code::LAST {
            self.has_unknown = true;
            return cursor.skip(kind).ok_or(TRUNCATED);
        }
        let bit = 1 << code;
        if self.seen & bit != 0 {
            return Err(Invalid("a header field is there twice"));
        }
        self.seen |= bit;
        match code {
            code::REPLY_SERIAL => {
                let serial = NonZeroU32::new(number(cursor, kind)?);
                self.reply_serial = Some(serial.ok_or(Invalid("the reply serial is 0"))?);
            }
            code::UNIX_FDS => self.descriptors = number(cursor, kind)?,
            code::PATH => self.path = text(cursor, kind, b"o", syntax::is_path)?,
            code::INTERFACE => self.interface = text(cursor, kind, b"s", syntax::is_interface)?,
            code::MEMBER => self.member = text(cursor, kind, b"s", syntax::is_member)?,
            code::ERROR_NAME => self.error_name = text(cursor, kind, b"s", syntax::is_interface)?,
            code::DESTINATION => self.destination = text(cursor, kind, b"s", syntax::is_bus_name)?,
            code::SENDER => self.sender = text(cursor, kind, b"s", syntax::is_bus_name)?,
            code::SIGNATURE => self.signature = types(cursor, kind)?,
            _ => return Err(Invalid("a header field has the code 0")),
        }
        Ok(())
    }

    /// That the fields which the type needs are there, and none that is not for a bus.
    fn check(&self, octets: &[u8]) -> Result<(), Invalid> {
        let is_complete = match self.fixed.kind {
            Kind::Call => self.path.is_some() && self.member.is_some(),
            Kind::Return => self.reply_serial.is_some(),
            Kind::Error => self.reply_serial.is_some() && self.error_name.is_some(),
            Kind::Signal => {
                self.path.is_some() && self.interface.is_some() && self.member.is_some()
            }
            Kind::Unknown(_) => true,
        };
        if !is_complete {
            return Err(Invalid("a header field is missing"));
        }
        let is = |span: Option<Span>, text: &str| {
            span.is_some_and(|span| &octets[span.range()] == text.as_bytes())
        };
        if is(self.path, LOCAL_PATH) || is(self.interface, LOCAL_INTERFACE) {
            return Err(Invalid(
                "it uses names that are for the inside of a library",
            ));
        }
        if self.fixed.body_len > 0 && self.signature.is_none_or(|span| span.len == 0) {
            return Err(Invalid("there is a body and no signature"));
        }
        Ok(())
    }
}

/// The code of the field at the cursor and the type of its value, at which the cursor is then.
pub(super) fn begin_field<'a>(cursor: &mut Cursor<'a>) -> Result<(u8, &'a [u8]), Invalid> {
    cursor.align(8).ok_or(PADDING)?;
    let code = cursor.byte().ok_or(TRUNCATED)?;
    let kind = cursor.signature().ok_or(TRUNCATED)?;
    if !signature::is_single(kind) {
        return Err(Invalid("a header field has no type"));
    }
    Ok((code, kind))
}

fn number(cursor: &mut Cursor<'_>, kind: &[u8]) -> Result<u32, Invalid> {
    match kind {
        b"u" => cursor.u32().ok_or(TRUNCATED),
        _ => Err(TYPE),
    }
}

fn text(
    cursor: &mut Cursor<'_>,
    kind: &[u8],
    wanted: &[u8],
    is_valid: impl Fn(&str) -> bool,
) -> Result<Option<Span>, Invalid> {
    if kind != wanted {
        return Err(TYPE);
    }
    let text = cursor.string().ok_or(TRUNCATED)?;
    match std::str::from_utf8(text) {
        Ok(text) if is_valid(text) => span(cursor, text.len()),
        _ => Err(Invalid("a name in the header has not its form")),
    }
}

fn types(cursor: &mut Cursor<'_>, kind: &[u8]) -> Result<Option<Span>, Invalid> {
    if kind != b"g" {
        return Err(TYPE);
    }
    let types = cursor.signature().ok_or(TRUNCATED)?;
    match signature::is_valid(types) {
        true => span(cursor, types.len()),
        false => Err(Invalid("the signature is none")),
    }
}

/// The place of the text that was read last: before it and its final zero octet.
fn span(cursor: &Cursor<'_>, len: usize) -> Result<Option<Span>, Invalid> {
    let at = u32::try_from(cursor.at() - len - 1).map_err(|_| TRUNCATED)?;
    let len = u32::try_from(len).map_err(|_| TRUNCATED)?;
    Ok(Some(Span { at, len }))
}

const TRUNCATED: Invalid = Invalid("it ends before its end");
const PADDING: Invalid = Invalid("what fills it up is not zero");
const TYPE: Invalid = Invalid("a header field has another type");
const LOCAL_PATH: &str = "/org/freedesktop/DBus/Local";
const LOCAL_INTERFACE: &str = "org.freedesktop.DBus.Local";
