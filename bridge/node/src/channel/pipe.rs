//! One channel: pieces and packets in both directions over a connection of its own.
//!
//! Model: a [`Channel`] is a ZMTP connection whose messages have one frame each. Both directions are independent:
//! [`Channel::send`] and [`Channel::receive`] take `&self`, so that a task may wait in both at once. [`Channel::end`] ends
//! one direction, [`Channel::reset`] both.
//! Invariants: CHANNEL-1. What was sent before [`Channel::end`] arrives before it. CHANNEL-2. A channel fails when its
//! peer leaves.
//! Limits: [`PIECE_MAX`] octets in one frame; [`QUEUED_MAX`] octets wait to be written, then [`Channel::send`] waits.
//! What one read brought waits to be received, and nothing is read before it is taken, so TCP holds the sender back.
//! Spec: docs/reference/protocol.md §9.4, §9.5

use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use zocp_zmtp::{Connection, Event};
use zocp_zre::PeerId;

use crate::channel::slots::ChannelSlot;
use crate::connection::{try_read_all, with_scratch};

/// A channel to a peer.
#[derive(Debug)]
pub struct Channel {
    peer: PeerId,
    stream: TcpStream,
    /// Locked because one task may send while another one receives.
    codec: Mutex<Connection>,
    /// Cancelled when the peer leaves.
    gone: CancellationToken,
    /// Frees the peer's share when the channel is closed.
    _slot: ChannelSlot,
}

/// What a channel brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A piece of a stream, or one packet.
    Piece(Bytes),
    /// Nothing more comes in this direction.
    End,
}

/// Why a channel is over before its end. It cannot be used any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The other end takes no more and sends no more.
    #[error("reset by the other end: {0}")]
    Reset(String),
    /// The peer has left the mesh.
    #[error("the node has left")]
    Gone,
    /// The connection is lost.
    #[error("the connection is lost: {0}")]
    Lost(#[source] io::Error),
    /// The other end sent what is not in the protocol.
    #[error("the other end sent something that is not part of the channel protocol: {0}")]
    Malformed(String),
    /// The caller's fault: a piece is too long. Nothing was sent.
    #[error("a piece of {len} octets, {PIECE_MAX} are allowed")]
    TooLong {
        /// Its length.
        len: usize,
    },
}

impl Channel {
    /// A channel over a connection whose handshake is complete.
    pub(crate) fn new(
        peer: PeerId,
        stream: TcpStream,
        codec: Connection,
        slot: ChannelSlot,
    ) -> Self {
        Self {
            peer,
            stream,
            codec: Mutex::new(codec),
            gone: slot.gone().clone(),
            _slot: slot,
        }
    }

    /// The peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Sends a piece or a packet, and waits while the other end does not keep up. Not cancel-safe: the piece may have
    /// been queued.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send(&self, piece: &[u8]) -> Result<(), ChannelError> {
        if piece.len() > PIECE_MAX {
            return Err(ChannelError::TooLong { len: piece.len() });
        }
        self.queue(piece)?;
        self.flush(QUEUED_MAX).await
    }

    /// Says that nothing more is sent, and waits until all is written.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn end(&self) -> Result<(), ChannelError> {
        self.codec().send_end().map_err(lost)?;
        self.flush(0).await
    }

    /// Says that nothing more is taken or sent, as far as the socket takes it at once. The channel is over.
    pub fn reset(&self, why: &str) {
        let queued = self.codec().send_reset(why);
        if queued.is_ok() {
            // The other end sees the end of the connection in any case.
            let _ = self.write_some();
        }
    }

    /// Waits for the next piece or the end. Cancel-safe.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn receive(&self) -> Result<Received, ChannelError> {
        loop {
            if let Some(received) = self.next()? {
                return Ok(received);
            }
            // Never waits for writing alone: if both ends did, neither would read.
            let left = self.write_some()?;
            // Cancel-safe: all only wait.
            tokio::select! {
                ready = self.stream.readable() => ready.map_err(ChannelError::Lost)?,
                ready = self.stream.writable(), if left > 0 => {
                    ready.map_err(ChannelError::Lost)?;
                    continue;
                }
                () = self.gone.cancelled() => return Err(ChannelError::Gone),
            }
            with_scratch(|scratch| match try_read_all(&self.stream, scratch) {
                Ok(Some(len)) => self.codec().handle_input(&scratch[..len]).map_err(lost),
                Ok(None) => Ok(()),
                Err(error) => Err(ChannelError::Lost(error)),
            })?;
        }
    }

    /// The same channel, its socket served by the runtime that this is called in.
    pub(crate) fn moved(self) -> Result<Self, ChannelError> {
        let stream = self.stream.into_std().and_then(TcpStream::from_std);
        let stream = stream.map_err(ChannelError::Lost)?;
        Ok(Self { stream, ..self })
    }

    /// Writes a piece, or what the socket does not take at once into the output, without waiting.
    pub(crate) fn queue(&self, piece: &[u8]) -> Result<(), ChannelError> {
        let write = |parts: [&[u8]; 2]| {
            let parts = parts.map(IoSlice::new);
            // An error is met again when the rest is written.
            self.stream.try_write_vectored(&parts).unwrap_or_default()
        };
        self.codec().send_through(piece, write).map_err(lost)
    }

    /// Writes until at most `rest` octets wait.
    pub(crate) async fn flush(&self, rest: usize) -> Result<(), ChannelError> {
        loop {
            if self.write_some()? <= rest {
                return Ok(());
            }
            // Cancel-safe: both only wait.
            tokio::select! {
                ready = self.stream.writable() => ready.map_err(ChannelError::Lost)?,
                () = self.gone.cancelled() => return Err(ChannelError::Gone),
            }
        }
    }

    /// Writes what the socket takes at once; the octets that are left.
    fn write_some(&self) -> Result<usize, ChannelError> {
        let mut codec = self.codec();
        while codec.output_len() > 0 {
            match self.stream.try_write(codec.output()) {
                Ok(len) => codec.consume_output(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(ChannelError::Lost(error)),
            }
        }
        Ok(codec.output_len())
    }

    /// What has come already.
    fn next(&self) -> Result<Option<Received>, ChannelError> {
        match self.codec().poll_event() {
            Some(Event::Message(message)) if message.len() == 1 => Ok(Some(Received::Piece(
                message.into_frame(0).unwrap_or_default(),
            ))),
            Some(Event::End) => Ok(Some(Received::End)),
            Some(Event::Reset { why }) => Err(ChannelError::Reset(why)),
            // protocol.md §9.4
            Some(event) => Err(ChannelError::Malformed(format!("{event:?}"))),
            None => Ok(None),
        }
    }

    fn codec(&self) -> MutexGuard<'_, Connection> {
        self.codec.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ChannelError {
    ChannelError::Lost(io::Error::other(error))
}

/// Octets of one frame: what one read takes.
pub const PIECE_MAX: usize = 128 << 10;

/// Octets that wait to be written when a further piece is taken.
const QUEUED_MAX: usize = 128 << 10;
