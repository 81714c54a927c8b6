//! The verbs of ZOCP: read tolerantly, written so that every peer bears them.
//!
//! Read: pyZOCP's shapes and its quirks. A payload that pyZOCP sends without meaning (`SET` of a
//! list, `MOD` of null, `REP` of anything else) is [`Verb::Nothing`].
//! Written: Python's separators at the top, UTF-8, nothing that raises in pyZOCP.
//! Spec: docs/reference/protocol.md §5, §6.

use serde_json::{Map, Value};

use crate::{CapPath, Cause, JsonError, NodeId, ObjectPath, TreeError, object::OBJECTS};

/// The verbs that make a JSON object a message.
pub(crate) const VERBS: [&str; 9] = [
    "GET", "SET", "CALL", "SUB", "UNSUB", "REP", "MOD", "SIG", "ACK",
];

/// One verb with its payload understood.
#[derive(Debug, PartialEq)]
pub(crate) enum Verb {
    /// The whole tree, or entries of the root by name.
    Get(Option<Vec<String>>),
    Set(Map<String, Value>),
    /// What holds after a `SET` of ours, in its shape.
    Ack(Map<String, Value>),
    Call(Call),
    Sub(Wire),
    Unsub(Wire),
    Rep(Answer),
    Mod(Map<String, Value>),
    Sig(String, Value),
    /// Known to mean nothing.
    Nothing,
    /// Not a verb that we know.
    Unknown,
}

/// A call; `id` when an answer is wanted.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) args: Vec<Value>,
    pub(crate) id: Option<u64>,
    pub(crate) object: String,
}

/// The answer to a call: results, or an error's name and message.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) result: Result<Vec<Value>, (String, String)>,
}

/// The four words of `SUB` and `UNSUB`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wire {
    pub(crate) emitter_node: NodeId,
    pub(crate) emitter: Option<String>,
    pub(crate) receiver_node: NodeId,
    pub(crate) receiver: Option<String>,
}

impl Verb {
    pub(crate) fn parse(verb: &str, payload: Value) -> Result<Self, MessageError> {
        match verb {
            "GET" => get(payload),
            "SET" => entries("SET", payload, Self::Set),
            "ACK" => entries("ACK", payload, Self::Ack),
            "MOD" => entries("MOD", payload, Self::Mod),
            "CALL" => call(payload),
            "SUB" => Wire::parse("SUB", &payload).map(Self::Sub),
            "UNSUB" => Wire::parse("UNSUB", &payload).map(Self::Unsub),
            "REP" => Ok(answer(payload).map_or(Self::Nothing, Self::Rep)),
            "SIG" => signal(payload),
            _ => Ok(Self::Unknown),
        }
    }

    /// Whether its payload is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Call(_) | Self::Sub(_) | Self::Unsub(_) | Self::Rep(_) | Self::Sig(..)
        )
    }
}

/// Python's falsehoods ask for everything; lists and objects name entries.
fn get(payload: Value) -> Result<Verb, MessageError> {
    let shape = MessageError::Shape {
        verb: "GET",
        expected: "null or names",
    };
    let names: Vec<String> = match payload {
        Value::Null => return Ok(Verb::Get(None)),
        Value::Array(names) => names
            .into_iter()
            .map(|name| {
                if let Value::String(name) = name {
                    Ok(name)
                } else {
                    Err(shape.clone())
                }
            })
            .collect::<Result<_, _>>()?,
        Value::Object(names) => names.into_iter().map(|(name, _)| name).collect(),
        _ => return Err(shape),
    };
    Ok(Verb::Get(Some(names).filter(|names| !names.is_empty())))
}

fn entries(
    verb: &'static str,
    payload: Value,
    make: fn(Map<String, Value>) -> Verb,
) -> Result<Verb, MessageError> {
    match payload {
        Value::Object(entries) => Ok(make(entries)),
        Value::Array(_) | Value::Null => Ok(Verb::Nothing),
        _ => Err(MessageError::Shape {
            verb,
            expected: "an object",
        }),
    }
}

fn call(payload: Value) -> Result<Verb, MessageError> {
    let shape = || MessageError::Shape {
        verb: "CALL",
        expected: "[method, [args], {id, object}]",
    };
    let Value::Array(words) = payload else {
        return Err(shape());
    };
    let mut words = words.into_iter();
    let Some(Value::String(method)) = words.next() else {
        return Err(shape());
    };
    let args = match words.next() {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(args)) => args,
        Some(_) => return Err(shape()),
    };
    let options = words.next().unwrap_or_default();
    let id = match options.get("id") {
        None | Some(Value::Null) => None,
        Some(id) => Some(id.as_u64().ok_or_else(shape)?),
    };
    let object = match options.get("object") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(object)) => object.clone(),
        Some(_) => return Err(shape()),
    };
    Ok(Verb::Call(Call {
        method,
        args,
        id,
        object,
    }))
}

