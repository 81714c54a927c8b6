//! A node that only has values: a lamp whose brightness others set.
//!
//! `cargo run -p zocp-node --example values`, and on any machine of the network that runs a bridge
//! `zocp set lamp brightness 0.8`. With the argument `loopback` the node stays on this machine.

use zocp_node::{Access, Capability, Config, Event, Events, Node};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new("lamp");
    config.loopback = std::env::args().any(|argument| argument == "loopback");
    let (node, events) = start(config).await?;
    println!("{} is on the mesh, TCP port {}", node.name(), node.port());
    run(&node, events).await
}

/// Starts the lamp.
pub(crate) async fn start(config: Config) -> Result<(Node, Events), Box<dyn std::error::Error>> {
    let (node, events) = Node::start(config).await?;
    let brightness = Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0);
    node.publish("brightness", brightness).await?;
    node.publish("is_on", Capability::new(Access::READ, true))
        .await?;
    Ok((node, events))
}

/// Follows what others set, until the node ends.
pub(crate) async fn run(node: &Node, mut events: Events) -> Result<(), Box<dyn std::error::Error>> {
    // This task reads the events, so it must not wait for its own commands in the ordinary queue.
    let node = node.for_reader();
    while let Some(event) = events.next().await {
        if let Event::LocalSet { path, value, .. } = event {
            println!("{path} is now {value}");
            node.set_local("is_on", value != 0.0).await?;
        }
    }
    Ok(())
}
