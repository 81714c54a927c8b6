//! The arguments of `zocp exec`.

use std::{ffi::OsString, time::Duration};

use clap_complete::engine::ArgValueCandidates;

use super::{export::service_pattern, until::time};
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
    #[arg(long, value_name = "SERVICE", value_parser = service_pattern, add = ArgValueCandidates::new(complete::services))]
    pub(crate) also: Vec<String>,
    /// Have the program find the bus as the system bus, instead of as the session bus
    #[arg(long)]
    pub(crate) system: bool,
    /// Wait so long, 5 or 1.5s or 2m, for a node that is not there yet, or exports nothing yet
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// The program, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}
