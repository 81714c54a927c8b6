//! What another program's OSCQuery server says, as entries of a map.
//!
//! Model: [`host`] reads HOST_INFO, [`entries`] a description with all that is below it, and [`is_change`] reads a text
//! of its WebSocket. A method whose type no capability has is left out.
//! Limits: [`ENTRIES_MAX`] methods; further ones are left out. The text was bounded before it was read.
//! Spec: OSCQuery proposal (Vidvox, 2018), docs/reference/osc.md, "A foreign tree"

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    map::{Direction, ENTRIES_MAX, Entry, is_address},
    types::vector_hint,
};

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// Where OSC goes to with UDP, the host only if it says one; `None`: through the WebSocket.
    pub(crate) osc: Option<(Option<String>, u16)>,
    /// Where its WebSocket is; `None`: it does not say what changes.
    pub(crate) web_socket: Option<(Option<String>, u16)>,
}

/// A method, with its value if it has one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Method {
    pub(crate) entry: Entry,
    pub(crate) value: Option<Value>,
}

/// Reads HOST_INFO; `port` is that of the request.
pub(crate) fn host(info: &Value, port: u16) -> Host {
    let place = |ip: &str, of: &str| {
        let number = info.get(of).and_then(Value::as_u64);
        let host = info.get(ip).and_then(Value::as_str).map(str::to_owned);
        let number = number.and_then(|number| u16::try_from(number).ok());
        (host, number.unwrap_or(port))
    };
    let is_udp = info
        .get("OSC_TRANSPORT")
        .and_then(Value::as_str)
        .is_none_or(|transport| transport.eq_ignore_ascii_case("udp"));
    let listens = info
        .pointer("/EXTENSIONS/LISTEN")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let name = info.get("NAME").and_then(Value::as_str).unwrap_or_default();
    Host {
        name: name.to_owned(),
        osc: is_udp.then(|| place("OSC_IP", "OSC_PORT")),
        web_socket: listens.then(|| place("WS_IP", "WS_PORT")),
    }
}

/// The methods of a description, and the addresses of those that were left out.
pub(crate) fn entries(description: &Value) -> (Vec<Method>, BTreeSet<String>) {
    let (mut methods, mut left_out) = (Vec::new(), BTreeSet::new());
    let mut open = vec![description];
    while let Some(node) = open.pop() {
        if let Some(Value::Object(contents)) = node.get("CONTENTS") {
            open.extend(contents.values());
        }
        let kind = node.get("TYPE").and_then(Value::as_str).unwrap_or_default();
        if kind.is_empty() || node.get("ACCESS") == Some(&Value::from(0)) {
            continue;
        }
        match method(node, kind) {
            Some(method) if methods.len() < ENTRIES_MAX => methods.push(method),
            _ => {
                let address = node.get("FULL_PATH").and_then(Value::as_str);
                left_out.insert(address.unwrap_or_default().to_owned());
            }
        }
    }
    methods.sort_by(|one: &Method, other| one.entry.address.cmp(&other.entry.address));
    methods.dedup_by(|one, other| one.entry.address == other.entry.address);
    (methods, left_out)
}

fn method(node: &Value, kind: &str) -> Option<Method> {
    let address = node.get("FULL_PATH").and_then(Value::as_str)?;
    let hint = hint(kind)?;
    let direction = match node.get("ACCESS").and_then(Value::as_u64) {
        Some(1) => Direction::Out,
        Some(2) => Direction::In,
        _ => Direction::Both,
    };
    let bound = |name: &str| {
        let first = node.get("RANGE")?.get(0)?;
        first.get(name)?.as_f64()
    };
    let (min, max) = (bound("MIN"), bound("MAX"));
    let is_range = min.zip(max).is_none_or(|(min, max)| min <= max);
    let value = node.get("VALUE").and_then(Value::as_array);
    let value = value.and_then(|values| match values.as_slice() {
        [one] if !hint.starts_with("vec") => Some(one.clone()),
        all if hint.starts_with("vec") && all.iter().all(Value::is_number) => {
            Some(Value::Array(all.to_vec()))
        }
        _ => None,
    });
    let entry = Entry {
        address: address.to_owned(),
        name: None,
        direction,
        hint,
        min: min.filter(|_| is_range),
        max: max.filter(|_| is_range),
        value: None,
    };
    let is_usable = is_address(address) && entry.path().is_some();
    is_usable.then_some(Method { entry, value })
}

/// The `typeHint` for type tags; `None` where no capability is like that.
fn hint(tags: &str) -> Option<String> {
    let tags: String = tags.chars().filter(|tag| !"[]".contains(*tag)).collect();
    let is_number = |tag: char| "ihfd".contains(tag);
    match tags.as_str() {
        "i" | "h" => Some("int".to_owned()),
        "f" | "d" => Some("flt".to_owned()),
        "T" | "F" | "I" | "N" => Some("bool".to_owned()),
        "s" | "S" | "c" => Some("string".to_owned()),
        many if many.chars().all(is_number) => vector_hint(many.len()),
        _ => None,
    }
}

