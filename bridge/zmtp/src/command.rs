//! Commands: a name, then what the name says.
//!
//! Model: READY and ERROR are the handshake's (`null` reads what is in READY); PING and PONG are the
//! heartbeat; every other name is ignored by who receives it, SUBSCRIBE and CANCEL with them, since
//! neither DEALER nor ROUTER has subscriptions.
//!
//! Spec: 23/ZMTP "Commands", "The ERROR Command"; 37/ZMTP "Heartbeating".

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
    /// PONG, and what nobody here knows.
    Ignored,
}

/// The reason of an ERROR command, fit for an error text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(String);

impl<'a> Command<'a> {
    /// Reads the body of a command frame.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let (name, data) = split_short(body).ok_or(Malformed::CommandName)?;
        match name {
            b"" => Err(Malformed::CommandName),
            READY => Ok(Self::Ready(data)),
            ERROR => match split_short(data) {
                Some((reason, b"")) => Ok(Self::Refused(Refusal(printable(reason)))),
                _ => Err(Malformed::Reason),
            },
            PING => match data.split_at_checked(TTL_LEN) {
                Some((_ttl, context)) if context.len() <= CONTEXT_LEN_MAX => {
                    Ok(Self::Ping { context })
                }
                _ => Err(Malformed::Ping { len: data.len() }),
            },
            _ => Ok(Self::Ignored),
        }
    }
}

impl From<Refusal> for Error {
    fn from(Refusal(reason): Refusal) -> Self {
        Self::Refused { reason }
    }
}

/// Appends the READY command with these properties.
pub(crate) fn encode_ready(properties: &[u8], out: &mut Vec<u8>) {
    encode(READY, properties, out);
}

/// Appends the answer to a PING with this context.
pub(crate) fn encode_pong(context: &[u8], out: &mut Vec<u8>) {
    encode(PONG, context, out);
}

fn encode(name: &[u8], data: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(1 + name.len() + data.len());
    body.push(name.len() as u8);
    body.extend_from_slice(name);
    body.extend_from_slice(data);
    frame::encode(FrameKind::Command, &body, out);
}

/// Splits a string with its length in one octet off the front.
pub(crate) fn split_short(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(len))
}

const READY: &[u8] = b"READY";
const ERROR: &[u8] = b"ERROR";
const PING: &[u8] = b"PING";
const PONG: &[u8] = b"PONG";
const TTL_LEN: usize = 2;
const CONTEXT_LEN_MAX: usize = 16;
