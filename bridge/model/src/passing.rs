//! Messages about a node that another node passes on, to nodes that do not know it.
//!
//! Model: a node follows another one and tells a third what that one has: its tree, then its changes as patches, states
//! and emissions. What the third one asks of it comes as [`Request`]s. All are messages of ZOCP in the dialect between
//! nodes with `X-ZOCP-DBUS`; this module makes and reads them, and knows no peers.
//! Invariants: PASSING-1. What names other nodes is left out: lists of subscribers, and of an extended node the wires
//! that it announces. So are streams, which the third one cannot reach, and services, unless they pass ([`Scope`]).
//! PASSING-2. A state is told as `ACK`,
//! which emits nothing; what a node emits is told as an emission.
//! Spec: docs/reference/protocol.md §10.4, §10.6.

use serde_json::{Map, Value};

use crate::{
    CapPath, Capability, Cause, Change, Limits, MessageError, ObjectPath, Tree,
    capability::MISSED,
    json::{self, Decoded},
    message::{self, Answer, Verb, ack, entry, insert, modified, nested, object_in, parts},
    object::{METHODS, OBJECTS},
};

/// What is asked of a node that is passed on.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// To set a value.
    Set {
        /// The capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// The touch that it comes from.
        cause: Option<Cause>,
    },
    /// To call a method.
    Call {
        /// The number for the reply; `None` if none is wanted.
        id: Option<u64>,
        /// The object.
        object: ObjectPath,
        /// The method.
        method: String,
        /// The arguments.
        args: Vec<Value>,
    },
}

/// The parts of a message that are asked of a node. Subscriptions are not among them: what is passed on is all of a node.
///
/// # Errors
/// It is no message of ZOCP.
pub fn requests(octets: &[u8], limits: &Limits) -> Result<Vec<Request>, MessageError> {
    let (len, max) = (octets.len(), limits.message_len_max);
    if len > max {
        return Err(MessageError::TooLong { len, max });
    }
    let Decoded { entries, flaws } = json::decode(octets, limits)?;
    if let Some(flaws) = flaws.filter(|flaws| flaws.has_lost) {
        return Err(flaws.first.into());
    }
    let cause = message::cause(&entries)?;
    let mut found = Vec::new();
    for (name, payload) in entries {
        match Verb::parse(&name, payload)? {
            Verb::Set(patch) => found.extend(sets(&patch, cause.as_ref())),
            Verb::Call(call) => found.push(Request::Call {
                id: call.id,
                object: object_of(&call.object)?,
                method: call.method,
                args: call.args,
            }),
            _ => {}
        }
    }
    Ok(found)
}

/// What a message of this node is about, for a queue in which the newest value of a capability takes the place of older
/// ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The value of one capability of the sender, and nothing else.
    Value(CapPath),
    /// A request to set one capability of the receiver, and nothing else.
    Set(CapPath),
    /// What there is at the sender.
    Patch,
    /// Something else.
    Other,
}

/// What a message that this node made is about.
#[must_use]
pub fn subject(octets: &[u8], limits: &Limits) -> Subject {
    let Ok(Decoded { entries, .. }) = json::decode(octets, limits) else {
        return Subject::Other;
    };
    let mut verbs = entries
        .into_iter()
        .filter(|(name, _)| name != message::CAUSE);
    let (Some((name, payload)), None) = (verbs.next(), verbs.next()) else {
        return Subject::Other;
    };
    match (name.as_str(), payload) {
        ("SIG", Value::Array(words)) => match words.first().and_then(Value::as_str) {
            Some(name) => Subject::Value(CapPath::root(name)),
            None => Subject::Other,
        },
        ("MOD", Value::Object(patch)) => only_value(&patch).map_or(Subject::Patch, Subject::Value),
        ("SET", Value::Object(patch)) => only_value(&patch).map_or(Subject::Other, Subject::Set),
        _ => Subject::Other,
    }
}

/// The capability whose value is all that a patch has.
fn only_value(patch: &Map<String, Value>) -> Option<CapPath> {
    let mut parts = parts(patch).into_iter();
    let ((path, part), None) = (parts.next()?, parts.next()) else {
        return None;
    };
    let value = entry("value", part.get("value")?.clone());
    let whole = nested(&path.object, entry(&path.name, Value::Object(value)));
    (whole == *patch).then_some(path)
}

fn sets(patch: &Map<String, Value>, cause: Option<&Cause>) -> Vec<Request> {
    let parts = parts(patch).into_iter();
    let sets = parts.filter_map(|(path, part)| {
        let (value, cause) = (part.get("value")?.clone(), cause.cloned());
        Some(Request::Set { path, value, cause })
    });
    sets.collect()
}

fn object_of(text: &str) -> Result<ObjectPath, MessageError> {
    text.parse().map_err(|_| MessageError::Shape {
        verb: "CALL",
        expected: "an object",
    })
}

/// What of a node is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Whether the node has the header `X-ZOCP-DBUS`, so that some objects of its root have a meaning.
    pub is_extended: bool,
    /// Whether the D-Bus services that it announces are passed on, too.
    pub with_services: bool,
}

/// The whole tree of a node, as a `MOD`.
#[must_use]
pub fn tree(tree: &Tree, scope: Scope) -> Vec<u8> {
    let mut whole = Map::new();
    for (path, object) in tree.root().walk() {
        if scope.leaves_out(&path) {
            continue;
        }
        let Some(into) = object_in(&mut whole, &path) else {
            continue;
        };
        let data = object.data.iter();
        for (name, value) in data.filter(|(name, _)| !scope.keeps_back(&path, name)) {
            into.insert(name.clone(), value.clone());
        }
        for (name, capability) in &object.capabilities {
            into.insert(name.clone(), Value::Object(description(capability)));
        }
        if !object.methods.is_empty() {
            let methods = object.methods.iter();
            let methods = methods.map(|(name, method)| (name.clone(), method.to_json()));
            into.insert(METHODS.to_owned(), Value::Object(methods.collect()));
        }
    }
    modified(whole)
}

