//! A node that has methods, and one that calls them.
//!
//! `cargo run -p zocp-node --example methods` starts a camera on the network. With the arguments `call 30` it looks for
//! the camera instead, turns it by 30 degrees and prints where it is. With the argument `loopback` both stay on this
//! machine.

use zocp_node::model::{Argument, Method};
use zocp_node::{Call, CapPath, Config, Event, Events, Node, NodeError, RemoteError, Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_loopback = arguments.iter().any(|argument| argument == "loopback");
    let configured = |name: &str| {
        let mut config = Config::new(name);
        config.loopback = is_loopback;
        config
    };
    if let [command, degrees, ..] = &arguments[..]
        && command == "call"
    {
        let angle = turn(configured("remote control"), degrees.parse()?).await?;
        println!("the camera is at {angle}");
        return Ok(());
    }
    let (node, events) = start(configured("camera")).await?;
    println!("{} is on the mesh, TCP port {}", node.name(), node.port());
    run(&node, events).await?;
    Ok(())
}

/// Starts the camera.
pub(crate) async fn start(config: Config) -> Result<(Node, Events), Box<dyn std::error::Error>> {
    let (node, events) = Node::start(config).await?;
    let by = Argument::new("degrees", "flt");
    let angle = Argument::new("angle", "flt");
    let doc = String::from("Turns the camera and returns its new angle.");
    let turn = Method::new(vec![by], vec![angle], Some(doc));
    node.publish_method("head.turn", turn).await?;
    Ok((node, events))
}

/// Does what callers ask for, until the node ends.
pub(crate) async fn run(node: &Node, mut events: Events) -> Result<(), NodeError> {
    let mut angle = 0.0;
    while let Some(event) = events.next().await {
        if let Event::Called(call) = event {
            let result = turned(&call, &mut angle);
            // A caller that has left in the meantime is no reason to end.
            node.reply(call, result).await.ok();
        }
    }
    Ok(())
}

fn turned(call: &Call, angle: &mut f64) -> Result<Vec<Value>, RemoteError> {
    let degrees = match &call.args[..] {
        [degrees] => degrees.as_f64(),
        _ => None,
    };
    let degrees = degrees.ok_or_else(|| {
        let message = "turn takes one number, the degrees";
        RemoteError::new("org.freedesktop.DBus.Error.InvalidArgs", message)
    })?;
    *angle = (*angle + degrees).clamp(-90.0, 90.0);
    Ok(vec![json!(*angle)])
}

/// Waits for a camera and turns it.
pub(crate) async fn turn(
    config: Config,
    degrees: f64,
) -> Result<Value, Box<dyn std::error::Error>> {
    let method: CapPath = "head.turn".parse()?;
    let (node, mut events) = Node::start(config).await?;
    while let Some(event) = events.next().await {
        // Of other nodes the methods are known when their tree is.
        if let Event::TreeKnown { peer, tree } = event
            && tree.method(&method).is_some()
        {
            let results = node.call(peer, &method, vec![json!(degrees)]).await?;
            node.shutdown().await;
            return Ok(results.into_iter().next().unwrap_or_default());
        }
    }
    Err("the node has ended".into())
}
