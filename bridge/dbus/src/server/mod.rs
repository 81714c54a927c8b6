//! One bus connection that serves one table of objects under one name.
//!
//! Model: an [`ObjectTable`] is a table of objects that several tasks share. It exists independently of connections. A
//! [`Server`] is the handle of one task. The task connects, requests a name and passes each call to the table, or to the
//! [`ObjectHandler`] if the table cannot answer it. It writes the messages that the table emits, and reconnects when the
//! connection fails.
//! Invariants:
//! DBUSSERVER-1. The name is requested only after all objects can answer, and released after the last object was
//!     removed. After [`Server::rename`] the server owns the previous name until it owns the new one and
//!     [`Server::let_go`] was called.
//! DBUSSERVER-2. Only the task of the server writes, and nothing cancels a write: a write dropped half way would
//!     corrupt the connection.
//! DBUSSERVER-3. Messages are sent in the order in which the table emits them. When the queue is full, the code that
//!     emits events waits ([`ObjectTable::room`]); no message is dropped.
//! DBUSSERVER-4. A property change is announced at once, but at least [`CHANGE_INTERVAL`] after the previous
//!     announcement.
//! Limits: [`OUTGOING_MAX`] messages and [`OUTGOING_OCTETS_MAX`] octets wait to be written; above that no call is
//! processed and no event emitted. [`PENDING_MAX`] calls wait for the handler, [`PENDING_PER_CALLER_MAX`] of them from one
//! caller; further calls are answered with `Busy`.
//! Not here: the objects themselves (`zocp_daemon::mirror`, `zocp_daemon::hub`), the choice of the bus (`crate::bus`).
//! Spec: docs/reference/dbus.md, "Connections and names".

pub mod authority;
mod fair_queue;
mod in_flight;
mod interfaces;
mod task;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs,
    future::Future,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Message, Variant};
use zocp_bus::Handle;

pub use self::interfaces::{InterfaceHandler, Interfaces, strings, undeclared, unknown_method};
use crate::{
    connection::{ConnectError, Connected, attach, connect, until},
    errors::Refusal,
    message::Outgoing,
    objects::{Objects, ReplyToken},
    report::Report,
    server::authority::Authority,
};

/// The bus to which connections are made, with its limits.
#[derive(Debug, Clone)]
pub struct BusContext {
    address: Arc<str>,
    message_len_max: usize,
    authority: Authority,
    may_have_policy: bool,
    machine_id: Option<Arc<str>>,
    report: Report,
    /// The bus itself, where it is a part of this process.
    within: Option<Handle>,
}

impl BusContext {
    /// The bus at a D-Bus address; `kind` decides its limits and who authorizes calls.
    #[must_use]
    pub fn new(address: &str, kind: BusScope) -> Self {
        let (message_len_max, authority) = match kind {
            BusScope::Session => (128 * MIB, Authority::Unneeded),
            BusScope::Unknown => (32 * MIB, Authority::Unneeded),
            BusScope::System => (32 * MIB, Authority::Polkit),
        };
        Self {
            address: without_guid(address).into(),
            message_len_max,
            authority,
            may_have_policy: kind != BusScope::Session,
            machine_id: machine_id(),
            report: Report::default(),
            within: None,
        }
    }

    /// The same bus, which is a part of this process: some connections need no socket then.
    #[must_use]
    pub fn within(mut self, bus: Handle) -> Self {
        self.within = Some(bus);
        self
    }

    /// A connection for messages that are passed on.
    ///
    /// # Errors
    /// See `ConnectError`.
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        match &self.within {
            Some(bus) => attach(bus).await,
            None => connect(&self.address).await,
        }
    }

    /// Offers the bus to start a service of this name when it is called. Nothing happens unless the bus is a part of
    /// this process.
    pub fn offer(&self, name: &str) {
        if let Some(bus) = &self.within {
            bus.offer(name);
        }
    }

    /// Stops offering it: calls that wait for it get an error.
    pub fn withdraw(&self, name: &str) {
        if let Some(bus) = &self.within {
            bus.withdraw(name);
        }
    }

    /// A service could not be started: calls that wait for it get this error.
    pub fn fail_start(&self, name: &str, error_name: &str, text: &str) {
        if let Some(bus) = &self.within {
            bus.fail_start(name, error_name, text);
        }
    }

    /// The name of the next service that is to be started, of those that are offered. Cancel safe.
    pub async fn next_start(&self) -> Arc<str> {
        match &self.within {
            Some(bus) => bus.next_start().await,
            None => std::future::pending().await,
        }
    }

    /// The counters that all connections to this bus share.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The longest message that the bus accepts; it disconnects the sender of a longer one.
    #[must_use]
    pub fn message_len_max(&self) -> usize {
        self.message_len_max
    }

    /// Who authorizes calls on this bus.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// Whether the bus may have a policy that restricts who can call whom.
    fn may_have_policy(&self) -> bool {
        self.may_have_policy
    }

    /// An empty table with the limits of this bus and the id of this machine.
    #[must_use]
    pub fn table(&self) -> ObjectTable {
        let mut objects = Objects::new(self.machine_id.clone());
        objects.set_message_len_max(self.message_len_max);
        objects.set_report(self.report.clone());
        ObjectTable::new(objects)
    }
}

