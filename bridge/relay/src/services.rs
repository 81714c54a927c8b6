//! Services of one bus on another: the two halves together.
//!
//! Model: [`Services`] follows the node's events. It has a link for each peer that speaks our additions, reads the
//! packets that come over it, and gives calls to the exporter, replies and signals to the importer (`router`).
//! Invariants: RELAY-1. Packets of all peers are handled one after the other, in the order in which the node received
//! them, so that no packet of a peer overtakes another one of it.
//! Limits: while the bus connection that a packet goes out on is full, no further event is taken from the node, so
//! nothing is lost.
//! Spec: docs/reference/protocol.md §7

mod listener;
mod passage;
mod router;

use std::{collections::BTreeMap, sync::Arc};

use crate::metrics::Metrics;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_node::{Event, Node, PeerId, model::Change};
use zocp_policy::{ExportPolicy, ImportRule};

pub use self::passage::ServicePass;
use self::{listener::CompositeListener, passage::Passages, router::Router};
pub use crate::import::{ImportView, ImportViews, ViewScope, ViewService};
pub use crate::limits::ServiceLimits;
use crate::{
    context::Context,
    descriptors::Porter,
    export::{Exporter, OfferedNow},
    import::Importer,
    limits::Limits,
    link::Link,
    named,
    own_names::OwnNames,
    programs::Programs,
    schema::SERVICES,
    transport::{Reassembly, is_ours},
    watch::Watch,
};
use zocp_dbus::server::BusContext;
use zocp_mapping::directory::Relabelled;

/// The settings of services. They can be changed while the bridge runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// What of this bus peers may use.
    pub export: ExportPolicy,
    /// How services of peers appear; the first rule that fits decides.
    pub import: Vec<ImportRule>,
    /// What bridges of other venues may use of nodes of this one.
    pub pass: Vec<ServicePass>,
    /// The limits.
    pub limits: ServiceLimits,
}

/// Services of one bus on another. See the [module](self).
#[derive(Debug)]
pub struct Services {
    node: Node,
    context: Context,
    router: Router,
    exporter: Exporter,
    importer: Importer,
    programs: Programs,
    openers: Programs,
    links: BTreeMap<PeerId, Arc<Link>>,
    /// Long packets of each peer that have not come whole.
    reassemblies: BTreeMap<PeerId, Reassembly>,
    passages: Passages,
    stop: CancellationToken,
}

impl Services {
    /// Starts with these rules; `tasks` has what it does in the background.
    #[must_use]
    pub fn start(
        tasks: &TaskTracker,
        bus: &BusContext,
        node: Node,
        settings: ServiceSettings,
    ) -> Self {
        let ServiceSettings {
            export,
            import,
            pass,
            limits,
        } = settings;
        let limits = Limits::new(limits);
        let (watch, own_names, stop) =
            (Watch::new(), OwnNames::default(), CancellationToken::new());
        let context = Context {
            tasks: tasks.clone(),
            bus: bus.clone(),
            watch: watch.clone(),
            own_names: own_names.clone(),
            limits,
            metrics: Metrics::default(),
            porter: Porter::new(node.clone(), tasks.clone()),
        };
        let exporter = Exporter::new(node.clone(), context.clone(), export, stop.clone());
        let importer = Importer::new(context.clone(), import);
        let programs = Programs::new(watch.clone());
        let openers = Programs::new(watch.clone());
        let listener = Arc::new(CompositeListener {
            own_names: own_names.clone(),
            exporter: exporter.clone(),
            importer: importer.clone(),
            programs: [programs.clone(), openers.clone()],
        });
        watch.start(
            tasks,
            bus.address().clone(),
            own_names,
            listener,
            stop.clone(),
        );
        let router = Router {
            exporter: exporter.clone(),
            importer: importer.clone(),
            porter: context.porter.clone(),
            tasks: tasks.clone(),
        };
        Self {
            node,
            context,
            router,
            exporter,
            importer,
            programs,
            openers,
            links: BTreeMap::new(),
            reassemblies: BTreeMap::new(),
            passages: Passages::new(pass),
            stop,
        }
    }

    /// A peer has another label: the names of its services follow.
    pub fn relabelled(&self, relabelled: &Relabelled) {
        let label = relabelled.label.clone();
        self.importer.relabelled(relabelled.peer, label);
    }

