//! Wires: connections from an emitter to a sensor, between nodes and services, as objects on the bus.
//!
//! Model: [`Wires`] is the handle of all wires. The `Registry` decides which wires exist and returns, as outputs, what
//! must be done; this module carries the outputs out. Each wire has a `Record` and an object `/org/z25/Zocp1/wires/N`.
//! Each wire that passes through this bridge has a queue and a worker task. One task sends requests to nodes, in the
//! order of the outputs.
//! Invariants: WIRES-1. The registry changes, and its outputs are applied, under one lock, so that every task observes
//! the same order. WIRES-2. An emission is passed only to the wires that begin at its capability; an index finds them,
//! so other wires add no cost.
//! Limits: those of `registry` and `queue`; `CONFIRM_TIMEOUT` is how long a caller waits until a node confirms a wire.
//! Layout: `bus` ends that are services; `conversion`, `options` conversion of values; `document` the saved wires;
//! `end` the text form of ends; `initial_value` the first value of a new wire; `limits`; `node_requests`; `nodes` the present nodes;
//! `objects` of wires on the bus; `pace` loop protection; `plan` how a wire can be made; `queue`, `worker` delivery of values; `record` the state of
//! a wire for its object; `registry` which wires exist; `requests` calls of clients; `running` wires
//! that pass through this bridge.
//! Spec: docs/reference/dbus.md, "Wires"; docs/reference/protocol.md §5.5.

mod bus;
pub mod conversion;
mod document;
mod end;
mod initial_value;
mod limits;
mod node_requests;
mod nodes;
mod objects;
mod options;
mod pace;
mod plan;
mod queue;
mod record;
mod registry;
mod requests;
mod running;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_interfaces::{WIRE_INTERFACE, WIRE_XML};
use zocp_node::{Event, Node};

use self::{
    bus::{Caller, Listener},
    conversion::Calculator,
    document::WiresDocument,
    node_requests::NodeRequest,
    nodes::CapabilityAddress,
    queue::QueueSender,
    record::{Due, Record},
    registry::{Output, Registry, WireId, announcements},
    running::RunningWire,
};
pub use self::{
    end::{BusEnd, End, EndError, NodeEnd},
    limits::Limits,
};
use zocp_dbus::{
    interface::Interface,
    introspection::{XmlError, parse_interfaces},
    server::{BusContext, ObjectTable},
};
use zocp_state::{Persister, StateDir};

/// All wires. Clones share them. See the [module](self).
#[derive(Debug, Clone)]
pub struct Wires {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Node,
    tasks: TaskTracker,
    stop: CancellationToken,
    calculator: Calculator,
    /// The declared members of a wire's object.
    shape: Interface,
    table: OnceLock<ObjectTable>,
    caller: Caller,
    listener: Listener,
    /// Saves the lasting wires.
    persister: OnceLock<Persister>,
    /// Locked because calls, events of nodes and owners of services are inputs from several tasks, and the outputs of
    /// one are applied before the next (WIRES-1).
    state: Mutex<EngineState>,
    /// Wakes the task that sends requests to nodes.
    requests_queued: Notify,
    due: Due,
}

/// The registry, and the state that its outputs change.
#[derive(Debug)]
struct EngineState {
    registry: Registry,
    records: HashMap<WireId, Record>,
    running: HashMap<WireId, RunningWire>,
    /// The senders of wires that begin at an emitter, by emitter.
    senders: HashMap<CapabilityAddress, Vec<(WireId, QueueSender)>>,
    node_requests: VecDeque<NodeRequest>,
    /// Wires for which a retry is scheduled.
    later: HashSet<WireId>,
    /// Whether wires changed since circles were last searched for.
    has_changed: bool,
}

impl Wires {
    /// Loads the saved wires. They appear on the bus once a table is set, see [`Wires::show_on`].
    ///
    /// # Errors
    /// The built-in declaration of an interface is malformed, which is a bug of the bridge.
    pub fn start(
        tasks: &TaskTracker,
        context: &BusContext,
        node: Node,
        limits: Limits,
        directory: &StateDir,
    ) -> Result<Self, XmlError> {
        let shape = parse_interfaces(WIRE_XML)?
            .into_iter()
            .find(|interface| &**interface.name() == WIRE_INTERFACE)
            .ok_or_else(|| XmlError::Misplaced("node".to_owned()))?;
        let state = EngineState {
            registry: Registry::new(node.id(), node.name(), limits).within(node.venue()),
            records: HashMap::new(),
            running: HashMap::new(),
            senders: HashMap::new(),
            node_requests: VecDeque::new(),
            later: HashSet::new(),
            has_changed: false,
        };
        let wires = Self {
            shared: Arc::new(Shared {
                node,
                tasks: tasks.clone(),
                stop: CancellationToken::new(),
                calculator: Calculator::default(),
                shape,
                table: OnceLock::new(),
                caller: Caller::default(),
                listener: Listener::default(),
                persister: OnceLock::new(),
                state: Mutex::new(state),
                requests_queued: Notify::new(),
                due: Due::default(),
            }),
        };
        wires.start_bus(context);
        wires.start_persisting(directory);
        tasks.spawn(wires.clone().run_requests());
        tasks.spawn(wires.clone().publish_changes());
        Ok(wires)
    }

