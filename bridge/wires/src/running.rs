//! Wires that pass through this bridge: their queues, their workers, and the values that come to them.

use tokio_util::sync::CancellationToken;
use zocp_node::{CapPath, Cause, PeerId, Value};

use super::{
    EngineState, Wires,
    nodes::CapabilityAddress,
    pace::{CircleError, HOPS_MAX, Pace},
    plan::{Route, Source, Target},
    queue::{QueueItem, queue},
    record::Record,
    registry::WireId,
    worker::Worker,
};

/// A wire that passes through this bridge.
#[derive(Debug)]
pub(super) struct RunningWire {
    /// The source of its values.
    pub(super) source: Source,
    pub(super) removed: CancellationToken,
    /// Cancelled when the worker has ended.
    pub(super) ended: CancellationToken,
}

impl Wires {
    pub(super) async fn emitted(
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

    pub(super) fn start_wire(&self, state: &mut EngineState, id: WireId, route: Route) {
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
        let route_is_state = route.is_state || matches!(route.target, Target::Bus(_));
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
    pub(super) fn stop_input(&self, state: &mut EngineState, id: WireId) {
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
}
