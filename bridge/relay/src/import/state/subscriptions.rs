//! Which services of a peer are imported: what its tree announces, as far as rules show it and its bridge agrees.
//!
//! Limits: `imports_max` services of one peer.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use zbus::{Message, message::Type};
use zocp_node::PeerId;

use super::{
    ImportId, Output, State,
    import::{Appearance, Import, Request, RequestKind, Rule},
};
use crate::{
    import::{
        announcement::Export,
        identity,
        names::{Naming, naming},
    },
    remote::Remote,
    transport::{Control, Offer, Stream},
};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::{Grant, ImportRule};

impl State {
    /// Makes the imports of a peer those that it announces.
    pub(crate) fn handle_exports(
        &mut self,
        peer: PeerId,
        exports: BTreeMap<Arc<str>, Export>,
        now: Instant,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let revision = |export: &Export| export.revision;
        let mut closed = Vec::new();
        for (service, export) in &known.exports {
            if exports.get(service).map(revision) != Some(export.revision)
                && let Some(import) = known.imports.get(service)
            {
                closed.push((*import, service.clone()));
            }
        }
        let before = std::mem::replace(&mut known.exports, exports);
        let bus = known.remote.name.clone();
        for (import, service) in closed {
            let text = format!("{service} has left the bus of {bus}");
            self.drop_import(import, &Refusal::ServiceUnknown(text));
        }
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let new: Vec<Arc<str>> = known
            .exports
            .iter()
            .filter(|(service, export)| {
                let before = before.get(*service);
                let is_new = before.map(revision) != Some(export.revision);
                // One that is shown although it does not run stays as it is when it does.
                let starts = before.is_some_and(|before| before.runs != export.runs);
                is_new || (starts && !known.imports.contains_key(*service))
            })
            .map(|(service, _)| service.clone())
            .collect();
        for (service, import) in &known.imports {
            if let Some(export) = known.exports.get(service)
                && let Some(import) = self.imports.get_mut(import)
            {
                import.set_announcement(&export.announcement, export.runs, now);
            }
        }
        for service in new {
            if let Some(appearance) = self.appearance_of(peer, &service, &self.rules) {
                self.import(peer, &service, appearance, now);
            }
        }
        self.output.push_back(Output::NamesChanged);
    }

    /// The rules here are others: what they say of a service is followed at once.
    pub(crate) fn handle_rules(&mut self, rules: Vec<ImportRule>, now: Instant) {
        let before = std::mem::replace(&mut self.rules, rules);
        self.denied.clear();
        let exports = self.peers.iter().flat_map(|(peer, known)| {
            let services = known.exports.keys();
            services.map(|service| (*peer, service.clone()))
        });
        let exports: Vec<(PeerId, Arc<str>)> = exports.collect();
        for (peer, service) in exports {
            self.follow_rule(peer, &service, &before, now);
        }
        self.output.push_back(Output::NamesChanged);
    }

