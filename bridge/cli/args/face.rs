//! What every face of another protocol takes: its node on the mesh, and who may send to it.

use std::{env, ffi::OsString, path::PathBuf};

use zocp_daemon::config;
use zocp_faces::{Allow, MeshOptions};

use super::of_flag;
use crate::exit::{Exit, Failure};

/// The node of a face.
#[derive(Debug, clap::Args)]
pub(crate) struct MeshArgs {
    /// A network interface for the mesh, by name or address; every usable one by default
    #[arg(long, value_name = "INTERFACE", value_delimiter = ',')]
    interface: Vec<String>,
    /// The UDP port of the beacons; 5670 by default
    #[arg(long)]
    port: Option<u16>,
    /// A peer to meet without beacons, tcp://HOST:PORT, or a name with SRV records of such,
    /// srv:_zocp._tcp.DOMAIN
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    peer: Vec<String>,
    /// The file with its key, of `zocp key new`, for a secure mesh
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The key of a node of a secure mesh to meet; may be given several times
    #[arg(long, value_name = "KEY", requires = "key")]
    trusted: Vec<String>,
    /// Trust a node of a secure mesh from the first use of its key on, until this ends
    #[arg(long, requires = "key")]
    first_use: bool,
}

impl MeshArgs {
    /// The node, by this name.
    pub(crate) fn mesh(&self, name: &str) -> Result<MeshOptions, Failure> {
        if name.is_empty() {
            return Err(Failure::new(Exit::Usage, "the name of a node is not empty"));
        }
        let mut mesh = MeshOptions::new(name);
        if let Some(key) = &self.key {
            let trusted = Some(self.trusted.clone());
            let security = config::security(Some(key), trusted, Some(self.first_use));
            mesh.security = security.map_err(of_flag)?;
        }
        mesh.interfaces.clone_from(&self.interface);
        mesh.beacon_port = self.port;
        mesh.peers.clone_from(&self.peer);
        Ok(mesh)
    }
}

/// The node of a face, and who may send to it.
#[derive(Debug, clap::Args)]
pub(crate) struct FaceArgs {
    #[command(flatten)]
    mesh: MeshArgs,
    /// A network whose programs may send to it, such as 192.168.1.0/24. By default OSC accepts this machine only, and DMX
    /// every host on the networks of the mesh
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    allow: Vec<String>,
}

impl FaceArgs {
    pub(crate) fn mesh(&self, name: &str) -> Result<MeshOptions, Failure> {
        self.mesh.mesh(name)
    }

    pub(crate) fn allow(&self) -> Result<Allow, Failure> {
        let allow = Allow::parse(&self.allow);
        allow.map_err(|error| Failure::new(Exit::Usage, format!("--allow: {error}")))
    }
}

/// The directory for what outlives a face: what the flag says, none for an empty one, else the user's.
pub(crate) fn state_folder(said: Option<OsString>) -> Option<PathBuf> {
    if let Some(said) = said {
        return (!said.is_empty()).then(|| said.into());
    }
    let path = |name| env::var_os(name).map(PathBuf::from);
    config::state_place(path("XDG_STATE_HOME"), path("HOME"))
}
