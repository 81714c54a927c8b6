//! Size, depth, comparison and deep merge of JSON values, none by recursion.

use serde_json::{Map, Value};

use super::number::compare;

/// What a JSON value counts against a limit of size, before its text.
pub(crate) const VALUE_SIZE: usize = 48;

/// What an object counts besides, for each [`NODE_LEN`] entries begun: its entries are in nodes with
/// room for eleven, also where there is one.
pub(crate) const NODE_SIZE: usize = 640;

/// Entries in a node, on average where there are many.
pub(crate) const NODE_LEN: usize = 8;

/// What a value needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Memory, approximately, in octets.
    pub(crate) size: usize,
    /// Nesting: 1 for a scalar.
    pub(crate) depth: usize,
    /// JSON objects in it.
    pub(crate) maps: usize,
    /// The longest key, in octets.
    pub(crate) key_len: usize,
}

/// Measures `value`; stops early, with the depth found, beyond `depth_max`.
pub(crate) fn measure(value: &Value, depth_max: usize) -> Measure {
    let mut sum = Measure::default();
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        sum.size += VALUE_SIZE;
        sum.depth = sum.depth.max(depth);
        if depth > depth_max {
            break;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => sum.size += number.as_str().len(),
            Value::String(text) => sum.size += text.len(),
            Value::Array(values) => open.extend(values.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => {
                sum.maps += 1;
                sum.size += map.len().div_ceil(NODE_LEN) * NODE_SIZE;
                for (key, value) in map {
                    sum.size += key.len();
                    sum.key_len = sum.key_len.max(key.len());
                    open.push((value, depth + 1));
                }
            }
        }
    }
    sum
}

/// Merges as pyZOCP does: objects into objects, everything else replaces.
pub(crate) fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    let mut open = vec![(into, patch)];
    while let Some((into, patch)) = open.pop() {
        for (key, new) in patch {
            let both = new.is_object() && into.get(key).is_some_and(Value::is_object);
            if !both {
                into.insert(key.clone(), new.clone());
            }
        }
        for (key, old) in into {
            // What was replaced above is equal already: merging it again changes nothing.
            if let (Value::Object(old), Some(Value::Object(new))) = (old, patch.get(key)) {
                open.push((old, new));
            }
        }
    }
}

/// Whether two values are the same to Python: numbers by value, not by digits.
///
/// NaN is the same as NaN here, so that it does not travel in circles for ever.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    let mut open = vec![(a, b)];
    while let Some((a, b)) = open.pop() {
        let same = match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                a == b || compare(a, b).is_some_and(|order| order.is_eq())
            }
            (Value::Array(a), Value::Array(b)) => {
                open.extend(a.iter().zip(b));
                a.len() == b.len()
            }
            (Value::Object(a), Value::Object(b)) => {
                let pairs = a.iter().map(|(key, a)| b.get(key).map(|b| (a, b)));
                let complete = pairs.clone().all(|pair| pair.is_some());
                open.extend(pairs.flatten());
                complete && a.len() == b.len()
            }
            (a, b) => a == b,
        };
        if !same {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_merge_deeply_and_everything_else_replaces() {
        let mut a = json!({"a": {"b": 1, "c": {"d": 2}}, "l": [1, 2]});
        let patch = json!({"a": {"c": {"e": 3}, "b": null}, "l": [3], "n": {"o": 1}});
        merge(a.as_object_mut().unwrap(), patch.as_object().unwrap());
        assert_eq!(
            a,
            json!({"a": {"b": null, "c": {"d": 2, "e": 3}}, "l": [3], "n": {"o": 1}})
        );
    }

    #[test]
    fn equal_goes_by_value_and_not_by_digits() {
        assert!(equal(&json!([1, {"a": 2.0}]), &json!([1.0, {"a": 2}])));
        assert!(!equal(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!equal(&json!([1]), &json!([1, 2])));
        assert!(!equal(&json!(true), &json!(1)));
        assert!(equal(
            &super::super::float(f64::NAN),
            &super::super::float(f64::NAN)
        ));
    }

    #[test]
    fn measuring_stops_beyond_the_allowed_depth() {
        let deep = json!([[[[1]]]]);
        assert_eq!(measure(&deep, 10).depth, 5);
        assert_eq!(measure(&deep, 2).depth, 3);
        let map = measure(&json!({"abc": {"de": 1}}), 10);
        assert_eq!((map.maps, map.key_len), (2, 3));
        assert_eq!(map.size, 3 * VALUE_SIZE + 2 * NODE_SIZE + 6);
    }
}
