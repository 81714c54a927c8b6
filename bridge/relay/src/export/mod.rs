//! Services of this bus for callers on others.
//!
//! Model: a service that a rule names is *offered* while somebody owns it, or the bus can start it. It is announced in
//! the node's tree; peers subscribe to it and call it. Each remote caller is a connection of its own. What is decided
//! is in
//! `State`; an [`Exporter`] gives it what happens, and carries out at once what it says.
//! Layout: `state` decides; `connection` is the connection of a caller; `announcement` keeps the tree; `identity` says
//! who a caller is; `record` records what is asked.
//! Limits: those of `state` and `announcement`.
//! Not here: the rules (`zocp_policy`).
//! Spec: docs/reference/protocol.md §7

mod announcement;
mod connection;
mod identity;
mod record;
pub(crate) mod state;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_node::{CapPath, Node, PeerId, Value};

use self::{
    announcement::Announcer,
    connection::Connection,
    state::{CallerId, Output, State},
};
pub use self::{
    record::{Learned, Note, Word},
    state::{OfferedNow, RuleInForce},
};
use crate::{
    context::Context,
    limits::ServiceLimits,
    link::Link,
    lock::lock,
    transport::{Control, Stream},
    watch::Question,
};
use zocp_dbus::{connection::BusConnection, errors::Refusal};
use zocp_policy::{ExportPolicy, ExportRule, Member};

/// The exporting half. Clones are the same.
#[derive(Debug, Clone)]
pub struct Exporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    context: Context,
    /// Locked because callers' connections and the task of the bridge give inputs, each in its own task, without a
    /// hand-over to another one.
    inner: Mutex<Inner>,
    /// `None`: peers know from elsewhere what there is, and are only told when to ask for it.
    announcer: Option<Announcer>,
    /// Something else is offered, or may be.
    offers_changed: Notify,
    stop: CancellationToken,
}

/// What is behind the lock. It is held while the state takes one input and while its outputs are put into queues, so that
/// they are there in the order in which the state gave them; never while something is waited for. The locks of the
/// queues, of the watch and of the announcer are taken inside it, and it is never taken inside them.
#[derive(Debug)]
struct Inner {
    state: State,
    links: BTreeMap<PeerId, Arc<Link>>,
    connections: BTreeMap<CallerId, Connection>,
}

impl Exporter {
    /// Follows the bus once there is a rule; announces until `stop`.
    pub(crate) fn new(
        node: Node,
        context: Context,
        policy: ExportPolicy,
        stop: CancellationToken,
    ) -> Self {
        if !policy.rules.is_empty() {
            context.watch.want();
        }
        let watch = context.watch.clone();
        let announcer = Announcer::start(node.clone(), watch, &context.tasks, stop.clone());
        let state = Self::state(&node, &context, policy);
        Self::of(context, state, Some(announcer), stop)
    }

    /// Passes on the services of another bridge, which are on a bus of their own. Its peers know what there is.
    pub(crate) fn of_passage(
        node: &Node,
        context: Context,
        policy: ExportPolicy,
        stop: CancellationToken,
    ) -> Self {
        context.watch.want();
        let mut state = Self::state(node, &context, policy);
        state.pass_on();
        Self::of(context, state, None, stop)
    }

    fn state(node: &Node, context: &Context, policy: ExportPolicy) -> State {
        State::new(
            node.name(),
            context.own_names.clone(),
            policy,
            context.limits.now(),
            context.bus.message_len_max(),
            Arc::new(context.porter.clone()),
        )
    }

    fn of(
        context: Context,
        state: State,
        announcer: Option<Announcer>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                announcer,
                context,
                inner: Mutex::new(Inner {
                    state,
                    links: BTreeMap::new(),
                    connections: BTreeMap::new(),
                }),
                offers_changed: Notify::new(),
                stop,
            }),
        }
    }

    /// Waits until other services are offered, or the rules are others. Cancel safe.
    pub(crate) async fn offered(&self) -> OfferedNow {
        loop {
            let offered = self.lock().state.poll_offered();
            if let Some(offered) = offered {
                return offered;
            }
            self.shared.offers_changed.notified().await;
        }
    }

    /// Lets peers use more, for as long as the program of this unique name stays on the bus.
    pub fn export(&self, program: &str, rule: ExportRule) -> Result<(), Refusal> {
        self.input(|state| state.export(program, rule))
    }

    /// Takes back what a program exported under this text.
    pub fn unexport(&self, program: &str, service: &str) -> Result<(), Refusal> {
        self.input(|state| state.unexport(program, service))
    }

    /// What was asked while a program learned.
    pub fn learned(&self, program: &str, service: &str) -> Result<Learned, Refusal> {
        self.lock().state.learned(program, service)
    }

    /// A program is gone, and with it what it exported.
    pub(crate) fn program_gone(&self, program: &str) {
        self.input(|state| state.handle_program_gone(program));
    }

    /// The rules of the configuration, and the limits, are others.
    pub(crate) fn reload(&self, policy: ExportPolicy, limits: ServiceLimits) {
        self.input(|state| state.handle_rules(policy, limits));
    }
}

