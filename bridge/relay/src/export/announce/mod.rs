//! What the node's tree says of exported services.
//!
//! Model: what is offered is a table; one task, the *desk*, makes the tree like it. Of a service that every
//! peer may use the tree has more than its name: introspection data, for bridges that show it, and
//! properties and signals, for nodes that know nothing of D-Bus. The tree is sent to all, so what only
//! some peers may know is not in it.
//! Invariants: A1. nothing is in the tree that the rules do not allow every peer. A2. a service has its
//! details only while somebody owns it: nothing is started to be asked.
//! Limits: those of `bounds`.
//! Not here: calls and signals of peers that show a service (`calls`, `heard`).
//! Spec: docs/reference/protocol.md §7.2, §7.10, §7.11

mod bounds;
mod desk;
mod following;
mod inbox;
mod installed;
mod methods;
mod offered;
mod place;
mod service;
mod settings;
mod shape;
mod supplied;
mod survey;
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
    desk::Desk,
    inbox::{Inbox, Input},
    installed::data_directories,
    methods::Methods,
    place::Detail,
};
use super::{locked, state::Announced};
use crate::watch::Watch;
use zocp_policy::Member;

/// Puts services into the tree.
#[derive(Debug)]
pub(super) struct Announcer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<BTreeMap<Arc<str>, Announced>>,
    /// Owners whose signals the desk follows.
    followed: Mutex<HashMap<Arc<str>, usize>>,
    /// Nodes that know nothing of D-Bus.
    plain: Mutex<HashSet<PeerId>>,
    inbox: Inbox,
    methods: Mutex<HashMap<Arc<str>, Methods>>,
    /// What services were asked and have not answered.
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
        let desk = Desk::new(node, watch, shared.clone(), directories);
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = desk.run() => {}
            }
        });
        Self { shared }
    }

    pub(super) fn announce(&self, service: Arc<str>, announced: Announced) {
        locked(&self.shared.wanted).insert(service, announced);
        self.shared.inbox.notice.notify_one();
    }

    pub(super) fn withdraw(&self, service: &str) {
        locked(&self.shared.wanted).remove(service);
        self.shared.inbox.notice.notify_one();
    }

    /// Whether an interface of an object of a service has a method, where that is known.
    pub(super) fn has_method(
        &self,
        service: &str,
        method: &Member<'_>,
        interface: &str,
    ) -> Option<bool> {
        let methods = locked(&self.shared.methods);
        methods.get(service)?.has(method, interface)
    }

    /// A peer comes to show a service.
    pub(super) fn wanted(&self, service: &str) {
        self.shared.inbox.push(Input::Wanted(service.into()));
    }

    /// A node that knows nothing of D-Bus is there, or is not.
    pub(super) fn plain(&self, peer: PeerId, is_there: bool) {
        let mut plain = locked(&self.shared.plain);
        let is_other = if is_there {
            plain.insert(peer)
        } else {
            plain.remove(&peer)
        };
        if is_other {
            self.shared.inbox.notice.notify_one();
        }
    }

    /// A program answered the question with this number; it is ours if a service was asked.
    pub(super) fn answered(&self, question: NonZeroU32, answer: &Message) {
        let detail = locked(&self.shared.questions).remove(&question);
        if let Some(detail) = detail {
            self.shared.inbox.answered(detail, answer.clone());
        }
    }

    /// The bus is lost, and with it all answers.
    pub(super) fn lost(&self) {
        locked(&self.shared.questions).clear();
    }

    /// A signal of whatever service.
    pub(super) fn heard(&self, sender: &str, signal: &Message) {
        let followed = locked(&self.shared.followed);
        let owner = followed
            .get_key_value(sender)
            .map(|(owner, _)| owner.clone());
        drop(followed);
        let Some(owner) = owner else {
            return;
        };
        if following::is_state(signal) || !locked(&self.shared.plain).is_empty() {
            self.shared.inbox.told(owner, signal.clone());
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
