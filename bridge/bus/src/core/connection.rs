//! What the bus knows of a connection.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::ConnectionId;
use crate::message::RawMessage;

/// Who is at the other end of a connection, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: Option<u32>,
    /// The groups of the user.
    pub groups: Option<Vec<u32>>,
    /// The process.
    pub process: Option<u32>,
    /// What a security module of the kernel says of it, without a final zero octet.
    pub label: Option<Vec<u8>>,
}

/// What waits to be written for a connection.
#[derive(Debug, Default)]
pub struct Backlog {
    octets: AtomicUsize,
    descriptors: AtomicUsize,
}

impl Backlog {
    /// A message was written, or it never will be.
    pub fn lower(&self, message: &RawMessage) {
        self.octets.fetch_sub(message.len(), Ordering::Relaxed);
        let descriptors = message.descriptors().map_or(0, |some| some.len());
        self.descriptors.fetch_sub(descriptors, Ordering::Relaxed);
    }

    pub(super) fn raise(&self, message: &RawMessage) {
        self.octets.fetch_add(message.len(), Ordering::Relaxed);
        let descriptors = message.descriptors().map_or(0, |some| some.len());
        self.descriptors.fetch_add(descriptors, Ordering::Relaxed);
    }

    /// Octets that wait.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets.load(Ordering::Relaxed)
    }

    pub(super) fn descriptors(&self) -> usize {
        self.descriptors.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) state: State,
    pub(super) credentials: Credentials,
    pub(super) takes_descriptors: bool,
    pub(super) unique_name: Arc<str>,
    /// The well-known names that it owns or waits for, each with a number that says in which order it asked.
    pub(super) names: HashMap<Arc<str>, u64>,
    pub(super) names_asked: u64,
    /// The calls that it made and that are not answered: the serial, and who was called.
    pub(super) awaited: HashSet<(NonZeroU32, ConnectionId)>,
    /// The calls that it got and has not answered: who called, and the serial.
    pub(super) owed: HashSet<(ConnectionId, NonZeroU32)>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) is_ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has not said Hello.
    New,
    Active,
    /// It watches, and says nothing.
    Monitor,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, credentials: Credentials, takes_descriptors: bool) -> Self {
        Self {
            state: State::New,
            credentials,
            takes_descriptors,
            unique_name: id.unique_name().into(),
            names: HashMap::new(),
            names_asked: 0,
            awaited: HashSet::new(),
            owed: HashSet::new(),
            backlog: Arc::default(),
            is_ending: false,
        }
    }
}
