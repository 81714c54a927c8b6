//! Passes the values of one wire on.
//!
//! Model: a [`Worker`] is a task for each wire that goes through this bridge: it takes values out of the
//! feed, converts them, and does at the target what the route says, one after the other. A target that
//! is busy is waited for.
//! Invariants: WORKER-1. values are delivered in the order in which they were emitted. WORKER-2. each value is
//! delivered, or a newer one of the same state is, or the record says why not, and the next one is tried.
//! WORKER-3. a touch is passed on once: what comes back of it in a circle ends here.
//! Not here: which wires there are (`super::registry`).

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use zocp_node::{
    CapPath, Capability, Cause, End, Node, NodeError, Value,
    model::{History, Meaning},
};

use super::{
    bus::{CallError, Caller, Sink},
    conversion::{Conversion, ConversionError, Converter, Kind, Side},
    nodes::CapabilityAddress,
    pace::Pace,
    plan::{Route, Target},
    queue::{QueueItem, QueueReceiver},
    record::Record,
    registry::{WireId, relay_name},
};

/// What passes a wire's values on.
pub(super) struct Worker {
    pub(super) id: WireId,
    pub(super) node: Node,
    pub(super) caller: Caller,
    pub(super) record: Record,
    pub(super) route: Route,
    pub(super) conversion: Conversion,
    pub(super) receiver: QueueReceiver,
    pub(super) pace: Pace,
    /// The wire is removed away: what waits is not delivered.
    pub(super) removed: CancellationToken,
    /// A worker of this wire before this one, which ends first.
    pub(super) before: Option<CancellationToken>,
}

impl Worker {
    /// Works until the feed ends or the wire is removed away.
    pub(super) async fn run(mut self) {
        if let Some(before) = self.before.take() {
            before.cancelled().await;
        }
        let removed = self.removed.clone();
        let mut work = None;
        tokio::select! {
            biased;
            () = removed.cancelled() => {}
            // What is being delivered when the wire is removed away is delivered, or not.
            () = self.work(&mut work) => {}
        }
        if let Some(work) = work {
            self.close(work.target).await;
        }
    }

    /// Delivers what comes. A target that cannot be opened is tried again with each value.
    async fn work(&mut self, work: &mut Option<RunningWire>) {
        match self.open().await {
            Ok(opened) => *work = Some(self.opened(opened)),
            Err(error) => self.record.target_failed(&error.to_string()),
        }
        while let Some(mut item) = self.receiver.next().await {
            // Where touches do not end a circle, a pace does; the newest value is passed on behind it.
            if item.cause.is_none() && self.record.is_in_circle() {
                let pause = self.pace.step();
                if !pause.is_zero() {
                    sleep(pause).await;
                    item = self.newest(item);
                }
            }
            match self.pass(work, item).await {
                Ok(Some(value)) => self.record.passed(value),
                Ok(None) => {}
                Err(error) => self.record.failed(&error.to_string()),
            }
        }
    }

    fn newest(&mut self, item: QueueItem) -> QueueItem {
        let Some(newer) = self.receiver.newest() else {
            return item;
        };
        self.record.skipped(1);
        newer
    }

    /// What is known of the target now says what is delivered to it.
    fn opened(&self, work: RunningWire) -> RunningWire {
        let delivery = self.conversion.delivery(self.is_state(&work.target));
        self.receiver.set_delivery(delivery);
        work
    }

    fn is_state(&self, target: &Opened) -> bool {
        match target {
            Opened::Bus(sink) => sink.is_state(),
            Opened::Node(_) | Opened::Relay { .. } => self.route.is_state,
        }
    }

    /// What was delivered, if there was something to deliver.
    async fn pass(
        &self,
        work: &mut Option<RunningWire>,
        item: QueueItem,
    ) -> Result<Option<Value>, PassError> {
        let work = match work {
            Some(work) => work,
            closed => closed.insert(self.opened(self.open().await?)),
        };
        // Only now is it known whether a member of the bus is a property or a method.
        if item.is_initial && !self.conversion.is_initial(self.is_state(&work.target)) {
            return Ok(None);
        }
        let Some(value) = work.converter.convert(&item.value)? else {
            return Ok(None);
        };
        if let Some(cause) = &item.cause {
            if !matches!(work.history.meet(cause), Meaning::New | Meaning::Wins) {
                return Ok(None);
            }
        } else if self.record.is_in_circle() && work.last.as_ref() == Some(&value) {
            return Ok(None);
        }
        self.put(&work.target, &value, (item.hops, item.cause))
            .await?;
        work.last = Some(value.clone());
        Ok(Some(value))
    }

