//! The client of JACK: a port in, a port out.
//!
//! Model: JACK calls a function of ours in its own thread for each period. It hands what came to the face, and writes what
//! the face has for it; it never waits. The queues are those of tokio: a
//! message is copied without a lock, each 32nd allocates, and the first that waits wakes the face by one system call.
//! Limits: [`MESSAGES_MAX`] messages wait each way; further ones are dropped and counted. A message is at most three octets;
//! longer ones (system exclusive) are not looked at.

#[cfg(feature = "midi")]
use std::sync::atomic::Ordering;
use std::sync::{Arc, atomic::AtomicU64};

#[cfg(feature = "midi")]
use jack::{AsyncClient, Client, ClientOptions, Control, MidiIn, MidiOut, ProcessScope, RawMidi};
use tokio::sync::mpsc;

/// A message of MIDI.
pub(crate) type Message = ([u8; 3], usize);

/// The client, as long as it lives.
#[cfg_attr(not(feature = "midi"), allow(dead_code, reason = "never there"))]
pub(crate) struct Port {
    _client: Box<dyn Send>,
    /// What comes.
    pub(crate) incoming: mpsc::Receiver<Message>,
    pub(crate) outgoing: mpsc::Sender<Message>,
    /// What there was no place for.
    pub(crate) dropped: Arc<AtomicU64>,
    /// The periods so far: no more come when JACK has ended.
    pub(crate) periods: Arc<AtomicU64>,
}

/// JACK cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JackError {
    /// No server, or no library.
    #[cfg(feature = "midi")]
    #[error("JACK: {0}. Is jackd or PipeWire running, and libjack installed?")]
    Client(#[from] jack::Error),
    /// This program has no MIDI.
    #[cfg(not(feature = "midi"))]
    #[error(
        "this zocp was built without MIDI: cargo install --path . --features midi, with libjack-jackd2-dev"
    )]
    Absent,
}

#[cfg(not(feature = "midi"))]
impl Port {
    /// There is none.
    pub(crate) fn open(_: &str) -> Result<Self, JackError> {
        Err(JackError::Absent)
    }
}

#[cfg(feature = "midi")]
impl Port {
    /// Opens a client of this name.
    pub(crate) fn open(name: &str) -> Result<Self, JackError> {
        let (client, _) = Client::new(name, ClientOptions::NO_START_SERVER)?;
        let input = client.register_port("in", MidiIn::default())?;
        let mut output = client.register_port("out", MidiOut::default())?;
        let (come, incoming) = mpsc::channel(MESSAGES_MAX);
        let (outgoing, mut go) = mpsc::channel::<Message>(MESSAGES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let periods = Arc::new(AtomicU64::new(0));
        let period = Arc::clone(&periods);
        let process = move |_: &Client, scope: &ProcessScope| {
            period.fetch_add(1, Ordering::Relaxed);
            for event in input.iter(scope) {
                let mut octets = [0; 3];
                let Some(place) = octets.get_mut(..event.bytes.len()) else {
                    continue;
                };
                place.copy_from_slice(event.bytes);
                if come.try_send((octets, event.bytes.len())).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            let mut writer = output.writer(scope);
            while let Ok((octets, len)) = go.try_recv() {
                let bytes = octets.get(..len).unwrap_or(&octets);
                if writer.write(&RawMidi { time: 0, bytes }).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Control::Continue
        };
        let process = jack::contrib::ClosureProcessHandler::new(process);
        let active: AsyncClient<_, _> = client.activate_async((), process)?;
        Ok(Self {
            _client: Box::new(active),
            incoming,
            outgoing,
            dropped,
            periods,
        })
    }
}

#[cfg_attr(not(feature = "midi"), allow(dead_code, reason = "never there"))]
/// Messages that wait each way: more than a line of MIDI carries in a second.
pub(crate) const MESSAGES_MAX: usize = 2048;
