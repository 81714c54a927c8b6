//! The handle of a node.
//!
//! Model: [`Node`] is cheap to clone and sends commands to the one actor that owns everything.
//! A command is either a whisper, which is common and needs no answer, or a function that the
//! actor runs on its state and whose result comes back.
//! Invariants: NODE-1. A command that makes events (it changes this node's tree, emits, or sets a value) goes
//! through the queue `commands`, which the actor leaves alone while too many events wait for their reader. All others go
//! through `requests`, which it always takes. NODE-2. So whoever reads the events may wait for a request, but for
//! a command only through [`Node::for_reader`].
//! Limits: [`COMMANDS_MAX`] commands and as many requests wait; then senders wait. See `gate.rs` for whispers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use zocp_model::{CapPath, Capability, Cause, Method, ObjectPath, RequestId, Tree, Value};
use zocp_zmtp::PublicKey;
use zocp_zre::{FirstUse, PeerId};

use crate::config::Config;
use crate::error::{Invalid, NodeError, RemoteError};
use crate::event::{Content, Events, PeerInfo};
use crate::gate::{Gates, Pass};
use crate::house::House;
use crate::interfaces::Network;
use crate::security::Stranger;
use crate::start::{StartError, start};
use crate::traffic::Traffic;

/// A node of the mesh. Clones are the same node; it lives until [`shutdown`](Self::shutdown).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use zocp_node::{Capability, Config, Event, Node};
///
/// let (node, mut events) = Node::start(Config::new("lamp")).await?;
/// node.publish("brightness", Capability::new("rw", 0.5).with_range(0.0, 1.0)).await?;
/// while let Some(event) = events.next().await {
///     if let Event::LocalSet { path, value, .. } = event {
///         println!("{path} is now {value}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// When some thousand events wait for their reader, what would make more of them waits too: setting, emitting and
/// publishing. Questions, messages and calls go on. Who reads the events must not wait for the former, see
/// [`for_reader`](Self::for_reader).
///
/// When the last handle and the reader of the events are dropped, the node ends, as after [`shutdown`](Self::shutdown).
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<Shared>,
    /// Its commands are taken also while events wait.
    is_of_reader: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: PeerId,
    pub(crate) key: Option<PublicKey>,
    pub(crate) name: String,
    pub(crate) port: u16,
    /// Commands that make events.
    pub(crate) commands: mpsc::Sender<Command>,
    /// All others.
    pub(crate) requests: mpsc::Sender<Command>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: CancellationToken,
}

/// What a handle asks of the actor.
pub(crate) enum Command {
    Whisper {
        peer: PeerId,
        content: Content,
        pass: Pass,
    },
    Run(Work),
}

/// A function that the actor runs on its state.
type Work = Box<dyn FnOnce(&mut House, Instant) + Send>;

/// The answer to a call: the returned values.
pub type CallResult = Result<Vec<Value>, NodeError>;

