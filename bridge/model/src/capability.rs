//! A capability: a value of a node, and its description.
//!
//! Model: a [`Capability`] owns its value; its [`Info`] is immutable and shared, so that
//! a snapshot is cheap and a new value copies nothing else.
//! Invariants: CAPABILITY-1. [`Capability::to_json`] is the exact inverse of `from_json`: what is
//! ill-typed, unknown, or written unusually is kept in `extra` as it came.
//! Not here: which JSON object is a capability: [`crate::Object`].
//! Spec: docs/reference/protocol.md §4.3.

use std::{cmp::Ordering, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    Access,
    dialect::Dialect,
    hint::{Shape, TypeHint},
    json,
};

/// A capability of a node: a value with its description, that can be read, set, emitted or sensed.
///
/// ```
/// use zocp_model::{Access, Capability};
/// let level = Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5).with_range(0.0, 1.0);
/// assert_eq!(level.info.type_hint.as_deref(), Some("flt"));
/// assert!(level.check(&2.into()).is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    /// The newest value; `None` for a capability that only emits.
    pub value: Option<Value>,
    /// The description.
    pub info: Arc<Info>,
}

/// The description of a capability: everything but its value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Info {
    /// `typeHint`, as the node wrote it.
    pub type_hint: Option<Box<str>>,
    /// `access`: what may be done.
    pub access: Access,
    /// `min`, the smallest value: a number, or a list of numbers for a vector.
    pub min: Option<Value>,
    /// `max`, the largest value, like `min`.
    pub max: Option<Value>,
    /// `step`, like `min`.
    pub step: Option<Value>,
    /// `subscribers`; `None` when the entry is missing.
    pub subscribers: Option<Vec<Subscriber>>,
    /// Every other entry, and entries above whose form is not understood, as the node wrote them.
    pub extra: Map<String, Value>,
}

/// An entry of `subscribers`: a sensor of another node that receives the emissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The receiver's node as 32 hexadecimal digits. Entries of nodes that left are common.
    pub node: Box<str>,
    /// The sensor at the receiver.
    pub receiver: Option<Box<str>>,
}

impl Capability {
    /// A capability with a value; its type hint is that of the value.
    pub fn new(access: Access, value: impl Into<Value>) -> Self {
        let value = value.into();
        let info = Info {
            type_hint: Some(TypeHint::text_for(&value).into()),
            ..Info::accessible(access)
        };
        Self {
            value: Some(value),
            info: Arc::new(info),
        }
    }

    /// A capability that only emits, and has no value between its emissions.
    pub fn event(type_hint: &str) -> Self {
        let info = Info {
            type_hint: Some(type_hint.into()),
            ..Info::accessible(Access::EMIT)
        };
        Self {
            value: None,
            info: Arc::new(info),
        }
    }

    /// The same with another type hint, such as `int`, `flt`, `vec3f` or `signature:a{sv}`.
    #[must_use]
    pub fn with_hint(self, type_hint: &str) -> Self {
        self.with(|info| info.type_hint = Some(type_hint.into()))
    }

    /// The same with a smallest and a largest value.
    #[must_use]
    pub fn with_range(self, min: impl Into<Value>, max: impl Into<Value>) -> Self {
        self.with(|info| (info.min, info.max) = (Some(min.into()), Some(max.into())))
    }

    /// The same with a step.
    #[must_use]
    pub fn with_step(self, step: impl Into<Value>) -> Self {
        self.with(|info| info.step = Some(step.into()))
    }

