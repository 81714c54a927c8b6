//! The bridge's own objects: itself, and one for each peer that is present.
//!
//! Model: [`Hub`] follows the events of the node about peers in the directory, and keeps a table of objects:
//! `/org/z25/Zocp1` with `org.z25.Zocp1.Bridge`, and `/org/z25/Zocp1/nodes/LABEL` with `org.z25.Zocp1.Peer` for every
//! peer,
//! also for those that do not speak ZOCP. Each interface has a handler of its own, which the hub registers. The
//! bridge's own tree is on the same connection (`crate::local`).
//! Invariants: HUB-1. everything but `Ping` is answered from memory, or as soon as the node has taken it.
//! HUB-2. the declared members are those of `interfaces/*.xml`, from which they are made. HUB-3. signals of a
//! peer come after its object was announced and before it is taken away.
//! Limits: those of `served`; signals wait for room, property changes are merged.
//! Not here: the nodes' trees (`mirror`).
//! Spec: docs/reference/dbus.md, "The bridge".

mod bridge;
mod exporter;
mod handler;
mod peer;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_interfaces::{
    BRIDGE_INTERFACE, BRIDGE_NAME, BRIDGE_PATH, BRIDGE_XML, EXPORTER_INTERFACE, EXPORTER_XML,
    LINKS_INTERFACE, LINKS_XML, LOCAL_INTERFACE, LOCAL_PATH, LOCAL_XML, METHODS_INTERFACE,
    MONITOR_INTERFACE, MONITOR_XML, PEER_INTERFACE, PEER_XML, PEERS_PATH, STATISTICS_INTERFACE,
    STATISTICS_XML, STREAMS_INTERFACE, TRUST_INTERFACE, TRUST_XML, VIEW_INTERFACE, VIEW_XML,
    VIEWS_INTERFACE, VIEWS_XML, WIRE_INTERFACE,
};
use zocp_node::{Event, Network, Node, PeerId, PeerInfo, PublicKey, SharedWay};

use self::{
    bridge::BridgeHandler, exporter::ExporterHandler, handler::HubHandler, peer::PeerHandler,
};
use crate::{
    engine::{Carrier, Engine},
    links::{Links, relay_of, way_name},
    local::{self, Local, LocalOptions},
    monitor::Monitor,
    statistics::Statistics,
    trust::Trust,
    views::Views,
};
use zocp_dbus::{
    interface::{Interface, SlotError},
    introspection::{XmlError, parse_interfaces},
    message::Text,
    objects::TableError,
    server::{BusContext, Interfaces, ObjectTable, Presence, Server, ServerOptions},
};
use zocp_mapping::directory::{Directory, Relabelled, path_element};
use zocp_policy::ImportRule;
use zocp_relay::metrics::Metrics;
use zocp_relay::{
    export::{Exporter, OfferedNow},
    programs::Programs,
};
use zocp_state::StateDir;
use zocp_wires::Wires;

/// The bridge's own objects on the bus.
#[derive(Debug)]
pub struct Hub {
    node: Node,
    local: Local,
    trust: Trust,
    table: ObjectTable,
    served: Server,
    directory: Directory,
    /// For peers that cannot be dialed.
    engine: Engine,
    /// Of the peers behind the engine, their endpoints on this machine.
    carried: BTreeMap<PeerId, String>,
    /// Of each present peer the groups that it is in, sorted.
    groups: BTreeMap<PeerId, Vec<String>>,
    /// The members of a peer's object, without values.
    peer: Interface,
    /// And of its counters.
    counters: Interface,
    statistics: Statistics,
    monitor: Monitor,
}

/// What a hub shows, and whom it asks.
#[derive(Debug)]
pub struct HubParts {
    /// The bridge's node.
    pub node: Node,
    /// The labels of peers.
    pub directory: Directory,
    /// For programs that export.
    pub exporter: Exporter,
    /// For programs that publish.
    pub programs: Programs,
    /// The counters of packets between bridges.
    pub metrics: Metrics,
    /// What is wired to what.
    pub wires: Wires,
    /// Whose keys are trusted.
    pub trust: Trust,
    /// The links to other venues.
    pub links: Links,
    /// What carries some of them.
    pub(crate) engine: Engine,
    /// The venue of the bridge.
    pub venue: Option<String>,
    /// Buses of their own.
    pub views: Views,
    /// How much they may publish.
    pub limits: local::Limits,
    /// Where lasting values are kept.
    pub state: StateDir,
    /// Then what is to be kept is written a last time.
    pub saving: CancellationToken,
}

