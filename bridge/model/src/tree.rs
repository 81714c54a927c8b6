//! A node's whole tree: read, merged, searched, within limits.
//!
//! Model: a [`Tree`] owns its root [`Object`] and knows how much it holds. A merge tells
//! what it changed as a list of [`Change`]s, so that a mirror follows without comparing.
//! Invariants: TREE-1. A tree is within its limits, or the patch that would break them is refused as a
//! whole and nothing changed. TREE-2. Merging the same patch again changes nothing.
//! Limits: size, depth, capabilities, objects, length of names.
//!
//! A merge is pyZOCP's (object into object, everything else replaces) with one
//! addition: `null` in place of an entry, an object or a method removes it. pyZOCP writes such
//! a `null` only to say that it has nothing of that name.

mod filter;
mod lookup;
mod merge;
mod relocation;

use serde_json::{Map, Value};

use crate::{
    CapPath, Capability, Limits, Method, Object, ObjectPath, dialect::Dialect, json,
    object::METHODS,
};

pub(crate) use filter::prune;
pub(crate) use merge::Merged;
pub(crate) use relocation::straighten;

/// The tree of a node: capabilities, methods and plain entries, in nested objects.
///
/// ```
/// use zocp_model::{Change, Limits, Tree, Value};
/// let limits = Limits::default();
/// let json = |text: &str| text.parse::<Value>().unwrap();
/// let mut tree = Tree::from_json(json(r#"{"dim": {"value": 1, "access": "rw"}}"#), &limits).unwrap();
/// let changes = tree.merge(&json(r#"{"dim": {"value": 2}}"#), &limits).unwrap();
/// assert!(matches!(&changes[..], [Change::Value { value, .. }] if *value == Value::from(2)));
/// assert_eq!(tree.resolve("dim").unwrap().to_string(), "dim");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tree {
    root: Object,
    totals: Totals,
}

/// The size of a tree. `size` is never too small, and made exact when it matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    size: usize,
    capabilities: usize,
    objects: usize,
}

/// The memory and the objects that trees take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) size: usize,
    pub(crate) objects: usize,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a whole tree.
    pub fn from_json(value: Value, limits: &Limits) -> Result<Self, TreeError> {
        check(&value, 0, limits)?;
        let Value::Object(entries) = value else {
            return Err(TreeError::NotAnObject);
        };
        let mut tree = Self {
            root: Object::from_json(entries),
            totals: Totals::default(),
        };
        tree.totals = tree.count();
        tree.totals.check(limits)?;
        Ok(tree)
    }

    /// The tree as it came: the exact inverse of [`Self::from_json`].
    pub fn to_json(&self) -> Value {
        Value::Object(self.root.to_json())
    }

    /// The root object.
    pub fn root(&self) -> &Object {
        &self.root
    }

    /// The object at a place.
    pub fn object(&self, path: &ObjectPath) -> Option<&Object> {
        self.root.at(path)
    }

    /// The capability at a place.
    pub fn capability(&self, path: &CapPath) -> Option<&Capability> {
        self.object(&path.object)?.capabilities.get(&*path.name)
    }

    /// The method at a place.
    pub fn method(&self, path: &CapPath) -> Option<&Method> {
        self.object(&path.object)?.methods.get(&*path.name)
    }

    pub(crate) fn capability_mut(&mut self, path: &CapPath) -> Option<&mut Capability> {
        self.root
            .at_mut(&path.object)?
            .capabilities
            .get_mut(&*path.name)
    }

    /// Every capability, the root's first.
    pub fn capabilities(&self) -> impl Iterator<Item = (CapPath, &Capability)> {
        self.root.walk().flat_map(|(path, object)| {
            object
                .capabilities
                .iter()
                .map(move |(name, capability)| (path.capability(name), capability))
        })
    }

    /// How many capabilities there are.
    pub fn capability_count(&self) -> usize {
        self.totals.capabilities
    }

    /// What it takes, at most.
    pub(crate) fn held(&self) -> Held {
        Held {
            size: self.totals.size,
            objects: self.totals.objects,
        }
    }

    /// How many objects there are below the root.
    pub fn object_count(&self) -> usize {
        self.totals.objects
    }

    /// Merges part of a tree, or nothing of it when it breaks a limit.
    pub fn merge(&mut self, patch: &Value, limits: &Limits) -> Result<Vec<Change>, TreeError> {
        let patch = patch.as_object().ok_or(TreeError::NotAnObject)?;
        self.merge_object(patch, limits, Dialect::Python)
            .map(|merged| merged.changes)
    }

    pub(crate) fn merge_object(
        &mut self,
        patch: &Map<String, Value>,
        limits: &Limits,
        dialect: Dialect,
    ) -> Result<Merged, TreeError> {
        let mut most = self.totals;
        for (name, value) in patch {
            let measure = check(value, 1, limits)?;
            check_name(name, limits)?;
            most.size += measure.size + name.len();
            most.capabilities += measure.maps;
            most.objects += measure.maps;
        }
        if most.check(limits).is_ok() {
            self.totals.size = most.size;
            return Ok(self.apply(patch, dialect));
        }
        // Only what the patch replaces can tell whether it fits.
        let mut trial = self.clone();
        let merged = trial.apply(patch, dialect);
        trial.totals = trial.count();
        trial.totals.check(limits)?;
        *self = trial;
        Ok(merged)
    }

    /// Replaces a value, as a signal does: no merge into values that are objects.
    pub(crate) fn replace_value(
        &mut self,
        path: &CapPath,
        value: Value,
        limits: &Limits,
    ) -> Result<Replaced, TreeError> {
        // The tree, each object with the `objects` that it is in, the capability.
        let measure = check(&value, 2 + 2 * path.object.segments().len(), limits)?;
        if self.totals.size + measure.size > limits.tree_size_max {
            self.totals = self.count();
        }
        let most = Totals {
            size: self.totals.size + measure.size,
            ..self.totals
        };
        most.check(limits)?;
        let Some(capability) = self.capability_mut(path) else {
            return Ok(Replaced::Unknown);
        };
        if capability.value.as_ref() == Some(&value) {
            return Ok(Replaced::Equal);
        }
        capability.value = Some(value);
        self.totals.size = most.size;
        Ok(Replaced::Different)
    }

    /// Counts what is there now.
    fn count(&self) -> Totals {
        let mut totals = Totals::default();
        for (_, object) in self.root.walk() {
            totals.capabilities += object.capabilities.len();
            totals.objects += object.objects.len();
            totals.size += object
                .objects
                .keys()
                .map(|name| name.len() + json::VALUE_SIZE)
                .sum::<usize>();
            for (name, capability) in &object.capabilities {
                totals.size += name.len() + size(&Value::Object(capability.to_json()));
            }
            if !object.methods.is_empty() {
                let nodes = object.methods.len().div_ceil(json::NODE_LEN);
                totals.size += METHODS.len() + json::VALUE_SIZE + nodes * json::NODE_SIZE;
            }
            for (name, method) in &object.methods {
                totals.size += name.len() + size(&method.to_json());
            }
            for (name, value) in &object.data {
                totals.size += name.len() + size(value);
            }
        }
        totals
    }
}

