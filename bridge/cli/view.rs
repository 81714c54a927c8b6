//! What a client found: peers, the objects of a node, their capabilities.
//!
//! Model: plain data made from D-Bus answers, and the same as JSON. The key of an object is its
//! labels, of a capability its raw name.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use zbus::{OwnedObjectPath, OwnedVariant, Variant, fdo::ManagedObjects};
use zocp_interfaces::{
    BRIDGE_NAME, LOCAL_PATH, NODE_PATH, OBJECT_INTERFACE, PEER_INTERFACE, PEERS_PATH,
    VALUES_INTERFACE,
};
use zocp_mapping::label::unlabel;

use crate::value::to_json;

/// The properties of one interface of an object, as `GetManagedObjects` has them.
pub(crate) type Properties = HashMap<String, OwnedVariant>;

/// The interfaces of an object, as `GetManagedObjects` has them.
pub(crate) type Interfaces = HashMap<zbus::names::OwnedInterfaceName, Properties>;

/// The last element of a path.
pub(crate) fn last_element(path: &OwnedObjectPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

/// A peer, from `org.z25.Zocp1.Peer`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerView {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) uuid: String,
    pub(crate) bus_name: String,
    pub(crate) endpoint: String,
    pub(crate) state: String,
    /// Unless it is that of the bridge.
    pub(crate) venue: String,
    /// Which connections carry its messages.
    pub(crate) way: String,
    /// The relay by which they go.
    pub(crate) relay: String,
    /// Whether it is the bridge itself.
    pub(crate) is_own: bool,
    /// All properties, as JSON.
    pub(crate) properties: Map<String, Value>,
}

impl PeerView {
    /// `None` when the object is something else.
    pub(crate) fn new(path: OwnedObjectPath, mut interfaces: Interfaces) -> Option<Self> {
        let properties = interfaces.remove(PEER_INTERFACE)?;
        path.as_str().strip_prefix(PEERS_PATH)?;
        Some(Self {
            name: text(&properties, "Name"),
            label: last_element(&path).to_owned(),
            uuid: text(&properties, "Uuid"),
            bus_name: text(&properties, "BusName"),
            endpoint: text(&properties, "Endpoint"),
            state: text(&properties, "State"),
            venue: text(&properties, "Venue"),
            way: text(&properties, "Way"),
            relay: text(&properties, "Relay"),
            is_own: false,
            properties: properties
                .iter()
                .map(|(name, v)| (snake(name), to_json(v)))
                .collect(),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = self.properties.clone();
        object.insert(String::from("label"), json!(self.label));
        object.insert(String::from("own"), json!(self.is_own));
        Value::Object(object)
    }
}

/// The objects of a mirrored node.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeView {
    pub(crate) bus_name: String,
    /// By the labels on the way to it; the root has none.
    pub(crate) objects: BTreeMap<Vec<String>, ObjectView>,
}

impl NodeView {
    /// From the properties of the root, of `Object` and of `Values`, and all that is below it.
    pub(crate) fn new(
        bus_name: &str,
        object: Properties,
        values: Properties,
        below: ManagedObjects,
    ) -> Self {
        let (none, root) = (Properties::new(), root_of(bus_name));
        let mut objects: BTreeMap<Vec<String>, ObjectView> = below
            .into_iter()
            .filter_map(|(path, interfaces)| {
                let part = |name: &str| interfaces.get(name);
                let view = ObjectView::new(
                    path.as_str(),
                    part(OBJECT_INTERFACE)?,
                    part(VALUES_INTERFACE).unwrap_or(&none),
                );
                Some((labels_below(root, path.as_str())?, view))
            })
            .collect();
        objects.insert(Vec::new(), ObjectView::new(root, &object, &values));
        Self {
            bus_name: bus_name.to_owned(),
            objects,
        }
    }

    /// The raw name of the node; empty when it has no root object, as when it has just gone.
    pub(crate) fn name(&self) -> &str {
        self.objects
            .get(&[][..])
            .map_or("", |root| root.name.as_str())
    }

    /// The objects, the root first, with the labels on the way to each.
    pub(crate) fn places(&self) -> Vec<(&[String], &ObjectView)> {
        let objects = self.objects.iter();
        let mut all: Vec<_> = objects
            .map(|(labels, object)| (&labels[..], object))
            .collect();
        all.sort_by_key(|(labels, _)| labels.len());
        all
    }