#[cfg(test)]
use crate::links::LoadedLinks;

#[cfg(test)]
impl HubParts {
    /// What most tests need: nothing is kept, limits are the customary ones.
    pub(crate) fn plain(
        node: &Node,
        directory: &Directory,
        services: &zocp_relay::services::Services,
        wires: &Wires,
        site: &BusContext,
    ) -> Self {
        let tasks = TaskTracker::new();
        let trust = Trust::start(&tasks, node.clone(), None, CancellationToken::new());
        let mut config = zocp_node::Config::default();
        let links = LoadedLinks::new(&StateDir::none(), &mut config, Vec::new(), None);
        let pair = (node.clone(), trust.clone(), Engine::none());
        Self {
            node: node.clone(),
            directory: directory.clone(),
            exporter: services.exporter(),
            programs: services.programs(),
            metrics: services.metrics(),
            wires: wires.clone(),
            links: Links::start(&tasks, pair, links, CancellationToken::new()),
            trust,
            engine: Engine::none(),
            venue: None,
            views: Views::start(
                &TaskTracker::new(),
                site,
                node.clone(),
                directory.clone(),
                services,
            ),
            limits: local::Limits::default(),
            state: StateDir::none(),
            saving: CancellationToken::new(),
        }
    }
}

impl Hub {
    /// Puts the bridge on the bus; `on_presence` is told when its name is owned, taken or lost. Peers
    /// have the labels that they have in the directory.
    ///
    /// # Errors
    /// When the interfaces that are built in cannot be understood, which is our fault.
    pub async fn start(
        tasks: &TaskTracker,
        site: &BusContext,
        parts: HubParts,
        on_presence: impl Fn(Presence) + Send + Sync + 'static,
    ) -> Result<Self, HubError> {
        let peer = declared(PEER_XML, PEER_INTERFACE)?;
        let exports = declared(EXPORTER_XML, EXPORTER_INTERFACE)?
            .with("Exports", Variant::new(Vec::<String>::new()))?
            .with("Rules", rules::exports(&[], None))?
            .with("ImportRules", rules::imports(&[], None))?;
        let HubParts {
            node,
            directory,
            exporter,
            ..
        } = parts;
        let table = site.table();
        let counters = declared(STATISTICS_XML, STATISTICS_INTERFACE)?;
        let statistics = Statistics::new(node.clone(), site.report().clone(), parts.metrics);
        let counted = statistics.of_bridge(counters.clone())?;
        let watching = declared(MONITOR_XML, MONITOR_INTERFACE)?;
        let monitor = Monitor::default();
        site.report().observe(Arc::new(monitor.clone()));
        monitor.attach(&node, tasks);
        let trusting = declared(TRUST_XML, TRUST_INTERFACE)?;
        let trusting = parts.trust.describe(trusting)?;
        let linking = declared(LINKS_XML, LINKS_INTERFACE)?;
        let viewing = declared(VIEWS_XML, VIEWS_INTERFACE)?;
        let view = declared(VIEW_XML, VIEW_INTERFACE)?;
        let bridge = bridge(&node, node.groups().await.unwrap_or_default())?;
        table.with(|objects| {
            objects.add_manager(BRIDGE_PATH)?;
            let interfaces = [
                bridge, exports, counted, watching, trusting, linking, viewing,
            ];
            objects.insert(BRIDGE_PATH, interfaces)
        })?;
        parts.wires.show_on(&table);
        parts.trust.show_on(&table);
        parts.views.show_on(&table, view);
        let order = LocalOptions {
            node: node.clone(),
            table: table.clone(),
            programs: parts.programs,
            limits: parts.limits,
            state: parts.state,
            stop: parts.saving,
        };
        let local = Local::start(tasks, order).await?;
        let publishing = declared(LOCAL_XML, LOCAL_INTERFACE)?;
        table.with(|objects| objects.insert(LOCAL_PATH, [publishing]))?;
        let mut interfaces = Interfaces::default();
        interfaces.register(
            BRIDGE_INTERFACE,
            BridgeHandler {
                node: node.clone(),
                directory: directory.clone(),
                wires: parts.wires.clone(),
                table: table.clone(),
            },
        );
        interfaces.register(
            PEER_INTERFACE,
            PeerHandler {
                node: node.clone(),
                directory: directory.clone(),
            },
        );
        interfaces.register(
            EXPORTER_INTERFACE,
            ExporterHandler {
                exporter,
                venue: parts.venue,
            },
        );
        interfaces.register(LINKS_INTERFACE, parts.links);
        interfaces.register(WIRE_INTERFACE, parts.wires);
        interfaces.register(MONITOR_INTERFACE, monitor.clone());
        interfaces.register(TRUST_INTERFACE, parts.trust.clone());
        interfaces.register(VIEWS_INTERFACE, parts.views.clone());
        interfaces.register(VIEW_INTERFACE, parts.views);
        interfaces.register(LOCAL_INTERFACE, local.clone());
        interfaces.register(METHODS_INTERFACE, local.clone());
        interfaces.register(STREAMS_INTERFACE, local.clone());
        let handler = HubHandler {
            interfaces,
            local: local.clone(),
        };
        let order = ServerOptions {
            site: site.clone(),
            table: table.clone(),
            names: vec![Arc::from(BRIDGE_NAME)],
            takes_descriptors: Some("PublishStream"),
            after: None,
            on_presence: Box::new(on_presence),
        };
        let served = Server::spawn(tasks, order, handler);
        Ok(Self {
            node,
            local,
            trust: parts.trust,
            table,
            served,
            directory,
            engine: parts.engine,
            carried: BTreeMap::new(),
            groups: BTreeMap::new(),
            peer,
            counters,
            statistics,
            monitor,
        })
    }

