//! The arguments of `zocp osc`.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use zocp_faces::osc::{OscOptions, ProgramOptions, Target};

use super::face::{FaceArgs, state_folder};
use crate::exit::Failure;

/// What a face of OSC takes.
#[derive(Debug, clap::Args)]
pub(crate) struct OscArgs {
    /// Where it listens for OSC, with UDP and TCP
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Describe all addresses there to programs that ask with OSCQuery, HTTP and WebSocket; may be the same as --listen
    #[arg(long, value_name = "ADDR:PORT")]
    query: Option<SocketAddr>,
    /// Send values to a program, [tcp://|slip://]HOST:PORT, or only those below an address, HOST:PORT/lamp;
    /// may be given several times
    #[arg(long, value_name = "HOST:PORT[/PREFIX]")]
    send: Vec<Target>,
    /// The name of its own node on the mesh
    #[arg(long, default_value = "osc")]
    name: String,
    #[command(flatten)]
    face: FaceArgs,
    /// The other way around: show a program that speaks OSC as a node of this name
    #[arg(long, value_name = "NAME", requires = "remote")]
    #[arg(conflicts_with_all = ["query", "send", "node", "allow", "name"])]
    publish: Option<String>,
    /// Where that program listens; what it sends to --listen is learned as its emitters
    #[arg(long, value_name = "HOST:PORT", requires = "publish")]
    remote: Option<String>,
    /// A file that says which of its addresses are which capabilities, with names, types, ranges and directions
    #[arg(long, value_name = "FILE", requires = "publish")]
    map: Option<PathBuf>,
    /// The directory for what was learned; by default $XDG_STATE_HOME/zocp; '' for none
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ZOCP_STATE",
        hide_env_values = true
    )]
    state: Option<OsString>,
    /// Only these nodes, by name, label, or the beginning of their UUID; all by default
    node: Vec<String>,
}

/// Which way it goes.
pub(crate) enum OscFace {
    /// The mesh for programs that speak OSC.
    Mesh(OscOptions),
    /// A program that speaks OSC for the mesh.
    Program(ProgramOptions),
}

impl OscArgs {
    pub(crate) fn into_face(self) -> Result<OscFace, Failure> {
        if let (Some(name), Some(remote)) = (&self.publish, self.remote) {
            let mut options = ProgramOptions::new(self.face.mesh(name), self.listen, remote);
            options.map = self.map;
            options.state = state_folder(self.state);
            return Ok(OscFace::Program(options));
        }
        let mut options = OscOptions::new(self.face.mesh(&self.name), self.listen);
        options.query = self.query;
        options.send = self.send;
        options.allow = self.face.allow()?;
        options.nodes = self.node;
        Ok(OscFace::Mesh(options))
    }
}
