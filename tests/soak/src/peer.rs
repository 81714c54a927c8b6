//! A node of ours on the network, in the process of the soak itself.

use serde_json::json;
use tokio::task::JoinHandle;
use zocp_node::{
    Access, Capability, Config, Event, Events, Node, Value,
    model::{Argument, Method},
};

/// A node that reads its events and answers its one method.
pub(crate) struct Peer {
    pub(crate) node: Node,
    reading: JoinHandle<()>,
}

impl Peer {
    /// A node of this name, with `count` (an emitter that can be set), `scratch`, `tick` (an event), `ear` (a sensor) and
    /// the method `double`.
    pub(crate) async fn start(name: &str) -> Self {
        let config = Config::new(name).with_interfaces([DEVICE]);
        let started = Node::start(config).await;
        let (node, events) = started.unwrap_or_else(|error| panic!("{name}: {error}"));
        let reading = tokio::task::spawn_local(answer(node.clone(), events));
        let peer = Self { node, reading };
        peer.publish(
            "count",
            Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0),
        )
        .await;
        let scratch = Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0);
        peer.publish("scratch", scratch).await;
        peer.publish("tick", Capability::event("int")).await;
        let ear = Capability::new(Access::READ | Access::WRITE | Access::SENSE, 0).with_hint("int");
        peer.publish("ear", ear).await;
        let (input, output) = (Argument::new("n", "int"), Argument::new("twice", "int"));
        let double = Method::new(vec![input], vec![output], None);
        let offered = peer.node.publish_method("double", double).await;
        offered.unwrap_or_else(|error| panic!("{name}: {error}"));
        peer
    }

    /// Publishes one more.
    pub(crate) async fn publish(&self, name: &str, capability: Capability) {
        let published = self.node.publish(name, capability).await;
        published.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Emits.
    pub(crate) async fn emit(&self, name: &str, value: u64) {
        let emitted = self.node.emit(name, value).await;
        emitted.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Says goodbye and ends.
    pub(crate) async fn leave(self) {
        self.node.shutdown().await;
    }
}

impl Drop for Peer {
    /// Without a goodbye, unless there was one: its sockets close.
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn answer(node: Node, mut events: Events) {
    while let Some(event) = events.next().await {
        let Event::Called(call) = event else {
            continue;
        };
        let twice = call
            .args
            .first()
            .and_then(Value::as_i64)
            .unwrap_or_default()
            * 2;
        // The caller may be gone by now.
        let _ = node.reply(call, Ok(vec![json!(twice)])).await;
    }
}

/// The lab's network, as the test itself is on it.
const DEVICE: &str = "net0";
