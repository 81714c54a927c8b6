//! Octets behind the greeting to messages and commands.
//!
//! Model: a loop over a cursor. A message that lies whole in the input is copied from there straight
//! into its one allocation (`take_whole`). Any other goes through `State`, piece by piece:
//!
//! ```text
//!          header whole, message          last octet, more to come
//! Header ------------------------> Part ---------------------------> Header
//!   |                                |  last octet of last frame
//!   |                                +---------------------------> Header, a message is out
//!   |  header whole, command            last octet
//!   +--------------------------> Command ------------------------> Header, a command is out
//! ```
//!
//! A command may stand between the frames of a message, so the two gather in buffers of their own. A
//! sealed frame takes the way of a command; what was in it comes back by `add_opened`.
//!
//! Invariants:
//! - DECODER-1. A body is begun only after its length passed `admit`, on both ways.
//! - DECODER-2. The buffer of a message grows to at most twice what has arrived of it, and never beyond what
//!   its frames have announced.
//!
//! Limits: see [`Limits`].
//!
//! Spec: 23/ZMTP "Framing"; docs/reference/protocol.md §2.6.

use std::ops::Range;

use smallvec::SmallVec;

use crate::curve::SEALED_LEN_MIN;
use crate::error::{Error, LimitExceeded, Misbehaved};
use crate::frame::{FrameKind, Header, LONG_SIZE};
use crate::limits::Limits;
use crate::message::{Ends, Message};

/// One connection's decoder.
pub(crate) struct Decoder {
    limits: Limits,
    phase: Phase,
    state: State,
    header: SmallVec<[u8; LONG_SIZE]>,
    octets: Vec<u8>,
    ends: Ends,
    command: Vec<u8>,
}

/// What the peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Commands only, READY has not come.
    Handshake,
    /// Messages and commands.
    Traffic,
    /// Sealed frames only, each of which is given out before it is known what is in it.
    Sealed,
}

/// What has come out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Message(Message),
    /// A command, or a sealed frame: its body is [`Decoder::command`] until the next call.
    Command,
}

/// Inside of what the cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    /// A frame of a message, of which `missing` octets have not come.
    Part {
        missing: usize,
        last: bool,
    },
    Command {
        missing: usize,
    },
}

