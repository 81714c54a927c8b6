//! Services of other buses on this one.
//!
//! Model: a peer's tree says which services it exports. For each that a rule does not hide, its bridge
//! is asked for the signals; when it agrees, an [`Imported`] goes on this bus: a connection (`house`)
//! with a name, which passes calls on and lets answers and signals in.
//! Invariants: I1. an import is of one revision of a service; another revision is another import. I2.
//! when service, node, bridge or link goes, calls in flight are answered with an error at once, then the
//! name goes. I3. what a peer sends reaches only what it belongs to: answers the caller that asked,
//! signals the import that subscribed, directed ones a caller that called it.
//! Limits: those of `following`.
//! Spec: docs/reference/protocol.md §7

mod announcement;
mod cache;
mod call_back;
mod callers;
mod calls_back;
mod following;
mod house;
mod identity;
mod imported;
mod names;
mod remote;
mod telling;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use zbus::Message;
use zocp_node::PeerId;

use self::announcement::Export;
use self::{
    callers::Callers,
    imported::{Imported, Remote, Request},
};
use crate::{
    context::Context,
    limits::Limits,
    link::Link,
    logged::LoggedOnce,
    own_names::OwnNames,
    transport::{local_answer, local_signal},
};
use zocp_dbus::{errors::Refusal, line::Line, served::Site};
use zocp_policy::{ImportRule, Member};

/// The importing half. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Importer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) tasks: TaskTracker,
    pub(crate) own_names: OwnNames,
    pub(crate) callers: Callers,
    pub(crate) limits: Limits,
    pub(crate) refused: Mutex<LoggedOnce>,
    rules: Mutex<Vec<ImportRule>>,
    imports: Mutex<HashMap<PeerId, Peer>>,
    changed: Notify,
}

/// What is imported of a peer.
#[derive(Debug)]
struct Peer {
    link: Arc<Remote>,
    /// What it exports.
    told: BTreeMap<Arc<str>, Export>,
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
    pub(crate) fn new(context: Context, rules: Vec<ImportRule>) -> Self {
        let Context {
            tasks,
            site,
            watch,
            own_names,
            limits,
            metrics: _,
        } = context;
        Self {
            shared: Arc::new(Shared {
                site,
                tasks,
                own_names,
                callers: Callers::new(watch),
                limits,
                refused: Mutex::default(),
                rules: Mutex::new(rules),
                imports: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// The bus can be watched from now on.
    pub(crate) fn connected(&self) {
        self.shared.callers.recheck();
    }

    /// The bus is lost, and with it everybody who called.
    pub(crate) fn lost(&self) {
        self.shared.callers.lost();
        for imported in self.all() {
            imported.forget_callers();
        }
    }

    /// A program has left the bus.
    pub(crate) fn program_gone(&self, program: &str) {
        if self.shared.callers.gone(program) {
            for imported in self.all() {
                imported.forget_caller(program);
            }
            for peer in self.imports().values() {
                peer.link.close_program(program);
            }
        }
    }

    /// All that is imported.
    fn all(&self) -> Vec<Arc<Imported>> {
        let imports = self.imports();
        let imports = imports.values().flat_map(|peer| peer.imports.values());
        imports.cloned().collect()
    }

    /// A peer is here.
    pub(crate) fn peer_came(&self, link: &Arc<Link>) {
        let peer = Peer {
            link: Arc::new(Remote::new(link.clone())),
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
        self.refused().forget(link.peer);
    }

    /// An answer from a peer. The line that something goes out on.
    pub(crate) fn answer(&self, link: &Link, packet: &Message, id: NonZeroU32) -> Option<Line> {
        let link = self.remote(link.peer)?;
        match link.close(id)? {
            Request::Subscribe(imported) => {
                self.subscribed(&link, &imported, id, packet);
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
                ..
            } => {
                let max = self.shared.site.message_len_max();
                let presented = imported.presented(&call, packet);
                match local_answer(presented.as_deref().unwrap_or(packet), &call) {
                    Ok(answer) if answer.len() <= max => imported.answered(asked, packet, answer),
                    Ok(_) => imported.line().refuse(&call, &Refusal::TooLarge { max }),
                    Err(error) => {
                        let refusal = Refusal::Failed(format!("the answer: {error}"));
                        imported.line().refuse(&call, &refusal);
                    }
                }
                Some(imported.line().clone())
            }
        }
    }

    /// An answer from a peer is longer than what is taken: whoever waits for it is told so.
    pub(crate) fn lost_answer(&self, link: &Link, id: NonZeroU32, max: usize) {
        let refusal = Refusal::TooLarge { max };
        match self.remote(link.peer).and_then(|link| link.close(id)) {
            Some(Request::Call { imported, call, .. }) => imported.line().refuse(&call, &refusal),
            // What is asked for memory alone is not known then, and a subscription is never that long.
            Some(Request::Own { .. } | Request::Subscribe(_)) | None => {}
        }
    }

    /// A signal from a peer (I3). The line that it goes out on.
    pub(crate) fn signal(&self, link: &Link, packet: &Message) -> Option<Line> {
        let header = packet.header();
        let imported = self.subscribed_as(link, header.reply_serial()?)?;
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
        let presented = imported.presented_signal(packet);
        match local_signal(presented.as_deref().unwrap_or(packet)) {
            Ok(signal) if signal.len() <= self.shared.site.message_len_max() => {
                imported.signalled(packet, signal);
            }
            Ok(_) => {
                let service = &**imported.service();
                if let Some(left_out) = link.report.log(service) {
                    tracing::warn!(service, left_out, "signals are longer than the bus takes");
                }
            }
            Err(error) => tracing::debug!(peer = link.name, %error, "a signal is dropped"),
        }
        Some(imported.line().clone())
    }

    /// What a subscription of ours is to.
    fn subscribed_as(&self, link: &Link, subscription: NonZeroU32) -> Option<Arc<Imported>> {
        let imports = self.imports();
        let peer = imports.get(&link.peer)?;
        peer.by_subscription.get(&subscription).cloned()
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

    fn remote(&self, peer: PeerId) -> Option<Arc<Remote>> {
        self.imports().get(&peer).map(|peer| peer.link.clone())
    }

    fn imports(&self) -> MutexGuard<'_, HashMap<PeerId, Peer>> {
        let imports = self.shared.imports.lock();
        imports.unwrap_or_else(PoisonError::into_inner)
    }

    /// Logged once for each rule and peer.
    fn log_denied(&self, link: &Link, imported: &Imported, method: &Member<'_>) {
        let (rule, call) = (imported.rule_text(), method.rule());
        if self.refused().is_new(link.peer, &rule) {
            let (peer, service, rule) = (&link.name, &**imported.service(), &*rule);
            tracing::warn!(
                peer,
                service,
                rule,
                call,
                "denied: the rule here does not allow it"
            );
        }
    }

    pub(super) fn refused(&self) -> MutexGuard<'_, LoggedOnce> {
        let refused = self.shared.refused.lock();
        refused.unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<ImportRule>> {
        let rules = self.shared.rules.lock();
        rules.unwrap_or_else(PoisonError::into_inner)
    }
}