    /// A peer has another label: what is named after it gets another name, and calls go on.
    pub(crate) fn handle_label(&mut self, peer: PeerId, label: Arc<str>) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.label = label;
        for (service, id) in &known.imports {
            // It is here already, whether it runs or not.
            let appearance = appearance(&self.rules, service, true, &known.remote, &known.label);
            if let (Some(appearance), Some(import)) = (appearance, self.imports.get_mut(id)) {
                let serial = import.next_serial();
                if let Some(call) = import.naming.rename(appearance.name, serial) {
                    self.output.push_back(Output::Write(*id, call.into()));
                }
            }
        }
    }

    /// Whether the exporter refused a service does not depend on rules here, so it is asked for again only if it was not
    /// before.
    fn follow_rule(
        &mut self,
        peer: PeerId,
        service: &Arc<str>,
        before: &[ImportRule],
        now: Instant,
    ) {
        let import = self.import_of(peer, service);
        let appearance = self.appearance_of(peer, service, &self.rules);
        match (import, appearance) {
            (Some(id), appearance) => {
                let Some(import) = self.imports.get_mut(&id) else {
                    return;
                };
                let appearance = match appearance {
                    Some(appearance) if *import.naming.wanted() == appearance.name => {
                        return import.set_rule(appearance.rule, now);
                    }
                    appearance => appearance,
                };
                let text = format!("the rules here do not show {service} as this any more");
                self.drop_import(id, &Refusal::ServiceUnknown(text));
                if let Some(appearance) = appearance {
                    self.import(peer, service, appearance, now);
                }
            }
            (None, Some(appearance)) if self.appearance_of(peer, service, before).is_none() => {
                self.import(peer, service, appearance, now);
            }
            _ => {}
        }
    }

    /// A peer's bridge says that we may do something else with a service than before. While it has not replied to what it
    /// was asked, there is nothing to ask anew: it replies by its newest rules.
    pub(crate) fn handle_revised(&mut self, peer: PeerId, service: &str, now: Instant) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let Some((service, _)) = known.exports.get_key_value(service) else {
            return;
        };
        let service = service.clone();
        match self.import_of(peer, &service) {
            Some(id) => {
                let is_asked = |import: &Import| import.asked.is_some();
                if !self.imports.get(&id).is_some_and(is_asked) {
                    self.subscribe(id);
                }
            }
            None => {
                if let Some(appearance) = self.appearance_of(peer, &service, &self.rules) {
                    self.import(peer, &service, appearance, now);
                }
            }
        }
    }

    /// Imports a service, if its peer's bridge agrees.
    fn import(&mut self, peer: PeerId, service: &Arc<str>, appearance: Appearance, now: Instant) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let mut import = Import::new(service.clone(), peer, appearance);
        if let Some(export) = known.exports.get(service) {
            import.set_announcement(&export.announcement, export.runs, now);
        }
        self.last += 1;
        let id = ImportId(self.last);
        known.imports.insert(service.clone(), id);
        self.imports.insert(id, import);
        self.subscribe(id);
    }

    fn subscribe(&mut self, id: ImportId) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&import.peer) else {
            return;
        };
        let request = Request {
            import: id,
            kind: RequestKind::Subscribe,
        };
        let number = match peer.requests.open(request, &self.limits, &peer.remote.name) {
            Ok(number) => number,
            Err(error) => return tracing::error!(%error, "a subscription is refused"),
        };
        let packet = match Control::Subscribe(import.service.to_string()).packet(number) {
            Ok(packet) => Octets::from(packet).into_bytes(),
            Err(error) => {
                peer.requests.close(number);
                return tracing::error!(%error, "a subscription cannot be made");
            }
        };
        import.asked = Some(number);
        peer.by_subscription.insert(number, id);
        self.output.push_back(Output::Send {
            peer: import.peer,
            stream: Stream::Service(import.service.clone()),
            packet,
        });
    }

    /// A peer's bridge agrees to a subscription, or refuses.
    pub(super) fn handle_subscribed(
        &mut self,
        peer: PeerId,
        id: ImportId,
        number: NonZeroU32,
        packet: &Message,
        now: Instant,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        if known.by_subscription.get(&number) != Some(&id) {
            return;
        }
        if let Some(offer) = Offer::read(packet) {
            match import.set_offer(number, offer, now) {
                // From now on signals come under this number. Under the one before nothing more comes.
                Some(true) => known
                    .by_subscription
                    .retain(|other, its| *its != id || *other == number),
                Some(false) => self.output.push_back(Output::Connect(id)),
                None => {}
            }
            return;
        }
        let reason = match packet.message_type() {
            Type::Error => packet.to_string(),
            _ => "not understood".to_owned(),
        };
        let (service, peer) = (import.service.clone(), &known.remote.name);
        tracing::info!(service = &*service, peer, reason, "not imported");
        let text = format!("{peer} does not export {service} to us");
        self.drop_import(id, &Refusal::AccessDenied(text));
    }

    /// Ends an import, and says so to its exporter.
    fn drop_import(&mut self, id: ImportId, error: &Refusal) {
        if let Some(import) = self.imports.get(&id) {
            let (peer, service) = (import.peer, import.service.clone());
            let control = Control::Unsubscribe(service.to_string());
            self.say(peer, Stream::Service(service), &control);
        }
        self.close(id, error);
    }

    fn import_of(&self, peer: PeerId, service: &str) -> Option<ImportId> {
        self.peers.get(&peer)?.imports.get(service).copied()
    }

    /// How a service that a peer announces is to appear by these rules; `None` where it is not to.
    fn appearance_of(
        &self,
        peer: PeerId,
        service: &str,
        rules: &[ImportRule],
    ) -> Option<Appearance> {
        let known = self.peers.get(&peer)?;
        let runs = known.exports.get(service)?.runs;
        appearance(rules, service, runs, &known.remote, &known.label)
    }
}

/// How a service of a peer is to appear here; `None` where it is not to.
fn appearance(
    rules: &[ImportRule],
    service: &str,
    runs: bool,
    remote: &Remote,
    label: &str,
) -> Option<Appearance> {
    match naming(rules, service, remote.who(), label) {
        Naming::Shown(_, rule) if !runs && !ImportRule::activates(rule, service) => None,
        Naming::Shown(name, rule) => Some(Appearance {
            name: name.into(),
            rule: Rule {
                text: rule
                    .map_or_else(String::new, |rule| rule.service.text())
                    .into(),
                grant: rule.map_or_else(Grant::of_import, |rule| rule.grant.clone()),
                cache: rule.is_none_or(|rule| rule.cache),
                identity: rule.and_then(|rule| identity::template(rule, service, &remote.name)),
            },
        }),
        Naming::Hidden => None,
        Naming::Illegal(name) => {
            tracing::warn!(service, name, "not imported: no legal name");
            None
        }
    }
}