impl Node {
    /// Starts a node: opens its mailbox, greets the mesh and meets the configured peers.
    ///
    /// Must be called within a tokio runtime, whose kind is the caller's choice.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<(Self, Events), StartError> {
        let (shared, events) = start(config).await?;
        Ok((
            Self {
                shared: Arc::new(shared),
                is_of_reader: false,
            },
            events,
        ))
    }

    /// The same node, for whom the reader of its events waits, and for that reader itself: commands through this
    /// handle are taken also while events wait, where the two would otherwise wait for each other. Who uses it
    /// makes no more events than a fixed number for each that was read, or they would grow without bound.
    #[must_use]
    pub fn for_reader(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_of_reader: true,
        }
    }

    /// This node's identity, new at each start.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.shared.id
    }

    /// This node's key on a secure mesh.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.shared.key
    }

    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The TCP port of this node's mailbox, the same on every network.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// What goes over the mesh, counted.
    #[must_use]
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.shared.traffic
    }

    /// How many octets wait to be written to a peer; 0 when it is not present.
    #[must_use]
    pub fn queued(&self, peer: PeerId) -> usize {
        self.shared.gates.queued(peer)
    }

    /// How many octets wait to be written to all peers together.
    #[must_use]
    pub fn queued_for_all(&self) -> usize {
        self.shared.gates.queued_for_all()
    }

    /// Sends a message to one peer. Waits while too much is queued for it.
    ///
    /// # Errors
    /// `NodeGone`, `Closed`; `Invalid` when `content` has no frame.
    pub async fn whisper(
        &self,
        peer: PeerId,
        content: impl Into<Content>,
    ) -> Result<(), NodeError> {
        let content = checked(content.into())?;
        let pass = self.shared.gates.pass(peer, octets(&content)).await?;
        let command = Command::Whisper {
            peer,
            content,
            pass,
        };
        self.shared
            .requests
            .send(command)
            .await
            .map_err(|_| NodeError::Closed)
    }

    /// Sends a message to one peer, or is refused where [`whisper`](Self::whisper) would wait.
    ///
    /// # Errors
    /// `Busy`, `NodeGone`, `Closed`; `Invalid` when `content` has no frame.
    pub fn try_whisper(&self, peer: PeerId, content: impl Into<Content>) -> Result<(), NodeError> {
        let content = checked(content.into())?;
        let room = self
            .shared
            .requests
            .try_reserve()
            .map_err(|error| match error {
                TrySendError::Full(()) => NodeError::Busy,
                TrySendError::Closed(()) => NodeError::Closed,
            })?;
        let pass = self.shared.gates.try_pass(peer, octets(&content))?;
        room.send(Command::Whisper {
            peer,
            content,
            pass,
        });
        Ok(())
    }

    /// Waits until at most `octets` are queued for a peer: whoever has much to send and hands over no
    /// more before that leaves room for others in between.
    ///
    /// # Errors
    /// `NodeGone`.
    pub async fn drained(&self, peer: PeerId, octets: usize) -> Result<(), NodeError> {
        self.shared.gates.drained(peer, octets).await
    }

    /// Sends a message to every peer in a group.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `content` has no frame or the group's name is not one.
    pub async fn shout(&self, group: &str, content: impl Into<Content>) -> Result<(), NodeError> {
        let content = checked(content.into())?;
        let group = group.to_owned();
        self.ask(move |house, now| house.shout(now, &group, content))
            .await?
    }

    /// Joins a group.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when it is not a group's name.
    pub async fn join(&self, group: &str) -> Result<(), NodeError> {
        let group = group.to_owned();
        self.ask(move |house, now| house.join(now, &group)).await?
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when it is `ZOCP`, in which every node is.
    pub async fn leave(&self, group: &str) -> Result<(), NodeError> {
        let group = group.to_owned();
        self.ask(move |house, now| house.leave(now, &group)).await?
    }

    /// Meets the peer at an endpoint, `tcp://host:port`, without any beacon, and tries again
    /// whenever it is lost. On a secure mesh its key is told behind it, `tcp://host:port|key`.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when it is not an endpoint, or not one for this mesh.
    pub async fn connect(&self, endpoint: &str) -> Result<(), NodeError> {
        let endpoint = endpoint.to_owned();
        self.ask(move |house, now| house.connect(now, &endpoint))
            .await?
    }

    /// Trusts a key from now on: its node is met when it is heard next. `false` if it was trusted before.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when the mesh is not a secure one.
    pub async fn trust(&self, key: PublicKey) -> Result<bool, NodeError> {
        self.ask(move |house, _| house.trust(key)).await?
    }

    /// Trusts a key no longer: all connections with its node end at once. `false` if it was not trusted.
    ///
    /// # Errors
    /// As [`trust`](Self::trust).
    pub async fn distrust(&self, key: PublicKey) -> Result<bool, NodeError> {
        self.ask(move |house, now| house.distrust(now, key)).await?
    }

    /// Chooses what becomes of keys that are not trusted, from now on. Who is here stays.
    ///
    /// # Errors
    /// As [`trust`](Self::trust).
    pub async fn set_first_use(&self, first_use: FirstUse) -> Result<(), NodeError> {
        self.ask(move |house, _| house.set_first_use(first_use))
            .await?
    }

    /// The keys that are trusted, in no order.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn trusted(&self) -> Result<Vec<PublicKey>, NodeError> {
        self.ask(|house, _| house.trusted()).await
    }

    /// The nodes that were heard lately and whose keys are not trusted, in no order.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn strangers(&self) -> Result<Vec<Stranger>, NodeError> {
        self.ask(|house, now| house.strangers(now)).await
    }

    /// The peers that are present.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NodeError> {
        self.ask(|house, _| house.peers()).await
    }

    /// The groups that this node is in.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn groups(&self) -> Result<Vec<String>, NodeError> {
        self.ask(|house, _| house.groups()).await
    }

    /// The networks that carry the mesh now. [`Event::Networks`](crate::Event::Networks) tells of
    /// changes.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn networks(&self) -> Result<Vec<Network>, NodeError> {
        self.ask(|house, _| house.networks()).await
    }

    /// How long a peer takes to answer. A peer that answers nothing is gone after the mesh's
    /// expiry, and then this fails.
    ///
    /// # Errors
    /// `NodeGone`, `Closed`.
    pub async fn ping(&self, peer: PeerId) -> Result<Duration, NodeError> {
        let answer = self.ask(move |house, now| house.ping(now, peer)).await??;
        answer.await.map_err(|_| NodeError::NodeGone(peer))
    }

    /// What is known of a peer's tree; `None` before its first answer.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn tree(&self, peer: PeerId) -> Result<Option<Tree>, NodeError> {
        self.ask(move |house, _| house.tree(peer)).await
    }

    /// Sets a value of another node. Old nodes take anything and confirm nothing, so access, type
    /// and range are checked here against what the node told.
    ///
    /// # Errors
    /// `NodeGone`, `Busy` when too much is queued for the node, `Invalid` (unknown, not writable,
    /// wrong type, out of range), `Closed`.
    pub async fn set(&self, peer: PeerId, path: CapPath, value: Value) -> Result<(), NodeError> {
        self.set_through(peer, path, value, (0, None)).await
    }

    /// As [`set`](Self::set), of a value that has come through so many wires, from this touch:
    /// [`Event::Set`](crate::Event::Set) says so.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_through(
        &self,
        peer: PeerId,
        path: CapPath,
        value: Value,
        through: (u8, Option<Cause>),
    ) -> Result<(), NodeError> {
        self.order(move |house, _| house.set(peer, &path, value, through))
            .await?
    }

    /// Calls a method of another node.
    ///
    /// # Errors
    /// `NotSupported` at once by nodes that do not know calls, `Remote` with the node's own error,
    /// `Timeout`, `NodeGone`, `Busy`, `Closed`.
    pub async fn call(
        &self,
        peer: PeerId,
        object: ObjectPath,
        method: &str,
        args: Vec<Value>,
    ) -> CallResult {
        let method = method.to_owned();
        let answer = self
            .ask(move |house, now| house.call(now, peer, &object, &method, args))
            .await??;
        answer.await.map_err(|_| NodeError::NodeGone(peer))?
    }

    /// Answers a call that came as [`Event::Called`](crate::Event::Called).
    ///
    /// # Errors
    /// `NodeGone`, `Closed`.
    pub async fn reply(
        &self,
        peer: PeerId,
        id: RequestId,
        result: Result<Vec<Value>, RemoteError>,
    ) -> Result<(), NodeError> {
        self.ask(move |house, _| house.reply(peer, id, result))
            .await?
    }

    /// Makes a value of this node known to all, or changes what it is. `path` is a name, or
    /// dotted for one in an object.
    ///
    /// # Errors
    /// `Invalid` when a limit or the path forbids it, `Closed`.
    pub async fn publish(
        &self,
        path: impl IntoCapPath,
        capability: Capability,
    ) -> Result<(), NodeError> {
        let path = path.into_cap_path()?;
        self.order(move |house, _| house.publish(path, capability))
            .await?
    }

    /// Takes a value of this node away.
    ///
    /// # Errors
    /// `Invalid` when there is none, `Closed`.
    pub async fn unpublish(&self, path: impl IntoCapPath) -> Result<(), NodeError> {
        let path = path.into_cap_path()?;
        self.order(move |house, _| house.unpublish(&path)).await?
    }

    /// Makes an object of this node, or gives it other plain entries; null removes an entry. The entry
    /// `type` says what kind of object it is.
    ///
    /// # Errors
    /// `Invalid` when a limit or a name forbids it, `Closed`. Entries before the one that is refused
    /// are set.
    pub async fn describe(
        &self,
        object: ObjectPath,
        entries: Vec<(String, Value)>,
    ) -> Result<(), NodeError> {
        self.order(move |house, _| house.describe(&object, entries))
            .await?
    }

    /// Takes an object of this node away with all that is in it.
    ///
    /// # Errors
    /// `Invalid` when there is none, `Closed`.
    pub async fn remove_object(&self, object: ObjectPath) -> Result<(), NodeError> {
        self.order(move |house, _| house.remove_object(&object))
            .await?
    }

    /// Offers a method; calls of it come as [`Event::Called`](crate::Event::Called).
    ///
    /// # Errors
    /// `Invalid` when a limit or the name forbids it, `Closed`.
    pub async fn publish_method(
        &self,
        object: ObjectPath,
        name: &str,
        method: Method,
    ) -> Result<(), NodeError> {
        let name = name.to_owned();
        self.order(move |house, _| house.publish_method(&object, &name, &method))
            .await?
    }

    /// Takes a method away.
    ///
    /// # Errors
    /// `Invalid` when there is none, `Closed`.
    pub async fn unpublish_method(&self, object: ObjectPath, name: &str) -> Result<(), NodeError> {
        let name = name.to_owned();
        self.order(move |house, _| house.unpublish_method(&object, &name))
            .await?
    }

    /// Has [`Event::Marked`](crate::Event::Marked) told with this number, behind all events of what this
    /// handle has done before: whoever reads the events knows then that it has seen them.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn mark(&self, number: u64) -> Result<(), NodeError> {
        let work: Work = Box::new(move |house, now| house.mark(now, number));
        let command = Command::Run(work);
        let sent = self.commands().send(command).await;
        sent.map_err(|_| NodeError::Closed)
    }

    /// Sets a value of this node and tells those who follow it.
    ///
    /// # Errors
    /// `Invalid` when there is none or the value is not of its type, `Closed`.
    pub async fn set_local(
        &self,
        path: impl IntoCapPath,
        value: impl Into<Value>,
    ) -> Result<(), NodeError> {
        let (path, value) = (path.into_cap_path()?, value.into());
        self.order(move |house, _| house.set_local(&path, value))
            .await?
    }

    /// Hands a value to a capability of this node as a wire would: a sensor receives it as a signal, and what
    /// is none but can be set is set. `emitter` says where it comes from.
    ///
    /// # Errors
    /// `Invalid` when there is none, or it does not take the value, `Closed`.
    pub async fn receive(
        &self,
        path: CapPath,
        value: Value,
        emitter: &str,
        cause: Option<Cause>,
    ) -> Result<(), NodeError> {
        let emitter = emitter.to_owned();
        self.order(move |house, _| house.receive(&path, &value, &emitter, cause.as_ref()))
            .await?
    }

    /// Emits a value of this node to exactly those who subscribed to it: an event each time, also
    /// of an equal value.
    ///
    /// # Errors
    /// `Invalid` when there is none or it does not emit, `Closed`.
    pub async fn emit(
        &self,
        path: impl IntoCapPath,
        value: impl Into<Value>,
    ) -> Result<(), NodeError> {
        let (path, value) = (path.into_cap_path()?, value.into());
        self.order(move |house, _| house.emit(&path, value)).await?
    }

    /// As [`emit`](Self::emit), of a value that comes from this touch.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_from(
        &self,
        path: CapPath,
        value: Value,
        cause: Option<Cause>,
    ) -> Result<(), NodeError> {
        self.order(move |house, _| house.emit_from(&path, value, cause.as_ref()))
            .await?
    }

    /// As [`subscribe`](Self::subscribe); `first` has the sensor get the present value, if the emitter's node
    /// knows how.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with(
        &self,
        emitter: End,
        sensor: End,
        first: bool,
    ) -> Result<(), NodeError> {
        self.order(move |house, _| house.subscribe(&emitter, &sensor, first))
            .await?
    }

    /// Subscribes a sensor of one node to an emitter of another; either may be this node. `None`
    /// as emitter is every emitter, as sensor no particular one.
    ///
    /// # Errors
    /// `NodeGone`; `Invalid` when the emitter's node has no such emitter, which would stop old
    /// nodes; `Closed`.
    pub async fn subscribe(&self, emitter: End, sensor: End) -> Result<(), NodeError> {
        self.subscribe_with(emitter, sensor, false).await
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn unsubscribe(&self, emitter: End, sensor: End) -> Result<(), NodeError> {
        self.order(move |house, _| house.unsubscribe(&emitter, &sensor))
            .await?
    }

    /// Says goodbye on the mesh, sends what is queued within a second, and ends: `Events` ends
    /// then. Returns when that is done.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.commands.closed().await;
    }

    /// The queue for commands that make events.
    pub(crate) fn commands(&self) -> &mpsc::Sender<Command> {
        if self.is_of_reader {
            &self.shared.requests
        } else {
            &self.shared.commands
        }
    }

    /// Runs a function that makes events on the actor's state and returns its result.
    async fn order<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut House, Instant) -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        run_on(self.commands(), work).await
    }

    /// Runs a function that makes none on the actor's state and returns its result.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut House, Instant) -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        run_on(&self.shared.requests, work).await
    }
}

