//! The values between two values.
//!
//! Model: numbers, and lists of as many numbers, have values between them; whole numbers whole ones. Everything else
//! has none, and is switched.

use serde_json::Value;

/// The value at a part, from 0 to 1, of the way. `None` where there is nothing between.
pub(crate) fn between(from: &Value, to: &Value, part: f64) -> Option<Value> {
    match (from, to) {
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() && !to.is_empty() => {
            let pairs = from.iter().zip(to);
            pairs.map(|(from, to)| number(from, to, part)).collect()
        }
        _ => number(from, to, part),
    }
}

fn number(from: &Value, to: &Value, part: f64) -> Option<Value> {
    let (start, end) = (from.as_f64()?, to.as_f64()?);
    // Not `start + (end - start) * part`, which is more than a number between the largest ones.
    let value = start * (1.0 - part) + end * part;
    let is_whole = |value: &Value| value.is_i64() || value.is_u64();
    if !(is_whole(from) && is_whole(to)) {
        return Some(Value::from(value));
    }
    let (from, to) = (whole(from)?, whole(to)?);
    #[allow(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
    let value = (value.round() as i128).clamp(from.min(to), from.max(to));
    let small = i64::try_from(value).map(Value::from);
    small
        .or_else(|_| u64::try_from(value).map(Value::from))
        .ok()
}

fn whole(value: &Value) -> Option<i128> {
    let small = value.as_i64().map(i128::from);
    small.or_else(|| value.as_u64().map(i128::from))
}

/// Whether two values are one: numbers by what they are, however they are written.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) if whole(one).is_none() || whole(other).is_none() => {
            one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_vectors_have_values_between_and_nothing_else_has() {
        assert_eq!(between(&json!(0.0), &json!(1.0), 0.25), Some(json!(0.25)));
        assert_eq!(between(&json!(0), &json!(3), 0.5), Some(json!(2)));
        assert_eq!(between(&json!(0), &json!(1.0), 0.5), Some(json!(0.5)));
        assert_eq!(
            between(&json!([0.0, 4]), &json!([1.0, 0]), 0.5),
            Some(json!([0.5, 2]))
        );
        let most = json!(f64::MAX);
        assert_eq!(between(&json!(f64::MIN), &most, 0.5), Some(json!(0.0)));
        let (low, high) = (json!(i64::MIN), json!(u64::MAX));
        assert!(between(&low, &high, 0.5).unwrap().is_u64());
        for (from, to) in [
            (json!(true), json!(false)),
            (json!("a"), json!("b")),
            (json!(1), json!("b")),
            (json!([1, 2]), json!([1])),
            (json!([]), json!([])),
            (json!([1, "a"]), json!([2, "b"])),
            (json!(null), json!(1)),
        ] {
            assert_eq!(between(&from, &to, 0.5), None, "{from} {to}");
        }
    }

    #[test]
    fn whole_numbers_end_on_themselves() {
        for to in [
            json!(i64::MAX),
            json!(u64::MAX),
            json!(9_007_199_254_740_993_i64),
        ] {
            assert_eq!(between(&to, &to, 0.5), Some(to));
        }
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        assert!(is_same(&json!(5), &json!(5.0)));
        assert!(is_same(&json!([1, 2.0]), &json!([1.0, 2])));
        assert!(!is_same(
            &json!(9_007_199_254_740_993_i64),
            &json!(9_007_199_254_740_992_i64)
        ));
        assert!(!is_same(&json!("5"), &json!(5)));
    }
}
