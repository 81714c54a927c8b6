//! What a universe is told before it begins, and what it says then.

use std::{net::Ipv4Addr, path::PathBuf};

use crate::{allow::Allow, mesh::MeshOptions};

/// The protocol of a universe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// E1.31.
    Sacn,
    /// Art-Net 4.
    ArtNet,
}

/// What is told of a universe before its node begins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DmxOptions {
    /// Its node.
    pub mesh: MeshOptions,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number: 1 to 63999 of sACN, 0 to 32767 of Art-Net.
    pub universe: u16,
    /// The file that says which slots are which capabilities.
    pub patch: PathBuf,
    /// To whom it is sent; none: multicast, or who asks for it.
    pub send: Vec<Ipv4Addr>,
    /// From whom packets are taken; none: every host on the networks of the mesh, and this machine. With it, those of the
    /// networks that it names and of 127.0.0.0/8 are accepted: name this machine's own network too if a program here
    /// sends.
    pub allow: Allow,
}

impl DmxOptions {
    /// A universe with a patch.
    #[must_use]
    pub fn new(mesh: MeshOptions, protocol: Protocol, universe: u16, patch: PathBuf) -> Self {
        Self {
            mesh,
            protocol,
            universe,
            patch,
            send: Vec::new(),
            allow: Allow::default(),
        }
    }
}

/// What is told when a universe is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DmxReady {
    /// Whether it is sent, or else heard.
    pub sends: bool,
    /// How many channels it has.
    pub channels: usize,
    /// The addresses of the networks that it is on.
    pub networks: Vec<Ipv4Addr>,
}
