//! Where messages of MIDI come from and go to: a client of JACK, or of ALSA's sequencer.
//!
//! Limits: [`MESSAGES_MAX`] messages wait each way; further ones are dropped and counted. A message is at most three octets;
//! longer ones (system exclusive) are not looked at.

use std::sync::{Arc, atomic::AtomicU64};

use tokio::sync::mpsc;

/// A message of MIDI.
pub(super) type Message = ([u8; 3], usize);

/// What a device is a client of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MidiSystem {
    /// JACK, which `jackd` or PipeWire provides.
    #[default]
    Jack,
    /// ALSA's sequencer, a part of Linux.
    Alsa,
}

/// The client, as long as it lives.
#[cfg_attr(not(feature = "midi"), allow(dead_code, reason = "never there"))]
pub(super) struct Port {
    pub(super) _client: Box<dyn Send>,
    /// What comes. It ends with the client.
    pub(super) incoming: mpsc::Receiver<Message>,
    pub(super) outgoing: mpsc::Sender<Message>,
    /// What there was no place for.
    pub(super) dropped: Arc<AtomicU64>,
    /// The periods so far, of a client that has some: no more come when its server has ended.
    pub(super) periods: Option<Arc<AtomicU64>>,
}

/// There is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum PortError {
    /// No server, or no library.
    #[cfg(feature = "midi")]
    #[error("JACK: {0}. Is jackd or PipeWire running, and libjack installed?")]
    Jack(#[from] jack::Error),
    /// No sequencer, or it refuses.
    #[cfg(feature = "midi")]
    #[error(
        "the sequencer of ALSA: {0}. Is /dev/snd/seq there, or does `modprobe snd-seq` make it?"
    )]
    Alsa(#[from] alsa::Error),
    /// Its thread could not be started.
    #[cfg(feature = "midi")]
    #[error("a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The name has an octet that no name has.
    #[cfg(feature = "midi")]
    #[error("the name {0:?} has an octet 0")]
    Name(String),
    /// This program has no MIDI.
    #[cfg(not(feature = "midi"))]
    #[error(
        "this zocp was built without MIDI: cargo install --path . --features midi, with libjack-jackd2-dev and libasound2-dev"
    )]
    Absent,
}

#[cfg_attr(not(feature = "midi"), allow(dead_code, reason = "never there"))]
/// Messages that wait each way: more than a line of MIDI carries in a second.
pub(super) const MESSAGES_MAX: usize = 2048;
