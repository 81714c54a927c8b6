//! One end of a connection: the handshake, and what is made of each command.
//!
//! Model: a [`Stage`] that only goes forward, the decoder for what comes in, the output for what goes
//! out, and the events that the caller has not polled yet.
//!
//! ```text
//! Greeting --peer's greeting--> Handshake --peer's READY--> Traffic
//!     +-----------------------------+--------------------------+-----> Failed, at any error
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use crate::command::Command;
use crate::decoder::{Decoder, Item};
use crate::error::{Error, LimitExceeded, Misbehaved, SendError};
use crate::frame::{self, FrameKind};
use crate::greeting::{self, Greeting, Progress};
use crate::limits::Limits;
use crate::message::Message;
use crate::null::{self, Peer, SocketKind};
use crate::output::Output;
use crate::retain::retained;

/// One end of one TCP connection. See the [crate] for the rule of its use.
#[derive(Debug)]
pub struct Connection {
    ours: SocketKind,
    limits: Limits,
    stage: Stage,
    decoder: Decoder,
    output: Output,
    events: VecDeque<Event>,
    /// The most events that waited since there were none.
    events_peak: usize,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is over: messages may be sent. Always the first event, and only once.
    Ready {
        /// What the peer is; it goes with what we are.
        socket_type: SocketKind,
        /// What the peer calls itself, at most 255 octets, often none. It has proved nothing.
        identity: Bytes,
    },
    /// A message, whole.
    Message(Message),
}

/// How far the connection is.
#[derive(Debug)]
enum Stage {
    /// The peer's greeting is not whole. Our READY follows it.
    Greeting {
        greeting: Greeting,
        ready: Vec<u8>,
    },
    /// The peer's READY is to come.
    Handshake,
    Traffic,
    Failed,
}

impl Connection {
    /// The end that opened the connection. `identity` is what a ROUTER will know us by; a peer refuses
    /// one of more than 255 octets.
    pub fn dealer(identity: &[u8], limits: Limits) -> Self {
        Self::new(SocketKind::Dealer, identity, limits)
    }

    /// The end that accepted the connection.
    pub fn router(limits: Limits) -> Self {
        Self::new(SocketKind::Router, b"", limits)
    }

    fn new(ours: SocketKind, identity: &[u8], limits: Limits) -> Self {
        let limits = limits.clamped();
        let mut output = Output::default();
        let greeting = &greeting::OURS;
        output.reserve(greeting.len()).extend_from_slice(greeting);
        Self {
            ours,
            decoder: Decoder::new(limits.clone()),
            limits,
            stage: Stage::Greeting {
                greeting: Greeting::new(),
                ready: null::ready(ours, identity),
            },
            output,
            events: VecDeque::new(),
            events_peak: 0,
        }
    }

    /// Takes octets as they came from the socket, all of them. What became whole waits in
    /// [`Connection::poll_event`], also when there is an error behind it.
    ///
    /// Give one read at a time and poll the events before the next: they are not bounded otherwise.
    pub fn handle_input(&mut self, octets: &[u8]) -> Result<(), Error> {
        let result = self.advance(octets);
        if result.is_err() {
            self.stage = Stage::Failed;
            self.decoder = Decoder::new(self.limits.clone());
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
    /// [`Limits`] bound what is sent as they bound what is received: what we would not take is not
    /// worth sending to a peer like us.
    #[inline]
    pub fn send(&mut self, frames: &[&[u8]]) -> Result<(), SendError> {
        let wire_len = self.admit(frames)?;
        let Some((last, parts)) = frames.split_last() else {
            return Err(SendError::NoFrames);
        };
        let out = self.output.reserve(wire_len);
        for part in parts {
            frame::encode(FrameKind::More, part, out);
        }
        frame::encode(FrameKind::Last, last, out);
        Ok(())
    }

    /// Whether the handshake is over and nothing has failed.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Traffic)
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
        match &mut self.stage {
            Stage::Failed => return Err(Error::Failed),
            Stage::Greeting { greeting, ready } => {
                if greeting.read(&mut input)? == Progress::Waiting {
                    return Ok(());
                }
                self.output.reserve(ready.len()).extend_from_slice(ready);
                self.stage = Stage::Handshake;
            }
            Stage::Handshake | Stage::Traffic => {}
        }
        while let Some(item) = self.decoder.decode(&mut input)? {
            match item {
                Item::Message(message) => self.events.push_back(Event::Message(message)),
                Item::Command => self.handle_command()?,
            }
        }
        Ok(())
    }

    fn handle_command(&mut self) -> Result<(), Error> {
        let ready = self.is_ready();
        match Command::parse(self.decoder.command())? {
            Command::Refused(refusal) => return Err(refusal.into()),
            Command::Ready(_) if ready => return Err(Misbehaved::ReadyTwice.into()),
            Command::Ready(properties) => {
                let peer = null::parse_ready(self.ours, properties)?;
                self.begin_traffic(peer);
            }
            Command::Ping { .. } | Command::Ignored if !ready => {
                return Err(Misbehaved::CommandBeforeReady.into());
            }
            // protocol.md §2.5
            Command::Ping { context } => self.output.push_pong(context),
            Command::Ignored => {}
        }
        Ok(())
    }

    fn begin_traffic(&mut self, peer: Peer) {
        self.stage = Stage::Traffic;
        self.decoder.begin_traffic();
        self.events.push_back(Event::Ready {
            socket_type: peer.socket_type,
            identity: peer.identity,
        });
    }

    /// The octets that the message takes in the output, if it may go there.
    #[inline]
    fn admit(&self, frames: &[&[u8]]) -> Result<usize, SendError> {
        match self.stage {
            Stage::Traffic => {}
            // protocol.md §2.4
            Stage::Greeting { .. } | Stage::Handshake => return Err(SendError::NotReady),
            Stage::Failed => return Err(SendError::Failed),
        }
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
            wire_len = wire_len.saturating_add(frame::frame_len(frame.len()));
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

/// An idle connection may keep room for so many events, some 4 KiB.
const EVENTS_MIN: usize = 64;
