//! What the node's tree says of exported services.
//!
//! Model: what is offered is a table; one task, the *publisher*, makes the tree match it. Of a service that every peer may
//! use the tree has more than its name: introspection data, for bridges that import it, and properties and signals, for
//! nodes that know nothing of D-Bus. The tree is sent to all nodes, so it has nothing that only some peers may know.
//! Invariants: ANNOUNCEMENT-1. Nothing is in the tree that the rules do not allow every peer. ANNOUNCEMENT-2. A service has
//! its details in the tree only while somebody owns it: no service is started to be asked.
//! Limits: those of `limits`.
//! Not here: calls and signals of peers that import a service (`crate::export::state`).
//! Spec: docs/reference/protocol.md §7.2, §7.10, §7.11

mod crawl;
mod emissions;
mod inbox;
mod interface_files;
mod limits;
mod methods;
mod offers;
mod place;
mod publisher;
mod service;
mod settings;
mod shape;
mod supplements;
mod values;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Message;
use zocp_node::{CapPath, Node, PeerId, Value};

use self::{
    inbox::{Inbox, Input},
    interface_files::data_directories,
    methods::Methods,
    place::Detail,
    publisher::Publisher,
};
use super::state::Announced;
use crate::lock::lock;
use crate::watch::Watch;
use zocp_policy::Member;

/// Puts services into the tree.
#[derive(Debug)]
pub(super) struct Announcer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Locked because the export enters what it offers, and the publisher reads it when it next makes the tree match.
    wanted: Mutex<BTreeMap<Arc<str>, Announced>>,
    /// Owners whose signals the publisher follows.
    /// Locked because the publisher changes it, and the connection that watches the bus asks it for each signal.
    followed: Mutex<HashMap<Arc<str>, usize>>,
    /// Nodes that know nothing of D-Bus.
    /// Locked because the task of the bridge changes it with the peers, and the connection that watches the bus asks it
    /// for each signal.
    plain: Mutex<HashSet<PeerId>>,
    inbox: Inbox,
    /// Locked because the publisher enters methods, and the task of the bridge looks them up for calls of plain nodes.
    methods: Mutex<HashMap<Arc<str>, Methods>>,
    /// What services were asked and have not replied to.
    /// Locked because the publisher asks, and the connection that watches the bus gets the replies.
    questions: Mutex<HashMap<NonZeroU32, Detail>>,
}

impl Announcer {
    /// Announces until `stop`, or until the node ends.
    pub(super) fn start(
        node: Node,
        watch: Watch,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let directories = data_directories(std::env::var("XDG_DATA_DIRS").ok());
        let publisher = Publisher::new(node, watch, shared.clone(), directories);
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = publisher.run() => {}
            }
        });
        Self { shared }
    }

    pub(super) fn announce(&self, service: Arc<str>, announced: Announced) {
        lock(&self.shared.wanted).insert(service, announced);
        self.shared.inbox.notice.notify_one();
    }

    pub(super) fn withdraw(&self, service: &str) {
        lock(&self.shared.wanted).remove(service);
        self.shared.inbox.notice.notify_one();
    }

    /// Whether an interface of an object of a service has a method, where that is known.
    pub(super) fn has_method(
        &self,
        service: &str,
        method: &Member<'_>,
        interface: &str,
    ) -> Option<bool> {
        let methods = lock(&self.shared.methods);
        methods.get(service)?.has(method, interface)
    }

    /// A peer comes to show a service.
    pub(super) fn wanted(&self, service: &str) {
        self.shared.inbox.push(Input::Wanted(service.into()));
    }

    /// A node that knows nothing of D-Bus is there, or is not.
    pub(super) fn plain(&self, peer: PeerId, is_there: bool) {
        let mut plain = lock(&self.shared.plain);
        let is_other = if is_there {
            plain.insert(peer)
        } else {
            plain.remove(&peer)
        };
        if is_other {
            self.shared.inbox.notice.notify_one();
        }
    }

    /// A service replied to the question with this serial; it is ours if we asked it.
    pub(super) fn answered(&self, question: NonZeroU32, answer: &Message) {
        let detail = lock(&self.shared.questions).remove(&question);
        if let Some(detail) = detail {
            self.shared.inbox.answered(detail, answer.clone());
        }
    }

    /// The bus is lost: no reply comes any more.
    pub(super) fn lost(&self) {
        lock(&self.shared.questions).clear();
    }

    /// A signal of whatever service.
    pub(super) fn handle_signal(&self, sender: &str, signal: &Message) {
        let followed = lock(&self.shared.followed);
        let owner = followed
            .get_key_value(sender)
            .map(|(owner, _)| owner.clone());
        drop(followed);
        let Some(owner) = owner else {
            return;
        };
        if emissions::is_state(signal) || !lock(&self.shared.plain).is_empty() {
            self.shared.inbox.push_signal(owner, signal.clone());
        }
    }

    /// A node set a value of ours; whether it is a service's.
    pub(super) fn set(&self, path: &CapPath, value: &Value) {
        if place::Place::of(path).is_some()
            && !self
                .shared
                .inbox
                .push(Input::Set(path.clone(), value.clone()))
        {
            tracing::warn!(%path, "too much is set at once: a value does not reach its service");
        }
    }
}
