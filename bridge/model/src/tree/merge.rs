//! The deep merge of a part of a tree, and the list of what it changed.
//!
//! Spec: docs/reference/protocol.md §4.5.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Change, Tree};
use crate::dialect::Dialect;
use crate::{
    CapPath, Capability, Method, Object, ObjectPath, json,
    object::{METHODS, OBJECTS, is_methods},
};

/// What a merge did.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// What it changed, in order.
    pub(crate) changes: Vec<Change>,
    /// Capabilities known before that the patch brought a value for, also an equal one.
    pub(crate) valued: Vec<CapPath>,
}

impl Tree {
    /// Merges without looking at limits. The counts of capabilities and objects stay exact.
    pub(super) fn apply(&mut self, patch: &Map<String, Value>, dialect: Dialect) -> Merged {
        let mut merged = Merged::default();
        let mut open = vec![(ObjectPath::root(), patch)];
        while let Some((path, patch)) = open.pop() {
            let Some(object) = self.root.at_mut(&path) else {
                continue;
            };
            let mut step = Step {
                object,
                path: &path,
                merged: &mut merged,
                dialect,
                children: Vec::new(),
                data: BTreeSet::new(),
                methods: BTreeSet::new(),
            };
            step.run(patch);
            let children = step.children;
            open.extend(
                children
                    .into_iter()
                    .rev()
                    .map(|(name, patch)| (path.child(name), patch)),
            );
        }
        self.recount(&merged.changes);
        merged
    }

    /// Follows the changes; objects that went took an unknown number along.
    fn recount(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::ObjectAdded(_) => self.totals.objects += 1,
                Change::CapabilityAdded { .. } => self.totals.capabilities += 1,
                Change::CapabilityRemoved { .. } => {
                    self.totals.capabilities = self.totals.capabilities.saturating_sub(1)
                }
                _ => {}
            }
        }
        if changes
            .iter()
            .any(|change| matches!(change, Change::ObjectRemoved(_)))
        {
            self.totals = self.count();
        }
    }
}

/// The merge of one object's entries.
struct Step<'t, 'p> {
    object: &'t mut Object,
    path: &'t ObjectPath,
    merged: &'t mut Merged,
    dialect: Dialect,
    /// Objects in it that have a part of their own to merge.
    children: Vec<(&'p str, &'p Map<String, Value>)>,
    /// Plain entries that changed; told at the end, each once.
    data: BTreeSet<String>,
    /// The same of methods.
    methods: BTreeSet<String>,
}