    /// The same with its description changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Info)) -> Self {
        change(Arc::make_mut(&mut self.info));
        self
    }

    /// The type of its values.
    pub fn shape(&self) -> Shape {
        self.info
            .hint()
            .shape(self.value.as_ref().unwrap_or(&Value::Null))
    }

    /// Whether a value is of the right type and in range; gives it as the hint wants it.
    ///
    /// Without a hint the type is that of the present value, and so it is besides where that does not keep to the
    /// hint itself. A bound that is no number, or has no element for a vector's, does not bind.
    pub fn check(&self, value: &Value) -> Result<Value, CheckError> {
        let hint = self.info.hint();
        let converted = hint
            .convert(value)
            .filter(|value| self.is_alike(hint, value))
            .or_else(|| self.is_alike_astray(hint, value).then(|| value.clone()));
        let Some(value) = converted else {
            return Err(CheckError::WrongType {
                expected: self.shape(),
            });
        };
        if self.info.allows(&value) {
            return Ok(value);
        }
        Err(CheckError::OutOfRange {
            min: self.info.min.clone(),
            max: self.info.max.clone(),
        })
    }

    /// Like [`Self::check`], for one who sets: `w` is needed, too.
    pub fn check_set(&self, value: &Value) -> Result<Value, CheckError> {
        if !self.info.access.write {
            return Err(CheckError::NotWritable);
        }
        self.check(value)
    }

    /// Without a hint, numbers may replace numbers, and anything replaces null.
    fn is_alike(&self, hint: TypeHint<'_>, value: &Value) -> bool {
        let (TypeHint::Other, Some(old)) = (hint, &self.value) else {
            return true;
        };
        old.is_null() || std::mem::discriminant(old) == std::mem::discriminant(value)
    }

    /// Whether the present value is none of the hint's, and this one is like it.
    fn is_alike_astray(&self, hint: TypeHint<'_>, value: &Value) -> bool {
        let old = self.value.as_ref();
        old.is_some_and(|old| {
            !old.is_null()
                && !hint.fits(old)
                && std::mem::discriminant(old) == std::mem::discriminant(value)
        })
    }

    /// Reads an entry of a tree.
    pub(crate) fn from_json(mut entry: Map<String, Value>) -> Self {
        let value = entry.remove("value");
        Self {
            value,
            info: Arc::new(Info::from_json(entry)),
        }
    }

    /// The entry as it came.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut entry = self.info.to_json();
        if let Some(value) = &self.value {
            entry.insert("value".to_owned(), value.clone());
        }
        entry
    }

    /// Merges part of an entry. The description is copied only when it changes.
    pub(crate) fn merge(&mut self, patch: &Map<String, Value>, dialect: Dialect) {
        match (&mut self.value, patch.get("value")) {
            (Some(Value::Object(old)), Some(Value::Object(new))) if dialect == Dialect::Python => {
                json::merge(old, new)
            }
            (old, Some(new)) => *old = Some(new.clone()),
            (_, None) => {}
        }
        if patch.keys().all(|key| key == "value") {
            return;
        }
        let mut entry = self.info.to_json();
        json::merge(&mut entry, patch);
        if dialect == Dialect::Ours {
            entry.retain(|key, _| !patch.get(key).is_some_and(Value::is_null));
        }
        entry.remove("value");
        let info = Info::from_json(entry);
        if info != *self.info {
            self.info = Arc::new(info);
        }
    }
}

