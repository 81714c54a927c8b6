//! Which services of a peer are imported: what its tree tells, as far as rules show it and its bridge
//! agrees.
//!
//! Limits: [`IMPORTS_MAX`] services of one peer.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use zbus::{Message, message::Type};
use zocp_node::{Node, ObjectPath, PeerId, model::Tree};

use super::{
    Importer, Reading, house,
    imported::{Imported, Terms},
    names::{Naming, naming},
};
use crate::{
    errors::Refusal,
    export::{ORIGIN, REVISION, SERVICE_TYPE, SERVICES},
    policy::Grant,
    services::{Link, Request},
    transport::{Control, Lane, Offer, octets},
};

impl Importer {
    /// A peer's tree is known.
    pub(crate) fn tree_known(&self, peer: PeerId, tree: &Tree) {
        let told = exports_of(tree, peer);
        self.follow(peer, told);
    }

    /// A peer's tree changed where exports are: it is read anew. Not in place: the answer comes from who
    /// waits for us to take events.
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
                    importer.follow(peer, exports_of(&tree, peer));
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

    /// Makes the imports of a peer those that it tells of.
    fn follow(&self, peer: PeerId, told: BTreeMap<Arc<str>, u64>) {
        let mut imports = self.imports();
        let Some(known) = imports.get_mut(&peer) else {
            return;
        };
        let link = known.link.clone();
        let mut closed = Vec::new();
        for (service, revision) in &known.told {
            if told.get(service) != Some(revision)
                && let Some(imported) = known.imports.remove(service)
            {
                closed.push(imported);
            }
        }
        known
            .by_subscription
            .retain(|_, it| !closed.iter().any(|closed| Arc::ptr_eq(closed, it)));
        let before = std::mem::replace(&mut known.told, told);
        let new: Vec<Arc<str>> = known
            .told
            .iter()
            .filter(|(service, revision)| before.get(*service) != Some(revision))
            .map(|(service, _)| service.clone())
            .collect();
        drop(imports);
        for imported in closed {
            link.tell(
                Lane::Service(imported.service().clone()),
                &Control::Unsubscribe(imported.service().to_string()),
            );
            let text = format!("{} has left the bus of {}", imported.service(), link.name);
            imported.close(&Refusal::ServiceUnknown(text));
        }
        for service in new {
            self.ask_for(&link, service);
        }
        self.name_changed();
    }

    /// Asks a peer's bridge for a service.
    fn ask_for(&self, link: &Arc<Link>, service: Arc<str>) {
        let rules = self.rules();
        let peer = (link.name.as_str(), link.uuid.as_str());
        let terms = match naming(&rules, &service, peer, &link.label) {
            Naming::Shown(name, rule) => Terms {
                name: name.into(),
                grant: rule.map_or_else(Grant::all, |rule| rule.grant.clone()),
                cache: rule.is_none_or(|rule| rule.cache),
            },
            Naming::Hidden => return,
            Naming::Illegal(name) => {
                return tracing::warn!(service = &*service, name, "not imported: no legal name");
            }
        };
        drop(rules);
        let imported = Imported::new(service.clone(), link.clone(), terms);
        let id = match link.open(Request::Subscribe(imported.clone())) {
            Ok(id) => id,
            Err(error) => return tracing::warn!(%error, "a service is not asked for"),
        };
        if let Some(known) = self.imports().get_mut(&link.peer) {
            known.imports.insert(service.clone(), imported.clone());
            known.by_subscription.insert(id, imported);
        }
        match Control::Subscribe(service.to_string()).packet(id) {
            Ok(packet) => link.outlet.push(Lane::Service(service), octets(packet)),
            Err(error) => tracing::error!(%error, "a subscription cannot be made"),
        }
    }

    /// A peer's bridge agrees or refuses.
    pub(super) fn subscribed(
        &self,
        link: &Arc<Link>,
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
            imported.set_offer(offer);
            house::start(self, imported.clone());
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
        if let Some(known) = self.imports().get_mut(&link.peer) {
            known.by_subscription.remove(&id);
            known.imports.remove(imported.service());
        }
    }
}

/// What a peer's tree says that it exports: of its own, so that nothing goes round.
fn exports_of(tree: &Tree, peer: PeerId) -> BTreeMap<Arc<str>, u64> {
    let services = tree.object(&ObjectPath::root().child(SERVICES));
    let uuid = peer.to_string();
    let objects = services.into_iter().flat_map(|services| &services.objects);
    let exported = objects.filter_map(|(name, object)| {
        let entry = |name: &str| object.data.get(name);
        let is_its = entry(ORIGIN).and_then(|it| it.as_str()) == Some(uuid.as_str());
        let is_service = object.kind() == Some(SERVICE_TYPE);
        let is_name = zbus::names::WellKnownName::try_from(name.as_str()).is_ok();
        let revision = entry(REVISION)?.as_u64()?;
        (is_its && is_service && is_name).then(|| (Arc::from(name.as_str()), revision))
    });
    exported.take(IMPORTS_MAX).collect()
}

/// Services of one peer that are shown.
const IMPORTS_MAX: usize = 1024;
