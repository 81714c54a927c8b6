//! Wires: from an emitter to a sensor, between nodes and services, as objects on the bus.
//!
//! Model: [`Wires`] is a handle of all wires. The `Board` says which there are and what is to be done;
//! this is what does it: a `Record` with an object `/org/z25/Zocp1/wires/N` for each wire, a worker with
//! a feed for each that goes through this bridge, and one task that tells nodes of subscriptions, in the
//! order in which the board said so.
//! Invariants: WIRES-1. the board and what follows from it change under one lock, so that all see one order.
//! WIRES-2. an emission is handed to exactly the wires that begin at its capability, by an index: what others
//! there are costs nothing.
//! Limits: those of `board` and `feed`; `MADE_PATIENCE` is how long a caller waits for a node's word.
//! Layout: `announced` wires of other bridges; `bus` ends that are services; `end` how ends are written; `nodes` who is here; `plan` how a wire can be made; `board` which
//! there are; `conversion`, `options` what becomes of values; `feed`, `worker` values on their way;
//! `record` how a wire fares; `first` the value that a new wire begins with; `kept` what outlives the bridge; `limits`; `requests` what callers ask for.
//! Spec: docs/reference/dbus.md, "Wires"; docs/reference/protocol.md §5.5.

mod board;
mod bus;
pub mod conversion;
mod end;
mod feed;
mod first;
mod kept;
mod limits;
mod nodes;
mod options;
mod pace;
mod plan;
mod record;
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
    board::{Board, First, Output, WireId, announced},
    bus::{Caller, Listener},
    conversion::Calculator,
    feed::{Feed, Passing, feed},
    kept::KeptWires,
    nodes::Spot,
    pace::{CircleError, HOPS_MAX, Pace},
    plan::{Route, Source},
    record::{Due, Record},
    worker::{Worker, end},
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
use zocp_state::{Keeper, StateDir};

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
    keeper: OnceLock<Keeper>,
    switch: Mutex<Switch>,
    /// There are orders.
    ordered: Notify,
    due: Due,
}

/// The board, and what follows from it.
#[derive(Debug)]
struct Switch {
    board: Board,
    records: HashMap<WireId, Record>,
    works: HashMap<WireId, Work>,
    /// The feeds of wires that begin at an emitter.
    feeds: HashMap<Spot, Vec<(WireId, Feed)>>,
    orders: VecDeque<Order>,
    /// Wires that the board is to look at again.
    later: HashSet<WireId>,
    /// Since it was last looked for circles.
    has_changed: bool,
}

/// A wire that goes through this bridge.
#[derive(Debug)]
struct Work {
    /// Where it begins.
    source: Source,
    taken: CancellationToken,
    /// Cancelled when its worker has ended.
    ended: CancellationToken,
}

