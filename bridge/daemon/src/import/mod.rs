//! Services of other buses on this one.
//!
//! Model: a peer's tree says which services it exports. For each that a rule does not hide, its bridge
//! is asked for the signals; when it agrees, an [`Imported`] goes on this bus: a connection (`house`)
//! with a name, which passes calls on and lets answers and signals in.
//! Invariants: I1. an import is of one revision of a service; another revision is another import. I2.
//! when service, node, bridge or link goes, calls in flight are answered with an error at once, then the
//! name goes. I3. what a peer sends reaches only what it belongs to: answers the caller that asked,
//! signals the import that subscribed, directed ones a caller that called it.
//! Limits: [`IMPORTS_MAX`] services of one peer.
//! Spec: docs/reference/protocol.md §7

mod cache;
mod callers;
mod house;
mod imported;
mod names;
mod telling;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use zbus::{Message, message::Type};
use zocp_node::{Node, ObjectPath, PeerId, model::Tree};

pub(crate) use self::{
    callers::Callers,
    imported::{Asked, Imported},
};
use self::{
    imported::Terms,
    names::{Naming, naming},
};
use crate::{
    errors::Refusal,
    export::{ORIGIN, REVISION, SERVICE_TYPE, SERVICES},
    policy::{Grant, ImportRule, Member},
    served::Site,
    services::{Link, Own, Request, Watch},
    transport::{Control, Lane, Offer, local_answer, local_signal, octets},
};

/// The importing half. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Importer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) tasks: TaskTracker,
    pub(crate) own: Own,
    pub(crate) callers: Callers,
    rules: Mutex<Vec<ImportRule>>,
    imports: Mutex<HashMap<PeerId, Peer>>,
    changed: Notify,
}

/// What is imported of a peer.
#[derive(Debug)]
struct Peer {
    link: Arc<Link>,
    /// What it exports: service and revision.
    told: BTreeMap<Arc<str>, u64>,
    imports: BTreeMap<Arc<str>, Arc<Imported>>,
    by_subscription: HashMap<NonZeroU32, Arc<Imported>>,
    reading: Reading,
    /// The names that were told last.
    names: BTreeMap<String, String>,
}

/// Whether a peer's tree is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    No,
    Yes,
    /// Yes, and it changed since: once more.
    Again,
}

impl Importer {
    pub(crate) fn new(
        tasks: &TaskTracker,
        site: Site,
        watch: Watch,
        own: Own,
        rules: Vec<ImportRule>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                site,
                tasks: tasks.clone(),
                own,
                callers: Callers::new(watch),
                rules: Mutex::new(rules),
                imports: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// Local callers, by whom the watch tells who has left.
    pub(crate) fn callers(&self) -> &Callers {
        &self.shared.callers
    }

    /// A peer is here.
    pub(crate) fn peer_came(&self, link: &Arc<Link>) {
        let peer = Peer {
            link: link.clone(),
            told: BTreeMap::new(),
            imports: BTreeMap::new(),
            by_subscription: HashMap::new(),
            reading: Reading::No,
            names: BTreeMap::new(),
        };
        self.imports().insert(link.peer, peer);
    }

    /// A peer is gone (I2).
    pub(crate) fn peer_gone(&self, link: &Link) {
        let peer = self.imports().remove(&link.peer);
        for imported in peer.into_iter().flat_map(|peer| peer.imports.into_values()) {
            imported.close(&Refusal::NodeGone(link.name.clone()));
        }
        self.shared.callers.forget(link.peer);
    }

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

    /// An answer from a peer.
    pub(crate) fn answer(&self, link: &Arc<Link>, packet: &Message) -> Option<Arc<Imported>> {
        let id = packet.header().reply_serial()?;
        match link.close(id)? {
            Request::Subscribe(imported) => {
                self.subscribed(link, &imported, id, packet);
                None
            }
            Request::Own { imported, asked } => {
                imported.learned(asked, packet);
                None
            }
            Request::Call {
                imported,
                call,
                asked,
            } => {
                match local_answer(packet, &call) {
                    Ok(answer) => imported.answered(asked, answer),
                    Err(error) => {
                        let refusal = Refusal::Failed(format!("the answer: {error}"));
                        imported.line().refuse(&call, &refusal);
                    }
                }
                Some(imported)
            }
        }
    }

    /// A signal from a peer (I3).
    pub(crate) fn signal(&self, link: &Link, packet: &Message) -> Option<Arc<Imported>> {
        let header = packet.header();
        let subscription = header.reply_serial()?;
        let imported = {
            let imports = self.imports();
            let peer = imports.get(&link.peer)?;
            peer.by_subscription.get(&subscription)?.clone()
        };
        let signal = Member {
            path: header.path()?.as_str(),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member()?.as_str(),
        };
        let is_allowed = match header.destination() {
            Some(caller) => imported.has_caller(caller.as_str()),
            None => imported.may_hear(&signal),
        };
        if !is_allowed {
            return None;
        }
        match local_signal(packet) {
            Ok(signal) => imported.signalled(signal),
            Err(error) => tracing::debug!(peer = link.name, %error, "a signal is dropped"),
        }
        Some(imported)
    }

    /// Waits until the services of a peer have other names; all of them. Cancel safe.
    pub(crate) async fn renamed(&self) -> (PeerId, BTreeMap<String, String>) {
        loop {
            if let Some(renamed) = self.next_renamed() {
                return renamed;
            }
            self.shared.changed.notified().await;
        }
    }

    /// Takes everything from the bus.
    pub(crate) fn close(&self) {
        let peers = std::mem::take(&mut *self.imports());
        for (_, peer) in peers {
            for imported in peer.imports.into_values() {
                imported.close(&Refusal::NodeGone(peer.link.name.clone()));
            }
        }
    }

    /// A name was got or lost.
    pub(crate) fn name_changed(&self) {
        self.shared.changed.notify_one();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn next_renamed(&self) -> Option<(PeerId, BTreeMap<String, String>)> {
        let mut imports = self.imports();
        for (id, peer) in imports.iter_mut() {
            let shown = peer.imports.values().filter_map(|imported| {
                let name = imported.shown_as()?;
                Some((imported.service().to_string(), name))
            });
            let names: BTreeMap<String, String> = shown.collect();
            if names != peer.names {
                peer.names.clone_from(&names);
                // There may be more, for whoever asks next.
                self.shared.changed.notify_one();
                return Some((*id, names));
            }
        }
        None
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
    fn subscribed(
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

    fn imports(&self) -> MutexGuard<'_, HashMap<PeerId, Peer>> {
        let imports = self.shared.imports.lock();
        imports.unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<ImportRule>> {
        let rules = self.shared.rules.lock();
        rules.unwrap_or_else(PoisonError::into_inner)
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
