//! What a capability's value is in OSC, and back.
//!
//! Model: the `typeHint` (or, without a known one, the present value) gives a [`Kind`]; a kind has type tags, makes
//! arguments of a value, and a value of arguments.
//! Invariants: TYPE-1. What a value becomes comes back as the same value, a float within the 24 bits of `f`. TYPE-2. A
//! number that is not finite is refused.
//! Spec: docs/reference/osc.md, "Types".

use super::packet::Arg;
use crate::mesh::{Capability, Info, Shape, TypeHint, Value, float, number};

/// What a capability is in OSC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `i`, and `h` where the value needs it.
    Int,
    /// `h`: the range goes beyond 32 bits.
    Long,
    /// `f`
    Float,
    /// `T` or `F`
    Bool,
    /// `s`
    Text,
    /// So many `f`.
    Vector(usize),
    /// `r`, for three or four numbers from 0 to 1.
    Color(usize),
    /// What the value itself is.
    Free,
}

/// The arguments are not of the capability's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wrong type: it takes {expected}")]
pub(crate) struct WrongType {
    expected: String,
}

impl Kind {
    pub(crate) fn of(capability: &Capability) -> Self {
        let info = &capability.info;
        if let Some(count) = color(capability) {
            return Self::Color(count);
        }
        match (info.hint(), capability.shape()) {
            (TypeHint::Int, _) | (TypeHint::Other, Shape::Int) => Self::int(info),
            (TypeHint::Float, _) | (TypeHint::Other, Shape::Float) => Self::Float,
            (TypeHint::Bool, _) | (TypeHint::Other, Shape::Bool) => Self::Bool,
            (TypeHint::Text, _) | (TypeHint::Other, Shape::Text) => Self::Text,
            (TypeHint::Vector(count), _) => Self::Vector(count),
            _ => Self::Free,
        }
    }

    fn int(info: &Info) -> Self {
        let fits = |bound: &Option<Value>| {
            let bound = bound.as_ref().and_then(Value::as_i64).unwrap_or(0);
            i32::try_from(bound).is_ok()
        };
        if fits(&info.min) && fits(&info.max) {
            Self::Int
        } else {
            Self::Long
        }
    }

    /// The type tags, for a description; `value` says what is free.
    pub(crate) fn tags(self, value: Option<&Value>) -> String {
        match self {
            Self::Int => "i".to_owned(),
            Self::Long => "h".to_owned(),
            Self::Float => "f".to_owned(),
            Self::Bool => "T".to_owned(),
            Self::Text => "s".to_owned(),
            Self::Vector(count) => "f".repeat(count),
            Self::Color(_) => "r".to_owned(),
            Self::Free => {
                let args = value.map(|value| self.args(value)).unwrap_or_default();
                args.iter().map(super::packet::tag).collect()
            }
        }
    }

    /// The arguments of a value.
    pub(crate) fn args(self, value: &Value) -> Vec<Arg> {
        match (self, value) {
            (Self::Long, Value::Number(it)) if it.is_i64() => {
                vec![Arg::Long(it.as_i64().unwrap_or_default())]
            }
            (Self::Float, Value::Number(_)) => vec![short(value)],
            (Self::Color(_), Value::Array(parts)) => {
                color_of(parts).map_or_else(|| free(value), |color| vec![Arg::Color(color)])
            }
            (Self::Vector(_), Value::Array(parts)) if parts.iter().all(Value::is_number) => {
                parts.iter().map(short).collect()
            }
            _ => free(value),
        }
    }

    /// The value of arguments.
    pub(crate) fn value(self, args: &[Arg]) -> Result<Value, WrongType> {
        let flat: Vec<&Arg> = args
            .iter()
            .filter(|arg| !matches!(arg, Arg::ArrayBegin | Arg::ArrayEnd))
            .collect();
        let value = match (self, flat.as_slice()) {
            (Self::Int | Self::Long, [one]) => integer(one),
            (Self::Float, [one]) => real(one).map(float),
            (Self::Bool, [one]) => truth(one).map(Value::Bool),
            (Self::Text, [Arg::Text(text)]) => Some(Value::from(text.as_str())),
            (Self::Text, [Arg::Char(one)]) => Some(Value::from(one.to_string())),
            (Self::Vector(count @ 3..=4) | Self::Color(count), [Arg::Color(color)]) => {
                let parts = color.iter().take(count);
                Some(parts.map(|part| float(hundredth(*part))).collect())
            }
            (Self::Vector(count) | Self::Color(count), all) if all.len() == count => {
                let parts = all.iter().map(|one| real(one).map(float));
                parts.collect::<Option<Vec<_>>>().map(Value::Array)
            }
            (Self::Free, [one]) if args.len() == 1 => natural(one),
            (Self::Free, all) if !all.is_empty() => {
                all.iter().map(|one| natural(one)).collect::<Option<_>>()
            }
            _ => None,
        };
        value.ok_or_else(|| WrongType {
            expected: self.expected(),
        })
    }