    fn start_bus(&self, context: &BusContext) {
        let Shared {
            tasks,
            stop,
            caller,
            listener,
            ..
        } = &*self.shared;
        caller.start(tasks, context, stop.clone());
        let wires = self.clone();
        let on_service = move |name: &str, is_here| {
            wires.change(|registry| registry.service(name, is_here));
        };
        listener.start(
            tasks,
            context.address().clone(),
            caller.clone(),
            Box::new(on_service),
            stop.clone(),
        );
    }

    /// Creates the saved wires, and saves changes from now on.
    fn start_persisting(&self, directory: &StateDir) {
        let Shared {
            tasks,
            stop,
            calculator,
            persister,
            ..
        } = &*self.shared;
        let (kept, store) = directory.open::<WiresDocument>();
        for (ends, conversion) in kept.read(calculator) {
            let made = self.change(|registry| registry.connect(ends, conversion, true));
            if let Err(error) = made {
                tracing::warn!(%error, "cannot create a saved wire");
            }
        }
        let wires = self.clone();
        let document =
            move || WiresDocument::of(wires.state().registry.wires().map(|(_, wire)| wire));
        persister
            .set(store.persist(tasks, stop.clone(), document))
            .ok();
    }

    /// Sets the table in which wires appear as objects. Only the first call has an effect.
    pub fn show_on(&self, table: &ObjectTable) {
        self.shared.table.set(table.clone()).ok();
    }

    /// Handles an event of the mesh. Waits while the queue of a wire that begins at the emitter is full.
    pub async fn handle(&self, event: &Event) {
        match event {
            Event::Emitted {
                peer,
                path,
                value,
                cause,
            } => self.emitted(*peer, path, value, (0, cause)).await,
            Event::LocalEmitted { path, value, cause }
            | Event::LocalSensed {
                sensor: Some(path),
                value,
                cause,
                ..
            } => {
                let me = self.shared.node.id();
                self.emitted(me, path, value, (0, cause)).await;
            }
            Event::Set {
                peer,
                path,
                value,
                hops,
                cause,
            } => self.emitted(*peer, path, value, (*hops, cause)).await,
            Event::Entered(info) => self.change(|registry| registry.entered(info)),
            Event::Exited { peer, .. } => self.change(|registry| registry.exited(*peer)),
            Event::TreeKnown { peer, tree } => {
                self.change(|registry| registry.tree_known(*peer, tree))
            }
            Event::Changed { peer, changes } => {
                self.change(|registry| registry.changed(*peer, changes));
            }
            Event::LocalChanged { changes } => {
                self.change(|registry| registry.local_changed(changes))
            }
            _ => {}
        }
    }

    /// Stops all workers. Wires between two nodes remain, because they do not need the bridge.
    pub fn close(&self) {
        self.shared.stop.cancel();
    }

    /// Changes the registry and applies its outputs.
    fn change<R>(&self, change: impl FnOnce(&mut Registry) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state.registry);
        let mut has_shown = false;
        while let Some(output) = state.registry.poll_output() {
            has_shown |= matches!(output, Output::Show(_) | Output::Hide(_));
            self.apply(&mut state, output);
        }
        if has_shown {
            state.has_changed = true;
            self.shared.due.wake.notify_one();
        }
        if !state.node_requests.is_empty() {
            self.shared.requests_queued.notify_one();
        }
        result
    }

    fn apply(&self, state: &mut EngineState, output: Output) {
        match output {
            Output::Show(id) => self.show(state, id),
            Output::Hide(id) => self.hide(state, id),
            Output::Start(id, route) => self.start_wire(state, id, route),
            Output::Stop(id) => self.stop_input(state, id),
            Output::Subscribe(id, emitter, sensor, first) => {
                let request = NodeRequest::Subscribe(id, emitter, sensor, first);
                state.node_requests.push_back(request);
            }
            Output::SendInitial(emitter, sensor) => {
                state
                    .node_requests
                    .push_back(NodeRequest::SendInitial(emitter, sensor));
            }
            Output::Unsubscribe(emitter, sensor) => {
                state
                    .node_requests
                    .push_back(NodeRequest::Unsubscribe(emitter, sensor));
            }
            Output::Later(id) => self.later(state, id),
            Output::Announce(id) => {
                if let Some(wire) = state.registry.wire(id) {
                    let request = NodeRequest::Announce(id, announcements::entries(wire));
                    state.node_requests.push_back(request);
                }
            }
            Output::Withdraw(id) => state.node_requests.push_back(NodeRequest::Withdraw(id)),
            Output::Watch(service) => self.shared.listener.watch(&service),
            Output::Unwatch(service) => self.shared.listener.unwatch(&service),
            Output::Save => {
                if let Some(persister) = self.shared.persister.get() {
                    persister.changed();
                }
            }
        }
    }

    fn later(&self, state: &mut EngineState, id: WireId) {
        if !state.later.insert(id) {
            return;
        }
        let wires = self.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = wires.shared.stop.cancelled() => return,
                () = sleep(RETRY_AFTER) => {}
            }
            wires.state().later.remove(&id);
            wires.change(|registry| registry.again(id));
        });
    }

    fn state(&self) -> MutexGuard<'_, EngineState> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time after which an unconfirmed or removed wire is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a caller waits until the emitter's node confirms a wire.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