impl Decoder {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Handshake,
            state: State::Header,
            header: SmallVec::new(),
            octets: Vec::new(),
            ends: Ends::new(),
            command: Vec::new(),
        }
    }

    /// Messages are accepted from now on.
    pub(crate) fn begin_traffic(&mut self) {
        self.phase = Phase::Traffic;
    }

    /// Sealed frames, and nothing else, are accepted from now on.
    pub(crate) fn begin_sealed(&mut self) {
        self.phase = Phase::Sealed;
    }

    /// The body of the command that came out last.
    pub(crate) fn command(&self) -> &[u8] {
        &self.command
    }

    /// The sealed frame that came out last, to be opened where it lies.
    pub(crate) fn sealed(&mut self) -> &mut [u8] {
        &mut self.command
    }

    /// Adds what was in the sealed frame to the message: `body` of [`Decoder::sealed`]. The message, if
    /// this was its last frame.
    pub(crate) fn add_opened(
        &mut self,
        body: Range<usize>,
        last: bool,
    ) -> Result<Option<Message>, LimitExceeded> {
        let body = &self.command[body];
        self.admit_part(body.len() as u64, self.octets.len(), self.ends.len())?;
        self.octets.reserve_exact(body.len());
        self.octets.extend_from_slice(body);
        self.ends.push(self.octets.len() as u32);
        self.release_sealed();
        Ok(last.then(|| self.finish_message()))
    }

    /// What a long frame needed is given back: the next may be far away.
    fn release_sealed(&mut self) {
        if self.command.capacity() > SEALED_CAPACITY_MAX {
            self.command = Vec::new();
        }
    }

    /// Takes octets off the front of `input` until something is whole; `None` when all are taken.
    #[inline]
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Item>, Error> {
        if self.is_between_messages()
            && let Some(message) = self.take_whole(input)?
        {
            return Ok(Some(Item::Message(message)));
        }
        self.decode_piecewise(input)
    }

    /// Whether a part of a message has come, and the rest has not.
    pub(crate) fn is_within_message(&self) -> bool {
        match self.state {
            State::Part { .. } => true,
            State::Command { .. } => self.phase == Phase::Sealed,
            State::Header => !self.ends.is_empty(),
        }
    }

    fn is_between_messages(&self) -> bool {
        self.phase == Phase::Traffic
            && self.state == State::Header
            && self.header.is_empty()
            && self.ends.is_empty()
    }

    /// A message that is all there, without a command inside. Else nothing is taken.
    #[inline]
    fn take_whole(&self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        let mut ends = Ends::new();
        let (mut at, mut octet_len) = (0, 0);
        loop {
            let Some(header) = Header::parse(&input[at..])? else {
                return Ok(None);
            };
            if header.kind == FrameKind::Command {
                return Ok(None);
            }
            let len = self.admit_part(header.len, octet_len, ends.len())?;
            at += header.size;
            if input.len() - at < len {
                return Ok(None);
            }
            at += len;
            octet_len += len;
            ends.push(octet_len as u32);
            if header.kind == FrameKind::Last {
                break;
            }
        }
        let (frames, rest) = input.split_at(at);
        *input = rest;
        Ok(Some(Message::new(
            without_headers(frames, &ends, octet_len),
            ends,
        )))
    }

    fn decode_piecewise(&mut self, input: &mut &[u8]) -> Result<Option<Item>, Error> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) = self.take_header(input)? else {
                        return Ok(None);
                    };
                    self.begin_body(header)?;
                }
                State::Part { missing, last } => {
                    let piece = take(input, missing);
                    append(&mut self.octets, piece, missing);
                    let missing = missing - piece.len();
                    if missing > 0 {
                        self.state = State::Part { missing, last };
                        return Ok(None);
                    }
                    self.state = State::Header;
                    self.ends.push(self.octets.len() as u32);
                    if last {
                        return Ok(Some(Item::Message(self.finish_message())));
                    }
                }
                State::Command { missing } => {
                    let piece = take(input, missing);
                    append(&mut self.command, piece, missing);
                    let missing = missing - piece.len();
                    if missing > 0 {
                        self.state = State::Command { missing };
                        return Ok(None);
                    }
                    self.state = State::Header;
                    return Ok(Some(Item::Command));
                }
            }
        }
    }

    /// Gathers a header that may come in pieces. Its flags are checked as soon as they are there.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        if self.header.is_empty() {
            self.header.extend_from_slice(take(input, 1));
        }
        if let Some(&flags) = self.header.first() {
            let missing = Header::size_of(flags) - self.header.len();
            self.header.extend_from_slice(take(input, missing));
        }
        let header = Header::parse(&self.header)?;
        if header.is_some() {
            self.header.clear();
        }
        Ok(header)
    }

    fn begin_body(&mut self, header: Header) -> Result<(), Error> {
        self.state = match (header.kind, self.phase) {
            (FrameKind::Command, Phase::Sealed) => return Err(Misbehaved::Plain.into()),
            (FrameKind::Command, _) => {
                self.command.clear();
                let missing = self.admit_command(header.len)?;
                State::Command { missing }
            }
            (FrameKind::Last, Phase::Sealed) => {
                self.command.clear();
                let missing = self.admit_sealed(header.len)?;
                State::Command { missing }
            }
            (FrameKind::More, Phase::Sealed) => return Err(Misbehaved::Plain.into()),
            (_, Phase::Handshake) => return Err(Misbehaved::MessageBeforeReady.into()),
            (kind, Phase::Traffic) => State::Part {
                missing: self.admit_part(header.len, self.octets.len(), self.ends.len())?,
                last: kind == FrameKind::Last,
            },
        };
        Ok(())
    }

    /// Whether a frame of `len` octets may follow so many octets in so many frames.
    #[inline]
    fn admit_part(
        &self,
        len: u64,
        octets_before: usize,
        frames_before: usize,
    ) -> Result<usize, LimitExceeded> {
        let limits = &self.limits;
        if frames_before >= limits.frames_max {
            let max = limits.frames_max;
            return Err(LimitExceeded::Frames { max });
        }
        let frame_len = within(len, limits.frame_len_max).ok_or(LimitExceeded::Frame {
            len,
            max: limits.frame_len_max,
        })?;
        let message_len = len.saturating_add(octets_before as u64);
        within(message_len, limits.message_len_max).ok_or(LimitExceeded::Message {
            len: message_len,
            max: limits.message_len_max,
        })?;
        Ok(frame_len)
    }

    fn admit_command(&self, len: u64) -> Result<usize, LimitExceeded> {
        let max = self.limits.command_len_max;
        within(len, max).ok_or(LimitExceeded::Command { len, max })
    }

    /// Whether a sealed frame may have so many octets, as far as can be said before it is opened: no
    /// more than the longest frame that still fits into the message, or the longest command.
    fn admit_sealed(&self, len: u64) -> Result<usize, LimitExceeded> {
        let body_len = len.saturating_sub(SEALED_LEN_MIN as u64);
        if within(body_len, self.limits.command_len_max).is_none() {
            self.admit_part(body_len, self.octets.len(), self.ends.len())?;
        }
        within(len, usize::MAX).ok_or(LimitExceeded::Frame {
            len,
            max: self.limits.frame_len_max,
        })
    }

    fn finish_message(&mut self) -> Message {
        Message::new(
            std::mem::take(&mut self.octets),
            std::mem::take(&mut self.ends),
        )
    }

    /// Octets of memory that are held.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        let ends = if self.ends.spilled() {
            self.ends.capacity() * size_of::<u32>()
        } else {
            0
        };
        self.octets.capacity() + self.command.capacity() + ends
    }
}

/// Where it is, without what peers say to each other.
impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("phase", &self.phase)
            .field("state", &self.state)
            .field("octets", &self.octets.len())
            .field("frames", &self.ends.len())
            .finish_non_exhaustive()
    }
}

/// The bodies of these frames, which end there.
#[inline]
fn without_headers(mut frames: &[u8], ends: &[u32], octet_len: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(octet_len);
    let mut start = 0;
    for &end in ends {
        let size = Header::size_of(frames[0]);
        let (frame, behind) = frames.split_at(size + (end - start) as usize);
        octets.extend_from_slice(&frame[size..]);
        (frames, start) = (behind, end);
    }
    octets
}

/// A sealed frame that needed more leaves nothing behind.
const SEALED_CAPACITY_MAX: usize = 16 << 10;

fn within(len: u64, max: usize) -> Option<usize> {
    usize::try_from(len).ok().filter(|&len| len <= max)
}

/// Splits at most `len` octets off the front.
fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    front
}

/// Appends the next piece of a body of which `missing` octets are missing, this piece included.
fn append(buffer: &mut Vec<u8>, piece: &[u8], missing: usize) {
    let len = buffer.len() + piece.len();
    if len > buffer.capacity() {
        let doubled = len.max(buffer.capacity().saturating_mul(2));
        let announced = buffer.len() + missing;
        buffer.reserve_exact(doubled.min(announced) - buffer.len());
    }
    buffer.extend_from_slice(piece);
}
