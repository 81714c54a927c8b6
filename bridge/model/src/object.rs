//! One object of a tree, and how JSON entries become its parts.
//!
//! Model: an entry of a node's tree is one of
//! - `objects`, a JSON object: the children that are JSON objects become objects;
//! - `methods`, a JSON object that does not look like a capability: methods;
//! - a JSON object with a `value`, or with a string as `access`: a capability;
//! - anything else: data, kept as it came.
//!
//! Invariants: OBJECT-1. `to_json` is the exact inverse of `from_json`. What of `objects` is no object
//! (and an empty `objects` or `methods`) is in `data` under that name.
//! Limits: none here; [`crate::Tree`] checks before it builds. No recursion: objects
//! are read and written with an explicit stack.

use std::{
    collections::{BTreeMap, btree_map},
    ops::Bound,
};

use serde_json::{Map, Value};

use crate::{Capability, Method, ObjectPath};

/// An object: capabilities, methods, objects in it, and plain entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    /// Its capabilities, by the names that the node gave them.
    pub capabilities: BTreeMap<String, Capability>,
    /// Its methods, by name.
    pub methods: BTreeMap<String, Method>,
    /// The objects in it, by name.
    pub objects: BTreeMap<String, Self>,
    /// Every other entry, as it came: `type`, `_location`, ….
    pub data: BTreeMap<String, Value>,
}

impl Object {
    /// The kind of object: its entry `type`.
    pub fn kind(&self) -> Option<&str> {
        self.data.get(TYPE)?.as_str()
    }

    /// The object at `path` below this one.
    pub fn at(&self, path: &ObjectPath) -> Option<&Self> {
        path.segments()
            .iter()
            .try_fold(self, |object, name| object.objects.get(&**name))
    }

    /// Whether such nodes are told of it, and of what is in it.
    pub(crate) fn is_for(&self, audience: Audience) -> bool {
        audience != Audience::Extended || self.kind() != Some(DBUS_OBJECT)
    }

    pub(crate) fn at_mut(&mut self, path: &ObjectPath) -> Option<&mut Self> {
        path.segments()
            .iter()
            .try_fold(self, |object, name| object.objects.get_mut(&**name))
    }

    /// This object and all below it, parents first.
    pub fn walk(&self) -> impl Iterator<Item = (ObjectPath, &Self)> {
        let mut open = vec![(ObjectPath::root(), self)];
        std::iter::from_fn(move || {
            let (path, object) = open.pop()?;
            open.extend(
                object
                    .objects
                    .iter()
                    .rev()
                    .map(|(name, child)| (path.child(name), child)),
            );
            Some((path, object))
        })
    }

