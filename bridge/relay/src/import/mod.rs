//! Services of other buses on this one.
//!
//! Model: a peer's tree says which services it exports. For each that a rule does not hide, its bridge is asked for the
//! signals; when it agrees, an import goes on this bus: a connection with a name, which passes calls on and lets replies
//! and signals in. What is decided is in [`State`]; an [`Importer`] gives it what happens, and carries out at once what
//! it says.
//! Layout: `state` decides; `views` are buses of their own; `connection` is the connection of an import; `announcement`
//! reads the tree; `cache` answers from memory; `names` and `identity` say how a service appears.
//! Limits: those of `state`.
//! Spec: docs/reference/protocol.md §7

pub(crate) mod announcement;
mod cache;
mod change_signals;
mod connection;
mod identity;
mod names;
pub(crate) mod state;
mod views;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU32},
};

use tokio::{sync::Notify, time::Instant};
use zbus::Message;
use zocp_node::{Node, PeerId, model::Tree};

use self::{
    announcement::exports_of,
    connection::Connection,
    state::{BusId, ImportId, OWN_BUS, Output, State},
};
pub use self::{
    state::{ViewScope, ViewService},
    views::{ImportView, ImportViews},
};
use crate::{
    context::Context, limits::ServiceLimits, link::Link, lock::lock, transport::Busy, watch::Watch,
};
use zocp_dbus::{connection::BusConnection, errors::Refusal, server::BusContext};
use zocp_policy::ImportRule;

/// The importing half. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Importer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    context: Context,
    /// Locked because connections of imports and the task of the bridge give inputs, each in its own task, without a
    /// hand-over to another one.
    inner: Mutex<Inner>,
    /// Names of services may be others.
    names_changed: Notify,
    /// The same, for who waits for a view.
    views_changed: Notify,
    /// How many views there were.
    views: AtomicU32,
}

/// What is behind the lock. It is held while the state takes one input and while its outputs are put into queues, so that
/// they are there in the order in which the state gave them; never while something is waited for. The locks of the queues
/// are taken inside it, and it is never taken inside them.
#[derive(Debug)]
struct Inner {
    state: State,
    links: BTreeMap<PeerId, Arc<Link>>,
    connections: BTreeMap<ImportId, Connection>,
    buses: BTreeMap<BusId, Place>,
    reading: BTreeMap<PeerId, Reading>,
}

/// A bus on which imports are.
#[derive(Debug, Clone)]
struct Place {
    site: BusContext,
    watch: Watch,
}

/// How a peer's tree is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Once,
    /// It changed since: once more.
    Again,
}

impl Importer {
    pub(crate) fn new(context: Context, rules: Vec<ImportRule>) -> Self {
        let departures = Arc::new(context.porter.clone());
        let max = context.bus.message_len_max();
        let state = State::new(rules, context.limits.now(), max, departures);
        let own = Place {
            site: context.bus.clone(),
            watch: context.watch.clone(),
        };
        Self {
            shared: Arc::new(Shared {
                context,
                inner: Mutex::new(Inner {
                    state,
                    links: BTreeMap::new(),
                    connections: BTreeMap::new(),
                    buses: [(OWN_BUS, own)].into(),
                    reading: BTreeMap::new(),
                }),
                names_changed: Notify::new(),
                views_changed: Notify::new(),
                views: AtomicU32::new(0),
            }),
        }
    }

    /// The bus can be watched from now on.
    pub(crate) fn connected(&self) {
        self.input(|state| state.handle_watched(OWN_BUS));
    }

    /// The bus is lost.
    pub(crate) fn lost(&self) {
        self.input(State::handle_bus_lost);
    }

    /// A program has left the bus.
    pub(crate) fn program_gone(&self, program: &str) {
        self.input(|state| state.handle_program_gone(program));
    }

    /// A peer is here, under this label.
    pub(crate) fn peer_came(&self, link: &Arc<Link>, label: Arc<str>) {
        self.lock().links.insert(link.remote.id, link.clone());
        self.input(|state| state.handle_peer(link.remote.clone(), label));
    }

