//! Requests to nodes, sent by one task in the order of the registry's outputs.

use std::collections::HashSet;

use zocp_node::Value;

use super::{
    Wires,
    nodes::CapabilityAddress,
    registry::{InitialValue, WireId, announcements},
    worker::node_end,
};

/// A request to a node.
#[derive(Debug)]
pub(super) enum NodeRequest {
    Subscribe(WireId, CapabilityAddress, CapabilityAddress, InitialValue),
    SendInitial(CapabilityAddress, CapabilityAddress),
    Unsubscribe(CapabilityAddress, CapabilityAddress),
    /// The entries of the object that announces a wire.
    Announce(WireId, Vec<(String, Value)>),
    Withdraw(WireId),
}

impl Wires {
    /// Sends the queued requests to nodes, one after the other.
    pub(super) async fn run_requests(self) {
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
}
