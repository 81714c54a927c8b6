//! The arguments of `zocp bridge`.

use std::{ffi::OsString, path::PathBuf};

use clap::ValueEnum;
use clap_complete::engine::ArgValueCandidates;
use zocp_daemon::config::{
    Beacon, BusConfig, Config, ConfigError, ExportConfig, MeshConfig, StateConfig,
};

use crate::{
    complete,
    exit::{Exit, Failure},
};

/// What the bridge takes.
#[derive(Debug, clap::Args)]
pub(crate) struct BridgeArgs {
    /// The name of the bridge on the mesh; the host's name by default
    #[arg(long, env = "ZOCP_NAME", hide_env_values = true)]
    name: Option<String>,
    /// A network interface to use, by name or address; every usable one by default
    #[arg(
        long,
        value_name = "INTERFACE",
        env = "ZOCP_INTERFACE",
        value_delimiter = ',',
        add = ArgValueCandidates::new(complete::interfaces)
    )]
    #[arg(hide_env_values = true)]
    interface: Option<Vec<String>>,
    /// How peers are found; broadcast by default
    #[arg(long, env = "ZOCP_BEACON", value_enum, hide_env_values = true)]
    beacon: Option<BeaconArg>,
    /// The UDP port of the beacons; 5670 by default
    #[arg(long, env = "ZOCP_PORT", hide_env_values = true)]
    port: Option<u16>,
    /// The TCP port for peers, or a range such as 49152-49160, of which the first that is free is taken; the
    /// system chooses by default
    #[arg(
        long,
        value_name = "PORT",
        env = "ZOCP_MAILBOX_PORT",
        hide_env_values = true
    )]
    mailbox_port: Option<String>,
    /// A peer to meet without beacons, tcp://HOST:PORT, or a name with SRV records of such,
    /// srv:_zocp._tcp.DOMAIN
    #[arg(
        long,
        value_name = "ENDPOINT",
        env = "ZOCP_PEER",
        value_delimiter = ','
    )]
    #[arg(hide_env_values = true)]
    peer: Option<Vec<String>>,
    /// A service of this bus that every peer may use, org.example.Name or org.example.*
    #[arg(
        long,
        value_name = "SERVICE",
        env = "ZOCP_EXPORT",
        value_delimiter = ','
    )]
    #[arg(hide_env_values = true)]
    export: Vec<String>,
    /// The configuration file; by default $XDG_CONFIG_HOME/zocp/bridge.toml, else
    /// /etc/zocp/bridge.toml
    #[arg(long, value_name = "FILE", env = "ZOCP_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// The directory for what outlives the bridge; by default $XDG_STATE_HOME/zocp; '' for none
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ZOCP_STATE",
        hide_env_values = true
    )]
    state: Option<OsString>,
}

impl BridgeArgs {
    /// What flags and environment say, to be laid over the file.
    pub(crate) fn into_config(self, bus: Option<String>) -> Config {
        Config {
            mesh: MeshConfig {
                name: self.name,
                interface: self.interface,
                beacon: self.beacon.map(Beacon::from),
                port: self.port,
                mailbox_port: self.mailbox_port,
                peers: self.peer,
                ..MeshConfig::default()
            },
            bus: BusConfig { address: bus },
            state: StateConfig {
                directory: self.state.map(PathBuf::from),
            },
            export: self.export.into_iter().map(ExportConfig::talk).collect(),
            ..Config::default()
        }
    }
}

/// What is wrong with what a flag or its variable said, by the flag's name too.
pub(crate) fn of_flag(error: ConfigError) -> Failure {
    match error {
        ConfigError::Invalid { key, reason } => {
            let flag = flag_of(key).map(|flag| format!(" ({flag})"));
            let text = format!("{key}{}: {reason}", flag.unwrap_or_default());
            Failure::new(Exit::Usage, text)
        }
        error => error.into(),
    }
}

/// The flag that says the same as a key of the configuration.
fn flag_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "mesh.name" => "--name",
        "mesh.port" => "--port",
        "mesh.mailbox_port" => "--mailbox-port",
        "mesh.peers" => "--peer",
        "bus.address" => "--bus",
        _ => return None,
    })
}

/// How peers are found.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum BeaconArg {
    /// A datagram each second to each network's broadcast address
    Broadcast,
    /// A datagram each second to the group 225.25.25.25
    Multicast,
    /// Only configured peers, and those that greet
    Off,
}

impl From<BeaconArg> for Beacon {
    fn from(beacon: BeaconArg) -> Self {
        match beacon {
            BeaconArg::Broadcast => Self::Broadcast,
            BeaconArg::Multicast => Self::Multicast,
            BeaconArg::Off => Self::Off,
        }
    }
}
