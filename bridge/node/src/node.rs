//! The handle of a node.
//!
//! Model: [`Node`] is cheap to clone and sends commands to the one actor that owns all state. This file has the handle
//! itself; what it can ask for is in `node/`: `messages` (peers, groups, whispers), `trust` (keys), `remote` (trees of
//! other nodes), `channels` (pipes), `handovers` (descriptors on one machine), `local` (this node's own tree) and `plumbing` (what only the bridge needs).
//! Invariants: NODE-1. A command that makes events (it changes this node's tree, emits, or sets a value) goes through
//! the queue `commands`, from which the actor takes nothing while too many events wait for their reader. All others go
//! through `requests`, from which it always takes. NODE-2. So the reader of the events may wait for the result of a
//! request, but for that of a command only through [`Node::for_reader`].
//! Limits: [`COMMANDS_MAX`](crate::command::COMMANDS_MAX) in each queue; then senders wait.
//! Not here: how much waits for one peer (`credit.rs`).

mod channels;
mod handovers;
mod local;
mod messages;
mod plumbing;
mod remote;
mod trust;

use std::sync::Arc;
use std::time::Instant;

use zocp_zmtp::PublicKey;
use zocp_zre::PeerId;

pub use self::channels::{OfferedChannel, Redeemed};
use crate::actor::Actor;
use crate::command::run_on;
use crate::config::Config;
use crate::error::NodeError;
use crate::events::Events;
use crate::shared::{Commands, Shared};
use crate::startup::{StartError, start};
use crate::traffic::Traffic;

/// A node of the mesh. Clones are handles of the same node.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use zocp_node::{Access, Capability, Config, Event, Node};
///
/// let (node, mut events) = Node::start(Config::new("lamp").with_loopback()).await?;
/// let brightness = Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0);
/// node.publish("brightness", brightness).await?;
/// # node.shutdown().await;
/// while let Some(event) = events.next().await {
///     if let Event::LocalSet { path, value, .. } = event {
///         println!("{path} is now {value}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # When events wait
///
/// When some thousand events wait for their reader, the operations that would make more of them wait too: setting,
/// emitting and publishing. Queries, messages and calls do not wait. The task that reads the events must not wait for
/// the former, since then each would wait for the other; it uses the handle of [`for_reader`](Self::for_reader).
///
/// # When it ends
///
/// The node ends with [`shutdown`](Self::shutdown), or when the last handle and the [`Events`] are dropped.
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<Shared>,
    /// Its commands are taken also while events wait.
    is_of_reader: bool,
}

impl Node {
    /// Starts a node: opens its mailbox, sends beacons and connects to the configured peers.
    ///
    /// Must be called within a tokio runtime of either kind; the node's tasks run there.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(config: Config) -> Result<(Self, Events), StartError> {
        // The configuration is large, and needed only here.
        let (shared, events) = Box::pin(start(config)).await?;
        let node = Self {
            shared: Arc::new(shared),
            is_of_reader: false,
        };
        Ok((node, events))
    }

    /// A handle for the task that reads the events, and for tasks that it waits for: its commands are taken also while
    /// events wait, when those of other handles are not.
    ///
    /// Such a task must make no more than a fixed number of events for each one that it read; otherwise the events
    /// that wait would grow without bound.
    #[must_use]
    pub fn for_reader(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_of_reader: true,
        }
    }

    /// This node's identity, new each time that it starts.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.shared.id
    }

    /// This node's public key; `None` if its mesh is not a secure one.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.shared.key
    }

    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The venue that this node is in.
    #[must_use]
    pub fn venue(&self) -> Option<&str> {
        self.shared.venue.as_deref()
    }

    /// The TCP port of this node's mailbox, the same on every network.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// The TCP port where peers of other venues connect: that of the mailbox, unless links alone are secure and have one
    /// of their own.
    #[must_use]
    pub fn link_port(&self) -> u16 {
        self.shared.link_port
    }

    /// The counters of everything that this node sends, receives and rejects.
    #[must_use]
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.shared.traffic
    }

    /// Says goodbye on the mesh, sends what is queued within a second, and ends the node; its [`Events`] end then.
    /// Returns when that is done.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.commands.closed().await;
    }

    /// The queue for commands that make events.
    fn commands(&self) -> &Commands {
        if self.is_of_reader {
            &self.shared.requests
        } else {
            &self.shared.commands
        }
    }

    /// Runs a function that makes events on the actor's state.
    async fn command<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Actor, Instant) -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        run_on(self.commands(), work).await
    }

    /// Runs a function that makes no events on the actor's state.
    async fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Actor, Instant) -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        run_on(&self.shared.requests, work).await
    }
}
