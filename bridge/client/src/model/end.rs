//! The ends of wires: which capability a text means, and which text means a capability.
//!
//! Model: an end of a node is `NODE:CAPABILITY`, the node by name or label, the capability by raw names or labels with
//! dots between. What is on the bus, `dbus:…`, is no capability of a node.
//! Spec: docs/reference/dbus.md, "Wires"

use std::collections::HashMap;

use super::{Model, OWN_LABEL, Wire, node_of};
use crate::tree::{Tree, id};

/// Capabilities by the texts by which wires name them. The root goes first, since its names may have dots.
pub(super) fn texts(node: &str, tree: &Tree) -> HashMap<String, String> {
    let mut texts = HashMap::new();
    for (labels, name, capability) in tree.capabilities() {
        let id = id(node, labels, &capability.member);
        let mut members = labels.clone();
        members.push(capability.member.clone());
        for text in [tree.dotted(labels, name), members.join(".")] {
            texts.entry(text).or_insert_with(|| id.clone());
        }
    }
    texts
}

impl Wire {
    /// One of its texts: `From`, `To`, `State`, `LastError`.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.properties
            .get(key)
            .and_then(|it| it.as_str())
            .unwrap_or_default()
    }

    /// One of its numbers: `Count`, `Lost`, `Skipped`.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        self.properties
            .get(key)
            .and_then(|it| it.as_u64())
            .unwrap_or_default()
    }
}

impl Model {
    /// The id of the capability that an end means, if it is one and here.
    #[must_use]
    pub fn capability(&self, end: &str) -> Option<&str> {
        let (name, capability) = end.split_once(':')?;
        let is_meant = |label: &str, node: &super::Node| node.name == name || label == name;
        let mut nodes = self
            .nodes
            .iter()
            .filter(|(label, node)| is_meant(label, node));
        let found = nodes.find_map(|(_, node)| node.ends.get(capability));
        found.map(String::as_str)
    }

    /// The text by which a wire names a capability.
    #[must_use]
    pub fn end(&self, wanted: &str) -> Option<String> {
        let label = node_of(wanted);
        let node = self.nodes.get(label)?;
        let mut found = node.tree.capabilities();
        let (labels, name, capability) = found
            .find(|(labels, _, capability)| id(label, labels, &capability.member) == wanted)?;
        let dotted = node.tree.dotted(labels, name);
        let is_plain = |text: &str| !text.is_empty() && !text.contains(':');
        let is_known = node.ends.get(&dotted).is_some_and(|it| it == wanted);
        let capability = match is_plain(&dotted) && is_known {
            true => dotted,
            false => [labels.as_slice(), std::slice::from_ref(&capability.member)]
                .concat()
                .join("."),
        };
        let namesakes = self
            .nodes
            .values()
            .filter(|it| it.name == node.name)
            .count();
        let uuid = || node.properties.get("Uuid").and_then(|it| it.as_str());
        let name = match (is_plain(&node.name) && namesakes == 1, label) {
            (true, _) => node.name.as_str(),
            (false, OWN_LABEL) => uuid()?,
            (false, label) => label,
        };
        Some(format!("{name}:{capability}"))
    }
}