    async fn put(
        &self,
        target: &Opened,
        value: &Value,
        (hops, cause): (u8, Option<Cause>),
    ) -> Result<(), PassError> {
        match target {
            Opened::Node(spot) => {
                let through = (hops.saturating_add(1), cause);
                Ok(self.set(spot, value, through).await?)
            }
            Opened::Relay { relay, .. } => {
                let (relay, value) = (relay.clone(), value.clone());
                Ok(self.node.emit_from(relay, value, cause).await?)
            }
            Opened::Bus(sink) => Ok(sink.put(value).await?),
        }
    }

    /// Sets a value of a node, when there is room for it, or hands it to this one.
    async fn set(
        &self,
        spot: &CapabilityAddress,
        value: &Value,
        (hops, cause): (u8, Option<Cause>),
    ) -> Result<(), NodeError> {
        if spot.peer == self.node.id() {
            let (path, value) = (spot.path.clone(), value.clone());
            let emitter = relay_name(self.id);
            return self.node.receive(path, value, &emitter, cause).await;
        }
        loop {
            let (path, value) = (spot.path.clone(), value.clone());
            let through = (hops, cause.clone());
            let set = self.node.set_through(spot.peer, path, value, through).await;
            match set {
                Err(NodeError::Busy) => self.node.drained(spot.peer, DRAINED).await?,
                done => return done,
            }
        }
    }

    /// Makes what it takes to deliver at the target.
    async fn open(&self) -> Result<RunningWire, PassError> {
        let (target, to) = match &self.route.target {
            Target::Set(spot) => (Opened::Node(spot.clone()), self.route.to),
            Target::Bus(end) => {
                let sink = Sink::open(self.caller.clone(), end.clone()).await?;
                let to = sink.side();
                (Opened::Bus(sink), to)
            }
            Target::Relay(sensor) => (self.open_relay(sensor).await?, self.route.to),
        };
        let converter = Converter::new(self.conversion.clone(), self.route.from, to);
        Ok(RunningWire {
            target,
            converter,
            last: None,
            history: History::default(),
        })
    }

    async fn open_relay(&self, sensor: &CapabilityAddress) -> Result<Opened, NodeError> {
        let relay = CapPath::root(relay_name(self.id));
        let capability = Capability::event(hint(self.route.to));
        self.node.publish(relay.clone(), capability).await?;
        let (emitter, wired) = self.ends(&relay, sensor);
        self.node.subscribe(emitter, wired).await?;
        let sensor = sensor.clone();
        Ok(Opened::Relay { relay, sensor })
    }

    /// Takes it away again. What fails means that there is nothing to take away.
    async fn close(&self, target: Opened) {
        if let Opened::Relay { relay, sensor } = target {
            let (emitter, sensor) = self.ends(&relay, &sensor);
            self.node.unsubscribe(emitter, sensor).await.ok();
            self.node.unpublish(relay).await.ok();
        }
    }

    fn ends(&self, relay: &CapPath, sensor: &CapabilityAddress) -> (End, End) {
        let emitter = CapabilityAddress {
            peer: self.node.id(),
            path: relay.clone(),
        };
        (node_end(&emitter), node_end(sensor))
    }
}

/// An opened target, and what is made of values for it.
struct RunningWire {
    target: Opened,
    converter: Converter,
    /// What was delivered last.
    last: Option<Value>,
    /// Which touches it has passed on.
    history: History,
}

/// A target at which values can be delivered.
enum Opened {
    Node(CapabilityAddress),
    Relay {
        relay: CapPath,
        sensor: CapabilityAddress,
    },
    Bus(Sink),
}

/// Why a value is not delivered. The next one is tried.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// Fault of the wire's maker, or of the emitter.
    #[error(transparent)]
    Conversion(#[from] ConversionError),
    /// The node is gone, or does not take the value.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The service does not take it.
    #[error(transparent)]
    Bus(#[from] CallError),
}

/// A capability as the node is told of it.
pub(super) fn node_end(spot: &CapabilityAddress) -> End {
    End {
        node: spot.peer,
        name: Some(spot.path.to_string()),
    }
}

/// The hint of what a sensor takes.
fn hint(side: Side) -> &'static str {
    match side.kind {
        Kind::Int => "int",
        Kind::Float => "flt",
        Kind::Bool => "bool",
        Kind::Text => "string",
        Kind::Vector(2) => "vec2f",
        Kind::Vector(3) => "vec3f",
        Kind::Vector(4) => "vec4f",
        Kind::Vector(_) | Kind::Any => "",
    }
}

/// Octets that wait for a node when it is handed values again.
const DRAINED: usize = 64 * 1024;
