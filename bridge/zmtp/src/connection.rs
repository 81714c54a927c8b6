//! One end of a connection: its stages, and how each command is handled.
//!
//! Model: a [`Stage`] that only goes forward, the decoder for what comes in, the output for what goes
//! out, and the events that the caller has not polled yet.
//!
//! ```text
//! Greeting --peer's greeting--> Handshake --its end--> Traffic, with a session if it is sealed
//!     +-----------------------------+---------------------+-----> Failed, at any error or refusal
//! ```
//!
//! Not here: the handshakes (`handshake`), what is sealed (`curve`).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::capacity::retained;
use crate::command::{self, Command, Pong};
use crate::curve::{self, Entropy, Session};
use crate::decoder::{Decoder, Item};
use crate::error::{Error, LimitExceeded, Misbehaved, NoncesSpent, SendError};
use crate::frame::{self, FrameKind};
use crate::greeting::{self, Greeting, Progress};
use crate::handshake::{Handshake, Step};
use crate::keys::{KeyPair, PublicKey};
use crate::limits::Limits;
use crate::message::Message;
use crate::metadata::Peer;
use crate::output::Output;
use crate::socket_kind::SocketKind;

/// One end of one TCP connection. See the [crate] for the rule of its use.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    stage: Stage,
    decoder: Decoder,
    output: Output,
    events: VecDeque<Event>,
    /// The most events that waited since there were none.
    events_peak: usize,
}

/// What a connection received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer has proved that it has this key, and waits for the decision: the owner of a connection by
    /// [`Connection::curve_router`] calls [`Connection::accept`] or [`Connection::refuse`]. The first event
    /// of such a connection, and only once.
    PeerKey {
        /// The key.
        key: PublicKey,
        /// The identity that the peer states, as in [`Event::Ready`].
        identity: Bytes,
    },
    /// The handshake is over: messages may be sent. The first event but for [`Event::PeerKey`], and only
    /// once.
    Ready {
        /// The kind of socket of the peer; it can talk to ours.
        socket_type: SocketKind,
        /// The identity that the peer states: at most 255 octets, often none. It is not proved; with CURVE it is proved
        /// that the owner of the key states it.
        identity: Bytes,
    },
    /// A complete message.
    Message(Message),
    /// The peer sends no more messages on this connection (END). Only connections that are channels of this project
    /// have a use for it; others ignore it.
    End,
    /// The peer takes no more and sends no more (RESET): what is under way is lost.
    Reset {
        /// Why, at most 255 octets, those outside of printable ASCII escaped.
        why: String,
    },
}

/// How far the connection is.
#[derive(Debug)]
enum Stage {
    /// The peer's greeting is not complete.
    Greeting(Greeting, Handshake),
    Handshake(Handshake),
    /// Messages are exchanged, encrypted if there is a session.
    Traffic(Option<Box<Session>>),
    Failed,
}

impl Connection {
    /// The end that opened the connection. A ROUTER will know it by `identity`; peers refuse one of more than 255
    /// octets.
    pub fn dealer(identity: &[u8], limits: Limits) -> Self {
        Self::new(Handshake::null(SocketKind::Dealer, identity), limits)
    }

    /// The end that accepted the connection.
    pub fn router(limits: Limits) -> Self {
        Self::new(Handshake::null(SocketKind::Router, b""), limits)
    }

    /// The end that opened the connection, with CURVE: it proves that it has `keys`, accepts only a peer that proves the
    /// key `server`, and encrypts everything after that.
    pub fn curve_dealer(
        identity: &[u8],
        keys: &KeyPair,
        server: PublicKey,
        entropy: Entropy,
        limits: Limits,
    ) -> Self {
        let client = curve::Client::new(keys, server, entropy);
        let handshake = Handshake::client(SocketKind::Dealer, identity, client);
        Self::new(handshake, limits)
    }

    /// The end that accepted the connection, with CURVE: it proves that it has `keys`, and its owner decides about the
    /// key of the peer at [`Event::PeerKey`].
    pub fn curve_router(keys: &KeyPair, entropy: Entropy, limits: Limits) -> Self {
        let server = curve::Server::new(keys, entropy);
        Self::new(Handshake::server(SocketKind::Router, b"", server), limits)
    }