// From the bus.
impl Exporter {
    /// The bus can be watched from now on.
    pub(crate) fn connected(&self) {
        self.input(State::handle_watched);
    }

    /// The bus is lost.
    pub(crate) fn lost(&self) {
        if let Some(announcer) = &self.shared.announcer {
            announcer.lost();
        }
        self.input(State::handle_bus_lost);
    }

    /// A name has another owner, or none any more.
    pub(crate) fn owner_changed(&self, name: &str, new: Option<&str>) {
        self.input(|state| state.handle_owner_changed(name, new, Instant::now()));
    }

    /// The bus, or a service, replies to a question.
    pub(crate) fn answered(&self, asked: &Question, answer: &Message) {
        let body = answer.body();
        match asked {
            Question::Names => {
                let names: Vec<&str> = body.deserialize().unwrap_or_default();
                self.input(|state| state.handle_names(names));
            }
            Question::Activatable => {
                let names: Vec<&str> = body.deserialize().unwrap_or_default();
                self.input(|state| state.handle_activatable(names));
            }
            Question::Owner(name) => {
                let owner: Option<&str> = body.deserialize().ok();
                let owner = owner.filter(|_| answer.header().error_name().is_none());
                self.input(|state| state.handle_owner(name, owner, Instant::now()));
            }
            Question::Match(service, question) => {
                self.input(|state| state.handle_listening(service, *question));
            }
            Question::Service(question) => {
                self.input(|state| state.handle_origin(*question, answer));
                if let Some(announcer) = &self.shared.announcer {
                    announcer.answered(*question, answer);
                }
            }
            _ => {}
        }
    }

    /// A signal that somebody sent to all.
    pub(crate) fn signal(&self, message: &Message) {
        if let (Some(announcer), Some(sender)) = (&self.shared.announcer, message.header().sender())
        {
            announcer.handle_signal(sender.as_str(), message);
        }
        self.input(|state| state.handle_signal(message));
    }

    /// Waits for a peer that subscribed to signals and takes no more at the moment.
    pub(crate) fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        let inner = self.lock();
        let mut links = inner.links.iter();
        let is_full = |(peer, link): &(&PeerId, &Arc<Link>)| {
            !link.scheduler.has_capacity() && inner.state.is_subscriber(**peer)
        };
        let link = links.find(is_full)?.1.clone();
        Some(Box::pin(async move { link.scheduler.capacity().await }))
    }
}

// From the mesh.
impl Exporter {
    /// A node that knows nothing of D-Bus is on the mesh, or is not any more.
    pub(crate) fn plain_peer(&self, peer: PeerId, is_there: bool) {
        if let Some(announcer) = &self.shared.announcer {
            announcer.plain(peer, is_there);
        }
    }

    /// A node set a value of our tree.
    pub(crate) fn set(&self, path: &CapPath, value: &Value) {
        if let Some(announcer) = &self.shared.announcer {
            announcer.set(path, value);
        }
    }

    /// A peer is here.
    pub(crate) fn peer_came(&self, link: &Arc<Link>) {
        self.lock().links.insert(link.remote.id, link.clone());
        self.input(|state| state.handle_peer(link.remote.clone()));
    }

    /// A peer is gone.
    pub(crate) fn peer_gone(&self, peer: PeerId) {
        self.input(|state| state.handle_peer_gone(peer));
        self.lock().links.remove(&peer);
    }

    /// What a peer's bridge asks or says, under this number.
    pub(crate) fn control(&self, peer: PeerId, control: Control, id: NonZeroU32) {
        self.input(|state| state.handle_control(peer, control, id));
    }

    /// A call from a peer for a service of ours.
    pub(crate) fn call(&self, peer: PeerId, packet: &Message) {
        let announcer = &self.shared.announcer;
        self.input(|state| {
            let knows = |service: &str, method: &Member<'_>, interface: &str| {
                announcer.as_ref()?.has_method(service, method, interface)
            };
            state.handle_call(peer, packet, &knows, Instant::now());
        });
    }

    /// A reply of one that called a service here. The connection that it goes out on.
    pub(crate) fn reply(
        &self,
        peer: PeerId,
        packet: &Message,
        id: NonZeroU32,
    ) -> Option<BusConnection> {
        let mut inner = self.lock();
        inner.state.handle_reply(peer, id, packet);
        let written = self.carry_out(&mut inner)?;
        Some(inner.connections.get(&written)?.bus().clone())
    }

    /// Such a reply cannot be taken: the service gets this error.
    pub(crate) fn lost_reply(&self, peer: PeerId, id: NonZeroU32, error: Refusal) {
        self.input(|state| state.handle_lost_reply(peer, id, error));
    }
}

