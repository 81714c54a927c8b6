//! What the bridge is told: a file, the environment, flags; and what it makes of them.
//!
//! Model: [`Config`] is what was said, every field optional, exactly the keys of the file. Two of them
//! are laid over each other with [`Config::over`]. [`Config::check`] makes [`Settings`], which leave
//! nothing open; the rest of the program sees only those.
//! Invariants: CONFIG-1. flag over environment over file over default. CONFIG-2. a key that is not known is an
//! error that names its line, so that a slip of the pen is never taken for a default.
//! Not here: reading flags and environment (`bridge/cli`).
//! Spec: docs/reference/configuration.md

mod difference;
mod hint;
pub mod key;
mod limits;
mod peers;
mod place;
mod ports;
mod services;
#[cfg(test)]
mod tests;
mod texts;
mod venue;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use zocp_node::{
    BeaconMode, FirstUse, Ipv6, KeyError, PassRule, PublicKey, Security, SecurityScope,
};

pub use difference::Difference;
use limits::Bounds;
pub use limits::LimitsConfig;
pub use services::{ExportConfig, ImportConfig, ImportNameConfig};
pub(crate) use venue::{CheckedLink, LINKS_MAX};
pub use venue::{LinkConfig, PassConfig, VenueConfig};

use crate::local;
use zocp_dbus::bus::BusChoice;
pub use zocp_policy::ServicePattern;
use zocp_relay::services::ServiceSettings;
use zocp_srv::SrvName;
use zocp_state::StateDir;
use zocp_wires as wires;

/// What was said about the bridge, in the file's words.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The side of the mesh.
    pub mesh: MeshConfig,
    /// The side of the bus.
    pub bus: BusConfig,
    /// What peers may use of this bus. Default: nothing. Those of a flag and of the file add up.
    #[serde(deserialize_with = "services::export_tables")]
    pub export: Vec<ExportConfig>,
    /// How services of peers appear on this bus. Default: all, under their customary names.
    #[serde(deserialize_with = "services::import_tables")]
    pub import: Vec<ImportConfig>,
    /// Where the bridge is.
    pub venue: VenueConfig,
    /// Bridges of other venues.
    pub link: Vec<LinkConfig>,
    /// Which nodes of the own venue others see. Default: none.
    pub pass: Vec<PassConfig>,
    /// What outlives the bridge.
    pub state: StateConfig,
    /// Who may read its counters besides the programs on the bus.
    pub statistics: StatisticsConfig,
    /// Every bound of the program.
    pub limits: LimitsConfig,
}

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

/// `[bus]`: where the nodes appear.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// "session", "system", "embedded", a D-Bus address, or "auto": the session bus if there is one,
    /// else an embedded one. Default: "auto".
    pub address: Option<String>,
}

/// `[state]`: what outlives the bridge.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// The directory where it is kept; none, if it is empty. Default: the user's directory for state.
    pub directory: Option<PathBuf>,
}

/// `[statistics]`: who may read the counters besides the programs on the bus.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatisticsConfig {
    /// The address, "127.0.0.1:PORT", where Prometheus finds them. Default: none.
    pub prometheus: Option<String>,
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

/// What the bridge does; nothing is open any more.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which bus.
    pub bus: BusChoice,
    /// The node that the bridge is on the mesh.
    pub node: zocp_node::Config,
    /// Names by which DNS tells of further peers.
    pub srv: Vec<SrvName>,
    /// Links to bridges that cannot be dialed.
    pub iroh: Vec<crate::engine::IrohLink>,
    /// D-Bus over the mesh: what can be changed while the bridge runs.
    pub services: ServiceSettings,
    /// How much programs may publish.
    pub local: local::Limits,
    /// How many wires there may be.
    pub wires: wires::Limits,
    /// Where state is kept.
    pub state: StateDir,
    /// Where Prometheus finds the counters.
    pub prometheus: Option<SocketAddr>,
}

/// What is followed while the bridge runs.
#[derive(Debug, Clone)]
pub struct Reload {
    /// D-Bus over the mesh.
    pub services: ServiceSettings,
    /// Who is trusted on a secure mesh.
    pub trusted: Vec<PublicKey>,
    /// Who else is.
    pub first_use: FirstUse,
    /// Which nodes of the own venue others see.
    pub pass: Vec<PassRule>,
}

