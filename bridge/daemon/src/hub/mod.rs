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
mod description;
mod exporter;
mod handler;
mod objects;
mod parts;
mod peer;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_interfaces::{
    BRIDGE_INTERFACE, BRIDGE_NAME, BRIDGE_PATH, EXPORTER_INTERFACE, LOCAL_INTERFACE, LOCAL_PATH,
    LOCAL_XML, PEER_INTERFACE, PEER_XML, STATISTICS_INTERFACE, STATISTICS_XML,
};
use zocp_node::{Event, Network, Node, PeerId, PeerInfo};

pub use self::{description::HubError, parts::HubParts};
use self::{
    description::{THEIRS, declared, described, endpoint, peer_path},
    handler::{HubHandler, handlers},
    objects::show,
};
use crate::{
    engine::Engine,
    links::{relay_of, way_name},
    local::{Local, LocalOptions},
    monitor::Monitor,
    statistics::Statistics,
    trust::Trust,
};
use zocp_dbus::{
    interface::Interface,
    objects::TableError,
    server::{BusContext, ObjectTable, Presence, Server, ServerOptions},
};
use zocp_mapping::directory::{Directory, Relabelled};
use zocp_policy::ImportRule;
use zocp_relay::export::OfferedNow;

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
        let counters = declared(STATISTICS_XML, STATISTICS_INTERFACE)?;
        let table = site.table();
        let statistics = Statistics::new(
            parts.node.clone(),
            site.report().clone(),
            parts.metrics.clone(),
        );
        let monitor = Monitor::default();
        site.report().observe(Arc::new(monitor.clone()));
        monitor.attach(&parts.node, tasks);
        let counted = statistics.of_bridge(counters.clone())?;
        show(&table, &parts, counted).await?;
        let order = LocalOptions {
            node: parts.node.clone(),
            table: table.clone(),
            programs: parts.programs.clone(),
            limits: parts.limits,
            state: parts.state.clone(),
            stop: parts.saving.clone(),
        };
        let local = Local::start(tasks, order).await?;
        let publishing = declared(LOCAL_XML, LOCAL_INTERFACE)?;
        table.with(|objects| objects.insert(LOCAL_PATH, [publishing]))?;
        let (node, directory, trust, engine) = (
            parts.node.clone(),
            parts.directory.clone(),
            parts.trust.clone(),
            parts.engine.clone(),
        );
        let handler = HubHandler {
            interfaces: handlers(parts, &table, &monitor, &local),
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
            trust,
            table,
            served,
            directory,
            engine,
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