    fn new(handshake: Handshake, limits: Limits) -> Self {
        let limits = limits.clamped();
        let mut output = Output::default();
        let (mechanism, end) = handshake.mechanism();
        let greeting = greeting::ours(mechanism, end);
        output.reserve(greeting.len()).extend_from_slice(&greeting);
        Self {
            decoder: Decoder::new(limits.clone()),
            limits,
            stage: Stage::Greeting(Greeting::new(mechanism), handshake),
            output,
            events: VecDeque::new(),
            events_peak: 0,
        }
    }

    /// Takes all octets that were read from the socket. Messages that they complete wait in
    /// [`Connection::poll_event`], also when an error follows them.
    ///
    /// Give one read at a time and poll the events before the next: they are not bounded otherwise.
    pub fn handle_input(&mut self, octets: &[u8]) -> Result<(), Error> {
        let result = self.advance(octets);
        if result.is_err() {
            self.fail();
        }
        self.events_peak = self.events_peak.max(self.events.len());
        result
    }

    /// The next event, oldest first.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events_peak > 0 {
            self.release_events();
        }
        event
    }

    /// Puts one message into the output. Its frames may be empty.
    ///
    /// [`Limits`] bound what is sent as they bound what is received.
    #[inline]
    pub fn send(&mut self, frames: &[&[u8]]) -> Result<(), SendError> {
        let wire_len = self.admit(frames)?;
        let Some((last, parts)) = frames.split_last() else {
            return Err(SendError::NoFrames);
        };
        let Stage::Traffic(session) = &mut self.stage else {
            return Err(SendError::NotReady);
        };
        let out = self.output.reserve(wire_len);
        if let Some(session) = session {
            return session.seal_message(parts, last, out);
        }
        for part in parts {
            frame::encode(FrameKind::More, part, out);
        }
        frame::encode(FrameKind::Last, last, out);
        Ok(())
    }

    /// As [`Connection::send`] of one frame. Where nothing waits and nothing is encrypted, the header and the frame are
    /// offered to `write`, which says how many of their octets it took; only the rest is copied.
    pub fn send_through(
        &mut self,
        frame: &[u8],
        write: impl FnOnce([&[u8]; 2]) -> usize,
    ) -> Result<(), SendError> {
        let is_plain = matches!(self.stage, Stage::Traffic(None));
        if !is_plain || self.output_len() > 0 {
            return self.send(&[frame]);
        }
        self.admit(&[frame])?;
        let mut header = Vec::with_capacity(frame::LONG_SIZE);
        frame::encode_header(FrameKind::Last, frame.len(), &mut header);
        let taken = write([&header, frame]);
        let of_frame = taken.saturating_sub(header.len());
        let header = header.get(taken..).unwrap_or_default();
        let body = frame.get(of_frame..).unwrap_or_default();
        let out = self.output.reserve(header.len() + body.len());
        out.extend_from_slice(header);
        out.extend_from_slice(body);
        Ok(())
    }

    /// Tells the peer that no more messages follow: [`Event::End`] there. The caller sends none afterwards.
    pub fn send_end(&mut self) -> Result<(), SendError> {
        self.send_command(&command::end())
    }

    /// Tells the peer that nothing more is taken or sent: [`Event::Reset`] there. At most 255 octets of `why` are sent.
    pub fn send_reset(&mut self, why: &str) -> Result<(), SendError> {
        self.send_command(&command::reset(why))
    }

    fn send_command(&mut self, body: &[u8]) -> Result<(), SendError> {
        match &mut self.stage {
            Stage::Traffic(None) => {
                let out = self.output.reserve(frame::frame_len(body.len()));
                frame::encode(FrameKind::Command, body, out);
                Ok(())
            }
            Stage::Traffic(Some(session)) => {
                let len = frame::frame_len(body.len() + curve::SEALED_LEN_MIN);
                let out = self.output.reserve(len);
                Ok(session.seal(FrameKind::Command, body, out)?)
            }
            Stage::Greeting(..) | Stage::Handshake(_) => Err(SendError::NotReady),
            Stage::Failed => Err(SendError::Failed),
        }
    }

    /// Accepts the peer of [`Event::PeerKey`]: [`Event::Ready`] follows. `false` if there is nothing to
    /// decide (any more).
    pub fn accept(&mut self) -> bool {
        let Stage::Handshake(handshake) = &mut self.stage else {
            return false;
        };
        let Some((peer, session)) = handshake.accept(self.output.reserve(0)) else {
            return false;
        };
        self.begin_traffic(peer, Some(Box::new(session)));
        true
    }

    /// Refuses the peer of [`Event::PeerKey`]: an ERROR tells it so, and the connection has failed.
    /// Write what [`Connection::output`] holds, then close. `false` if there is nothing to decide.
    pub fn refuse(&mut self) -> bool {
        let undecided =
            matches!(&self.stage, Stage::Handshake(handshake) if handshake.is_undecided());
        if undecided {
            command::encode_error(NOT_ADMITTED, self.output.reserve(0));
            self.fail();
        }
        undecided
    }

    /// Whether the handshake is over and nothing has failed.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Traffic(_))
    }

    /// Whether a part of a message has come, and the rest has not.
    pub fn is_within_message(&self) -> bool {
        self.is_ready() && self.decoder.is_within_message()
    }

    /// The octets to write next, all that wait.
    #[inline]
    pub fn output(&self) -> &[u8] {
        self.output.waiting()
    }

    /// The number of octets that wait to be written.
    #[inline]
    pub fn output_len(&self) -> usize {
        self.output().len()
    }

    /// The first `len` octets of [`Connection::output`] have been written. More than there are is all.
    pub fn consume_output(&mut self, len: usize) {
        self.output.consume(len);
    }

    fn advance(&mut self, mut input: &[u8]) -> Result<(), Error> {
        if matches!(self.stage, Stage::Failed) {
            return Err(Error::Failed);
        }
        if let Stage::Greeting(greeting, _) = &mut self.stage {
            if greeting.read(&mut input)? == Progress::Waiting {
                return Ok(());
            }
            self.begin_handshake();
        }
        while let Some(item) = self.decoder.decode(&mut input)? {
            match item {
                Item::Message(message) => self.events.push_back(Event::Message(message)),
                Item::Command => self.handle_command()?,
            }
        }
        Ok(())
    }

    fn begin_handshake(&mut self) {
        if let Stage::Greeting(_, mut handshake) = self.replace_stage(Stage::Failed) {
            handshake.open(self.output.reserve(0));
            self.stage = Stage::Handshake(handshake);
        }
    }

    fn handle_command(&mut self) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Handshake(handshake) => {
                let step = handshake.take(self.decoder.command(), self.output.reserve(0))?;
                match step {
                    Step::Waiting => {}
                    Step::Ask(key, identity) => {
                        self.events.push_back(Event::PeerKey { key, identity });
                    }
                    Step::Done(peer, session) => self.begin_traffic(peer, session),
                }
                Ok(())
            }
            Stage::Traffic(Some(_)) => self.handle_sealed(),
            Stage::Traffic(None) => {
                let Some(pong) = answer(self.decoder.command(), &mut self.events)? else {
                    return Ok(());
                };
                self.output.push_pong(|out| {
                    frame::encode(FrameKind::Command, &pong, out);
                    Ok(())
                })
            }
            Stage::Greeting(..) | Stage::Failed => Err(Error::Failed),
        }
    }

    /// Decrypts a frame: a part of a message, or a command.
    fn handle_sealed(&mut self) -> Result<(), Error> {
        let Stage::Traffic(Some(session)) = &mut self.stage else {
            return Err(Error::Failed);
        };
        let (kind, body) = session.open(self.decoder.sealed())?;
        if kind == FrameKind::Command {
            let Some(pong) = answer(&self.decoder.command()[body], &mut self.events)? else {
                return Ok(());
            };
            let seal = |out: &mut Vec<u8>| session.seal(FrameKind::Command, &pong, out);
            return Ok(self.output.push_pong(seal)?);
        }
        let last = kind == FrameKind::Last;
        if let Some(message) = self.decoder.add_opened(body, last)? {
            self.events.push_back(Event::Message(message));
        }
        Ok(())
    }

    fn begin_traffic(&mut self, peer: Peer, session: Option<Box<Session>>) {
        match session {
            Some(_) => self.decoder.begin_sealed(),
            None => self.decoder.begin_traffic(),
        }
        self.stage = Stage::Traffic(session);
        self.events.push_back(Event::Ready {
            socket_type: peer.socket_type,
            identity: peer.identity,
        });
    }

    fn fail(&mut self) {
        self.stage = Stage::Failed;
        self.decoder = Decoder::new(self.limits.clone());
    }

    fn replace_stage(&mut self, stage: Stage) -> Stage {
        std::mem::replace(&mut self.stage, stage)
    }

    /// The octets that the message takes in the output, if the limits allow it.
    #[inline]
    fn admit(&self, frames: &[&[u8]]) -> Result<usize, SendError> {
        let overhead = match &self.stage {
            Stage::Traffic(None) => 0,
            Stage::Traffic(Some(session)) if !session.can_seal(frames.len()) => {
                return Err(NoncesSpent.into());
            }
            Stage::Traffic(Some(_)) => curve::SEALED_LEN_MIN,
            // protocol.md §2.4
            Stage::Greeting(..) | Stage::Handshake(_) => return Err(SendError::NotReady),
            Stage::Failed => return Err(SendError::Failed),
        };
        let limits = &self.limits;
        if frames.len() > limits.frames_max {
            let max = limits.frames_max;
            return Err(LimitExceeded::Frames { max }.into());
        }
        let (mut len, mut wire_len) = (0_usize, 0_usize);
        for frame in frames {
            if frame.len() > limits.frame_len_max {
                let (len, max) = (frame.len() as u64, limits.frame_len_max);
                return Err(LimitExceeded::Frame { len, max }.into());
            }
            len = len.saturating_add(frame.len());
            let sealed_len = frame.len().saturating_add(overhead);
            wire_len = wire_len.saturating_add(frame::frame_len(sealed_len));
        }
        if len > limits.message_len_max {
            let (len, max) = (len as u64, limits.message_len_max);
            return Err(LimitExceeded::Message { len, max }.into());
        }
        let waiting = self.output_len();
        if waiting > 0 && waiting >= limits.output_len_max {
            return Err(SendError::Full { len: waiting });
        }
        Ok(wire_len)
    }

    #[cold]
    fn release_events(&mut self) {
        let capacity = self.events.capacity();
        let keep = retained(capacity, self.events_peak, EVENTS_MIN);
        if keep < capacity {
            self.events.shrink_to(keep);
        }
        self.events_peak = 0;
    }

    /// The keys of a connection that is sealed, and its output.
    #[cfg(test)]
    pub(crate) fn session(&mut self) -> (&mut Session, &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Traffic(Some(session)) => (session, self.output.reserve(0)),
            stage => unreachable!("{stage:?}"),
        }
    }

    /// Sends what the peer may find too much.
    #[cfg(test)]
    pub(crate) fn lift_limits(&mut self) {
        self.limits = Limits::default();
    }

    /// Octets of memory that are held, events aside.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.decoder.capacity() + self.output.capacity()
    }

    /// Events that there is room for.
    #[cfg(test)]
    pub(crate) fn events_capacity(&self) -> usize {
        self.events.capacity()
    }
}

/// The body of the answer to a command between messages, if there is to be one.
fn answer(body: &[u8], events: &mut VecDeque<Event>) -> Result<Option<Pong>, Error> {
    match Command::parse(body)? {
        Command::Refused(refusal) => Err(refusal.into()),
        Command::Ready(_) => Err(Misbehaved::ReadyTwice.into()),
        // protocol.md §2.5
        Command::Ping { context } => Ok(Some(command::pong(context))),
        // protocol.md §9.5
        Command::End => {
            events.push_back(Event::End);
            Ok(None)
        }
        Command::Reset(refusal) => {
            let why = refusal.into_text();
            events.push_back(Event::Reset { why });
            Ok(None)
        }
        Command::Other(..) => Ok(None),
    }
}

/// As libzmq says it: the status of a failed authentication, after which a client does not try again.
/// Spec: docs/reference/protocol.md §8.3.
const NOT_ADMITTED: &str = "400";
/// An idle connection may keep room for so many events, some 4 KiB.
const EVENTS_MIN: usize = 64;
