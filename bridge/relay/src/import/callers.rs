//! Who calls imported services from this bus, and whose bridges know of them.
//!
//! Model: a caller is told of from its first call to a peer to its leaving the bus, which the watch hears
//! of. At the first call the bus is asked whether the caller is still there: it may have left before.
//! Invariants: C1. when the bus is lost, all callers are gone: on the next one their names mean others.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zocp_node::PeerId;

use crate::{
    link::Link,
    transport::{Control, Lane},
    watch::Watch,
};

/// By unique name the peers whose bridges know of a caller.
type Known = HashMap<Arc<str>, HashMap<PeerId, Arc<Link>>>;

/// Callers on this bus.
#[derive(Debug)]
pub(crate) struct Callers {
    watch: Watch,
    known: Mutex<Known>,
}

impl Callers {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            known: Mutex::default(),
        }
    }

    /// A caller calls something of a peer.
    pub(super) fn calls(&self, caller: &Arc<str>, link: &Arc<Link>) {
        let mut known = self.known();
        let links = known.entry(caller.clone()).or_default();
        if links.insert(link.peer, link.clone()).is_none() {
            drop(known);
            self.watch.want();
            self.watch.ask_caller(caller);
        }
    }

    /// A caller has left; whether it was one.
    pub(super) fn gone(&self, caller: &str) -> bool {
        let gone = self.known().remove_entry(caller);
        let was_one = gone.is_some();
        tell_gone(gone);
        was_one
    }

    /// The bus is lost, and with it everybody (C1).
    pub(super) fn lost(&self) {
        let gone = std::mem::take(&mut *self.known());
        tell_gone(gone);
    }

    /// Nobody was told of who left before now: all are asked for.
    pub(crate) fn recheck(&self) {
        let known: HashSet<Arc<str>> = self.known().keys().cloned().collect();
        for caller in &known {
            self.watch.ask_caller(caller);
        }
    }

    /// A peer has left.
    pub(super) fn forget(&self, peer: PeerId) {
        self.known().retain(|_, links| {
            links.remove(&peer);
            !links.is_empty()
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the peers that know of these callers.
fn tell_gone(callers: impl IntoIterator<Item = (Arc<str>, HashMap<PeerId, Arc<Link>>)>) {
    for (caller, links) in callers {
        for link in links.into_values() {
            let gone = Control::CallerGone(caller.to_string());
            link.tell(Lane::Caller(caller.clone()), &gone);
        }
    }
}
