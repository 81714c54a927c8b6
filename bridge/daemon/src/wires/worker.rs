//! Passes the values of one wire on.
//!
//! Model: a [`Worker`] is a task for each wire that goes through this bridge: it takes values out of the
//! feed, converts them, and does at the target what the route says, one after the other. A target that
//! is busy is waited for.
//! Invariants: W1. values are delivered in the order in which they were emitted. W2. each value is
//! delivered, or the record says why not, and the next one is tried.
//! Not here: which wires there are (`super::board`).

use tokio_util::sync::CancellationToken;
use zocp_node::{CapPath, Capability, End, Node, NodeError, Value};

use super::{
    board::{WireId, relay_name},
    conversion::{Conversion, Converter, Kind, Side},
    feed::{Outlet, Passing},
    nodes::Spot,
    plan::{Route, Target},
    record::Record,
};

/// What passes a wire's values on.
pub(super) struct Worker {
    pub(super) id: WireId,
    pub(super) node: Node,
    pub(super) record: Record,
    pub(super) route: Route,
    pub(super) conversion: Conversion,
    pub(super) outlet: Outlet,
    /// The wire is taken away: what waits is not delivered.
    pub(super) taken: CancellationToken,
    /// A worker of this wire before this one, which ends first.
    pub(super) before: Option<CancellationToken>,
}

impl Worker {
    /// Works until the feed ends or the wire is taken away.
    pub(super) async fn run(mut self) {
        if let Some(before) = self.before.take() {
            before.cancelled().await;
        }
        let relay = match self.open().await {
            Ok(relay) => relay,
            Err(error) => return self.record.failed(&error.to_string()),
        };
        let route = &self.route;
        let mut converter = Converter::new(self.conversion.clone(), route.from, route.to);
        loop {
            // Cancel safe: what is not taken out stays in, and what is being delivered when the wire
            // goes may be delivered or not.
            let passing = tokio::select! {
                biased;
                () = self.taken.cancelled() => break,
                passing = self.outlet.next() => passing,
            };
            let Some(passing) = passing else { break };
            tokio::select! {
                biased;
                () = self.taken.cancelled() => break,
                () = self.pass(&mut converter, relay.as_ref(), passing) => {}
            }
        }
        if let Some(relay) = relay {
            self.close(relay).await;
        }
    }

    async fn pass(&self, converter: &mut Converter, relay: Option<&CapPath>, passing: Passing) {
        let value = match converter.convert(&passing.value) {
            Ok(Some(value)) => value,
            Ok(None) => return,
            Err(error) => return self.record.failed(&error.to_string()),
        };
        let delivered = match (&self.route.target, relay) {
            (Target::Relay(_), Some(relay)) => self.node.emit(relay.clone(), value.clone()).await,
            (Target::Set(spot) | Target::Relay(spot), _) => self.set(spot, &value).await,
            (Target::Bus(_), _) => Ok(()),
        };
        match delivered {
            Ok(()) => self.record.passed(value),
            Err(error) => self.record.failed(&error.to_string()),
        }
    }

    /// Sets a value of a node, when there is room for it.
    async fn set(&self, spot: &Spot, value: &Value) -> Result<(), NodeError> {
        loop {
            let set = self
                .node
                .set(spot.peer, spot.path.clone(), value.clone())
                .await;
            match set {
                Err(NodeError::Busy) => self.node.drained(spot.peer, DRAINED).await?,
                done => return done,
            }
        }
    }

    /// Makes the emitter of ours that a sensor hears, where the route needs one.
    async fn open(&self) -> Result<Option<CapPath>, NodeError> {
        let Target::Relay(sensor) = &self.route.target else {
            return Ok(None);
        };
        let relay = CapPath::root(relay_name(self.id));
        let capability = Capability::event(hint(self.route.to));
        self.node.publish(relay.clone(), capability).await?;
        let (emitter, sensor) = self.ends(&relay, sensor);
        self.node.subscribe(emitter, sensor).await?;
        Ok(Some(relay))
    }

    /// Takes it away again. What fails means that there is nothing to take away.
    async fn close(&self, relay: CapPath) {
        if let Target::Relay(sensor) = &self.route.target {
            let (emitter, sensor) = self.ends(&relay, sensor);
            self.node.unsubscribe(emitter, sensor).await.ok();
        }
        self.node.unpublish(relay).await.ok();
    }

    fn ends(&self, relay: &CapPath, sensor: &Spot) -> (End, End) {
        let emitter = Spot {
            peer: self.node.id(),
            path: relay.clone(),
        };
        (end(&emitter), end(sensor))
    }
}

/// A capability as the node is told of it.
pub(super) fn end(spot: &Spot) -> End {
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