    /// A peer is gone.
    pub(crate) fn peer_gone(&self, peer: PeerId) {
        self.input(|state| state.handle_peer_gone(peer));
        let mut inner = self.lock();
        inner.links.remove(&peer);
        inner.reading.remove(&peer);
    }

    /// A peer has another label.
    pub(crate) fn relabelled(&self, peer: PeerId, label: Arc<str>) {
        self.input(|state| state.handle_label(peer, label));
    }

    /// A peer's tree is known.
    pub(crate) fn tree_known(&self, peer: PeerId, tree: &Tree) {
        let max = self.lock().state.imports_max();
        let exports = exports_of(tree, peer, max);
        self.input(|state| state.handle_exports(peer, exports, Instant::now()));
    }

    /// A peer's tree changed where exports are: it is read anew. Not in place: the node answers questions always, but
    /// the events behind this one would wait for the reply, and of several changes each would be read.
    pub(crate) fn tree_changed(&self, peer: PeerId, node: &Node) {
        let mut inner = self.lock();
        if !inner.links.contains_key(&peer) {
            return;
        }
        let reading = inner.reading.get(&peer).map(|_| Reading::Again);
        inner.reading.insert(peer, reading.unwrap_or(Reading::Once));
        if reading.is_some() {
            return;
        }
        drop(inner);
        let (importer, node) = (self.clone(), node.clone());
        self.shared.context.tasks.spawn(async move {
            loop {
                if let Ok(Some(tree)) = node.tree(peer).await {
                    importer.tree_known(peer, &tree);
                }
                if !importer.is_to_read_again(peer) {
                    return;
                }
            }
        });
    }

    fn is_to_read_again(&self, peer: PeerId) -> bool {
        let mut inner = self.lock();
        let is_again = inner.reading.remove(&peer) == Some(Reading::Again);
        if is_again {
            inner.reading.insert(peer, Reading::Once);
        }
        is_again
    }

    /// The rules here.
    pub(crate) fn rules(&self) -> Vec<ImportRule> {
        self.lock().state.rules().to_vec()
    }

    /// The rules and the limits are others.
    pub(crate) fn reload(&self, rules: Vec<ImportRule>, limits: ServiceLimits) {
        self.input(|state| {
            state.set_limits(limits);
            state.handle_rules(rules, Instant::now());
        });
    }

    /// A peer's bridge says that we may do something else with a service than before.
    pub(crate) fn revised(&self, peer: PeerId, service: &str) {
        self.input(|state| state.handle_revised(peer, service, Instant::now()));
    }

    /// A reply from a peer. The connections that something goes out on because of it and that are full.
    pub(crate) fn reply(
        &self,
        peer: PeerId,
        packet: &Message,
        id: NonZeroU32,
    ) -> Vec<BusConnection> {
        self.input_of_peer(|state| state.handle_reply(peer, id, packet, Instant::now()))
    }

    /// A reply from a peer cannot be taken: who waits for it gets this error.
    pub(crate) fn lost_reply(&self, peer: PeerId, id: NonZeroU32, error: Refusal) {
        self.input(|state| state.handle_lost_reply(peer, id, error));
    }

    /// Whether the files that a reply or a signal from a peer names are wanted here.
    pub(crate) fn wants_files(&self, peer: PeerId, packet: &Message) -> bool {
        self.lock().state.wants_files(peer, packet)
    }

    /// A signal from a peer. The connections that it goes out on and that are full.
    pub(crate) fn signal(&self, peer: PeerId, packet: &Message) -> Vec<BusConnection> {
        self.input_of_peer(|state| state.handle_signal(peer, packet))
    }

    /// A service of a peer calls one that called it. The connection that the call goes out on, if it is full.
    pub(crate) fn call_back(&self, peer: PeerId, packet: &Message) -> Vec<BusConnection> {
        self.input_of_peer(|state| state.handle_call_back(peer, packet, Instant::now()))
    }

