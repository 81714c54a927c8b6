//! The commands of ZMTP: a name, and a body whose layout depends on it.
//!
//! Model: READY and ERROR are the handshake's, of every mechanism (`handshake` reads what is in READY);
//! HELLO, WELCOME and INITIATE are that of CURVE; PING and PONG are the heartbeat; END and RESET are this
//! project's, for connections that are channels; every other name is
//! ignored by who receives it after the handshake, SUBSCRIBE and CANCEL with them, since neither DEALER nor
//! ROUTER has subscriptions.
//!
//! Spec: 23/ZMTP "Commands", "The ERROR Command"; 26/CURVEZMQ; 37/ZMTP "Heartbeating".

use smallvec::SmallVec;

use crate::error::{Error, Malformed, printable};
use crate::frame::{self, FrameKind};

/// A command as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// READY and its properties, not looked at yet.
    Ready(&'a [u8]),
    /// ERROR.
    Refused(Refusal),
    /// PING. Its TTL says when the peer would like us to give it up; time is the caller's.
    Ping { context: &'a [u8] },
    /// END: nothing more follows in this direction.
    End,
    /// RESET: the sender takes no more and sends no more.
    Reset(Refusal),
    /// Any other: its name, and what follows it.
    Other(&'a [u8], &'a [u8]),
}

/// The reason of an ERROR or RESET command, fit for an error text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(String);

impl Refusal {
    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl<'a> Command<'a> {
    /// Reads the body of a command frame.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let (name, data) = split_short(body).ok_or(Malformed::CommandName)?;
        match name {
            b"" => Err(Malformed::CommandName),
            READY => Ok(Self::Ready(data)),
            ERROR => reason(data).map(Self::Refused),
            // protocol.md §9.5
            END => Ok(Self::End),
            RESET => reason(data).map(Self::Reset),
            PING => match data.split_at_checked(TTL_LEN) {
                Some((_ttl, context)) if context.len() <= CONTEXT_LEN_MAX => {
                    Ok(Self::Ping { context })
                }
                _ => Err(Malformed::Ping { len: data.len() }),
            },
            _ => Ok(Self::Other(name, data)),
        }
    }
}

impl From<Refusal> for Error {
    fn from(Refusal(reason): Refusal) -> Self {
        Self::Refused { reason }
    }
}

/// The reason that ERROR and RESET give.
fn reason(data: &[u8]) -> Result<Refusal, Malformed> {
    match split_short(data) {
        Some((reason, b"")) => Ok(Refusal(printable(reason))),
        _ => Err(Malformed::Reason),
    }
}

/// The body of END.
pub(crate) fn end() -> Vec<u8> {
    body_of(END, &[])
}

/// The body of RESET with this reason, at most 255 octets of it.
pub(crate) fn reset(why: &str) -> Vec<u8> {
    body_of(RESET, &short(why))
}

/// The body of an answer to a PING.
pub(crate) type Pong = SmallVec<[u8; PONG_LEN_MAX]>;

/// The body of the answer to a PING with this context.
pub(crate) fn pong(context: &[u8]) -> Pong {
    let mut body = Pong::new();
    body.push(PONG.len() as u8);
    body.extend_from_slice(PONG);
    body.extend_from_slice(context);
    body
}

/// Appends ERROR with this reason, at most 255 octets of it.
pub(crate) fn encode_error(reason: &str, out: &mut Vec<u8>) {
    encode(ERROR, &short(reason), out);
}

/// A string with its length in one octet, at most 255 octets of it.
fn short(text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let len = text.len().min(usize::from(u8::MAX));
    [&[len as u8], &text[..len]].concat()
}

/// Appends the command of this name.
pub(crate) fn encode(name: &[u8], data: &[u8], out: &mut Vec<u8>) {
    frame::encode(FrameKind::Command, &body_of(name, data), out);
}

fn body_of(name: &[u8], data: &[u8]) -> Vec<u8> {
    [&[name.len() as u8], name, data].concat()
}

/// Splits a string with its length in one octet off the front.
pub(crate) fn split_short(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(len))
}

pub(crate) const READY: &[u8] = b"READY";
pub(crate) const HELLO: &[u8] = b"HELLO";
pub(crate) const WELCOME: &[u8] = b"WELCOME";
pub(crate) const INITIATE: &[u8] = b"INITIATE";
const ERROR: &[u8] = b"ERROR";
const END: &[u8] = b"END";
const RESET: &[u8] = b"RESET";
const PING: &[u8] = b"PING";
const PONG: &[u8] = b"PONG";
const TTL_LEN: usize = 2;
const CONTEXT_LEN_MAX: usize = 16;
const PONG_LEN_MAX: usize = 1 + PONG.len() + CONTEXT_LEN_MAX;