/// The kind of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusScope {
    /// The bus of one user. Messages up to 128 MiB.
    Session,
    /// The bus of the machine, for all its users. Messages up to 32 MiB.
    System,
    /// Only the address is known: treated as the bus of one user, with the smaller limit.
    Unknown,
}

/// A table of objects that several tasks share. See the [module](self).
#[derive(Debug, Clone)]
pub struct ObjectTable {
    inner: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Locked because the connection answers calls from the table in its own task, without a hand-over, while others
    /// change it.
    objects: Mutex<Objects>,
    /// Wakes the task to send the messages that the table has emitted.
    outgoing: Notify,
    /// Notifies when the queue of outgoing messages is no longer full.
    room: Notify,
    /// Calls that the server has made, by serial, each with the receiver of its reply.
    /// Locked because any task makes calls, and the task of the server gets the replies.
    pending_calls: Mutex<HashMap<NonZeroU32, oneshot::Sender<Message>>>,
}

impl ObjectTable {
    /// Shares a table.
    #[must_use]
    pub fn new(objects: Objects) -> Self {
        Self {
            inner: Arc::new(Shared {
                objects: Mutex::new(objects),
                outgoing: Notify::new(),
                room: Notify::new(),
                pending_calls: Mutex::default(),
            }),
        }
    }

    /// Reads or changes the table, and sends the messages that the change emits. The function runs under the lock of the
    /// table: it must be short and must not use the table itself.
    pub fn with<R>(&self, use_it: impl FnOnce(&mut Objects) -> R) -> R {
        let mut objects = self.lock();
        let result = use_it(&mut objects);
        let is_due = objects.outgoing_len() > 0 || objects.has_changes();
        drop(objects);
        if is_due {
            self.inner.outgoing.notify_one();
        }
        result
    }

    /// Waits until the queue of outgoing messages is not full. Call this before each batch of events. Cancel safe.
    pub async fn room(&self) {
        until(&self.inner.room, || self.has_room()).await;
    }

    /// Calls a method of another client of the bus and waits for the reply, without a timeout. `None` if the connection is
    /// lost or absent. Cancel safe: the call is sent in any case.
    pub async fn ask(&self, call: Outgoing) -> Option<Message> {
        let serial = call.serial();
        let pending = PendingCall {
            table: self,
            serial,
        };
        let (answer, answered) = oneshot::channel();
        // Inserted before the call is sent, so that the reply finds it.
        self.pending_calls().insert(pending.serial, answer);
        if !self.with(|objects| objects.ask(call)) {
            return None;
        }
        answered.await.ok()
    }

    /// Passes a reply to the task that waits for it; returns whether there is one.
    fn answered(&self, serial: NonZeroU32, message: &Message) -> bool {
        let pending = self.pending_calls().remove(&serial);
        pending.is_some_and(|answer| answer.send(message.clone()).is_ok())
    }

    /// The connection is lost: no pending call will receive a reply.
    fn forget_pending_calls(&self) {
        self.pending_calls().clear();
    }

    fn pending_calls(&self) -> MutexGuard<'_, HashMap<NonZeroU32, oneshot::Sender<Message>>> {
        self.inner
            .pending_calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        let objects = self.lock();
        objects.outgoing_len() < OUTGOING_MAX && objects.outgoing_octets() < OUTGOING_OCTETS_MAX
    }

    /// A panic under the lock ends its task, but leaves the table consistent, so a poisoned lock can still be used.
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.inner
            .objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for its reply; dropping it removes it from the table.
struct PendingCall<'a> {
    table: &'a ObjectTable,
    serial: NonZeroU32,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.table.pending_calls().remove(&self.serial);
    }
}

/// Handles the calls that the table cannot answer from memory.
pub trait ObjectHandler: Send + Sync + 'static {
    /// Handles a call of a method that is not of a standard interface. Its arguments have the declared types.
    fn call(&self, call: CallRequest) -> impl Future<Output = Answer> + Send;

    /// Handles `Set` of a writable property; the handler must check type and range of the value.
    ///
    /// The handler stores the new value in the table; the change is announced before the caller receives the reply. This
    /// function is called in the order in which the calls arrive; the returned futures may be polled in any order.
    fn set(&self, set: SetRequest) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// The result of a call: output arguments of the declared types, or an error.
pub type Answer = Result<Vec<Variant<'static>>, Refusal>;

/// A method call for the handler.
#[derive(Debug)]
pub struct CallRequest {
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The method.
    pub member: Arc<str>,
    /// The input arguments, as many as the method declares.
    pub arguments: Vec<Variant<'static>>,
    /// The unique name of the caller.
    pub caller: Option<String>,
}

/// A call of `Set` for the handler.
#[derive(Debug)]
pub struct SetRequest {
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The property.
    pub property: Arc<str>,
    /// The value that the client sent.
    pub value: Variant<'static>,
    /// The unique name of the client.
    pub caller: Option<String>,
}