impl Settings {
    /// The bridge's own key on a secure mesh.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        let security = self.node.security.as_ref();
        security.map(|security| security.keys.public())
    }

    /// Whether the key is for links to other venues alone, and the mesh an open one.
    #[must_use]
    pub fn has_key_for_links(&self) -> bool {
        let security = self.node.security.as_ref();
        security.is_some_and(|it| it.scope != SecurityScope::Mesh)
    }

    /// What of this a bridge follows that runs with a key, or with none.
    ///
    /// # Errors
    /// The key is another one: a bridge has one as long as it runs.
    pub fn reload(self, running: Option<PublicKey>) -> Result<Reload, ConfigError> {
        if self.key() != running {
            let reason =
                "it is not the key that the bridge runs with: restart the bridge to change it";
            return Err(invalid("mesh.key", &reason));
        }
        let (trusted, first_use) = self
            .node
            .security
            .map_or_else(Default::default, |it| (it.trusted, it.first_use));
        Ok(Reload {
            services: self.services,
            trusted,
            first_use,
            pass: self.node.pass,
        })
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a configuration that can be meant; the error names file and
    /// line.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let config = Self::parse(&text).map_err(|error| ConfigError::Malformed {
            file: file.to_owned(),
            error: error.into(),
        })?;
        match config.clone().check() {
            Err(ConfigError::Invalid { key, reason }) => Err(ConfigError::InFile {
                file: file.to_owned(),
                line: place::line_of(&text, key),
                key,
                reason,
            }),
            _ => Ok(config),
        }
    }

    /// Reads the first of `places` that exists; none is the default.
    ///
    /// # Errors
    /// As [`Config::read`]; that no file exists is no error.
    pub fn find(places: &[PathBuf]) -> Result<Self, ConfigError> {
        match places.iter().find(|place| place.exists()) {
            Some(file) => Self::read(file),
            None => Ok(Self::default()),
        }
    }

    /// Understands the text of a file.
    ///
    /// # Errors
    /// When it is not TOML, or has an unknown key or a wrong type; the error names the line.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Lays what is said here over what is said below: what is left open here is taken from there.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            mesh: MeshConfig {
                name: self.mesh.name.or(below.mesh.name),
                interface: self.mesh.interface.or(below.mesh.interface),
                beacon: self.mesh.beacon.or(below.mesh.beacon),
                ipv6: self.mesh.ipv6.or(below.mesh.ipv6),
                port: self.mesh.port.or(below.mesh.port),
                mailbox_port: self.mesh.mailbox_port.or(below.mesh.mailbox_port),
                peers: self.mesh.peers.or(below.mesh.peers),
                gossip: self.mesh.gossip.or(below.mesh.gossip),
                gossip_listen: self.mesh.gossip_listen.or(below.mesh.gossip_listen),
                groups: self.mesh.groups.or(below.mesh.groups),
                evasive: self.mesh.evasive.or(below.mesh.evasive),
                expiry: self.mesh.expiry.or(below.mesh.expiry),
                loopback: self.mesh.loopback.or(below.mesh.loopback),
                key: self.mesh.key.or(below.mesh.key),
                trusted: self.mesh.trusted.or(below.mesh.trusted),
                first_use: self.mesh.first_use.or(below.mesh.first_use),
            },
            bus: BusConfig {
                address: self.bus.address.or(below.bus.address),
            },
            export: [self.export, below.export].concat(),
            import: [self.import, below.import].concat(),
            venue: self.venue.over(below.venue),
            link: [self.link, below.link].concat(),
            pass: [self.pass, below.pass].concat(),
            state: StateConfig {
                directory: self.state.directory.or(below.state.directory),
            },
            statistics: StatisticsConfig {
                prometheus: self.statistics.prometheus.or(below.statistics.prometheus),
            },
            limits: self.limits.over(below.limits),
        }
    }

    /// Fills what was left open with the defaults, and checks what was said.
    ///
    /// # Errors
    /// The first value that cannot be meant, by the name of its key.
    pub fn check(self) -> Result<Settings, ConfigError> {
        let bus = match &self.bus.address {
            Some(text) => text
                .parse()
                .map_err(|error| invalid("bus.address", &error))?,
            None => BusChoice::Auto,
        };
        let mut node = zocp_node::Config::new(match self.mesh.name {
            Some(name) => checked_name("mesh.name", name)?,
            None => host_name(),
        });
        node.interfaces = self.mesh.interface.unwrap_or_default();
        node.loopback = self.mesh.loopback.unwrap_or(node.loopback);
        node.beacon = self.mesh.beacon.map_or(node.beacon, BeaconMode::from);
        node.ipv6 = self.mesh.ipv6.map_or(node.ipv6, Ipv6::from);
        if node.loopback && node.ipv6 == Ipv6::Only {
            let reason =
                "on the loopback alone (mesh.loopback) the mesh is IPv4: leave \"only\" out";
            return Err(invalid("mesh.ipv6", &reason));
        }
        node.security = security(
            self.mesh.key.as_deref(),
            self.mesh.trusted,
            self.mesh.first_use,
        )?;
        node.beacon_port = Some(self.mesh.port.unwrap_or_else(|| node.beacon_port()));
        if node.beacon_port == Some(0) {
            return Err(invalid("mesh.port", &"0 is no port"));
        }
        node.mailbox_ports = self.mesh.mailbox_port.map(ports::checked).transpose()?;
        let srv = peers::apply(&mut node, self.mesh.peers.unwrap_or_default())?;
        for server in self.mesh.gossip.unwrap_or_default() {
            node.gossip.push(checked_endpoint("mesh.gossip", server)?);
        }
        let listen = self.mesh.gossip_listen;
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
            let reason = "gossip is not encrypted: on a secure mesh name the `peers` with their keys instead";
            return Err(invalid("mesh.gossip", &reason));
        }
        for group in self.mesh.groups.unwrap_or_default() {
            node.groups.push(checked_name("mesh.groups", group)?);
        }
        if let Some(seconds) = self.mesh.evasive {
            node.silence_ping = checked_seconds("mesh.evasive", seconds)?;
        }
        if let Some(seconds) = self.mesh.expiry {
            node.silence_max = checked_seconds("mesh.expiry", seconds)?;
        }
        if node.silence_max <= node.silence_ping {
            let (expiry, evasive) = (node.silence_max, node.silence_ping);
            let reason = format!("{expiry:?} must be more than mesh.evasive, {evasive:?}");
            return Err(invalid("mesh.expiry", &reason));
        }
        let iroh = venue::apply(&mut node, self.venue, self.link)?;
        venue::pass(&mut node, self.pass)?;
        let mut bounds = Bounds {
            node: node.limits.clone(),
            ..Bounds::default()
        };
        self.limits.apply(&mut bounds)?;
        node.limits = bounds.node;
        Ok(Settings {
            bus,
            services: ServiceSettings {
                export: services::exports(self.export, node.venue.as_deref())?,
                import: services::imports(self.import, node.venue.as_deref())?,
                limits: bounds.services,
            },
            node,
            srv,
            iroh,
            local: bounds.local,
            wires: bounds.wires,
            prometheus: self.statistics.prometheus.map(loopback).transpose()?,
            state: match self.state.directory {
                Some(directory) if !directory.as_os_str().is_empty() => StateDir::new(directory),
                _ => StateDir::none(),
            },
        })
    }
}

