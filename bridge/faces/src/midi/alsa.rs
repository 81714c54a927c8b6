//! The client of ALSA's sequencer: a port in, a port out.
//!
//! Model: a thread of its own owns the client, waits for its descriptor and for what the face has for it, and neither delays
//! the other. What a port is connected with is up to `aconnect` and others.
//! Needs `unsafe`: ALSA's library gives the number of its descriptor alone, and tokio marks it as unsafe to follow one.
//! Spec: MIDI 1.0; ALSA's sequencer, <https://www.alsa-project.org/alsa-doc/alsa-lib/seq.html>

#![expect(unsafe_code, reason = "see the module's description")]

use std::{
    ffi::{CStr, CString},
    io::{self, ErrorKind},
    os::fd::{BorrowedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use alsa::{
    Direction, PollDescriptors,
    seq::{EventType, MidiEvent, PortCap, PortInfo, PortType, Seq},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Builder,
    sync::mpsc,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::port::{MESSAGES_MAX, Message, Port, PortError};

/// A client.
struct Client {
    seq: Seq,
    out: i32,
    dropped: Arc<AtomicU64>,
}

/// Opens a client of this name.
pub(super) fn open(name: &str) -> Result<Port, PortError> {
    let name = CString::new(name).map_err(|_| PortError::Name(name.to_owned()))?;
    let (come, incoming) = mpsc::channel(MESSAGES_MAX);
    let (outgoing, go) = mpsc::channel(MESSAGES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    // Else the library itself writes to stderr what the error says.
    let quiet = alsa::Output::local_error_handler();
    let client = Client::new(&name, dropped.clone())?;
    drop(quiet);
    let stop = CancellationToken::new();
    let guard: DropGuard = stop.clone().drop_guard();
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let run = move || {
        let run = client.run(come, go);
        if let Some(Err(error)) = runtime.block_on(stop.run_until_cancelled(run)) {
            tracing::warn!(%error, "the sequencer of ALSA");
        }
    };
    thread::Builder::new().name("midi".into()).spawn(run)?;
    Ok(Port {
        _client: Box::new(guard),
        incoming,
        outgoing,
        dropped,
        periods: None,
    })
}

impl Client {
    fn new(name: &CStr, dropped: Arc<AtomicU64>) -> Result<Self, PortError> {
        let seq = Seq::open(None, None, true)?;
        seq.set_client_name(name)?;
        let port = |name: &CStr, can: PortCap| -> alsa::Result<i32> {
            let mut info = PortInfo::empty()?;
            info.set_name(name);
            info.set_capability(can);
            info.set_type(PortType::MIDI_GENERIC | PortType::APPLICATION);
            seq.create_port(&info)?;
            Ok(info.get_port())
        };
        port(c"in", PortCap::WRITE | PortCap::SUBS_WRITE)?;
        let out = port(c"out", PortCap::READ | PortCap::SUBS_READ)?;
        Ok(Self { seq, out, dropped })
    }

    /// The descriptor that is readable when something came.
    fn descriptor(&self) -> Result<RawFd, PortError> {
        let fds = (&self.seq, Some(Direction::Capture)).get()?;
        let fd = fds.first().map(|fd| fd.fd);
        fd.ok_or_else(|| io::Error::from(ErrorKind::NotFound).into())
    }

    /// Passes messages both ways, until the face is gone.
    async fn run(
        self,
        come: mpsc::Sender<Message>,
        mut go: mpsc::Receiver<Message>,
    ) -> Result<(), PortError> {
        // Makes octets of events, and events of octets.
        let mut codec = MidiEvent::new(CODED_LEN)?;
        codec.enable_running_status(false);
        let fd = self.descriptor()?;
        // SAFETY: it is that of `self.seq`, which ends after it.
        let fd = unsafe {
            let fd = BorrowedFd::borrow_raw(fd);
            AsyncFd::register_with_interest(fd, Interest::READABLE)
        };
        let fd = fd.map_err(io::Error::from)?;
        loop {
            // Each branch is cancel-safe: waiting, and receiving.
            tokio::select! {
                ready = fd.readable() => {
                    let mut ready = ready?;
                    self.read(&mut codec, &come)?;
                    ready.clear_ready();
                }
                message = go.recv() => match message {
                    Some(message) => self.write(&mut codec, message)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Hands over all that has come.
    fn read(&self, codec: &mut MidiEvent, come: &mpsc::Sender<Message>) -> Result<(), PortError> {
        let mut input = self.seq.input();
        loop {
            let mut event = match input.event_input() {
                Ok(event) => event,
                Err(error) if kind(&error) == ErrorKind::WouldBlock => return Ok(()),
                // More came than the kernel keeps.
                Err(error) if kind(&error) == ErrorKind::StorageFull => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !is_of_channel(event.get_type()) {
                continue;
            }
            let mut octets = [0; CODED_LEN as usize];
            let Ok(len) = codec.decode(&mut octets, &mut event) else {
                continue;
            };
            for message in messages(octets.get(..len).unwrap_or_default()) {
                if come.try_send(message).is_err() {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn write(&self, codec: &mut MidiEvent, (octets, len): Message) -> Result<(), PortError> {
        let octets = octets.get(..len).unwrap_or(&octets);
        let (_, event) = codec.encode(octets)?;
        let Some(mut event) = event else {
            return Ok(());
        };
        event.set_source(self.out);
        event.set_subs();
        event.set_direct();
        match self.seq.event_output_direct(&mut event) {
            Ok(_) => {}
            // Who gets it takes no more now.
            Err(error) if kind(&error) == ErrorKind::WouldBlock => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn kind(error: &alsa::Error) -> ErrorKind {
    io::Error::from_raw_os_error(error.errno()).kind()
}

/// Whether an event is a message, or several, of a channel.
fn is_of_channel(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::Noteon
            | EventType::Noteoff
            | EventType::Keypress
            | EventType::Controller
            | EventType::Pgmchange
            | EventType::Chanpress
            | EventType::Pitchbend
            | EventType::Control14
            | EventType::Nonregparam
            | EventType::Regparam
    )
}

/// The messages in octets without running status.
fn messages(octets: &[u8]) -> impl Iterator<Item = Message> {
    octets
        .chunk_by(|_, next| next & 0x80 == 0)
        .filter_map(|one| {
            let mut message = [0; 3];
            message.get_mut(..one.len())?.copy_from_slice(one);
            Some((message, one.len()))
        })
}

/// Octets of one event: a parameter is up to four messages.
const CODED_LEN: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_be_several_messages() {
        let several: Vec<Message> = messages(&[0xb0, 7, 64, 0xb0, 39, 3, 0xc1, 5]).collect();
        assert_eq!(
            several,
            [([0xb0, 7, 64], 3), ([0xb0, 39, 3], 3), ([0xc1, 5, 0], 2)]
        );
        assert_eq!(messages(&[]).count(), 0);
        assert_eq!(messages(&[0xf0, 1, 2, 3, 0xf7]).count(), 1, "what fits");
    }

    #[test]
    fn where_there_is_no_sequencer_that_is_said() {
        if std::path::Path::new("/dev/snd/seq").exists() {
            return;
        }
        let error = open("faders").map(drop).unwrap_err().to_string();
        assert!(error.contains("modprobe snd-seq"), "{error}");
    }
}
