//! The arguments of `zocp osc`.

use std::net::SocketAddr;

use zocp_faces::osc::{OscOptions, Target};

use super::face::FaceArgs;
use crate::exit::Failure;

/// What a face of OSC takes.
#[derive(Debug, clap::Args)]
pub(crate) struct OscArgs {
    /// Where it listens for OSC, with UDP and TCP
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Send values to a program, [tcp://|slip://]HOST:PORT, or only those below an address, HOST:PORT/lamp;
    /// may be given several times
    #[arg(long, value_name = "HOST:PORT[/PREFIX]")]
    send: Vec<Target>,
    /// The name of its own node on the mesh
    #[arg(long, default_value = "osc")]
    name: String,
    #[command(flatten)]
    face: FaceArgs,
    /// Only these nodes, by name, label, or the beginning of their UUID; all by default
    node: Vec<String>,
}

impl OscArgs {
    pub(crate) fn into_options(self) -> Result<OscOptions, Failure> {
        let mut options = OscOptions::new(self.face.mesh(&self.name), self.listen);
        options.send = self.send;
        options.allow = self.face.allow()?;
        options.nodes = self.node;
        Ok(options)
    }
}
