//! How a service of a peer is to appear: its name, and what the rules here say of it.

use super::import::{Appearance, Rule};
use crate::{
    import::{
        identity,
        names::{Naming, naming},
    },
    remote::Remote,
};
use zocp_policy::{Grant, ImportRule};

/// How a service of a peer is to appear on the bus of the bridge; `None` where it is not to.
pub(super) fn appearance(
    rules: &[ImportRule],
    service: &str,
    runs: bool,
    remote: &Remote,
    label: &str,
) -> Option<Appearance> {
    match naming(rules, service, remote.who(), label) {
        Naming::Shown(name, rule) => Some(Appearance {
            name: name.into(),
            rule: settled(rule, service, runs, remote)?,
        }),
        Naming::Hidden => None,
        Naming::Illegal(name, _) => {
            tracing::warn!(service, name, "not imported: no legal name");
            None
        }
    }
}

/// What the rules say of a service in a view, whatever name they give it; `None` where it is not to appear at all.
pub(super) fn rule_of(
    rules: &[ImportRule],
    service: &str,
    runs: bool,
    remote: &Remote,
) -> Option<Rule> {
    match naming(rules, service, remote.who(), "") {
        Naming::Shown(_, rule) | Naming::Illegal(_, rule) => {
            // One that does not run is only offered in a view: no list of players starts it.
            let is_offered = rule.and_then(|rule| rule.activate).unwrap_or(true);
            settled(rule, service, runs || is_offered, remote)
        }
        Naming::Hidden => None,
    }
}

fn settled(rule: Option<&ImportRule>, service: &str, runs: bool, remote: &Remote) -> Option<Rule> {
    if !runs && !ImportRule::activates(rule, service) {
        return None;
    }
    Some(Rule {
        text: rule
            .map_or_else(String::new, |rule| rule.service.text())
            .into(),
        grant: rule.map_or_else(Grant::of_import, |rule| rule.grant.clone()),
        cache: rule.is_none_or(|rule| rule.cache),
        files: ImportRule::copies_files(rule, service),
        identity: rule.and_then(|rule| identity::template(rule, service, &remote.name)),
    })
}
