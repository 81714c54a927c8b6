//! One bus connection that serves one table of objects under one name.
//!
//! Model: a [`ObjectTable`] is a table of objects that several tasks share; it is there and answers for itself
//! before, between and after connections. A [`Server`] is the handle of a *task*: one task that
//! connects, asks for a name, hands calls to the table and, where the table cannot answer, to the
//! [`ObjectHandler`], writes what the table puts out, and makes a new connection when one fails.
//! Invariants:
//! DBUSSERVER-1. The name is asked for only after everything answers, and released after the last object is gone.
//!     With another name ([`Server::rename`]) the one before is kept until that is owned, and until
//!     [`Server::let_go`].
//! DBUSSERVER-2. A task has one writer, its own task, and nothing cancels a write: a write dropped half way would
//!     corrupt the connection.
//! DBUSSERVER-3. What the table puts out goes out in that order; with a full queue its makers wait
//!     ([`ObjectTable::room`]), nothing is dropped.
//! DBUSSERVER-4. Changes of properties are told at once when the last telling is [`CHANGE_INTERVAL`] ago, else then.
//! Limits: [`OUTGOING_MAX`] messages and [`OUTGOING_OCTETS_MAX`] octets wait to be written, above that
//! neither calls are looked at nor events made; [`PENDING_MAX`] calls wait for the owner, and
//! [`PENDING_PER_CALLER_MAX`] of one caller, above that `Busy`.
//! Not here: what is in the table (`zocp_daemon::mirror`, `zocp_daemon::hub`), which bus it is (`crate::bus`).
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

pub use self::interfaces::{InterfaceHandler, Interfaces, undeclared, unknown_method};
use crate::{
    connection::until,
    errors::Refusal,
    message::Outgoing,
    objects::{Objects, ReplyToken},
    report::Report,
    server::authority::Authority,
};

/// Which bus connections are made to.
#[derive(Debug, Clone)]
pub struct BusContext {
    address: Arc<str>,
    message_len_max: usize,
    authority: Authority,
    may_have_policy: bool,
    machine_id: Option<Arc<str>>,
    report: Report,
}

impl BusContext {
    /// The bus at a D-Bus address; `kind` says which limits it has, and whose it is.
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
        }
    }

    /// What is counted of all that is on this bus.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The longest message that it takes; the sender of a longer one is thrown off it.
    #[must_use]
    pub fn message_len_max(&self) -> usize {
        self.message_len_max
    }

    /// Who decides what may be done on it.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// Whether a policy may say who is let through to whom.
    fn may_have_policy(&self) -> bool {
        self.may_have_policy
    }

    /// An empty table with this bus's limits and this machine's id.
    #[must_use]
    pub fn table(&self) -> ObjectTable {
        let mut objects = Objects::new(self.machine_id.clone());
        objects.set_message_len_max(self.message_len_max);
        objects.set_report(self.report.clone());
        ObjectTable::new(objects)
    }
}

/// What is known of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusScope {
    /// One user's. Messages up to 128 MiB.
    Session,
    /// The machine's, for all its users. Messages up to 32 MiB.
    System,
    /// Nothing but where it is: taken for one user's, with the smaller limits.
    Unknown,
}

/// A table of objects that several tasks share. See the [module](self).
#[derive(Debug, Clone)]
pub struct ObjectTable {
    inner: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    objects: Mutex<Objects>,
    /// The task is to look at what the table puts out.
    outgoing: Notify,
    /// There is room again.
    room: Notify,
    /// Who waits for the answer to a call of ours.
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

    /// Reads or changes the table, and has sent what that puts out. Other tasks wait meanwhile: the
    /// function must be short and must not call the table again.
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

    /// Waits until the queue has room. Whoever makes events waits here before each batch of them.
    /// Cancel safe.
    pub async fn room(&self) {
        until(&self.inner.room, || self.has_room()).await;
    }

    /// Calls somebody on the bus, and waits for the answer, for ever if need be; `None` when the connection
    /// is lost, or there is none. Cancel safe: the call is made anyway.
    pub async fn ask(&self, call: Outgoing) -> Option<Message> {
        let serial = call.serial();
        let pending = PendingCall {
            table: self,
            serial,
        };
        let (answer, answered) = oneshot::channel();
        // Before the call is put out, so that its answer finds it.
        self.pending_calls().insert(pending.serial, answer);
        if !self.with(|objects| objects.ask(call)) {
            return None;
        }
        answered.await.ok()
    }

    /// An answer came; whether it was waited for.
    fn answered(&self, serial: NonZeroU32, message: &Message) -> bool {
        let pending = self.pending_calls().remove(&serial);
        pending.is_some_and(|answer| answer.send(message.clone()).is_ok())
    }

    /// There will be no more answers.
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

    /// A panic while the lock was held has ended its task; the table itself is consistent between the
    /// steps of every method.
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.inner
            .objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is forgotten when nobody waits any more.
struct PendingCall<'a> {
    table: &'a ObjectTable,
    serial: NonZeroU32,
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.table.pending_calls().remove(&self.serial);
    }
}

