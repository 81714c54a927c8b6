//! Services of one bus on another: the two halves together.
//!
//! Model: [`Services`] follows the node's events. It has a link for each peer that speaks our additions, reads the packets
//! that come over it, and gives calls to the exporter, replies and signals to the importer.
//! Invariants: RELAY-1. Packets of all peers are handled one after the other, in the order in which the node received them,
//! so that no packet of a peer overtakes another one of it.
//! Limits: while the bus connection that a packet goes out on is full, no further event is taken from the node, so nothing
//! is lost.
//! Spec: docs/reference/protocol.md §7

mod listener;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::metrics::Metrics;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Message, message::Type};
use zocp_node::{Content, Event, Node, PeerId, model::Change};
use zocp_policy::{ExportPolicy, ImportRule};

use self::listener::CompositeListener;
pub use crate::import::{ImportView, ImportViews, ViewScope, ViewService};
pub use crate::limits::ServiceLimits;
use crate::{
    context::Context,
    descriptors::{Porter, split},
    export::Exporter,
    import::Importer,
    limits::Limits,
    link::Link,
    own_names::OwnNames,
    programs::Programs,
    requests::Half,
    schema::SERVICES,
    transport::{
        Control, FRAGMENT_TAG, PacketError, Reassembly, Stream, TAG, Waiting, is_ours, read,
        read_with,
    },
    watch::Watch,
};
use zocp_dbus::{
    connection::BusConnection, errors::Refusal, message::received::Unreadable, server::BusContext,
};
use zocp_mapping::directory::Relabelled;

/// The settings of services. They can be changed while the bridge runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// What of this bus peers may use.
    pub export: ExportPolicy,
    /// How services of peers appear; the first rule that fits decides.
    pub import: Vec<ImportRule>,
    /// The limits.
    pub limits: ServiceLimits,
}