/// The state of a server on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// Connected, and owner of this name.
    Named(Arc<str>),
    /// Connected, but all wanted names are owned by other connections. The server retries.
    Taken(Arc<str>),
    /// Connected, but the bus refused the name. The server retries.
    Denied {
        /// The name.
        name: Arc<str>,
        /// The error of the bus.
        reason: String,
    },
    /// Not connected; the text says why. The server retries.
    Unreachable(String),
    /// Closed; the server does not retry.
    Closed,
}

/// Options of a server.
pub struct ServerOptions {
    /// The bus.
    pub site: BusContext,
    /// The objects.
    pub table: ObjectTable,
    /// The wanted names in order of preference; the first free one is requested. Empty: the server requests no name.
    pub names: Vec<Arc<str>>,
    /// The name is requested only after this is cancelled, because an earlier connection still owns it.
    pub after: Option<CancellationToken>,
    /// The method whose calls may bring file descriptors; those of all other messages are closed when they arrive.
    pub takes_descriptors: Option<&'static str>,
    /// Called with each change of presence; must be short.
    pub on_presence: Box<dyn Fn(Presence) + Send + Sync>,
}

/// The handle of the task of a server. Dropping it does not stop the task, see [`Server::close`].
#[derive(Debug)]
#[must_use = "the task runs until `close` is called"]
pub struct Server {
    table: ObjectTable,
    wanted: watch::Sender<Wanted>,
    let_go: Arc<Notify>,
    stop: CancellationToken,
    gone: CancellationToken,
}

/// The wanted names in order of preference.
#[derive(Debug, Clone)]
struct Wanted {
    names: Vec<Arc<str>>,
    /// No name is requested before this is cancelled.
    after: Option<CancellationToken>,
}

impl Server {
    /// Starts the task.
    pub fn spawn<O: ObjectHandler>(
        tasks: &TaskTracker,
        options: ServerOptions,
        handler: O,
    ) -> Self {
        let (wanted, follows) = watch::channel(Wanted {
            names: options.names.clone(),
            after: options.after.clone(),
        });
        let server = Self {
            table: options.table.clone(),
            wanted,
            let_go: Arc::default(),
            stop: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        let (stop, gone) = (server.stop.clone(), server.gone.clone());
        let names = task::Names {
            wanted: follows,
            let_go: server.let_go.clone(),
        };
        tasks.spawn(async move {
            // The guard cancels the token also when the task panics.
            let _gone = gone.drop_guard();
            task::run(options, handler, names, stop).await;
        });
        server
    }

    /// The table of objects.
    #[must_use]
    pub fn table(&self) -> &ObjectTable {
        &self.table
    }

    /// Requests another name, once `after` is cancelled. The server owns the previous name until it owns the new one and
    /// [`Server::let_go`] is called.
    pub fn rename(&self, name: Arc<str>, after: Option<CancellationToken>) {
        let names = vec![name];
        self.wanted.send_replace(Wanted { names, after });
    }

    /// Releases the previous name, because all users know the new one.
    pub fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// Stops the server: it removes the objects from the leaves to the root, releases the name and closes the connection.
    /// The returned token is cancelled when all that is done, after [`CLOSE_DEADLINE`] at the latest.
    pub fn close(self) -> CancellationToken {
        self.stop.cancel();
        self.gone
    }
}

/// The token of a call and the result of its handler.
type Done = (ReplyToken, Answer);

/// Whether the bus at this address has started this process, by the `Exec` of a service file.
///
/// Spec: D-Bus specification, "Message Bus Starting Services (Activation)"
#[must_use]
pub fn is_starter(address: &str) -> bool {
    let starter = std::env::var("DBUS_STARTER_ADDRESS");
    starter.is_ok_and(|starter| without_guid(&starter) == without_guid(address))
}

/// An address without the GUID of the bus, because a restarted bus at the same path has another GUID.
fn without_guid(address: &str) -> String {
    let is_kept = |part: &&str| !part.starts_with("guid=");
    let (transport, parts) = address.split_once(':').unwrap_or((address, ""));
    let parts: Vec<&str> = parts.split(',').filter(is_kept).collect();
    format!("{transport}:{}", parts.join(","))
}

/// The machine id, which `Peer.GetMachineId` returns.
fn machine_id() -> Option<Arc<str>> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|id| id.len() == 32 && id.bytes().all(|octet| octet.is_ascii_hexdigit()))
        .map(Arc::from)
}

/// The shortest time between two announcements of property changes, well below the documented 20 ms.
pub const CHANGE_INTERVAL: Duration = Duration::from_millis(8);
/// How long a closing server waits for the bus.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Messages that may wait to be written. A batch of events of one node is smaller.
pub const OUTGOING_MAX: usize = 1024;
/// Octets that may wait to be written; a single message may be larger.
pub const OUTGOING_OCTETS_MAX: usize = 8 * MIB;
/// Calls that may wait for the handler.
pub const PENDING_MAX: usize = 1024;
/// Calls of one caller that may wait for the handler: half of the calls that may wait for one node, so that one caller
/// cannot use all of them.
pub const PENDING_PER_CALLER_MAX: usize = 256;

const MIB: usize = 1024 * 1024;
