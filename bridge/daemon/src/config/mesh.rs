//! `[mesh]`: who the bridge is among the nodes, and how it finds them.

use std::path::PathBuf;

use serde::Deserialize;
use zocp_node::{BeaconMode, Ipv6};
use zocp_srv::SrvName;

use super::{
    ConfigError, checked_endpoint, checked_name, checked_seconds, host_name, invalid, peers, ports,
    security, texts,
};

/// `[mesh]`: who the bridge is among the nodes, and how it finds them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeshConfig {
    /// The name of the bridge as other nodes see it. Default: the host's name.
    pub name: Option<String>,
    /// Names or addresses of the network interfaces to use. Default: every usable one.
    pub interface: Option<Vec<String>>,
    /// How peers are found: "broadcast", "multicast" or "off". Default: "broadcast".
    pub beacon: Option<Beacon>,
    /// Which families of addresses are used: "auto" for both, "off" for IPv4 alone, "only" for IPv6 alone. Default:
    /// "auto".
    pub ipv6: Option<Ipv6Choice>,
    /// The UDP port of the beacons. Default: 5670, on a secure mesh 5669.
    pub port: Option<u16>,
    /// The TCP port for peers, or a range, of which the first that is free is taken. Default: the system chooses.
    #[serde(deserialize_with = "ports::text")]
    pub mailbox_port: Option<String>,
    /// Endpoints, "tcp://HOST:PORT", of peers to meet without beacons, or names with SRV records of such,
    /// "srv:_zocp._tcp.DOMAIN". Default: none.
    pub peers: Option<Vec<String>>,
    /// Endpoints, "tcp://HOST:PORT", of nodes with which to exchange who is there, where no beacon reaches. One, or a
    /// list. Default: none.
    #[serde(deserialize_with = "texts::one_or_more")]
    pub gossip: Option<Vec<String>>,
    /// Where to listen for such nodes, "tcp://ADDRESS:PORT". Default: nowhere.
    pub gossip_listen: Option<String>,
    /// Groups to be in besides ZOCP. Default: none.
    pub groups: Option<Vec<String>>,
    /// Seconds of silence after which a peer is asked for a sign of life. Default: 5.
    pub evasive: Option<f64>,
    /// Seconds of silence after which a peer is gone. Default: 30.
    pub expiry: Option<f64>,
    /// Whether the mesh is this machine alone, on its loopback. Default: false.
    pub loopback: Option<bool>,
    /// The file with this bridge's key, which makes the mesh a secure one. Default: none.
    pub key: Option<PathBuf>,
    /// The keys of the nodes to meet on a secure mesh. Default: none.
    pub trusted: Option<Vec<String>>,
    /// Whether a node of a secure mesh is trusted from its first use of a key on. Default: false.
    pub first_use: Option<bool>,
}

impl MeshConfig {
    /// Lays what is said here over what is said below.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            name: self.name.or(below.name),
            interface: self.interface.or(below.interface),
            beacon: self.beacon.or(below.beacon),
            ipv6: self.ipv6.or(below.ipv6),
            port: self.port.or(below.port),
            mailbox_port: self.mailbox_port.or(below.mailbox_port),
            peers: self.peers.or(below.peers),
            gossip: self.gossip.or(below.gossip),
            gossip_listen: self.gossip_listen.or(below.gossip_listen),
            groups: self.groups.or(below.groups),
            evasive: self.evasive.or(below.evasive),
            expiry: self.expiry.or(below.expiry),
            loopback: self.loopback.or(below.loopback),
            key: self.key.or(below.key),
            trusted: self.trusted.or(below.trusted),
            first_use: self.first_use.or(below.first_use),
        }
    }

    /// The node of a mesh that is meant, and the names by which DNS tells of further peers.
    pub(super) fn check(self) -> Result<(zocp_node::Config, Vec<SrvName>), ConfigError> {
        let mut node = zocp_node::Config::new(match self.name {
            Some(name) => checked_name("mesh.name", name)?,
            None => host_name(),
        });
        node.interfaces = self.interface.unwrap_or_default();
        node.loopback = self.loopback.unwrap_or(node.loopback);
        node.beacon = self.beacon.map_or(node.beacon, BeaconMode::from);
        node.ipv6 = self.ipv6.map_or(node.ipv6, Ipv6::from);
        if node.loopback && node.ipv6 == Ipv6::Only {
            let reason =
                "on the loopback alone (mesh.loopback) the mesh is IPv4: leave \"only\" out";
            return Err(invalid("mesh.ipv6", &reason));
        }
        node.security = security(self.key.as_deref(), self.trusted, self.first_use)?;
        node.beacon_port = Some(self.port.unwrap_or_else(|| node.beacon_port()));
        if node.beacon_port == Some(0) {
            return Err(invalid("mesh.port", &"0 is no port"));
        }
        node.mailbox_ports = self.mailbox_port.map(ports::checked).transpose()?;
        let srv = peers::apply(&mut node, self.peers.unwrap_or_default())?;
        gossip(
            &mut node,
            self.gossip.unwrap_or_default(),
            self.gossip_listen,
        )?;
        for group in self.groups.unwrap_or_default() {
            node.groups.push(checked_name("mesh.groups", group)?);
        }
        silences(&mut node, self.evasive, self.expiry)?;
        Ok((node, srv))
    }
}

