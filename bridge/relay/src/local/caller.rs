//! A program of a view that calls local services.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
};

use zbus::Message;
use zocp_dbus::message::Octets;

use super::{connection::Connection, service::Service};
use crate::{
    barrier::{Barrier, Ordered},
    serials::Serials,
};

/// A program of the view.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) connection: Connection,
    pub(super) pending: HashMap<NonZeroU32, Pending>,
    pub(super) held: Ordered<Held>,
    pub(super) serials: Serials,
    pub(super) called: HashSet<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) service: Arc<str>,
    pub(super) call: Message,
}

/// A message for the caller.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) service: Arc<str>,
    pub(super) octets: Octets,
}

impl Caller {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            pending: HashMap::new(),
            held: Ordered::default(),
            serials: Serials::default(),
            called: HashSet::new(),
        }
    }

    pub(super) fn release(&mut self, barrier: &dyn Barrier, services: &HashMap<Arc<str>, Service>) {
        for held in self.held.take(barrier) {
            held.pass(services);
        }
    }

    /// Nothing comes any more that would have to be waited for.
    pub(super) fn release_all(&mut self, services: &HashMap<Arc<str>, Service>) {
        for held in self.held.take_where(|_| true) {
            held.pass(services);
        }
    }

    /// The same, of one service.
    pub(super) fn release_of(&mut self, name: &Arc<str>, service: &Service) {
        for held in self.held.take_where(|held| held.service == *name) {
            service.connection.bus.push(held.octets);
        }
    }
}

impl Held {
    pub(super) fn pass(self, services: &HashMap<Arc<str>, Service>) {
        if let Some(service) = services.get(&self.service) {
            service.connection.bus.push(self.octets);
        }
    }
}