impl Info {
    /// The hint, understood.
    pub fn hint(&self) -> TypeHint<'_> {
        self.type_hint
            .as_deref()
            .map_or(TypeHint::Other, TypeHint::parse)
    }

    /// Receivers that left without unsubscribing, the newest last.
    #[must_use]
    pub fn missed(&self) -> Vec<Subscriber> {
        // protocol.md §6.11
        let missed = self.extra.get(MISSED).and_then(Value::as_array);
        let missed = missed.into_iter().flatten();
        missed.filter_map(Subscriber::from_json).collect()
    }

    /// A description as pyZOCP writes one: with a list of subscribers.
    fn accessible(access: Access) -> Self {
        Self {
            access,
            subscribers: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Whether a number, or every number of a vector, is within the bounds.
    fn allows(&self, value: &Value) -> bool {
        let within = |i: usize, value: &Value| {
            bound(self.min.as_ref(), i).is_none_or(|min| is_ordered(value, min, Ordering::is_ge))
                && bound(self.max.as_ref(), i)
                    .is_none_or(|max| is_ordered(value, max, Ordering::is_le))
        };
        match value {
            Value::Number(_) => within(0, value),
            Value::Array(values) => values.iter().enumerate().all(|(i, value)| within(i, value)),
            _ => true,
        }
    }

    fn from_json(mut entry: Map<String, Value>) -> Self {
        let access = match take(&mut entry, "access", canonical_access) {
            Some(access) => access,
            None => (entry.get("access").and_then(Value::as_str))
                .map_or_else(Access::default, Access::from_wire),
        };
        Self {
            type_hint: take(&mut entry, "typeHint", |value| {
                value.as_str().map(Into::into)
            }),
            access,
            min: entry.remove("min"),
            max: entry.remove("max"),
            step: entry.remove("step"),
            subscribers: take(&mut entry, "subscribers", subscribers),
            extra: entry,
        }
    }

    fn to_json(&self) -> Map<String, Value> {
        let mut entry = self.extra.clone();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                entry.insert(key.to_owned(), value);
            }
        };
        put("typeHint", self.type_hint.as_deref().map(Value::from));
        put("min", self.min.clone());
        put("max", self.max.clone());
        put("step", self.step.clone());
        put(
            "subscribers",
            self.subscribers
                .as_ref()
                .map(|list| list.iter().map(Subscriber::to_json).collect()),
        );
        let letters = self.access.to_string();
        if !letters.is_empty() && !entry.contains_key("access") {
            entry.insert("access".to_owned(), Value::from(letters));
        }
        entry
    }
}

/// The entry of an emitter that has who left without unsubscribing.
pub(crate) const MISSED: &str = "missed";

impl Subscriber {
    pub(crate) fn to_json(&self) -> Value {
        Value::from(vec![
            Value::from(&*self.node),
            self.receiver.as_deref().map_or(Value::Null, Value::from),
        ])
    }

    fn from_json(value: &Value) -> Option<Self> {
        let [Value::String(node), receiver] = value.as_array()?.as_slice() else {
            return None;
        };
        let receiver = match receiver {
            Value::Null => None,
            Value::String(name) => Some(name.as_str().into()),
            _ => return None,
        };
        Some(Self {
            node: node.as_str().into(),
            receiver,
        })
    }
}

/// Takes an entry out if it is read; what is not stays where it was (CAPABILITY-1).
fn take<T>(
    entry: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    let read = read(entry.get(key)?)?;
    entry.remove(key);
    Some(read)
}

/// The letters, if they would be written the same way again.
fn canonical_access(value: &Value) -> Option<Access> {
    let letters = value.as_str().filter(|letters| !letters.is_empty())?;
    Some(Access::from_wire(letters)).filter(|access| access.to_string() == letters)
}

fn subscribers(value: &Value) -> Option<Vec<Subscriber>> {
    value
        .as_array()?
        .iter()
        .map(Subscriber::from_json)
        .collect()
}

/// The bound of a number, or of the element `i` of a vector.
fn bound(bound: Option<&Value>, i: usize) -> Option<&Value> {
    match bound? {
        Value::Array(bounds) => bounds.get(i),
        bound => Some(bound),
    }
}

/// Whether `test` holds; a bound that is no number does not bind, a NaN is never in range.
fn is_ordered(value: &Value, bound: &Value, test: impl FnOnce(Ordering) -> bool) -> bool {
    match (value, bound) {
        (Value::Number(value), Value::Number(bound)) => {
            json::compare(value, bound).is_some_and(test)
        }
        _ => true,
    }
}

/// Why a value is not taken. The fault of whoever offers it; nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CheckError {
    /// The value is of another type, and does not convert without loss.
    #[error("the value is of the wrong type, {expected:?} is expected")]
    WrongType {
        /// The type that is expected.
        expected: Shape,
    },
    /// The value is below `min` or above `max`.
    #[error("the value is out of range")]
    OutOfRange {
        /// The lower bound, as the node wrote it.
        min: Option<Value>,
        /// The upper bound, as the node wrote it.
        max: Option<Value>,
    },
    /// The `access` of the capability has no `w`.
    #[error("the capability is not writable")]
    NotWritable,
}

#[cfg(test)]
mod tests;
