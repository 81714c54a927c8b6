//! Services of this bus for callers on others.
//!
//! Model: a service that a rule names is *offered* while somebody owns it, or the bus can start it. It is
//! announced in the node's tree; peers subscribe to it and call it. Each remote caller is a connection
//! of its own (`caller`).
//! Invariants: E1. what is owned by this bridge, and what bears a bridge's name, is never offered. E2. a
//! peer gets and calls only what its grant allows, whatever it asks for. E3. a subscription is answered
//! after the bus tells us the signals, so that none is missed from then on. E4. a call gets one answer.
//! Limits: `CALLERS_MAX` callers of one peer; those of `caller`.
//! Not here: the rules (`crate::policy`).
//! Spec: docs/reference/protocol.md §7

mod announce;
mod caller;
mod offers;
mod rules;

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Message, message::Flags};
use zocp_node::{Node, PeerId};

use self::{announce::Announcer, caller::Caller, offers::Offers, rules::Rules};
pub(crate) use self::{
    announce::{ORIGIN, REVISION, SERVICE_TYPE, SERVICES},
    caller::ANSWER_MAX,
};
use crate::{
    errors::Refusal,
    policy::{ExportPolicy, ExportRule, Grant, Member, ServicePattern},
    served::Site,
    services::{Asked, Link, Own, Watch},
    transport::{
        Control, Lane, Offer, PACKET_LEN_MAX, has_descriptors, local_call, octets, outgoing_signal,
    },
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

    /// A call from a peer for a service of ours.
    pub(crate) fn call(&self, link: &Arc<Link>, packet: &Message) {
        let id = packet.primary_header().serial_num();
        let header = packet.header();
        let (Some(caller), Some(service)) = (header.sender(), header.destination()) else {
            return;
        };
        let wants_answer = !packet
            .primary_header()
            .flags()
            .contains(Flags::NO_REPLY_EXPECTED);
        if let Err(refusal) = self.try_call(link, packet, service.as_str(), caller.as_str())
            && wants_answer
        {
            refuse(link, service.as_str(), caller.as_str(), id, &refusal);
        }
    }

    /// What a peer's bridge asks or says.
    pub(crate) fn control(&self, link: &Arc<Link>, packet: &Message) {
        let id = packet.primary_header().serial_num();
        match Control::read(packet) {
            Some(Control::Subscribe(service)) => {
                if let Err(refusal) = self.subscribe(link, &service, id) {
                    refuse(link, &service, "", id, &refusal);
                }
            }
            Some(Control::Unsubscribe(service)) => self.unsubscribe(link, &service),
            Some(Control::CallerGone(caller)) => {
                let key = (link.peer, Arc::from(caller));
                if let Some(caller) = locked(&self.shared.callers).remove(&key) {
                    caller.close();
                }
            }
            _ => tracing::debug!(peer = link.name, "an unknown message to the bridge"),
        }
    }

    /// A peer is gone, and with it its callers and subscriptions.
    pub(crate) fn peer_gone(&self, link: &Link) {
        let shared = &self.shared;
        let callers = &mut *locked(&shared.callers);
        for (_, caller) in callers.extract_if(|(peer, _), _| *peer == link.peer) {
            caller.close();
        }
        for service in locked(&shared.offers).leave(link.peer) {
            shared.watch.ignore(&service);
        }
        locked(&shared.logged).retain(|(peer, _)| *peer != link.peer);
    }

    fn try_call(
        &self,
        link: &Arc<Link>,
        packet: &Message,
        service: &str,
        caller: &str,
    ) -> Result<(), Refusal> {
        let header = packet.header();
        let method = Member {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        };
        let grant = self.grant(link, service)?;
        if !grant.may_call(&method) {
            return Err(self.denied(link, service, &method));
        }
        let unmakeable = |error: zbus::Error| Refusal::Failed(error.to_string());
        let call = local_call(packet, service).map_err(unmakeable)?;
        let max = self.shared.site.message_len_max();
        if call.data().len() > max {
            return Err(Refusal::TooLarge { max });
        }
        let service = locked(&self.shared.offers).name(service);
        let service = service.ok_or_else(|| unknown_service(header.destination()))?;
        self.caller(link, caller)?.call(call, packet, service)
    }

    /// What a peer may do with a service that is offered to it. One that it may not see does not exist
    /// for it.
    fn grant(&self, link: &Link, service: &str) -> Result<Arc<Grant>, Refusal> {
        let offers = locked(&self.shared.offers);
        if let Some(grant) = offers.granted(service, link.peer) {
            return Ok(grant);
        }
        let is_offered = offers.name(service).is_some();
        drop(offers);
        let grant = locked(&self.shared.rules)
            .all
            .grant(service, &link.name, &link.uuid);
        match (is_offered, grant.may_see()) {
            (true, true) => Ok(Arc::new(grant)),
            _ => Err(Refusal::AccessDenied(format!(
                "{service} is not exported to {}",
                link.name
            ))),
        }
    }

    /// Logged once for each service and peer and kind, so that a log stays readable.
    fn denied(&self, link: &Link, service: &str, method: &Member<'_>) -> Refusal {
        let interface = method.interface.unwrap_or("*");
        let rule = format!("{interface}.{}@{}", method.member, method.path);
        let is_new = {
            let mut logged = locked(&self.shared.logged);
            logged.len() < LOGGED_MAX && logged.insert((link.peer, format!("{service} {rule}")))
        };
        if is_new {
            tracing::warn!(peer = link.name, service, rule, "denied: no rule allows it");
        }
        Refusal::AccessDenied(format!("no rule lets {} call {rule}", link.name))
    }

    /// The connection of a remote caller, made at its first call.
    fn caller(&self, link: &Arc<Link>, name: &str) -> Result<Caller, Refusal> {
        let mut callers = locked(&self.shared.callers);
        let key = (link.peer, Arc::from(name));
        if let Some(caller) = callers.get(&key)
            && !caller.is_closed()
        {
            return Ok(caller.clone());
        }
        let count = callers
            .keys()
            .filter(|(peer, _)| *peer == link.peer)
            .count();
        if count >= CALLERS_MAX {
            let text = format!("{CALLERS_MAX} callers of {} are connected", link.name);
            return Err(Refusal::LimitsExceeded(text));
        }
        let caller = Caller::connect(self.clone(), link.clone(), key.1.clone());
        callers.insert(key, caller.clone());
        Ok(caller)
    }

    fn subscribe(&self, link: &Arc<Link>, service: &str, id: NonZeroU32) -> Result<(), Refusal> {
        let grant = self.grant(link, service)?;
        let mut offers = locked(&self.shared.offers);
        match offers.subscribe(service, link, id, grant.clone()) {
            None => Err(Refusal::ServiceUnknown(format!("{service} is gone"))),
            Some(offers::Subscribed::Ready) => {
                offered(link, service, id, &grant);
                Ok(())
            }
            Some(offers::Subscribed::First(name)) => {
                drop(offers);
                self.shared.watch.listen(&name);
                Ok(())
            }
            Some(offers::Subscribed::Waiting) => Ok(()),
        }
    }

    fn unsubscribe(&self, link: &Link, service: &str) {
        if let Some(name) = locked(&self.shared.offers).unsubscribe(service, link.peer) {
            self.shared.watch.ignore(&name);
        }
        let callers = &mut *locked(&self.shared.callers);
        let is_done = |peer: PeerId, caller: &Caller| peer == link.peer && caller.forget(service);
        for (_, caller) in callers.extract_if(|(peer, _), caller| is_done(*peer, caller)) {
            caller.close();
        }
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

    fn consider(&self, name: &str, owner: Option<&str>, is_activatable: bool) {
        let shared = &self.shared;
        if owner.is_some_and(|owner| shared.own.has(owner)) {
            // Also what was offered because the bus could start it.
            let gone = locked(&shared.offers).retain(|offered| offered != name);
            return self.withdrawn(&gone);
        }
        if is_bridge_name(name) || !locked(&shared.rules).all.offers(name) {
            return;
        }
        let changed = locked(&shared.offers).offer(name, owner, is_activatable);
        self.announced(changed.into_iter().collect());
    }
}

// What the watch hears.
impl Exporter {
    pub(crate) fn connected(&self) {
        self.shared.watch.ask_names();
    }

    pub(crate) fn lost(&self) {
        let gone = locked(&self.shared.offers).retain(|_| false);
        self.withdrawn(&gone);
    }

    pub(crate) fn owner_changed(&self, name: &str, new: Option<&str>) {
        if name.starts_with(':') {
            return;
        }
        let gone = locked(&self.shared.offers).owner_gone(name);
        if let Some(owner) = new {
            self.consider(name, Some(owner), false);
        }
        let stays = locked(&self.shared.offers).revision(name);
        match stays {
            // What was known of it is old.
            Some(stays) => self.announced(vec![stays]),
            None => self.withdrawn(gone.as_slice()),
        }
    }

    pub(crate) fn answered(&self, asked: &Asked, answer: &Message) {
        let body = answer.body();
        match asked {
            Asked::Names => {
                let names: Vec<String> = body.deserialize().unwrap_or_default();
                let rules = locked(&self.shared.rules);
                for name in names.iter().filter(|name| rules.all.offers(name)) {
                    self.shared.watch.ask_owner(&Arc::from(name.as_str()));
                }
            }
            Asked::Activatable => {
                let names: Vec<String> = body.deserialize().unwrap_or_default();
                for name in names {
                    self.consider(&name, None, true);
                }
            }
            Asked::Owner(name) => {
                if let Ok(owner) = body.deserialize::<&str>()
                    && answer.header().error_name().is_none()
                {
                    self.consider(name, Some(owner), false);
                }
            }
            Asked::Match(service) => {
                for (link, id, grant) in locked(&self.shared.offers).matched(service) {
                    offered(&link, service, id, &grant);
                }
            }
            _ => {}
        }
    }

    /// A broadcast goes to who subscribed to a service of its sender and may hear it.
    pub(crate) fn signal(&self, message: &Message) {
        let header = message.header();
        let (Some(sender), Some(path), Some(member)) =
            (header.sender(), header.path(), header.member())
        else {
            return;
        };
        let signal = Member {
            path: path.as_str(),
            interface: header.interface().map(|name| name.as_str()),
            member: member.as_str(),
        };
        if has_descriptors(message) || message.data().len() > PACKET_LEN_MAX - HEADER_MORE {
            return tracing::warn!(
                sender = sender.as_str(),
                member = member.as_str(),
                "a signal cannot be passed on: too long, or with file descriptors"
            );
        }
        let offers = locked(&self.shared.offers);
        for (service, subscription) in offers.hearers(sender.as_str()) {
            if !subscription.grant.may_hear(&signal) {
                continue;
            }
            match outgoing_signal(message, subscription.id, None) {
                Ok(packet) => {
                    let lane = Lane::Service(service.clone());
                    subscription.link.outlet.push(lane, octets(packet));
                }
                Err(error) => tracing::debug!(%error, "a signal cannot be passed on"),
            }
        }
    }

    /// Waits for the peer that takes no more.
    pub(crate) fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        let link = locked(&self.shared.offers).first_full()?;
        Some(Box::pin(async move { link.outlet.room().await }))
    }
}

