//! The nearest value of a type, for a value that the type cannot represent.
//!
//! Model: pure functions from a value to the displayed value; `None` if no value of the type is near. The rules are
//! those of the conversion by wires (`zocp_wires`), but a number beyond a bound becomes the bound, where a wire
//! rejects it.
//! Invariants: APPROXIMATION-1. `null` has a nearest value of every type: zero, or an empty value.
//! Not here: values that the type represents without loss (`super`).
//! Spec: docs/reference/dbus.md, "Types".

use zbus::{Signature, Variant};
use zocp_model::{Value, number};

use super::integer_variant;

/// The nearest integer of one of D-Bus's integral types.
pub(super) fn nearest_integer(signature: &Signature, value: &Value) -> Option<Variant<'static>> {
    let (min, max): (i128, i128) = match signature {
        Signature::U8 => (u8::MIN.into(), u8::MAX.into()),
        Signature::I16 => (i16::MIN.into(), i16::MAX.into()),
        Signature::U16 => (u16::MIN.into(), u16::MAX.into()),
        Signature::I32 => (i32::MIN.into(), i32::MAX.into()),
        Signature::U32 => (u32::MIN.into(), u32::MAX.into()),
        Signature::I64 => (i64::MIN.into(), i64::MAX.into()),
        Signature::U64 => (u64::MIN.into(), u64::MAX.into()),
        _ => return None,
    };
    let digits = match value {
        Value::Number(number) => Some(number.as_str()),
        Value::String(text) => Some(digits_of(text)),
        _ => None,
    };
    let exact = digits.and_then(|digits| digits.parse::<i128>().ok());
    let nearest = match exact {
        Some(integer) => integer,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is beyond becomes the bound, NaN becomes 0"
        )]
        None => nearest_float(value)?.round() as i128,
    };
    integer_variant(signature, nearest.clamp(min, max))
}

/// The nearest `f64`. A number beyond all of them is infinite.
pub(super) fn nearest_float(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(0.0),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Number(_) => number(value),
        Value::String(text) => digits_of(text)
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value counts as true.
pub(super) fn nearest_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(truth) => Some(*truth),
        Value::Number(_) => number(value).map(|number| number != 0.0 && !number.is_nan()),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" | "" => Some(false),
            _ => None,
        },
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value as a text.
pub(super) fn nearest_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// The digits of a text, without spaces and a per cent sign.
fn digits_of(text: &str) -> &str {
    text.trim().trim_end_matches('%').trim_end()
}
