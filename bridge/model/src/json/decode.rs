//! Octets to a JSON object whose entries keep their order at the top level.
//!
//! Model: one loop over a cursor and a stack of open arrays and objects.
//! Accepted beyond the standard, because Python's `json` writes it: `NaN`, `Infinity`,
//! `-Infinity`, and halves of surrogate pairs (they become U+FFFD). A byte order mark is passed over.
//! A value that is broken by itself costs nothing but itself, and is told as one of the [`Flaws`]: octets of a
//! string that are no UTF-8, and what is no escape, become U+FFFD; control characters stay; a number that is too long becomes the nearest double; what nests too deep,
//! and a word that is no JSON value, are left out of an object, and are null in an array. Everything else that is
//! no JSON is an error, since nobody knows where the next value begins.
//! Limits: nesting, beyond which a value is passed over without looking into it; memory, refused where it is
//! passed.
//! Spec: docs/reference/protocol.md §4.4, §5.10.

mod error;
mod scalar;
mod text;

use serde_json::{Map, Value};

pub use self::error::{Flaws, JsonError};
use super::{NODE_LEN, NODE_SIZE, VALUE_SIZE};
use crate::Limits;

/// What octets say.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    /// The entries in the order in which they were sent.
    pub(crate) entries: Vec<(String, Value)>,
    /// What is broken in them.
    pub(crate) flaws: Option<Flaws>,
}

/// Decodes an object.
pub(crate) fn decode(octets: &[u8], limits: &Limits) -> Result<Decoded, JsonError> {
    let mut decoder = Decoder {
        octets: without_mark(octets),
        at: 0,
        size: 0,
        depth_max: limits.message_depth(),
        size_max: limits.message_size_max,
        flaws: None,
    };
    Ok(Decoded {
        entries: decoder.run()?,
        flaws: decoder.flaws,
    })
}

/// The octets behind a byte order mark, which some editors and libraries put before a text.
fn without_mark(octets: &[u8]) -> &[u8] {
    octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets)
}

/// Whether `octets` begin as an object whose first key is one of `keys`: a cheap
/// look before a large or foreign message is decoded.
pub(crate) fn starts_with_key(octets: &[u8], keys: &[&str]) -> bool {
    let octets = without_mark(octets);
    let Some(rest) = octets.trim_ascii_start().strip_prefix(b"{") else {
        return false;
    };
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"\"") else {
        return false;
    };
    keys.iter().any(|key| {
        rest.strip_prefix(key.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'"'))
    })
}

/// An array or object that is not closed yet.
enum Open {
    Array(Vec<Value>),
    Object(Map<String, Value>, String),
    Top(Vec<(String, Value)>, String),
}

struct Decoder<'a> {
    octets: &'a [u8],
    at: usize,
    size: usize,
    depth_max: usize,
    size_max: usize,
    flaws: Option<Flaws>,
}

/// What begins where a value is expected.
enum Begun {
    /// An array or object was opened.
    Opened,
    /// A whole value; none where it is lost.
    Whole(Option<Value>),
}

