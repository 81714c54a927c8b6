//! Which services of a peer are imported: what its tree tells, as far as rules show it and its bridge
//! agrees.
//!
//! Limits: `imports_max` services of one peer.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use zbus::{Message, message::Type};
use zocp_node::{Node, ObjectPath, PeerId, model::Tree};

use super::{
    Importer, Reading,
    announcement::{Announcement, Export},
    house, identity,
    imported::{Imported, Remote, Request, Rule, Terms},
    names::{Naming, naming},
};
use crate::{
    link::Link,
    schema::{INTROSPECTION, ORIGIN, REVISION, RUNNING, SERVICE_TYPE, SERVICES, SUPPLIED},
    transport::{Control, Lane, Offer},
};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::{Grant, ImportRule};

impl Importer {
    /// A peer's tree is known.
    pub(crate) fn tree_known(&self, peer: PeerId, tree: &Tree) {
        let told = exports_of(tree, peer, self.imports_max());
        self.follow(peer, told);
    }

    /// A peer's tree changed where exports are: it is read anew. Not in place: the node answers questions always, but
    /// the events behind this one would wait for the answer, and of several changes each would be read.
    pub(crate) fn tree_changed(&self, peer: PeerId, node: &Node) {
        let is_read = match self.imports().get_mut(&peer) {
            Some(known) if known.reading == Reading::No => {
                known.reading = Reading::Yes;
                false
            }
            Some(known) => {
                known.reading = Reading::Again;
                true
            }
            None => true,
        };
        if is_read {
            return;
        }
        let (importer, node) = (self.clone(), node.clone());
        self.shared.tasks.spawn(async move {
            loop {
                if let Ok(Some(tree)) = node.tree(peer).await {
                    importer.follow(peer, exports_of(&tree, peer, importer.imports_max()));
                }
                match importer.imports().get_mut(&peer) {
                    Some(known) if known.reading == Reading::Again => {
                        known.reading = Reading::Yes;
                    }
                    Some(known) => {
                        known.reading = Reading::No;
                        return;
                    }
                    None => return,
                }
            }
        });
    }

    fn imports_max(&self) -> usize {
        self.shared.limits.now().imports_max
    }

    /// Makes the imports of a peer those that it tells of.
    fn follow(&self, peer: PeerId, exports: BTreeMap<Arc<str>, Export>) {
        let mut imports = self.imports();
        let Some(known) = imports.get_mut(&peer) else {
            return;
        };
        let link = known.link.clone();
        let mut closed = Vec::new();
        let revision = |export: &Export| export.revision;
        for (service, export) in &known.told {
            if exports.get(service).map(revision) != Some(export.revision)
                && let Some(imported) = known.imports.remove(service)
            {
                closed.push(imported);
            }
        }
        let before = std::mem::replace(&mut known.told, exports);
        let new: Vec<(Arc<str>, bool)> = known
            .told
            .iter()
            .filter(|(service, export)| {
                let before = before.get(*service);
                let is_new = before.map(revision) != Some(export.revision);
                // One that is shown although it does not run stays as it is when it does.
                let starts = before.is_some_and(|before| before.runs != export.runs);
                is_new || (starts && !known.imports.contains_key(*service))
            })
            .map(|(service, export)| (service.clone(), export.runs))
            .collect();
        for (service, imported) in &known.imports {
            if let Some(export) = known.told.get(service) {
                imported.announced(&export.announcement, export.runs);
            }
        }
        drop(imports);
        for imported in closed {
            let text = format!("{} has left the bus of {}", imported.service(), link.name);
            self.drop_import(&link, &imported, &Refusal::ServiceUnknown(text));
        }
        for (service, runs) in new {
            let terms = terms(&self.rules(), &service, runs, &link);
            if let Some(terms) = terms {
                self.ask_for(&link, service, terms);
            }
        }
        self.name_changed();
    }

