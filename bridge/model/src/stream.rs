//! Streams: the entries `sources` and `sinks` of an object.
//!
//! Model: a [`Stream`] is what is known of one entry: where it is ([`Endpoint`]), how it is cut into packets
//! ([`Framing`]) and what it is. The entries themselves stay in the tree as data, exactly as they came, so that what is
//! not known here survives; [`Object::streams`] reads them.
//! Invariants: STREAM-1. Reading never fails: an entry that is no stream is left out, and so is an endpoint that is none.
//! Limits: `STREAMS_MAX` in each direction of an object, `ENDPOINTS_MAX` of a stream, `SDP_LEN_MAX`, `TYPE_LEN_MAX`
//! and `ENDPOINT_LEN_MAX`; what is beyond is left out. Those of trees hold for them as well.
//! Not here: opening one.
//! Spec: docs/reference/protocol.md §4.7

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use serde_json::Value;

use crate::Object;

/// Which way a stream goes, as seen from its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The node offers what comes from it.
    Source,
    /// The node takes what goes to it.
    Sink,
}

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Octets without limits between them.
    Octets,
    /// Packets.
    Packets,
    /// Packets of RTP; in a stream each has its length before it, RFC 4571.
    Rtp,
}

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `tcp://address:port`: there is a server.
    Tcp(SocketAddrV4),
    /// `udp://address:port`, or a multicast group.
    Udp(SocketAddrV4),
    /// `unix:path`, or `unix:@name` for an abstract one: a server on the node's machine.
    Unix(String),
}

/// What is known of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Where it is, the best first.
    pub endpoints: Vec<Endpoint>,
    /// How it is cut.
    pub framing: Framing,
    /// What it is, as a media type.
    pub kind: Option<String>,
    /// Its description, RFC 8866.
    pub sdp: Option<String>,
    /// The longest packet.
    pub mtu: Option<u32>,
    /// Whether what travels is encrypted by those who send and receive it.
    pub srtp: bool,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Source, Self::Sink];

    /// The entry of an object that has the streams of this direction.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Source => SOURCES,
            Self::Sink => SINKS,
        }
    }

    /// The direction that `source` or `sink` names.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// `source` or `sink`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
        }
    }
}

impl Framing {
    /// As an entry names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Octets => "octets",
            Self::Packets => "packets",
            Self::Rtp => "rtp",
        }
    }

    /// The framing of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Octets, Self::Packets, Self::Rtp]
            .into_iter()
            .find(|it| it.name() == name)
    }

    /// Whether the limits of packets are kept.
    #[must_use]
    pub fn has_packets(self) -> bool {
        self != Self::Octets
    }
}

/// A text that is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is tcp://ADDRESS:PORT, udp://ADDRESS:PORT or unix:PATH, with an IPv4 address")]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.len() > ENDPOINT_LEN_MAX {
            return Err(EndpointError);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let is_path = path.starts_with('/') || (path.starts_with('@') && path.len() > 1);
            let is_legal = is_path && !path.contains('\0');
            return is_legal
                .then(|| Self::Unix(path.to_owned()))
                .ok_or(EndpointError);
        }
        let address = |text: &str| text.parse::<SocketAddrV4>().ok().filter(|it| it.port() > 0);
        let (kind, address): (fn(SocketAddrV4) -> Self, _) = match text.split_once("://") {
            Some(("tcp", rest)) => (Self::Tcp, address(rest)),
            Some(("udp", rest)) => (Self::Udp, address(rest)),
            _ => return Err(EndpointError),
        };
        address.map(kind).ok_or(EndpointError)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Endpoint {
    /// The group, if it is one of multicast.
    #[must_use]
    pub fn group(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Udp(address) => Some(*address.ip()).filter(Ipv4Addr::is_multicast),
            _ => None,
        }
    }
}

impl Stream {
    /// Reads an entry; `None` if it is no stream.
    #[must_use]
    pub fn read(entry: &Value) -> Option<Self> {
        let entry = entry.as_object()?;
        let text = |name: &str, max: usize| {
            let text = entry.get(name)?.as_str()?;
            (text.len() <= max).then(|| text.to_owned())
        };
        let endpoints: Vec<Endpoint> = match entry.get("endpoint") {
            Some(Value::String(one)) => one.parse().into_iter().collect(),
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(|one| one.as_str()?.parse().ok())
                .take(ENDPOINTS_MAX)
                .collect(),
            _ => Vec::new(),
        };
        let natural = match endpoints.first() {
            Some(Endpoint::Udp(_)) => Framing::Packets,
            _ => Framing::Octets,
        };
        let framing = entry.get("framing").and_then(Value::as_str);
        let mtu = entry.get("mtu").and_then(Value::as_u64);
        Some(Self {
            endpoints,
            framing: framing.and_then(Framing::named).unwrap_or(natural),
            kind: text("type", TYPE_LEN_MAX),
            sdp: text("sdp", SDP_LEN_MAX),
            mtu: mtu.and_then(|mtu| u32::try_from(mtu).ok()),
            srtp: entry.get("srtp") == Some(&Value::Bool(true)),
        })
    }
}

impl Object {
    /// The streams of a direction, by name, each with its entry as it came.
    pub fn streams(&self, direction: Direction) -> impl Iterator<Item = (&str, &Value, Stream)> {
        entries(self.data.get(direction.key()))
    }
}

/// The streams in an entry `sources` or `sinks`, each with its entry as it came.
pub fn entries(entry: Option<&Value>) -> impl Iterator<Item = (&str, &Value, Stream)> {
    let entries = entry.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(name, entry)| Some((name.as_str(), entry, Stream::read(entry)?)))
        .take(STREAMS_MAX)
}

const SOURCES: &str = "sources";
const SINKS: &str = "sinks";
/// Streams of one direction of an object.
const STREAMS_MAX: usize = 256;
/// Endpoints of a stream.
const ENDPOINTS_MAX: usize = 16;
/// Octets of an endpoint: more than a path of a Unix socket may have.
const ENDPOINT_LEN_MAX: usize = 128;
/// Octets of a description.
const SDP_LEN_MAX: usize = 16 << 10;
/// Octets of a media type.
const TYPE_LEN_MAX: usize = 256;

#[cfg(test)]
mod tests;