/// Whether a text of the WebSocket says that the tree is another one now.
pub(crate) fn is_change(text: &str) -> bool {
    let command: Option<Value> = serde_json::from_str(text).ok();
    let command = command.as_ref().and_then(|it| it.get("COMMAND")?.as_str());
    command.is_some_and(|command| command.starts_with("PATH_"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_becomes_entries() {
        let description = json!({"FULL_PATH": "/", "ACCESS": 0, "CONTENTS": {
            "cutoff": {"FULL_PATH": "/cutoff", "TYPE": "f", "ACCESS": 3, "VALUE": [0.5], "RANGE": [{"MIN": 0, "MAX": 1}]},
            "voice": {"FULL_PATH": "/voice", "CONTENTS": {
                "on": {"FULL_PATH": "/voice/on", "TYPE": "T", "ACCESS": 2, "VALUE": [true]},
                "xy": {"FULL_PATH": "/voice/xy", "TYPE": "[ff]", "ACCESS": 1, "VALUE": [0.1, 0.2]},
                "blob": {"FULL_PATH": "/voice/blob", "TYPE": "b", "ACCESS": 3},
                "odd": {"FULL_PATH": "/voice/*", "TYPE": "f", "ACCESS": 3},
                "closed": {"FULL_PATH": "/voice/closed", "TYPE": "f", "ACCESS": 0},
                "turned": {"FULL_PATH": "/voice/turned", "TYPE": "i", "RANGE": [{"MIN": 5, "MAX": 1}]},
            }},
        }});
        let (methods, left_out) = entries(&description);
        assert_eq!(
            left_out,
            ["/voice/*", "/voice/blob"].map(str::to_owned).into()
        );
        let of = |method: &Method| {
            let entry = &method.entry;
            (
                entry.address.clone(),
                entry.hint.clone(),
                entry.direction,
                method.value.clone(),
            )
        };
        let all: Vec<_> = methods.iter().map(of).collect();
        let expected = [
            ("/cutoff", "flt", Direction::Both, Some(json!(0.5))),
            ("/voice/on", "bool", Direction::In, Some(json!(true))),
            ("/voice/turned", "int", Direction::Both, None),
            (
                "/voice/xy",
                "vec2f",
                Direction::Out,
                Some(json!([0.1, 0.2])),
            ),
        ];
        let expected = expected.map(|(address, hint, direction, value)| {
            (address.to_owned(), hint.to_owned(), direction, value)
        });
        assert_eq!(all, expected);
        assert_eq!(
            (methods[0].entry.min, methods[0].entry.max),
            (Some(0.0), Some(1.0))
        );
        assert_eq!((methods[2].entry.min, methods[2].entry.max), (None, None));
    }

    #[test]
    fn what_a_server_says_of_itself_is_read() {
        let info = json!({"NAME": "synth", "OSC_IP": "10.0.0.7", "OSC_PORT": 9000, "OSC_TRANSPORT": "UDP",
                          "EXTENSIONS": {"LISTEN": true}});
        let synth = host(&info, 8080);
        assert_eq!(synth.name, "synth");
        assert_eq!(synth.osc, Some((Some("10.0.0.7".into()), 9000)));
        assert_eq!(synth.web_socket, Some((None, 8080)));
        let odd = host(
            &json!({"OSC_PORT": 70_000, "OSC_TRANSPORT": "TCP", "EXTENSIONS": 5}),
            80,
        );
        assert_eq!((odd.osc, odd.web_socket), (None, None));
        assert_eq!(host(&json!([]), 80).osc, Some((None, 80)));
    }

    #[test]
    fn methods_have_a_bound() {
        let one = |number: usize| {
            let name = number.to_string();
            (
                name.clone(),
                json!({"FULL_PATH": format!("/{name}"), "TYPE": "i"}),
            )
        };
        let contents: serde_json::Map<_, _> = (0..=ENTRIES_MAX).map(one).collect();
        let (methods, left_out) = entries(&json!({"CONTENTS": contents}));
        assert_eq!((methods.len(), left_out.len()), (ENTRIES_MAX, 1));
    }

    #[test]
    fn notices_are_told_from_other_texts() {
        assert!(is_change(r#"{"COMMAND": "PATH_ADDED", "DATA": "/a"}"#));
        for other in ["", "5", r#"{"COMMAND": "LISTEN"}"#, r#"{"COMMAND": 1}"#] {
            assert!(!is_change(other), "{other}");
        }
    }
}
