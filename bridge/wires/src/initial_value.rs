//! The initial value of a new wire.
//!
//! Model: the current value of the source is sent to the target as if it had just been emitted. For a direct wire the
//! emitter's node does that (protocol.md §6.10), unless it is an old one.

use zocp_node::Value;

use super::{
    Wires, bus,
    nodes::CapabilityAddress,
    plan::{self, Source},
};

impl Wires {
    /// The current value of a source, if it is a state.
    pub(super) async fn present(&self, source: &Source) -> Option<Value> {
        match source {
            Source::Emitter(spot) => {
                let tree = self.shared.node.tree(spot.peer).await.ok()??;
                let capability = tree.capability(&spot.path)?;
                let is_state = plan::is_state(capability.info.access);
                capability.value.clone().filter(|_| is_state)
            }
            Source::Bus(end) => {
                let value = bus::current(&self.shared.caller, end).await.ok()?;
                zocp_mapping::convert::as_given(&value).ok()
            }
        }
    }

    /// Sends the current value of an emitter of an old node to a sensor.
    pub(super) async fn send_initial(
        &self,
        emitter: &CapabilityAddress,
        sensor: &CapabilityAddress,
    ) {
        let Some(value) = self.present(&Source::Emitter(emitter.clone())).await else {
            return;
        };
        let (node, path) = (&self.shared.node, sensor.path.clone());
        let handed = if sensor.peer == node.id() {
            let name = emitter.path.to_string();
            node.receive(path, value, &name, None).await
        } else {
            node.set_through(sensor.peer, path, value, (1, None)).await
        };
        if let Err(error) = handed {
            tracing::debug!(%error, "cannot send the initial value of a wire");
        }
    }
}
