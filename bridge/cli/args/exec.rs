//! The arguments of `zocp exec`.

use std::{ffi::OsString, time::Duration};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap_complete::engine::ArgValueCandidates;

use crate::complete;

/// What runs where.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecArgs {
    /// A node whose services are on the bus: its name, its label, or the beginning of its UUID. Of several
    /// that have a service of one name, the one that is named first has the name
    #[arg(required = true, value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub(crate) nodes: Vec<String>,
    /// Let a service of this machine in under its own name, for instance org.freedesktop.Notifications, or
    /// org.freedesktop.portal.* for that name and all below it; may be repeated
    #[arg(long, value_name = "SERVICE")]
    pub(crate) also: Vec<String>,
    /// Have the program find the bus as the system bus, instead of as the session bus
    #[arg(long)]
    pub(crate) system: bool,
    /// Wait this many seconds for a node that is not there yet, or exports nothing yet
    #[arg(long, value_name = "SECONDS", value_parser = OsStringValueParser::new().try_map(seconds))]
    pub(crate) timeout: Option<Duration>,
    /// The program, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// The examples behind the help.
pub(crate) const EXEC_EXAMPLES: &str = "\
Examples:
  zocp exec stage -- playerctl status            # the players of stage, under their own names
  zocp exec stage -- busctl --user list          # what is on the bus
  zocp exec stage --system -- nmcli device       # programs that use the system bus
  zocp exec stage --also org.freedesktop.Notifications -- bash   # every program in this shell
  zocp exec stage foh --timeout 30 -- ./show.py  # two nodes, which may come later";

fn seconds(text: OsString) -> Result<Duration, String> {
    let number = text.to_str().and_then(|text| text.parse::<f64>().ok());
    let seconds = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    seconds.ok_or_else(|| "must be a number of seconds, such as 10 or 0.5".to_owned())
}
