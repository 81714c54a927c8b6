//! The address space as OSCQuery describes it.
//!
//! Model: [`answer`] says what a request for a path is answered with, out of the [`Space`] alone.
//! Limits: those of the space.
//! Not here: HTTP, see `http`.
//! Spec: OSCQuery proposal (Vidvox, 2018), docs/reference/osc.md, "OSCQuery".

use serde_json::{Map, Value, json};

use super::{
    packet::{Arg, tag},
    space::{Entry, Space},
};

/// What a face says of itself.
#[derive(Debug, Clone)]
pub(crate) struct HostInfo {
    pub(crate) name: String,
    /// Where it listens for OSC: an address if it is one of several, and the port.
    pub(crate) osc: (Option<String>, u16),
    /// The same of WebSocket.
    pub(crate) web_socket: (Option<String>, u16),
}

/// An answer: the status of HTTP, and a body unless there is none.
pub(crate) type Answer = (u16, Option<Value>);

/// Answers a request for `path`, of `attribute` alone if it names one.
pub(crate) fn answer(
    space: &Space,
    host: &HostInfo,
    path: &str,
    attribute: Option<&str>,
) -> Answer {
    let Some(attribute) = attribute.filter(|attribute| !attribute.is_empty()) else {
        return match describe(space, path) {
            Some(description) => (OK, Some(description)),
            None => (NOT_FOUND, None),
        };
    };
    if attribute == "HOST_INFO" {
        return (OK, Some(host_info(host)));
    }
    if !ATTRIBUTES.contains(&attribute) {
        return (BAD_REQUEST, None);
    }
    let Some(description) = own(space, path) else {
        return (NOT_FOUND, None);
    };
    match description.get(attribute) {
        Some(value) => (OK, Some(json!({attribute: value}))),
        None if attribute == "CONTENTS" => match describe(space, path) {
            Some(whole) if whole.get("CONTENTS").is_some() => {
                (OK, Some(json!({"CONTENTS": whole["CONTENTS"]})))
            }
            _ => (NO_CONTENT, None),
        },
        None => (NO_CONTENT, None),
    }
}

fn host_info(host: &HostInfo) -> Value {
    let mut info = json!({
        "NAME": host.name,
        "OSC_PORT": host.osc.1,
        "OSC_TRANSPORT": "UDP",
        "WS_PORT": host.web_socket.1,
        "EXTENSIONS": {
            "ACCESS": true, "VALUE": true, "RANGE": true, "DESCRIPTION": true, "CRITICAL": true, "TYPE": true,
            "UNIT": true, "LISTEN": true, "PATH_ADDED": true, "PATH_REMOVED": true, "PATH_CHANGED": true,
        },
    });
    for (name, address) in [("OSC_IP", &host.osc.0), ("WS_IP", &host.web_socket.0)] {
        if let Some(address) = address {
            info[name] = Value::from(address.as_str());
        }
    }
    info
}

/// A path with all that is below it.
fn describe(space: &Space, path: &str) -> Option<Value> {
    let mut whole = own(space, path)?;
    let base = path.trim_end_matches('/');
    for (address, entry) in space.below(base) {
        let rest = address.get(base.len()..).unwrap_or_default();
        if !rest.is_empty() {
            put(&mut whole, space, (base, rest), method(address, entry));
        }
    }
    Some(Value::Object(whole))
}

/// Puts a method into the description of what is above it.
fn put(
    whole: &mut Map<String, Value>,
    space: &Space,
    (base, rest): (&str, &str),
    mut method: Map<String, Value>,
) {
    let mut at = whole;
    let mut full = base.to_owned();
    for name in rest.split('/').filter(|name| !name.is_empty()) {
        full.push('/');
        full.push_str(name);
        match child(at, name, || container_at(space, &full)) {
            Some(child) => at = child,
            None => return,
        }
    }
    at.append(&mut method);
}

fn child<'a>(
    node: &'a mut Map<String, Value>,
    name: &str,
    make: impl FnOnce() -> Map<String, Value>,
) -> Option<&'a mut Map<String, Value>> {
    let contents = node
        .entry("CONTENTS")
        .or_insert_with(|| Value::Object(Map::new()));
    let child = contents.as_object_mut()?.entry(name);
    child
        .or_insert_with(|| Value::Object(make()))
        .as_object_mut()
}

