//! The commands, a file each.

pub(crate) mod bridge;
pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod dmx;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod key;
pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod midi;
pub(crate) mod monitor;
pub(crate) mod offer;
pub(crate) mod osc;
pub(crate) mod publish;
pub(crate) mod scene;
pub(crate) mod service;
pub(crate) mod set;
pub(crate) mod stream;
pub(crate) mod streams;
pub(crate) mod top;
pub(crate) mod tree;
pub(crate) mod trust;
pub(crate) mod watch;
pub(crate) mod web;
pub(crate) mod wire;
pub(crate) mod wires;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    near::suggestion,
    view::{CapabilityView, NodeView, ObjectView},
};

/// The node and in it the capability that are meant.
async fn find_capability(
    client: &Client,
    node: &str,
    name: &str,
) -> Result<(NodeView, ObjectView, CapabilityView), Failure> {
    let peer = client.node(node).await?;
    let tree = client.tree(&peer.bus_name).await?;
    if let Some((object, capability)) = tree.find(name) {
        let (object, capability) = (object.clone(), capability.clone());
        return Ok((tree, object, capability));
    }
    let message = format!("\"{}\" has no capability \"{name}\"", peer.name);
    let failure = Failure::new(Exit::NoCapability, message);
    let names = tree.all_names();
    Err(match suggestion(name, names.iter().map(String::as_str)) {
        Some(suggestion) => failure.hint(suggestion),
        None => failure.hint(format!("see `zocp tree {}` for what it has", peer.label)),
    })
}