/// Has the actor run a function when it comes to it in this queue.
async fn run_on<T: Send + 'static>(
    queue: &mpsc::Sender<Command>,
    work: impl FnOnce(&mut House, Instant) -> T + Send + 'static,
) -> Result<T, NodeError> {
    let (answer, answered) = oneshot::channel();
    let command = Command::Run(Box::new(move |house, now| {
        // The asker may have gone; the work is done all the same.
        let _ = answer.send(work(house, now));
    }));
    queue.send(command).await.map_err(|_| NodeError::Closed)?;
    answered.await.map_err(|_| NodeError::Closed)
}

/// What names a capability of this node: a [`CapPath`], or text, where a dot separates an object from
/// what is in it.
pub trait IntoCapPath {
    /// The path.
    ///
    /// # Errors
    /// `Invalid` when the text has an empty element.
    fn into_cap_path(self) -> Result<CapPath, NodeError>;
}

impl IntoCapPath for CapPath {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        Ok(self)
    }
}

impl IntoCapPath for &str {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        self.parse().map_err(|error| Invalid::Path(error).into())
    }
}

/// One end of a subscription: a node and one of its capabilities, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The node.
    pub node: PeerId,
    /// The capability's name; `None` for every emitter, or for no particular sensor.
    pub name: Option<String>,
}

fn checked(content: Content) -> Result<Content, NodeError> {
    if content.is_empty() {
        Err(Invalid::NoContent.into())
    } else {
        Ok(content)
    }
}

fn octets(content: &[Bytes]) -> usize {
    content.iter().map(Bytes::len).sum()
}

/// Commands that may wait for the actor; each is short, so this is a fraction of a millisecond.
pub(crate) const COMMANDS_MAX: usize = 1024;