    /// Follows what happens on the mesh. Waits while the bus does not take signals.
    pub async fn handle(&mut self, event: &Event) {
        match event {
            Event::Entered(info) => {
                self.entered(info);
                self.trust.handle(event).await;
            }
            Event::KeyLearned { .. } | Event::Stranger(_) => self.trust.handle(event).await,
            Event::Exited { peer, .. } => self.exited(*peer),
            Event::Joined { peer, group } => self.joined(*peer, group),
            Event::Left { peer, group } => self.left(*peer, group),
            Event::Evasive { peer } => self.change(*peer, "State", Variant::new("evasive")),
            Event::Shared { peer } => {
                if !self.carried.contains_key(peer) {
                    self.change(*peer, "Way", Variant::new(THEIRS));
                }
            }
            Event::Unreachable { peer } => self.change(*peer, "State", Variant::new("unreachable")),
            Event::Returned { peer } => self.change(*peer, "State", Variant::new("ready")),
            Event::Networks(networks) => self.moved(networks),
            Event::Whispered { peer, content } => {
                self.table.room().await;
                if let Some(path) = self.path_of(*peer) {
                    let arguments = vec![Variant::new(content.concat())];
                    self.emit(&path, PEER_INTERFACE, "Whispered", arguments);
                }
            }
            Event::Shouted {
                peer,
                group,
                content,
            } => {
                self.table.room().await;
                let path = self.path_of(*peer).and_then(|path| {
                    zbus::ObjectPath::try_from(path)
                        .ok()
                        .map(Variant::ObjectPath)
                });
                if let Some(path) = path {
                    let content = Variant::new(content.concat());
                    let arguments = vec![path, Variant::new(group.clone()), content];
                    self.emit(BRIDGE_PATH, BRIDGE_INTERFACE, "Shouted", arguments);
                }
            }
            event => self.local.handle(event).await,
        }
    }

    /// A peer has another label: its object moves, with all that it shows.
    pub(crate) fn relabelled(&self, relabelled: &Relabelled) {
        let [from, to] = [&relabelled.before, &relabelled.label].map(|label| peer_path(label));
        let moved = self.table.with(|objects| {
            // What changed before is told of the old object.
            objects.flush_changes();
            let shown = [PEER_INTERFACE, STATISTICS_INTERFACE];
            let shown = shown.map(|name| objects.interface(&from, name).cloned());
            objects.insert(&to, shown.into_iter().flatten())?;
            objects.remove_tree(&from);
            Ok::<_, TableError>(())
        });
        if let Err(error) = moved {
            tracing::error!(%error, from, to, "cannot move a peer");
        }
    }

    /// The mirror of a peer has this bus name now, or none.
    pub fn named(&self, peer: PeerId, bus_name: Option<&str>) {
        self.change(
            peer,
            "BusName",
            Variant::new(bus_name.unwrap_or_default().to_owned()),
        );
    }