    fn expected(self) -> String {
        match self {
            Self::Int | Self::Long => "a whole number".to_owned(),
            Self::Float => "a number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Vector(count) => format!("{count} numbers"),
            Self::Color(count) => format!("a colour or {count} numbers"),
            Self::Free => "numbers, text, true or false".to_owned(),
        }
    }
}

/// A colour by its hint: three or four numbers.
fn color(capability: &Capability) -> Option<usize> {
    let hint = capability.info.type_hint.as_deref()?;
    match hint {
        "rgb" => Some(3),
        "rgba" => Some(4),
        "color" | "colour" => {
            let parts = capability.value.as_ref()?.as_array()?.len();
            (3..=4).contains(&parts).then_some(parts)
        }
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 and 255"
)]
fn color_of(parts: &[Value]) -> Option<[u8; 4]> {
    let mut color = [0, 0, 0, 255];
    if !(3..=4).contains(&parts.len()) {
        return None;
    }
    for (octet, part) in color.iter_mut().zip(parts) {
        *octet = (number(part)?.clamp(0.0, 1.0) * 255.0).round() as u8;
    }
    Some(color)
}

/// The `typeHint` of a vector; `None` where there is none.
pub(crate) fn vector_hint(count: usize) -> Option<String> {
    (1..100).contains(&count).then(|| format!("vec{count}f"))
}

fn hundredth(part: u8) -> f64 {
    (f64::from(part) / 255.0 * 10_000.0).round() / 10_000.0
}

/// A number as `f`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "OSC's usual float has 32 bits"
)]
fn short(value: &Value) -> Arg {
    Arg::Float(number(value).unwrap_or_default() as f32)
}

/// A value as what it is.
fn free(value: &Value) -> Vec<Arg> {
    match value {
        Value::Null => vec![Arg::Nil],
        Value::Bool(truth) => vec![Arg::Bool(*truth)],
        Value::Number(_) => match value.as_i64() {
            Some(whole) => vec![i32::try_from(whole).map_or(Arg::Long(whole), Arg::Int)],
            None => vec![short(value)],
        },
        Value::String(text) => vec![Arg::Text(text.clone())],
        Value::Array(parts)
            if parts
                .iter()
                .all(|part| !part.is_array() && !part.is_object()) =>
        {
            parts.iter().flat_map(free).collect()
        }
        nested => vec![Arg::Text(nested.to_string())],
    }
}

fn natural(arg: &Arg) -> Option<Value> {
    match arg {
        Arg::Bool(truth) => Some(Value::Bool(*truth)),
        Arg::Text(text) => Some(Value::from(text.as_str())),
        Arg::Char(one) => Some(Value::from(one.to_string())),
        Arg::Int(_) | Arg::Long(_) => integer(arg),
        Arg::Float(_) | Arg::Double(_) => real(arg).map(float),
        _ => None,
    }
}

/// Faders send floats to everything: a float is rounded.
#[expect(clippy::cast_possible_truncation, reason = "within the bounds of i64")]
fn integer(arg: &Arg) -> Option<Value> {
    match arg {
        Arg::Int(whole) => Some(Value::from(*whole)),
        Arg::Long(whole) => Some(Value::from(*whole)),
        _ => {
            let rounded = real(arg)?.round();
            (rounded.abs() < WHOLE_MAX).then(|| Value::from(rounded as i64))
        }
    }
}

fn real(arg: &Arg) -> Option<f64> {
    let real = match arg {
        Arg::Int(whole) => f64::from(*whole),
        #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
        Arg::Long(whole) => *whole as f64,
        // Its shortest decimal form: 0.1 is 0.1, not 0.10000000149011612.
        Arg::Float(short) => short.to_string().parse().ok()?,
        Arg::Double(real) => *real,
        Arg::Bool(truth) => f64::from(u8::from(*truth)),
        _ => return None,
    };
    real.is_finite().then_some(real)
}

