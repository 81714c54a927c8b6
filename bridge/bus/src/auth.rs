//! The conversation before the first message: who is there, and whether descriptors may be sent.
//!
//! Model: octets in, octets out, until the client says BEGIN; what is behind that is messages. Who the client is the
//! kernel has told; EXTERNAL is the client saying so.
//! Invariants: AUTH-1. however the octets are split, the same answers come of them. AUTH-2. nobody gets through without
//! OK having been answered.
//! Limits: [`LINE_LEN_MAX`] octets of a line, [`REFUSALS_MAX`] refusals; then the conversation has failed.
//! Not here: DBUS_COOKIE_SHA1, which is for machines whose kernel does not tell who is there.
//! Spec: D-Bus specification, "Authentication Protocol"

use crate::Credentials;

/// The server's side of the conversation.
#[derive(Debug)]
pub(crate) struct Auth {
    guid: String,
    /// Who the kernel says is there.
    user: Option<u32>,
    /// Who may come.
    admitted: Admitted,
    state: State,
    refusals: usize,
    may_send_descriptors: bool,
    line: Vec<u8>,
    output: Vec<u8>,
}

/// Who may come to a bus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admitted {
    /// These users, by the kernel's word.
    pub users: Vec<u32>,
    /// Anybody who can reach the socket, without saying who it is.
    pub anonymous: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first octet is zero.
    Zero,
    Auth,
    /// EXTERNAL was asked who it is.
    Data,
    Begin,
    Begun,
}

/// The conversation has failed: the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication: {0}")]
pub(crate) struct AuthError(&'static str);

impl Auth {
    pub(crate) fn new(guid: &str, credentials: &Credentials, admitted: Admitted) -> Self {
        Self {
            guid: guid.to_owned(),
            user: credentials.user,
            admitted,
            state: State::Zero,
            refusals: 0,
            may_send_descriptors: false,
            line: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Takes octets until BEGIN; `true` then, and the input is what is behind it.
    pub(crate) fn input(&mut self, input: &mut &[u8]) -> Result<bool, AuthError> {
        while let Some((octet, rest)) = input.split_first() {
            *input = rest;
            if self.state == State::Zero {
                if *octet != 0 {
                    return Err(AuthError("it does not begin with a zero octet"));
                }
                self.state = State::Auth;
                continue;
            }
            self.line.push(*octet);
            if self.line.len() > LINE_LEN_MAX {
                return Err(AuthError("a line is too long"));
            }
            if self.line.ends_with(b"\r\n") {
                let mut line = std::mem::take(&mut self.line);
                line.truncate(line.len() - 2);
                self.handle(&line)?;
                line.clear();
                self.line = line;
                if self.state == State::Begun {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What is to be written.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the client may send descriptors, and gets some.
    pub(crate) fn may_send_descriptors(&self) -> bool {
        self.may_send_descriptors
    }

    fn handle(&mut self, line: &[u8]) -> Result<(), AuthError> {
        let line = std::str::from_utf8(line).unwrap_or("?");
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_matches(' ');
        match (self.state, command) {
            (State::Begin, "BEGIN") => self.state = State::Begun,
            (_, "BEGIN") => return Err(AuthError("BEGIN comes before OK")),
            (State::Auth, "AUTH") => return self.begin(rest),
            (State::Data, "DATA") => return self.data(rest),
            (State::Data | State::Begin, "CANCEL" | "ERROR") | (State::Auth, "ERROR") => {
                return self.reject();
            }
            (State::Begin, "NEGOTIATE_UNIX_FD") => {
                self.may_send_descriptors = true;
                self.say("AGREE_UNIX_FD");
            }
            (_, "NEGOTIATE_UNIX_FD") => self.say("ERROR \"there was no OK before\""),
            (_, "AUTH" | "DATA" | "CANCEL") => self.say("ERROR \"not now\""),
            _ => self.say("ERROR \"unknown command\""),
        }
        Ok(())
    }

    fn begin(&mut self, rest: &str) -> Result<(), AuthError> {
        let (mechanism, response) = rest.split_once(' ').unwrap_or((rest, ""));
        match mechanism {
            "EXTERNAL" if response.is_empty() => {
                self.state = State::Data;
                self.say("DATA");
                Ok(())
            }
            "EXTERNAL" => self.data(response.trim_start()),
            "ANONYMOUS" if self.admitted.anonymous => {
                self.accept();
                Ok(())
            }
            _ => self.reject(),
        }
    }

    /// Who it says it is: nothing, or a number in decimal, in hexadecimal.
    fn data(&mut self, response: &str) -> Result<(), AuthError> {
        let Some(text) = from_hex(response) else {
            self.say("ERROR \"that is not hexadecimal\"");
            return Ok(());
        };
        let said = match text.is_empty() {
            true => self.user,
            false => std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.parse().ok()),
        };
        let is_admitted = said.is_some()
            && said == self.user
            && self
                .user
                .is_some_and(|user| self.admitted.users.contains(&user));
        match is_admitted {
            true => {
                self.accept();
                Ok(())
            }
            false => self.reject(),
        }
    }

    fn accept(&mut self) {
        self.state = State::Begin;
        self.say(&format!("OK {}", self.guid));
    }

    fn reject(&mut self) -> Result<(), AuthError> {
        self.state = State::Auth;
        self.may_send_descriptors = false;
        self.refusals += 1;
        self.say(match self.admitted.anonymous {
            true => "REJECTED EXTERNAL ANONYMOUS",
            false => "REJECTED EXTERNAL",
        });
        match self.refusals > REFUSALS_MAX {
            true => Err(AuthError("it was refused too often")),
            false => Ok(()),
        }
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| {
        char::from(octet)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// Octets of a line.
const LINE_LEN_MAX: usize = 4 << 10;
/// Refusals of a conversation.
const REFUSALS_MAX: usize = 5;

#[cfg(test)]
mod tests;