    /// The services of a peer have these names on this bus.
    pub fn services(&self, peer: PeerId, names: BTreeMap<String, String>) {
        self.change(peer, "Services", Variant::new(names));
    }

    /// The ways of links by iroh are others now.
    pub fn carried_otherwise(&self) {
        for (peer, endpoint) in &self.carried {
            if let Some(way) = self.engine.carrier(endpoint).and_then(|it| it.way) {
                self.change(*peer, "Way", Variant::new(way_name(&way)));
                let relay = relay_of(&way).to_owned();
                self.change(*peer, "Relay", Variant::new(relay));
            }
        }
    }

    /// These services are offered to peers, by these rules; `own` is the name of our venue.
    pub fn exports(&self, offered: OfferedNow, own: Option<&str>) {
        if let Some(services) = offered.services {
            let services = Variant::new(services);
            self.set(BRIDGE_PATH, EXPORTER_INTERFACE, "Exports", services);
        }
        if let Some(rules) = offered.rules {
            let rules = rules::exports(&rules, own);
            self.set(BRIDGE_PATH, EXPORTER_INTERFACE, "Rules", rules);
        }
    }

    /// The rules of imports are these.
    pub fn import_rules(&self, rules: &[ImportRule], own: Option<&str>) {
        let rules = rules::imports(rules, own);
        self.set(BRIDGE_PATH, EXPORTER_INTERFACE, "ImportRules", rules);
    }

    /// Takes the objects away, leaf first, then the name. The token is cancelled when that is done.
    pub fn close(self) -> CancellationToken {
        self.monitor.close();
        self.served.close()
    }

    fn entered(&mut self, info: &PeerInfo) {
        let Some(path) = self.path_of(info.id) else {
            return;
        };
        let mut groups = info.groups.clone();
        groups.sort();
        let carrier = self.engine.carrier(&info.endpoint);
        if carrier.is_some() && info.via.is_none() {
            self.carried.insert(info.id, info.endpoint.clone());
        }
        let peer = match described(self.peer.clone(), info, &groups, carrier) {
            Ok(peer) => peer,
            Err(error) => return tracing::error!(%error, "the interface of a peer does not fit"),
        };
        self.groups.insert(info.id, groups);
        let counted = match self.statistics.of_peer(self.counters.clone(), info.id) {
            Ok(counted) => counted,
            Err(error) => return tracing::error!(%error, "the counters of a peer do not fit"),
        };
        let interfaces = [Some(peer), counted].into_iter().flatten();
        if let Err(error) = self.table.with(|objects| objects.insert(&path, interfaces)) {
            tracing::error!(%error, path, "cannot show a peer");
        }
    }

    fn exited(&mut self, peer: PeerId) {
        self.groups.remove(&peer);
        self.carried.remove(&peer);
        self.statistics.forget(peer);
        if let Some(path) = self.path_of(peer) {
            self.table.with(|objects| objects.remove_tree(&path));
        }
    }

    fn joined(&mut self, peer: PeerId, group: &str) {
        let Some(groups) = self.groups.get_mut(&peer) else {
            return;
        };
        if let Err(at) = groups.binary_search_by(|known| known.as_str().cmp(group)) {
            groups.insert(at, group.to_owned());
            let groups = Variant::new(groups.clone());
            self.change(peer, "Groups", groups);
        }
    }

    fn left(&mut self, peer: PeerId, group: &str) {
        let Some(groups) = self.groups.get_mut(&peer) else {
            return;
        };
        groups.retain(|known| known != group);
        let groups = Variant::new(groups.clone());
        self.change(peer, "Groups", groups);
    }

    fn moved(&self, networks: &[Network]) {
        let endpoint = endpoint(networks, self.node.port());
        self.set(
            BRIDGE_PATH,
            BRIDGE_INTERFACE,
            "Endpoint",
            Variant::new(endpoint),
        );
    }

    fn change(&self, peer: PeerId, property: &str, value: Variant<'static>) {
        if let Some(path) = self.path_of(peer) {
            self.set(&path, PEER_INTERFACE, property, value);
        }
    }

    fn set(&self, path: &str, interface: &str, property: &str, value: Variant<'static>) {
        let outcome = self
            .table
            .with(|objects| objects.set(path, interface, property, value));
        if let Err(error) = outcome {
            tracing::error!(%error, path, "cannot change a property");
        }
    }

