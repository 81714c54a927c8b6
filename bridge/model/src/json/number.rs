//! Numbers: exact digits, exact comparison, and the three that JSON lacks.
//!
//! Invariants: NUMBER-1. A `Number` in a model holds either a JSON number's own digits or one of
//! `NaN`, `Infinity`, `-Infinity`, which Python reads back.
//! Spec: docs/reference/protocol.md §4.4.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// The JSON number for `value`, also for those that only Python's JSON has.
///
/// ```
/// use zocp_model::{float, number};
/// assert_eq!(float(2.0).to_string(), "2.0");
/// assert!(number(&float(f64::NAN)).unwrap().is_nan());
/// ```
pub fn float(value: f64) -> Value {
    Value::Number(Number::from_f64(value).unwrap_or_else(|| {
        let name = match value {
            value if value.is_nan() => "NaN",
            value if value > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        raw_number(name)
    }))
}

/// The nearest `f64` of a JSON number, NaN and infinities included.
pub fn number(value: &Value) -> Option<f64> {
    as_f64(value.as_number()?)
}

/// A number whose text was checked before (NUMBER-1).
///
/// serde_json offers no other way to keep `NaN`, and validating twice is half the
/// time of decoding a small message. Its doc comment reserves the function for
/// tests: the version is pinned by the lock file, and the tests below would notice.
pub(crate) fn raw_number(text: &str) -> Number {
    Number::from_string_unchecked(text.to_owned())
}

/// Compares exactly where both are integers, else as `f64`. `None` with a NaN.
pub(crate) fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    if let (Ok(a), Ok(b)) = (a.as_str().parse::<i128>(), b.as_str().parse::<i128>()) {
        return Some(a.cmp(&b));
    }
    as_f64(a)?.partial_cmp(&as_f64(b)?)
}

fn as_f64(number: &Number) -> Option<f64> {
    number.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn large_integers_compare_exactly() {
        let (a, b) = (parsed("9007199254740993"), parsed("9007199254740992"));
        assert_eq!(compare(&a, &b), Some(Ordering::Greater));
        assert_eq!(compare(&parsed("5"), &parsed("5.0")), Some(Ordering::Equal));
        assert_eq!(compare(&parsed("1e999"), &a), Some(Ordering::Greater));
    }

    // protocol.md §4.4
    #[test]
    fn python_reads_back_what_json_lacks() {
        assert_eq!(float(f64::NAN).to_string(), "NaN");
        assert_eq!(float(f64::INFINITY).to_string(), "Infinity");
        assert_eq!(float(f64::NEG_INFINITY).to_string(), "-Infinity");
        assert_eq!(number(&float(f64::NEG_INFINITY)), Some(f64::NEG_INFINITY));
        assert_eq!(compare(&raw_number("NaN"), &parsed("1")), None);
    }
}
