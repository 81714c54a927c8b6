//! An emitter and a sensor: a fader that moves, and a lamp that follows it.
//!
//! `cargo run -p zocp-node --example signals fader` on one machine, `… signals lamp` on another of the same network. The
//! lamp subscribes its sensor as soon as it finds the fader; a person could do the same with `zocp wire`. With the further
//! argument `loopback` both stay on this machine.

use std::time::Duration;

use zocp_node::{Access, Capability, Config, End, Event, Events, Node, NodeError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = arguments.first().map_or("", String::as_str);
    let mut config = Config::new(role);
    config.loopback = arguments.iter().any(|argument| argument == "loopback");
    match role {
        "fader" => {
            let (node, events) = fader(config).await?;
            tokio::try_join!(ignore(events), fade(&node))?;
        }
        "lamp" => {
            let (node, mut events) = lamp(config).await?;
            while let Some(level) = follow(&node, &mut events).await? {
                println!("the lamp is at {level}");
            }
        }
        _ => return Err("the first argument is fader or lamp".into()),
    }
    Ok(())
}

/// Starts the fader: its level can be read, and each move is emitted.
pub(crate) async fn fader(config: Config) -> Result<(Node, Events), Box<dyn std::error::Error>> {
    let (node, events) = Node::start(config).await?;
    let level = Capability::new(Access::READ | Access::EMIT, 0.0).with_range(0.0, 1.0);
    node.publish("level", level).await?;
    Ok((node, events))
}

/// Moves the fader up and down, until the node ends.
pub(crate) async fn fade(node: &Node) -> Result<(), NodeError> {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for step in (0..=20).chain((1..20).rev()).cycle() {
        pace.tick().await;
        node.emit("level", f64::from(step) / 20.0).await?;
    }
    Ok(())
}

/// Reads the events of a node that needs none of them: without a reader the node would stop.
pub(crate) async fn ignore(mut events: Events) -> Result<(), NodeError> {
    while events.next().await.is_some() {}
    Ok(())
}

/// Starts the lamp: its sensor receives emissions of others.
pub(crate) async fn lamp(config: Config) -> Result<(Node, Events), Box<dyn std::error::Error>> {
    let (node, events) = Node::start(config).await?;
    node.publish("dimmer", Capability::new(Access::SENSE, 0.0))
        .await?;
    Ok((node, events))
}

/// Waits for the next level that the sensor receives; `None` when the node has ended.
pub(crate) async fn follow(node: &Node, events: &mut Events) -> Result<Option<f64>, NodeError> {
    let emitter = "level".parse().map_err(zocp_node::Invalid::Path)?;
    while let Some(event) = events.next().await {
        match event {
            Event::TreeKnown { peer, tree } if tree.capability(&emitter).is_some() => {
                let node = node.for_reader();
                let sensor = End::new(node.id(), "dimmer");
                node.subscribe(End::new(peer, "level"), sensor).await?;
            }
            Event::LocalSensed { value, .. } => return Ok(value.as_f64()),
            _ => {}
        }
    }
    Ok(None)
}
