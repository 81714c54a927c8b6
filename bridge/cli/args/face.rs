//! What every face of another protocol takes: its node on the mesh, and who may send to it.

use std::{env, ffi::OsString, path::PathBuf};

use zocp_faces::{Allow, MeshOptions};

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
    /// A peer to meet without beacons, tcp://HOST:PORT
    #[arg(long, value_name = "ENDPOINT", value_delimiter = ',')]
    peer: Vec<String>,
}

impl MeshArgs {
    /// The node, by this name.
    pub(crate) fn mesh(&self, name: &str) -> MeshOptions {
        let mut mesh = MeshOptions::new(name);
        mesh.interfaces.clone_from(&self.interface);
        mesh.beacon_port = self.port;
        mesh.peers.clone_from(&self.peer);
        mesh
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
    pub(crate) fn mesh(&self, name: &str) -> MeshOptions {
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
    zocp_daemon::config::state_place(path("XDG_STATE_HOME"), path("HOME"))
}
