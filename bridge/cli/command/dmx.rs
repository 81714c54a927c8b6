//! `zocp dmx`: a universe of sACN or Art-Net as a node, until it is told to end.
//!
//! Not here: all of it, which is `zocp_faces::dmx`.

use zocp_faces::dmx::{DmxReady, run as run_universe};

use crate::{args::DmxArgs, command::bridge::end_signals, exit::Failure};

pub(crate) async fn run(args: DmxArgs) -> Result<(), Failure> {
    let options = args.into_options()?;
    let shutdown = end_signals(&[])?;
    Ok(Box::pin(run_universe(options, told, shutdown)).await?)
}

fn told(ready: DmxReady) {
    let networks: Vec<String> = ready.networks.iter().map(ToString::to_string).collect();
    eprintln!(
        "zocp: {} channels are {} on {}",
        ready.channels,
        if ready.sends { "sent" } else { "received" },
        networks.join(", ")
    );
}
