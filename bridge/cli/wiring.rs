//! Wires as a client finds them, and their ends as people write them.
//!
//! Model: a [`WireView`] is one object with `org.z25.Zocp1.Wire`. An end `NODE:CAPABILITY` is split at the
//! colon behind which the name of a present node ends, else at the first one.

use serde_json::{Map, Value, json};
use zbus::OwnedObjectPath;
use zocp_interfaces::{BRIDGE_NAME, BRIDGE_PATH, BridgeProxy, WIRE_INTERFACE};
use zocp_wires::{End, NodeEnd};

use crate::{
    client::Client,
    exit::{Exit, Failure},
    value::to_json,
    view::Interfaces,
    view::snake,
};

/// A wire.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct WireView {
    pub(crate) path: OwnedObjectPath,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) state: String,
    pub(crate) direct: bool,
    pub(crate) foreign: bool,
    pub(crate) lasting: bool,
    pub(crate) count: u64,
    pub(crate) lost: u64,
    pub(crate) last_error: String,
    /// The value that came last; `None` where none did.
    pub(crate) last_value: Option<Value>,
    /// The options that it was made with.
    pub(crate) conversion: Map<String, Value>,
    pub(crate) properties: Map<String, Value>,
}

impl WireView {
    /// `None` when the object is something else.
    fn new(path: OwnedObjectPath, mut interfaces: Interfaces) -> Option<Self> {
        let properties = interfaces.remove(WIRE_INTERFACE)?;
        let shown = |name: &str| properties.get(name).map(|value| to_json(value));
        let text = |name| match shown(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let truth = |name| shown(name) == Some(Value::Bool(true));
        let number = |name| shown(name).and_then(|value| value.as_u64());
        Some(Self {
            path,
            from: text("From"),
            to: text("To"),
            state: text("State"),
            direct: truth("Direct"),
            foreign: truth("Foreign"),
            lasting: truth("Lasting"),
            count: number("Count").unwrap_or_default(),
            lost: number("Lost").unwrap_or_default(),
            last_error: text("LastError"),
            last_value: shown("LastValue").filter(|value| value.as_str() != Some("")),
            conversion: match shown("Conversion") {
                Some(Value::Object(conversion)) => conversion,
                _ => Map::new(),
            },
            properties: properties
                .iter()
                .map(|(name, value)| (snake(name), to_json(value)))
                .collect(),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = self.properties.clone();
        object.insert("path".to_owned(), json!(self.path.as_str()));
        Value::Object(object)
    }

    /// What it makes of values, in few words; empty for one that passes them on as they are.
    pub(crate) fn converts(&self) -> String {
        let shown = |(name, value): (&String, &Value)| match value {
            Value::Bool(_) => snake(name),
            value => format!("{} {}", snake(name), crate::value::plain(value)),
        };
        let parts: Vec<String> = self.conversion.iter().map(shown).collect();
        parts.join(", ")
    }
}

impl Client {
    /// Every wire, in the order in which they were made.
    pub(crate) async fn wires(&self) -> Result<Vec<WireView>, Failure> {
        self.bridge().await?;
        let objects = self.managed(BRIDGE_NAME, BRIDGE_PATH).await?;
        let mut wires: Vec<WireView> = objects
            .into_iter()
            .filter_map(|(path, object)| WireView::new(path, object))
            .collect();
        let number = |wire: &WireView| {
            let number = crate::view::last_element(&wire.path).parse::<u32>();
            number.unwrap_or_default()
        };
        wires.sort_by_key(number);
        Ok(wires)
    }

    /// An end as somebody wrote it.
    pub(crate) async fn end(&self, text: &str) -> Result<End, Failure> {
        let end: End = text
            .parse()
            .map_err(|error| Failure::new(Exit::Usage, format!("{error}")))?;
        if let End::Node(NodeEnd { node, .. }) = &end
            && node == "dbus"
        {
            return Err(not_of_a_bus(text));
        }
        if matches!(end, End::Bus(_)) || text.matches(':').count() == 1 {
            return Ok(end);
        }
        let bridge = BridgeProxy::new(&self.connection).await?.name().await?;
        let peers = self.peers().await?;
        let is_node = |name: &str| {
            name == bridge
                || peers
                    .iter()
                    .any(|peer| peer.name == name || peer.label == name)
        };
        Ok(split(text, is_node).unwrap_or(end))
    }
}

/// What begins as the end at a service and is none. A node that is called "dbus" has to be named by its UUID.
fn not_of_a_bus(text: &str) -> Failure {
    let message = format!("\"{text}\" is not dbus:SERVICE:/PATH:INTERFACE.MEMBER");
    Failure::new(Exit::Usage, message).hint(
        "for instance dbus:org.mpris.MediaPlayer2.mpv:/org/mpris/MediaPlayer2:org.mpris.MediaPlayer2.Player.Volume; \
         `busctl --user introspect SERVICE /PATH` lists the members",
    )
}

/// Node and capability, where the colon is in between that ends the name of a node.
fn split(text: &str, is_node: impl Fn(&str) -> bool) -> Option<End> {
    let (node, capability) = text
        .match_indices(':')
        .filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)))
        .find(|(node, capability)| is_node(node) && !capability.is_empty())?;
    Some(NodeEnd::new(node, capability).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_present_node_ends_at_its_colon() {
        let is_node = |name: &str| ["a:b", "c"].contains(&name);
        let ends = |text: &str| split(text, is_node).map(|end| end.to_string());
        assert_eq!(ends("a:b:x").as_deref(), Some("a_3ab:x"));
        assert_eq!(ends("c:x:y").as_deref(), Some("c:x_3ay"));
        assert_eq!(ends("d:x:y"), None);
    }
}
