//! Rules of services as the bus shows them: with the words of the configuration.
//!
//! Spec: docs/reference/dbus.md, "The bridge"

use std::collections::BTreeMap;

use zbus::Variant;
use zocp_policy::{Grant, ImportName, ImportRule, Peers};
use zocp_relay::export::RuleInForce;

type Entry = BTreeMap<&'static str, Variant<'static>>;

/// The rules of exports; `own` is the name of our venue.
pub(super) fn exports(rules: &[RuleInForce], own: Option<&str>) -> Variant<'static> {
    let entries = rules.iter().map(|it| {
        let RuleInForce {
            program,
            rule,
            offered,
        } = it;
        let mut entry = Entry::from([
            ("service", Variant::new(rule.service.text())),
            ("offered", Variant::new(offered.clone())),
        ]);
        entry.extend(peers("peers", &rule.peers, own));
        entry.extend(grant(&rule.grant));
        let program = program.as_ref().map(|it| Variant::new(it.to_string()));
        entry.extend(program.map(|program| ("program", program)));
        entry
    });
    Variant::new(entries.collect::<Vec<Entry>>())
}

/// Those of imports.
pub(super) fn imports(rules: &[ImportRule], own: Option<&str>) -> Variant<'static> {
    let entries = rules.iter().map(|rule| {
        let mut entry = Entry::from([
            ("service", Variant::new(rule.service.text())),
            ("cache", Variant::new(rule.cache)),
        ]);
        match &rule.name {
            ImportName::Default => {}
            ImportName::Never => drop(entry.insert("name", Variant::new(false))),
            ImportName::Template(name) => {
                entry.insert("name", Variant::new(name.to_string()));
            }
        }
        entry.extend(peers("from", &rule.from, own));
        entry.extend(grant(&rule.grant));
        let optional = [
            ("activate", rule.activate.map(Variant::new)),
            ("files", rule.files.map(Variant::new)),
            (
                "identity",
                rule.identity
                    .as_deref()
                    .map(|it| Variant::new(it.to_owned())),
            ),
        ];
        entry.extend(
            optional
                .into_iter()
                .filter_map(|(key, it)| Some((key, it?))),
        );
        entry
    });
    Variant::new(entries.collect::<Vec<Entry>>())
}

/// Who is meant: nothing where that is every peer of our venue.
fn peers(key: &'static str, peers: &Peers, own: Option<&str>) -> Entry {
    let said = [(key, peers.texts()), ("venues", peers.venues().texts(own))];
    let said = said.into_iter().filter(|(_, texts)| !texts.is_empty());
    said.map(|(key, texts)| (key, Variant::new(texts)))
        .collect()
}

/// What is allowed: nothing of what is not.
fn grant(grant: &Grant) -> Entry {
    let flags = [
        ("see", grant.see),
        ("talk", grant.talk),
        ("learn", grant.learn),
    ];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
    let mut entry: Entry = flags.map(|(key, _)| (key, Variant::new(true))).collect();
    let members = [
        ("call", &grant.call),
        ("broadcast", &grant.broadcast),
        ("call_back", &grant.call_back),
    ];
    for (key, members) in members.into_iter().filter(|(_, it)| !it.is_empty()) {
        let texts: Vec<String> = members.iter().map(|it| it.text()).collect();
        entry.insert(key, Variant::new(texts));
    }
    let descriptors = grant.descriptors.texts();
    if !descriptors.is_empty() {
        let texts: Vec<String> = descriptors.iter().map(ToString::to_string).collect();
        entry.insert("descriptors", Variant::new(texts));
    }
    if let Some(timeout) = grant.timeout {
        entry.insert("timeout", Variant::new(timeout.as_secs_f64()));
    }
    entry
}
