//! A ZOCP node: a dimmer that others can set, and that tells of every change.
//!
//! `cargo run --example node` on a network, then on any machine of it with a bridge:
//! `zocp set dimmer brightness 0.8`. With the argument `loopback` it stays on this machine.

use zocp_node::{Access, Capability, Config, Event, Node};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let loopback = std::env::args().any(|argument| argument == "loopback");
    let mut config = Config::new("dimmer");
    config.loopback = loopback;
    let (node, mut events) = Node::start(config).await?;
    let brightness =
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5).with_range(0.0, 1.0);
    node.publish("brightness", brightness).await?;
    node.publish("switched", Capability::event("bool")).await?;
    println!(
        "\"{}\" is on the mesh, TCP port {}",
        node.name(),
        node.port()
    );

    while let Some(event) = events.next().await {
        match event {
            Event::Entered(peer) => println!("{} is here at {}", peer.name, peer.endpoint),
            Event::LocalSet { path, value, .. } => {
                println!("{path} was set to {value}");
                node.emit("switched", value != 0.0).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