impl Totals {
    fn check(&self, limits: &Limits) -> Result<(), TreeError> {
        if self.size > limits.tree_size_max {
            return Err(TreeError::TooLarge {
                max: limits.tree_size_max,
            });
        }
        if self.capabilities > limits.capabilities_max {
            return Err(TreeError::TooManyCapabilities {
                max: limits.capabilities_max,
            });
        }
        if self.objects > limits.objects_max {
            return Err(TreeError::TooManyObjects {
                max: limits.objects_max,
            });
        }
        Ok(())
    }
}

/// What replacing a value came to.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// There is no such capability.
    Unknown,
    /// It was that already.
    Equal,
    /// It is new.
    Different,
}

impl Replaced {
    /// What that changed, if anything.
    pub(crate) fn changes(self, path: &CapPath, value: Value) -> Option<Vec<Change>> {
        let path = path.clone();
        matches!(self, Self::Different).then(|| vec![Change::Value { path, value }])
    }
}

/// What a merge changed; in order, objects before what is in them.
///
/// An `Added` may name what is known already when a mirror looked at the tree in the
/// meantime: it stands for "is now so".
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// An object was added. Its parts follow as changes of their own.
    ObjectAdded(ObjectPath),
    /// An object was removed with everything in it.
    ObjectRemoved(ObjectPath),
    /// A capability was added.
    CapabilityAdded {
        /// Its path.
        path: CapPath,
        /// The capability.
        capability: Capability,
    },
    /// The description of a capability changed. If its value changed as well, a `Value` follows.
    CapabilityChanged {
        /// Its path.
        path: CapPath,
        /// The new description.
        capability: Capability,
    },
    /// A capability was removed.
    CapabilityRemoved {
        /// The path that it had.
        path: CapPath,
    },
    /// The value of a capability changed.
    Value {
        /// The capability.
        path: CapPath,
        /// The new value.
        value: Value,
    },
    /// A method was added, changed or removed.
    Method {
        /// The object that has it.
        object: ObjectPath,
        /// Its name, as the node wrote it.
        name: String,
        /// Its declaration; `None` if it was removed.
        method: Option<Method>,
    },
    /// A plain entry was added, changed or removed.
    Data {
        /// The object that has it.
        object: ObjectPath,
        /// Its name, as the node wrote it.
        name: String,
        /// Its value; `None` if it was removed.
        value: Option<Value>,
    },
}

/// Measures a value, around which there are `around` objects of the tree, against the limits of depth
/// and names.
fn check(value: &Value, around: usize, limits: &Limits) -> Result<json::Measure, TreeError> {
    let measure = json::measure(value, limits.depth());
    if measure.depth + around > limits.depth() {
        return Err(TreeError::TooDeep {
            max: limits.depth(),
        });
    }
    if measure.key_len > limits.name_len_max {
        return Err(TreeError::NameTooLong {
            max: limits.name_len_max,
        });
    }
    Ok(measure)
}

fn check_name(name: &str, limits: &Limits) -> Result<(), TreeError> {
    if name.len() > limits.name_len_max {
        return Err(TreeError::NameTooLong {
            max: limits.name_len_max,
        });
    }
    Ok(())
}

fn size(value: &Value) -> usize {
    json::measure(value, usize::MAX).size
}

/// Why a tree or a part of one is not taken. Fault of who wrote it; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A tree is a JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Nested too deep.
    #[error("nested more than {max} deep")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// More memory than a tree may take.
    #[error("the tree would need more than {max} octets of memory")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Too many capabilities.
    #[error("more than {max} capabilities")]
    TooManyCapabilities {
        /// The limit.
        max: usize,
    },
    /// Too many objects.
    #[error("more than {max} objects")]
    TooManyObjects {
        /// The limit.
        max: usize,
    },
    /// A name is too long.
    #[error("a name of more than {max} octets")]
    NameTooLong {
        /// The limit.
        max: usize,
    },
}

#[cfg(test)]
mod tests;
