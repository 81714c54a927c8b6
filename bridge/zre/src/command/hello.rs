//! HELLO: who a node is, where its mailbox is, its groups and headers.
//!
//! Spec: 36/ZRE "Protocol Grammar"; docs/reference/protocol.md §3.2.

use super::cursor::Cursor;
use super::{DecodeError, put_string};
use crate::name::NAME_LEN_MAX;

/// The fields of a HELLO, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// Where the sender's mailbox is.
    pub endpoint: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Its count of joins and leaves, modulo 256.
    pub status: u8,
    /// Its name for people.
    pub name: String,
    /// What else it wants known, in its order.
    pub headers: Vec<(String, String)>,
}

/// How large a HELLO may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloLimits {
    /// Most groups of a peer; the HELLO or JOIN beyond it ends the peer.
    pub groups_max: usize,
    /// Most headers of a peer; the HELLO beyond it is refused.
    pub headers_max: usize,
    /// Most octets of a header's value; the HELLO beyond it is refused.
    pub header_value_len_max: usize,
}

impl Default for HelloLimits {
    fn default() -> Self {
        Self {
            groups_max: 1024,
            headers_max: 256,
            header_value_len_max: 64 * 1024,
        }
    }
}

/// The least octets of a `longstr`, and of a header.
const GROUP_LEN_MIN: usize = 4;
const HEADER_LEN_MIN: usize = 5;

impl Hello {
    pub(super) fn decode(
        cursor: &mut Cursor<'_>,
        limits: &HelloLimits,
    ) -> Result<Self, DecodeError> {
        let endpoint = cursor.string()?.into_owned();
        let groups = decode_groups(cursor, limits.groups_max)?;
        let status = cursor.octet()?;
        let name = cursor.string()?.into_owned();
        let headers = decode_headers(cursor, limits)?;
        Ok(Self {
            endpoint,
            groups,
            status,
            name,
            headers,
        })
    }

    pub(super) fn encode(&self, out: &mut impl Extend<u8>) {
        put_string(&self.endpoint, out);
        put_count(self.groups.len(), out);
        for group in &self.groups {
            put_long_string(group, out);
        }
        out.extend([self.status]);
        put_string(&self.name, out);
        put_count(self.headers.len(), out);
        for (key, value) in &self.headers {
            put_string(key, out);
            put_long_string(value, out);
        }
    }
}

fn decode_groups(cursor: &mut Cursor<'_>, max: usize) -> Result<Vec<String>, DecodeError> {
    let count = cursor.count()?;
    if count > max {
        return Err(DecodeError::TooManyGroups { count, max });
    }
    let mut groups = Vec::with_capacity(count.min(cursor.remaining() / GROUP_LEN_MIN));
    for _ in 0..count {
        groups.push(cursor.long_string(NAME_LEN_MAX)?.into_owned());
    }
    Ok(groups)
}

fn decode_headers(
    cursor: &mut Cursor<'_>,
    limits: &HelloLimits,
) -> Result<Vec<(String, String)>, DecodeError> {
    let count = cursor.count()?;
    let max = limits.headers_max;
    if count > max {
        return Err(DecodeError::TooManyHeaders { count, max });
    }
    let mut headers = Vec::with_capacity(count.min(cursor.remaining() / HEADER_LEN_MIN));
    for _ in 0..count {
        let key = cursor.string()?.into_owned();
        let value = cursor.long_string(limits.header_value_len_max)?;
        headers.push((key, value.into_owned()));
    }
    Ok(headers)
}

fn put_count(count: usize, out: &mut impl Extend<u8>) {
    // More than 2^32 of anything cannot be held, let alone sent.
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_long_string(text: &str, out: &mut impl Extend<u8>) {
    put_count(text.len(), out);
    out.extend(text.bytes());
}