    /// The capability that is meant: by its raw name or its label, those of inner objects with the
    /// objects before it and a dot or slash between. The root goes first, since its names may have dots.
    pub(crate) fn find(&self, wanted: &str) -> Option<(&ObjectView, &CapabilityView)> {
        let mut all = self.capabilities();
        all.sort_by_key(|(labels, ..)| labels.len());
        all.into_iter()
            .find(|(labels, _, capability)| {
                self.names(labels, &capability.name, &capability.member)
                    .iter()
                    .any(|name| name == wanted)
            })
            .map(|(_, object, capability)| (object, capability))
    }

    /// The names by which capabilities can be meant, as people would write them.
    pub(crate) fn all_names(&self) -> Vec<String> {
        self.named().into_iter().map(|(name, _)| name).collect()
    }

    /// Whether it has nothing but its root, and that is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.len() <= 1 && self.capabilities().is_empty()
    }

    /// The capabilities, by the names that people would write.
    pub(crate) fn named(&self) -> Vec<(String, &CapabilityView)> {
        self.capabilities()
            .into_iter()
            .map(|(labels, _, capability)| (self.dotted(labels, &capability.name), capability))
            .collect()
    }

    /// The values that can be read, by the names that people would write.
    pub(crate) fn values(&self) -> Vec<(String, Value)> {
        let named = self.named().into_iter();
        named
            .filter_map(|(name, capability)| {
                let (value, _) = capability.value.as_ref()?;
                Some((name, value.clone()))
            })
            .collect()
    }

    /// The name of something with the raw names of the objects before it.
    pub(crate) fn dotted(&self, labels: &[String], name: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for depth in 1..=labels.len() {
            let object = self.objects.get(&labels[..depth]);
            parts.push(object.map_or(labels[depth - 1].as_str(), |object| object.name.as_str()));
        }
        parts.push(name);
        parts.join(".")
    }

    /// How a member of an object may be meant: by raw names, or by labels.
    pub(crate) fn names(&self, labels: &[String], raw: &str, label: &str) -> [String; 3] {
        let member = [labels, &[label.to_owned()]].concat();
        [self.dotted(labels, raw), member.join("."), member.join("/")]
    }

    fn capabilities(&self) -> Vec<(&Vec<String>, &ObjectView, &CapabilityView)> {
        self.objects
            .iter()
            .flat_map(|(labels, object)| {
                object
                    .capabilities
                    .values()
                    .map(move |capability| (labels, object, capability))
            })
            .collect()
    }

    /// The node with its objects inside each other.
    pub(crate) fn to_json(&self) -> Value {
        let mut root = Value::Null;
        for (labels, object) in &self.objects {
            let mut place = &mut root;
            for label in labels {
                place = &mut place["objects"][label];
            }
            merge(place, object.to_json());
        }
        merge(&mut root, json!({ "bus_name": self.bus_name }));
        root
    }
}

/// An object of a mirrored node.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectView {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) capabilities: BTreeMap<String, CapabilityView>,
    data: Map<String, Value>,
}

impl ObjectView {
    fn new(path: &str, object: &Properties, values: &Properties) -> Self {
        let capabilities = entries(object.get("Capabilities"))
            .into_iter()
            .map(|(name, description)| {
                (
                    name.clone(),
                    CapabilityView::new(name, entries(Some(description)), values),
                )
            })
            .collect();
        let data = entries(object.get("Data"));
        Self {
            path: path.to_owned(),
            name: text(object, "Name"),
            kind: text(object, "Type"),
            capabilities,
            data: data
                .into_iter()
                .map(|(name, value)| (name, to_json(value)))
                .collect(),
        }
    }

    /// A plain entry.
    pub(crate) fn data(&self, name: &str) -> Option<&Value> {
        self.data.get(name)
    }

    /// The raw name of a member.
    pub(crate) fn raw_name(&self, member: &str) -> String {
        let known = self
            .capabilities
            .values()
            .find(|capability| capability.member == member);
        match known {
            Some(capability) => capability.name.clone(),
            None => unlabel(member).unwrap_or_else(|| member.to_owned()),
        }
    }

    fn to_json(&self) -> Value {
        let capabilities: Map<String, Value> = self
            .capabilities
            .iter()
            .map(|(name, c)| (name.clone(), c.to_json()))
            .collect();
        json!({
            "name": self.name,
            "type": self.kind,
            "path": self.path,
            "capabilities": capabilities,
            "data": self.data,
        })
    }
}