/// What makes the mesh a secure one: the file with the own key, the trusted keys, and whether a key is trusted from its
/// first use on. None without a key.
///
/// # Errors
/// When the file has no key, a trusted key is none, or keys are trusted without an own one.
pub fn security(
    key: Option<&Path>,
    trusted: Option<Vec<String>>,
    first_use: Option<bool>,
) -> Result<Option<Security>, ConfigError> {
    if key.is_none() && trusted.is_none() && first_use == Some(true) {
        return Err(invalid("mesh.first_use", &NO_KEY));
    }
    let made = keys_of(("mesh.key", key), ("mesh.trusted", trusted))?;
    Ok(made.map(|security| {
        security.with_first_use(if first_use.unwrap_or_default() {
            FirstUse::Trust
        } else {
            FirstUse::Refuse
        })
    }))
}

/// The own key, and the keys that are trusted; each with the name that it has in the file.
fn keys_of(
    (key_name, key): (&'static str, Option<&Path>),
    (trusted_name, trusted): (&'static str, Option<Vec<String>>),
) -> Result<Option<Security>, ConfigError> {
    let Some(path) = key else {
        return match trusted {
            Some(_) => Err(invalid(trusted_name, &NO_KEY)),
            None => Ok(None),
        };
    };
    let keys = key::read(path)
        .map_err(|error| invalid(key_name, &format!("{}: {error}", path.display())))?;
    let trusted = trusted.unwrap_or_default().into_iter().map(|text| {
        let parsed = text.parse();
        parsed.map_err(|error: KeyError| invalid(trusted_name, &format!("\"{text}\": {error}")))
    });
    let trusted = trusted.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Security::new(keys).with_trusted(trusted)))
}

