//! The flags of streams.

use std::{ffi::OsString, path::PathBuf};

use clap_complete::engine::ArgValueCandidates;
use zocp_node::model::stream::{Direction, Endpoint};

use crate::complete;

/// Which stream, and what to do with it.
#[derive(Debug, clap::Args)]
pub(crate) struct StreamArgs {
    /// The node: its name, its label, or the beginning of its UUID
    #[arg(add = ArgValueCandidates::new(complete::nodes))]
    pub(crate) node: String,
    /// The stream: its name, or with the objects before it, `cam.picture`
    #[arg(add = ArgValueCandidates::new(complete::streams))]
    pub(crate) name: String,
    /// How: direct (a socket to the node), multicast or relay (over the mesh); by default what leads there
    #[arg(long, value_parser = ["direct", "multicast", "relay"])]
    pub(crate) way: Option<String>,
    /// Which, where a source and a sink have the name; by default the source
    #[arg(long, value_parser = ["source", "sink"])]
    pub(crate) direction: Option<String>,
    /// Run this with the stream as descriptor 3, in place of zocp
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// A stream to be offered.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfferArgs {
    /// Offer a source of this name instead of a value
    #[arg(long, value_name = "STREAM", group = "stream", conflicts_with = "name")]
    source: Option<String>,
    /// Offer a sink of this name instead of a value
    #[arg(long, value_name = "STREAM", group = "stream", conflicts_with = "name")]
    sink: Option<String>,
    /// Where the stream is: tcp://ADDRESS:PORT, udp://ADDRESS:PORT or unix:PATH; may be given several times
    #[arg(
        long,
        value_name = "ENDPOINT",
        requires = "stream",
        conflicts_with = "command"
    )]
    pub(crate) endpoint: Vec<Endpoint>,
    /// octets, packets or rtp; by default what the endpoint has
    #[arg(long, value_parser = ["octets", "packets", "rtp"], requires = "stream")]
    pub(crate) framing: Option<String>,
    /// What the stream is, such as video/VP8
    #[arg(long = "type", value_name = "TYPE", requires = "stream")]
    pub(crate) kind: Option<String>,
    /// A file with its description (SDP)
    #[arg(long, value_name = "FILE", requires = "stream")]
    pub(crate) sdp: Option<PathBuf>,
    /// The longest packet
    #[arg(long, value_name = "OCTETS", value_parser = clap::value_parser!(u32).range(1..), requires = "stream")]
    pub(crate) mtu: Option<u32>,
    /// What travels is encrypted by those who send and receive it
    #[arg(long, requires = "stream")]
    pub(crate) srtp: bool,
    /// Offer what this program writes to standard output, or for a sink reads from standard input; it has the
    /// stream as descriptor 3, too. Its end is the end
    #[arg(last = true, value_name = "CMD", requires = "stream")]
    pub(crate) command: Vec<OsString>,
}

impl OfferArgs {
    /// The name and the direction, if a stream is offered.
    pub(crate) fn stream(&self) -> Option<(&str, Direction)> {
        let source = self.source.as_deref().map(|name| (name, Direction::Source));
        source.or_else(|| self.sink.as_deref().map(|name| (name, Direction::Sink)))
    }
}
