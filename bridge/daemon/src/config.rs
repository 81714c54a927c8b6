//! What the bridge is told: a file, the environment, flags; and what it makes of them.
//!
//! Model: [`Config`] is what was said, every field optional, exactly the keys of the file. Two of them
//! are laid over each other with [`Config::over`]. [`Config::check`] makes [`Settings`], which leave
//! nothing open; the rest of the program sees only those.
//! Invariants: CONFIG-1. flag over environment over file over default. CONFIG-2. a key that is not known is an
//! error that names its line, so that a slip of the pen is never taken for a default.
//! Not here: reading flags and environment (`bridge/cli`).
//! Spec: docs/reference/configuration.md

mod checks;
mod difference;
mod error;
mod hint;
pub mod key;
mod limits;
mod mesh;
mod peers;
mod place;
mod ports;
mod search;
mod security;
mod services;
mod settings;
#[cfg(test)]
mod tests;
mod texts;
mod venue;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use checks::{checked_endpoint, checked_name, checked_seconds, host_name, loopback};
pub use difference::Difference;
pub use error::ConfigError;
use error::invalid;
use limits::Bounds;
pub use limits::LimitsConfig;
pub use mesh::{Beacon, Ipv6Choice, MeshConfig};
pub use search::{search_path, state_place};
pub use security::security;
use security::{NO_KEY, keys_of};
pub use services::{ExportConfig, ImportConfig, ImportNameConfig};
pub use settings::{Reload, Settings};
pub(crate) use venue::{CheckedLink, LINKS_MAX};
pub use venue::{LinkConfig, PassConfig, VenueConfig};

use zocp_dbus::bus::BusChoice;
pub use zocp_policy::ServicePattern;
use zocp_relay::services::ServiceSettings;
use zocp_state::StateDir;

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
            mesh: self.mesh.over(below.mesh),
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
        let (mut node, srv) = self.mesh.check()?;
        let iroh = venue::apply(&mut node, self.venue, self.link)?;
        let pass = venue::pass(&mut node, self.pass)?;
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
                pass,
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
