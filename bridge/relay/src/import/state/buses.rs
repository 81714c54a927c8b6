//! The buses on which services of peers appear: the one of the bridge, and views.
//!
//! Model: a [`ViewScope`] is a bus that shows the services of some nodes, each under its own name. Of several nodes that
//! have a service of one name, the one that was named first has it; the others have the customary names. A service is an
//! import of its own on each bus; all imports of a service of a peer share one subscription.
//! Invariants: IMPORTBUS-1. No two buses have a unique name in common (`zocp_bus::Config::number`), so a program is known
//! by its unique name alone. IMPORTBUS-2. On a view at most one import is to have the original name of a service, and one
//! is if there is any; both of those that are on the bus, so that one keeps the name until the next one can take it.
//! Limits: as many buses as the bridge has views (`zocp_daemon::views`).

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use zocp_node::PeerId;
use zocp_policy::ServicePattern;

use super::{ImportId, Output, Peer, State};
use crate::{import::names::customary, remote::Remote};
use zocp_dbus::errors::Refusal;

/// A bus on which imports are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BusId(pub(crate) u32);

/// The bus of the bridge.
pub(crate) const OWN_BUS: BusId = BusId(0);

/// What a view shows.
#[derive(Debug, Clone, Default)]
pub struct ViewScope {
    /// The nodes by name or UUID, the most important one first.
    pub nodes: Vec<String>,
    /// The names that no service of a node gets, since local services have them.
    pub reserved: Vec<ServicePattern>,
}

impl ViewScope {
    /// The place of a node among those that are shown; `None` if it is not.
    #[must_use]
    pub fn rank(&self, name: &str, uuid: &str) -> Option<usize> {
        let is_it = |wanted: &String| wanted == name || wanted == uuid;
        self.nodes.iter().position(is_it)
    }

    fn is_reserved(&self, service: &str) -> bool {
        self.reserved.iter().any(|pattern| pattern.matches(service))
    }
}

/// A service in a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewService {
    /// Its name in the view.
    pub name: String,
    /// Its name on its own bus.
    pub service: String,
    /// The label of its node.
    pub node: String,
}

impl State {
    /// There is another bus.
    pub(crate) fn handle_view(&mut self, bus: BusId, scope: ViewScope, now: Instant) {
        self.views.insert(bus, scope);
        let exports = self.peers.iter().flat_map(|(peer, known)| {
            let services = known.exports.keys();
            services.map(|service| (*peer, service.clone()))
        });
        let exports: Vec<(PeerId, Arc<str>)> = exports.collect();
        for (peer, service) in exports {
            self.import_on(bus, peer, &service, now);
        }
    }

    /// A view ends, and with it the programs in it.
    pub(crate) fn handle_view_gone(&mut self, bus: BusId) {
        self.views.remove(&bus);
        let its = self.imports.iter().filter(|(_, import)| import.bus == bus);
        let its: Vec<ImportId> = its.map(|(id, _)| *id).collect();
        for id in its {
            let text = "the view ends".to_owned();
            self.drop_import(id, &Refusal::ServiceUnknown(text));
        }
        self.forget_callers(bus);
    }

    /// The services of a view that are on its bus, and those that are offered there.
    pub(crate) fn services_of(&self, bus: BusId) -> Vec<ViewService> {
        let its = self.imports.values().filter(|import| import.bus == bus);
        let shown = its.filter_map(|import| {
            Some(ViewService {
                name: import.name_there()?.to_string(),
                service: import.service.to_string(),
                node: self.peers.get(&import.peer)?.label.to_string(),
            })
        });
        let mut shown: Vec<ViewService> = shown.collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        shown
    }

    /// Whether everything that a view is to show, as far as it is known, is on its bus under its name.
    pub(crate) fn is_settled(&self, bus: BusId) -> bool {
        let Some(scope) = self.views.get(&bus) else {
            return true;
        };
        let mut peers = self.peers.values();
        let mut imports = self.imports.values().filter(|import| import.bus == bus);
        peers.all(|peer| peer.is_known || peer.rank(scope).is_none())
            && imports.all(|import| import.name_there() == Some(import.naming.wanted()))
    }

    /// The buses on which services of a peer may appear.
    pub(super) fn buses_of(&self, peer: PeerId) -> Vec<BusId> {
        let Some(known) = self.peers.get(&peer) else {
            return Vec::new();
        };
        let views = self.views.iter();
        let views = views.filter(|(_, scope)| known.rank(scope).is_some());
        let views = views.map(|(bus, _)| *bus);
        std::iter::once(OWN_BUS).chain(views).collect()
    }

    /// The name of a service of a peer on a view, if the peer is shown there and has, or gets, an import of it.
    pub(super) fn name_on_view(&self, bus: BusId, peer: PeerId, service: &str) -> Option<Arc<str>> {
        let scope = self.views.get(&bus)?;
        let known = self.peers.get(&peer)?;
        let own = (known.rank(scope)?, known.arrival);
        let is_first = self.peers.iter().all(|(other, it)| {
            let import = it.import_of(bus, service);
            let import = import.and_then(|import| self.imports.get(&import));
            let has_it = import
                .is_some_and(|import| import.unique.is_some() || import.name_there().is_some());
            let rank = it.rank(scope).filter(|_| has_it && *other != peer);
            rank.is_none_or(|rank| own < (rank, it.arrival))
        });
        Some(match is_first && !scope.is_reserved(service) {
            true => service.into(),
            false => customary(service, &known.label).into(),
        })
    }

    /// The imports of a service on a bus are others: gives each of the rest the name that it is to have now.
    pub(super) fn settle_names(&mut self, bus: BusId, service: &Arc<str>) {
        if bus == OWN_BUS {
            return;
        }
        let peers = self.peers.iter();
        let imports = peers.filter_map(|(peer, it)| Some((*peer, it.import_of(bus, service)?)));
        let imports: BTreeMap<PeerId, ImportId> = imports.collect();
        for (peer, id) in imports {
            let name = self.name_on_view(bus, peer, service);
            let (Some(name), Some(import)) = (name, self.imports.get_mut(&id)) else {
                continue;
            };
            if *import.naming.wanted() != name {
                let text = format!("{service} has another name now: {name}");
                let failed = import.failed_start(&Refusal::ServiceUnknown(text));
                self.output.extend(failed);
                let serial = import.next_serial();
                if let Some(call) = import.naming.rename(name, serial) {
                    self.output.push_back(Output::Write(id, call.into()));
                }
            }
        }
        self.settle_offers(bus, service);
    }
}

impl Peer {
    /// Its place among the nodes of a view.
    fn rank(&self, scope: &ViewScope) -> Option<usize> {
        let Remote { name, uuid, .. } = &*self.remote;
        scope.rank(name, uuid)
    }

    /// The import of a service on a bus.
    pub(super) fn import_of(&self, bus: BusId, service: &str) -> Option<ImportId> {
        self.services.get(service)?.imports.get(&bus).copied()
    }
}
