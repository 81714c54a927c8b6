//! Values of services as values of the tree, and back.
//!
//! Model: what D-Bus has a type for and the mesh a hint has that hint: numbers, booleans, text, vectors. Every other type has
//! the hint `signature:<type>`, which keeps the type for nodes that know of it, and JSON of the same meaning.
//! Invariants: VALUE-1. A value that is converted back by its property's type is the same as before.
//! Limits: [`VALUE_LEN_MAX`] octets of JSON; a longer value is not announced. The bus limits the nesting.
//! Spec: docs/reference/protocol.md §7.10

use zbus::{Signature, Variant, message::Body, wire::OwnedStructure};
use zocp_node::{Value, model::TypeHint};

use super::limits::VALUE_LEN_MAX;
use zocp_mapping::{convert, types};

/// The hint of a type; `None` where the tree has no word for its values.
pub(super) fn hint(signature: &Signature) -> Option<String> {
    let text = match signature {
        Signature::Bool => "bool",
        // Not all unsigned ones of 64 bits are an `int`.
        Signature::U8
        | Signature::I16
        | Signature::U16
        | Signature::I32
        | Signature::U32
        | Signature::I64 => "int",
        Signature::F64 => "flt",
        Signature::Str | Signature::ObjectPath | Signature::Signature => "string",
        other => return other_hint(other),
    };
    Some(text.to_owned())
}

fn other_hint(signature: &Signature) -> Option<String> {
    let text = signature.to_string();
    let vector = match text.as_str() {
        "(dd)" => "vec2f",
        "(ddd)" => "vec3f",
        "(dddd)" => "vec4f",
        _ => {
            let hint = format!("signature:{text}");
            let is_known = types::hinted(TypeHint::parse(&hint)).is_some();
            return is_known.then_some(hint);
        }
    };
    Some(vector.to_owned())
}

/// A value of the tree; `None` for one that JSON does not have, or that is too long.
pub(super) fn value(given: &Variant<'_>) -> Option<Value> {
    let value = convert::as_given(given).ok()?;
    (octets(&value) <= VALUE_LEN_MAX).then_some(value)
}

/// A value for a service; `None` where it is none of the type.
pub(super) fn variant(signature: &Signature, value: &Value) -> Option<Variant<'static>> {
    types::as_type(signature, value)
}

/// The hint of the value that a signal is in the tree: of its argument; of several as a list; of none as a boolean.
pub(super) fn signal_hint(arguments: &[Signature]) -> Option<String> {
    match arguments {
        [] => Some("bool".to_owned()),
        [one] => hint(one),
        several => {
            let types: String = several.iter().map(ToString::to_string).collect();
            let text = format!("signature:({types})");
            types::hinted(TypeHint::parse(&text)).map(|_| text)
        }
    }
}

/// The value that a signal with these arguments is in the tree; `None` where it has others, or the tree has no such value.
pub(super) fn signal_value(arguments: &[Signature], body: &Body) -> Option<Value> {
    if arguments.is_empty() {
        return body.is_empty().then_some(Value::Bool(true));
    }
    let OwnedStructure(structure) = body.deserialize().ok()?;
    match (arguments, structure.fields()) {
        // A body that is one structure is read as its fields.
        ([Signature::Structure(_)] | [_, _, ..], _) => value(&Variant::Structure(structure)),
        ([_], [one]) => value(one),
        _ => None,
    }
}

/// About the octets that a value has as JSON.
fn octets(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().map(|value| octets(value) + 1).sum::<usize>() + 2,
        Value::Object(entries) => {
            let entries = entries.iter();
            entries
                .map(|(key, value)| key.len() + 4 + octets(value))
                .sum::<usize>()
                + 2
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zbus::Message;

    use super::*;

    fn signature(text: &str) -> Signature {
        Signature::try_from(text).unwrap()
    }

    #[test]
    fn types_have_the_hints_that_plain_nodes_know() {
        for (text, expected) in [
            ("b", Some("bool")),
            ("y", Some("int")),
            ("x", Some("int")),
            ("t", Some("signature:t")),
            ("d", Some("flt")),
            ("o", Some("string")),
            ("(ddd)", Some("vec3f")),
            ("a{sv}", Some("signature:a{sv}")),
            ("v", Some("signature:v")),
            ("h", None),
            ("a(sh)", None),
        ] {
            assert_eq!(hint(&signature(text)).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        let path = zbus::ObjectPath::try_from("/a/b").unwrap();
        for given in [
            Variant::from(7u8),
            Variant::from(u64::MAX),
            Variant::from(0.25),
            Variant::from(path),
            Variant::from(vec![1i16, -2]),
            Variant::from((1.5, 2.5)),
            Variant::from(std::collections::HashMap::from([(3u32, "x")])),
        ] {
            let there = value(&given).unwrap();
            assert_eq!(variant(given.value_signature(), &there), Some(given));
        }
        assert_eq!(variant(&signature("y"), &json!(256)), None);
        assert_eq!(variant(&signature("o"), &json!("no path")), None);
    }

    #[test]
    fn what_json_does_not_have_or_is_too_long_is_not_told() {
        assert_eq!(value(&Variant::from(f64::NAN)), None);
        assert_eq!(value(&Variant::from("x".repeat(VALUE_LEN_MAX))), None);
        assert_eq!(value(&Variant::from(vec![0u8; VALUE_LEN_MAX])), None);
    }

    #[test]
    fn a_signal_tells_its_argument_or_a_list_of_them() {
        let signal = || Message::signal("/", "org.a.A", "S");
        let tell = |types: &[&str], signal: Message| {
            let types: Vec<Signature> = types.iter().map(|text| signature(text)).collect();
            signal_value(&types, &signal.body())
        };
        assert_eq!(tell(&[], signal().build(&()).unwrap()), Some(json!(true)));
        assert_eq!(tell(&["x"], signal().build(&7i64).unwrap()), Some(json!(7)));
        assert_eq!(tell(&["x"], signal().build(&()).unwrap()), None);
        let two = signal().build(&("x", 7u8)).unwrap();
        assert_eq!(tell(&["s", "y"], two), Some(json!(["x", 7])));
        let one = signal().build(&(("x", 7u8),)).unwrap();
        assert_eq!(tell(&["(sy)"], one), Some(json!(["x", 7])));
        let list = signature("(sy)");
        assert_eq!(signal_hint(&[]).as_deref(), Some("bool"));
        assert_eq!(signal_hint(&[Signature::I64]).as_deref(), Some("int"));
        assert_eq!(
            signal_hint(&[Signature::Str, Signature::U8]).as_deref(),
            Some("signature:(sy)")
        );
        assert_eq!(signal_hint(&[list]).as_deref(), Some("signature:(sy)"));
    }
}