fn offered(link: &Link, service: &str, id: NonZeroU32, grant: &Grant) {
    let offer = Offer {
        hears_all: grant.hears_all(),
    };
    match offer.packet(id) {
        Ok(packet) => link
            .outlet
            .push(Lane::Service(service.into()), octets(packet)),
        Err(error) => tracing::error!(%error, "an offer cannot be made"),
    }
}

/// Answers a call of a peer with an error of ours, behind what its service told that caller.
fn refuse(link: &Link, service: &str, caller: &str, id: NonZeroU32, refusal: &Refusal) {
    let packet = Message::method_call("/", "x")
        .serial(id)
        .build(&())
        .and_then(|call| {
            Message::error(&call.header(), refusal.name()).build(&refusal.to_string())
        });
    match packet {
        Ok(packet) => {
            let lane = Lane::Answers(service.into(), caller.into());
            link.outlet.push(lane, octets(packet));
        }
        Err(error) => tracing::error!(%error, "a refusal cannot be made"),
    }
}

fn unknown_service(name: Option<&zbus::names::BusName<'_>>) -> Refusal {
    let name = name.map_or("the service", |name| name.as_str());
    Refusal::ServiceUnknown(format!("{name} is gone"))
}

/// Names of the bus and of bridges, which nobody offers.
fn is_bridge_name(name: &str) -> bool {
    let below = name.strip_prefix(zocp_interfaces::BRIDGE_NAME);
    name == "org.freedesktop.DBus"
        || name.starts_with(':')
        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Plain data, whole between the steps of each method.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections of one peer's callers.
const CALLERS_MAX: usize = 256;
/// How much longer a packet's header may be than the one that came.
pub(crate) const HEADER_MORE: usize = 4 << 10;
/// Refusals that are remembered as logged.
const LOGGED_MAX: usize = 4096;
