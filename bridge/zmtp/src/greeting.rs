//! The 64 octets with which each side begins: signature, version, mechanism.
//!
//! Model: ours is constant and goes out unasked. The peer's is read octet by octet as it comes, and
//! refused at the first octet that rules it out, since an older peer never sends all 64.
//!
//! Invariant: the peer's mechanism is ours, or there is no connection. Nothing is negotiated, so nobody
//! in between can talk two ends of CURVE into NULL.
//!
//! The eight octets inside the signature are ignored: libzmq puts there what ZMTP 1 wants to see. So
//! are the filler and as-server, which means nothing to NULL, and which libzmq leaves at 0 also as a
//! server of CURVE; we set it.
//!
//! Spec: 23/ZMTP "Greeting", "Version Negotiation"; docs/reference/protocol.md §2.2, §8.1.

use crate::error::{Error, Malformed, Unsupported, printable};
use crate::mechanism::{MECHANISM_LEN, Mechanism};

/// The peer's greeting, as far as it has come.
#[derive(Debug)]
pub(crate) struct Greeting {
    ours: Mechanism,
    octets: [u8; GREETING_LEN],
    len: usize,
}

/// Whether all of the peer's greeting is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Waiting,
    Done,
}

impl Greeting {
    pub(crate) fn new(ours: Mechanism) -> Self {
        Self {
            ours,
            octets: [0; GREETING_LEN],
            len: 0,
        }
    }

    /// Takes what belongs to the greeting off the front of `input`.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Progress, Error> {
        let missing = &mut self.octets[self.len..];
        let (taken, rest) = input.split_at(missing.len().min(input.len()));
        missing[..taken.len()].copy_from_slice(taken);
        self.len += taken.len();
        *input = rest;
        check(&self.octets[..self.len], self.ours)?;
        Ok(if self.len == GREETING_LEN {
            Progress::Done
        } else {
            Progress::Waiting
        })
    }
}

/// Front to back, so that the first wrong octet decides, however the greeting was split.
fn check(known: &[u8], ours: Mechanism) -> Result<(), Error> {
    let differs = |at: usize, wanted: u8| known.get(at).is_some_and(|&octet| octet != wanted);
    if differs(0, SIGNATURE_FIRST) || differs(SIGNATURE_LAST_AT, SIGNATURE_LAST) {
        return Err(Malformed::Signature.into());
    }
    if let Some(&major) = known.get(MAJOR_AT).filter(|&&major| major < MAJOR) {
        return Err(Unsupported::Version { major }.into());
    }
    match known.get(MECHANISM_AT..MECHANISM_END) {
        Some(mechanism) if mechanism != ours.octets() => {
            let end = mechanism.iter().rposition(|&octet| octet != 0);
            let name = printable(&mechanism[..end.map_or(0, |last| last + 1)]);
            Err(Unsupported::Mechanism { name, ours }.into())
        }
        _ => Ok(()),
    }
}

/// What we send: ZMTP 3.1.
pub(crate) fn ours(mechanism: Mechanism, end: End) -> [u8; GREETING_LEN] {
    let mut greeting = [0; GREETING_LEN];
    greeting[0] = SIGNATURE_FIRST;
    greeting[SIGNATURE_LAST_AT] = SIGNATURE_LAST;
    greeting[MAJOR_AT] = MAJOR;
    greeting[MAJOR_AT + 1] = MINOR;
    greeting[MECHANISM_AT..MECHANISM_END].copy_from_slice(mechanism.octets());
    greeting[AS_SERVER_AT] = u8::from(end == End::Server);
    greeting
}

/// Which end of the mechanism we are; NULL has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Peer,
    Server,
}

const GREETING_LEN: usize = 64;
const SIGNATURE_FIRST: u8 = 0xff;
const SIGNATURE_LAST: u8 = 0x7f;
const SIGNATURE_LAST_AT: usize = 9;
const MAJOR_AT: usize = 10;
const MAJOR: u8 = 3;
/// 1, since we answer PING.
const MINOR: u8 = 1;
const MECHANISM_AT: usize = 12;
const MECHANISM_END: usize = MECHANISM_AT + MECHANISM_LEN;
const AS_SERVER_AT: usize = 32;