/// A capability of a mirrored node.
#[derive(Debug, Clone, Default)]
pub(crate) struct CapabilityView {
    pub(crate) name: String,
    pub(crate) member: String,
    /// Its value as JSON, and the D-Bus signature of it; `None` when it cannot be read.
    pub(crate) value: Option<(Value, String)>,
    /// `TypeHint`, `Access`, `Min`, `Max`, `Step` and so on, in lower case.
    pub(crate) description: BTreeMap<String, Value>,
}

impl CapabilityView {
    fn new(name: String, description: BTreeMap<String, &Variant<'_>>, values: &Properties) -> Self {
        let description: BTreeMap<String, Value> = description
            .into_iter()
            .map(|(name, value)| (key(name), to_json(value)))
            .collect();
        let member = description
            .get("member")
            .and_then(Value::as_str)
            .unwrap_or(&name)
            .to_owned();
        let value = values
            .get(&member)
            .map(|value| (to_json(value), value.value_signature().to_string()));
        Self {
            name,
            member,
            value,
            description,
        }
    }

    /// A part of the description that is text, such as `access`.
    pub(crate) fn described(&self, part: &str) -> &str {
        self.description
            .get(part)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn to_json(&self) -> Value {
        let mut object: Map<String, Value> = self
            .description
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some((value, signature)) = &self.value {
            object.insert(String::from("value"), value.clone());
            object.insert(String::from("signature"), json!(signature));
        }
        Value::Object(object)
    }
}

/// The labels below the root of a node, a mirrored one's or the bridge's own; `None` for a path elsewhere.
pub(crate) fn labels(bus_name: &str, path: &str) -> Option<Vec<String>> {
    labels_below(root_of(bus_name), path)
}

/// The root object of a node: a mirrored one's, or the bridge's own.
pub(crate) fn root_of(bus_name: &str) -> &'static str {
    match bus_name {
        BRIDGE_NAME => LOCAL_PATH,
        _ => NODE_PATH,
    }
}

fn labels_below(root: &str, path: &str) -> Option<Vec<String>> {
    match path.strip_prefix(root)? {
        "" => Some(Vec::new()),
        rest => rest
            .strip_prefix('/')
            .map(|rest| rest.split('/').map(str::to_owned).collect()),
    }
}

fn merge(place: &mut Value, object: Value) {
    match (place, object) {
        (Value::Object(place), Value::Object(object)) => place.extend(object),
        (place, object) => *place = object,
    }
}

fn text(properties: &Properties, name: &str) -> String {
    properties
        .get(name)
        .and_then(|value| <&str>::try_from(value).ok())
        .unwrap_or_default()
        .to_owned()
}

/// The entries of a dictionary with strings for keys; none of anything else.
fn entries<'a>(value: Option<impl Into<Entries<'a>>>) -> BTreeMap<String, &'a Variant<'a>> {
    let Some(Entries(Variant::Dict(dict))) = value.map(Into::into) else {
        return BTreeMap::new();
    };
    dict.iter()
        .filter_map(|(key, value)| match key {
            Variant::Str(key) => Some((key.to_string(), inner(value))),
            _ => None,
        })
        .collect()
}

/// Something that may be a dictionary.
struct Entries<'a>(&'a Variant<'a>);

impl<'a> From<&'a OwnedVariant> for Entries<'a> {
    fn from(value: &'a OwnedVariant) -> Self {
        Self(inner(value))
    }
}

impl<'a> From<&'a Variant<'a>> for Entries<'a> {
    fn from(value: &'a Variant<'a>) -> Self {
        Self(inner(value))
    }
}

fn inner<'a>(value: &'a Variant<'a>) -> &'a Variant<'a> {
    match value {
        Variant::Variant(inner) => inner,
        value => value,
    }
}

/// The key of a part of a capability's description: the bridge's own words in JSON's manner, the
/// node's as they are.
fn key(name: String) -> String {
    if DESCRIPTION.contains(&name.as_str()) {
        snake(&name)
    } else {
        name
    }
}

/// `TypeHint` as `type_hint`: JSON's manner.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

const DESCRIPTION: [&str; 7] = [
    "Member",
    "TypeHint",
    "Access",
    "Min",
    "Max",
    "Step",
    "Subscribers",
];
