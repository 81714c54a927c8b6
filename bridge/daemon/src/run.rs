//! The whole bridge: a bus, a node, the hub and the mirrors, from start to end.
//!
//! Model: one task follows the node's events and gives each to the hub and the mirrors, in order, so
//! that both tell of the same world. What the bus connections say of themselves comes back to the same
//! task.
//! Invariants: RUN-1. whoever is told [`Status::Ready`] finds the bridge's name on the bus. RUN-2. the end goes
//! from the leaf to the root: nodes' objects and names, the bridge's own, goodbye on the mesh, the bus.
//! RUN-3. what the task that reads events waits for never waits itself for a command of a plain handle of the node:
//! those are not taken while events wait (`Node::for_reader`).
//! Limits: `BATCH_MAX` events are taken at once; `CLOSE_MAX` for the bus at the end.
//! Not here: signals, the service manager (`bridge/cli`).

use std::{ops::ControlFlow, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_interfaces::BRIDGE_NAME;
use zocp_node::{Event, Events, Network, Node, PeerId, StartError};

use crate::{
    config::{Reload, Settings},
    engine::{Engine, EngineError},
    hub::{Hub, HubError, HubParts},
    links::{Links, LoadedLinks},
    mirror::Mirrors,
    statistics::{self, Statistics},
    trust::{LoadedTrust, Trust},
    views::Views,
};
use zocp_dbus::{
    bus::{Bus, BusError, BusKind, raise_descriptor_limit},
    introspection::XmlError,
    server::{BusContext, BusScope, Presence, is_starter},
};
use zocp_mapping::directory::Directory;
use zocp_relay::services::Services;
use zocp_wires::Wires;

/// What the bridge says of itself while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// On the bus under its name; told again when the bus was lost and is back.
    Ready {
        /// The name on the mesh.
        name: String,
        /// The TCP port for peers.
        port: u16,
        /// The networks that carry the mesh.
        networks: Vec<Network>,
        /// What kind of bus.
        kind: BusKind,
        /// The bus's address.
        address: String,
    },
    /// Rules that came while it ran are followed.
    Reloaded,
    /// The bus is gone, or another bridge has the name now; both are tried again.
    Lost(String),
    /// The end has begun.
    Stopping,
}

