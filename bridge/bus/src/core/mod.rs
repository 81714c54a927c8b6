//! The bus, without any I/O.
//!
//! **The rule: after each call that takes `&mut Bus`, poll outputs until `None`.**
//!
//! Model: [`Bus`] has the connections, the names, the rules and the calls that are not answered. Each input is carried
//! out at once; what comes of it waits as [`Output`]s, which are in the order of the bus.
//! Invariants: CORE-1. nothing is sent to a connection after its end. CORE-2. when a connection ends, nothing of it is
//! left: names, rules, calls, what waits. CORE-3. unique names are never used again.
//! Layout: `connection` is what is known of one, `routing` is where messages go, `starting` is what waits for a service to
//! be started, `driver` and what is below is the bus as a service of itself.

mod call;
mod connection;
mod driver;
mod fault;
mod methods;
mod properties;
mod routing;
mod starting;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

pub use self::connection::{Backlog, Credentials};
use self::{
    connection::{Connection, State},
    starting::Offers,
};
use crate::{
    ConnectionId, Limits,
    message::{Draft, Invalid, Kind, Message, RawMessage, Writer},
    names::{Change, Changes, Names},
    rules::{Index, Owners},
};

/// What a bus is told at its beginning.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The identity of the bus: 32 hexadecimal digits.
    pub guid: String,
    /// The identity of the machine, if it is known.
    pub machine_id: Option<String>,
    /// Who the bus itself is. Its user and root may watch all messages.
    pub credentials: Credentials,
    /// Every bound.
    pub limits: Limits,
    /// The number of the bus, with which its unique names begin; else 1. Buses of one program that have different
    /// numbers have no unique name in common.
    pub number: Option<NonZeroU32>,
}

/// What has to be done.
#[derive(Debug)]
pub enum Output {
    /// These octets go to a connection.
    Send {
        /// To whom.
        to: ConnectionId,
        /// What.
        message: RawMessage,
    },
    /// A service is to be started: somebody called its name, which is offered ([`Bus::offer`]) and has no owner. What
    /// it was called for waits until the name has an owner, or until [`Bus::withdraw`].
    Start {
        /// Its name.
        name: Arc<str>,
    },
    /// A connection ends. The bus has already forgotten it.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why the bus ends a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// It sent what is no message.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It spoke to others before it had a name.
    #[error("it sent a message before it had said Hello")]
    NoHello,
    /// It watches, and spoke.
    #[error("it is a monitor and sent a message")]
    MonitorSpoke,
    /// It does not read, and something cannot be kept for it.
    #[error("it does not read, and {0} octets wait for it")]
    DoesNotRead(usize),
}

/// In which order names are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// A message bus.
#[derive(Debug)]
pub struct Bus {
    config: Config,
    connections: HashMap<ConnectionId, Connection>,
    next_id: u64,
    /// Those that have said Hello.
    complete: usize,
    users: HashMap<u32, usize>,
    names: Names,
    offers: Offers,
    rules: Index,
    /// What those that watch want to see.
    watching: Index,
    serial: NonZeroU32,
    outputs: VecDeque<Output>,
    /// Those that are to end when the input is carried out.
    ending: Vec<(ConnectionId, CloseReason)>,
}

impl Bus {
    /// A bus without connections.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let first = ConnectionId::first_of(config.number.unwrap_or(NonZeroU32::MIN));
        Self {
            config,
            connections: HashMap::new(),
            next_id: first.0,
            complete: 0,
            users: HashMap::new(),
            names: Names::default(),
            offers: Offers::default(),
            rules: Index::default(),
            watching: Index::default(),
            serial: NonZeroU32::MIN,
            outputs: VecDeque::new(),
            ending: Vec::new(),
        }
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The identity of the bus.
    #[must_use]
    pub fn guid(&self) -> &str {
        &self.config.guid
    }

    /// A connection came. What waits for it is counted with its [`Backlog`], which whoever writes lowers.
    pub fn connect(
        &mut self,
        credentials: Credentials,
        takes_descriptors: bool,
    ) -> (ConnectionId, Arc<Backlog>) {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        let connection = Connection::new(id, credentials, takes_descriptors);
        let backlog = connection.backlog.clone();
        self.connections.insert(id, connection);
        (id, backlog)
    }

