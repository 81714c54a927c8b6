//! How removals are described to old peers.
//!
//! pyZOCP merges what it receives into what it knows: an entry can be replaced, but not removed, and a program
//! that finds `null` in place of a capability or an object ends with an exception. So a capability stays there as
//! one that can be neither read, set, emitted nor wired, without bounds; an object as one of the type
//! [`GONE`], its capabilities as above; of plain entries what is empty. What is published again under its name is sent
//! whole, which restores it.
//! Spec: docs/reference/protocol.md §5.11.

use serde_json::{Map, Value};

use crate::{
    Capability, Object, ObjectPath, Tree,
    message::object_in,
    object::{OBJECTS, TYPE},
};

/// What is left, for an old peer, of what `entries` has as null in an object.
pub(super) fn left_of(
    tree: &Tree,
    object: &ObjectPath,
    entries: &Map<String, Value>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    let Some(known) = tree.object(object) else {
        return patch;
    };
    for (name, part) in entries {
        if let Some(children) = part.as_object().filter(|_| name == OBJECTS) {
            let gone = children.iter().filter(|(_, child)| child.is_null());
            for (name, _) in gone {
                if let Some(child) = known.objects.get(name) {
                    left_of_object(&mut patch, &object.child(name), child);
                }
            }
            continue;
        }
        let left = match (known.capabilities.get(name), known.data.get(name)) {
            (Some(capability), _) => Value::Object(left_of_capability(capability)),
            (None, Some(data)) => emptied(data),
            (None, None) => continue,
        };
        if let Some(into) = object_in(&mut patch, object) {
            into.insert(name.clone(), left);
        }
    }
    patch
}

/// The object and all that is in it.
fn left_of_object(patch: &mut Map<String, Value>, path: &ObjectPath, object: &Object) {
    for (below, object) in object.walk() {
        let below: ObjectPath = path
            .segments()
            .iter()
            .chain(below.segments())
            .cloned()
            .collect();
        let Some(into) = object_in(patch, &below) else {
            continue;
        };
        for (name, capability) in &object.capabilities {
            into.insert(name.clone(), Value::Object(left_of_capability(capability)));
        }
        for (name, data) in &object.data {
            into.insert(name.clone(), emptied(data));
        }
        into.insert(TYPE.to_owned(), Value::from(GONE));
    }
}

/// The value stays, but for one that is an object: programs calculate with it, and whatever stood there would be
/// none either.
fn left_of_capability(capability: &Capability) -> Map<String, Value> {
    let said = capability.to_json();
    let stays = ["value", "typeHint", "access", "subscribers"];
    let mut left: Map<String, Value> = said
        .into_iter()
        .filter(|(name, _)| !stays.contains(&name.as_str()))
        .map(|(name, _)| (name, Value::Null))
        .collect();
    if capability.value.as_ref().is_some_and(Value::is_object) {
        // Another one would be merged into it.
        left.insert("value".to_owned(), Value::Null);
    }
    left.insert("access".to_owned(), Value::from(""));
    left.insert("subscribers".to_owned(), Value::Array(Vec::new()));
    left
}

/// An empty entry of the same kind, where there is one that replaces what is merged.
fn emptied(data: &Value) -> Value {
    match data {
        Value::String(_) => Value::from(""),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// The type of an object that is gone.
const GONE: &str = "gone";