    /// The rules here are others: what they say of a service is followed at once.
    pub(crate) fn reload(&self, rules: Vec<ImportRule>) {
        let before = std::mem::replace(&mut *self.rules(), rules);
        let rules = self.rules().clone();
        let mut told: Vec<(Arc<Remote>, Arc<str>, bool)> = Vec::new();
        for peer in self.imports().values() {
            let services = peer.told.iter();
            told.extend(services.map(|(name, it)| (peer.link.clone(), name.clone(), it.runs)));
        }
        self.refused().clear();
        for (link, service, runs) in told {
            self.follow_rule(&link, service, runs, &before, &rules);
        }
        self.name_changed();
    }

    /// A peer has another label: what is named after it gets another name, and calls go on.
    pub(crate) fn relabelled(&self, link: &Link) {
        let rules = self.rules().clone();
        let imports = self.imports();
        let Some(known) = imports.get(&link.peer) else {
            return;
        };
        for (service, imported) in &known.imports {
            // It is here already, whether it runs or not.
            if let Some(terms) = terms(&rules, service, true, link) {
                imported.rename(terms.name);
            }
        }
    }

    /// Whether the exporter refused a service does not depend on rules here, so it is asked for again
    /// only if it was not before.
    fn follow_rule(
        &self,
        link: &Arc<Remote>,
        service: Arc<str>,
        runs: bool,
        before: &[ImportRule],
        now: &[ImportRule],
    ) {
        let imported = self.imported(link.peer, &service);
        match (imported, terms(now, &service, runs, link)) {
            (Some(imported), Some(terms)) if imported.name() == terms.name => {
                imported.set_rule(terms.rule);
            }
            (Some(imported), terms) => {
                let text = format!("the rules here do not show {service} as this any more");
                self.drop_import(link, &imported, &Refusal::ServiceUnknown(text));
                if let Some(terms) = terms {
                    self.ask_for(link, service, terms);
                }
            }
            (None, Some(now)) if terms(before, &service, runs, link).is_none() => {
                self.ask_for(link, service, now);
            }
            _ => {}
        }
    }

    /// A peer's bridge says that we may do something else with a service than before. While it has
    /// not answered what was asked, there is nothing to ask anew: it answers by its newest rules.
    pub(crate) fn revised(&self, link: &Link, service: &str) {
        let told = self.imports().get(&link.peer).and_then(|known| {
            let (name, export) = known.told.get_key_value(service)?;
            Some((known.link.clone(), name.clone(), export.runs))
        });
        let Some((link, service, runs)) = told else {
            return;
        };
        let link = &link;
        match self.imported(link.peer, &service) {
            Some(imported) if imported.is_asked() => {}
            Some(imported) => self.subscribe(link, imported),
            None => {
                let terms = terms(&self.rules(), &service, runs, link);
                if let Some(terms) = terms {
                    self.ask_for(link, service, terms);
                }
            }
        }
    }

    /// Asks a peer's bridge for a service.
    fn ask_for(&self, link: &Arc<Remote>, service: Arc<str>, terms: Terms) {
        let imported = Imported::new(service.clone(), link.clone(), terms);
        if let Some(known) = self.imports().get_mut(&link.peer) {
            if let Some(export) = known.told.get(&service) {
                imported.announced(&export.announcement, export.runs);
            }
            known.imports.insert(service, imported.clone());
        }
        self.subscribe(link, imported);
    }

    fn subscribe(&self, link: &Arc<Remote>, imported: Arc<Imported>) {
        let service = imported.service().clone();
        let id = match link.open(Request::Subscribe(imported.clone())) {
            Ok(id) => id,
            Err(error) => return tracing::warn!(%error, "a service is not asked for"),
        };
        imported.set_asked(id);
        if let Some(known) = self.imports().get_mut(&link.peer) {
            known.by_subscription.insert(id, imported);
        }
        match Control::Subscribe(service.to_string()).packet(id) {
            Ok(packet) => {
                let packet = Octets::from(packet).into_bytes();
                link.outlet.push(Lane::Service(service), packet);
            }
            Err(error) => tracing::error!(%error, "a subscription cannot be made"),
        }
    }

