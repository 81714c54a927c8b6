//! Remote nodes on the bus: each a connection, a name, and the node's tree as objects.
//!
//! Model: [`Mirrors`] follows the node's events and owns a mirror for each present ZOCP node. A mirror is
//! a view (what the tree is made into), its table, and the server of its connection. It goes on the bus when
//! the tree is known, or after [`TREE_PATIENCE`] with an empty one that fills later.
//! Invariants:
//! MIRROR-1. A node's bus name ends in its label in the directory, or the node has no name: one that another
//!     program has is asked for until it is free.
//! MIRROR-2. A name is asked for after the one before us has given it back. A node with another label keeps the name that
//!     it has until it has the other one, and until the bridge has published it.
//! MIRROR-3. An event is one signal, in order; values are state and are coalesced (`zocp_dbus::server`).
//! Limits: what a tree may hold is bounded by the node (`zocp_node::Limits`). A bus connection that does
//! not take its signals holds up the events of all nodes, and thereby the mesh: nothing is lost.
//! Not here: peers that do not speak ZOCP (`crate::hub`).
//! Spec: docs/reference/dbus.md, "A mirrored node".

mod commands;
mod handler;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_interfaces::{NODE_NAME_PREFIX, NODE_PATH};
use zocp_node::{Event, PeerId, PeerInfo};

pub use self::commands::Commands;
use self::handler::NodeHandler;
use crate::view::{Shapes, View, metadata::Side, shape};
use zocp_dbus::{
    introspection::XmlError,
    server::{BusContext, ObjectTable, Presence, Server, ServerOptions},
};
use zocp_mapping::directory::{Directory, Relabelled};

/// All mirrored nodes. See the [module](self).
pub struct Mirrors<C> {
    tasks: TaskTracker,
    site: BusContext,
    commands: C,
    /// The fixed interfaces.
    shape: Shapes,
    mirrors: HashMap<PeerId, Arc<Mirror>>,
    directory: Directory,
    /// Labels whose names are being given back.
    leaving: HashMap<Arc<str>, CancellationToken>,
    names: Arc<Names>,
}

/// One mirrored node.
#[derive(Debug)]
struct Mirror {
    peer: PeerId,
    name: String,
    /// Locked because the task that waits for the tree reads it when it opens the mirror, and the task of the mirrors
    /// changes it.
    label: Mutex<Arc<str>>,
    table: ObjectTable,
    /// Locked because the connection of the node looks objects up while the task of the mirrors changes them.
    view: Mutex<View>,
    /// Locked because a mirror is opened by the tree or by the end of its patience, in different tasks, and the first
    /// of them opens it.
    stage: Mutex<Stage>,
    /// Cancelled when the node leaves.
    gone: CancellationToken,
}

/// How far a mirror is.
#[derive(Debug)]
enum Stage {
    /// Not on the bus yet; the connection that had the name before.
    Waiting(Option<CancellationToken>),
    Open(Server),
    Closed,
}

/// Changed bus names of mirrors that [`Mirrors::named`] has not returned yet: the newest for each node.
#[derive(Debug, Default)]
struct Names {
    /// Locked because connections of nodes report names, and the task of the bridge takes them out.
    pending: Mutex<BTreeMap<PeerId, Option<Arc<str>>>>,
    changed: Notify,
}

/// A mirror has another bus name, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The node.
    pub peer: PeerId,
    /// Its bus name; none while it is not on the bus.
    pub bus_name: Option<Arc<str>>,
}

impl<C: Commands> Mirrors<C> {
    /// Mirrors on a bus, with the labels of the directory; `tasks` has what they do in the background.
    ///
    /// # Errors
    ///
    /// The built-in declaration of an interface cannot be understood: our fault.
    pub fn new(
        tasks: TaskTracker,
        site: BusContext,
        commands: C,
        directory: Directory,
    ) -> Result<Self, XmlError> {
        Ok(Self {
            tasks,
            site,
            commands,
            shape: shape()?,
            mirrors: HashMap::new(),
            directory,
            leaving: HashMap::new(),
            names: Arc::default(),
        })
    }

    /// Follows an event of the mesh. Waits while the bus does not take what a node emits. Cancelling it
    /// loses the event.
    pub async fn handle(&mut self, event: &Event) {
        match event {
            Event::Entered(info) if info.zocp => self.enter(info),
            Event::Exited { peer, .. } => self.exit(*peer),
            Event::TreeKnown { peer, tree } => {
                if let Some(mirror) = self.mirrors.get(peer) {
                    mirror.view().adopt(tree);
                    self.open(&mirror.clone());
                }
            }
            Event::Changed { peer, changes } => {
                if let Some(mirror) = self.mirrors.get(peer) {
                    mirror.table.room().await;
                    mirror.view().follow(changes);
                }
            }
            Event::Emitted {
                peer, path, value, ..
            } => {
                if let Some(mirror) = self.mirrors.get(peer) {
                    mirror.table.room().await;
                    mirror.view().emit(path, value);
                }
            }
            _ => {}
        }
    }

    /// A node has another label: its bus name follows.
    pub(crate) fn relabelled(&mut self, relabelled: &Relabelled) {
        let Some(mirror) = self.mirrors.get(&relabelled.peer) else {
            return;
        };
        let after = self.leaving.remove(&relabelled.label);
        *mirror.lock_label() = relabelled.label.clone();
        match &mut *mirror.stage() {
            Stage::Waiting(before) => {
                if let Some(gone) = std::mem::replace(before, after) {
                    self.leaving.insert(relabelled.before.clone(), gone);
                }
            }
            Stage::Open(served) => served.rename(bus_name(&relabelled.label), after),
            Stage::Closed => {}
        }
    }

