//! The bridge as a node: what programs of this bus publish, and what of it arrives here.
//!
//! Model: the node (`zocp_node`) owns the tree; a view shows it below `/org/z25/Zocp1/Local`, on the bridge's
//! own connection. The registry says which program published what. Programs ask; the node does; what came of
//! it is told by its events, in one order for the mesh and for this bus, and only then is a program
//! answered.
//! Invariants:
//! LOCAL-1. What is shown is made of events alone, so a value that is shown never goes back to an older one.
//! LOCAL-2. A program that has its answer sees what it asked for.
//! LOCAL-3. Sets of one program reach the node in its order: each is on its way before the next is looked at.
//! LOCAL-4. What a program published goes when it leaves the bus; what is lasting stays, without an owner.
//! LOCAL-5. An emission, and an arrival at a sensor, is one signal, also of an equal value.
//! Limits: [`Limits`], and those of the tree. Changes of what is published happen one after the other.
//! Not here: its place on the bus (`crate::hub`), remote nodes (`crate::mirror`).
//! Spec: docs/reference/dbus.md, "The bridge as a node"

mod document;
mod marks;
mod methods;
mod options;
mod place;
mod registry;
mod requests;
mod set_queue;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures_util::future::BoxFuture;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_interfaces::LOCAL_PATH;
use zocp_node::{CapPath, Event, Node, NodeError, ObjectPath, model::Change, plumbing::Setting};

pub use self::registry::Limits;
use self::{
    document::LastingValues,
    marks::{Mark, Marks},
    options::{Offer, Value},
    place::{Kind, Place},
    registry::{Registry, What},
    set_queue::{Set, SetQueue},
};
use crate::{
    node_error::refusal,
    view::{View, inbound, metadata, shape},
};
use zocp_dbus::{
    errors::Refusal,
    introspection::XmlError,
    server::{Answer, CallRequest, ObjectTable, SetRequest, unknown_method},
};
use zocp_relay::programs::Programs;
use zocp_state::{Persister, StateDir};

/// The bridge's own tree. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Node,
    table: ObjectTable,
    tasks: TaskTracker,
    programs: Programs,
    /// Locked because the connection of the bridge looks objects up while the task that follows the node changes them.
    view: Mutex<View>,
    /// Locked because calls of programs change what is published while the task that follows programs removes what
    /// those that left had published.
    registry: Mutex<Registry>,
    /// Who changes what is published.
    /// Locked because a change is a step in the node, one in the registry and one on the disk, and no other change may
    /// come in between. Held across awaits.
    turn: tokio::sync::Mutex<()>,
    marks: Marks,
    sets: SetQueue,
    keeper: OnceLock<Persister>,
}

/// What the bridge's own tree is made with.
pub(crate) struct LocalOptions {
    pub(crate) node: Node,
    /// Of the bridge's connection.
    pub(crate) table: ObjectTable,
    pub(crate) programs: Programs,
    pub(crate) limits: Limits,
    pub(crate) state: StateDir,
    /// Then what is lasting is written a last time.
    pub(crate) stop: CancellationToken,
}