    fn emit(&self, path: &str, interface: &str, signal: &str, arguments: Vec<Variant<'static>>) {
        let outcome = self
            .table
            .with(|objects| objects.emit(path, interface, signal, arguments));
        if let Err(error) = outcome {
            tracing::error!(%error, path, "cannot emit a signal");
        }
    }

    fn path_of(&self, peer: PeerId) -> Option<String> {
        let label = self.directory.label_of(peer)?;
        Some(peer_path(&label))
    }
}

/// Where the peer with a label is.
fn peer_path(label: &str) -> String {
    format!("{PEERS_PATH}/{}", path_element(label))
}

/// Why the bridge cannot show itself. Our fault; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A built-in interface cannot be understood.
    #[error("a built-in interface: {0}")]
    Xml(#[from] XmlError),
    /// A built-in file does not declare its interface.
    #[error("{0} is not declared")]
    Undeclared(&'static str),
    /// A property is not what is declared.
    #[error(transparent)]
    Property(#[from] SlotError),
    /// The table refuses an object.
    #[error(transparent)]
    ObjectTable(#[from] TableError),
}

fn declared(xml: &str, name: &'static str) -> Result<Interface, HubError> {
    let interfaces = parse_interfaces(xml)?;
    let found = interfaces
        .into_iter()
        .find(|interface| &**interface.name() == name);
    found.ok_or(HubError::Undeclared(name))
}

fn bridge(node: &Node, mut groups: Vec<String>) -> Result<Interface, HubError> {
    groups.sort();
    let bridge = declared(BRIDGE_XML, BRIDGE_INTERFACE)?
        .with("Version", env!("CARGO_PKG_VERSION"))?
        .with("Name", node.name().to_owned())?
        .with("Uuid", node.id().to_string())?
        .with("Endpoint", String::new())?
        .with("Groups", Variant::new(groups))?
        .with("Key", key_text(node.key()))?;
    Ok(bridge)
}

/// A key as it is shown: empty where there is none.
fn key_text(key: Option<PublicKey>) -> String {
    key.map_or_else(String::new, |key| key.to_string())
}

fn described(
    peer: Interface,
    info: &PeerInfo,
    groups: &[String],
    carrier: Option<Carrier>,
) -> Result<Interface, SlotError> {
    let of_iroh = carrier.as_ref().filter(|_| info.via.is_none());
    let of_iroh = of_iroh.and_then(|carrier| carrier.way.clone());
    let relay = of_iroh.as_ref().map_or("", relay_of).to_owned();
    let endpoint = carrier.map_or_else(|| info.endpoint.clone(), |carrier| carrier.endpoint);
    // As they are shown: two names that look alike there are one.
    let headers = info.headers.iter().map(|(name, value)| {
        let shown = |text: &str| Text::new(text).into_string();
        (shown(name), shown(value))
    });
    let headers: BTreeMap<String, String> = headers.collect();
    peer.with("Name", info.name.clone())?
        .with("Uuid", info.id.to_string())?
        .with("BusName", String::new())?
        .with("Endpoint", endpoint)?
        .with("Headers", Variant::new(headers))?
        .with("Groups", Variant::new(groups.to_vec()))?
        .with("Services", Variant::new(BTreeMap::<String, String>::new()))?
        .with("State", "ready")?
        .with("Venue", info.venue.clone().unwrap_or_default())?
        .with("Way", of_iroh.as_ref().map_or_else(|| way(info), way_name))?
        .with("Relay", relay)?
        .with("Secure", info.is_secure())?
        .with("Key", key_text(info.key))
}

/// Which connections carry the messages of a peer and those to it.
fn way(info: &PeerInfo) -> &'static str {
    match info.shared {
        _ if info.via.is_some() => "passed",
        None => "separate",
        Some(SharedWay::Ours) => "ours",
        Some(SharedWay::Theirs) => THEIRS,
    }
}

const THEIRS: &str = "theirs";

/// Where peers reach us: an address of the first network that is not the loopback, if there is one.
fn endpoint(networks: &[Network], port: u16) -> String {
    let outside = networks.iter().find(|network| !network.loopback);
    match outside.or_else(|| networks.first()) {
        Some(network) if network.address.is_ipv6() => {
            format!("tcp://[{}%{}]:{port}", network.address, network.name)
        }
        Some(network) => format!("tcp://{}:{port}", network.address),
        None => String::new(),
    }
}
