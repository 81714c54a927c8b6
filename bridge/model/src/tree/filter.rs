//! Removes from a patch what no tree may hold, so that the rest can be merged.
//!
//! Limits: depth and names. Where a size or a count is exceeded, no part can be singled out, and the patch is refused.

use serde_json::{Map, Value};

use crate::Limits;

/// Takes out entries whose names are too long, and arrays and objects that are too deep: out of an object with their
/// names, in an array a null keeps the place. How many.
pub(crate) fn prune(patch: &mut Map<String, Value>, limits: &Limits) -> usize {
    let mut count = 0;
    let depth_max = limits.depth();
    let mut open = Vec::new();
    let mut next = Some((1, Part::Object(patch)));
    while let Some((depth, part)) = next {
        let is_too_deep = |value: &Value| {
            // A scalar takes a level, too.
            depth + 1 > depth_max || (depth + 2 > depth_max && has_parts(value))
        };
        match part {
            Part::Object(map) => {
                let before = map.len();
                map.retain(|name, value| name.len() <= limits.name_len_max && !is_too_deep(value));
                count += before - map.len();
                open.extend(map.values_mut().map(|value| (depth + 1, value)));
            }
            Part::Array(values) => {
                for value in values.iter_mut().filter(|value| is_too_deep(value)) {
                    *value = Value::Null;
                    count += 1;
                }
                open.extend(values.iter_mut().map(|value| (depth + 1, value)));
            }
        }
        next = loop {
            match open.pop() {
                Some((depth, Value::Object(map))) => break Some((depth, Part::Object(map))),
                Some((depth, Value::Array(values))) => break Some((depth, Part::Array(values))),
                Some(_) => {}
                None => break None,
            }
        };
    }
    count
}

/// What has parts.
enum Part<'a> {
    Object(&'a mut Map<String, Value>),
    Array(&'a mut Vec<Value>),
}

fn has_parts(value: &Value) -> bool {
    match value {
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    }
}
