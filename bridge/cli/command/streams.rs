//! `zocp streams [NODE]`: the streams of a node, or of all.

use serde_json::{Value, json};
use zocp_node::model::stream::{Direction, Stream, entries};

use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable, table},
    view::NodeView,
};

/// A stream of a node.
pub(super) struct StreamView {
    pub(super) node: String,
    /// Of the object that has it.
    pub(super) path: String,
    pub(super) name: String,
    /// With the objects before it.
    pub(super) dotted: String,
    pub(super) direction: Direction,
    stream: Stream,
    entry: Value,
}

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: Option<&str>,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let peers = match node {
        Some(node) => vec![client.node(node).await?],
        None => {
            let mut peers = client.peers().await?;
            peers.push(client.own().await?);
            peers
        }
    };
    let mut streams = Vec::new();
    for peer in peers.iter().filter(|peer| !peer.bus_name.is_empty()) {
        match client.tree(&peer.bus_name).await {
            Ok(tree) => streams.extend(of(&peer.name, &tree)),
            // It went between two questions.
            Err(failure) if failure.exit == Exit::Unavailable && node.is_none() => {}
            Err(failure) => return Err(failure),
        }
    }
    if output.json {
        let streams: Vec<Value> = streams.iter().map(StreamView::to_json).collect();
        return Ok(output.value(&Value::from(streams))?);
    }
    let rows: Vec<Vec<String>> = streams.iter().map(StreamView::row).collect();
    for cells in table(&rows) {
        output.line(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// The streams of a node, those of the root first.
pub(super) fn of(node: &str, tree: &NodeView) -> Vec<StreamView> {
    let mut streams = Vec::new();
    for (place, object) in tree.places() {
        for direction in Direction::ALL {
            for (name, entry, stream) in entries(object.data(direction.key())) {
                let dot = if place.is_empty() { "" } else { "." };
                streams.push(StreamView {
                    node: node.to_owned(),
                    path: object.path.clone(),
                    name: name.to_owned(),
                    dotted: format!("{place}{dot}{name}"),
                    direction,
                    stream,
                    entry: entry.clone(),
                });
            }
        }
    }
    streams
}

impl StreamView {
    fn row(&self) -> Vec<String> {
        let endpoints = self.stream.endpoints.iter().map(ToString::to_string);
        let endpoints: Vec<String> = endpoints.collect();
        let texts = [
            &self.node,
            &self.dotted,
            self.direction.name(),
            self.stream.framing.name(),
            self.stream.kind.as_deref().unwrap_or_default(),
            &endpoints.join(" "),
        ];
        texts.map(printable).to_vec()
    }

    fn to_json(&self) -> Value {
        json!({
            "node": self.node,
            "name": self.dotted,
            "direction": self.direction.name(),
            "framing": self.stream.framing.name(),
            "path": self.path,
            "entry": self.entry,
        })
    }
}
