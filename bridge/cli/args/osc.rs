//! The arguments of `zocp osc`.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use zocp_faces::osc::{OscOptions, ProgramOptions, QueryUrl, Remote, Target};

use super::{
    face::{FaceArgs, state_folder},
    socket_address,
};
use crate::exit::Failure;

/// What a face of OSC takes.
#[derive(Debug, clap::Args)]
pub(crate) struct OscArgs {
    /// Where it listens for OSC, with UDP and TCP; 127.0.0.1:9000 by default, with --remote-query any free port
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
    listen: Option<SocketAddr>,
    /// Describe all addresses there to programs that ask with OSCQuery, HTTP and WebSocket; may be the same as --listen
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_address)]
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
    #[arg(long, value_name = "NAME", requires = "program")]
    #[arg(conflicts_with_all = ["query", "send", "node", "allow", "name"])]
    publish: Option<String>,
    /// Where that program listens; what it sends to --listen is learned as its emitters
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "publish",
        group = "program"
    )]
    remote: Option<String>,
    /// Where that program answers OSCQuery, http://HOST:PORT: what it says it has becomes the node, and follows it when it
    /// changes or starts again
    #[arg(long, value_name = "URL", requires = "publish", group = "program")]
    remote_query: Option<QueryUrl>,
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

/// Where a face of OSC listens.
const LISTEN_PORT: u16 = 9000;

/// Which way it goes.
pub(crate) enum OscFace {
    /// The mesh for programs that speak OSC.
    Mesh(OscOptions),
    /// A program that speaks OSC for the mesh.
    Program(ProgramOptions),
}

impl OscArgs {
    pub(crate) fn into_face(self) -> Result<OscFace, Failure> {
        let remote = self.remote.map(Remote::Osc);
        let remote = remote.or_else(|| self.remote_query.map(Remote::Query));
        let port = match &remote {
            Some(Remote::Query(_)) => 0,
            _ => LISTEN_PORT,
        };
        let listen = self.listen;
        let listen = listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into());
        if let (Some(name), Some(remote)) = (&self.publish, remote) {
            let mut options = ProgramOptions::new(self.face.mesh(name)?, listen, remote);
            options.map = self.map;
            options.state = state_folder(self.state);
            return Ok(OscFace::Program(options));
        }
        let mut options = OscOptions::new(self.face.mesh(&self.name)?, listen);
        options.query = self.query;
        options.send = self.send;
        options.allow = self.face.allow()?;
        options.nodes = self.node;
        Ok(OscFace::Mesh(options))
    }
}
