//! Which services of a peer are imported: what its tree announces, as far as rules show it and its bridge agrees. On
//! which bus under which name: `super::buses`.
//!
//! Limits: `imports_max` services of one peer.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use zbus::{Message, message::Type};
use zocp_node::PeerId;

use super::{
    BusId, ImportId, OWN_BUS, Output, State,
    appearance::{appearance, rule_of},
    import::{Appearance, Import, Request, Subscription},
};
use crate::{
    import::announcement::Export,
    transport::{Control, Offer, Stream},
};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::ImportRule;

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
                && let Some(subscription) = known.services.get(service)
            {
                let imports = subscription.imports();
                closed.extend(imports.map(|import| (import, service.clone())));
            }
        }
        known.is_known = true;
        let before = std::mem::replace(&mut known.exports, exports);
        let bus = known.remote.name.clone();
        let mut agreed = Vec::new();
        for (import, service) in closed {
            if let Some(import) = self.imports.get(&import).filter(|it| it.may_be_offered()) {
                agreed.push((import.bus, service.clone()));
            }
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
                // Where it is shown although it does not run, it stays as it is when it does.
                let starts = before.is_some_and(|before| before.runs != export.runs);
                is_new || starts
            })
            .map(|(service, _)| service.clone())
            .collect();
        for (service, subscription) in &known.services {
            for import in subscription.imports() {
                if let Some(export) = known.exports.get(service)
                    && let Some(import) = self.imports.get_mut(&import)
                {
                    import.set_export(export, now);
                }
            }
        }
        // What was only offered may run now.
        let services = known.services.values();
        let imports: Vec<ImportId> = services.flat_map(Subscription::imports).collect();
        for import in imports {
            self.appear(import);
        }
        for service in new {
            self.import_everywhere(peer, &service, now);
        }
        // A service that only ends is offered all the time.
        for (bus, service) in agreed {
            if let Some(id) = self.import_of(bus, peer, &service)
                && let Some(import) = self.imports.get_mut(&id)
            {
                import.is_expected = true;
                self.appear(id);
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
            for bus in self.buses_of(peer) {
                self.follow_rule(bus, peer, &service, &before, now);
            }
        }
        self.output.push_back(Output::NamesChanged);
    }

    /// A peer has another label: what is named after it gets another name, and calls go on.
    pub(crate) fn handle_label(&mut self, peer: PeerId, label: Arc<str>) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.label = label;
        for (service, subscription) in &known.services {
            let Some(id) = subscription.imports.get(&OWN_BUS) else {
                continue;
            };
            // It is here already, whether it runs or not.
            let appearance = appearance(&self.rules, service, true, &known.remote, &known.label);
            if let (Some(appearance), Some(import)) = (appearance, self.imports.get_mut(id)) {
                let serial = import.next_serial();
                if let Some(call) = import.naming.rename(appearance.name, serial) {
                    self.output.push_back(Output::Write(*id, call.into()));
                }
            }
        }
        let services: Vec<Arc<str>> = known.services.keys().cloned().collect();
        let views: Vec<BusId> = self.views.keys().copied().collect();
        for bus in views {
            for service in &services {
                self.settle_names(bus, service);
            }
        }
    }

    /// Whether the exporter refused a service does not depend on rules here, so it is asked for again only if it was not
    /// before.
    fn follow_rule(
        &mut self,
        bus: BusId,
        peer: PeerId,
        service: &Arc<str>,
        before: &[ImportRule],
        now: Instant,
    ) {
        let import = self.import_of(bus, peer, service);
        let appearance = self.appearance_of(bus, peer, service, &self.rules);
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
                    self.import(bus, peer, service, appearance, now);
                }
            }
            (None, Some(appearance))
                if self.appearance_of(bus, peer, service, before).is_none() =>
            {
                self.import(bus, peer, service, appearance, now);
            }
            _ => {}
        }
    }

    /// A peer's bridge says that we may do something else with a service than before. While it has not replied to what it
    /// was asked, there is nothing to ask anew: it replies by its newest rules. What it refused before may be on no bus, or
    /// on a view alone that has begun since.
    pub(crate) fn handle_revised(&mut self, peer: PeerId, service: &str, now: Instant) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let Some((service, _)) = known.exports.get_key_value(service) else {
            return;
        };
        let service = service.clone();
        let subscription = known.services.get(&service);
        if subscription.is_some_and(|subscription| subscription.asked.is_none()) {
            self.subscribe(peer, &service);
        }
        self.import_everywhere(peer, &service, now);
    }

    /// Imports a service on every bus on which it is to appear.
    fn import_everywhere(&mut self, peer: PeerId, service: &Arc<str>, now: Instant) {
        for bus in self.buses_of(peer) {
            self.import_on(bus, peer, service, now);
        }
    }

    /// Imports a service on a bus, if it is to appear there and does not yet.
    pub(super) fn import_on(&mut self, bus: BusId, peer: PeerId, service: &Arc<str>, now: Instant) {
        if self.import_of(bus, peer, service).is_none()
            && let Some(appearance) = self.appearance_of(bus, peer, service, &self.rules)
        {
            self.import(bus, peer, service, appearance, now);
        }
    }

    /// Imports a service on a bus, if its peer's bridge agrees.
    fn import(
        &mut self,
        bus: BusId,
        peer: PeerId,
        service: &Arc<str>,
        appearance: Appearance,
        now: Instant,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let mut import = Import::new(service.clone(), peer, bus, appearance);
        if let Some(export) = known.exports.get(service) {
            import.set_export(export, now);
        }
        self.last += 1;
        let id = ImportId(self.last);
        let subscription = known.services.entry(service.clone()).or_default();
        subscription.imports.insert(bus, id);
        let (is_first, offer) = (subscription.imports.len() == 1, subscription.offer);
        if let Some(offer) = offer {
            import.set_offer(offer, now);
        }
        self.imports.insert(id, import);
        if is_first {
            self.subscribe(peer, service);
        }
        self.appear(id);
    }

    fn subscribe(&mut self, peer_id: PeerId, service: &Arc<str>) {
        let Some(peer) = self.peers.get_mut(&peer_id) else {
            return;
        };
        let Some(subscription) = peer.services.get_mut(service) else {
            return;
        };
        let request = Request::Subscribe(service.clone());
        let number = match peer.requests.open(request, &self.limits, &peer.remote.name) {
            Ok(number) => number,
            Err(error) => return tracing::error!(%error, "a subscription is refused"),
        };
        let packet = match Control::Subscribe(service.to_string()).packet(number) {
            Ok(packet) => Octets::from(packet).into_bytes(),
            Err(error) => {
                peer.requests.close(number);
                return tracing::error!(%error, "a subscription cannot be made");
            }
        };
        subscription.asked = Some(number);
        peer.by_subscription.insert(number, service.clone());
        self.output.push_back(Output::Send {
            peer: peer_id,
            stream: Stream::Service(service.clone()),
            packet,
        });
    }

    /// A peer's bridge agrees to a subscription, or refuses.
    pub(super) fn handle_subscribed(
        &mut self,
        peer: PeerId,
        service: &Arc<str>,
        number: NonZeroU32,
        packet: &Message,
        now: Instant,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(subscription) = known.services.get_mut(service) else {
            return;
        };
        if known.by_subscription.get(&number) != Some(service) {
            return;
        }
        if let Some(offer) = Offer::read(packet) {
            let agreed = subscription.agree(number, offer);
            if agreed == Some(true) {
                // From now on signals come under this number. Under the one before nothing more comes.
                known
                    .by_subscription
                    .retain(|other, its| its != service || *other == number);
            }
            let imports = agreed.iter().flat_map(|_| subscription.imports());
            for id in imports.collect::<Vec<_>>() {
                if let Some(import) = self.imports.get_mut(&id) {
                    import.set_offer(offer, now);
                }
                self.appear(id);
            }
            return;
        }
        let reason = match packet.message_type() {
            Type::Error => packet.to_string(),
            _ => "not understood".to_owned(),
        };
        let name = &known.remote.name;
        tracing::info!(service = &**service, peer = name, reason, "not imported");
        let text = format!("{name} does not export {service} to us");
        let imports: Vec<ImportId> = subscription.imports().collect();
        for id in imports {
            self.drop_import(id, &Refusal::AccessDenied(text.clone()));
        }
    }

    /// Ends an import, and says so to its exporter when it is the last of its service.
    pub(super) fn drop_import(&mut self, id: ImportId, error: &Refusal) {
        let import = self.imports.get(&id);
        let ended = import.map(|import| (import.peer, import.service.clone()));
        if self.close(id, error)
            && let Some((peer, service)) = ended
        {
            let control = Control::Unsubscribe(service.to_string());
            self.say(peer, Stream::Service(service), &control);
        }
    }

    fn import_of(&self, bus: BusId, peer: PeerId, service: &str) -> Option<ImportId> {
        self.peers.get(&peer)?.import_of(bus, service)
    }

    /// How a service that a peer announces is to appear on a bus by these rules; `None` where it is not to.
    fn appearance_of(
        &self,
        bus: BusId,
        peer: PeerId,
        service: &str,
        rules: &[ImportRule],
    ) -> Option<Appearance> {
        let known = self.peers.get(&peer)?;
        let runs = known.exports.get(service)?.runs;
        if bus == OWN_BUS {
            return appearance(rules, service, runs, &known.remote, &known.label);
        }
        Some(Appearance {
            name: self.name_on_view(bus, peer, service)?,
            rule: rule_of(rules, service, runs, &known.remote)?,
        })
    }
}
