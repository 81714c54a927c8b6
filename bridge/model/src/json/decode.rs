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

use serde_json::{Map, Value};

use super::{NODE_LEN, NODE_SIZE, VALUE_SIZE, float, raw_number};
use crate::Limits;

/// Why octets are not a message. Fault of the sender; nothing was taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text ends within a value.
    #[error("the JSON text ends early")]
    Truncated,
    /// Something else was expected at this octet.
    #[error("not JSON at octet {0}")]
    Syntax(usize),
    /// Text that is not UTF-8.
    #[error("not UTF-8 at octet {0}")]
    Encoding(usize),
    /// A number of absurd length (Python reads no more than 4300 digits either).
    #[error("a number of more than {NUMBER_LEN_MAX} octets")]
    NumberTooLong,
    /// Nested deeper than the limit.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// Would need more memory than the limit.
    #[error("needs more than {0} octets of memory")]
    TooLarge(usize),
    /// Not an object at the top.
    #[error("not a JSON object")]
    NotAnObject,
}

/// Values of a message that are broken, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaws {
    /// How many there are.
    pub count: usize,
    /// What is wrong with the first.
    pub first: JsonError,
    /// Whether one of them could not be read at all.
    pub has_lost: bool,
}

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

    /// A scalar; a word that is none is a flaw, if it is plain where it ends.
    fn scalar_or_word(&mut self, start: u8) -> Result<Option<Value>, JsonError> {
        let at = self.at;
        let error = match self.scalar(start) {
            Ok(value) if self.is_at_end_of_word() => return Ok(Some(value)),
            Ok(_) => JsonError::Syntax(self.at),
            Err(error @ JsonError::Syntax(_)) if start != b'"' => error,
            Err(error) => return Err(error),
        };
        let rest = self.octets.get(at..).unwrap_or_default();
        let len = rest.iter().position(|octet| ends_word(*octet));
        match len {
            None => return Err(JsonError::Truncated),
            Some(0) => return Err(error),
            Some(len) => self.at = at + len,
        }
        if !self.is_at_end_of_word() {
            return Err(error);
        }
        let word = rest.get(..self.at - at).unwrap_or_default();
        let value = std::str::from_utf8(word).ok().and_then(number_like);
        self.flaw(error, value.is_none());
        Ok(value)
    }

    /// Whether what follows is what may follow a value.
    fn is_at_end_of_word(&self) -> bool {
        let next = self.octets.get(self.at);
        next.is_none_or(|next| matches!(next, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'))
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

    fn scalar(&mut self, start: u8) -> Result<Value, JsonError> {
        match start {
            b'"' => {
                self.at += 1;
                self.string().map(Value::String)
            }
            b't' => self.word("true").map(|_| Value::Bool(true)),
            b'f' => self.word("false").map(|_| Value::Bool(false)),
            b'n' => self.word("null").map(|_| Value::Null),
            b'N' => self.word("NaN").map(|word| Value::Number(raw_number(word))),
            b'I' => self
                .word("Infinity")
                .map(|word| Value::Number(raw_number(word))),
            b'-' if self.octets.get(self.at + 1) == Some(&b'I') => self
                .word("-Infinity")
                .map(|word| Value::Number(raw_number(word))),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<&'static str, JsonError> {
        if !self
            .octets
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            return Err(JsonError::Syntax(self.at));
        }
        self.at += word.len();
        Ok(word)
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.skip_if(b"-");
        match self.digits() {
            0 => return Err(self.stuck()),
            1 => {}
            count if self.octets.get(self.at - count) == Some(&b'0') => {
                return Err(JsonError::Syntax(self.at - count));
            }
            _ => {}
        }
        if self.skip_if(b".") && self.digits() == 0 {
            return Err(self.stuck());
        }
        if self.skip_if(b"eE") {
            self.skip_if(b"+-");
            if self.digits() == 0 {
                return Err(self.stuck());
            }
        }
        let digits = self.octets.get(start..self.at).unwrap_or_default();
        if digits.len() > NUMBER_LEN_MAX {
            self.flaw(JsonError::NumberTooLong, false);
            let nearest = std::str::from_utf8(digits)
                .ok()
                .and_then(|it| it.parse().ok());
            return Ok(float(nearest.unwrap_or(f64::NAN)));
        }
        self.charge(digits.len())?;
        std::str::from_utf8(digits)
            .map(|digits| Value::Number(raw_number(digits)))
            .map_err(|_| JsonError::Encoding(start))
    }

    fn digits(&mut self) -> usize {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let count = rest
            .iter()
            .take_while(|octet| octet.is_ascii_digit())
            .count();
        self.at += count;
        count
    }

    fn skip_if(&mut self, any: &[u8]) -> bool {
        let found = self
            .octets
            .get(self.at)
            .is_some_and(|octet| any.contains(octet));
        self.at += usize::from(found);
        found
    }

    /// The rest of a string behind its opening quote.
    fn string(&mut self) -> Result<String, JsonError> {
        let mut text = String::new();
        loop {
            let rest = self.octets.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|octet| matches!(octet, b'"' | b'\\') || *octet < 0x20)
                .ok_or(JsonError::Truncated)?;
            self.charge(plain)?;
            let (run, rest) = rest.split_at(plain);
            match std::str::from_utf8(run) {
                Ok(run) => text.push_str(run),
                Err(error) => {
                    self.flaw(JsonError::Encoding(self.at + error.valid_up_to()), false);
                    let run = String::from_utf8_lossy(run);
                    self.charge(run.len())?;
                    text.push_str(&run);
                }
            }
            self.at += plain + 1;
            match rest.first() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => {
                    self.charge(4)?;
                    text.push(self.escape()?);
                }
                Some(control) => {
                    self.flaw(JsonError::Syntax(self.at - 1), false);
                    self.charge(1)?;
                    text.push(char::from(*control));
                }
                None => return Err(JsonError::Truncated),
            }
        }
    }

    /// The character behind a backslash; where there is no such escape, the replacement character in place of the
    /// backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let octet = *self.octets.get(self.at).ok_or(JsonError::Truncated)?;
        self.at += 1;
        Ok(match octet {
            b'"' | b'\\' | b'/' => char::from(octet),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.hex() {
                Ok(unit) => self.paired(unit)?,
                Err(error) => self.no_escape(error)?,
            },
            _ => {
                self.at -= 1;
                self.no_escape(JsonError::Syntax(self.at))?
            }
        })
    }

    fn no_escape(&mut self, error: JsonError) -> Result<char, JsonError> {
        if error == JsonError::Truncated {
            return Err(error);
        }
        self.flaw(error, false);
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// The character of a UTF-16 unit, together with its second half if one follows.
    fn paired(&mut self, unit: u32) -> Result<char, JsonError> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        if (0xd800..0xdc00).contains(&unit) && rest.starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            if let Ok(low @ 0xdc00..0xe000) = self.hex() {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self
            .octets
            .get(self.at..self.at + 4)
            .ok_or(JsonError::Truncated)?;
        let mut unit = 0;
        for (i, digit) in digits.iter().enumerate() {
            let value = char::from(*digit)
                .to_digit(16)
                .ok_or(JsonError::Syntax(self.at + i))?;
            unit = unit << 4 | value;
        }
        self.at += 4;
        Ok(unit)
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

    fn stuck(&self) -> JsonError {
        if self.at == self.octets.len() {
            JsonError::Truncated
        } else {
            JsonError::Syntax(self.at)
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

/// Octets that no word of JSON has in it.
fn ends_word(octet: u8) -> bool {
    octet <= b' ' || b",:[]{}\"\\".contains(&octet)
}

/// A number as other languages write it: `nan`, `inf`, `.5`, `1.`, `+1`, `007`.
fn number_like(word: &str) -> Option<Value> {
    if let Ok(integer) = word.parse::<i64>() {
        return Some(Value::from(integer));
    }
    word.parse().ok().map(float)
}

/// More octets than any number needs that a program could use.
const NUMBER_LEN_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