    /// Whether it has an entry of this name, of whatever kind.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.capabilities.contains_key(name)
            || self.data.contains_key(name)
            || (name == OBJECTS && !self.objects.is_empty())
            || (name == METHODS && !self.methods.is_empty())
    }

    /// Reads the entries of an object and of all below it.
    pub(crate) fn from_json(entries: Map<String, Value>) -> Self {
        let mut root = Self::default();
        let mut open = vec![(ObjectPath::root(), entries)];
        while let Some((path, entries)) = open.pop() {
            let Some(object) = root.at_mut(&path) else {
                continue;
            };
            for (name, value) in entries {
                for (child, entries) in object.insert(name, value) {
                    object.objects.insert(child.clone(), Self::default());
                    open.push((path.child(&child), entries));
                }
            }
        }
        root
    }

    /// Puts in an entry that it does not have; gives the child objects still to be read.
    pub(crate) fn insert(
        &mut self,
        name: String,
        value: Value,
    ) -> Vec<(String, Map<String, Value>)> {
        match value {
            Value::Object(children) if name == OBJECTS && !children.is_empty() => {
                return self.insert_objects(children);
            }
            Value::Object(methods) if name == METHODS && is_methods(&methods) => {
                self.methods.extend(
                    methods
                        .into_iter()
                        .map(|(name, entry)| (name, Method::from_json(entry))),
                );
            }
            Value::Object(entry) if name != OBJECTS && is_capability(&entry) => {
                let mut capability = Capability::from_json(entry);
                self.share_info(&name, &mut capability);
                self.capabilities.insert(name, capability);
            }
            value => {
                self.data.insert(name, value);
            }
        }
        Vec::new()
    }

    /// Capabilities that are alike have names that are, too (`fader 1`, `fader 2`): most of
    /// them share one description with their neighbour.
    fn share_info(&self, name: &str, capability: &mut Capability) {
        let before = self
            .capabilities
            .range::<str, _>((Bound::Unbounded, Bound::Excluded(name)))
            .next_back();
        if let Some((_, neighbour)) = before.filter(|(_, other)| other.info == capability.info) {
            capability.info = neighbour.info.clone();
        }
    }

    fn insert_objects(
        &mut self,
        children: Map<String, Value>,
    ) -> Vec<(String, Map<String, Value>)> {
        let mut objects = Vec::new();
        let mut rest = Map::new();
        for (name, child) in children {
            match child {
                Value::Object(entries) => objects.push((name, entries)),
                other => {
                    rest.insert(name, other);
                }
            }
        }
        if !rest.is_empty() {
            self.data.insert(OBJECTS.to_owned(), Value::Object(rest));
        }
        objects
    }

    /// The entries as they came.
    pub fn to_json(&self) -> Map<String, Value> {
        self.to_json_with(|_, capability| capability.to_json(), Audience::Everyone)
    }

    /// The entries as they are for some nodes, capabilities written by `write`.
    pub(crate) fn to_json_with(
        &self,
        write: impl Fn(&str, &Capability) -> Map<String, Value>,
        audience: Audience,
    ) -> Map<String, Value> {
        let mut open = vec![Writing::new("", self, self.own_json(&write, audience))];
        let mut done: Option<(&str, Map<String, Value>)> = None;
        while let Some(mut object) = open.pop() {
            if let Some((name, entries)) = done.take() {
                object
                    .objects
                    .insert(name.to_owned(), Value::Object(entries));
            }
            if let Some((name, child)) = object.children.find(|(_, child)| child.is_for(audience)) {
                open.push(object);
                open.push(Writing::new(name, child, child.own_json(&write, audience)));
            } else {
                done = Some((object.name, object.end()));
            }
        }
        done.map(|(_, entries)| entries).unwrap_or_default()
    }

    fn own_json(
        &self,
        write: impl Fn(&str, &Capability) -> Map<String, Value>,
        audience: Audience,
    ) -> Map<String, Value> {
        let mut entries: Map<String, Value> = self
            .data
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let capabilities = self.capabilities.iter();
        entries.extend(
            capabilities
                .map(|(name, capability)| (name.clone(), Value::Object(write(name, capability)))),
        );
        if audience != Audience::Plain && !self.methods.is_empty() {
            let methods = self
                .methods
                .iter()
                .map(|(name, method)| (name.clone(), method.to_json()))
                .collect();
            entries.insert(METHODS.to_owned(), Value::Object(methods));
        }
        entries
    }
}

/// An object that is being written, and those of its children that are not yet.
struct Writing<'a> {
    name: &'a str,
    children: btree_map::Iter<'a, String, Object>,
    entries: Map<String, Value>,
    objects: Map<String, Value>,
}

impl<'a> Writing<'a> {
    fn new(name: &'a str, object: &'a Object, entries: Map<String, Value>) -> Self {
        Self {
            name,
            children: object.objects.iter(),
            entries,
            objects: Map::new(),
        }
    }

    fn end(mut self) -> Map<String, Value> {
        if self.objects.is_empty() {
            return self.entries;
        }
        // Beside them is what of `objects` is no object (OBJECT-1).
        if let Some(Value::Object(rest)) = self.entries.remove(OBJECTS) {
            self.objects.extend(rest);
        }
        self.entries
            .insert(OBJECTS.to_owned(), Value::Object(self.objects));
        self.entries
    }
}

/// Which nodes a part of a tree is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// All of them.
    Everyone,
    /// Those with our additions. They know methods, and have objects of D-Bus otherwise.
    Extended,
    /// Those without.
    Plain,
}

/// Whether an entry is a capability and not plain data.
pub(crate) fn is_capability(entry: &Map<String, Value>) -> bool {
    // protocol.md §4.2
    entry.contains_key("value") || entry.get("access").is_some_and(Value::is_string)
}

/// Whether the entry `methods` holds methods: an old node may have a capability so named.
pub(crate) fn is_methods(entry: &Map<String, Value>) -> bool {
    let named_value = entry.get("value").is_some_and(|value| !value.is_object());
    !entry.is_empty() && !named_value && !entry.get("access").is_some_and(Value::is_string)
}

/// Whether an entry is as registered, and not merely a part that someone set or changed.
pub(crate) fn is_registered(entry: &Value) -> bool {
    entry.get("access").is_some_and(Value::is_string)
}

/// The entry that holds the objects in an object.
pub(crate) const OBJECTS: &str = "objects";
/// The entry that says what kind of object it is.
pub(crate) const TYPE: &str = "type";
/// The entry that holds the methods of an object.
pub(crate) const METHODS: &str = "methods";
/// The type of an object that stands for one of D-Bus: nodes with our additions are not told of it, nor of
/// what is in it, since they can have the object itself.
pub const DBUS_OBJECT: &str = "dbus-object";
