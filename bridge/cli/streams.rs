//! The streams of nodes, as the objects of a node have them.

use serde_json::{Value, json};
use zocp_node::model::stream::{Direction, Stream, entries};

use crate::{output::printable, view::NodeView};

/// A stream of a node.
pub(crate) struct StreamView {
    pub(crate) node: String,
    /// Of the object that has it.
    pub(crate) path: String,
    pub(crate) name: String,
    /// With the objects before it.
    pub(crate) dotted: String,
    pub(crate) direction: Direction,
    stream: Stream,
    entry: Value,
}

/// The streams of a node, those of the root first.
pub(crate) fn streams_of(node: &str, tree: &NodeView) -> Vec<StreamView> {
    let mut streams = Vec::new();
    for (labels, object) in tree.places() {
        for direction in Direction::ALL {
            for (name, entry, stream) in entries(object.data(direction.key())) {
                streams.push(StreamView {
                    node: node.to_owned(),
                    path: object.path.clone(),
                    name: name.to_owned(),
                    dotted: tree.dotted(labels, name),
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
    /// For a table.
    pub(crate) fn row(&self) -> Vec<String> {
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

    pub(crate) fn to_json(&self) -> Value {
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