/// `None` for what is not ours: to pyZOCP no `REP` means anything.
fn answer(payload: Value) -> Option<Answer> {
    let Value::Array(words) = payload else {
        return None;
    };
    let mut words = words.into_iter();
    let id = words.next()?.as_u64()?;
    let result = words.next()?;
    let text = |error: &Value, key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    let result = match (result, words.next()) {
        (_, Some(error)) if error.is_object() => {
            let name = text(&error, "error").unwrap_or_else(|| FAILED.to_owned());
            Err((name, text(&error, "message").unwrap_or_default()))
        }
        (Value::Array(results), _) => Ok(results),
        (Value::Null, _) => Ok(Vec::new()),
        (single, _) => Ok(vec![single]),
    };
    Some(Answer { id, result })
}

fn signal(payload: Value) -> Result<Verb, MessageError> {
    if let Value::Array(words) = payload
        && let Ok([Value::String(emitter), value]) = <[Value; 2]>::try_from(words)
    {
        return Ok(Verb::Sig(emitter, value));
    }
    Err(MessageError::Shape {
        verb: "SIG",
        expected: "[emitter, value]",
    })
}

impl Wire {
    fn parse(verb: &'static str, payload: &Value) -> Result<Self, MessageError> {
        let shape = MessageError::Shape {
            verb,
            expected: "[node, emitter, node, receiver]",
        };
        let Some([emitter_node, emitter, receiver_node, receiver]) =
            payload.as_array().map(Vec::as_slice)
        else {
            return Err(shape);
        };
        let node = |value: &Value| {
            value
                .as_str()
                .and_then(|hex| hex.parse().ok())
                .ok_or_else(|| shape.clone())
        };
        let name = |value: &Value| match value {
            Value::Null => Ok(None),
            Value::String(name) => Ok(Some(name.clone())),
            _ => Err(shape.clone()),
        };
        Ok(Self {
            emitter_node: node(emitter_node)?,
            emitter: name(emitter)?,
            receiver_node: node(receiver_node)?,
            receiver: name(receiver)?,
        })
    }

    /// Subscribes and asks for the present value.
    pub(crate) fn sub_first(&self) -> Vec<u8> {
        format!("{{\"SUB\": {}, \"{FIRST}\": true}}", self.words()).into_bytes()
    }

    pub(crate) fn sub(&self) -> Vec<u8> {
        message("SUB", &self.words())
    }

    /// Asks for the whole tree and subscribes, in one message: between two something could change,
    /// and neither would tell it.
    pub(crate) fn sub_and_get_all(&self) -> Vec<u8> {
        format!("{{\"GET\": null, \"SUB\": {}}}", self.words()).into_bytes()
    }

    pub(crate) fn unsub(&self) -> Vec<u8> {
        message("UNSUB", &self.words())
    }

    fn words(&self) -> Value {
        let name = |name: &Option<String>| name.as_deref().map_or(Value::Null, Value::from);
        Value::from(vec![
            Value::from(self.emitter_node.to_string()),
            name(&self.emitter),
            Value::from(self.receiver_node.to_string()),
            name(&self.receiver),
        ])
    }
}

/// The cause that a message has for what it emits, if it has one.
pub(crate) fn cause(verbs: &[(String, Value)]) -> Result<Option<Cause>, MessageError> {
    // protocol.md §6.8
    let Some((_, payload)) = verbs.iter().find(|(name, _)| name == CAUSE) else {
        return Ok(None);
    };
    let cause = Cause::from_json(payload).ok_or(MessageError::Shape {
        verb: CAUSE,
        expected: "{touch: [origin, number], known: [[origin, number], ...]}",
    })?;
    Ok(Some(cause))
}

/// Whether a message asks for the present value with its subscription.
pub(crate) fn wants_first(verbs: &[(String, Value)]) -> bool {
    // protocol.md §6.10
    let mut verbs = verbs.iter();
    verbs.any(|(name, payload)| name == FIRST && *payload == Value::Bool(true))
}

/// A message with the cause of what it emits.
pub(crate) fn with_cause(octets: &[u8], cause: Option<&Cause>) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if let Some(cause) = cause
        && octets.pop_if(|last| *last == b'}').is_some()
    {
        octets.extend(format!(", \"{CAUSE}\": {}}}", cause.to_json()).into_bytes());
    }
    octets
}

pub(crate) fn modified(entries: Map<String, Value>) -> Vec<u8> {
    message("MOD", &Value::Object(entries))
}

pub(crate) fn set(entries: Map<String, Value>) -> Vec<u8> {
    message("SET", &Value::Object(entries))
}