impl<'p> Step<'_, 'p> {
    fn run(&mut self, patch: &'p Map<String, Value>) {
        for (name, part) in patch {
            match part {
                Value::Object(parts) if name == OBJECTS => self.objects(parts),
                _ if name == OBJECTS => self.replace_objects(part),
                Value::Object(parts) if name == METHODS && self.merges_methods(parts) => {
                    match self.no_methods(parts) {
                        Some(other) => self.replace(METHODS, Value::Object(other)),
                        None => self.methods(parts),
                    }
                }
                Value::Object(part) if self.object.capabilities.contains_key(name) => {
                    self.capability(name, part)
                }
                _ => self.entry(name, part),
            }
        }
        self.settle_methods();
        self.tell_entries();
    }

    /// Parts of `methods` may add up to what reads as a capability: then it is one, as if it had come
    /// whole. `None` if they are methods.
    fn no_methods(&self, parts: &Map<String, Value>) -> Option<Map<String, Value>> {
        let methods = self.object.methods.iter();
        let mut whole: Map<_, _> = methods
            .map(|(name, method)| (name.clone(), method.to_json()))
            .collect();
        json::merge(&mut whole, parts);
        let mut left = whole.clone();
        left.retain(|name, _| !parts.get(name).is_some_and(Value::is_null));
        (!left.is_empty() && !is_methods(&left)).then_some(whole)
    }

    /// And those of a capability of that name to what reads as methods.
    fn settle_methods(&mut self) {
        let capability = self.object.capabilities.get(METHODS);
        if let Some(mut entry) = capability.map(Capability::to_json)
            && is_methods(&entry)
        {
            entry.retain(|_, part| !part.is_null());
            self.replace(METHODS, Value::Object(entry));
        }
    }

    fn replace(&mut self, name: &str, value: Value) {
        self.remove(name);
        self.insert(name, value);
    }

    fn tell_entries(&mut self) {
        let (object, path) = (&*self.object, self.path);
        let methods = std::mem::take(&mut self.methods).into_iter();
        let data = std::mem::take(&mut self.data).into_iter();
        let methods = methods.map(|name| Change::Method {
            object: path.clone(),
            method: object.methods.get(&name).cloned(),
            name,
        });
        let data = data.map(|name| Change::Data {
            object: path.clone(),
            value: object.data.get(&name).cloned(),
            name,
        });
        self.merged.changes.extend(methods.chain(data));
    }

    fn capability(&mut self, name: &str, part: &Map<String, Value>) {
        let Some(capability) = self.object.capabilities.get_mut(name) else {
            return;
        };
        let before = capability.clone();
        capability.merge(part, self.dialect);
        if capability.value.is_none() && !self.still_is_capability(name) {
            return;
        }
        let Some(capability) = self.object.capabilities.get(name) else {
            return;
        };
        let path = self.path.capability(name);
        if before.info != capability.info {
            let capability = capability.clone();
            self.merged.changes.push(Change::CapabilityChanged {
                path: path.clone(),
                capability,
            });
        }
        if let Some(value) = capability
            .value
            .as_ref()
            .filter(|value| before.value.as_ref() != Some(*value))
        {
            self.merged.changes.push(Change::Value {
                path: path.clone(),
                value: value.clone(),
            });
        }
        if part.contains_key("value") {
            self.merged.valued.push(path);
        }
    }

    /// One without a value was one by its `access` alone, which a patch may have spoilt.
    fn still_is_capability(&mut self, name: &str) -> bool {
        let Some(capability) = self.object.capabilities.remove(name) else {
            return false;
        };
        let mut entry = capability.to_json();
        let is_methods = name == METHODS && is_methods(&entry);
        if is_methods {
            entry.retain(|_, part| !part.is_null());
        }
        if !is_methods || !entry.is_empty() {
            self.object.insert(name.to_owned(), Value::Object(entry));
        }
        if self.object.capabilities.contains_key(name) {
            return true;
        }
        self.merged.changes.push(Change::CapabilityRemoved {
            path: self.path.capability(name),
        });
        if is_methods {
            self.methods.extend(self.object.methods.keys().cloned());
        } else {
            self.data.insert(name.to_owned());
        }
        false
    }

    /// An entry that is, or becomes, anything but what the other steps are for.
    fn entry(&mut self, name: &str, part: &Value) {
        let old = self.object.data.get(name);
        let new = match (old, part) {
            (_, Value::Null) => None,
            (Some(Value::Object(old)), Value::Object(part)) => {
                let mut new = old.clone();
                json::merge(&mut new, part);
                Some(Value::Object(new))
            }
            _ => Some(part.clone()),
        };
        if new.is_some() && new.as_ref() == old {
            return;
        }
        match new {
            Some(new) => self.replace(name, new),
            None => self.remove(name),
        }
    }

    /// Removes an entry of whatever kind.
    fn remove(&mut self, name: &str) {
        if self.object.data.remove(name).is_some() {
            self.data.insert(name.to_owned());
        }
        if self.object.capabilities.remove(name).is_some() {
            self.merged.changes.push(Change::CapabilityRemoved {
                path: self.path.capability(name),
            });
        }
        if name == METHODS {
            let methods = std::mem::take(&mut self.object.methods);
            self.methods.extend(methods.into_keys());
        }
    }

    /// Puts in an entry that is not there, and tells what it became.
    fn insert(&mut self, name: &str, value: Value) {
        self.object.insert(name.to_owned(), value);
        if let Some(capability) = self.object.capabilities.get(name) {
            let added = Change::CapabilityAdded {
                path: self.path.capability(name),
                capability: capability.clone(),
            };
            self.merged.changes.push(added);
        } else if name == METHODS && !self.object.methods.is_empty() {
            self.methods.extend(self.object.methods.keys().cloned());
        } else {
            self.data.insert(name.to_owned());
        }
    }

    /// Whether a part of `methods` is about methods: known ones make it so.
    fn merges_methods(&self, parts: &Map<String, Value>) -> bool {
        let is_other = self.object.capabilities.contains_key(METHODS);
        !self.object.methods.is_empty() || (is_methods(parts) && !is_other)
    }

    fn methods(&mut self, parts: &Map<String, Value>) {
        if self.object.data.remove(METHODS).is_some() {
            self.data.insert(METHODS.to_owned());
        }
        let methods = &mut self.object.methods;
        for (name, part) in parts {
            let old = methods.remove(name);
            let new = merged_method(old.as_ref(), part);
            if new != old {
                self.methods.insert(name.clone());
            }
            if let Some(new) = new {
                methods.insert(name.clone(), new);
            }
        }
    }

    /// `objects` becomes something that is no JSON object: all of them are gone.
    fn replace_objects(&mut self, part: &Value) {
        for name in std::mem::take(&mut self.object.objects).into_keys() {
            self.merged
                .changes
                .push(Change::ObjectRemoved(self.path.child(&name)));
        }
        self.entry(OBJECTS, part);
    }

    fn objects(&mut self, parts: &'p Map<String, Value>) {
        if self
            .object
            .data
            .get(OBJECTS)
            .is_some_and(|rest| !rest.is_object())
        {
            self.remove(OBJECTS);
        }
        if parts.is_empty()
            && self.object.objects.is_empty()
            && !self.object.data.contains_key(OBJECTS)
        {
            self.insert(OBJECTS, Value::Object(Map::new()));
        }
        for (name, part) in parts {
            match part {
                Value::Object(entries) if self.object.objects.contains_key(name) => {
                    self.children.push((name, entries))
                }
                Value::Object(entries) => {
                    self.leftover(name, None);
                    // Merged into an empty object, so that `null` means the same as everywhere.
                    self.object.objects.insert(name.clone(), Object::default());
                    self.merged
                        .changes
                        .push(Change::ObjectAdded(self.path.child(name)));
                    self.children.push((name, entries));
                }
                other => {
                    if self.object.objects.remove(name).is_some() {
                        self.merged
                            .changes
                            .push(Change::ObjectRemoved(self.path.child(name)));
                    }
                    self.leftover(name, Some(other).filter(|other| !other.is_null()));
                }
            }
        }
    }

    /// Sets or removes what is in `objects` without being an object.
    fn leftover(&mut self, name: &str, value: Option<&Value>) {
        let mut rest = match self.object.data.remove(OBJECTS) {
            Some(Value::Object(rest)) => rest,
            _ if value.is_none() => return,
            _ => Map::new(),
        };
        // An empty one stood for having no objects.
        let was_empty = rest.is_empty();
        let before = match value {
            Some(value) => rest.insert(name.to_owned(), value.clone()),
            None => rest.remove(name),
        };
        if was_empty || before.as_ref() != value {
            self.data.insert(OBJECTS.to_owned());
        }
        if !rest.is_empty() {
            self.object
                .data
                .insert(OBJECTS.to_owned(), Value::Object(rest));
        }
    }
}

/// What a part of an entry of `methods` makes of it.
fn merged_method(old: Option<&Method>, part: &Value) -> Option<Method> {
    let entry = match (old.map(Method::to_json), part) {
        (_, Value::Null) => return None,
        (Some(Value::Object(mut old)), Value::Object(part)) => {
            json::merge(&mut old, part);
            Value::Object(old)
        }
        _ => part.clone(),
    };
    Some(Method::from_json(entry))
}
