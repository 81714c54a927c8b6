//! The bus with sockets, time and tasks.
//!
//! Model: [`Shared`] has the bus behind a lock; whoever brings it messages carries them out, takes what comes of them to
//! the queues of those whom it is for, and, without the lock, writes to each of their sockets once. So a call is read
//! by one task and written by the same one, and nobody else is woken. A task for each connection reads a bounded piece,
//! and carries out a few messages of it in each turn, before it parses the next, so that one that sends without end has
//! a share of the time. Only for a socket that takes nothing more there is another task, which waits until it does.
//! Invariants: SERVER-1. what is queued for a connection is written in that order. SERVER-2. no lock is held across an
//! await; the one of the bus is not held while something is written. SERVER-3. a socket from which less came than there
//! was room for has nothing more, unless descriptors came with it, since the kernel ends a read behind them.
//! Limits: [`Limits`]; [`PIECE_LEN_MAX`] octets at once, [`TURN_MESSAGES_MAX`] messages in a turn.
//! Layout: `accept`, `connection` reads, `piece` is what it reads into, `due` is what is to be written between its turns,
//! `outbox` is what waits for one, `socket` has the system calls, `local` is connections without a socket.

mod accept;
mod connection;
mod due;
mod local;
mod outbox;
mod piece;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smallvec::SmallVec;
use tokio::{sync::Notify, task::JoinHandle};

pub use self::local::{AttachError, Attached};
use self::{due::Due, local::LocalLink, outbox::SocketLink};
use crate::{
    Admitted, ConnectionId, Limits,
    core::{Backlog, Bus, Config, Credentials, Output},
    message::RawMessage,
};

/// How a bus is served.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// Who may come.
    pub admitted: Admitted,
    /// Every bound.
    pub limits: Limits,
    /// The number of the bus; see [`Config`].
    pub number: Option<NonZeroU32>,
}

impl ServerConfig {
    /// For the user of this process, and for root.
    #[must_use]
    pub fn for_user() -> Self {
        let user = rustix::process::geteuid().as_raw();
        Self {
            admitted: Admitted {
                users: vec![user, 0],
                anonymous: false,
            },
            limits: Limits::default(),
            number: None,
        }
    }
}

/// A bus at a socket. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    path: PathBuf,
}

/// A bus that runs. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Server {
    /// Serves a bus at the path of a socket, which must not be there yet. Needs a runtime of tokio.
    ///
    /// # Errors
    /// When there can be no socket, or the system has no randomness.
    pub fn bind(path: &Path, config: ServerConfig) -> io::Result<Self> {
        let listener = tokio::net::UnixListener::bind(path)?;
        let shared = Arc::new(Shared::new(config)?);
        let accepting = tokio::spawn(accept::accept(listener, shared.clone()));
        Ok(Self {
            shared,
            accepting,
            path: path.to_owned(),
        })
    }

    /// The bus itself.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            shared: self.shared.clone(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.close();
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket of the bus is not removed");
        }
    }
}

impl Handle {
    /// A connection of this process, without a socket. It begins with `Hello` like any other.
    #[must_use]
    pub fn attach(&self, credentials: Credentials) -> Attached {
        Attached::new(self.shared.clone(), credentials)
    }

    /// Offers to start a service of this name: when somebody calls it while it has no owner,
    /// [`next_start`](Self::next_start) says so, and what it was called for waits until it has one.
    pub fn offer(&self, name: &str) {
        self.shared.carry_out(|bus| bus.offer(name));
    }

    /// Stops offering this name. Calls that wait for it get `ServiceUnknown`.
    pub fn withdraw(&self, name: &str) {
        self.shared.carry_out(|bus| bus.withdraw(name));
    }

    /// A service could not be started: calls that wait for it get this error.
    pub fn fail_start(&self, name: &str, error_name: &str, text: &str) {
        self.shared
            .carry_out(|bus| bus.fail_start(name, error_name, text));
    }

    /// The name of the next service that is to be started, of those that are offered. Cancel safe.
    pub async fn next_start(&self) -> Arc<str> {
        loop {
            let asked = self.shared.start_asked.notified();
            if let Some(name) = self.shared.lock().starts.pop_front() {
                return name;
            }
            asked.await;
        }
    }

    /// The identity of the bus.
    #[must_use]
    pub fn guid(&self) -> String {
        self.shared.lock().bus.guid().to_owned()
    }
}

/// The bus and the connections, for all tasks.
#[derive(Debug)]
struct Shared {
    /// Locked because the task of each connection carries out its own messages, so that a call wakes no further task.
    hub: Mutex<Hub>,
    admitted: Admitted,
    limits: Limits,
    guid: String,
    runtime: tokio::runtime::Handle,
    /// A service is to be started.
    start_asked: Notify,
}

#[derive(Debug)]
struct Hub {
    bus: Bus,
    links: HashMap<ConnectionId, Link>,
    /// Services that are to be started: each name that is offered at most once.
    starts: VecDeque<Arc<str>>,
    is_closed: bool,
    /// How often somebody brought the bus something.
    turns: u64,
}

