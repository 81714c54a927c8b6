//! `[venue]` and `[[link]]`: which site the bridge is at, and the bridges of others that it dials.
//!
//! Model: one line of configuration on one of the two sides makes a link: its connection carries both directions. The key
//! in it is trusted by that.
//! Invariants: VENUE-1. There are links only on a secure mesh, and only from a venue with a name: what is exported to
//! the own venue alone must not go to a bridge that does not say where it is.
//! Spec: docs/reference/configuration.md, "`[venue]`", "`[[link]]`"

use serde::Deserialize;
use zocp_node::PublicKey;

use super::{ConfigError, checked_endpoint, invalid};

/// `[venue]`: where the bridge is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VenueConfig {
    /// The name of the venue: at most 24 letters, digits and "-", a letter first. Default: none.
    pub name: Option<String>,
}

/// One `[[link]]`: a bridge of another venue that this one dials.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// Where it can be dialed, and its key: "tcp://HOST:PORT|KEY".
    pub to: String,
}

/// Puts what is said into the configuration of the node.
pub(super) fn apply(
    node: &mut zocp_node::Config,
    venue: VenueConfig,
    links: Vec<LinkConfig>,
) -> Result<(), ConfigError> {
    if let Some(name) = venue.name {
        zocp_node::check_venue(&name)
            .map_err(|error| invalid("venue.name", &format!("\"{name}\": {error}")))?;
        node.venue = Some(name);
    }
    if links.is_empty() {
        return Ok(());
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
        let reason =
            "a link needs a secure mesh: make a key with `zocp key new FILE`, and say `mesh.key`";
        return Err(invalid("link", &reason));
    };
    for link in links {
        let key = checked_link(&link.to)?;
        if !security.trusted.contains(&key) {
            security.trusted.push(key);
        }
        node.links.push(link.to);
    }
    Ok(())
}

/// The key of a link, if its text is one.
///
/// # Errors
/// It is none; the error says what it should be.
pub(crate) fn checked_link(to: &str) -> Result<PublicKey, ConfigError> {
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
        assert!(open.contains("a link needs a secure mesh"), "{open}");
        for name in ["", "a/b", "north hall", "7th"] {
            let error = check(&format!("[venue]\nname = \"{name}\"")).unwrap_err();
            assert!(error.starts_with("venue.name: "), "{error}");
        }
        assert_eq!(check("[venue]\nname = \"north-2\""), Ok(()));
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
