//! The first sixteen octets of a message, which say how long it is.

use std::num::NonZeroU32;

use super::{Invalid, Kind, Order, aligned};
use crate::Limits;

/// The part of a header that every message has at the same place.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    pub(super) order: Order,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) serial: NonZeroU32,
    pub(super) fields_len: usize,
    pub(super) body_len: usize,
}

impl Fixed {
    /// Octets.
    pub const LEN: usize = 16;

    /// Reads it, and compares the lengths with the limits.
    ///
    /// # Errors
    /// When no message begins so, or one that is too large.
    pub fn read(octets: &[u8; Self::LEN], limits: &Limits) -> Result<Self, Invalid> {
        let [order, kind, flags, version, ..] = *octets;
        let order = match order {
            b'l' => Order::Little,
            b'B' => Order::Big,
            _ => return Err(Invalid("the order of octets is neither l nor B")),
        };
        if version != 1 {
            return Err(Invalid("the version of the protocol is not 1"));
        }
        if kind == 0 {
            return Err(Invalid("the type of the message is 0"));
        }
        let number =
            |at: usize| order.u32([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        let serial = NonZeroU32::new(number(8)).ok_or(Invalid("the serial is 0"))?;
        let (fields_len, body_len) = (number(12) as usize, number(4) as usize);
        if fields_len > FIELDS_LEN_MAX {
            return Err(Invalid("the header is larger than an array may be"));
        }
        let fixed = Self {
            order,
            kind: Kind::from_code(kind),
            flags,
            serial,
            fields_len,
            body_len,
        };
        match fixed.head_len().checked_add(body_len) {
            Some(len) if len <= limits.message_len_max => Ok(fixed),
            _ => Err(Invalid("the message is larger than the limit")),
        }
    }

    /// Octets of the header, with what fills it up.
    pub(super) fn head_len(&self) -> usize {
        aligned(Self::LEN + self.fields_len, 8)
    }

    /// Octets of the message.
    #[must_use]
    pub fn message_len(&self) -> usize {
        self.head_len() + self.body_len
    }
}

/// What the specification allows an array.
const FIELDS_LEN_MAX: usize = 64 << 20;
