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
//! `end` the text form of ends; `initial_value` the first value of a new wire; `limits`; `nodes` the present nodes;
//! `pace` loop protection; `plan` how a wire can be made; `queue`, `worker` delivery of values; `record` the state of
//! a wire for its object; `registry` which wires exist; `requests` calls of clients.
//! Spec: docs/reference/dbus.md, "Wires"; docs/reference/protocol.md §5.5.

mod bus;
pub mod conversion;
mod document;
mod end;
mod initial_value;
mod limits;
mod nodes;
mod options;
mod pace;
mod plan;
mod queue;
mod record;
mod registry;
mod requests;
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
use zocp_node::{CapPath, Cause, Event, Node, PeerId, Value};

use self::{
    bus::{Caller, Listener},
    conversion::Calculator,
    document::WiresDocument,
    nodes::CapabilityAddress,
    pace::{CircleError, HOPS_MAX, Pace},
    plan::{Route, Source},
    queue::{QueueItem, QueueSender, queue},
    record::{Due, Record},
    registry::{InitialValue, Output, Registry, WireId, announcements},
    worker::{Worker, node_end},
};
pub use self::{
    end::{BusEnd, End, EndError, NodeEnd},
    limits::Limits,
};
use zocp_dbus::{
    interface::Interface,
    introspection::{XmlError, parse_interfaces},
    objects::TableError,
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

/// A wire that passes through this bridge.
#[derive(Debug)]
struct RunningWire {
    /// The source of its values.
    source: Source,
    removed: CancellationToken,
    /// Cancelled when the worker has ended.
    ended: CancellationToken,
}

/// A request to a node.
#[derive(Debug)]
enum NodeRequest {
    Subscribe(WireId, CapabilityAddress, CapabilityAddress, InitialValue),
    SendInitial(CapabilityAddress, CapabilityAddress),
    Unsubscribe(CapabilityAddress, CapabilityAddress),
    /// The entries of the object that announces a wire.
    Announce(WireId, Vec<(String, Value)>),
    Withdraw(WireId),
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

    async fn emitted(
        &self,
        peer: PeerId,
        path: &CapPath,
        value: &Value,
        (hops, cause): (u8, &Option<Cause>),
    ) {
        let emitter = CapabilityAddress {
            peer,
            path: path.clone(),
        };
        let senders = {
            let state = self.state();
            for id in state.registry.direct_at(&emitter) {
                if let Some(record) = state.records.get(id) {
                    record.passed(value.clone());
                }
            }
            state.senders.get(&emitter).cloned()
        };
        for (_, sender) in senders.into_iter().flatten() {
            if hops >= HOPS_MAX {
                sender.fail(&CircleError::TooFar.to_string());
                continue;
            }
            let (value, cause) = (value.clone(), cause.clone());
            let item = QueueItem {
                hops,
                cause,
                ..QueueItem::new(value)
            };
            sender.push(item).await;
        }
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

    fn show(&self, state: &mut EngineState, id: WireId) {
        let Some(wire) = state.registry.wire(id) else {
            return;
        };
        let record = state
            .records
            .entry(id)
            .or_insert_with(|| Record::new(id, &self.shared.due));
        record.set_state(wire);
        let Some(table) = self.shared.table.get() else {
            return;
        };
        let shown = record
            .interface(&self.shared.shape, wire)
            .map_err(TableError::from)
            .and_then(|interface| {
                table.with(|objects| {
                    if objects.contains(record.path()) {
                        objects.take_values(record.path(), interface)
                    } else {
                        objects.insert(record.path(), [interface])
                    }
                })
            });
        log_error(shown);
    }

    fn hide(&self, state: &mut EngineState, id: WireId) {
        self.stop_input(state, id);
        if let Some(work) = state.running.remove(&id) {
            work.removed.cancel();
        }
        if let (Some(record), Some(table)) = (state.records.remove(&id), self.shared.table.get()) {
            record.end();
            table.with(|objects| objects.remove_tree(record.path()));
        }
    }

    fn start_wire(&self, state: &mut EngineState, id: WireId, route: Route) {
        let Some(wire) = state.registry.wire(id) else {
            return;
        };
        let record = state
            .records
            .entry(id)
            .or_insert_with(|| Record::new(id, &self.shared.due))
            .clone();
        let delivery = wire.conversion.delivery(route.is_state);
        let (sender, receiver) = queue(record.clone(), delivery);
        let removed = self.shared.stop.child_token();
        let (ended, source) = (CancellationToken::new(), route.source.clone());
        // The task that reads the node's events fills this queue and waits while it is full. So the worker needs a
        // handle whose commands are accepted even while events wait.
        let node = match &source {
            Source::Emitter(_) => self.shared.node.for_reader(),
            Source::Bus(_) => self.shared.node.clone(),
        };
        // For a member of the bus only the worker knows whether it is a state; it drops the initial value if the
        // target is a method.
        let route_is_state = route.is_state || matches!(route.target, plan::Target::Bus(_));
        let worker = Worker {
            id,
            node,
            caller: self.shared.caller.clone(),
            record,
            route,
            conversion: wire.conversion.clone(),
            receiver,
            pace: Pace::default(),
            removed: removed.clone(),
            before: state.running.remove(&id).map(|work| work.ended),
        };
        if wire.conversion.is_initial(route_is_state) {
            let (wires, source, sender) = (self.clone(), source.clone(), sender.clone());
            self.shared.tasks.spawn(async move {
                if let Some(value) = wires.present(&source).await {
                    sender.push_initial(value);
                }
            });
        }
        match &source {
            Source::Emitter(spot) => {
                let senders = state.senders.entry(spot.clone()).or_default();
                senders.push((id, sender));
            }
            Source::Bus(end) => self.shared.listener.subscribe(end, id, sender),
        }
        let work = RunningWire {
            source,
            removed,
            ended: ended.clone(),
        };
        state.running.insert(id, work);
        self.shared.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            worker.run().await;
        });
    }

    /// Stops passing values to a wire. Queued values are still delivered.
    fn stop_input(&self, state: &mut EngineState, id: WireId) {
        let Some(work) = state.running.get(&id) else {
            return;
        };
        match &work.source {
            Source::Emitter(spot) => {
                if let Some(senders) = state.senders.get_mut(spot) {
                    senders.retain(|(one, _)| *one != id);
                    if senders.is_empty() {
                        state.senders.remove(spot);
                    }
                }
            }
            Source::Bus(end) => self.shared.listener.unsubscribe(end, id),
        }
    }

    /// Sends the queued requests to nodes, one after the other.
    async fn run_requests(self) {
        let mut announced = HashSet::new();
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = self.shared.requests_queued.notified() => {}
            }
            while let Some(request) = self.next_request() {
                self.run_request(request, &mut announced).await;
            }
        }
    }

    fn next_request(&self) -> Option<NodeRequest> {
        self.state().node_requests.pop_front()
    }

    async fn run_request(&self, request: NodeRequest, announced: &mut HashSet<WireId>) {
        let node = &self.shared.node;
        match request {
            NodeRequest::SendInitial(emitter, sensor) => self.send_initial(&emitter, &sensor).await,
            NodeRequest::Subscribe(id, emitter, sensor, first) => {
                let is_wanted = first == InitialValue::Wanted;
                let told = node.subscribe_with(node_end(&emitter), node_end(&sensor), is_wanted);
                if let Err(error) = told.await {
                    self.change(|registry| registry.refuse(id, error.to_string()));
                }
            }
            NodeRequest::Unsubscribe(emitter, sensor) => {
                if let Err(error) = node
                    .unsubscribe(node_end(&emitter), node_end(&sensor))
                    .await
                {
                    tracing::debug!(%error, "cannot remove a subscription");
                }
            }
            NodeRequest::Announce(id, entries) => {
                announced.insert(id);
                if let Err(error) = node.describe(announcements::object(id), entries).await {
                    tracing::warn!(%error, "cannot announce a wire");
                }
            }
            NodeRequest::Withdraw(id) => {
                node.remove_object(announcements::object(id)).await.ok();
                announced.remove(&id);
                if announced.is_empty() {
                    node.remove_object(announcements::all()).await.ok();
                }
            }
        }
    }

    /// Publishes the state of wires on the bus, at intervals instead of once for each value.
    async fn publish_changes(self) {
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = self.shared.due.wake.notified() => {}
            }
            sleep(PUBLISH_INTERVAL).await;
            self.state().mark_circles();
            let Some(table) = self.shared.table.get() else {
                continue;
            };
            for record in self.shared.due.take() {
                table.with(|objects| {
                    if objects.contains(record.path()) {
                        log_error(record.publish(objects));
                    }
                });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, EngineState> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineState {
    /// Marks the wires that are part of a circle.
    fn mark_circles(&mut self) {
        if !std::mem::take(&mut self.has_changed) {
            return;
        }
        let circles = self.registry.circles();
        for (id, record) in &self.records {
            record.set_in_circle(circles.contains(id));
        }
    }
}

/// Logs an error of the table; only a bug of the bridge causes one.
fn log_error(result: Result<(), TableError>) {
    if let Err(error) = result {
        tracing::error!(%error, "cannot update the object of a wire");
    }
}

/// The interval between two updates of the objects of wires.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(50);
/// The time after which an unconfirmed or removed wire is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a caller waits until the emitter's node confirms a wire.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
