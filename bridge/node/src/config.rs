//! The configuration of a node.
//!
//! Limits: see [`Limits`]; those of the protocol cores are defined there and passed through.

use std::time::Duration;

use crate::passing::PassRule;
use crate::ports::Ports;
use crate::security::{SECURE_BEACON_PORT, Security};

/// What a node is, and what it may use. `Config::new("lamp")` is a node on every usable network, with every default.
///
/// Fields can be set directly, or with the methods `with_…`, which can be chained:
///
/// ```
/// use std::time::Duration;
/// use zocp_node::{BeaconMode, Config, Limits};
///
/// let mut limits = Limits::default();
/// limits.call_max = Duration::from_secs(5);
/// let config = Config::new("lamp")
///     .with_interfaces(["eth0"])
///     .with_groups(["stage left"])
///     .with_beacon(BeaconMode::Multicast)
///     .with_limits(limits);
/// assert_eq!(config.beacon_port(), 5670);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The node's name for people. Names need not be unique; peers get at most 255 octets of it.
    pub name: String,
    /// Names or IPv4 addresses of the network interfaces to use; empty: every usable one.
    pub interfaces: Vec<String>,
    /// Whether the mesh is on the loopback only, for demonstrations and tests. If so, `interfaces` is ignored.
    pub loopback: bool,
    /// How peers find each other.
    pub beacon: BeaconMode,
    /// Which families of addresses the mesh uses on each link.
    pub ipv6: Ipv6,
    /// UDP port of the beacons; `None`: 5670, or 5669 on a secure mesh, whose beacons would end old peers.
    pub beacon_port: Option<u16>,
    /// TCP ports for the mailbox, of which the first that is free is taken; `None`: one that the system chooses.
    pub mailbox_ports: Option<Ports>,
    /// Makes the mesh a secure one. `None`: messages are not encrypted, and everybody on the network may take part.
    pub security: Option<Security>,
    /// Endpoints (`tcp://host:port`) of peers to connect to without beacons; on a secure mesh with their keys
    /// (`tcp://host:port|key`).
    pub peers: Vec<String>,
    /// Endpoints of peers, with their keys (`tcp://host:port|key`), that are to answer on the connection that this node
    /// opens, since they cannot open one to it: nodes of another site. Only on a secure mesh. The keys are trusted.
    pub links: Vec<String>,
    /// The venue that this node is in, which peers are told (header `X-ZOCP-VENUE`): at most 24 letters, digits and `-`,
    /// a letter first. Peers of other venues have its name before theirs.
    pub venue: Option<String>,
    /// Which nodes of its venue this node passes on to bridges of other venues that are linked with it.
    pub pass: Vec<PassRule>,
    /// Endpoints (`tcp://host:port`) of nodes with which to exchange who is there, as zyre's gossip does, where no beacon
    /// reaches. Not on a secure mesh.
    pub gossip: Vec<String>,
    /// Where to listen for such nodes, `tcp://address:port`; `None`: nowhere.
    pub gossip_listen: Option<String>,
    /// Groups to join, beside `ZOCP`, in which every node is.
    pub groups: Vec<String>,
    /// Headers to send beside `X-ZOCP` and `X-ZOCP-DBUS`, as name and value.
    pub headers: Vec<(String, String)>,
    /// Whether to ask every ZOCP node for its tree and to follow its changes and emissions.
    pub follow: bool,
    /// Whether peers are told that this node knows the extensions of this project (header `X-ZOCP-DBUS`, protocol.md
    /// §6.1). Without it they treat this node like an old one, such as one of pyZOCP: they do not call its methods.
    pub extended: bool,
    /// Silence of a peer after which it is asked for a sign of life. Default: 5 s.
    pub silence_ping: Duration,
    /// Silence after which a peer is gone; more than `silence_ping`. Default: 30 s.
    pub silence_max: Duration,
    /// Bounds of this crate and of the protocol cores.
    pub limits: Limits,
}