/// Why the bridge does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The mesh cannot be reached.
    #[error(transparent)]
    Mesh(#[from] StartError),
    /// Links by iroh cannot be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Our own objects cannot be made: our fault.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The same of the nodes' objects.
    #[error("a built-in interface: {0}")]
    Mirrors(#[from] XmlError),
    /// A bridge is on this bus already.
    #[error("another bridge has the name {BRIDGE_NAME} on the {kind} at {address}")]
    NameTaken {
        /// What kind of bus.
        kind: BusKind,
        /// The bus's address.
        address: String,
    },
    /// The bus does not let us have the name: a matter of its policy.
    #[error("the {kind} at {address} refuses the name {BRIDGE_NAME}: {reason}")]
    NameDenied {
        /// What kind of bus.
        kind: BusKind,
        /// The bus's address.
        address: String,
        /// What it says.
        reason: String,
    },
    /// The node ended by itself: our fault.
    #[error("the node on the mesh ended")]
    MeshEnded,
}

/// Runs the bridge until `shutdown` is done; `tell` hears how it fares. What comes from `reloads` is
/// followed from then on; nobody needs to send.
///
/// # Errors
/// When it cannot start, or cannot go on; nothing is left behind.
pub async fn run(
    settings: Settings,
    reloads: mpsc::Receiver<Reload>,
    shutdown: impl Future<Output = ()>,
    tell: impl FnMut(Status),
) -> Result<(), RunError> {
    raise_descriptors();
    let mut bus = Bus::open(&settings.bus).await?;
    let outcome = match Bridge::start(&bus, settings, tell).await {
        Ok(bridge) => bridge.run(&mut bus, reloads, shutdown).await,
        Err(error) => Err(error),
    };
    drop(bus);
    outcome
}

struct Bridge<T> {
    node: Node,
    events: Events,
    directory: Directory,
    hub: Hub,
    mirrors: Mirrors<Node>,
    services: Services,
    wires: Wires,
    trust: Trust,
    views: Views,
    engine: Engine,
    tasks: TaskTracker,
    /// Cancelled when what is to be kept is to be written a last time.
    saving: CancellationToken,
    presence: watch::Receiver<Option<Presence>>,
    networks: Vec<Network>,
    was_ready: bool,
    tell: T,
}

impl<T: FnMut(Status)> Bridge<T> {
    async fn start(bus: &Bus, settings: Settings, tell: T) -> Result<Self, RunError> {
        let mut settings = settings;
        let mut opened = LoadedTrust::new(&settings.state, settings.node.security.as_mut());
        let by_iroh = std::mem::take(&mut settings.iroh);
        let linked = LoadedLinks::new(
            &settings.state,
            &mut settings.node,
            by_iroh,
            opened.as_mut(),
        );
        let (fixed, venue) = (settings.node.peers.clone(), settings.node.venue.clone());
        let engine = Engine::start(linked.iroh(), &mut settings.node).await?;
        let (node, events) = Node::start(settings.node).await?;
        engine.serve(node.link_port());
        let networks = node.networks().await.map_err(|_| RunError::MeshEnded)?;
        let site = BusContext::new(bus.address(), limits_of(bus.kind()));
        let tasks = TaskTracker::new();
        let (on_presence, presence) = watch::channel(None);
        let directory = Directory::within(node.venue());
        let services = Services::start(&tasks, &site, node.clone(), settings.services);
        let wires = Wires::start(&tasks, &site, node.clone(), settings.wires, &settings.state)?;
        let saving = CancellationToken::new();
        let following = zocp_srv::follow(settings.srv, fixed, node.clone(), saving.clone());
        tasks.spawn(following);
        // A reload waits for it where events are read.
        let trust = Trust::start(&tasks, node.for_reader(), opened, saving.clone());
        let parts = (node.clone(), trust.clone(), engine.clone());
        let links = Links::start(&tasks, parts, linked, saving.clone());
        let views = Views::start(
            &tasks,
            &site,
            node.for_reader(),
            directory.clone(),
            &services,
        );
        if let Some(address) = settings.prometheus {
            let statistics =
                Statistics::new(node.clone(), site.report().clone(), services.metrics());
            let page = statistics::serve(address, statistics, tasks.clone(), saving.clone());
            tasks.spawn(page);
        }
        let parts = HubParts {
            node: node.clone(),
            directory: directory.clone(),
            exporter: services.exporter(),
            programs: services.programs(),
            metrics: services.metrics(),
            wires: wires.clone(),
            trust: trust.clone(),
            links,
            engine: engine.clone(),
            venue,
            views: views.clone(),
            limits: settings.local,
            state: settings.state,
            saving: saving.clone(),
        };
        let hub = Hub::start(&tasks, &site, parts, move |told| {
            on_presence.send_replace(Some(told));
        })
        .await?;
        let mirrors = Mirrors::new(tasks.clone(), site, node.clone(), directory.clone())?;
        Ok(Self {
            node,
            events,
            directory,
            hub,
            mirrors,
            services,
            wires,
            trust,
            views,
            engine,
            tasks,
            saving,
            presence,
            networks,
            was_ready: false,
            tell,
        })
    }

    async fn run(
        mut self,
        bus: &mut Bus,
        mut reloads: mpsc::Receiver<Reload>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let (kind, address) = (bus.kind(), bus.address().to_owned());
        let mut shutdown = std::pin::pin!(shutdown);
        // These wait where they are, since looking whether there is something takes more than waiting.
        let mut named = std::pin::pin!(self.mirrors.named());
        let mut renamed = std::pin::pin!(self.services.renamed());
        self.show_import_rules();
        let mut offered = std::pin::pin!(self.services.offered());
        let mut batch = Vec::new();
        let mut batches = 0;
        let outcome = loop {
            // Events first: they are what comes all the time, also while a call passes.
            tokio::select! {
                biased;
                // Cancel safe: events stay in the queue.
                count = self.events.next_many(&mut batch, BATCH_MAX), if batches < BATCHES_MAX => {
                    if count == 0 {
                        break Err(RunError::MeshEnded);
                    }
                    batches += 1;
                    tokio::select! {
                        biased;
                        () = self.follow(&mut batch) => {}
                        // Not cancel safe, and at the end it need not be.
                        () = &mut shutdown => break Ok(()),
                    }
                    continue;
                }
                () = &mut shutdown => break Ok(()),
                // Cancel safe: a change that is not seen yet stays so.
                Ok(()) = self.presence.changed() => {
                    if let ControlFlow::Break(outcome) = self.heard(kind, &address) {
                        break outcome;
                    }
                }
                told = &mut named => {
                    named.set(self.mirrors.named());
                    self.hub.named(told.peer, told.bus_name.as_deref());
                    self.mirrors.settled(told.peer);
                }
                // Cancel safe.
                () = self.engine.changed() => self.hub.carried_otherwise(),
                (peer, names) = &mut renamed => {
                    renamed.set(self.services.renamed());
                    self.hub.services(peer, names);
                }
                services = &mut offered => {
                    offered.set(self.services.offered());
                    self.hub.exports(services, self.node.venue());
                }
                // Cancel safe: what is not taken stays in the queue.
                Some(reload) = reloads.recv() => {
                    self.services.reload(reload.services).await;
                    self.show_import_rules();
                    if self.node.pass(reload.pass).await.is_err() {
                        break Err(RunError::MeshEnded);
                    }
                    let (trusted, first_use) = (&reload.trusted, reload.first_use);
                    if self.trust.reload(trusted, first_use).await.is_err() {
                        break Err(RunError::MeshEnded);
                    }
                    (self.tell)(Status::Reloaded);
                }
                // All others had their turn.
                () = std::future::ready(()), if batches == BATCHES_MAX => {}
            }
            batches = 0;
        };
        (self.tell)(Status::Stopping);
        self.close().await;
        outcome
    }

    fn show_import_rules(&self) {
        let rules = self.services.import_rules();
        self.hub.import_rules(&rules, self.node.venue());
    }

    /// A node's objects come after the peer's, and go before it. Waits while the bus does not take
    /// signals.
    async fn follow(&mut self, batch: &mut Vec<Event>) {
        for event in batch.drain(..) {
            if let Event::Exited { peer, .. } = event {
                self.follow_services(&event).await;
                self.wires.handle(&event).await;
                self.mirrors.handle(&event).await;
                self.views.handle(&event).await;
                self.hub.handle(&event).await;
                self.leave(peer).await;
            } else if let Event::Whispered { .. }
            | Event::WhisperedTo { .. }
            | Event::ChannelRequested(_) = event
            {
                if !self.follow_services(&event).await {
                    self.hub.handle(&event).await;
                }
            } else {
                match &event {
                    Event::Entered(info) => {
                        self.directory
                            .enter(info.id, &info.name, info.venue.as_deref());
                    }
                    Event::Networks(networks) => self.networks.clone_from(networks),
                    _ => {}
                }
                self.hub.handle(&event).await;
                self.mirrors.handle(&event).await;
                self.views.handle(&event).await;
                self.wires.handle(&event).await;
                self.follow_services(&event).await;
            }
        }
    }

    /// Takes a peer that left out of the directory. Its label may be another's from now on: that one's object,
    /// bus name and services follow.
    async fn leave(&mut self, peer: PeerId) {
        let freed = self.directory.leave(peer);
        if let Some(relabelled) = freed.and_then(|freed| self.directory.promote(&freed)) {
            self.hub.relabelled(&relabelled);
            self.mirrors.relabelled(&relabelled);
            self.views.relabelled(&relabelled).await;
            self.services.relabelled(&relabelled);
        }
    }

    async fn follow_services(&mut self, event: &Event) -> bool {
        let directory = &self.directory;
        self.services
            .handle(event, |peer| directory.label_of(peer))
            .await
    }

    /// The hub's connection says something of itself.
    fn heard(&mut self, kind: BusKind, address: &str) -> ControlFlow<Result<(), RunError>> {
        let told = self.presence.borrow_and_update().clone();
        let address = address.to_owned();
        match told {
            Some(Presence::Named(_)) => {
                self.was_ready = true;
                (self.tell)(Status::Ready {
                    name: self.node.name().to_owned(),
                    port: self.node.port(),
                    networks: self.networks.clone(),
                    kind,
                    address,
                });
            }
            Some(Presence::Taken(_)) if !self.was_ready => {
                return ControlFlow::Break(Err(RunError::NameTaken { kind, address }));
            }
            Some(Presence::Denied { reason, .. }) if !self.was_ready => {
                return ControlFlow::Break(Err(RunError::NameDenied {
                    kind,
                    address,
                    reason,
                }));
            }
            Some(Presence::Taken(name)) => {
                (self.tell)(Status::Lost(format!("another program has the name {name}")));
            }
            // The next bus there starts a bridge of its own.
            Some(Presence::Unreachable(reason)) if self.was_ready && is_starter(&address) => {
                (self.tell)(Status::Lost(format!(
                    "{reason}; it started this bridge, which ends"
                )));
                return ControlFlow::Break(Ok(()));
            }
            Some(Presence::Denied { reason, .. } | Presence::Unreachable(reason)) => {
                (self.tell)(Status::Lost(reason));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    async fn close(self) {
        let Self {
            node,
            events,
            hub,
            mirrors,
            services,
            wires,
            views,
            engine,
            tasks,
            saving,
            ..
        } = self;
        saving.cancel();
        views.close().await;
        services.close();
        wires.close();
        let gone = async {
            for mirror in mirrors.close() {
                mirror.cancelled().await;
            }
            hub.close().cancelled().await;
        };
        if timeout(CLOSE_MAX, gone).await.is_err() {
            tracing::warn!("the bus does not let us go");
        }
        // Nobody follows any more; a full queue must not hold up the goodbye.
        drop(events);
        node.shutdown().await;
        engine.close().await;
        tasks.close();
        if timeout(CLOSE_MAX, tasks.wait()).await.is_err() {
            tracing::warn!("a task does not end");
        }
    }
}

/// The system bus has small limits; what is behind an address is not known.
fn limits_of(kind: BusKind) -> BusScope {
    match kind {
        BusKind::Session | BusKind::Embedded => BusScope::Session,
        BusKind::System => BusScope::System,
        BusKind::Address => BusScope::Unknown,
    }
}

fn raise_descriptors() {
    if let Some(limit) = raise_descriptor_limit()
        && limit < DESCRIPTORS_MIN
    {
        tracing::warn!(
            limit,
            "the limit of open files is low: each node takes about four; raise it with `ulimit -Hn` \
             or LimitNOFILE="
        );
    }
}

/// As many events as one node's burst often has; more only delays a shutdown.
const BATCH_MAX: usize = 256;
/// Batches in a row, then others get their turn.
const BATCHES_MAX: usize = 8;
/// Longer than a connection takes for its own deadline.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Enough for a thousand nodes.
const DESCRIPTORS_MIN: u64 = 4096;