impl Local {
    /// Shows the tree, with what was kept of it.
    ///
    /// # Errors
    ///
    /// The built-in declaration of an interface cannot be understood: our fault.
    pub(crate) async fn start(tasks: &TaskTracker, order: LocalOptions) -> Result<Self, XmlError> {
        let LocalOptions {
            node, table, stop, ..
        } = order;
        let (side, shown) = (metadata::Side::Local, table.clone());
        let view = View::new(node.name(), side, LOCAL_PATH, shown, shape()?);
        let local = Self {
            shared: Arc::new(Shared {
                node,
                table,
                tasks: tasks.clone(),
                programs: order.programs,
                view: Mutex::new(view),
                registry: Mutex::new(Registry::new(order.limits)),
                turn: tokio::sync::Mutex::default(),
                marks: Marks::default(),
                sets: SetQueue::default(),
                keeper: OnceLock::new(),
            }),
        };
        let (kept, store) = order.state.open::<LastingValues>();
        local.restore(kept).await;
        let keeping = local.clone();
        let keeper = store.persist(tasks, stop.clone(), move || keeping.registry().kept());
        // Set once, here.
        local.shared.keeper.set(keeper).ok();
        let following = local.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = following.follow_programs() => {}
                () = following.shared.sets.run(&following.shared.node) => {}
            }
        });
        Ok(local)
    }

    /// Follows what happens to the tree. Waits while the bus does not take signals.
    pub(crate) async fn handle(&self, event: &Event) {
        match event {
            Event::LocalChanged { changes } => {
                self.shared.table.room().await;
                self.view().follow(changes);
                self.note(changes);
            }
            Event::LocalEmitted { path, value, .. }
            | Event::LocalSensed {
                sensor: Some(path),
                value,
                ..
            } => {
                self.shared.table.room().await;
                self.view().emit(path, value);
            }
            Event::Called(call) => self.called(call.clone()),
            Event::ChannelRequested(request) => self.requested(request.clone()),
            Event::Marked(number) => self.shared.marks.passed(*number),
            _ => {}
        }
    }

    /// A program publishes a value, or changes what it published.
    async fn publish(&self, program: &str, arguments: &[Variant<'static>]) -> Answer {
        let value = Value::understand(arguments)?;
        let place = Place::new(Kind::Capability, value.path.clone());
        let capability = value.capability.clone();
        let work = self.shared.node.publish(value.path, capability);
        let what = What::Capability {
            lasting: value.lasting.then(|| Box::new(value.capability)),
        };
        self.put(program, place, what, work).await
    }

    /// A program offers a method, or changes what it offered.
    async fn publish_method(&self, program: &str, arguments: &[Variant<'static>]) -> Answer {
        let offer = Offer::understand(program, arguments)?;
        let place = Place::new(Kind::Method, offer.path.clone());
        let declared = offer.target.declared.clone();
        let work = self.shared.node.publish_method(offer.path, declared);
        let what = What::Method(Arc::new(offer.target));
        self.put(program, place, what, work).await
    }

    /// A program takes back what it published, or what nobody owns.
    async fn unpublish(&self, program: &str, name: &str) -> Answer {
        let turn = self.shared.turn.lock().await;
        let places = self.registry().take_back(program, name)?;
        self.withdraw(&places).await;
        drop(turn);
        self.changed();
        self.caught_up().await;
        Ok(Vec::new())
    }

    /// A program sets a value: whoever published it any, others those with `w`.
    /// It is on its way when this returns.
    pub(crate) fn set(
        &self,
        set: &SetRequest,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<'_> {
        let begun = self.begin_set(set);
        async move {
            let (path, mark, outcome) = begun?;
            outcome.await.map_err(|error| self.refusal(error, &path))?;
            mark.passed().await;
            Ok(())
        }
    }

    fn begin_set(&self, set: &SetRequest) -> Result<Begun<'_>, Refusal> {
        let (path, known) = self.capability(set)?;
        let is_its = set.caller.as_deref().is_some_and(|caller| {
            let place = Place::new(Kind::Capability, path.clone());
            self.registry().is_owner(caller, &place)
        });
        if !is_its && !known.info.access.write {
            return Err(Refusal::PropertyReadOnly(path.to_string()));
        }
        let value = inbound::wanted(&known, &set.value)
            .map_err(|mismatch| Refusal::InvalidArgs(format!("{path}: {mismatch}")))?;
        let mark = self.shared.marks.open();
        let set = Set {
            path: path.clone(),
            value,
            setting: match known.info.access.emit {
                true => Setting::Emission,
                false => Setting::State,
            },
            mark: mark.number,
        };
        let outcome = self.shared.sets.put(&self.shared.node, set);
        Ok((path, mark, Box::pin(outcome)))
    }

    /// A program of this bus calls a method of the tree.
    async fn call_method(&self, call: CallRequest) -> Answer {
        let unknown = || unknown_method(&call);
        let place = self.method_at(&call).ok_or_else(unknown)?;
        let target = self.registry().target(&place).ok_or_else(unknown)?;
        let results = target.call(&self.shared.table, call.arguments).await?;
        inbound::results(&target.declared, &results)
    }

    async fn put(
        &self,
        program: &str,
        place: Place,
        what: What,
        work: impl Future<Output = Result<(), NodeError>>,
    ) -> Answer {
        self.shared.programs.follow(program);
        let turn = self.shared.turn.lock().await;
        self.registry().admit(program, &place)?;
        if let Err(error) = work.await {
            self.tidy([place.path.object.clone()]).await;
            return Err(self.refusal(error, &place.path));
        }
        let is_kept = self.registry().put(program, place, what);
        drop(turn);
        if is_kept {
            self.changed();
        }
        self.caught_up().await;
        Ok(Vec::new())
    }

    /// Publishes what was kept, without an owner.
    async fn restore(&self, kept: LastingValues) {
        for value in kept.values {
            let (path, capability) = value.into_parts();
            let published = self
                .shared
                .node
                .publish(path.clone(), capability.clone())
                .await;
            match published {
                Ok(()) => self.registry().restore(path, capability),
                Err(error) => tracing::warn!(%path, %error, "a lasting value cannot be restored"),
            }
        }
    }

    async fn follow_programs(&self) {
        loop {
            let program = self.shared.programs.next_gone().await;
            let turn = self.shared.turn.lock().await;
            let places = self.registry().abandon(&program);
            self.withdraw(&places).await;
            drop(turn);
        }
    }

    /// Takes places out of the tree, and objects that held nothing else.
    async fn withdraw(&self, places: &[Place]) {
        let node = &self.shared.node;
        for Place { kind, path } in places {
            let gone = match kind {
                Kind::Capability => node.unpublish(path.clone()).await,
                Kind::Method => node.unpublish_method(path.clone()).await,
                Kind::Stream(direction) => self.withdraw_stream(path, *direction).await,
            };
            if let Err(error) = gone {
                tracing::debug!(%path, %error, "was gone already");
            }
        }
        let objects: BTreeSet<ObjectPath> = places
            .iter()
            .map(|place| place.path.object.clone())
            .collect();
        self.tidy(objects).await;
    }

    /// Removes objects in and below which nothing is published any more.
    async fn tidy(&self, objects: impl IntoIterator<Item = ObjectPath>) {
        for object in objects {
            let Some(empty) = self.registry().emptied(&object) else {
                continue;
            };
            // Another of these may have been in it.
            self.shared.node.remove_object(empty).await.ok();
        }
    }

    /// Keeps the newest values of what is lasting.
    fn note(&self, changes: &[Change]) {
        let mut registry = self.registry();
        let noted = changes.iter().filter(|change| match change {
            Change::Value { path, value } => registry.note(path, value),
            _ => false,
        });
        if noted.count() > 0 {
            drop(registry);
            self.changed();
        }
    }

    fn changed(&self) {
        if let Some(keeper) = self.shared.keeper.get() {
            keeper.changed();
        }
    }

    /// Waits until everything that was done before is shown.
    async fn caught_up(&self) {
        self.shared.marks.pass(&self.shared.node).await;
    }

    fn capability(
        &self,
        set: &SetRequest,
    ) -> Result<(CapPath, metadata::CapabilityMetadata), Refusal> {
        let found = || {
            let (object, shared) = self.view().at(&set.path)?;
            let metadata = metadata::lock(&shared);
            let (name, known) = metadata.capability(&set.property)?;
            let name = name.clone();
            Some((CapPath { object, name }, known.clone()))
        };
        found().ok_or_else(|| Refusal::UnknownProperty {
            path: set.path.to_string(),
            property: set.property.to_string(),
        })
    }

    fn method_at(&self, call: &CallRequest) -> Option<Place> {
        let (object, shared) = self.view().at(&call.path)?;
        let metadata = metadata::lock(&shared);
        let (name, _) = metadata.method(&call.member)?;
        Some(Place::new(Kind::Method, object.capability(name)))
    }

    fn refusal(&self, error: NodeError, path: &CapPath) -> Refusal {
        refusal(error, self.shared.node.name(), &path.to_string())
    }

    fn view(&self) -> MutexGuard<'_, View> {
        locked(&self.shared.view)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        locked(&self.shared.registry)
    }
}

/// A set that is on its way: of what, the mark behind it, its outcome.
type Begun<'a> = (CapPath, Mark<'a>, BoxFuture<'static, Result<(), NodeError>>);

/// Whole between the steps of each method.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