    /// The new bus name of a node has been published: its former name is released.
    pub(crate) fn settled(&self, peer: PeerId) {
        if let Some(mirror) = self.mirrors.get(&peer)
            && let Stage::Open(served) = &*mirror.stage()
        {
            served.let_go();
        }
    }

    /// Waits until a mirror has another bus name, or none. Cancel safe. Of several changes of one mirror
    /// the last is returned; of a mirror whose node left, none.
    pub fn named(&self) -> impl Future<Output = Named> + Send + use<C> {
        let names = self.names.clone();
        async move { names.next().await }
    }

    /// Ends all mirrors. Each token is cancelled when its mirror is gone from the bus.
    pub fn close(mut self) -> Vec<CancellationToken> {
        let mirrors = std::mem::take(&mut self.mirrors);
        mirrors
            .into_values()
            .filter_map(|mirror| mirror.close())
            .collect()
    }

    fn enter(&mut self, info: &PeerInfo) {
        if self.mirrors.contains_key(&info.id) {
            self.exit(info.id);
        }
        self.leaving.retain(|_, gone| !gone.is_cancelled());
        let Some(label) = self.directory.label_of(info.id) else {
            return;
        };
        let table = self.site.table();
        // The path is legal.
        table.with(|objects| objects.add_manager(NODE_PATH)).ok();
        let shape = self.shape.clone();
        let view = View::new(&info.name, Side::Remote, NODE_PATH, table.clone(), shape);
        let mirror = Arc::new(Mirror {
            peer: info.id,
            name: info.name.clone(),
            table,
            view: Mutex::new(view),
            stage: Mutex::new(Stage::Waiting(self.leaving.remove(&label))),
            label: Mutex::new(label),
            gone: CancellationToken::new(),
        });
        self.mirrors.insert(info.id, mirror.clone());
        let opener = self.opener();
        self.tasks.spawn(async move {
            tokio::select! {
                () = mirror.gone.cancelled() => {}
                () = sleep(TREE_PATIENCE) => opener.open(&mirror),
            }
        });
    }

    fn exit(&mut self, peer: PeerId) {
        let Some(mirror) = self.mirrors.remove(&peer) else {
            return;
        };
        self.names.forget(peer);
        if let Some(gone) = mirror.close() {
            self.leaving.insert(mirror.label(), gone);
        }
    }

    fn open(&self, mirror: &Arc<Mirror>) {
        self.opener().open(mirror);
    }

    fn opener(&self) -> Opener<C> {
        Opener {
            tasks: self.tasks.clone(),
            site: self.site.clone(),
            commands: self.commands.clone(),
            names: self.names.clone(),
        }
    }
}

/// What it takes to put a mirror on the bus.
struct Opener<C> {
    tasks: TaskTracker,
    site: BusContext,
    commands: C,
    names: Arc<Names>,
}

impl<C: Commands> Opener<C> {
    /// Puts a mirror on the bus, once.
    fn open(&self, mirror: &Arc<Mirror>) {
        let mut stage = mirror.stage();
        let Stage::Waiting(after) = &mut *stage else {
            return;
        };
        let after = after.take();
        let (peer, names) = (mirror.peer, self.names.clone());
        let options = ServerOptions {
            site: self.site.clone(),
            table: mirror.table.clone(),
            names: vec![bus_name(&mirror.label())],
            takes_descriptors: None,
            after,
            on_presence: Box::new(move |presence| names.tell(peer, &presence)),
        };
        let handler = NodeHandler {
            mirror: mirror.clone(),
            commands: self.commands.clone(),
            tasks: self.tasks.clone(),
        };
        *stage = Stage::Open(Server::spawn(&self.tasks, options, handler));
    }
}

impl Mirror {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn label(&self) -> Arc<str> {
        self.lock_label().clone()
    }

    fn lock_label(&self) -> MutexGuard<'_, Arc<str>> {
        self.label.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the mirror from the bus, if it is on it.
    fn close(&self) -> Option<CancellationToken> {
        self.gone.cancel();
        match std::mem::replace(&mut *self.stage(), Stage::Closed) {
            Stage::Open(served) => Some(served.close()),
            // Whoever had the name before still gives it back.
            Stage::Waiting(before) => before,
            Stage::Closed => None,
        }
    }
}

impl Names {
    fn tell(&self, peer: PeerId, presence: &Presence) {
        let bus_name = match presence {
            Presence::Named(name) => Some(name.clone()),
            Presence::Closed => return,
            _ => None,
        };
        if let Presence::Taken(name) = presence {
            tracing::warn!(%name, "another program has the bus name of a node");
        }
        if let Presence::Denied { name, reason } = presence {
            tracing::warn!(%name, reason, "the bus refuses the name of a node");
        }
        self.pending().insert(peer, bus_name);
        self.changed.notify_one();
    }

    fn forget(&self, peer: PeerId) {
        self.pending().remove(&peer);
    }

    async fn next(&self) -> Named {
        loop {
            if let Some((peer, bus_name)) = self.pending().pop_first() {
                // There may be more, for whoever asks next.
                self.changed.notify_one();
                return Named { peer, bus_name };
            }
            self.changed.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<PeerId, Option<Arc<str>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bus_name(label: &str) -> Arc<str> {
    format!("{NODE_NAME_PREFIX}{label}").into()
}

/// How long a node may take to send its tree before it is shown without.
pub const TREE_PATIENCE: Duration = Duration::from_secs(2);
