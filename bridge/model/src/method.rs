//! A method: an entry of an object's `methods`.
//!
//! Invariants: METHOD-1. [`Method::to_json`] gives what came in: an entry that is written unusually
//! is kept whole beside what was understood of it.
//! Spec: docs/reference/protocol.md §6.2.

use serde_json::{Map, Value};

/// A method of an object: its arguments, its results, and what it is for.
///
/// ```
/// use zocp_model::{Argument, Method};
/// let times = Argument::new("times", "int");
/// let blink = Method::new(vec![times], vec![], Some("Blinks.".to_owned()));
/// assert_eq!(blink.to_json()["in"][0]["typeHint"], "int");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Method {
    /// The arguments, in order.
    pub inputs: Vec<Argument>,
    /// The results, in order.
    pub outputs: Vec<Argument>,
    /// What it is for, for people.
    pub doc: Option<String>,
    raw: Option<Box<Value>>,
}

/// An argument or a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Argument {
    /// The name; may be empty.
    pub name: String,
    /// The `typeHint`, as the node wrote it.
    pub type_hint: Option<String>,
}

impl Method {
    /// A method with these arguments and results.
    pub fn new(inputs: Vec<Argument>, outputs: Vec<Argument>, doc: Option<String>) -> Self {
        Self {
            inputs,
            outputs,
            doc,
            raw: None,
        }
    }

    /// Understands what can be understood of an entry.
    pub(crate) fn from_json(entry: Value) -> Self {
        let arguments = |key: &str| {
            let list = entry.get(key).and_then(Value::as_array);
            list.map(|list| list.iter().map(Argument::from_json).collect())
                .unwrap_or_default()
        };
        let doc = entry.get("doc").and_then(Value::as_str).map(str::to_owned);
        let mut method = Self::new(arguments("in"), arguments("out"), doc);
        if method.to_json() != entry {
            method.raw = Some(Box::new(entry));
        }
        method
    }

    /// The entry, as it came if it did.
    pub fn to_json(&self) -> Value {
        if let Some(raw) = &self.raw {
            return (**raw).clone();
        }
        let list =
            |arguments: &[Argument]| arguments.iter().map(Argument::to_json).collect::<Value>();
        let mut entry = Map::new();
        entry.insert("in".to_owned(), list(&self.inputs));
        entry.insert("out".to_owned(), list(&self.outputs));
        if let Some(doc) = &self.doc {
            entry.insert("doc".to_owned(), Value::from(doc.as_str()));
        }
        Value::Object(entry)
    }
}

impl Argument {
    /// An argument with a type hint.
    pub fn new(name: &str, type_hint: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_hint: Some(type_hint.to_owned()),
        }
    }

    fn from_json(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            name: text("name").unwrap_or_default(),
            type_hint: text("typeHint"),
        }
    }

    fn to_json(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("name".to_owned(), Value::from(self.name.as_str()));
        if let Some(hint) = &self.type_hint {
            entry.insert("typeHint".to_owned(), Value::from(hint.as_str()));
        }
        Value::Object(entry)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // protocol.md §6.2
    #[test]
    fn a_method_is_understood_and_written_back() {
        let entry = json!({
            "in": [{"name": "times", "typeHint": "int"}],
            "out": [{"name": "ok", "typeHint": "bool"}],
            "doc": "Blinks.",
        });
        let method = Method::from_json(entry.clone());
        assert_eq!(method.inputs, [Argument::new("times", "int")]);
        assert_eq!(method.doc.as_deref(), Some("Blinks."));
        assert_eq!(method.to_json(), entry);
    }

    #[test]
    fn an_odd_entry_is_kept_as_it_came() {
        for entry in [
            json!({}),
            json!(5),
            json!({"in": 1, "x": 2}),
            json!({"in": [1, {"a": 2}], "out": []}),
        ] {
            assert_eq!(Method::from_json(entry.clone()).to_json(), entry);
        }
    }
}
