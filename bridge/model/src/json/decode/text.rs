//! Strings of JSON, with their escapes.
//!
//! Model: what is broken in a string becomes U+FFFD and is a flaw; control characters stay.

use super::{Decoder, JsonError};

impl Decoder<'_> {
    /// The rest of a string behind its opening quote.
    pub(super) fn string(&mut self) -> Result<String, JsonError> {
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
}