/// A path without what is below it; `None` if there is none.
fn own(space: &Space, path: &str) -> Option<Map<String, Value>> {
    let base = path.trim_end_matches('/');
    if let Some(entry) = space.at(base) {
        return Some(method(base, entry));
    }
    let is_there = base.is_empty() || space.below(base).next().is_some();
    is_there.then(|| container_at(space, base))
}

fn container_at(space: &Space, path: &str) -> Map<String, Value> {
    let mut node = Map::new();
    let full = if path.is_empty() { "/" } else { path };
    node.insert("FULL_PATH".to_owned(), Value::from(full));
    node.insert("ACCESS".to_owned(), Value::from(0));
    let label = path.strip_prefix('/').filter(|label| !label.contains('/'));
    if let Some(name) = label.and_then(|label| space.name_of(label)) {
        node.insert("DESCRIPTION".to_owned(), Value::from(name));
    }
    node
}

fn method(address: &str, entry: &Entry) -> Map<String, Value> {
    let info = &entry.capability.info;
    let mut node = Map::new();
    let mut put = |name: &str, value: Value| {
        node.insert(name.to_owned(), value);
    };
    put("FULL_PATH", Value::from(address));
    let access = u8::from(info.access.read) + 2 * u8::from(info.access.write);
    put("ACCESS", Value::from(access));
    let args = entry.args().unwrap_or_default();
    let tags: String = if args.is_empty() {
        entry.kind.tags(None)
    } else {
        args.iter().map(tag).collect()
    };
    put("TYPE", Value::from(tags));
    if info.access.read && !args.is_empty() {
        put("VALUE", args.iter().map(shown).collect());
    }
    if let Some(range) = range(entry, args.len()) {
        put("RANGE", range);
    }
    let told = info.extra.get("description").and_then(Value::as_str);
    put("DESCRIPTION", Value::from(told.unwrap_or(&entry.path.name)));
    if let Some(unit) = info.extra.get("unit").and_then(Value::as_str) {
        put("UNIT", json!([unit]));
    }
    if !entry.is_state() {
        put("CRITICAL", Value::Bool(true));
    }
    node
}

/// The smallest and the largest of each argument.
fn range(entry: &Entry, count: usize) -> Option<Value> {
    let info = &entry.capability.info;
    if info.min.is_none() && info.max.is_none() {
        return None;
    }
    let bound = |bound: &Option<Value>, at: usize| match bound {
        Some(Value::Array(parts)) => parts.get(at).cloned(),
        other => other.clone(),
    };
    let of = |at: usize| {
        let mut range = Map::new();
        for (name, side) in [("MIN", &info.min), ("MAX", &info.max)] {
            if let Some(value) = bound(side, at) {
                range.insert(name.to_owned(), value);
            }
        }
        Value::Object(range)
    };
    Some((0..count.max(1)).map(of).collect())
}

fn shown(arg: &Arg) -> Value {
    match arg {
        Arg::Int(value) => Value::from(*value),
        Arg::Long(value) => Value::from(*value),
        // As short as it is: 0.1 is 0.1.
        Arg::Float(value) => json!(value.to_string().parse::<f64>().unwrap_or_default()),
        Arg::Double(value) => json!(value),
        Arg::Text(value) => Value::from(value.as_str()),
        Arg::Bool(value) => Value::Bool(*value),
        Arg::Color([red, green, blue, alpha]) => {
            Value::from(format!("#{red:02X}{green:02X}{blue:02X}{alpha:02X}"))
        }
        _ => Value::Null,
    }
}