impl Config {
    /// A node of this name with every default.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The same on these network interfaces, by their names or IPv4 addresses.
    #[must_use]
    pub fn with_interfaces<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.interfaces = names.into_iter().map(Into::into).collect();
        self
    }

    /// The same on the loopback only.
    #[must_use]
    pub fn with_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// The same with another way to find peers.
    #[must_use]
    pub fn with_beacon(mut self, beacon: BeaconMode) -> Self {
        self.beacon = beacon;
        self
    }

    /// The same with other families of addresses.
    #[must_use]
    pub fn with_ipv6(mut self, ipv6: Ipv6) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// The same with another UDP port for beacons. Nodes on different ports do not find each other.
    #[must_use]
    pub fn with_beacon_port(mut self, port: u16) -> Self {
        self.beacon_port = Some(port);
        self
    }

    /// The same with the mailbox on the first of these TCP ports that is free.
    #[must_use]
    pub fn with_mailbox_ports(mut self, ports: Ports) -> Self {
        self.mailbox_ports = Some(ports);
        self
    }

    /// The same on a secure mesh.
    #[must_use]
    pub fn with_security(mut self, security: Security) -> Self {
        self.security = Some(security);
        self
    }

    /// The same with peers to connect to without beacons, by their endpoints.
    #[must_use]
    pub fn with_peers<S: Into<String>>(mut self, endpoints: impl IntoIterator<Item = S>) -> Self {
        self.peers = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// The same with peers that answer on the connection that this node opens, by their endpoints and keys.
    #[must_use]
    pub fn with_links<S: Into<String>>(mut self, endpoints: impl IntoIterator<Item = S>) -> Self {
        self.links = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// The same in a venue.
    #[must_use]
    pub fn with_venue(mut self, name: impl Into<String>) -> Self {
        self.venue = Some(name.into());
        self
    }

    /// The same that passes on nodes of its venue.
    #[must_use]
    pub fn with_pass(mut self, rules: impl IntoIterator<Item = PassRule>) -> Self {
        self.pass = rules.into_iter().collect();
        self
    }

    /// The same that exchanges with these nodes, by their endpoints, who is there.
    #[must_use]
    pub fn with_gossip<S: Into<String>>(mut self, endpoints: impl IntoIterator<Item = S>) -> Self {
        self.gossip = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// The same that listens there for such nodes, `tcp://address:port`.
    #[must_use]
    pub fn with_gossip_listen(mut self, endpoint: impl Into<String>) -> Self {
        self.gossip_listen = Some(endpoint.into());
        self
    }

    /// The same in these groups, beside `ZOCP`.
    #[must_use]
    pub fn with_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same without asking other nodes for their trees.
    #[must_use]
    pub fn without_following(mut self) -> Self {
        self.follow = false;
        self
    }

    /// The same without the header `X-ZOCP-DBUS`, so that peers treat this node like an old one.
    #[must_use]
    pub fn without_extensions(mut self) -> Self {
        self.extended = false;
        self
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The UDP port of the beacons: the chosen one or the default.
    #[must_use]
    pub fn beacon_port(&self) -> u16 {
        let default = match &self.security {
            Some(security) if !security.is_for_links() => SECURE_BEACON_PORT,
            _ => BEACON_PORT,
        };
        self.beacon_port.unwrap_or(default)
    }
}

/// The group in which every ZOCP node is.
pub(crate) const ZOCP_GROUP: &str = "ZOCP";

/// The port that zyre and pyre use.
const BEACON_PORT: u16 = 5670;

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::from("zocp"),
            interfaces: Vec::new(),
            loopback: false,
            beacon: BeaconMode::Broadcast,
            ipv6: Ipv6::Auto,
            beacon_port: None,
            mailbox_ports: None,
            security: None,
            peers: Vec::new(),
            links: Vec::new(),
            venue: None,
            pass: Vec::new(),
            gossip: Vec::new(),
            gossip_listen: None,
            groups: Vec::new(),
            headers: Vec::new(),
            follow: true,
            extended: true,
            silence_ping: Duration::from_secs(5),
            silence_max: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// Which families of addresses the mesh uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ipv6 {
    /// IPv4, and IPv6 on each link that has a link-local address of it. Beacons of IPv4 are sent first.
    #[default]
    Auto,
    /// IPv4 alone.
    Off,
    /// IPv6 alone.
    Only,
}

/// How peers find each other: where beacons are sent, 36/ZRE "Node discovery".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BeaconMode {
    /// To the broadcast address of each network; multicast on the loopback, which has none.
    #[default]
    Broadcast,
    /// To the group 225.25.25.25 on each network.
    Multicast,
    /// No beacons: this node meets only the peers that it is configured with, and those that connect to it.
    Off,
}

/// Every bound of a node, and what happens when it is reached.
///
/// ```
/// let mut limits = zocp_node::Limits::default();
/// limits.zre.peers_max = 100;
/// limits.beacons_max = 1000;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bounds of each connection; when one is reached the connection ends.
    pub zmtp: zocp_zmtp::Limits,
    /// Bounds of peers, connections and messages.
    pub zre: zocp_zre::Limits,
    /// Bounds of capability trees and ZOCP messages.
    pub model: zocp_model::Limits,
    /// Time for the TCP connect and the ZMTP handshake together; then the connection ends.
    pub handshake_max: Duration,
    /// Connections of peers whose handshake is not over; further ones wait in the kernel's accept queue.
    pub handshakes_max: usize,
    /// Of those, from one address; further ones are closed at once.
    pub handshakes_per_address_max: usize,
    /// Beacons a second that are read, on each network; further ones are dropped, and their senders repeat them.
    pub beacons_max: usize,
    /// Of those, from one address.
    pub beacons_per_address_max: usize,
    /// Octets of whispers that may wait for one peer; beyond it [`whisper`](crate::Node::whisper) waits and
    /// [`try_whisper`](crate::Node::try_whisper) fails with `Busy`. Emissions are not bounded by it: a peer for which
    /// more than `zmtp.output_len_max` octets wait, because emissions come faster than it reads them, is dropped and
    /// met afresh.
    pub outgoing_whispers_max: usize,
    /// Time for the reply to a call; then the call fails with `Timeout`. The default is below the 25 s that D-Bus
    /// clients wait.
    pub call_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            zmtp: zocp_zmtp::Limits::default(),
            zre: zocp_zre::Limits::default(),
            model: zocp_model::Limits::default(),
            handshake_max: Duration::from_secs(5),
            handshakes_max: 256,
            handshakes_per_address_max: 128,
            beacons_max: 8192,
            beacons_per_address_max: 2048,
            outgoing_whispers_max: 16 << 20,
            call_max: Duration::from_secs(20),
        }
    }
}
