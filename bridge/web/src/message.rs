//! What a tab is told: the whole once, then what changed.
//!
//! Model: each message is a JSON object with `t`, its type. `whole` has everything, `change` what changed since the
//! message before, `reply` the answer to one request. `n` counts wholes and changes, so that a page can tell whether it
//! missed one.
//! Invariants: WEBMESSAGE-1. whole numbers that JavaScript does not hold are told as text.

use serde_json::{Map, Value, json};
use zocp_client::{
    Changes, Key, Model,
    model::{Node, OWN_LABEL, Wire},
    tree::{Capability, Object, id},
};

use crate::access::Role;

/// Everything.
pub(crate) fn whole(model: &Model, role: Role, number: u64) -> Value {
    let nodes = model.nodes().iter().map(|(label, it)| node(label, it));
    let values = model.nodes().values().flat_map(|node| node.values.iter());
    json!({
        "t": "whole",
        "n": number,
        "role": role.word(),
        "bridge": bridge(model),
        "nodes": nodes.collect::<Vec<_>>(),
        "values": values.map(|(id, value)| json!([id, value])).collect::<Vec<_>>(),
        "wires": model.wires().iter().map(|(number, it)| wire(model, *number, it)).collect::<Vec<_>>(),
        "statistics": model.statistics(),
    })
}

/// A message as it is sent (WEBMESSAGE-1). Outside the lock of the model: this is most of the work.
pub(crate) fn text(message: Value) -> String {
    shown(message).to_string()
}

/// What changed after a version; `None` when nothing did, the whole when too much did.
pub(crate) fn change(model: &Model, since: u64, role: Role, number: u64) -> Option<Value> {
    let keys = match model.since(since) {
        Changes::Everything => return Some(whole(model, role, number)),
        Changes::Keys(keys) if keys.is_empty() => return None,
        Changes::Keys(keys) => keys,
    };
    let (mut nodes, mut values, mut wires) = (Vec::new(), Vec::new(), Vec::new());
    let (mut left, mut unwired, mut rest) = (Vec::new(), Vec::new(), Map::new());
    for key in keys {
        match key {
            Key::Bridge => {
                rest.insert("bridge".to_owned(), bridge(model));
            }
            Key::Statistics => {
                rest.insert(
                    "statistics".to_owned(),
                    Value::Object(model.statistics().clone()),
                );
            }
            Key::Node(label) => match model.nodes().get(&label) {
                Some(it) => {
                    nodes.push(node(&label, it));
                    values.extend(it.values.iter().map(|(id, value)| json!([id, value])));
                }
                None => left.push(label),
            },
            Key::Value(id) => {
                values.extend(model.value(&id).map(|value| json!([id, value])));
            }
            Key::Wire(number) => match model.wires().get(&number) {
                Some(it) => wires.push(wire(model, number, it)),
                None => unwired.push(number),
            },
        }
    }
    let mut message = json!({
        "t": "change", "n": number,
        "nodes": nodes, "left": left, "values": values, "wires": wires, "unwired": unwired,
    });
    if let Value::Object(message) = &mut message {
        message.extend(rest);
    }
    Some(message)
}

/// The answer to a request.
pub(crate) fn reply(request: u64, answer: Result<Value, String>) -> String {
    text(match answer {
        Ok(value) => json!({ "t": "reply", "request": request, "answer": value }),
        Err(error) => json!({ "t": "reply", "request": request, "error": error }),
    })
}

fn bridge(model: &Model) -> Value {
    let bridge = model.bridge();
    json!({ "present": bridge.is_present, "properties": bridge.properties })
}

fn node(label: &str, node: &Node) -> Value {
    let objects = node.tree.objects.iter();
    json!({
        "label": label,
        "name": node.name,
        "own": label == OWN_LABEL,
        "left": node.left.is_some(),
        "bus": node.bus_name,
        "properties": node.properties,
        "objects": objects.map(|(labels, it)| object(label, labels, it)).collect::<Vec<_>>(),
    })
}

fn object(node: &str, labels: &[String], object: &Object) -> Value {
    let of_method =
        |argument: &zocp_client::method::Argument| json!([argument.name, argument.signature]);
    let methods = object.methods.iter().map(|method| {
        json!({
            "id": id(node, labels, &method.name),
            "name": method.name,
            "in": method.inputs.iter().map(of_method).collect::<Vec<_>>(),
            "out": method.outputs.iter().map(of_method).collect::<Vec<_>>(),
        })
    });
    let capabilities = object.capabilities.iter();
    json!({
        "path": labels.join("/"),
        "name": object.name,
        "kind": object.kind,
        "capabilities": capabilities.map(|(name, it)| capability(node, labels, name, it)).collect::<Vec<_>>(),
        "methods": methods.collect::<Vec<_>>(),
        "sources": object.sources,
        "sinks": object.sinks,
    })
}

fn capability(node: &str, labels: &[String], name: &str, capability: &Capability) -> Value {
    json!({
        "id": id(node, labels, &capability.member),
        "name": name,
        "access": capability.access,
        "hint": capability.hint,
        "type": capability.signature,
        "more": capability.more,
    })
}

fn wire(model: &Model, number: u32, wire: &Wire) -> Value {
    json!({
        "number": number,
        "from": model.capability(wire.text("From")),
        "to": model.capability(wire.text("To")),
        "properties": wire.properties,
    })
}

/// A value that JavaScript reads as it is: without whole numbers that it does not hold, at any depth.
fn shown(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            match whole.is_some_and(|whole| whole > LARGEST_EXACT) {
                true => Value::String(number.to_string()),
                false => Value::Number(number),
            }
        }
        Value::Array(items) => items.into_iter().map(shown).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter();
            Value::Object(entries.map(|(key, value)| (key, shown(value))).collect())
        }
        value => value,
    }
}

/// The largest whole number below which JavaScript has all: 2^53 - 1.
const LARGEST_EXACT: u64 = 9_007_199_254_740_991;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_javascript_does_not_hold_are_text() {
        assert_eq!(
            shown(json!(9_007_199_254_740_993_i64)),
            json!("9007199254740993")
        );
        assert_eq!(
            shown(json!([i64::MIN, 7, 0.5])),
            json!(["-9223372036854775808", 7, 0.5])
        );
        let deep = json!({"answer": [{"max": u64::MAX, "min": 0}]});
        let told: Value = serde_json::from_str(&text(deep)).unwrap();
        assert_eq!(
            told["answer"][0],
            json!({"max": "18446744073709551615", "min": 0})
        );
    }

    #[test]
    fn nothing_is_told_when_nothing_changed() {
        let mut model = Model::default();
        model.set_wire(3, Map::new());
        let seen = model.version();
        assert_eq!(change(&model, seen, Role::Look, 1), None);
        model.lose_wire(3);
        let told = change(&model, seen, Role::Look, 1).unwrap();
        assert_eq!(told["unwired"], json!([3]));
    }
}
