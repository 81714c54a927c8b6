//! A program of a view that calls local services.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use zbus::Message;
use zocp_dbus::message::Octets;

use super::{barrier::Barrier, connection::Connection, service::Service};

/// A program of the view.
#[derive(Debug, Default)]
pub(super) struct Caller {
    pub(super) connection: Connection,
    pub(super) pending: HashMap<NonZeroU32, Pending>,
    pub(super) held: VecDeque<(u64, Held)>,
    /// What came since the last barrier was raised.
    pub(super) fresh: Vec<Held>,
    pub(super) serial: u32,
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
    pub(super) fn release(&mut self, barrier: &dyn Barrier, services: &HashMap<Arc<str>, Service>) {
        if self.held.is_empty() && !self.fresh.is_empty() && barrier.is_level() {
            for held in self.fresh.drain(..) {
                held.pass(services);
            }
        }
        if !self.fresh.is_empty() {
            let number = barrier.raise();
            let fresh = self.fresh.drain(..).map(|held| (number, held));
            self.held.extend(fresh);
        }
        while let Some((number, _)) = self.held.front()
            && barrier.is_passed(*number)
            && let Some((_, held)) = self.held.pop_front()
        {
            held.pass(services);
        }
    }

    /// Nothing comes any more that would have to be waited for.
    pub(super) fn release_all(&mut self, services: &HashMap<Arc<str>, Service>) {
        let held = self.held.drain(..).map(|(_, held)| held);
        for held in held.chain(self.fresh.drain(..)) {
            held.pass(services);
        }
    }

    /// The same, of one service.
    pub(super) fn release_of(&mut self, name: &Arc<str>, service: &Service) {
        let (its, others): (VecDeque<_>, _) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(_, held)| held.service == *name);
        self.held = others;
        let fresh = self.fresh.extract_if(.., |held| held.service == *name);
        for held in its.into_iter().map(|(_, held)| held).chain(fresh) {
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

/// The next number of a call.
pub(super) fn next(serial: &mut u32) -> NonZeroU32 {
    loop {
        // Above those of calls of the bus, which are numbered for all connections together.
        *serial = serial.wrapping_add(1) | SERIAL_BIT;
        if let Some(serial) = NonZeroU32::new(*serial) {
            return serial;
        }
    }
}

const SERIAL_BIT: u32 = 1 << 31;
