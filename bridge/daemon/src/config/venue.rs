//! `[venue]`, `[[link]]` and `[[pass]]`: which site the bridge is at, the bridges of others that it dials, and the nodes
//! of its own that others see.
//!
//! Model: one line of configuration on one of the two sides makes a link: its connection carries both directions. The key
//! in it is trusted by that. Where neither end can be dialed, both ends name each other, and the links go by an engine
//! (`engine.rs`).
//! Invariants: VENUE-1. There are links only with a key, that of a secure mesh or one for links alone, and only from a
//! venue with a name: what is exported to the own venue alone must not go to a bridge that does not say where it is.
//! Spec: docs/reference/configuration.md, "`[venue]`", "`[[link]]`", "`[[pass]]`"

use std::{fmt, path::PathBuf};

use serde::Deserialize;
use zocp_node::{Config, PassRule, PublicKey, Security};
use zocp_policy::ServicePattern;
use zocp_relay::services::ServicePass;

use super::{ConfigError, checked_endpoint, invalid};
use crate::engine::{self, IrohLink};

/// `[venue]`: where the bridge is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VenueConfig {
    /// The name of the venue: at most 24 letters, digits and "-", a letter first. Default: none.
    pub name: Option<String>,
    /// The file with the key of this bridge for links, where the mesh itself is an open one. Default: none.
    pub key: Option<PathBuf>,
    /// The keys of the bridges of other venues that may connect. Default: none.
    pub trusted: Option<Vec<String>>,
    /// Where they connect to, "ADDRESS:PORT". Default: nowhere.
    pub listen: Option<String>,
}

impl VenueConfig {
    /// What of this is said, else what is said below.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            name: self.name.or(below.name),
            key: self.key.or(below.key),
            trusted: self.trusted.or(below.trusted),
            listen: self.listen.or(below.listen),
        }
    }

    /// What makes links secure where the mesh is an open one.
    fn security(&mut self, is_secure: bool) -> Result<Option<Security>, ConfigError> {
        if let Some((key, _)) = [
            ("venue.key", self.key.is_some()),
            ("venue.trusted", self.trusted.is_some()),
            ("venue.listen", self.listen.is_some()),
        ]
        .into_iter()
        .find(|(_, is_said)| is_secure && *is_said)
        {
            let reason =
                "on a secure mesh links use `mesh.key`, `mesh.trusted` and `mesh.mailbox_port`";
            return Err(invalid(key, &reason));
        }
        let listen = self.listen.take().map(|text| {
            let reason = format!("\"{text}\" is not ADDRESS:PORT");
            text.parse().map_err(|_| invalid("venue.listen", &reason))
        });
        let listen = listen.transpose()?;
        if listen.is_some() && self.key.is_none() {
            return Err(invalid("venue.listen", &super::NO_KEY));
        }
        let key = ("venue.key", self.key.as_deref());
        let made = super::keys_of(key, ("venue.trusted", self.trusted.take()))?;
        Ok(made.map(|security| security.for_links(listen)))
    }
}

/// One `[[link]]`: a bridge of another venue that this one dials.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// Where it can be dialed, and its key: "tcp://HOST:PORT|KEY". Where neither end can be dialed: "iroh:ID|KEY".
    pub to: String,
    /// With iroh: the relays where both ends meet, `https://HOST:PORT`. Default: none.
    #[serde(default)]
    pub relay: Vec<String>,
    /// With iroh: a file with the certificate of a relay, in PEM, if no authority of the web vouches for it. Default: none.
    pub relay_certificate: Option<PathBuf>,
}

/// One `[[pass]]`: nodes of the own venue that bridges of others see.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassConfig {
    /// The names of the nodes; `*` stands for any letters.
    pub nodes: Vec<String>,
    /// The venues whose bridges see them. Default: every one that is linked.
    pub venues: Option<Vec<String>>,
    /// The D-Bus services of the nodes that they may use, by name or with `.*` behind. Default: none.
    #[serde(default)]
    pub services: Vec<String>,
}

impl fmt::Display for PassConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pass nodes = {:?}", self.nodes)?;
        if let Some(venues) = &self.venues {
            write!(f, ", venues = {venues:?}")?;
        }
        if !self.services.is_empty() {
            write!(f, ", services = {:?}", self.services)?;
        }
        Ok(())
    }
}

