//! What is different between two configurations.
//!
//! Model: rules and trusted keys are compared as sets, in the words of the file; the rest by section. Rules,
//! `mesh.trusted`, `mesh.first_use` and the limits of services (`zocp_relay::services::ServiceLimits`) are followed
//! while the bridge runs, everything else at its next start.

use std::fmt::Display;

use super::{Config, MeshConfig, VenueConfig};

/// What is different. See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// What is followed at once, a line for each change.
    pub followed: Vec<String>,
    /// The sections that are followed at the next start.
    pub waiting: Vec<&'static str>,
}

impl Difference {
    /// From one configuration to the next.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut followed = Vec::new();
        rules(&mut followed, &old.export, &new.export);
        rules(&mut followed, &old.import, &new.import);
        rules(&mut followed, &old.pass, &new.pass);
        rules(&mut followed, &trusted(old), &trusted(new));
        let first_use = new.mesh.first_use.unwrap_or_default();
        if old.mesh.first_use.unwrap_or_default() != first_use {
            followed.push(format!("mesh.first_use = {first_use}"));
        }
        if followed.is_empty() && old.import != new.import {
            followed.push("the order of [[import]]".to_owned());
        }
        followed.extend(old.limits.followed(&new.limits));
        let sections = [
            ("[mesh]", fixed(&old.mesh) != fixed(&new.mesh)),
            (
                "[venue]",
                fixed_venue(&old.venue) != fixed_venue(&new.venue),
            ),
            ("[[link]]", old.link != new.link),
            ("[bus]", old.bus != new.bus),
            ("[state]", old.state != new.state),
            ("[statistics]", old.statistics != new.statistics),
            ("[limits]", old.limits.fixed() != new.limits.fixed()),
        ];
        let waiting = sections.iter().filter(|(_, is_other)| *is_other);
        Self {
            followed,
            waiting: waiting.map(|(section, _)| *section).collect(),
        }
    }
}

/// The lines of `mesh.trusted` and `venue.trusted`.
fn trusted(config: &Config) -> Vec<String> {
    let line = |of: &str, key: &String| format!("{of}.trusted \"{key}\"");
    let mesh = config.mesh.trusted.iter().flatten();
    let venue = config.venue.trusted.iter().flatten();
    mesh.map(|key| line("mesh", key))
        .chain(venue.map(|key| line("venue", key)))
        .collect()
}

/// The same of the venue.
fn fixed_venue(venue: &VenueConfig) -> VenueConfig {
    VenueConfig {
        trusted: None,
        ..venue.clone()
    }
}

/// What is followed at the next start.
fn fixed(mesh: &MeshConfig) -> MeshConfig {
    MeshConfig {
        trusted: None,
        first_use: None,
        ..mesh.clone()
    }
}

fn rules<T: PartialEq + Display>(lines: &mut Vec<String>, old: &[T], new: &[T]) {
    let gone = old.iter().filter(|rule| !new.contains(rule));
    lines.extend(gone.map(|rule| format!("- {rule}")));
    let added = new.iter().filter(|rule| !old.contains(rule));
    lines.extend(added.map(|rule| format!("+ {rule}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_one_by_one_and_the_rest_by_section() {
        let config = |text: &str| Config::parse(text).unwrap();
        let old = config(
            "[mesh]\nname = 'a'\n[[export]]\nservice = 'org.a.A'\ntalk = true\n\
             [[export]]\nservice = 'org.a.B'\nsee = true\n",
        );
        let new = config(
            "[mesh]\nname = 'b'\n[[export]]\nservice = 'org.a.B'\nsee = true\n\
             [[export]]\nservice = 'org.a.C'\ncall = ['org.a.I.x@/y']\npeers = ['foh']\n\
             [[import]]\nservice = '*'\nname = false\n[limits]\ncallers_max = 7\n",
        );
        let difference = Difference::between(&old, &new);
        assert_eq!(
            difference.followed,
            [
                "- [[export]] service = \"org.a.A\", talk = true",
                "+ [[export]] service = \"org.a.C\", call = [\"org.a.I.x@/y\"], peers = [\"foh\"]",
                "+ [[import]] service = \"*\", name = false",
                "[limits] callers_max = 7",
            ]
        );
        assert_eq!(difference.waiting, ["[mesh]"]);
        assert_eq!(Difference::between(&old, &old), Difference::default());
    }

    #[test]
    fn trusted_keys_are_followed_and_the_rest_of_the_mesh_is_not() {
        let config = |text: &str| Config::parse(&format!("[mesh]\nkey = 'f'\n{text}")).unwrap();
        let old = config("trusted = ['a', 'b']");
        let new = config("trusted = ['b', 'c']\nfirst_use = true");
        let difference = Difference::between(&old, &new);
        let lines = [
            "- mesh.trusted \"a\"",
            "+ mesh.trusted \"c\"",
            "mesh.first_use = true",
        ];
        assert_eq!(difference.followed, lines);
        assert_eq!(difference.waiting, <[&str; 0]>::default());
    }

    #[test]
    fn the_order_of_imports_counts() {
        let config = |first: &str, second: &str| {
            let text = format!(
                "[[import]]\nservice = '{first}'\n[[import]]\nservice = '{second}'\nname = false\n"
            );
            Config::parse(&text).unwrap()
        };
        let swap = |config: &Config| {
            let mut swapped = config.clone();
            swapped.import.reverse();
            swapped
        };
        let old = config("org.a.*", "*");
        assert_eq!(
            Difference::between(&old, &swap(&old)).followed,
            ["the order of [[import]]"]
        );
    }
}
