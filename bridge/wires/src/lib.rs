//! Wires: from an emitter to a sensor, between nodes and services, as objects on the bus.
//!
//! Model: [`Wires`] is a handle of all wires. The `Registry` says which there are and what is to be done;
//! this is what does it: a `Record` with an object `/org/z25/Zocp1/wires/N` for each wire, a worker with
//! a sender for each that goes through this bridge, and one task that tells nodes of subscriptions, in the
//! order in which the registry said so.
//! Invariants: WIRES-1. the registry and what follows from it change under one lock, so that all see one order.
//! WIRES-2. an emission is handed to exactly the wires that begin at its capability, by an index: what others
//! there are costs nothing.
//! Limits: those of `registry` and `sender`; `CONFIRM_TIMEOUT` is how long a caller waits for a node's word.
//! Layout: `announced` wires of other bridges; `bus` ends that are services; `end` how ends are written; `nodes` who is here; `plan` how a wire can be made; `registry` which
//! there are; `conversion`, `options` what becomes of values; `sender`, `worker` values on their way;
//! `record` how a wire fares; `first` the value that a new wire begins with; `kept` what outlives the bridge; `limits`; `requests` what callers ask for.
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

/// All wires. Clones are the same. See the [module](self).
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
    /// The members of a wire's object.
    shape: Interface,
    table: OnceLock<ObjectTable>,
    caller: Caller,
    listener: Listener,
    /// Writes down the wires that last.
    persister: OnceLock<Persister>,
    state: Mutex<EngineState>,
    /// There are node_requests.
    requests_queued: Notify,
    due: Due,
}

/// The registry, and what follows from it.
#[derive(Debug)]
struct EngineState {
    registry: Registry,
    records: HashMap<WireId, Record>,
    running: HashMap<WireId, RunningWire>,
    /// The senders of wires that begin at an emitter.
    senders: HashMap<CapabilityAddress, Vec<(WireId, QueueSender)>>,
    node_requests: VecDeque<NodeRequest>,
    /// Wires that the registry is to look at again.
    later: HashSet<WireId>,
    /// Since it was last looked for circles.
    has_changed: bool,
}

/// A wire that goes through this bridge.
#[derive(Debug)]
struct RunningWire {
    /// Where it begins.
    source: Source,
    removed: CancellationToken,
    /// Cancelled when its worker has ended.
    ended: CancellationToken,
}

/// What nodes are to be told.
#[derive(Debug)]
enum NodeRequest {
    Subscribe(WireId, CapabilityAddress, CapabilityAddress, InitialValue),
    SendInitial(CapabilityAddress, CapabilityAddress),
    Unsubscribe(CapabilityAddress, CapabilityAddress),
    /// What the object that announces a wire says.
    Announce(WireId, Vec<(String, Value)>),
    Withdraw(WireId),
}

impl Wires {
    /// The wires that were kept. They are shown once there is a table, see [`Wires::show_on`].
    ///
    /// # Errors
    /// The built-in declaration of an interface cannot be understood: our fault.
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
            registry: Registry::new(node.id(), node.name(), limits),
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

    /// Makes the wires that were kept, and keeps them and others from now on.
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
                tracing::warn!(%error, "a wire that was kept cannot be made");
            }
        }
        let wires = self.clone();
        let document =
            move || WiresDocument::of(wires.state().registry.wires().map(|(_, wire)| wire));
        persister
            .set(store.persist(tasks, stop.clone(), document))
            .ok();
    }

    /// Shows the wires as objects of this table, once.
    pub fn show_on(&self, table: &ObjectTable) {
        self.shared.table.set(table.clone()).ok();
    }

    /// Follows an event of the mesh. Waits while a wire that begins at what emitted takes no more.
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

    /// Ends what is at work. Wires between two nodes go on without us.
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

    /// Changes the registry and does what follows from it.
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
        // Who reads the node's events hands in what nodes emit, and waits while the sender is full.
        let node = match &source {
            Source::Emitter(_) => self.shared.node.for_reader(),
            Source::Bus(_) => self.shared.node.clone(),
        };
        // Whether a member of the bus is a state the worker knows, which leaves out a first value for a method.
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

    /// Hands a wire no more values. What has come is delivered.
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

    /// Tells nodes what there is to tell, one thing after the other.
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
                    tracing::debug!(%error, "a subscription was not ended");
                }
            }
            NodeRequest::Announce(id, entries) => {
                announced.insert(id);
                if let Err(error) = node.describe(announcements::object(id), entries).await {
                    tracing::warn!(%error, "a wire is not announced");
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

    /// Tells how wires fare, not for each value.
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
    /// Tells the wires that lead in a circle.
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

/// A table refuses only what is our fault.
fn log_error(result: Result<(), TableError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a wire and its object differ");
    }
}

/// Between two tellings of how wires fare.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(50);
/// After which a wire that is not confirmed, or that somebody took away, is looked at again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a caller waits for the word of an emitter's node.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
