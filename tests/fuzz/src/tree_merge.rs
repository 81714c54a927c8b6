//! A tree and patches to it.
//!
//! Input: limits, a tree and patches (`arbitrary`, in ZOCP's words).
//! Holds: a tree is written as it was read; it is within its limits (T1), or the patch was refused and
//! nothing changed; a patch merged again changes nothing (T2); whoever follows the changes alone has the
//! same tree; what a path names is found under its text.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use zocp_model::{CapPath, Capability, Change, Limits, Method, ObjectPath, Tree, Value};

use crate::json;

/// Runs the target.
pub fn run(data: &[u8]) {
    // An input that ends early has been enough.
    let _ = operate(&mut Unstructured::new(data));
}

fn operate(input: &mut Unstructured<'_>) -> Result<()> {
    let limits = limits(input)?;
    let first = Value::Object(json::object(input)?);
    let Ok(mut tree) = Tree::from_json(first.clone(), &limits) else {
        return Ok(());
    };
    assert_eq!(tree.to_json(), first);
    check(&tree, &limits);
    while !input.is_empty() {
        let patch = Value::Object(json::object(input)?);
        crate::show(&patch);
        merge(&mut tree, &patch, &limits);
    }
    Ok(())
}

fn limits(input: &mut Unstructured<'_>) -> Result<Limits> {
    let mut limits = Limits::default();
    if input.arbitrary()? {
        limits.tree_size_max = 64 * usize::from(input.arbitrary::<u8>()?);
        limits.capabilities_max = usize::from(input.arbitrary::<u8>()? % 8);
        limits.objects_max = usize::from(input.arbitrary::<u8>()? % 8);
        limits.depth_max = usize::from(input.arbitrary::<u8>()? % 8);
        limits.name_len_max = usize::from(input.arbitrary::<u8>()? % 16);
    }
    Ok(limits)
}

fn merge(tree: &mut Tree, patch: &Value, limits: &Limits) {
    let before = tree.clone();
    let mut followed = Followed::of(tree);
    let Ok(changes) = tree.merge(patch, limits) else {
        assert_eq!(*tree, before, "a refused patch changes nothing");
        assert_eq!(tree.capability_count(), before.capability_count());
        assert_eq!(tree.object_count(), before.object_count());
        return;
    };
    for change in &changes {
        followed.follow(change);
    }
    assert_eq!(followed, Followed::of(tree), "told {changes:#?} of {patch}");
    assert_eq!(changes.is_empty(), *tree == before, "{changes:?}");
    check(tree, limits);
    let again = tree.merge(patch, limits);
    assert_eq!(again, Ok(Vec::new()), "{patch} a second time");
}

fn check(tree: &Tree, limits: &Limits) {
    assert_eq!(tree.capability_count(), tree.capabilities().count());
    assert_eq!(tree.object_count(), tree.root().walk().count() - 1);
    assert!(tree.capability_count() <= limits.capabilities_max);
    assert!(tree.object_count() <= limits.objects_max);
    let whole = tree.to_json();
    let again = Tree::from_json(whole, limits);
    assert_eq!(
        again.as_ref(),
        Ok(tree),
        "within its limits, and written as it is"
    );
    for (path, capability) in tree.capabilities() {
        let found = tree.resolve(&path.to_string());
        assert!(found.is_some(), "{path:?}");
        assert_eq!(tree.capability(&path), Some(capability));
    }
}

/// What someone knows who sees a tree once and then only its changes.
#[derive(Debug, Default, PartialEq)]
struct Followed {
    objects: BTreeMap<ObjectPath, ()>,
    capabilities: BTreeMap<CapPath, Capability>,
    methods: BTreeMap<(ObjectPath, String), Method>,
    data: BTreeMap<(ObjectPath, String), Value>,
}

impl Followed {
    fn of(tree: &Tree) -> Self {
        let mut followed = Self::default();
        for (path, object) in tree.root().walk() {
            followed.objects.insert(path.clone(), ());
            for (name, capability) in &object.capabilities {
                let path = path.capability(name);
                followed.capabilities.insert(path, capability.clone());
            }
            for (name, method) in &object.methods {
                let key = (path.clone(), name.clone());
                followed.methods.insert(key, method.clone());
            }
            for (name, value) in &object.data {
                let key = (path.clone(), name.clone());
                followed.data.insert(key, value.clone());
            }
        }
        followed
    }

    fn follow(&mut self, change: &Change) {
        match change {
            Change::ObjectAdded(path) => {
                self.objects.insert(path.clone(), ());
            }
            Change::ObjectRemoved(path) => self.remove(path),
            Change::CapabilityAdded { path, capability }
            | Change::CapabilityChanged { path, capability } => {
                self.capabilities.insert(path.clone(), capability.clone());
            }
            Change::CapabilityRemoved { path } => {
                self.capabilities.remove(path);
            }
            Change::Value { path, value } => {
                let known = self.capabilities.get_mut(path);
                known.expect("a value of what is known").value = Some(value.clone());
            }
            Change::Method {
                object,
                name,
                method,
            } => {
                replace(&mut self.methods, object, name, method.clone());
            }
            Change::Data {
                object,
                name,
                value,
            } => {
                replace(&mut self.data, object, name, value.clone());
            }
            other => panic!("{other:?} is not followed"),
        }
    }

    fn remove(&mut self, path: &ObjectPath) {
        self.objects.retain(|there, ()| !there.starts_with(path));
        self.capabilities
            .retain(|there, _| !there.object.starts_with(path));
        self.methods
            .retain(|(there, _), _| !there.starts_with(path));
        self.data.retain(|(there, _), _| !there.starts_with(path));
    }
}

fn replace<T>(
    map: &mut BTreeMap<(ObjectPath, String), T>,
    object: &ObjectPath,
    name: &str,
    new: Option<T>,
) {
    let key = (object.clone(), name.to_owned());
    match new {
        Some(new) => map.insert(key, new),
        None => map.remove(&key),
    };
}
