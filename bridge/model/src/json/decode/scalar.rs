//! Values of JSON that are neither arrays nor objects: words, numbers, and what is taken for one.

use serde_json::Value;

use super::{Decoder, JsonError, error::NUMBER_LEN_MAX};
use crate::json::{float, raw_number};

impl Decoder<'_> {
    /// A scalar; a word that is none is a flaw, if it is plain where it ends.
    pub(super) fn scalar_or_word(&mut self, start: u8) -> Result<Option<Value>, JsonError> {
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

    fn stuck(&self) -> JsonError {
        if self.at == self.octets.len() {
            JsonError::Truncated
        } else {
            JsonError::Syntax(self.at)
        }
    }
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