fn truth(arg: &Arg) -> Option<bool> {
    match arg {
        Arg::Bool(truth) => Some(*truth),
        Arg::Impulse => Some(true),
        number => real(number).map(|number| number != 0.0),
    }
}

/// Every whole number below is exact as a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::mesh::Access;

    fn kind(hint: &str, value: Value) -> Kind {
        Kind::of(&Capability::new(Access::READ | Access::WRITE, value).with_hint(hint))
    }

    #[test]
    fn a_value_has_the_type_that_its_hint_says() {
        let table = [
            ("int", json!(5), "i", vec![Arg::Int(5)]),
            (
                "int",
                json!(5_000_000_000_i64),
                "i",
                vec![Arg::Long(5_000_000_000)],
            ),
            ("flt", json!(0.5), "f", vec![Arg::Float(0.5)]),
            ("percent", json!(50), "f", vec![Arg::Float(50.0)]),
            ("bool", json!(true), "T", vec![Arg::Bool(true)]),
            ("string", json!("on"), "s", vec![Arg::Text("on".into())]),
            (
                "vec2f",
                json!([1, 0.5]),
                "ff",
                vec![Arg::Float(1.0), Arg::Float(0.5)],
            ),
            (
                "rgba",
                json!([1, 0, 0.5, 1]),
                "r",
                vec![Arg::Color([255, 0, 128, 255])],
            ),
            (
                "",
                json!([1, "a"]),
                "is",
                vec![Arg::Int(1), Arg::Text("a".into())],
            ),
            (
                "",
                json!({"a": 1}),
                "s",
                vec![Arg::Text("{\"a\":1}".into())],
            ),
        ];
        for (hint, value, tags, args) in table {
            let kind = kind(hint, value.clone());
            assert_eq!(kind.tags(Some(&value)), tags, "{hint} {value}");
            assert_eq!(kind.args(&value), args, "{hint} {value}");
        }
        let wide =
            Capability::new(Access::READ | Access::WRITE, 0).with_range(0, 5_000_000_000_i64);
        assert_eq!(Kind::of(&wide), Kind::Long);
        assert_eq!(Kind::Long.args(&json!(1)), [Arg::Long(1)]);
    }

    #[test]
    fn arguments_become_a_value_of_the_kind_or_are_refused() {
        let float = |number: f32| Arg::Float(number);
        let table = [
            (Kind::Int, vec![float(63.5)], Some("64")),
            (
                Kind::Int,
                vec![Arg::Long(5_000_000_000)],
                Some("5000000000"),
            ),
            (Kind::Int, vec![Arg::Text("5".into())], None),
            (Kind::Float, vec![float(0.1)], Some("0.1")),
            (Kind::Float, vec![Arg::Int(1)], Some("1.0")),
            (Kind::Float, vec![float(f32::NAN)], None),
            (Kind::Float, vec![], None),
            (Kind::Float, vec![float(1.0), float(2.0)], None),
            (Kind::Bool, vec![float(1.0)], Some("true")),
            (Kind::Bool, vec![Arg::Bool(false)], Some("false")),
            (Kind::Bool, vec![Arg::Impulse], Some("true")),
            (Kind::Text, vec![Arg::Int(1)], None),
            (
                Kind::Vector(2),
                vec![Arg::ArrayBegin, float(1.0), Arg::Int(2), Arg::ArrayEnd],
                Some("[1.0,2.0]"),
            ),
            (
                Kind::Vector(3),
                vec![Arg::Color([255, 0, 0, 9])],
                Some("[1.0,0.0,0.0]"),
            ),
            (Kind::Vector(2), vec![float(1.0)], None),
            (
                Kind::Free,
                vec![Arg::Int(1), Arg::Text("a".into())],
                Some("[1,\"a\"]"),
            ),
            (Kind::Free, vec![Arg::Blob(vec![1])], None),
        ];
        for (kind, args, expected) in table {
            let value = kind.value(&args).ok().map(|value| value.to_string());
            assert_eq!(value.as_deref(), expected, "{kind:?} {args:?}");
        }
    }

    proptest! {
        #[test]
        fn a_float_that_was_sent_comes_back(number in -1e30_f32..1e30) {
            let value = Kind::Float.value(&[Arg::Float(number)]).unwrap();
            prop_assert_eq!(Kind::Float.args(&value), [Arg::Float(number)]);
        }
    }
}