    /// Waits until the services of a peer have other names; all of them. Cancel safe.
    pub(crate) async fn renamed(&self) -> (PeerId, BTreeMap<String, String>) {
        loop {
            let renamed = self.lock().state.poll_names();
            if let Some(renamed) = renamed {
                // There may be more, for whoever asks next.
                self.shared.names_changed.notify_one();
                return renamed;
            }
            self.shared.names_changed.notified().await;
        }
    }

    /// Takes everything from the bus.
    pub(crate) fn close(&self) {
        self.input(State::handle_stop);
    }

    /// Gives the state an input, and carries out what follows.
    fn input<R>(&self, input: impl FnOnce(&mut State) -> R) -> R {
        let mut inner = self.lock();
        let outcome = input(&mut inner.state);
        self.carry_out(&mut inner);
        outcome
    }

    /// The same, for something that a peer sent: while a connection that it goes out on is full, nothing more is taken
    /// from the mesh.
    fn input_of_peer(&self, input: impl FnOnce(&mut State)) -> Vec<BusConnection> {
        let mut inner = self.lock();
        input(&mut inner.state);
        self.carry_out(&mut inner)
    }

    /// Does what the state says; the connections on which something is written and which are full.
    fn carry_out(&self, inner: &mut Inner) -> Vec<BusConnection> {
        let mut full = Vec::new();
        while let Some(output) = inner.state.poll_output() {
            match output {
                Output::Send {
                    peer,
                    stream,
                    packet,
                } => {
                    if let Some(link) = inner.links.get(&peer) {
                        link.scheduler.push(stream, packet);
                    }
                }
                Output::Call {
                    peer,
                    stream,
                    packet,
                    id,
                } => {
                    let link = inner.links.get(&peer);
                    let sent = link.map_or(Ok(()), |link| link.scheduler.try_push(stream, packet));
                    if let (Err(Busy), Some(id)) = (sent, id) {
                        inner.state.handle_full(peer, id);
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
                Output::Write(import, message) => {
                    if let Some(connection) = inner.connections.get(&import) {
                        full.extend(connection.push(message));
                    }
                }
                Output::RefuseCall(import, call, error) => {
                    if let Some(connection) = inner.connections.get(&import) {
                        full.extend(connection.refuse(&call, &error));
                    }
                }
                Output::Connect(import, bus) => {
                    if let Some(place) = inner.buses.get(&bus) {
                        let connection = connection::start(self, import, bus, place);
                        inner.connections.insert(import, connection);
                    }
                }
                Output::Disconnect(import) => {
                    if let Some(connection) = inner.connections.get(&import) {
                        connection.stop();
                    }
                }
                output => self.carry_out_rare(inner, output),
            }
        }
        full
    }

    fn carry_out_rare(&self, inner: &Inner, output: Output) {
        match output {
            Output::AskCaller(bus, caller) => {
                if let Some(place) = inner.buses.get(&bus) {
                    place.watch.want();
                    place.watch.ask_program(&caller);
                }
            }
            Output::Offer(bus, name) => {
                if let Some(place) = inner.buses.get(&bus) {
                    place.site.offer(&name);
                }
            }
            Output::Withdraw(bus, name) => {
                if let Some(place) = inner.buses.get(&bus) {
                    place.site.withdraw(&name);
                }
            }
            Output::FailStart(bus, name, error) => {
                if let Some(place) = inner.buses.get(&bus) {
                    let text = error.to_string();
                    place.site.fail_start(&name, &error.name(), &text);
                }
            }
            Output::NamesChanged => {
                self.shared.names_changed.notify_one();
                self.shared.views_changed.notify_waiters();
            }
            Output::LogTooLong(peer, service) => {
                let link = inner.links.get(&peer);
                if let Some(left_out) = link.and_then(|link| link.report.log(&service)) {
                    let service = &*service;
                    tracing::warn!(service, left_out, "signals are longer than the bus takes");
                }
            }
            // The others are above.
            _ => {}
        }
    }

    /// See [`Inner`].
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.shared.inner)
    }
}
