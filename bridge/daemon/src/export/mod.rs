//! Services of this bus for callers on others.
//!
//! Model: a service that a rule names is *offered* while somebody owns it, or the bus can start it. It is
//! announced in the node's tree; peers subscribe to it and call it. Each remote caller is a connection
//! of its own (`caller`).
//! Invariants: E1. what is owned by this bridge, and what bears a bridge's name, is never offered. E2. a
//! peer gets and calls only what its grant allows, whatever it asks for. E3. a subscription is answered
//! after the bus tells us the signals, so that none is missed from then on. E4. a call gets one answer.
//! Limits: those of `calls` and `caller`.
//! Not here: the rules (`crate::policy`).
//! Spec: docs/reference/protocol.md §7

mod announce;
mod caller;
mod calls;
mod heard;
mod offers;
mod peers;
mod rules;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_node::{Node, PeerId};

use self::{announce::Announcer, caller::Caller, offers::Offers, rules::Rules};
pub(crate) use self::{
    announce::{ORIGIN, REVISION, SERVICE_TYPE, SERVICES},
    caller::ANSWER_MAX,
};
use crate::{
    errors::Refusal,
    policy::{ExportPolicy, ExportRule, ServicePattern},
    served::Site,
    services::{Own, Watch},
};

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
    own: Own,
    rules: Mutex<Rules>,
    offers: Mutex<Offers>,
    callers: Mutex<HashMap<(PeerId, Arc<str>), Caller>>,
    announcer: Announcer,
    /// Refusals that were logged.
    logged: Mutex<HashSet<(PeerId, String)>>,
    /// Something else is offered, or may be.
    changed: Notify,
    /// What was told to be offered.
    told: Mutex<Vec<String>>,
}

impl Exporter {
    /// Follows the bus once there is a rule; announces until `stop`.
    pub(crate) fn new(
        node: Node,
        tasks: &TaskTracker,
        site: Site,
        watch: Watch,
        own: Own,
        policy: ExportPolicy,
        stop: CancellationToken,
    ) -> Self {
        if !policy.rules.is_empty() {
            watch.want();
        }
        Self {
            shared: Arc::new(Shared {
                name: node.name().to_owned(),
                site,
                tasks: tasks.clone(),
                watch,
                own,
                rules: Mutex::new(Rules::new(policy)),
                offers: Mutex::default(),
                callers: Mutex::default(),
                announcer: Announcer::start(node, tasks, stop),
                logged: Mutex::default(),
                changed: Notify::new(),
                told: Mutex::default(),
            }),
        }
    }

    /// Lets peers use more, for as long as the program of this unique name stays on the bus.
    pub(crate) fn export(&self, program: &str, rule: ExportRule) -> Result<(), Refusal> {
        let shared = &self.shared;
        let pattern = rule.service.clone();
        locked(&shared.rules).lend(program, rule)?;
        shared.watch.want();
        // It may have left before we could know of it.
        shared.watch.ask_caller(&Arc::from(program));
        self.revise(std::slice::from_ref(&pattern));
        shared.watch.ask_names();
        Ok(())
    }

    /// Takes back what a program exported under this text.
    pub(crate) fn unexport(&self, program: &str, service: &str) -> Result<(), Refusal> {
        let taken = locked(&self.shared.rules).take_back(program, Some(service));
        if taken.is_empty() {
            let text = format!("{program} exported nothing as \"{service}\"");
            return Err(Refusal::InvalidArgs(text));
        }
        self.revise(&taken);
        Ok(())
    }

    /// A program is gone, and with it what it exported.
    pub(crate) fn program_gone(&self, program: &str) {
        let taken = locked(&self.shared.rules).take_back(program, None);
        if !taken.is_empty() {
            self.revise(&taken);
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

    fn next_offered(&self) -> Option<Vec<String>> {
        let names = locked(&self.shared.offers).names();
        let mut told = locked(&self.shared.told);
        if *told == names {
            return None;
        }
        told.clone_from(&names);
        Some(names)
    }

    /// The rules for these services are others: what is not offered any more goes, peers ask anew for
    /// the rest.
    fn revise(&self, patterns: &[ServicePattern]) {
        let shared = &self.shared;
        let rules = locked(&shared.rules).all.clone();
        let gone = locked(&shared.offers).retain(|service| rules.offers(service));
        self.withdrawn(&gone);
        let is_meant = |service: &str| patterns.iter().any(|pattern| pattern.matches(service));
        let kept = locked(&shared.offers).revise(is_meant);
        self.announced(kept);
    }

    fn announced(&self, services: Vec<(Arc<str>, u64)>) {
        for (service, revision) in services {
            self.shared.announcer.announce(service, revision);
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

/// How much longer a packet's header may be than the one that came.
pub(crate) const HEADER_MORE: usize = 4 << 10;