/// Puts which nodes pass into the configuration of the node. With the services of theirs that do.
pub(super) fn pass(
    node: &mut Config,
    rules: Vec<PassConfig>,
) -> Result<Vec<ServicePass>, ConfigError> {
    let mut passed = Vec::new();
    for rule in &rules {
        let mut pass = PassRule::new(rule.nodes.clone(), rule.venues.clone());
        let services = rule.services.iter();
        let services = services.map(|service| {
            ServicePattern::parse(service).map_err(|error| invalid("pass.services", &error))
        });
        let services = services.collect::<Result<Vec<_>, _>>()?;
        pass.with_services = !services.is_empty();
        node.pass.push(pass.clone());
        if pass.with_services {
            passed.push(ServicePass {
                rule: pass,
                services,
            });
        }
    }
    if rules.is_empty() {
        return Ok(passed);
    }
    if node.venue.is_none() {
        let reason = "nodes pass to other venues: give this one a name, `[venue]` `name = \"…\"`";
        return Err(invalid("pass", &reason));
    }
    if node.security.is_none() {
        let reason = "nodes pass by encrypted links: make a key with `zocp key new FILE`, and say `venue.key`, or `mesh.key` on a secure mesh";
        return Err(invalid("pass", &reason));
    }
    for rule in rules {
        for venue in rule.venues.iter().flatten().filter(|it| *it != "*") {
            zocp_node::check_venue(venue)
                .map_err(|error| invalid("pass.venues", &format!("\"{venue}\": {error}")))?;
            if node.venue.as_ref() == Some(venue) {
                let reason = format!("\"{venue}\" is this venue, whose nodes meet by themselves");
                return Err(invalid("pass.venues", &reason));
            }
        }
    }
    Ok(passed)
}

/// Puts what is said into the configuration of the node. With the links that need an engine.
pub(super) fn apply(
    node: &mut Config,
    mut venue: VenueConfig,
    links: Vec<LinkConfig>,
) -> Result<Vec<IrohLink>, ConfigError> {
    if let Some(security) = venue.security(node.security.is_some())? {
        node.security = Some(security);
    }
    if let Some(name) = venue.name {
        zocp_node::check_venue(&name)
            .map_err(|error| invalid("venue.name", &format!("\"{name}\": {error}")))?;
        node.venue = Some(name);
    }
    let mut by_iroh = Vec::new();
    if links.is_empty() {
        return Ok(by_iroh);
    }
    if node.venue.is_none() {
        let reason = "a link needs a name for this end: say `[venue]` `name = \"…\"`";
        return Err(invalid("link", &reason));
    }
    if links.len() > LINKS_MAX {
        let reason = format!("{} links are more than {LINKS_MAX}", links.len());
        return Err(invalid("link", &reason));
    }
    let Some(security) = &mut node.security else {
        let reason = "a link needs a key: make one with `zocp key new FILE`, and say `venue.key`, or `mesh.key` on a secure mesh";
        return Err(invalid("link", &reason));
    };
    for link in links {
        let certificate = link.relay_certificate.map(|file| {
            let wrong = |error| format!("{}: {error}", file.display());
            std::fs::read(&file).map_err(|error| invalid("link.relay_certificate", &wrong(error)))
        });
        let link = CheckedLink::new(link.to, link.relay, certificate.transpose()?)?;
        match link.iroh {
            Some(iroh) => by_iroh.push(iroh),
            None => node.links.push(link.to),
        }
        if !security.trusted.contains(&link.key) {
            security.trusted.push(link.key);
        }
    }
    Ok(by_iroh)
}

/// A link that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedLink {
    /// As it is written, with the key.
    pub(crate) to: String,
    pub(crate) key: PublicKey,
    /// With an engine.
    pub(crate) iroh: Option<IrohLink>,
}

impl CheckedLink {
    /// Checks what is said of a link.
    ///
    /// # Errors
    /// It is none, or cannot be had in this build; the error says what to do.
    pub(crate) fn new(
        to: String,
        relays: Vec<String>,
        certificate: Option<Vec<u8>>,
    ) -> Result<Self, ConfigError> {
        if to.starts_with("iroh:") {
            return iroh(to, relays, certificate);
        }
        let key = checked_link(&to)?;
        if !relays.is_empty() || certificate.is_some() {
            let reason = format!("\"{to}\" needs no relay: those are for iroh:ID|KEY");
            return Err(invalid("link.relay", &reason));
        }
        let iroh = None;
        Ok(Self { to, key, iroh })
    }
}

