//! The rules of exports and imports.
//!
//! Model: an [`ExportPolicy`] unites the grants of all [`ExportRule`]s that match a service and a peer; of the
//! [`ImportRule`]s the first that matches decides.

use super::{Grant, Peers, ServicePattern, Who};

/// One `[[export]]` rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    /// The services.
    pub service: ServicePattern,
    /// The peers that it applies to.
    pub peers: Peers,
    /// What it allows.
    pub grant: Grant,
}

impl ExportRule {
    /// Whether it applies to a service. A service that only mirrors others (`MIRRORS`) matches its exact name but no
    /// pattern, because otherwise it would appear twice, together with the service that it mirrors.
    #[must_use]
    pub fn names(&self, service: &str) -> bool {
        self.service.matches(service) && (self.service.is_exact() || !MIRRORS.contains(&service))
    }
}

/// The rules of the exporter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportPolicy {
    /// The rules; their order does not matter, because grants are united.
    pub rules: Vec<ExportRule>,
}

impl ExportPolicy {
    /// Whether a service is exported to any peer.
    #[must_use]
    pub fn offers(&self, service: &str) -> bool {
        self.rules.iter().any(|rule| rule.names(service))
    }

    /// What every peer may do with a service.
    #[must_use]
    pub fn public_grant(&self, service: &str) -> Grant {
        let mut grant = Grant::default();
        for rule in &self.rules {
            if rule.service.matches(service) && rule.peers.is_everybody() {
                grant.add(&rule.grant);
            }
        }
        grant
    }

    /// What a peer may do with a service.
    #[must_use]
    pub fn grant(&self, service: &str, peer: Who<'_>) -> Grant {
        let mut grant = Grant::default();
        for rule in &self.rules {
            if rule.names(service) && rule.peers.matches(peer) {
                grant.add(&rule.grant);
            }
        }
        grant
    }

    /// The first rule that applies to a service, also for other peers: the place to look for the reason of a
    /// rejection.
    #[must_use]
    pub fn about(&self, service: &str) -> Option<&ExportRule> {
        self.rules.iter().find(|rule| rule.names(service))
    }
}

/// One `[[import]]` rule; the first that matches service and peer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// The services.
    pub service: ServicePattern,
    /// The peers that offer them.
    pub from: Peers,
    /// The bus name.
    pub name: ImportName,
    /// What local programs may do with it.
    pub grant: Grant,
    /// Whether properties are answered from a cache where that is correct.
    pub cache: bool,
    /// Whether a service that is not running but can be activated is shown; `None`: unless it is a media player.
    pub activate: Option<bool>,
    /// The value that replaces the `Identity` of a media player.
    pub identity: Option<Box<str>>,
    /// Whether files that messages name are copied; `None`: those of media players and notifications.
    pub files: Option<bool>,
}

/// The bus name of the service that shows notifications.
pub const NOTIFICATIONS: &str = "org.freedesktop.Notifications";
/// The prefix of the bus names of media players.
pub const PLAYERS: &str = "org.mpris.MediaPlayer2.";

impl ImportRule {
    /// Whether a service that is not running but can be activated is shown. The default for media players is no:
    /// programs that list players treat every such name as a running player, and would start it by reading its
    /// properties.
    #[must_use]
    pub fn activates(rule: Option<&Self>, service: &str) -> bool {
        let said = rule.and_then(|rule| rule.activate);
        said.unwrap_or_else(|| !service.starts_with(PLAYERS))
    }

    /// Whether files that messages of a service name are copied, as far as its interface is known to name files.
    #[must_use]
    pub fn copies_files(rule: Option<&Self>, service: &str) -> bool {
        let said = rule.and_then(|rule| rule.files);
        said.unwrap_or_else(|| service.starts_with(PLAYERS) || service == NOTIFICATIONS)
    }
}

/// The bus name of an imported service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportName {
    /// The default name.
    Default,
    /// No name: the service is not imported.
    Never,
    /// With `{node}`, `{service}` and `{tail}` replaced.
    Template(Box<str>),
}

/// Services that present other services of the same bus under one name.
const MIRRORS: [&str; 1] = ["org.mpris.MediaPlayer2.playerctld"];
