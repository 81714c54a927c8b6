//! Services of this bus for callers on others.
//!
//! Model: a service that a rule names is *offered* while somebody owns it, or the bus can start it. It is
//! announced in the node's tree; peers subscribe to it and call it. Each remote caller is a connection
//! of its own (`caller`).
//! Invariants: E1. what is owned by this bridge, and what bears a bridge's name, is never offered. E2. a
//! peer gets and calls only what its grant allows, whatever it asks for. E3. a subscription is answered
//! after the bus tells us the signals, so that none is missed from then on. E4. a call gets one answer.
//! Limits: those of `calls` and `caller`.
//! Not here: the rules (`zocp_policy`).
//! Spec: docs/reference/protocol.md §7

mod announce;
mod call_back;
mod caller;
mod calls;
mod heard;
mod identity;
mod learning;
mod offers;
mod origin;
mod peers;
mod rules;

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_node::{CapPath, Node, PeerId, Value};

pub use self::learning::{Learned, Note, Word};
use self::{
    announce::{Announced, Announcer},
    call_back::CallBack,
    caller::Caller,
    offers::Offers,
    rules::Rules,
};
use crate::{
    context::Context, limits::Limits, link::Link, logged::LoggedOnce, own_names::OwnNames,
    requests::Requests, watch::Watch,
};
use zocp_dbus::served::Site;
use zocp_policy::ExportPolicy;

/// The exporting half. Clones are the same.
#[derive(Debug, Clone)]
pub struct Exporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Of our node.
    name: String,
    site: Site,
    tasks: TaskTracker,
    watch: Watch,
    own_names: OwnNames,
    rules: Mutex<Rules>,
    offers: Mutex<Offers>,
    peers: Mutex<HashMap<PeerId, Arc<Link>>>,
    callers: Mutex<HashMap<(PeerId, Arc<str>), Caller>>,
    /// Calls of services here for callers of each peer.
    calls_back: Mutex<HashMap<PeerId, Requests<CallBack>>>,
    /// Names and their owners that were asked whether they are bridges.
    origins: Mutex<HashMap<NonZeroU32, (Arc<str>, Arc<str>)>>,
    announcer: Announcer,
    refused: Mutex<LoggedOnce>,
    /// Something else is offered, or may be.
    changed: Notify,
    /// What was told to be offered.
    told: Mutex<Vec<String>>,
    stop: CancellationToken,
    limits: Limits,
}

impl Exporter {
    /// Follows the bus once there is a rule; announces until `stop`.
    pub(crate) fn new(
        node: Node,
        context: Context,
        policy: ExportPolicy,
        stop: CancellationToken,
    ) -> Self {
        let Context {
            tasks,
            site,
            watch,
            own_names,
            limits,
            metrics: _,
        } = context;
        if !policy.rules.is_empty() {
            watch.want();
        }
        Self {
            shared: Arc::new(Shared {
                name: node.name().to_owned(),
                site,
                own_names,
                rules: Mutex::new(Rules::new(policy)),
                offers: Mutex::default(),
                peers: Mutex::default(),
                callers: Mutex::default(),
                calls_back: Mutex::default(),
                origins: Mutex::default(),
                announcer: Announcer::start(node, watch.clone(), &tasks, stop.clone()),
                tasks,
                watch,
                refused: Mutex::default(),
                changed: Notify::new(),
                told: Mutex::default(),
                stop,
                limits,
            }),
        }
    }

    /// Waits until other services are offered; all of them, sorted. Cancel safe.
    pub(crate) async fn offered(&self) -> Vec<String> {
        loop {
            if let Some(names) = self.next_offered() {
                return names;
            }
            self.shared.changed.notified().await;
        }
    }

    /// A node that knows nothing of D-Bus is on the mesh, or is not any more.
    pub(crate) fn plain_peer(&self, peer: PeerId, is_there: bool) {
        self.shared.announcer.plain(peer, is_there);
    }

    /// A node set a value of our tree.
    pub(crate) fn set(&self, path: &CapPath, value: &Value) {
        self.shared.announcer.set(path, value);
    }

    fn next_offered(&self) -> Option<Vec<String>> {
        let names = locked(&self.shared.offers).names();
        let mut told = locked(&self.shared.told);
        if *told == names {
            return None;
        }
        told.clone_from(&names);
        Some(names)
    }

    fn announced(&self, services: Vec<(Arc<str>, u64)>) {
        for (service, revision) in services {
            let announced = Announced {
                revision,
                owner: locked(&self.shared.offers).owner(&service),
                grant: locked(&self.shared.rules).all.public_grant(&service).into(),
            };
            self.shared.announcer.announce(service, announced);
        }
        self.shared.changed.notify_one();
    }

    fn withdrawn(&self, services: &[Arc<str>]) {
        for service in services {
            self.shared.announcer.withdraw(service);
            self.shared.watch.ignore(service);
        }
        self.shared.changed.notify_one();
    }
}

/// Plain data, whole between the steps of each method.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