/// Services of one bus on another. See the [module](self).
#[derive(Debug)]
pub struct Services {
    node: Node,
    context: Context,
    exporter: Exporter,
    importer: Importer,
    programs: Programs,
    openers: Programs,
    links: HashMap<PeerId, Arc<Link>>,
    /// Long packets of each peer that have not come whole.
    reassemblies: HashMap<PeerId, Reassembly>,
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
            porter: Porter {
                node: node.clone(),
                tasks: tasks.clone(),
            },
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
        Self {
            node,
            context,
            exporter,
            importer,
            programs,
            openers,
            links: HashMap::new(),
            reassemblies: HashMap::new(),
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
                self.reassemblies.remove(peer);
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
            Event::Whispered { peer, content } if is_ours(content) => {
                if let Some(link) = self.links.get(peer).cloned() {
                    let reassembly = self.reassemblies.entry(*peer).or_default();
                    let packet = packet(&link, &self.context.porter, reassembly, content);
                    self.receive(&link, packet).await;
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

    /// Waits until other services of this bus are offered; all of them. Cancel safe.
    pub fn offered(&self) -> impl Future<Output = Vec<String>> + use<> {
        let exporter = self.exporter.clone();
        async move { exporter.offered().await }
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
    pub fn close(self) {
        self.importer.close();
        self.stop.cancel();
        for link in self.links.into_values() {
            self.exporter.peer_gone(link.remote.id);
            link.gone.cancel();
        }
    }

    /// The rules are others.
    pub fn reload(&self, settings: ServiceSettings) {
        let ServiceSettings {
            export,
            import,
            limits,
        } = settings;
        self.context.limits.set(limits);
        self.exporter.reload(export, limits);
        self.importer.reload(import, limits);
    }

    fn control(&self, link: &Arc<Link>, packet: &Message) {
        match Control::read(packet) {
            Some(Control::Revised(service)) => self.importer.revised(link.remote.id, &service),
            Some(control) => {
                let id = packet.primary_header().serial_num();
                self.exporter.control(link.remote.id, control, id);
            }
            None => tracing::debug!(peer = link.remote.name, "an unknown message to the bridge"),
        }
    }

    /// A packet comes, or one that cannot be taken.
    async fn receive(&self, link: &Arc<Link>, packet: Result<Option<Message>, PacketError>) {
        match packet {
            Ok(Some(packet)) => {
                let kind = packet.message_type();
                link.meter.received(kind.into(), packet.data().len());
                self.route(link, &packet).await;
            }
            Ok(None) => {}
            Err(error) => {
                if let Some(left_out) = link.report.log(&link.remote.uuid) {
                    tracing::warn!(peer = link.remote.name, %error, left_out, "packets are dropped");
                }
                match error {
                    PacketError::TooLong { max, waiting, .. } => {
                        self.handle_dropped(link, waiting, max)
                    }
                    PacketError::Malformed(unreadable) => {
                        self.handle_unreadable(link, &unreadable).await
                    }
                    _ => {}
                }
            }
        }
    }

    /// A packet is dropped: who waits for a reply because of it gets an error.
    fn handle_dropped(&self, link: &Arc<Link>, waiting: Option<Waiting>, max: usize) {
        match waiting {
            Some(Waiting::Sender(id)) => {
                // Nothing of the same caller has to be in front of it.
                let stream = Stream::Replies("".into(), "".into());
                link.refuse(stream, id, &Refusal::TooLarge { max });
            }
            Some(Waiting::Receiver(id)) => match Half::of(id) {
                Half::Import => self.importer.long_reply(link.remote.id, id, max),
                Half::Export => self.exporter.long_reply(link.remote.id, id, max),
            },
            None => {}
        }
    }

    /// Who waits for a reply to a packet, or for this one as a reply, gets the error that it cannot be read.
    async fn handle_unreadable(&self, link: &Arc<Link>, packet: &Unreadable) {
        if let Some(answer) = packet.answer() {
            return self.route(link, &answer).await;
        }
        let Some(call) = packet.call() else { return };
        let header = call.header();
        if let (Some(caller), Some(destination)) = (header.sender(), header.destination()) {
            let stream = match is_call_back(&call) {
                true => Stream::Caller(destination.as_str().into()),
                false => Stream::Replies(destination.as_str().into(), caller.as_str().into()),
            };
            let id = call.primary_header().serial_num();
            link.refuse(stream, id, &Refusal::InvalidArgs(packet.to_string()));
        }
    }

    async fn route(&self, link: &Arc<Link>, packet: &Message) {
        let full = match packet.message_type() {
            Type::MethodCall if packet.header().destination().is_none() => {
                self.control(link, packet);
                Vec::new()
            }
            Type::MethodCall if is_call_back(packet) => {
                self.importer.call_back(link.remote.id, packet)
            }
            Type::MethodCall => {
                self.exporter.call(link.remote.id, packet);
                Vec::new()
            }
            Type::MethodReturn | Type::Error => self.reply(link, packet),
            Type::Signal => self.importer.signal(link.remote.id, packet),
        };
        for connection in full {
            connection.room().await;
        }
    }

    /// The connections that a reply from a peer goes out on and that are full.
    fn reply(&self, link: &Arc<Link>, packet: &Message) -> Vec<BusConnection> {
        let Some(id) = packet.header().reply_serial() else {
            return Vec::new();
        };
        match Half::of(id) {
            Half::Import => self.importer.reply(link.remote.id, packet, id),
            Half::Export => {
                let written = self.exporter.reply(link.remote.id, packet, id);
                written.into_iter().collect()
            }
        }
    }
}

/// Whether a call is a service's for one that called it: services have names, callers unique ones.
fn is_call_back(packet: &Message) -> bool {
    let header = packet.header();
    let destination = header.destination().map(|name| name.as_str());
    destination.is_some_and(|name| name.starts_with(':'))
}

/// What a whisper brings, when it is whole.
fn packet(
    link: &Link,
    porter: &Porter,
    reassembly: &mut Reassembly,
    content: &Content,
) -> Result<Option<Message>, PacketError> {
    let [tag, octets] = &content[..] else {
        return Err(PacketError::Frames(content.len()));
    };
    let max = link.limits.now().packet_len_max;
    if **tag == *TAG {
        return whole(link, porter, octets, max).map(Some);
    }
    debug_assert_eq!(&**tag, FRAGMENT_TAG, "that is what `is_ours` lets through");
    match reassembly.add(octets, max)? {
        Some(octets) => whole(link, porter, &octets, max).map(Some),
        None => Ok(None),
    }
}

/// A whole packet, with its descriptors.
fn whole(link: &Link, porter: &Porter, octets: &[u8], max: usize) -> Result<Message, PacketError> {
    let (message, notes) = split(octets).ok_or(PacketError::Descriptors)?;
    if notes.is_empty() {
        return read(message, max);
    }
    let arrived = porter.arrive(&link.remote, &notes);
    let fds = arrived.map_err(|_| PacketError::Descriptors)?;
    read_with(message, fds, max)
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
