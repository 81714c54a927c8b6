//! The arguments of `zocp dmx`.

use std::{net::Ipv4Addr, path::PathBuf};

use zocp_faces::dmx::{DmxOptions, Protocol};

use super::face::FaceArgs;
use crate::exit::Failure;

/// What a universe takes.
#[derive(Debug, clap::Args)]
pub(crate) struct DmxArgs {
    /// With sACN (E1.31), which is the default
    #[arg(long)]
    sacn: bool,
    /// With Art-Net
    #[arg(long, conflicts_with = "sacn")]
    artnet: bool,
    /// The universe: 1 to 63999 of sACN, 0 to 32767 of Art-Net (net, subnet and universe in one number)
    #[arg(long, value_name = "N")]
    universe: u16,
    /// Send it to this machine alone, and not to the multicast group or to who asks for it; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    send: Vec<Ipv4Addr>,
    /// The name of its node on the mesh
    #[arg(long, default_value = "dmx")]
    name: String,
    #[command(flatten)]
    face: FaceArgs,
    /// The file that says which channels are which capabilities, and which way they go
    patch: PathBuf,
}

impl DmxArgs {
    pub(crate) fn into_options(self) -> Result<DmxOptions, Failure> {
        let protocol = if self.artnet {
            Protocol::ArtNet
        } else {
            Protocol::Sacn
        };
        let mesh = self.face.mesh(&self.name)?;
        let mut options = DmxOptions::new(mesh, protocol, self.universe, self.patch);
        options.send = self.send;
        options.allow = self.face.allow()?;
        Ok(options)
    }
}
