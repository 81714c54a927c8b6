//! The objects of a node, their capabilities, methods and streams, from what the bus answers.
//!
//! Model: a [`Tree`] has an [`Object`] for each place; a capability is known everywhere by its *id*, the node's label,
//! the labels of the objects before it and its member, joined by `/`, which no label contains.
//! Limits: text in values and descriptions is cut at [`TEXT_MAX`]: what is shown, not what is set.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use zbus::{OwnedVariant, Variant, fdo::ManagedObjects};
use zocp_interfaces::{METHODS_INTERFACE, OBJECT_INTERFACE, VALUES_INTERFACE};

use crate::{method::Method, value::to_json};

/// The properties of an interface, as the bus has them.
pub type Properties = HashMap<String, OwnedVariant>;

/// The objects of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    /// By the labels on the way to it; the root has none.
    pub objects: BTreeMap<Vec<String>, Object>,
}

/// An object of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    /// Its path on the bus.
    pub path: String,
    /// Its raw name.
    pub name: String,
    /// What it says it is, or empty.
    pub kind: String,
    /// By raw name.
    pub capabilities: BTreeMap<String, Capability>,
    /// What can be called.
    pub methods: Vec<Method>,
    /// Sources of streams, as the bus has them.
    pub sources: Map<String, Value>,
    /// Sinks of streams.
    pub sinks: Map<String, Value>,
    /// Whether the bus says that it has methods; of a root it does not.
    pub has_methods: bool,
}

/// A capability.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capability {
    /// Its label.
    pub member: String,
    /// ZOCP's letters.
    pub access: String,
    /// ZOCP's type hint.
    pub hint: String,
    /// The D-Bus type of its value; empty where it has none.
    pub signature: String,
    /// The rest of its description, `Min`, `Max`, `Step` and what the node adds.
    pub more: Map<String, Value>,
}

/// A value with the id of its capability.
pub type Reading = (String, Value);

impl Tree {
    /// From the properties of the root and all that is below, with the values. `root` is the path of the root, `node`
    /// the label of the node.
    #[must_use]
    pub fn read(
        node: &str,
        root: &str,
        (object, values): (&Properties, &Properties),
        below: &ManagedObjects,
    ) -> (Self, Vec<Reading>) {
        let (none, mut tree, mut readings) = (Properties::new(), Self::default(), Vec::new());
        let mut add =
            |labels: Vec<String>, path: &str, interfaces: [&Properties; 3], has_methods| {
                let [object, values, streams] = interfaces;
                let id = |member: &str| id(node, &labels, member);
                readings.extend(
                    values
                        .iter()
                        .map(|(member, value)| (id(member), clipped(to_json(value)))),
                );
                let object = Object::read(path, object, values, streams, has_methods);
                tree.objects.insert(labels, object);
            };
        let streams = below.iter().find(|(path, _)| path.as_str() == root);
        let streams = streams.and_then(|(_, interfaces)| interfaces.get(STREAMS_INTERFACE));
        add(
            Vec::new(),
            root,
            [object, values, streams.unwrap_or(&none)],
            false,
        );
        for (path, interfaces) in below {
            let part = |name: &str| interfaces.get(name);
            let (Some(labels), Some(object)) =
                (labels(root, path.as_str()), part(OBJECT_INTERFACE))
            else {
                continue;
            };
            let values = part(VALUES_INTERFACE).unwrap_or(&none);
            let streams = part(STREAMS_INTERFACE).unwrap_or(&none);
            let has_methods = part(METHODS_INTERFACE).is_some();
            if !labels.is_empty() {
                add(
                    labels,
                    path.as_str(),
                    [object, values, streams],
                    has_methods,
                );
            }
        }
        (tree, readings)
    }

    /// The paths of the objects whose methods are to be asked for. Of a root it is not known whether it has some.
    pub fn with_methods(&self) -> impl Iterator<Item = &str> {
        let objects = self.objects.iter();
        let meant = objects.filter(|(labels, object)| labels.is_empty() || object.has_methods);
        meant.map(|(_, object)| object.path.as_str())
    }

    /// Tells an object its methods.
    pub fn set_methods(&mut self, path: &str, methods: Vec<Method>) {
        let mut objects = self.objects.values_mut();
        if let Some(object) = objects.find(|object| object.path == path) {
            object.methods = methods;
        }
    }

    /// The name of a capability with the raw names of the objects before it.
    #[must_use]
    pub fn dotted(&self, labels: &[String], name: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for depth in 1..=labels.len() {
            let object = self.objects.get(&labels[..depth]);
            parts.push(object.map_or(labels[depth - 1].as_str(), |object| object.name.as_str()));
        }
        parts.push(name);
        parts.join(".")
    }

    /// Every capability with the labels of its object and its raw name.
    pub fn capabilities(&self) -> impl Iterator<Item = (&Vec<String>, &String, &Capability)> {
        let objects = self.objects.iter();
        objects.flat_map(|(labels, object)| {
            let capabilities = object.capabilities.iter();
            capabilities.map(move |(name, capability)| (labels, name, capability))
        })
    }
}