/// The way to one connection.
#[derive(Debug, Clone)]
enum Link {
    Socket(Arc<SocketLink>),
    Local(Arc<LocalLink>),
}

impl Link {
    /// Queues a message; whether nobody else has promised to have what is queued written.
    fn push(&self, message: RawMessage) -> bool {
        match self {
            Self::Socket(link) => link.push(message),
            Self::Local(link) => link.push(message),
        }
    }

    fn flush(&self, runtime: &tokio::runtime::Handle) {
        match self {
            Self::Socket(link) => link.flush(runtime),
            Self::Local(link) => link.wake(),
        }
    }

    fn close(&self) {
        match self {
            Self::Socket(link) => link.close(),
            Self::Local(link) => link.close(),
        }
    }
}

impl Shared {
    fn new(config: ServerConfig) -> io::Result<Self> {
        let guid = new_guid()?;
        let credentials = Credentials {
            user: Some(rustix::process::geteuid().as_raw()),
            process: Some(std::process::id()),
            ..Credentials::default()
        };
        let bus = Bus::new(Config {
            guid: guid.clone(),
            machine_id: machine_id(),
            credentials,
            limits: config.limits.clone(),
            number: config.number,
        });
        Ok(Self {
            hub: Mutex::new(Hub {
                bus,
                links: HashMap::new(),
                starts: VecDeque::new(),
                is_closed: false,
                turns: 0,
            }),
            admitted: config.admitted,
            limits: config.limits,
            guid,
            runtime: tokio::runtime::Handle::current(),
            start_asked: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection came.
    fn connect(
        &self,
        credentials: Credentials,
        takes_descriptors: bool,
        link: impl FnOnce(Arc<Backlog>) -> Link,
    ) -> (ConnectionId, Link) {
        let mut hub = self.lock();
        let (id, backlog) = hub.bus.connect(credentials, takes_descriptors);
        let link = link(backlog);
        match hub.is_closed {
            true => link.close(),
            false => drop(hub.links.insert(id, link.clone())),
        }
        (id, link)
    }

    /// Brings the bus something, and has what comes of it written.
    fn carry_out<R>(&self, input: impl FnOnce(&mut Bus) -> R) -> R {
        self.due().carry_out(input)
    }

    /// What is to be written of what comes; it is, when this is dropped.
    fn due(&self) -> Due<'_> {
        Due::new(self)
    }

    /// Brings the bus something and queues what comes of it. Adds the links that are to be flushed; with the number of
    /// this turn.
    fn queue<R>(
        &self,
        input: impl FnOnce(&mut Bus) -> R,
        due: &mut SmallVec<[Link; 4]>,
    ) -> (R, u64) {
        let mut hub = self.lock();
        hub.turns += 1;
        let result = input(&mut hub.bus);
        while let Some(output) = hub.bus.poll_output() {
            match output {
                Output::Send { to, message } => {
                    if let Some(link) = hub.links.get(&to)
                        && link.push(message)
                    {
                        due.push(link.clone());
                    }
                }
                Output::Start { name } => {
                    if !hub.starts.contains(&name) {
                        hub.starts.push_back(name);
                    }
                    self.start_asked.notify_one();
                }
                Output::Close { connection, reason } => {
                    tracing::info!(%reason, "the bus ends the connection {}", connection.unique_name());
                    if let Some(link) = hub.links.remove(&connection) {
                        link.close();
                    }
                }
            }
        }
        (result, hub.turns)
    }

    /// A connection went.
    fn disconnect(&self, connection: ConnectionId) {
        if let Some(link) = self.lock().links.remove(&connection) {
            link.close();
        }
        self.carry_out(|bus| bus.disconnect(connection));
    }

    /// Ends all connections, and every one that comes.
    fn close(&self) {
        let mut hub = self.lock();
        hub.is_closed = true;
        hub.links.drain().for_each(|(_, link)| link.close());
    }
}

/// 32 hexadecimal digits that nobody else has.
fn new_guid() -> io::Result<String> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

fn machine_id() -> Option<String> {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let ids = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    let mut ids = ids.map(|text| text.trim().to_owned());
    ids.find(|id| id.len() == 32 && id.bytes().all(|octet| octet.is_ascii_hexdigit()))
}

/// Octets that are read from a connection at once.
const PIECE_LEN_MAX: usize = 32 << 10;
/// Octets that are carried out in one turn, however many messages they are.
const TURN_LEN_MAX: usize = 4 << 10;
/// Messages of a longer piece that are carried out before others have their turns: so few that one call of a client
/// does not take much longer while another client sends without end.
const TURN_MESSAGES_MAX: usize = 4;
/// The same, if one of them is for a connection of this process, which handles them in one go.
const TURN_LOCAL_MESSAGES_MAX: usize = 2;
