//! The types of values: what `typeHint` says, and what a value is.
//!
//! Model: a [`TypeHint`] is what the node wrote. A [`Shape`] is the type by which a
//! capability is shown: the hint's, if the value converts to it without loss, else the
//! value's own. A change of shape is a change of type.
//! Spec: docs/reference/dbus.md, "Types"; docs/reference/protocol.md §4.3, §6.4.

use serde_json::Value;

use crate::json::{float, number};

/// The meaning of a `typeHint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypeHint<'a> {
    /// `int`: an integer of 64 bits.
    Int,
    /// `flt`, `float`, `percent`: a floating point number.
    Float,
    /// `bool`.
    Bool,
    /// `string`.
    Text,
    /// `vec2f`, `vec3f`, `vec4f` and other counts from 1 to 99: a list of so many numbers.
    Vector(usize),
    /// `signature:<sig>`: a D-Bus signature, which this crate does not look into.
    Signature(&'a str),
    /// Any other hint, or none.
    Other,
}

impl<'a> TypeHint<'a> {
    /// The meaning of the text of a `typeHint`.
    pub fn parse(text: &'a str) -> Self {
        match text {
            "int" => Self::Int,
            "flt" | "float" | "percent" => Self::Float,
            "bool" => Self::Bool,
            "string" => Self::Text,
            _ => Self::parse_composed(text),
        }
    }

    fn parse_composed(text: &'a str) -> Self {
        if let Some(signature) = text.strip_prefix("signature:") {
            return Self::Signature(signature);
        }
        let count = text
            .strip_prefix("vec")
            .and_then(|rest| rest.strip_suffix('f'));
        match count
            .filter(|digits| digits.len() <= 2)
            .and_then(|digits| digits.parse().ok())
        {
            Some(count) if count > 0 => Self::Vector(count),
            _ => Self::Other,
        }
    }

    /// The hint that pyZOCP's programs would give this value.
    pub(crate) fn text_for(value: &Value) -> &'static str {
        match Shape::natural(value) {
            Shape::Bool => "bool",
            Shape::Int => "int",
            Shape::Float => "flt",
            Shape::Map => "signature:a{sv}",
            Shape::Array => match value
                .as_array()
                .filter(|list| list.iter().all(Value::is_number))
                .map(Vec::len)
            {
                Some(2) => "vec2f",
                Some(3) => "vec3f",
                Some(4) => "vec4f",
                _ => "signature:av",
            },
            _ => "string",
        }
    }

    /// A value that fits, for a capability that has none.
    pub(crate) fn default_value(self) -> Value {
        match self {
            Self::Int => Value::from(0),
            Self::Float => float(0.0),
            Self::Bool => Value::Bool(false),
            Self::Text => Value::from(""),
            Self::Vector(count) => Value::Array(vec![float(0.0); count]),
            Self::Signature(_) | Self::Other => Value::Null,
        }
    }

    /// The type of a value under this hint.
    pub fn shape(self, value: &Value) -> Shape {
        let hinted = match self {
            Self::Int => Shape::Int,
            Self::Float => Shape::Float,
            Self::Bool => Shape::Bool,
            Self::Text => Shape::Text,
            Self::Vector(count) => Shape::Vector(count),
            Self::Signature(_) => return Shape::Signature,
            Self::Other => return Shape::natural(value),
        };
        if value.is_null() || self.fits(value) {
            hinted
        } else {
            Shape::natural(value)
        }
    }

    /// Whether a value converts to this hint's type without loss. `Other` and
    /// `Signature` take anything.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::Int => integer(value).is_some(),
            Self::Float => exact_float(value),
            Self::Bool => truth(value).is_some(),
            Self::Text => value.is_string(),
            Self::Vector(count) => value
                .as_array()
                .is_some_and(|list| list.len() == count && list.iter().all(exact_float)),
            Self::Signature(_) | Self::Other => true,
        }
    }

    /// The value as programs with this hint expect it; `None` if it does not fit.
    ///
    /// `5.0` becomes `5` for an integer, `5` becomes `5.0` for a float, 0 and 1 become
    /// booleans. Digits are otherwise kept.
    pub fn convert(self, value: &Value) -> Option<Value> {
        if !self.fits(value) {
            return None;
        }
        match self {
            Self::Int => integer(value).map(Value::from),
            Self::Float => Some(with_point(value)),
            Self::Bool => truth(value).map(Value::from),
            Self::Vector(_) => Some(value.as_array()?.iter().map(with_point).collect()),
            Self::Text | Self::Signature(_) | Self::Other => Some(value.clone()),
        }
    }
}

/// The type by which a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// An integer of 64 bits.
    Int,
    /// Any other number.
    Float,
    /// A boolean.
    Bool,
    /// A string.
    Text,
    /// So many floating point numbers.
    Vector(usize),
    /// What the hint's D-Bus signature says, if the value fits it.
    Signature,
    /// A JSON array.
    Array,
    /// A JSON object.
    Map,
    /// No value tells yet.
    Unknown,
}

impl Shape {
    /// The type that the value itself has.
    pub fn natural(value: &Value) -> Self {
        match value {
            Value::Null => Self::Unknown,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.as_str().parse::<i64>().is_ok() => Self::Int,
            Value::Number(_) => Self::Float,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Map,
        }
    }
}