    /// Follows an event of the mesh; whether it is of services alone and nobody else's. `label` gives a
    /// peer's label. Waits while the bus takes no more.
    pub async fn handle(
        &mut self,
        event: &Event,
        label: impl Fn(PeerId) -> Option<Arc<str>>,
    ) -> bool {
        match event {
            Event::Entered(info) if info.via.is_some() => {
                let label = label(info.id).unwrap_or_else(|| info.id.to_string().into());
                let link = Link::new(&self.node, info, &self.context);
                self.importer.peer_came(&link, label);
                self.links.insert(info.id, link);
            }
            Event::Entered(info) if info.zocp && !info.extended => {
                self.exporter.plain_peer(info.id, true);
            }
            Event::LocalSet { path, value, .. } => self.exporter.set(path, value),
            Event::Entered(info) if info.extended => {
                let label = label(info.id).unwrap_or_else(|| info.id.to_string().into());
                let link = Link::new(&self.node, info, &self.context);
                self.exporter.peer_came(&link);
                self.importer.peer_came(&link, label);
                self.links.insert(info.id, link);
            }
            Event::Exited { peer, .. } => {
                self.exporter.plain_peer(*peer, false);
                self.passages.peer_gone(*peer);
                self.reassemblies.remove(peer);
                self.context.porter.named.forget(*peer);
                if let Some(link) = self.links.remove(peer) {
                    self.exporter.peer_gone(*peer);
                    self.importer.peer_gone(*peer);
                    link.gone.cancel();
                }
            }
            Event::TreeKnown { peer, tree } if self.links.contains_key(peer) => {
                self.importer.tree_known(*peer, tree);
            }
            Event::Changed { peer, changes } if changes.iter().any(is_of_services) => {
                self.importer.tree_changed(*peer, &self.node);
            }
            Event::ChannelRequested(request) => {
                let Some(name) = named::wanted(request) else {
                    return false;
                };
                let files = self.context.porter.named.clone();
                let serving = named::serve(self.node.clone(), files, request.clone(), name);
                self.context.tasks.spawn(serving);
                return true;
            }
            Event::Whispered { peer, content } if is_ours(content) => {
                if let Some(link) = self.links.get(peer).cloned() {
                    let reassembly = self.reassemblies.entry(*peer).or_default();
                    self.router.receive(&link, reassembly, content).await;
                }
                return true;
            }
            Event::WhisperedTo {
                peer,
                node,
                content,
            } => {
                if is_ours(content) {
                    let place = (&self.context, &self.node);
                    self.passages
                        .receive(place, &self.router, (*peer, *node), content)
                        .await;
                }
                return true;
            }
            _ => {}
        }
        false
    }

    /// Waits until the services of a peer have other names on this bus; all of them. Cancel safe.
    pub fn renamed(&self) -> impl Future<Output = (PeerId, BTreeMap<String, String>)> + use<> {
        let importer = self.importer.clone();
        async move { importer.renamed().await }
    }

    /// Waits until other services of this bus are offered, or the rules are others. Cancel safe.
    pub fn offered(&self) -> impl Future<Output = OfferedNow> + use<> {
        let exporter = self.exporter.clone();
        async move { exporter.offered().await }
    }

    /// The rules of imports.
    #[must_use]
    pub fn import_rules(&self) -> Vec<ImportRule> {
        self.importer.rules()
    }

    /// The exporting half, for programs that export.
    #[must_use]
    pub fn exporter(&self) -> Exporter {
        self.exporter.clone()
    }

    /// The counters of packets between bridges.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.context.metrics.clone()
    }

    /// The programs whose end matters to somebody.
    #[must_use]
    pub fn programs(&self) -> Programs {
        self.programs.clone()
    }

    /// The programs that opened views, for whoever ends these.
    #[must_use]
    pub fn openers(&self) -> Programs {
        self.openers.clone()
    }

    /// Views: other buses on which services of peers appear.
    #[must_use]
    pub fn views(&self) -> ImportViews {
        ImportViews::new(self.importer.clone())
    }

    /// Takes all from the bus and the mesh.
    pub fn close(mut self) {
        self.passages.close();
        self.importer.close();
        self.stop.cancel();
        for link in self.links.into_values() {
            self.exporter.peer_gone(link.remote.id);
            link.gone.cancel();
        }
    }

    /// The rules are others.
    pub async fn reload(&mut self, settings: ServiceSettings) {
        let ServiceSettings {
            export,
            import,
            pass,
            limits,
        } = settings;
        self.passages.set_rules(&self.node, pass, limits).await;
        self.context.limits.set(limits);
        self.exporter.reload(export, limits);
        self.importer.reload(import, limits);
    }
}

fn is_of_services(change: &Change) -> bool {
    let (Change::ObjectAdded(object) | Change::ObjectRemoved(object) | Change::Data { object, .. }) =
        change
    else {
        return false;
    };
    object
        .segments()
        .first()
        .is_some_and(|name| **name == *SERVICES)
}