    /// A connection went. Nothing happens if it is not there any more.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.remove(connection);
        self.end_those_that_end();
    }

    /// A connection sent what is no message: it ends.
    pub fn reject(&mut self, connection: ConnectionId, invalid: Invalid) {
        self.end(connection, invalid.into());
        self.end_those_that_end();
    }

    /// A connection sent a message.
    pub fn receive(&mut self, from: ConnectionId, message: &Message<'_>) {
        if self.connections.contains_key(&from) {
            match message.descriptors_announced() == message.descriptors() {
                true => self.route(from, message),
                false => self.end(from, Invalid("its descriptors are not there").into()),
            }
        }
        self.end_those_that_end();
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a connection has said Hello.
    #[must_use]
    pub fn is_complete(&self, connection: ConnectionId) -> bool {
        self.connections
            .get(&connection)
            .is_some_and(|one| one.state != State::New)
    }

    /// Has a connection end, once the input is carried out.
    fn end(&mut self, connection: ConnectionId, reason: CloseReason) {
        if let Some(one) = self.connections.get_mut(&connection)
            && !one.is_ending
        {
            one.is_ending = true;
            self.ending.push((connection, reason));
        }
    }

    /// The end of one may be too much for another that does not read.
    fn end_those_that_end(&mut self) {
        while let Some((connection, reason)) = self.ending.pop() {
            self.remove(connection);
            self.outputs.push_back(Output::Close { connection, reason });
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.is_ending = true;
        let (state, user) = (connection.state, connection.credentials.user);
        if state != State::New {
            self.rules.forget(id);
            self.release_all(id, Order::NewestFirst);
            self.forget_calls(id);
            self.forget_waiting(id);
            self.complete -= 1;
            if let Some(count) = user.and_then(|user| self.users.get_mut(&user)) {
                *count -= 1;
            }
            self.users.retain(|_, count| *count > 0);
        }
        self.watching.forget(id);
        self.connections.remove(&id);
    }

    /// Gives up all names of a connection; its unique name is the oldest.
    fn release_all(&mut self, id: ConnectionId, order: Order) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let unique: Arc<str> = connection.unique_name.clone();
        let mut names: Vec<_> = std::mem::take(&mut connection.names).into_iter().collect();
        if connection.state == State::Active {
            names.push((unique.clone(), 0));
        }
        names.sort_unstable_by_key(|(_, asked)| *asked);
        if order == Order::NewestFirst {
            names.reverse();
        }
        for (name, asked) in names {
            let changes = match asked {
                0 => {
                    let owner = Change::Owner {
                        old: Some(id),
                        new: None,
                    };
                    [Change::Lost(id), owner].into_iter().collect()
                }
                _ => self.names.release(&name, id).1,
            };
            self.tell(&name, changes);
        }
    }

    /// Tells everybody whom it concerns that a name has changed.
    fn tell(&mut self, name: &str, changes: Changes) {
        for change in changes {
            match change {
                Change::Lost(owner) => self.tell_owner(owner, "NameLost", name),
                Change::Acquired(owner) => self.tell_owner(owner, "NameAcquired", name),
                Change::Owner { old, new } => {
                    let [old, new] = [old, new].map(|one| self.unique_name(one));
                    let mut body = Writer::default();
                    [name, &old, &new].iter().for_each(|text| body.string(text));
                    let signal = self.signal("NameOwnerChanged", None, "sss", body);
                    self.broadcast_own(&signal);
                }
            }
        }
    }

    fn tell_owner(&mut self, owner: ConnectionId, member: &'static str, name: &str) {
        let unique = self.unique_name(Some(owner));
        let mut body = Writer::default();
        body.string(name);
        let signal = self.signal(member, Some(&unique), "s", body);
        self.send_own(owner, signal);
    }

    /// The unique name of a connection; empty for none.
    fn unique_name(&self, connection: Option<ConnectionId>) -> Arc<str> {
        let connection = connection.and_then(|id| self.connections.get(&id));
        connection.map_or_else(|| Arc::from(""), |one| one.unique_name.clone())
    }

    fn signal(
        &mut self,
        member: &'static str,
        destination: Option<&str>,
        signature: &str,
        body: Writer,
    ) -> RawMessage {
        let draft = Draft {
            kind: Kind::Signal,
            serial: self.serial(),
            reply_serial: None,
            sender: BUS_NAME,
            destination,
            path: Some(BUS_PATH),
            interface: Some(BUS_NAME),
            member: Some(member),
            error_name: None,
            signature,
            body,
        };
        draft.finish()
    }

    /// A number for a message of the bus.
    fn serial(&mut self) -> NonZeroU32 {
        let serial = self.serial;
        self.serial = serial.checked_add(1).unwrap_or(NonZeroU32::MIN);
        serial
    }

    /// Who has a name, unique or well known.
    fn find(&self, name: &str) -> Option<ConnectionId> {
        if !name.starts_with(':') {
            return self.names.owner(name);
        }
        let id = ConnectionId::of_unique_name(name)?;
        let connection = self.connections.get(&id)?;
        (connection.state == State::Active && *connection.unique_name == *name).then_some(id)
    }
}

impl Owners for (&Names, &HashMap<ConnectionId, Connection>) {
    fn owns(&self, connection: ConnectionId, name: &str) -> bool {
        match name.starts_with(':') {
            true => self
                .1
                .get(&connection)
                .is_some_and(|one| *one.unique_name == *name),
            false => self.0.owner(name) == Some(connection),
        }
    }

    fn names(&self, connection: ConnectionId) -> impl Iterator<Item = &str> {
        let names = self
            .1
            .get(&connection)
            .into_iter()
            .flat_map(|one| one.names.keys());
        let owned = names.filter(move |name| self.0.owner(name) == Some(connection));
        owned.map(|name| &**name)
    }

    fn names_len(&self, connection: ConnectionId) -> usize {
        self.1.get(&connection).map_or(0, |one| one.names.len())
    }
}

/// The name of the bus as a service, and of its interface.
const BUS_NAME: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