const NO_KEY: &str = "there is no `key` of our own";

impl From<Beacon> for BeaconMode {
    fn from(beacon: Beacon) -> Self {
        match beacon {
            Beacon::Broadcast => Self::Broadcast,
            Beacon::Multicast => Self::Multicast,
            Beacon::Off => Self::Off,
        }
    }
}

/// Where the file is looked for, in this order. `home` and `config_home` are `$HOME` and
/// `$XDG_CONFIG_HOME`; empty ones and relative ones do not count, as the XDG specification says.
#[must_use]
pub fn search_path(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let user = user_place(config_home, home, ".config");
    let system = PathBuf::from("/etc");
    user.into_iter()
        .chain([system])
        .map(|place| place.join("zocp/bridge.toml"))
        .collect()
}

/// Where state is kept unless something else is said. `home` and `state_home` are `$HOME` and
/// `$XDG_STATE_HOME`, with the same exceptions; none without both.
#[must_use]
pub fn state_place(state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    Some(user_place(state_home, home, ".local/state")?.join("zocp"))
}

fn user_place(named: Option<PathBuf>, home: Option<PathBuf>, below: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    named
        .filter(absolute)
        .or_else(|| home.filter(absolute).map(|home| home.join(below)))
}

/// What is wrong with what the bridge was told. The user's fault; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration. The text names line, column and what was expected.
    #[error("{}: {}{}", file.display(), error.to_string().trim_end(), hint::of(error))]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// Where, and what is wrong.
        error: Box<toml::de::Error>,
    },
    /// A value of the file that cannot be meant.
    #[error("{}:{line}: {key}: {reason}", file.display())]
    InFile {
        /// Which file.
        file: PathBuf,
        /// Its line.
        line: usize,
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that cannot be meant.
    #[error("{key}: {reason}")]
    Invalid {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn invalid(key: &'static str, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Invalid {
        key,
        reason: reason.to_string(),
    }
}

/// Names of nodes and groups travel with one octet for their length.
fn checked_name(key: &'static str, name: String) -> Result<String, ConfigError> {
    match name.len() {
        0 => Err(invalid(key, &"must not be empty")),
        // zyre would cut the name there, and then differ from the rest.
        _ if name.contains('\0') => Err(invalid(key, &"must not have U+0000 in it")),
        1..=NAME_LEN_MAX => Ok(name),
        length => Err(invalid(
            key,
            &format!("{length} octets are more than {NAME_LEN_MAX}"),
        )),
    }
}

fn checked_endpoint(name: &'static str, endpoint: String) -> Result<String, ConfigError> {
    // On a secure mesh, the key.
    let (place, key) = match endpoint.split_once('|') {
        Some((place, key)) => (place, Some(key)),
        None => (endpoint.as_str(), None),
    };
    if let Some(Err(error)) = key.map(str::parse::<PublicKey>) {
        return Err(invalid(name, &format!("\"{endpoint}\": {error}")));
    }
    let place = place
        .strip_prefix("tcp://")
        .and_then(|rest| rest.rsplit_once(':'));
    match place {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0) => {
            Ok(endpoint)
        }
        _ => Err(invalid(
            name,
            &format!("\"{endpoint}\" is not tcp://HOST:PORT"),
        )),
    }
}

/// Counters are for this machine: a port that others reach would tell them who is on the mesh.
fn loopback(address: String) -> Result<SocketAddr, ConfigError> {
    match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() != 0 => Ok(address),
        _ => Err(invalid(
            "statistics.prometheus",
            &format!("\"{address}\" is not 127.0.0.1:PORT or [::1]:PORT"),
        )),
    }
}

fn checked_seconds(key: &'static str, seconds: f64) -> Result<Duration, ConfigError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= SILENCE_MAX => Ok(duration),
        _ => {
            let most = SILENCE_MAX.as_secs();
            Err(invalid(
                key,
                &format!("{seconds} is not a number of seconds from 0 to {most}"),
            ))
        }
    }
}

/// The host's name, as far as it fits a node's.
fn host_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if host.is_empty() || host.len() > NAME_LEN_MAX {
        String::from("zocp")
    } else {
        host
    }
}

/// 36/ZRE: `string` is at most 255 octets.
const NAME_LEN_MAX: usize = 255;
/// A day; more is a mistake.
const SILENCE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