impl Decoder<'_> {
    fn run(&mut self) -> Result<Vec<(String, Value)>, JsonError> {
        if self.next_octet()? != b'{' {
            return Err(JsonError::NotAnObject);
        }
        let mut stack = Vec::new();
        let Some(key) = self.first_key()? else {
            return self.end(Vec::new());
        };
        stack.push(Open::Top(Vec::new(), key));
        loop {
            let Begun::Whole(mut value) = self.open_or_scalar(&mut stack)? else {
                continue;
            };
            loop {
                match self.put(&mut stack, value)? {
                    Put::More => break,
                    Put::Closed(closed) => value = Some(closed),
                    Put::Done(entries) => return self.end(entries),
                }
            }
        }
    }

    fn open_or_scalar(&mut self, stack: &mut Vec<Open>) -> Result<Begun, JsonError> {
        self.charge(VALUE_SIZE)?;
        let start = self.peek()?;
        if !matches!(start, b'{' | b'[') {
            return self.scalar_or_word(start).map(Begun::Whole);
        }
        if stack.len() + 1 > self.depth_max {
            self.pass_over()?;
            self.flaw(JsonError::TooDeep(self.depth_max), true);
            return Ok(Begun::Whole(None));
        }
        self.at += 1;
        if start == b'[' {
            if self.peek()? == b']' {
                self.at += 1;
                return Ok(Begun::Whole(Some(Value::Array(Vec::new()))));
            }
            stack.push(Open::Array(Vec::new()));
            return Ok(Begun::Opened);
        }
        let Some(key) = self.first_key()? else {
            return Ok(Begun::Whole(Some(Value::Object(Map::new()))));
        };
        stack.push(Open::Object(Map::new(), key));
        Ok(Begun::Opened)
    }

    /// Passes over an array or object without looking at more than strings and brackets.
    fn pass_over(&mut self) -> Result<(), JsonError> {
        let mut open = 0_usize;
        loop {
            let octet = *self.octets.get(self.at).ok_or(JsonError::Truncated)?;
            self.at += 1;
            match octet {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open -= 1,
                b'"' => self.pass_over_string()?,
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn pass_over_string(&mut self) -> Result<(), JsonError> {
        loop {
            let octet = *self.octets.get(self.at).ok_or(JsonError::Truncated)?;
            self.at += if octet == b'\\' { 2 } else { 1 };
            if octet == b'"' {
                return Ok(());
            }
        }
    }

    fn flaw(&mut self, error: JsonError, is_lost: bool) {
        let flaws = self.flaws.get_or_insert(Flaws {
            count: 0,
            first: error,
            has_lost: false,
        });
        flaws.count += 1;
        flaws.has_lost |= is_lost;
    }

    /// Puts a value into what is open and reads what follows it. What is lost is left out, but for an array,
    /// whose other values keep their places.
    fn put(&mut self, stack: &mut Vec<Open>, value: Option<Value>) -> Result<Put, JsonError> {
        let Some(mut open) = stack.pop() else {
            return Err(JsonError::Syntax(self.at));
        };
        let close = if matches!(open, Open::Array(_)) {
            b']'
        } else {
            b'}'
        };
        let more = match self.next_octet()? {
            b',' => true,
            octet if octet == close => false,
            _ => return Err(JsonError::Syntax(self.at - 1)),
        };
        match &mut open {
            Open::Array(values) => values.push(value.unwrap_or_default()),
            Open::Object(map, key) => {
                let Some(value) = value else {
                    key.clear();
                    return self.closed_or_more(stack, open, more);
                };
                if map.len().is_multiple_of(NODE_LEN) {
                    self.charge(NODE_SIZE)?;
                }
                map.insert(std::mem::take(key), value);
            }
            Open::Top(entries, key) => {
                let key = std::mem::take(key);
                entries.extend(value.map(|value| (key, value)));
            }
        }
        self.closed_or_more(stack, open, more)
    }

    fn closed_or_more(
        &mut self,
        stack: &mut Vec<Open>,
        mut open: Open,
        more: bool,
    ) -> Result<Put, JsonError> {
        if more {
            if let Open::Object(_, key) | Open::Top(_, key) = &mut open {
                *key = self.key()?;
            }
            stack.push(open);
            return Ok(Put::More);
        }
        Ok(match open {
            Open::Array(values) => Put::Closed(Value::Array(values)),
            Open::Object(map, _) => Put::Closed(Value::Object(map)),
            Open::Top(entries, _) => Put::Done(entries),
        })
    }

    fn end(&mut self, entries: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, JsonError> {
        self.skip_space();
        if self.at == self.octets.len() {
            Ok(entries)
        } else {
            Err(JsonError::Syntax(self.at))
        }
    }

    /// After `{`: the first key, or `None` when the object is closed at once.
    fn first_key(&mut self) -> Result<Option<String>, JsonError> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(None);
        }
        self.key().map(Some)
    }

    fn key(&mut self) -> Result<String, JsonError> {
        if self.next_octet()? != b'"' {
            return Err(JsonError::Syntax(self.at - 1));
        }
        let key = self.string()?;
        if self.next_octet()? != b':' {
            return Err(JsonError::Syntax(self.at - 1));
        }
        Ok(key)
    }

    fn charge(&mut self, size: usize) -> Result<(), JsonError> {
        self.size += size;
        if self.size > self.size_max {
            Err(JsonError::TooLarge(self.size_max))
        } else {
            Ok(())
        }
    }

    /// The next octet that is not space, without taking it.
    fn peek(&mut self) -> Result<u8, JsonError> {
        self.skip_space();
        self.octets
            .get(self.at)
            .copied()
            .ok_or(JsonError::Truncated)
    }

    fn next_octet(&mut self) -> Result<u8, JsonError> {
        let octet = self.peek()?;
        self.at += 1;
        Ok(octet)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.octets.get(self.at) {
            self.at += 1;
        }
    }
}

/// What putting a value led to.
enum Put {
    /// Another value follows.
    More,
    /// This one is complete and goes into what is open around it.
    Closed(Value),
    /// The whole message is complete.
    Done(Vec<(String, Value)>),
}

#[cfg(test)]
mod tests;