/// How peers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beacon {
    /// A datagram each second to the broadcast address of each network.
    Broadcast,
    /// A datagram each second to the group 225.25.25.25.
    Multicast,
    /// Not at all: only configured peers, and those that greet.
    Off,
}

impl From<Beacon> for BeaconMode {
    fn from(beacon: Beacon) -> Self {
        match beacon {
            Beacon::Broadcast => Self::Broadcast,
            Beacon::Multicast => Self::Multicast,
            Beacon::Off => Self::Off,
        }
    }
}

/// Which families of addresses are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6Choice {
    /// IPv4, and IPv6 where a link has it.
    Auto,
    /// IPv4 alone.
    Off,
    /// IPv6 alone.
    Only,
}

impl From<Ipv6Choice> for Ipv6 {
    fn from(choice: Ipv6Choice) -> Self {
        match choice {
            Ipv6Choice::Auto => Self::Auto,
            Ipv6Choice::Off => Self::Off,
            Ipv6Choice::Only => Self::Only,
        }
    }
}

/// Whom to ask who is there, and where to be asked.
fn gossip(
    node: &mut zocp_node::Config,
    servers: Vec<String>,
    listen: Option<String>,
) -> Result<(), ConfigError> {
    for server in servers {
        node.gossip.push(checked_endpoint("mesh.gossip", server)?);
    }
    let listen = listen.map(|listen| checked_endpoint("mesh.gossip_listen", listen));
    node.gossip_listen = listen.transpose()?;
    if let Some(listen) = &node.gossip_listen {
        let place = listen.trim_start_matches("tcp://");
        if place.parse::<std::net::SocketAddr>().is_err() {
            let reason = format!("\"{listen}\" is not tcp://ADDRESS:PORT");
            return Err(invalid("mesh.gossip_listen", &reason));
        }
    }
    let has_gossip = !node.gossip.is_empty() || node.gossip_listen.is_some();
    if has_gossip && node.security.is_some() {
        let reason =
            "gossip is not encrypted: on a secure mesh name the `peers` with their keys instead";
        return Err(invalid("mesh.gossip", &reason));
    }
    Ok(())
}

/// After which silence a peer is asked for a sign of life, and after which it is gone.
fn silences(
    node: &mut zocp_node::Config,
    evasive: Option<f64>,
    expiry: Option<f64>,
) -> Result<(), ConfigError> {
    if let Some(seconds) = evasive {
        node.silence_ping = checked_seconds("mesh.evasive", seconds)?;
    }
    if let Some(seconds) = expiry {
        node.silence_max = checked_seconds("mesh.expiry", seconds)?;
    }
    if node.silence_max <= node.silence_ping {
        let (expiry, evasive) = (node.silence_max, node.silence_ping);
        let reason = format!("{expiry:?} must be more than mesh.evasive, {evasive:?}");
        return Err(invalid("mesh.expiry", &reason));
    }
    Ok(())
}