/// What changed of a node.
#[derive(Debug, Default, PartialEq)]
pub struct Changed {
    /// Messages about what there is, in order.
    pub patches: Vec<Vec<u8>>,
    /// The values of capabilities, which hold when the patches have been followed.
    pub states: Vec<(CapPath, Value)>,
}

/// What of the changes of a node is passed on.
#[must_use]
pub fn changed(changes: &[Change], scope: Scope) -> Changed {
    let mut told = Changed::default();
    let mut open = Map::new();
    let close = |open: &mut Map<String, Value>, patches: &mut Vec<Vec<u8>>| {
        if !open.is_empty() {
            patches.push(modified(std::mem::take(open)));
        }
    };
    for change in changes {
        if scope.leaves_out(place(change)) {
            continue;
        }
        match change {
            Change::ObjectAdded(path) => {
                object_in(&mut open, path);
            }
            Change::CapabilityAdded { path, capability }
            | Change::CapabilityChanged { path, capability } => {
                let mut whole = description(capability);
                if matches!(change, Change::CapabilityChanged { .. }) {
                    for key in ["typeHint", "min", "max", "step"] {
                        whole.entry(key).or_insert(Value::Null);
                    }
                }
                if capability.info.access.emit
                    && let Some(value) = whole.remove("value")
                {
                    // PASSING-2: a value in a patch would be an emission.
                    told.states.push((path.clone(), value));
                }
                insert(&mut open, path, whole);
            }
            Change::Value { path, value } => told.states.push((path.clone(), value.clone())),
            Change::Method {
                object,
                name,
                method,
            } => {
                close(&mut open, &mut told.patches);
                let method = method.as_ref().map_or(Value::Null, |it| it.to_json());
                let methods = entry(METHODS, Value::Object(entry(name, method)));
                told.patches.push(modified(nested(object, methods)));
            }
            Change::Data {
                object,
                name,
                value,
            } if !scope.keeps_back(object, name) => {
                close(&mut open, &mut told.patches);
                let value = value.clone().unwrap_or_default();
                told.patches
                    .push(modified(nested(object, entry(name, value))));
            }
            Change::Data { .. } => {}
            Change::CapabilityRemoved { path } => {
                close(&mut open, &mut told.patches);
                let gone = nested(&path.object, entry(&path.name, Value::Null));
                told.patches.push(modified(gone));
                told.states.retain(|(of, _)| of != path);
            }
            Change::ObjectRemoved(path) => {
                close(&mut open, &mut told.patches);
                told.patches.extend(removal(path).map(modified));
                told.states.retain(|(of, _)| !of.object.starts_with(path));
            }
        }
    }
    close(&mut open, &mut told.patches);
    told
}

fn removal(path: &ObjectPath) -> Option<Map<String, Value>> {
    let (last, above) = path.segments().split_last()?;
    let above: ObjectPath = above.iter().cloned().collect();
    let gone = entry(OBJECTS, Value::Object(entry(last, Value::Null)));
    Some(nested(&above, gone))
}

fn place(change: &Change) -> &ObjectPath {
    match change {
        Change::ObjectAdded(object)
        | Change::ObjectRemoved(object)
        | Change::Method { object, .. }
        | Change::Data { object, .. } => object,
        Change::CapabilityAdded { path, .. }
        | Change::CapabilityChanged { path, .. }
        | Change::CapabilityRemoved { path }
        | Change::Value { path, .. } => &path.object,
    }
}

/// What holds, without emitting it.
#[must_use]
pub fn state(path: &CapPath, value: Option<&Value>) -> Vec<u8> {
    let mut holds = Map::new();
    let value = value.map_or_else(Map::new, |value| entry("value", value.clone()));
    insert(&mut holds, path, value);
    ack(holds)
}

/// What a node emitted.
#[must_use]
pub fn emission(path: &CapPath, value: &Value, cause: Option<&Cause>) -> Vec<u8> {
    let octets = if path.object.is_root() {
        message::sig(&path.name, value)
    } else {
        let part = entry(&path.name, Value::Object(entry("value", value.clone())));
        modified(nested(&path.object, part))
    };
    message::with_cause(&octets, cause)
}

/// The reply to a call: results, or the name of an error and its text.
#[must_use]
pub fn reply(id: u64, result: Result<Vec<Value>, (String, String)>) -> Vec<u8> {
    message::rep(Answer { id, result })
}

/// A capability without the nodes that it names.
fn description(capability: &Capability) -> Map<String, Value> {
    let mut entries = capability.to_json();
    entries.remove("subscribers");
    entries.remove(MISSED);
    entries
}

impl Scope {
    /// Whether an object of the tree is about other nodes, or about what programs of the node's machine have.
    fn leaves_out(self, object: &ObjectPath) -> bool {
        let first = object.segments().first();
        self.is_extended
            && first.is_some_and(|name| match &**name {
                SERVICES => !self.with_services,
                name => name == "wires",
            })
    }

    /// Whether a datum of an object is not passed on: a stream; or what a service lets nodes of its own venue know of it,
    /// which others ask for.
    fn keeps_back(self, object: &ObjectPath, name: &str) -> bool {
        let first = object.segments().first();
        let is_service = self.is_extended && first.is_some_and(|name| **name == *SERVICES);
        ["sources", "sinks"].contains(&name) || is_service && name == "introspection"
    }
}

const SERVICES: &str = "services";

#[cfg(test)]
mod tests;