pub(crate) fn ack(entries: Map<String, Value>) -> Vec<u8> {
    message("ACK", &Value::Object(entries))
}

pub(crate) fn sig(emitter: &str, value: &Value) -> Vec<u8> {
    format!("{{\"SIG\": [{}, {value}]}}", Value::from(emitter)).into_bytes()
}

pub(crate) fn call_with_answer(call: Call) -> Vec<u8> {
    let mut options = Map::new();
    if let Some(id) = call.id {
        options.insert("id".to_owned(), Value::from(id));
    }
    if !call.object.is_empty() {
        options.insert("object".to_owned(), Value::from(call.object));
    }
    let words = vec![
        Value::from(call.method),
        Value::Array(call.args),
        Value::Object(options),
    ];
    message("CALL", &Value::Array(words))
}

pub(crate) fn rep(answer: Answer) -> Vec<u8> {
    let mut words = vec![Value::from(answer.id)];
    match answer.result {
        Ok(results) => words.push(Value::Array(results)),
        Err((name, text)) => {
            let mut error = Map::new();
            error.insert("error".to_owned(), Value::from(name));
            error.insert("message".to_owned(), Value::from(text));
            words.extend([Value::Null, Value::Object(error)]);
        }
    }
    message("REP", &Value::Array(words))
}

/// `entries` of an object as a part of the whole tree.
pub(crate) fn nested(object: &ObjectPath, entries: Map<String, Value>) -> Map<String, Value> {
    let one = |name: &str, entries| Map::from_iter([(name.to_owned(), Value::Object(entries))]);
    object
        .segments()
        .iter()
        .rev()
        .fold(entries, |entries, name| one(OBJECTS, one(name, entries)))
}

/// The parts of a patch that are about capabilities, each with whose it is.
pub(crate) fn parts(patch: &Map<String, Value>) -> Vec<(CapPath, &Value)> {
    let mut parts = Vec::new();
    let mut open = vec![(ObjectPath::root(), patch)];
    while let Some((object, patch)) = open.pop() {
        for (name, part) in patch {
            match part {
                Value::Object(children) if name == OBJECTS => {
                    let children = children
                        .iter()
                        .filter_map(|(name, part)| Some((name, part.as_object()?)));
                    open.extend(children.map(|(name, part)| (object.child(name), part)));
                }
                part => parts.push((object.capability(name), part)),
            }
        }
    }
    parts
}

/// Adds what is said of one capability to a patch.
pub(crate) fn insert(patch: &mut Map<String, Value>, path: &CapPath, part: Map<String, Value>) {
    if let Some(object) = object_in(patch, &path.object) {
        object.insert(path.name.as_ref().to_owned(), Value::Object(part));
    }
}

/// The part of a patch that is about one object, made if need be.
pub(crate) fn object_in<'a>(
    patch: &'a mut Map<String, Value>,
    path: &ObjectPath,
) -> Option<&'a mut Map<String, Value>> {
    let names = path.segments().iter();
    let mut into = patch;
    for name in names.flat_map(|name| [OBJECTS, &**name]) {
        let child = into.entry(name);
        let Value::Object(child) = child.or_insert_with(|| Value::Object(Map::new())) else {
            return None;
        };
        into = child;
    }
    Some(into)
}

/// A part that is one entry.
pub(crate) fn entry(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

fn message(verb: &str, payload: &Value) -> Vec<u8> {
    format!("{{\"{verb}\": {payload}}}").into_bytes()
}

/// The key behind the verbs that says what they come from.
pub(crate) const CAUSE: &str = "CAUSE";
/// The key behind a `SUB` that asks for the present value.
pub(crate) const FIRST: &str = "FIRST";
/// The error's name when an answer gives none.
const FAILED: &str = "org.freedesktop.DBus.Error.Failed";

/// Why a message was not taken. Fault of the sender; it stays a peer.
///
/// The verbs before and behind the one at fault were handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Nobody of this identity has entered. Fault of the caller or of timing.
    #[error("a message of an unknown peer")]
    UnknownPeer,
    /// Longer than the limit; nothing of it was handled.
    #[error("a message of {len} octets exceeds the limit of {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// It begins as a message and is not JSON; nothing of it was handled.
    #[error("a message that is not JSON")]
    Json(#[from] JsonError),
    /// The payload of a verb has another shape.
    #[error("{verb} wants {expected}")]
    Shape {
        /// The verb.
        verb: &'static str,
        /// What its payload looks like.
        expected: &'static str,
    },
    /// A `MOD` would make the peer's tree break a limit; nothing of it was merged.
    #[error("a part of a tree that is not taken")]
    Tree(#[from] TreeError),
}

#[cfg(test)]
mod tests;