fn iroh(
    to: String,
    relays: Vec<String>,
    certificate: Option<Vec<u8>>,
) -> Result<CheckedLink, ConfigError> {
    let parts = to.strip_prefix("iroh:").and_then(|it| it.split_once('|'));
    let Some((id, key)) = parts else {
        let reason = format!("\"{to}\" has no key: write iroh:ID|KEY");
        return Err(invalid("link", &reason));
    };
    let key = key
        .parse()
        .map_err(|error| invalid("link", &format!("\"{to}\": {error}")))?;
    let link = IrohLink {
        id: id.to_ascii_lowercase(),
        key,
        relays,
        certificate,
    };
    engine::check(&link).map_err(|error| invalid("link", &format!("\"{to}\": {error}")))?;
    Ok(CheckedLink {
        to: link.to(),
        key,
        iroh: Some(link),
    })
}

/// The key of a link that is dialed, if its text is one.
///
/// # Errors
/// It is none; the error says what it should be.
fn checked_link(to: &str) -> Result<PublicKey, ConfigError> {
    let endpoint = checked_endpoint("link", to.to_owned())?;
    let key = endpoint
        .split_once('|')
        .and_then(|(_, key)| key.parse().ok());
    key.ok_or_else(|| {
        let reason = format!("\"{endpoint}\" has no key: write tcp://HOST:PORT|KEY");
        invalid("link", &reason)
    })
}

/// Links of one bridge.
pub(crate) const LINKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_link_needs_a_secure_mesh_a_venue_and_a_key() {
        let key = zocp_node::KeyPair::from_secret(&[7; 32]).public();
        let check = |text: &str| {
            let checked = Config::parse(text).unwrap().check();
            checked.map(|_| ()).map_err(|error| error.to_string())
        };
        let link = format!("[[link]]\nto = \"tcp://203.0.113.7:5671|{key}\"\n");
        let open = check(&format!("[venue]\nname = \"north\"\n{link}")).unwrap_err();
        assert!(open.contains("a link needs a key"), "{open}");
        for name in ["", "a/b", "north hall", "7th"] {
            let error = check(&format!("[venue]\nname = \"{name}\"")).unwrap_err();
            assert!(error.starts_with("venue.name: "), "{error}");
        }
        assert_eq!(check("[venue]\nname = \"north-2\""), Ok(()));
    }

    #[test]
    fn nodes_pass_from_a_venue_with_a_name_on_a_secure_mesh() {
        let check = |text: &str| {
            let checked = Config::parse(text).unwrap().check();
            checked.map(|_| ()).map_err(|error| error.to_string())
        };
        let rule = "[[pass]]\nnodes = [\"fader\"]\n";
        let error = check(rule).unwrap_err();
        assert!(
            error.starts_with("pass: nodes pass to other venues"),
            "{error}"
        );
        let error = check(&format!("[venue]\nname = \"north\"\n{rule}")).unwrap_err();
        assert!(
            error.starts_with("pass: nodes pass by encrypted links"),
            "{error}"
        );
        assert!(Config::parse("[[pass]]\nvenues = [\"a\"]").is_err());
        let services =
            "[[pass]]\nnodes = [\"booth\"]\nservices = [\"org.example.*\", \"org..x\"]\n";
        let error = check(services).unwrap_err();
        assert!(
            error.starts_with("pass.services: \"org..x\" is neither a bus name"),
            "{error}"
        );
    }

    #[cfg(not(feature = "iroh"))]
    #[test]
    fn a_build_without_iroh_says_so() {
        let key = zocp_node::KeyPair::from_secret(&[7; 32]).public();
        let id = "7".repeat(64);
        let link =
            format!("[[link]]\nto = \"iroh:{id}|{key}\"\nrelay = [\"https://relay.example\"]\n");
        let error = Config::parse(&link)
            .unwrap()
            .check()
            .unwrap_err()
            .to_string();
        // A venue and a key come first.
        assert!(error.starts_with("link: "), "{error}");
    }

    #[test]
    fn links_have_a_bound() {
        let key = zocp_node::KeyPair::from_secret(&[7; 32]).public();
        let link = format!("[[link]]\nto = \"tcp://203.0.113.7:5671|{key}\"\n");
        let text = format!("[venue]\nname = \"north\"\n{}", link.repeat(65));
        let error = Config::parse(&text).unwrap().check().unwrap_err();
        assert_eq!(error.to_string(), "link: 65 links are more than 64");
    }
}
