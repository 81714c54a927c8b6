//! What a face of OSC is told before it begins.

use std::{net::SocketAddr, str::FromStr};

use super::stream::Framing;
use crate::{allow::Allow, mesh::MeshOptions};

/// What a face of OSC is told before it begins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OscOptions {
    /// Its node.
    pub mesh: MeshOptions,
    /// Where it listens for OSC, with UDP and TCP.
    pub listen: SocketAddr,
    /// Where it answers OSCQuery; the same as `listen` if you like.
    pub query: Option<SocketAddr>,
    /// To whom values are sent.
    pub send: Vec<Target>,
    /// Who may send to it beside programs of this machine.
    pub allow: Allow,
    /// The nodes that are shown, by name, label or identity; none: all.
    pub nodes: Vec<String>,
}

impl OscOptions {
    /// A face at this address, for programs of this machine, with the whole mesh.
    #[must_use]
    pub fn new(mesh: MeshOptions, listen: SocketAddr) -> Self {
        Self {
            mesh,
            listen,
            query: None,
            send: Vec::new(),
            allow: Allow::default(),
            nodes: Vec::new(),
        }
    }
}

/// What is told when a face is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ready {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it answers OSCQuery.
    pub query: Option<SocketAddr>,
    /// The TCP port of its node.
    pub mesh_port: u16,
}

/// How packets go to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// As datagrams.
    Udp,
    /// In a connection.
    Tcp(Framing),
}

/// A destination of values: `[udp://|tcp://|slip://]HOST:PORT[/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// `HOST:PORT`.
    pub place: String,
    /// Only addresses that are this or below it; none: all.
    pub prefix: Option<String>,
}

/// Not a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no destination such as 192.168.1.7:9000, tcp://host:9000 or host:9000/lamp")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let (transport, rest) = match text.split_once("://") {
            Some(("udp", rest)) => (Transport::Udp, rest),
            Some(("tcp", rest)) => (Transport::Tcp(Framing::Length), rest),
            Some(("slip", rest)) => (Transport::Tcp(Framing::Slip), rest),
            Some(_) => return Err(wrong()),
            None => (Transport::Udp, text),
        };
        let (place, prefix) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self {
            transport,
            place: place.to_owned(),
            prefix: (prefix.len() > 1).then(|| prefix.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read() {
        let target = |text: &str| text.parse::<Target>();
        let plain = target("10.0.0.1:9000").unwrap();
        assert_eq!((plain.transport, plain.prefix), (Transport::Udp, None));
        let below = target("tablet:9000/lamp/pan").unwrap();
        assert_eq!(
            (&*below.place, below.prefix.as_deref()),
            ("tablet:9000", Some("/lamp/pan"))
        );
        let tcp = target("tcp://[::1]:9000/").unwrap();
        assert_eq!(
            (tcp.transport, tcp.prefix),
            (Transport::Tcp(Framing::Length), None)
        );
        assert_eq!(
            target("slip://a:1").unwrap().transport,
            Transport::Tcp(Framing::Slip)
        );
        for wrong in ["", "9000", "a:b", ":9000", "http://a:1", "a:70000"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
