//! The arguments of `zocp web` and `zocp top`.

use std::{net::SocketAddr, path::PathBuf};

use clap::ValueEnum;

/// How the page is served.
#[derive(Debug, clap::Args)]
pub(crate) struct WebArgs {
    /// Where to listen; beyond this machine it wants --password-file, and connections are encrypted
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "ZOCP_WEB_LISTEN",
        default_value = "127.0.0.1:8070",
        value_parser = super::socket_address
    )]
    #[arg(hide_env_values = true)]
    pub(crate) listen: SocketAddr,
    /// A name by which browsers call this server, besides localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// What whoever has the printed address may do
    #[arg(long, value_enum, default_value = "patch")]
    pub(crate) role: RoleArg,
    /// A file with a line `ROLE PASSWORD` for each password; nobody else may read it
    #[arg(
        long,
        value_name = "FILE",
        env = "ZOCP_WEB_PASSWORDS",
        hide_env_values = true
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// A certificate of one's own, with its chain, in PEM; encrypts on this machine too
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
}

/// What somebody may do at the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// See everything
    Look,
    /// That, and set values and call methods
    Play,
    /// That, and make wires, save and load scenes
    Patch,
}
