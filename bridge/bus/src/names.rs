//! Well-known names, who owns them and who waits for them.
//!
//! Model: each name has a queue; its first is the owner. A request or a release says what came of it and what has to be
//! told, in order.
//! Invariants: NAMES-1. no queue is empty. NAMES-2. a connection is at most once in a queue.
//! Not here: unique names, which need no registry; limits, which the caller counts.
//! Spec: D-Bus specification, "org.freedesktop.DBus.RequestName"

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::ConnectionId;

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Names {
    queues: HashMap<Arc<str>, Vec<Waiting>>,
}

/// One connection in the queue for a name.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    connection: ConnectionId,
    flags: u32,
}

/// What has to be told about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Lost(ConnectionId),
    Owner {
        old: Option<ConnectionId>,
        new: Option<ConnectionId>,
    },
    Acquired(ConnectionId),
}

/// All that has to be told, in order.
pub(crate) type Changes = SmallVec<[Change; 3]>;

/// The answer to a request, by the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requested {
    PrimaryOwner = 1,
    InQueue = 2,
    Exists = 3,
    AlreadyOwner = 4,
}

/// The answer to a release, by the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    Done = 1,
    NonExistent = 2,
    NotOwner = 3,
}

impl Names {
    pub(crate) fn owner(&self, name: &str) -> Option<ConnectionId> {
        Some(self.queues.get(name)?.first()?.connection)
    }

    /// Everybody in the queue, the owner first.
    pub(crate) fn queue(&self, name: &str) -> Option<impl Iterator<Item = ConnectionId>> {
        Some(self.queues.get(name)?.iter().map(|one| one.connection))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(|name| &**name)
    }

    /// Whether a connection owns a name or waits for it.
    pub(crate) fn has(&self, name: &str, connection: ConnectionId) -> bool {
        let mut queue = self.queue(name).into_iter().flatten();
        queue.any(|one| one == connection)
    }

    pub(crate) fn request(
        &mut self,
        name: &Arc<str>,
        connection: ConnectionId,
        flags: u32,
    ) -> (Requested, Changes) {
        let wanted = Waiting { connection, flags };
        let queue = match self.queues.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(vec![wanted]);
                return (Requested::PrimaryOwner, taken(None, connection));
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        let owner = &mut queue[0];
        if owner.connection == connection {
            owner.flags = flags;
            return (Requested::AlreadyOwner, Changes::new());
        }
        let owner = *owner;
        let may_replace = flags & REPLACE_EXISTING != 0 && owner.flags & ALLOW_REPLACEMENT != 0;
        if !may_replace && flags & DO_NOT_QUEUE != 0 {
            queue.retain(|one| one.connection != connection);
            return (Requested::Exists, Changes::new());
        }
        enqueue(queue, wanted);
        if !may_replace {
            return (Requested::InQueue, Changes::new());
        }
        match owner.flags & DO_NOT_QUEUE != 0 {
            true => drop(queue.remove(0)),
            false => queue.swap(0, 1),
        }
        (
            Requested::PrimaryOwner,
            taken(Some(owner.connection), connection),
        )
    }

    pub(crate) fn release(&mut self, name: &str, connection: ConnectionId) -> (Released, Changes) {
        let Some(queue) = self.queues.get_mut(name) else {
            return (Released::NonExistent, Changes::new());
        };
        let Some(at) = queue.iter().position(|one| one.connection == connection) else {
            return (Released::NotOwner, Changes::new());
        };
        queue.remove(at);
        if at > 0 {
            return (Released::Done, Changes::new());
        }
        let new = queue.first().map(|one| one.connection);
        if new.is_none() {
            self.queues.remove(name);
        }
        let owner = Change::Owner {
            old: Some(connection),
            new,
        };
        let changes = [
            Some(Change::Lost(connection)),
            Some(owner),
            new.map(Change::Acquired),
        ];
        (Released::Done, changes.into_iter().flatten().collect())
    }
}

/// What is told when a name is taken.
fn taken(old: Option<ConnectionId>, new: ConnectionId) -> Changes {
    let owner = Change::Owner {
        old,
        new: Some(new),
    };
    let changes = [
        old.map(Change::Lost),
        Some(owner),
        Some(Change::Acquired(new)),
    ];
    changes.into_iter().flatten().collect()
}

/// Puts a connection into a queue that has an owner: who would replace comes first of those that wait.
fn enqueue(queue: &mut Vec<Waiting>, wanted: Waiting) {
    let place = queue
        .iter()
        .position(|one| one.connection == wanted.connection);
    match (place, wanted.flags & REPLACE_EXISTING != 0) {
        (Some(place), false) => queue[place] = wanted,
        (Some(place), true) => {
            queue.remove(place);
            queue.insert(1, wanted);
        }
        (None, false) => queue.push(wanted),
        (None, true) => queue.insert(1, wanted),
    }
}

const ALLOW_REPLACEMENT: u32 = 1;
const REPLACE_EXISTING: u32 = 2;
const DO_NOT_QUEUE: u32 = 4;

#[cfg(test)]
mod tests;