    /// A peer's bridge agrees or refuses.
    pub(super) fn subscribed(
        &self,
        link: &Arc<Remote>,
        imported: &Arc<Imported>,
        id: NonZeroU32,
        packet: &Message,
    ) {
        let is_current = self.imports().get(&link.peer).is_some_and(|known| {
            let current = known.by_subscription.get(&id);
            current.is_some_and(|current| Arc::ptr_eq(current, imported))
        });
        if !is_current {
            return;
        }
        if let Some(offer) = Offer::read(packet) {
            self.offered(link, imported, id, offer);
            return;
        }
        let reason = match packet.message_type() {
            Type::Error => packet.to_string(),
            _ => "not understood".to_owned(),
        };
        tracing::info!(
            service = &**imported.service(),
            peer = link.name,
            reason,
            "not imported"
        );
        let text = format!("{} does not export {} to us", link.name, imported.service());
        self.drop_import(link, imported, &Refusal::AccessDenied(text));
        self.name_changed();
    }

    /// From now on signals come under this number. Under the one before nothing more comes.
    fn offered(&self, link: &Link, imported: &Arc<Imported>, id: NonZeroU32, offer: Offer) {
        let Some(was_offered) = imported.set_offer(id, offer) else {
            return;
        };
        if was_offered {
            if let Some(known) = self.imports().get_mut(&link.peer) {
                let is_old = |other: &NonZeroU32, it: &Arc<Imported>| {
                    *other != id && Arc::ptr_eq(it, imported)
                };
                known.by_subscription.retain(|other, it| !is_old(other, it));
            }
        } else {
            house::start(self, imported.clone());
        }
    }

    /// Ends an import, and says so to its exporter.
    fn drop_import(&self, link: &Link, imported: &Arc<Imported>, refusal: &Refusal) {
        if let Some(known) = self.imports().get_mut(&link.peer) {
            known
                .by_subscription
                .retain(|_, it| !Arc::ptr_eq(it, imported));
            known.imports.remove(imported.service());
        }
        link.tell(
            Lane::Service(imported.service().clone()),
            &Control::Unsubscribe(imported.service().to_string()),
        );
        imported.close(refusal);
    }

    fn imported(&self, peer: PeerId, service: &str) -> Option<Arc<Imported>> {
        let imports = self.imports();
        imports.get(&peer)?.imports.get(service).cloned()
    }
}

/// How a service of a peer is to appear here; `None` where it is not to.
fn terms(rules: &[ImportRule], service: &str, runs: bool, link: &Link) -> Option<Terms> {
    match naming(rules, service, link.who(), &link.label()) {
        Naming::Shown(_, rule) if !runs && !ImportRule::activates(rule, service) => None,
        Naming::Shown(name, rule) => Some(Terms {
            name: name.into(),
            rule: Rule {
                text: rule
                    .map_or_else(String::new, |rule| rule.service.text())
                    .into(),
                grant: rule.map_or_else(Grant::of_import, |rule| rule.grant.clone()),
                cache: rule.is_none_or(|rule| rule.cache),
                identity: rule.and_then(|rule| identity::template(rule, service, &link.name)),
            },
        }),
        Naming::Hidden => None,
        Naming::Illegal(name) => {
            tracing::warn!(service, name, "not imported: no legal name");
            None
        }
    }
}

/// What a peer's tree says that it exports: of its own, so that nothing goes round.
fn exports_of(tree: &Tree, peer: PeerId, max: usize) -> BTreeMap<Arc<str>, Export> {
    let services = tree.object(&ObjectPath::root().child(SERVICES));
    let uuid = peer.to_string();
    let objects = services.into_iter().flat_map(|services| &services.objects);
    let exported = objects.filter_map(|(name, object)| {
        let entry = |name: &str| object.data.get(name);
        let is_its = entry(ORIGIN).and_then(|it| it.as_str()) == Some(uuid.as_str());
        let is_service = object.kind() == Some(SERVICE_TYPE);
        let is_name = zbus::names::WellKnownName::try_from(name.as_str()).is_ok();
        let export = Export {
            revision: entry(REVISION)?.as_u64()?,
            // Bridges that do not say so show what runs and what does not alike.
            runs: entry(RUNNING).and_then(|it| it.as_bool()).unwrap_or(true),
            announcement: Announcement::read(entry(INTROSPECTION), entry(SUPPLIED)),
        };
        (is_its && is_service && is_name).then(|| (Arc::from(name.as_str()), export))
    });
    exported.take(max).collect()
}
