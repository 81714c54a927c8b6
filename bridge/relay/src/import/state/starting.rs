//! Services in a view that do not run, and that their own bus can start.
//!
//! Model: such a service has no connection. Its name is offered to the bus of the view, which lists it as activatable;
//! the first call for it has the import connect, so that the call is passed on, and that starts the service on its own
//! bus. Where it does not run [`STARTED_MAX`] later, and no call waits for it, it is only offered again.
//! Invariants: IMPORTSTART-1. What is offered on a bus are the names of the activatable services whose bridges agreed, or
//! agreed to the revision before; those that run included. IMPORTSTART-2. An import whose name was called connects, or is
//! closed and no longer offered: no call waits for ever.
//! Not here: the bus of the bridge, which knows no such names: an import owns its name there, running or not.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{BusId, Import, ImportId, OWN_BUS, Output, State};
use zocp_dbus::errors::Refusal;

/// The names that are offered.
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// By bus and service.
    names: BTreeMap<(BusId, Arc<str>), BTreeSet<Arc<str>>>,
    /// For how many services a name is offered on a bus.
    counts: BTreeMap<(BusId, Arc<str>), usize>,
}

impl Offered {
    /// The names for a service on a bus are these now; what is to be told to the bus.
    fn set(&mut self, bus: BusId, service: &Arc<str>, names: BTreeSet<Arc<str>>) -> Vec<Output> {
        let key = (bus, service.clone());
        let before = match names.is_empty() {
            true => self.names.remove(&key),
            false => self.names.insert(key, names.clone()),
        };
        let before = before.unwrap_or_default();
        let mut told = Vec::new();
        for name in names.difference(&before) {
            let count = self.counts.entry((bus, name.clone())).or_default();
            *count += 1;
            if *count == 1 {
                told.push(Output::Offer(bus, name.clone()));
            }
        }
        for name in before.difference(&names) {
            let key = (bus, name.clone());
            let left = self.counts.get(&key).map_or(0, |count| count - 1);
            match left {
                0 => {
                    self.counts.remove(&key);
                    told.push(Output::Withdraw(bus, name.clone()));
                }
                left => drop(self.counts.insert(key, left)),
            }
        }
        told
    }
}

impl Import {
    /// It ends, or is to have another name: no call waits for the one that it was called by (IMPORTSTART-2).
    pub(super) fn failed_start(&self, error: &Refusal) -> Option<Output> {
        let is_called = self.connects || self.starts_until.is_some();
        let fails = self.bus != OWN_BUS && is_called && self.naming.shown().is_none();
        let name = self.naming.wanted().clone();
        fails.then(|| Output::FailStart(self.bus, name, error.clone()))
    }
}

impl State {
    /// Somebody on the bus of a view called a name that is offered there and has no owner.
    pub(crate) fn handle_start(&mut self, bus: BusId, name: &str, now: Instant) {
        let is_it = |(_, import): &(&ImportId, &mut Import)| {
            import.bus == bus && import.waits_for_call() && **import.naming.wanted() == *name
        };
        if let Some((id, import)) = self.imports.iter_mut().find(is_it) {
            import.starts_until = Some(now + STARTED_MAX);
            let id = *id;
            self.appear(id);
        }
    }

    /// Has an import connect when its time has come, or be offered; others of its service may need other names then.
    pub(super) fn appear(&mut self, id: ImportId) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        if import.is_agreed && !import.connects && !import.waits_for_call() {
            import.connects = true;
            self.output.push_back(Output::Connect(id, import.bus));
        }
        let (bus, service) = (import.bus, import.service.clone());
        self.settle_names(bus, &service);
    }

    /// What there is of a service on a bus is another: tells the bus which names are offered now.
    pub(super) fn settle_offers(&mut self, bus: BusId, service: &Arc<str>) {
        if bus == OWN_BUS {
            return;
        }
        let peers = self.peers.values();
        let imports = peers.filter_map(|peer| self.imports.get(&peer.import_of(bus, service)?));
        let offered = imports.filter(|import| import.is_activatable && import.may_be_offered());
        let names = offered.map(|import| import.naming.wanted().clone());
        let told = self.offered.set(bus, service, names.collect());
        self.output.extend(told);
    }

    /// Ends the connection of an import whose service was called and does not run after some time; when to look again.
    pub(super) fn give_up_start(&mut self, id: ImportId, now: Instant) -> Option<Instant> {
        let import = self.imports.get_mut(&id)?;
        let until = import.starts_until?;
        if import.runs {
            import.starts_until = None;
            return None;
        }
        if now < until {
            return Some(until);
        }
        let later = now + STARTED_MAX;
        let (bus, peer, service) = (import.bus, import.peer, import.service.clone());
        let known = self.peers.get(&peer)?;
        if known.requests.any(|request| request.import() == Some(id)) {
            import.starts_until = Some(later);
            return Some(later);
        }
        let text = format!("{service} does not run");
        self.drop_import(id, &Refusal::ServiceUnknown(text));
        self.import_on(bus, peer, &service, now);
        None
    }
}

/// How long a service that was called keeps its name in a view while it does not run and no call waits for it.
const STARTED_MAX: Duration = Duration::from_secs(30);
