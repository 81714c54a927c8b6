//! The arguments of `zocp monitor` and `zocp doctor`.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCandidates;

use super::Until;
use crate::complete;

/// What the doctor looks at.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The configuration of the bridge; by default that which it would read here
    #[arg(long, value_name = "FILE", env = "ZOCP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// What of all that happens is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct MonitorArgs {
    /// Only what concerns this peer, by its name or UUID; may be given several times
    #[arg(long, value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub(crate) peer: Vec<String>,
    /// Only messages that say this: SIG, SET, call, signal; may be given several times
    #[arg(long, value_name = "VERB")]
    pub(crate) verb: Vec<String>,
    /// Only D-Bus messages of this service; may be given several times
    #[arg(long, value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    pub(crate) service: Vec<String>,
    /// The beacons of others, too
    #[arg(long)]
    pub(crate) beacons: bool,
    /// Write a capture file, pcapng, which Wireshark opens; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) until: Until,
}
