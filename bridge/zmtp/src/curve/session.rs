//! What follows the handshake: every frame is a MESSAGE, sealed.
//!
//! A MESSAGE travels as a frame of its own without MORE: whether another one of the same message follows,
//! and whether it is a command (PING, PONG), is inside of the box.
//!
//! Invariant: a box is opened only if its number is above that of the one before, so nothing is taken
//! twice or out of its order.
//!
//! Spec: 26/CURVEZMQ "The MESSAGE Command"; docs/reference/protocol.md §8.2.

use std::ops::Range;

use crypto_box::SalsaBox;

use super::boxes::{self, TAG_LEN};
use super::nonce::{self, Counter, Rising, Use};
use crate::error::{Error, Forged, Malformed, Misbehaved, NoncesSpent, SendError};
use crate::frame::{self, FrameKind};

/// The keys and numbers of a connection after its handshake.
pub(crate) struct Session {
    role: Role,
    shared: SalsaBox,
    ours: Counter,
    theirs: Rising,
}

/// Which end we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

impl Session {
    pub(super) fn new(role: Role, shared: SalsaBox, ours: Counter, theirs: Rising) -> Self {
        Self {
            role,
            shared,
            ours,
            theirs,
        }
    }

    /// Whether so many frames can still be sealed.
    pub(crate) fn can_seal(&self, frames: usize) -> bool {
        self.ours.left() >= frames as u64
    }

    /// Appends the frames of a message, `last` behind `parts`, each sealed. To be asked before whether
    /// there are numbers for all ([`Session::can_seal`]).
    pub(crate) fn seal_message(
        &mut self,
        parts: &[&[u8]],
        last: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        for part in parts {
            self.seal(FrameKind::More, part, out)?;
        }
        self.seal(FrameKind::Last, last, out)?;
        Ok(())
    }

    /// Appends a frame, sealed.
    pub(crate) fn seal(
        &mut self,
        kind: FrameKind,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NoncesSpent> {
        self.seal_flags(flags_of(kind), body, out)
    }

    fn seal_flags(&mut self, flags: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), NoncesSpent> {
        let number = self.ours.draw()?;
        frame::encode_header(FrameKind::Last, SEALED_LEN_MIN + body.len(), out);
        out.extend_from_slice(NAME);
        out.extend_from_slice(&number.to_be_bytes());
        let purpose = match self.role {
            Role::Client => Use::MessageFromClient,
            Role::Server => Use::MessageFromServer,
        };
        let nonce = nonce::short(purpose, number);
        boxes::seal(&self.shared, &nonce, &[&[flags], body], out);
        Ok(())
    }

    /// Opens the body of a frame where it lies: what it is, and where in `sealed` its own body is now.
    pub(crate) fn open(&mut self, sealed: &mut [u8]) -> Result<(FrameKind, Range<usize>), Error> {
        let len = sealed.len();
        let malformed = Malformed::Curve { command: "MESSAGE" };
        let (name, rest) = sealed.split_at_mut_checked(NAME.len()).ok_or(malformed)?;
        if *name != *NAME {
            return Err(Misbehaved::Plain.into());
        }
        let (number, sealed) = rest.split_first_chunk_mut().ok_or(malformed)?;
        let number = u64::from_be_bytes(*number);
        self.theirs.accept(number)?;
        let purpose = match self.role {
            Role::Client => Use::MessageFromServer,
            Role::Server => Use::MessageFromClient,
        };
        let nonce = nonce::short(purpose, number);
        let text = boxes::open_in_place(&self.shared, &nonce, sealed).ok_or(Forged::Message)?;
        let flags = *text.first().ok_or(malformed)?;
        Ok((kind_of(flags)?, SEALED_LEN_MIN..len))
    }

    /// As if so many frames had been sealed.
    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, sealed: u64) {
        self.ours.skip_to(sealed);
    }

    /// Seals a frame with flags that may be none.
    #[cfg(test)]
    pub(crate) fn seal_with(&mut self, flags: u8, out: &mut Vec<u8>) {
        let sealed = self.seal_flags(flags, b"", out);
        assert_eq!(sealed, Ok(()));
    }
}

/// Keys are nobody's to see.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("ours", &self.ours)
            .field("theirs", &self.theirs)
            .finish_non_exhaustive()
    }
}

fn flags_of(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Last => 0,
        FrameKind::More => MORE,
        FrameKind::Command => COMMAND,
    }
}

fn kind_of(flags: u8) -> Result<FrameKind, Malformed> {
    match flags {
        0 => Ok(FrameKind::Last),
        MORE => Ok(FrameKind::More),
        COMMAND => Ok(FrameKind::Command),
        _ => Err(Malformed::ReservedFlags { flags }),
    }
}

/// Octets that a MESSAGE has besides the body of its frame.
pub(crate) const SEALED_LEN_MIN: usize = NAME.len() + 8 + TAG_LEN + 1;
const NAME: &[u8] = b"\x07MESSAGE";
const MORE: u8 = 1;
const COMMAND: u8 = 2;