// What follows.
impl Exporter {
    /// Gives the state an input, and carries out what follows.
    fn input<R>(&self, input: impl FnOnce(&mut State) -> R) -> R {
        let mut inner = self.lock();
        let outcome = input(&mut inner.state);
        self.carry_out(&mut inner);
        outcome
    }

    /// Does what the state says; the caller that something was written for last.
    fn carry_out(&self, inner: &mut Inner) -> Option<CallerId> {
        let mut written = None;
        while let Some(output) = inner.state.poll_output() {
            match output {
                Output::Send {
                    peer,
                    stream,
                    packet,
                    behind,
                } => {
                    if let Some(link) = inner.links.get(&peer) {
                        link.scheduler.push_behind(stream, packet, behind.as_ref());
                    }
                }
                Output::RefusePeer {
                    peer,
                    stream,
                    id,
                    error,
                } => {
                    if let Some(link) = inner.links.get(&peer) {
                        link.refuse(stream, id, &error);
                    }
                }
                Output::Call(caller, call, serial) => {
                    let Some(connection) = inner.connections.get(&caller) else {
                        continue;
                    };
                    let max = self.shared.context.limits.now().caller_queue_max;
                    if connection.bus().octets() < max {
                        connection.bus().push(call);
                    } else {
                        inner.state.handle_full(caller, serial);
                    }
                }
                Output::Write(caller, message) => {
                    if let Some(connection) = inner.connections.get(&caller) {
                        connection.bus().push(message);
                        written = Some(caller);
                    }
                }
                Output::RefuseCall(caller, call, error) => {
                    if let Some(connection) = inner.connections.get(&caller) {
                        connection.bus().refuse(&call, &error);
                        written = Some(caller);
                    }
                }
                Output::Connect(peer, caller) => {
                    if let Some(link) = inner.links.get(&peer) {
                        let connection = connection::start(self, link, caller);
                        inner.connections.insert(caller, connection);
                    }
                }
                Output::Disconnect(caller) => {
                    if let Some(connection) = inner.connections.get(&caller) {
                        connection.stop();
                    }
                }
                Output::Announce(service, _) | Output::Withdraw(service)
                    if self.shared.announcer.is_none() =>
                {
                    let revised = Control::Revised(service.to_string()).unanswered();
                    for (link, packet) in inner.links.values().zip(std::iter::repeat(revised)) {
                        if let Some(packet) = packet {
                            let stream = Stream::Service(service.clone());
                            link.scheduler.push(stream, packet);
                        }
                    }
                }
                output => self.carry_out_rare(output),
            }
        }
        written
    }

    /// What is for the watch of the bus, and for the tree.
    fn carry_out_rare(&self, output: Output) {
        let watch = &self.shared.context.watch;
        let announcer = self.shared.announcer.as_ref();
        match output {
            Output::AskNames => {
                watch.want();
                watch.ask_names();
            }
            Output::AskOwner(name) => watch.ask_owner(&name),
            Output::AskProgram(program) => watch.ask_program(&program),
            Output::AskOrigin(call, deadline) => {
                watch.ask_service(call);
                self.expire_origin(deadline);
            }
            Output::ForgetQuestion(question) => watch.forget_question(question),
            Output::Listen(service, question) => watch.listen(&service, question),
            Output::Ignore(service) => watch.ignore(&service),
            Output::Announce(service, announced) => {
                if let Some(announcer) = announcer {
                    announcer.announce(service, announced);
                }
            }
            Output::Withdraw(service) => {
                if let Some(announcer) = announcer {
                    announcer.withdraw(&service);
                }
            }
            Output::Wanted(service) => {
                if let Some(announcer) = announcer {
                    announcer.wanted(&service);
                }
            }
            Output::OffersChanged => self.shared.offers_changed.notify_one(),
            Output::LogSignal { sender, member } => {
                let report = self.shared.context.bus.report();
                if let Some(left_out) = report.log(&sender) {
                    tracing::warn!(
                        sender = &*sender,
                        member = &*member,
                        left_out,
                        "signals cannot be passed on: too long, or with file descriptors"
                    );
                }
            }
            // The others are above.
            _ => {}
        }
    }

    fn expire_origin(&self, deadline: Instant) {
        let exporter = self.clone();
        self.shared.context.tasks.spawn(async move {
            tokio::select! {
                () = exporter.shared.stop.cancelled() => {}
                () = sleep_until(deadline) => {
                    exporter.input(|state| state.handle_origin_timeout(Instant::now()));
                }
            }
        });
    }

    /// See [`Inner`].
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.shared.inner)
    }
}
