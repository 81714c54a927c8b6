//! Moves entries of a patch that pyZOCP put into the wrong object.
//!
//! After `set_object("Cam")` pyZOCP wraps *every* later change in
//! `{"objects": {"Cam": …}}`, also those of the root and of other objects, and such a change
//! has only the entries that changed. Taken literally, a root capability would go stale
//! while a fragment of it appeared in the object.
//!
//! The rule: when a patch is exactly one object's, an entry in it that the object does not
//! have, that the root has, and that is not as registered (no `access`), belongs
//! to the root; likewise objects that only the root has. New capabilities are where they belong.
//! An entry that is in neither place stays where it is, since its place is not known.
//!
//! Spec: docs/reference/protocol.md §4.6.

use serde_json::{Map, Value};

use super::Tree;
use crate::object::{METHODS, OBJECTS, is_registered};

/// The patch with every stray entry moved to the root.
pub(crate) fn straighten(tree: &Tree, mut patch: Map<String, Value>) -> Map<String, Value> {
    let Some((object, inner)) = only_object(&mut patch)
        .and_then(|(name, inner)| Some((tree.root().objects.get(name)?, inner)))
    else {
        return patch;
    };
    let root = tree.root();
    let is_stray = |name: &str, value: &Value| {
        ![OBJECTS, METHODS, "type"].contains(&name)
            && !object.has(name)
            && root.has(name)
            && !is_registered(value)
    };
    let mut moved = take(inner, is_stray);
    if let Some(Value::Object(children)) = inner.get_mut(OBJECTS) {
        let others = take(children, |name, _| {
            !object.objects.contains_key(name) && root.objects.contains_key(name)
        });
        if !others.is_empty() {
            moved.insert(OBJECTS.to_owned(), Value::Object(others));
        }
    }
    if moved.is_empty() {
        return patch;
    }
    combine(&mut patch, moved);
    patch
}

/// The one object that a patch is about.
fn only_object(patch: &mut Map<String, Value>) -> Option<(&str, &mut Map<String, Value>)> {
    if patch.len() != 1 {
        return None;
    }
    let objects = patch.get_mut(OBJECTS)?.as_object_mut()?;
    if objects.len() != 1 {
        return None;
    }
    let (name, inner) = objects.iter_mut().next()?;
    Some((name, inner.as_object_mut()?))
}

fn take(
    from: &mut Map<String, Value>,
    wanted: impl Fn(&str, &Value) -> bool,
) -> Map<String, Value> {
    let names: Vec<_> = from
        .iter()
        .filter(|(name, value)| wanted(name, value))
        .map(|(name, _)| name.clone())
        .collect();
    names
        .into_iter()
        .filter_map(|name| from.remove(&name).map(|value| (name, value)))
        .collect()
}

/// Adds what was moved; the object that it came from is not among it.
fn combine(patch: &mut Map<String, Value>, mut moved: Map<String, Value>) {
    if let (Some(Value::Object(others)), Some(Value::Object(objects))) =
        (moved.remove(OBJECTS), patch.get_mut(OBJECTS))
    {
        objects.extend(
            others
                .into_iter()
                .filter(|(name, _)| !objects.contains_key(name))
                .collect::<Vec<_>>(),
        );
    }
    patch.extend(moved);
}