const OK: u16 = 200;
const NO_CONTENT: u16 = 204;
const BAD_REQUEST: u16 = 400;
const NOT_FOUND: u16 = 404;
/// What one may ask for alone.
const ATTRIBUTES: [&str; 14] = [
    "FULL_PATH",
    "CONTENTS",
    "TYPE",
    "ACCESS",
    "VALUE",
    "RANGE",
    "DESCRIPTION",
    "TAGS",
    "CRITICAL",
    "CLIPMODE",
    "UNIT",
    "EXTENDED_TYPE",
    "OVERLOADS",
    "HTML",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::osc::space::tests::{peer, tree};

    fn space() -> Space {
        let mut space = Space::default();
        space.entered(peer(1), "my lamp".into());
        space.tree(
            peer(1),
            &tree(json!({
                "level": {"value": 0.1, "typeHint": "flt", "access": "rwe", "min": 0, "max": 1, "unit": "gain.linear"},
                "on": {"value": false, "typeHint": "bool", "access": "r"},
                "colour": {"value": [1, 0, 0, 1], "typeHint": "rgba", "access": "rw"},
                "go": {"typeHint": "int", "access": "we", "value": 0},
                "objects": {"pan": {"xy": {"value": [1, 2], "typeHint": "vec2f", "access": "rw",
                                           "min": [0, -5], "max": 10}}},
            })),
        );
        space
    }

    fn host() -> HostInfo {
        HostInfo {
            name: "osc".into(),
            osc: (None, 9000),
            web_socket: (Some("10.0.0.1".into()), 8080),
        }
    }

    fn get(path: &str, attribute: Option<&str>) -> Answer {
        answer(&space(), &host(), path, attribute)
    }

    #[test]
    fn the_whole_tree_is_described() {
        let (status, Some(root)) = get("/", None) else {
            panic!("no answer")
        };
        assert_eq!((status, &root["FULL_PATH"]), (200, &json!("/")));
        let lamp = &root["CONTENTS"]["my_20lamp"];
        assert_eq!(lamp["DESCRIPTION"], json!("my lamp"));
        assert_eq!(
            lamp["CONTENTS"]["level"],
            json!({"FULL_PATH": "/my_20lamp/level", "ACCESS": 3, "TYPE": "f", "VALUE": [0.1],
                   "RANGE": [{"MIN": 0, "MAX": 1}], "DESCRIPTION": "level", "UNIT": ["gain.linear"]})
        );
        assert_eq!(lamp["CONTENTS"]["on"]["TYPE"], json!("F"));
        assert_eq!(lamp["CONTENTS"]["colour"]["VALUE"], json!(["#FF0000FF"]));
        assert_eq!(lamp["CONTENTS"]["go"]["CRITICAL"], json!(true));
        assert_eq!(lamp["CONTENTS"]["go"].get("VALUE"), None);
        let xy = &lamp["CONTENTS"]["pan"]["CONTENTS"]["xy"];
        assert_eq!(
            xy["RANGE"],
            json!([{"MIN": 0, "MAX": 10}, {"MIN": -5, "MAX": 10}])
        );
        assert_eq!(xy["FULL_PATH"], json!("/my_20lamp/pan/xy"));
    }

    #[test]
    fn attributes_and_what_is_not_there_have_the_status_of_the_proposal() {
        assert_eq!(
            get("/my_20lamp/level", Some("VALUE")),
            (200, Some(json!({"VALUE": [0.1]})))
        );
        assert_eq!(get("/my_20lamp/go", Some("VALUE")), (204, None));
        assert_eq!(get("/my_20lamp", Some("RANGE")), (204, None));
        assert_eq!(get("/my_20lamp/level", Some("NONSENSE")), (400, None));
        assert_eq!(get("/nobody", None), (404, None));
        assert_eq!(get("/my_20lamp/lev", Some("VALUE")), (404, None));
        let (200, Some(info)) = get("/", Some("HOST_INFO")) else {
            panic!("no info")
        };
        assert_eq!(info["OSC_PORT"], json!(9000));
        assert_eq!(info["WS_IP"], json!("10.0.0.1"));
        assert_eq!(info["EXTENSIONS"]["LISTEN"], json!(true));
        let (200, Some(contents)) = get("/my_20lamp/pan", Some("CONTENTS")) else {
            panic!()
        };
        assert_eq!(contents["CONTENTS"]["xy"]["TYPE"], json!("ff"));
    }
}
