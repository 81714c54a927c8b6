//! The arguments of `zocp service`.

use clap::Subcommand;

/// What is done with the service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Start the bridge with the session of this user, or with --system with the machine
    Install(ServiceArgs),
    /// Stop it, and take the files of `install` away
    Remove(ServiceArgs),
}

/// Which service, and whether for real.
#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    /// On the system bus, for all users of the machine, as the user zocp; needs root
    #[arg(long)]
    pub(crate) system: bool,
    /// Print the files and the commands, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
