//! What a node is told before it starts.
//!
//! Limits: see [`Limits`]; those of the protocol cores are theirs and passed through.

use std::time::Duration;

use crate::ports::Ports;
use crate::security::{SECURE_BEACON_PORT, Security};

/// What a node is told before it starts. `Config::new("stage")` is a node on every usable network.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, as its peers see it.
    pub name: String,
    /// Names or addresses of the interfaces to use; empty: every usable one.
    pub interfaces: Vec<String>,
    /// A mesh of the loopback only, for demonstrations and tests. Goes before `interfaces`.
    pub loopback: bool,
    /// How peers are found.
    pub beacon: BeaconMode,
    /// UDP port of the beacons; `None`: 5670, and 5669 on a secure mesh, whose beacons would end old peers.
    pub beacon_port: Option<u16>,
    /// TCP ports for peers, of which the first that is free is taken; `None`: one that the system chooses.
    pub mailbox_ports: Option<Ports>,
    /// Makes the mesh a secure one.
    pub security: Option<Security>,
    /// Endpoints (`tcp://host:port`) of peers to meet without beacons; on a secure mesh with their keys
    /// (`tcp://host:port|key`).
    pub peers: Vec<String>,
    /// Groups to join beside `ZOCP`.
    pub groups: Vec<String>,
    /// Headers beside `X-ZOCP` and `X-ZOCP-DBUS`, which every node of ours sends.
    pub headers: Vec<(String, String)>,
    /// Whether to ask every ZOCP node for its tree and to follow its changes.
    pub follow: bool,
    /// Silence after which a peer is asked for a sign of life.
    pub silence_ping: Duration,
    /// Silence after which a peer is gone.
    pub silence_max: Duration,
    /// Bounds of this crate and of the cores below it.
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

    /// The port of the beacons, chosen or not.
    #[must_use]
    pub fn beacon_port(&self) -> u16 {
        let default = match self.security {
            None => BEACON_PORT,
            Some(_) => SECURE_BEACON_PORT,
        };
        self.beacon_port.unwrap_or(default)
    }
}

/// What zyre and pyre use.
const BEACON_PORT: u16 = 5670;

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::from("zocp"),
            interfaces: Vec::new(),
            loopback: false,
            beacon: BeaconMode::Broadcast,
            beacon_port: None,
            mailbox_ports: None,
            security: None,
            peers: Vec::new(),
            groups: Vec::new(),
            headers: Vec::new(),
            follow: true,
            silence_ping: Duration::from_secs(5),
            silence_max: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// How peers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BeaconMode {
    /// To the broadcast address of each network; multicast on the loopback, which has none.
    #[default]
    Broadcast,
    /// To the group 225.25.25.25 on each network.
    Multicast,
    /// Not at all: only configured peers, and those that greet us.
    Off,
}

/// Every bound of a node. What happens at each is said at each.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of the ZMTP codec; at a limit the connection ends.
    pub zmtp: zocp_zmtp::Limits,
    /// Of the ZRE core.
    pub zre: zocp_zre::Limits,
    /// Of the capability trees and their messages.
    pub model: zocp_model::Limits,
    /// Time for TCP connect and ZMTP handshake together; then the connection ends.
    pub handshake_max: Duration,
    /// Connections that have not said who they are; more wait in the kernel's accept queue.
    pub handshakes_max: usize,
    /// Of those, from one address; more are closed at once.
    pub handshakes_per_address_max: usize,
    /// Beacons a second that are looked at; more are dropped, and come again.
    pub beacons_max: usize,
    /// Of those, from one address.
    pub beacons_per_address_max: usize,
    /// Octets of whispers waiting for one peer above which [`whisper`](crate::Node::whisper) waits
    /// and [`try_whisper`](crate::Node::try_whisper) is refused. A peer for which more than
    /// `zmtp.output_len_max` wait, because emissions come faster than it takes them, is dropped
    /// and met afresh.
    pub outgoing_whispers_max: usize,
    /// Time for the answer to a call; then it has failed. Below the customary 25 s of D-Bus clients.
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
