//! The client of JACK: a port in, a port out.
//!
//! Model: JACK calls a function of ours in its own thread for each period. It hands what came to the face, and writes what
//! the face has for it; it never waits. The queues are those of tokio: a
//! message is copied without a lock, each 32nd allocates, and the first that waits wakes the face by one system call.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jack::{AsyncClient, Client, ClientOptions, Control, MidiIn, MidiOut, ProcessScope, RawMidi};
use tokio::sync::mpsc;

use super::port::{MESSAGES_MAX, Message, Port, PortError};

/// Opens a client of this name.
pub(super) fn open(name: &str) -> Result<Port, PortError> {
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
    Ok(Port {
        _client: Box::new(active),
        incoming,
        outgoing,
        dropped,
        periods: Some(periods),
    })
}