/// What nodes are to be told.
#[derive(Debug)]
enum Order {
    Subscribe(WireId, Spot, Spot, First),
    First(Spot, Spot),
    Unsubscribe(Spot, Spot),
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
        site: &BusContext,
        node: Node,
        limits: Limits,
        state: &StateDir,
    ) -> Result<Self, XmlError> {
        let shape = parse_interfaces(WIRE_XML)?
            .into_iter()
            .find(|interface| &**interface.name() == WIRE_INTERFACE)
            .ok_or_else(|| XmlError::Misplaced("node".to_owned()))?;
        let switch = Switch {
            board: Board::new(node.id(), node.name(), limits),
            records: HashMap::new(),
            works: HashMap::new(),
            feeds: HashMap::new(),
            orders: VecDeque::new(),
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
                keeper: OnceLock::new(),
                switch: Mutex::new(switch),
                ordered: Notify::new(),
                due: Due::default(),
            }),
        };
        wires.start_bus(site);
        wires.start_keeping(state);
        tasks.spawn(wires.clone().carry_out());
        tasks.spawn(wires.clone().tell_changes());
        Ok(wires)
    }

    fn start_bus(&self, site: &BusContext) {
        let Shared {
            tasks,
            stop,
            caller,
            listener,
            ..
        } = &*self.shared;
        caller.start(tasks, site, stop.clone());
        let wires = self.clone();
        let on_service = move |name: &str, is_here| {
            wires.change(|board| board.service(name, is_here));
        };
        listener.start(
            tasks,
            site.address().clone(),
            caller.clone(),
            Box::new(on_service),
            stop.clone(),
        );
    }

    /// Makes the wires that were kept, and keeps them and others from now on.
    fn start_keeping(&self, state: &StateDir) {
        let Shared {
            tasks,
            stop,
            calculator,
            keeper,
            ..
        } = &*self.shared;
        let (kept, store) = state.open::<KeptWires>();
        for (ends, conversion) in kept.read(calculator) {
            let made = self.change(|board| board.connect(ends, conversion, true));
            if let Err(error) = made {
                tracing::warn!(%error, "a wire that was kept cannot be made");
            }
        }
        let wires = self.clone();
        let state = move || KeptWires::of(wires.switch().board.wires().map(|(_, wire)| wire));
        keeper.set(store.keep(tasks, stop.clone(), state)).ok();
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
            Event::Entered(info) => self.change(|board| board.entered(info)),
            Event::Exited { peer, .. } => self.change(|board| board.exited(*peer)),
            Event::TreeKnown { peer, tree } => self.change(|board| board.tree_known(*peer, tree)),
            Event::Changed { peer, changes } => {
                self.change(|board| board.changed(*peer, changes));
            }
            Event::LocalChanged { changes } => self.change(|board| board.local_changed(changes)),
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
        let emitter = Spot {
            peer,
            path: path.clone(),
        };
        let feeds = {
            let switch = self.switch();
            for id in switch.board.direct_at(&emitter) {
                if let Some(record) = switch.records.get(id) {
                    record.passed(value.clone());
                }
            }
            switch.feeds.get(&emitter).cloned()
        };
        for (_, feed) in feeds.into_iter().flatten() {
            if hops >= HOPS_MAX {
                feed.fail(&CircleError::TooFar.to_string());
                continue;
            }
            let (value, cause) = (value.clone(), cause.clone());
            let passing = Passing {
                hops,
                cause,
                ..Passing::new(value)
            };
            feed.push(passing).await;
        }
    }

    /// Changes the board and does what follows from it.
    fn change<R>(&self, change: impl FnOnce(&mut Board) -> R) -> R {
        let mut switch = self.switch();
        let result = change(&mut switch.board);
        let mut are_others = false;
        while let Some(output) = switch.board.poll_output() {
            are_others |= matches!(output, Output::Show(_) | Output::Hide(_));
            self.follow(&mut switch, output);
        }
        if are_others {
            switch.has_changed = true;
            self.shared.due.wake.notify_one();
        }
        if !switch.orders.is_empty() {
            self.shared.ordered.notify_one();
        }
        result
    }

    fn follow(&self, switch: &mut Switch, output: Output) {
        match output {
            Output::Show(id) => self.show(switch, id),
            Output::Hide(id) => self.hide(switch, id),
            Output::Start(id, route) => self.start_work(switch, id, route),
            Output::Stop(id) => self.cut(switch, id),
            Output::Subscribe(id, emitter, sensor, first) => {
                let order = Order::Subscribe(id, emitter, sensor, first);
                switch.orders.push_back(order);
            }
            Output::First(emitter, sensor) => {
                switch.orders.push_back(Order::First(emitter, sensor));
            }
            Output::Unsubscribe(emitter, sensor) => {
                switch.orders.push_back(Order::Unsubscribe(emitter, sensor));
            }
            Output::Later(id) => self.later(switch, id),
            Output::Announce(id) => {
                if let Some(wire) = switch.board.wire(id) {
                    let order = Order::Announce(id, announced::entries(wire));
                    switch.orders.push_back(order);
                }
            }
            Output::Withdraw(id) => switch.orders.push_back(Order::Withdraw(id)),
            Output::Watch(service) => self.shared.listener.watch(&service),
            Output::Unwatch(service) => self.shared.listener.unwatch(&service),
            Output::Keep => {
                if let Some(keeper) = self.shared.keeper.get() {
                    keeper.changed();
                }
            }
        }
    }

    fn later(&self, switch: &mut Switch, id: WireId) {
        if !switch.later.insert(id) {
            return;
        }
        let wires = self.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = wires.shared.stop.cancelled() => return,
                () = sleep(AGAIN_AFTER) => {}
            }
            wires.switch().later.remove(&id);
            wires.change(|board| board.again(id));
        });
    }

    fn show(&self, switch: &mut Switch, id: WireId) {
        let Some(wire) = switch.board.wire(id) else {
            return;
        };
        let record = switch
            .records
            .entry(id)
            .or_insert_with(|| Record::new(id, &self.shared.due));
        record.stand(wire);
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
        log(shown);
    }

    fn hide(&self, switch: &mut Switch, id: WireId) {
        self.cut(switch, id);
        if let Some(work) = switch.works.remove(&id) {
            work.taken.cancel();
        }
        if let (Some(record), Some(table)) = (switch.records.remove(&id), self.shared.table.get()) {
            record.end();
            table.with(|objects| objects.remove_tree(record.path()));
        }
    }

    fn start_work(&self, switch: &mut Switch, id: WireId, route: Route) {
        let Some(wire) = switch.board.wire(id) else {
            return;
        };
        let record = switch
            .records
            .entry(id)
            .or_insert_with(|| Record::new(id, &self.shared.due))
            .clone();
        let delivery = wire.conversion.delivery(route.is_state);
        let (feed, outlet) = feed(record.clone(), delivery);
        let taken = self.shared.stop.child_token();
        let (ended, source) = (CancellationToken::new(), route.source.clone());
        // Who reads the node's events hands in what nodes emit, and waits while the feed is full.
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
            outlet,
            pace: Pace::default(),
            taken: taken.clone(),
            before: switch.works.remove(&id).map(|work| work.ended),
        };
        if wire.conversion.is_initial(route_is_state) {
            let (wires, source, feed) = (self.clone(), source.clone(), feed.clone());
            self.shared.tasks.spawn(async move {
                if let Some(value) = wires.present(&source).await {
                    feed.push_first(value);
                }
            });
        }
        match &source {
            Source::Emitter(spot) => {
                let feeds = switch.feeds.entry(spot.clone()).or_default();
                feeds.push((id, feed));
            }
            Source::Bus(end) => self.shared.listener.hear(end, id, feed),
        }
        let work = Work {
            source,
            taken,
            ended: ended.clone(),
        };
        switch.works.insert(id, work);
        self.shared.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            worker.run().await;
        });
    }

    /// Hands a wire no more values. What has come is delivered.
    fn cut(&self, switch: &mut Switch, id: WireId) {
        let Some(work) = switch.works.get(&id) else {
            return;
        };
        match &work.source {
            Source::Emitter(spot) => {
                if let Some(feeds) = switch.feeds.get_mut(spot) {
                    feeds.retain(|(one, _)| *one != id);
                    if feeds.is_empty() {
                        switch.feeds.remove(spot);
                    }
                }
            }
            Source::Bus(end) => self.shared.listener.ignore(end, id),
        }
    }

    /// Tells nodes what there is to tell, one thing after the other.
    async fn carry_out(self) {
        let mut announced = HashSet::new();
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = self.shared.ordered.notified() => {}
            }
            while let Some(order) = self.next_order() {
                self.carry_out_one(order, &mut announced).await;
            }
        }
    }

    fn next_order(&self) -> Option<Order> {
        self.switch().orders.pop_front()
    }

    async fn carry_out_one(&self, order: Order, announced: &mut HashSet<WireId>) {
        let node = &self.shared.node;
        match order {
            Order::First(emitter, sensor) => self.hand_first(&emitter, &sensor).await,
            Order::Subscribe(id, emitter, sensor, first) => {
                let is_wanted = first == First::Wanted;
                let told = node.subscribe_with(end(&emitter), end(&sensor), is_wanted);
                if let Err(error) = told.await {
                    self.change(|board| board.refuse(id, error.to_string()));
                }
            }
            Order::Unsubscribe(emitter, sensor) => {
                if let Err(error) = node.unsubscribe(end(&emitter), end(&sensor)).await {
                    tracing::debug!(%error, "a subscription was not ended");
                }
            }
            Order::Announce(id, entries) => {
                announced.insert(id);
                if let Err(error) = node.describe(announced::object(id), entries).await {
                    tracing::warn!(%error, "a wire is not announced");
                }
            }
            Order::Withdraw(id) => {
                node.remove_object(announced::object(id)).await.ok();
                announced.remove(&id);
                if announced.is_empty() {
                    node.remove_object(announced::all()).await.ok();
                }
            }
        }
    }

    /// Tells how wires fare, not for each value.
    async fn tell_changes(self) {
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = self.shared.due.wake.notified() => {}
            }
            sleep(TELL_INTERVAL).await;
            self.switch().mark_circles();
            let Some(table) = self.shared.table.get() else {
                continue;
            };
            for record in self.shared.due.take() {
                table.with(|objects| {
                    if objects.contains(record.path()) {
                        log(record.tell(objects));
                    }
                });
            }
        }
    }

    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.shared
            .switch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Switch {
    /// Tells the wires that lead in a circle.
    fn mark_circles(&mut self) {
        if !std::mem::take(&mut self.has_changed) {
            return;
        }
        let circles = self.board.circles();
        for (id, record) in &self.records {
            record.lead_round(circles.contains(id));
        }
    }
}

/// A table refuses only what is our fault.
fn log(result: Result<(), TableError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a wire and its object differ");
    }
}

/// Between two tellings of how wires fare.
const TELL_INTERVAL: Duration = Duration::from_millis(50);
/// After which a wire that is not confirmed, or that somebody took away, is looked at again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long a caller waits for the word of an emitter's node.
const MADE_PATIENCE: Duration = Duration::from_secs(3);