/// Who answers what the table cannot answer from memory.
pub trait ObjectHandler: Send + Sync + 'static {
    /// A call of one of the objects' own methods; its arguments have the declared types.
    fn call(&self, call: CallRequest) -> impl Future<Output = Answer> + Send;

    /// A `Set` of a property that may be written; type and range are to be checked.
    ///
    /// The owner puts the new value into the table; it is told before the caller gets the answer. This is
    /// called in the order in which sets come; what it returns may be polled in any.
    fn set(&self, set: SetRequest) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// What a call brings back: values of the declared types.
pub type Answer = Result<Vec<Variant<'static>>, Refusal>;

/// A call for the owner.
#[derive(Debug)]
pub struct CallRequest {
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The method.
    pub member: Arc<str>,
    /// As many as the method has inputs.
    pub arguments: Vec<Variant<'static>>,
    /// The unique name of the caller.
    pub caller: Option<String>,
}

/// A `Set` for the owner.
#[derive(Debug)]
pub struct SetRequest {
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The property.
    pub property: Arc<str>,
    /// What the client sent.
    pub value: Variant<'static>,
    /// The unique name of the client.
    pub caller: Option<String>,
}

/// What a task says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// On the bus under this name.
    Named(Arc<str>),
    /// On the bus, but another connection has the name, or all of them. It is tried again.
    Taken(Arc<str>),
    /// On the bus, which does not let us have the name. It is tried again.
    Denied {
        /// The name.
        name: Arc<str>,
        /// What the bus says.
        reason: String,
    },
    /// Not on the bus. It is tried again.
    Unreachable(String),
    /// Gone for good.
    Closed,
}

/// What to serve.
pub struct ServerOptions {
    /// Where.
    pub site: BusContext,
    /// What.
    pub table: ObjectTable,
    /// The names to ask for, the first that is free is taken. Without any it stays unnamed.
    pub names: Vec<Arc<str>>,
    /// Wait with the name until this is cancelled: a connection before us still has it.
    pub after: Option<CancellationToken>,
    /// Told of each change; must be short.
    pub on_presence: Box<dyn Fn(Presence) + Send + Sync>,
}

/// The handle of a task. Dropping it ends nothing, see [`Server::close`].
#[derive(Debug)]
#[must_use = "a task ends when it is closed"]
pub struct Server {
    table: ObjectTable,
    wanted: watch::Sender<Wanted>,
    let_go: Arc<Notify>,
    stop: CancellationToken,
    gone: CancellationToken,
}

/// The names that a task is to ask for, the first that is free is taken.
#[derive(Debug, Clone)]
struct Wanted {
    names: Vec<Arc<str>>,
    /// Not before this is cancelled.
    after: Option<CancellationToken>,
}

impl Server {
    /// Starts to serve.
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
            // Dropped, so cancelled, also when the task panics.
            let _gone = gone.drop_guard();
            task::run(options, handler, names, stop).await;
        });
        server
    }

    /// What is server.
    #[must_use]
    pub fn table(&self) -> &ObjectTable {
        &self.table
    }

    /// Asks for another name, after the connection that has it, if one does. The one before is kept until this one
    /// is owned and [`Server::let_go`] says so.
    pub fn rename(&self, name: Arc<str>, after: Option<CancellationToken>) {
        let names = vec![name];
        self.wanted.send_replace(Wanted { names, after });
    }

    /// Everybody was told the name that is owned now: one that was owned before it is released.
    pub fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// Ends it: objects go leaf first, then the name, then the connection. The token that is given back
    /// is cancelled when all that is done, at the latest after [`CLOSE_DEADLINE`].
    pub fn close(self) -> CancellationToken {
        self.stop.cancel();
        self.gone
    }
}

/// A ticket with what the owner made of it.
type Done = (ReplyToken, Answer);

/// An address without the id of the very bus: one that is started anew at the same place has another.
fn without_guid(address: &str) -> String {
    let is_kept = |part: &&str| !part.starts_with("guid=");
    let (transport, parts) = address.split_once(':').unwrap_or((address, ""));
    let parts: Vec<&str> = parts.split(',').filter(is_kept).collect();
    format!("{transport}:{}", parts.join(","))
}

/// The machine's id, which `Peer.GetMachineId` tells.
fn machine_id() -> Option<Arc<str>> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|id| id.len() == 32 && id.bytes().all(|octet| octet.is_ascii_hexdigit()))
        .map(Arc::from)
}

/// The least time between two tellings of changed properties, well below the 20 ms that are promised.
pub const CHANGE_INTERVAL: Duration = Duration::from_millis(8);
/// How long a closing task waits for the bus.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Messages that wait to be written. A batch of events of one node is smaller.
pub const OUTGOING_MAX: usize = 1024;
/// Octets that wait to be written; a single message may be larger.
pub const OUTGOING_OCTETS_MAX: usize = 8 * MIB;
/// Calls that wait for the owner.
pub const PENDING_MAX: usize = 1024;
/// Those of one caller: half of what may await one node's answer, so that nobody takes all of that.
pub const PENDING_PER_CALLER_MAX: usize = 256;

const MIB: usize = 1024 * 1024;