/// The exact integer that a number is, also when written as `5.0` or `5e3`.
fn integer(value: &Value) -> Option<i64> {
    let text = value.as_number()?.as_str();
    if let Ok(exact) = text.parse() {
        return Some(exact);
    }
    let float: f64 = text.parse().ok()?;
    // Above 2^53 a float's digits no longer tell which integer was meant.
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    (text.contains(['.', 'e', 'E']) && float.fract() == 0.0 && float.abs() <= FLOAT_EXACT_MAX)
        .then_some(float as i64)
}

/// Whether a number survives as `f64`: integers only up to what it holds exactly.
fn exact_float(value: &Value) -> bool {
    let Some(text) = value.as_number().map(|number| number.as_str()) else {
        return false;
    };
    match text.parse::<i128>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "the round trip is the test"
        )]
        Ok(integer) => (integer as f64) as i128 == integer,
        // Digits without a point that i128 does not hold.
        Err(_) => !text
            .bytes()
            .all(|octet| octet.is_ascii_digit() || octet == b'-'),
    }
}

fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| match integer(value)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    })
}

/// An integer as the float of the same value; other numbers keep their digits.
fn with_point(value: &Value) -> Value {
    match number(value).filter(|_| {
        value
            .as_number()
            .is_some_and(|n| n.as_str().parse::<i128>().is_ok())
    }) {
        Some(integer) => float(integer),
        None => value.clone(),
    }
}

/// Every integer up to here is an `f64`.
const FLOAT_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // protocol.md §6.4
    #[test]
    fn hints_are_understood_and_others_are_none() {
        let table = [
            ("int", TypeHint::Int),
            ("flt", TypeHint::Float),
            ("float", TypeHint::Float),
            ("percent", TypeHint::Float),
            ("bool", TypeHint::Bool),
            ("string", TypeHint::Text),
            ("vec3f", TypeHint::Vector(3)),
            ("vec5f", TypeHint::Vector(5)),
            ("vec0f", TypeHint::Other),
            ("vec123f", TypeHint::Other),
            ("vecf", TypeHint::Other),
            ("signature:a{sv}", TypeHint::Signature("a{sv}")),
            ("", TypeHint::Other),
            ("Int", TypeHint::Other),
        ];
        for (text, hint) in table {
            assert_eq!(TypeHint::parse(text), hint, "{text}");
        }
    }

    #[test]
    fn a_value_converts_only_without_loss() {
        let big: Value = serde_json::from_str("9007199254740993").unwrap();
        let table = [
            (TypeHint::Int, json!(5.0), Some("5")),
            (TypeHint::Int, json!(5.5), None),
            (TypeHint::Int, big.clone(), Some("9007199254740993")),
            (TypeHint::Int, json!(u64::MAX), None),
            (TypeHint::Int, json!(true), None),
            (TypeHint::Int, json!("5"), None),
            (TypeHint::Float, json!(5), Some("5.0")),
            (TypeHint::Float, json!(2.3), Some("2.3")),
            (TypeHint::Float, big, None),
            (TypeHint::Float, float(f64::NAN), Some("NaN")),
            (TypeHint::Bool, json!(1), Some("true")),
            (TypeHint::Bool, json!(2), None),
            (TypeHint::Text, json!("x"), Some("\"x\"")),
            (TypeHint::Text, json!(1), None),
            (TypeHint::Vector(2), json!([1, 2.5]), Some("[1.0,2.5]")),
            (TypeHint::Vector(2), json!([1]), None),
            (TypeHint::Vector(2), json!([1, "a"]), None),
            (TypeHint::Other, json!([1]), Some("[1]")),
            (TypeHint::Int, Value::Null, None),
        ];
        for (hint, value, expected) in table {
            assert_eq!(
                hint.convert(&value)
                    .map(|value| value.to_string())
                    .as_deref(),
                expected,
                "{hint:?} {value}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_its_hint_is_shown_as_what_it_is() {
        assert_eq!(TypeHint::Int.shape(&json!(5)), Shape::Int);
        assert_eq!(TypeHint::Int.shape(&json!(5.5)), Shape::Float);
        assert_eq!(TypeHint::Float.shape(&json!(5)), Shape::Float);
        assert_eq!(TypeHint::Int.shape(&Value::Null), Shape::Int);
        assert_eq!(TypeHint::Vector(2).shape(&json!([1, 2, 3])), Shape::Array);
        assert_eq!(TypeHint::Other.shape(&json!({})), Shape::Map);
        assert_eq!(TypeHint::Other.shape(&Value::Null), Shape::Unknown);
        assert_eq!(TypeHint::Signature("ay").shape(&json!(1)), Shape::Signature);
    }

    #[test]
    fn a_hint_for_a_value_suits_it() {
        for value in [
            json!(1),
            json!(1.5),
            json!("x"),
            json!(true),
            json!([1, 2]),
            json!([1, 2, 3, 4, 5]),
            json!({}),
        ] {
            assert!(
                TypeHint::parse(TypeHint::text_for(&value)).fits(&value),
                "{value}"
            );
        }
    }
}
