//! `zocp midi`: a device of MIDI as a node, until it is told to end.
//!
//! Not here: all of it, which is `zocp_faces::midi`.

use zocp_faces::midi::{MidiReady, MidiSystem, run as run_device};

use crate::{args::MidiArgs, command::bridge::end_signals, exit::Failure};

pub(crate) async fn run(args: MidiArgs) -> Result<(), Failure> {
    let options = args.into_options()?;
    let shutdown = end_signals(&[])?;
    Ok(Box::pin(run_device(options, told, shutdown)).await?)
}

fn told(ready: MidiReady) {
    let client = ready.client;
    match ready.system {
        MidiSystem::Alsa => eprintln!(
            "zocp: the ports of ALSA's sequencer are {client}:0, which it hears, and {client}:1, on which it sends"
        ),
        _ => eprintln!("zocp: the ports of JACK are {client}:in and {client}:out"),
    }
}
