//! Delivers the values of one wire.
//!
//! Model: a [`Worker`] is the task of a wire that passes through this bridge. It receives values from the queue,
//! converts them, and delivers them to the target of the route, one after the other. It waits for a busy target.
//! Invariants: WORKER-1. Values are delivered in the order in which they were emitted. WORKER-2. Each value is
//! delivered, or replaced by a newer one of the same state, or counted as lost with the reason in the record.
//! WORKER-3. A touch is passed on once: when it returns through a circle of wires, it ends here.
//! Not here: which wires exist (`super::registry`).

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

/// The worker of a wire.
pub(super) struct Worker {
    pub(super) id: WireId,
    pub(super) node: Node,
    pub(super) caller: Caller,
    pub(super) record: Record,
    pub(super) route: Route,
    pub(super) conversion: Conversion,
    pub(super) receiver: QueueReceiver,
    pub(super) pace: Pace,
    /// Cancelled when the wire is removed: queued values are not delivered.
    pub(super) removed: CancellationToken,
    /// Cancelled when the previous worker of this wire has ended.
    pub(super) before: Option<CancellationToken>,
}

impl Worker {
    /// Runs until the queue ends or the wire is removed.
    pub(super) async fn run(mut self) {
        if let Some(before) = self.before.take() {
            before.cancelled().await;
        }
        let removed = self.removed.clone();
        let mut work = None;
        tokio::select! {
            biased;
            () = removed.cancelled() => {}
            // The value that is being delivered may or may not arrive.
            () = self.work(&mut work) => {}
        }
        if let Some(work) = work {
            self.close(work.target).await;
        }
    }

    /// Delivers each value. A target that cannot be opened is tried again with the next value.
    async fn work(&mut self, work: &mut Option<RunningWire>) {
        match self.open().await {
            Ok(opened) => *work = Some(self.opened(opened)),
            Err(error) => self.record.target_failed(&error.to_string()),
        }
        while let Some(mut item) = self.receiver.next().await {
            // Without a cause the touch cannot be recognized in a circle, so the rate is limited; the newest value
            // is delivered after the pause.
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

    /// Chooses the delivery by the kind of the opened target.
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

    /// Delivers a value; returns what was delivered, if anything.
    async fn pass(
        &self,
        work: &mut Option<RunningWire>,
        item: QueueItem,
    ) -> Result<Option<Value>, PassError> {
        let work = match work {
            Some(work) => work,
            closed => closed.insert(self.opened(self.open().await?)),
        };
        // Whether a member of the bus is a property or a method is known only now.
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

    /// Sets a value at a node when its queue is not full, or at this bridge.
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

    /// Opens the target.
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

    /// Closes the target. An error means that there is nothing to close.
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

/// An opened target with its converter.
struct RunningWire {
    target: Opened,
    converter: Converter,
    /// The last delivered value.
    last: Option<Value>,
    /// The touches that were passed on.
    history: History,
}

/// An opened target.
enum Opened {
    Node(CapabilityAddress),
    Relay {
        relay: CapPath,
        sensor: CapabilityAddress,
    },
    Bus(Sink),
}

/// Why a value was not delivered. The next value is tried.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// A mistake of the creator of the wire, or an unsuitable value of the emitter.
    #[error(transparent)]
    Conversion(#[from] ConversionError),
    /// The node has left, or rejects the value.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The call of the service failed.
    #[error(transparent)]
    Bus(#[from] CallError),
}

/// The end in the form that the node crate uses.
pub(super) fn node_end(spot: &CapabilityAddress) -> End {
    End {
        node: spot.peer,
        name: Some(spot.path.to_string()),
    }
}

/// The type hint of a sensor's values.
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

/// A worker continues when fewer octets than this wait for the node.
const DRAINED: usize = 64 * 1024;