impl Object {
    fn read(
        path: &str,
        object: &Properties,
        values: &Properties,
        streams: &Properties,
        has_methods: bool,
    ) -> Self {
        let json = |properties: &Properties, name: &str| match properties
            .get(name)
            .map(|it| to_json(it))
        {
            Some(Value::Object(entries)) => entries,
            _ => Map::new(),
        };
        let text = |name: &str| match object.get(name).map(|it| to_json(it)) {
            Some(Value::String(text)) => short(text),
            _ => String::new(),
        };
        let capabilities = json(object, "Capabilities").into_iter();
        let capabilities = capabilities.map(|(name, description)| {
            let capability = Capability::read(&name, description, values);
            (name, capability)
        });
        let entries = |name| match clipped(Value::Object(json(streams, name))) {
            Value::Object(entries) => entries,
            _ => Map::new(),
        };
        Self {
            path: path.to_owned(),
            name: text("Name"),
            kind: text("Type"),
            capabilities: capabilities.collect(),
            methods: Vec::new(),
            sources: entries("Sources"),
            sinks: entries("Sinks"),
            has_methods,
        }
    }
}

impl Capability {
    fn read(name: &str, description: Value, values: &Properties) -> Self {
        let Value::Object(mut more) = description else {
            return Self::default();
        };
        // The list of who subscribed is long on a busy mesh, and wires show it better.
        more.remove("Subscribers");
        let mut text = |key: &str| match more.remove(key) {
            Some(Value::String(text)) => short(text),
            _ => String::new(),
        };
        let member = Some(text("Member")).filter(|member| !member.is_empty());
        let member = member.unwrap_or_else(|| name.to_owned());
        let (access, hint) = (text("Access"), text("TypeHint"));
        let value = values
            .get(&member)
            .map(|value| inner(value).value_signature().to_string());
        let more = more
            .into_iter()
            .map(|(key, value)| (short(key), clipped(value)));
        Self {
            signature: value.unwrap_or_default(),
            access,
            hint,
            more: more.take(DESCRIPTION_MAX).collect(),
            member,
        }
    }

    /// Whether it can be set.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.access.contains('w')
    }

    /// Whether it emits.
    #[must_use]
    pub fn is_emitter(&self) -> bool {
        self.access.contains('e')
    }

    /// Whether a wire can end here.
    #[must_use]
    pub fn is_target(&self) -> bool {
        self.access.contains(['s', 'w'])
    }
}

/// The id of a capability.
#[must_use]
pub fn id(node: &str, labels: &[String], member: &str) -> String {
    let mut id = String::from(node);
    for label in labels {
        id.push('/');
        id.push_str(label);
    }
    id.push('/');
    id.push_str(member);
    id
}

/// The labels below a root; `None` for a path elsewhere.
#[must_use]
pub fn labels(root: &str, path: &str) -> Option<Vec<String>> {
    match path.strip_prefix(root)? {
        "" => Some(Vec::new()),
        rest => {
            let rest = rest.strip_prefix('/')?;
            Some(rest.split('/').map(str::to_owned).collect())
        }
    }
}

/// A value as it is kept to be shown: what is longer than anybody reads is cut, and says so by its last letter.
#[must_use]
pub fn clipped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(short(text)),
        value @ (Value::Array(_) | Value::Object(_)) => {
            let text = value.to_string();
            match text.len() > TEXT_MAX {
                true => Value::String(short(text)),
                false => value,
            }
        }
        value => value,
    }
}

/// Text of at most [`TEXT_MAX`] octets, the last letter an ellipsis if it was longer.
#[must_use]
pub fn short(mut text: String) -> String {
    if text.len() <= TEXT_MAX {
        return text;
    }
    let mut end = TEXT_MAX - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push('…');
    text
}

fn inner<'a>(value: &'a Variant<'a>) -> &'a Variant<'a> {
    match value {
        Variant::Variant(inner) => inner,
        value => value,
    }
}

/// Octets of one text or list that are shown.
pub const TEXT_MAX: usize = 2048;
/// Entries of a capability's description that are shown.
const DESCRIPTION_MAX: usize = 32;
/// Streams of an object; known by name only, since not every bridge has them.
const STREAMS_INTERFACE: &str = "org.z25.Zocp1.Streams";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_letter() {
        let text = "ä".repeat(TEXT_MAX);
        let cut = short(text);
        assert!(cut.len() <= TEXT_MAX && cut.ends_with('…'), "{}", cut.len());
        assert_eq!(short("short".to_owned()), "short");
        let list = Value::from(vec![1; TEXT_MAX]);
        assert!(matches!(clipped(list), Value::String(text) if text.ends_with('…')));
    }

    #[test]
    fn paths_become_labels() {
        assert_eq!(labels("/a", "/a"), Some(vec![]));
        assert_eq!(labels("/a", "/a/b/c"), Some(vec!["b".into(), "c".into()]));
        assert_eq!(labels("/a", "/ab"), None);
        assert_eq!(id("lamp", &["cam".into()], "zoom"), "lamp/cam/zoom");
    }
}
