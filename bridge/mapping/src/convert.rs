//! Conversion of values from D-Bus clients to values of the mesh.
//!
//! Model: a value is converted to the wanted type if it has the same meaning: any D-Bus number is a number, a
//! structure or an array of the right length is a vector, and variants are unpacked.
//! Limits: the bus limits the nesting of a message to 64, which bounds the recursion.
//! Not here: access and range, which the node checks; the opposite direction, see `types`.

use zbus::{ObjectPath, Signature, Variant};
use zocp_model::{Map, Value, float};

use crate::types::integer_variant;

/// Why a value is rejected: the caller's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The type cannot be converted.
    #[error("expected a value of type \"{expected}\", found one of type \"{found}\"")]
    Type {
        /// The wanted signature.
        expected: String,
        /// The signature of the value.
        found: String,
    },
    /// The number is not in the range of the type.
    #[error("{number} is no value of type \"{expected}\"")]
    Number {
        /// The wanted signature.
        expected: String,
        /// The number.
        number: String,
    },
    /// The number of elements differs.
    #[error("expected {expected} elements, found {found}")]
    Count {
        /// The wanted number.
        expected: usize,
        /// The found number.
        found: usize,
    },
    /// The mesh has no such type.
    #[error("a value of type \"{0}\" cannot be sent")]
    Unknown(String),
}

/// Converts a value to the wanted type.
///
/// # Errors
///
/// The value cannot be converted to that type.
pub fn as_wanted(wanted: &Signature, given: &Variant<'_>) -> Result<Value, Mismatch> {
    if let Variant::Variant(inner) = given {
        return as_wanted(wanted, inner);
    }
    match wanted {
        Signature::Variant => as_given(given),
        Signature::Bool => match given {
            Variant::Bool(value) => Ok(Value::from(*value)),
            _ => Err(mismatch(wanted, given)),
        },
        Signature::F64 => finite(number(given).ok_or_else(|| mismatch(wanted, given))?),
        Signature::Str | Signature::ObjectPath | Signature::Signature => as_text(wanted, given),
        Signature::Array(element) => {
            let values = elements(given).ok_or_else(|| mismatch(wanted, given))?;
            let element = element.signature();
            values.map(|value| as_wanted(element, value)).collect()
        }
        Signature::Structure(fields) => {
            let values = elements(given).ok_or_else(|| mismatch(wanted, given))?;
            if values.len() != fields.len() {
                return Err(Mismatch::Count {
                    expected: fields.len(),
                    found: values.len(),
                });
            }
            let pairs = fields.iter().zip(values);
            pairs
                .map(|(field, value)| as_wanted(field, value))
                .collect()
        }
        Signature::Dict { value, .. } => as_map(wanted, value.signature(), given),
        integral => as_integer(integral, given),
    }
}

/// Converts a value by its own type.
///
/// # Errors
///
/// It contains something that the mesh cannot represent: a file descriptor, or NaN.
pub fn as_given(given: &Variant<'_>) -> Result<Value, Mismatch> {
    match given {
        Variant::Variant(inner) => as_given(inner),
        Variant::Bool(value) => Ok(Value::from(*value)),
        Variant::Str(value) => Ok(Value::from(value.as_str())),
        Variant::ObjectPath(value) => Ok(Value::from(value.as_str())),
        Variant::Signature(value) => Ok(Value::from(value.to_string())),
        Variant::Array(array) => array.inner().iter().map(as_given).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(as_given).collect(),
        Variant::Dict(_) => as_map(given.value_signature(), &Signature::Variant, given),
        _ => match number(given) {
            Some(Number::Integer(integer)) => integer_value(integer)
                .ok_or_else(|| Mismatch::Unknown(given.value_signature().to_string())),
            Some(number) => finite(number),
            None => Err(Mismatch::Unknown(given.value_signature().to_string())),
        },
    }
}

/// Whether it is a number of any type.
#[must_use]
pub fn is_number(given: &Variant<'_>) -> bool {
    match given {
        Variant::Variant(inner) => is_number(inner),
        given => number(given).is_some(),
    }
}

/// A number of D-Bus.
#[derive(Debug, Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

fn number(given: &Variant<'_>) -> Option<Number> {
    Some(match given {
        Variant::U8(value) => Number::Integer((*value).into()),
        Variant::I16(value) => Number::Integer((*value).into()),
        Variant::U16(value) => Number::Integer((*value).into()),
        Variant::I32(value) => Number::Integer((*value).into()),
        Variant::U32(value) => Number::Integer((*value).into()),
        Variant::I64(value) => Number::Integer((*value).into()),
        Variant::U64(value) => Number::Integer((*value).into()),
        Variant::F64(value) => Number::Float(*value),
        _ => return None,
    })
}

/// A number as a float. NaN and the infinities are not JSON, and old nodes may stumble over them.
fn finite(number: Number) -> Result<Value, Mismatch> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the nearest float is what is asked for"
    )]
    let value = match number {
        Number::Integer(integer) => integer as f64,
        Number::Float(value) => value,
    };
    if value.is_finite() {
        return Ok(float(value));
    }
    Err(Mismatch::Number {
        expected: "d".to_owned(),
        number: value.to_string(),
    })
}

fn as_integer(wanted: &Signature, given: &Variant<'_>) -> Result<Value, Mismatch> {
    let number = number(given).ok_or_else(|| mismatch(wanted, given))?;
    let integer = match number {
        Number::Integer(integer) => Some(integer),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and far within 2^127"
        )]
        Number::Float(value) if value.fract() == 0.0 && value.abs() < 1e19 => Some(value as i128),
        Number::Float(_) => None,
    };
    integer
        .filter(|integer| integer_variant(wanted, *integer).is_some())
        .and_then(integer_value)
        .ok_or_else(|| Mismatch::Number {
            expected: wanted.to_string(),
            number: match number {
                Number::Integer(integer) => integer.to_string(),
                Number::Float(value) => value.to_string(),
            },
        })
}

fn integer_value(integer: i128) -> Option<Value> {
    let signed = i64::try_from(integer).map(Value::from);
    signed
        .or_else(|_| u64::try_from(integer).map(Value::from))
        .ok()
}

fn as_text(wanted: &Signature, given: &Variant<'_>) -> Result<Value, Mismatch> {
    let text = match given {
        Variant::Str(value) => value.as_str().to_owned(),
        Variant::ObjectPath(value) => value.as_str().to_owned(),
        Variant::Signature(value) => value.to_string(),
        _ => return Err(mismatch(wanted, given)),
    };
    let is_one = match wanted {
        Signature::ObjectPath => ObjectPath::try_from(text.as_str()).is_ok(),
        Signature::Signature => Signature::try_from(text.as_str()).is_ok(),
        _ => true,
    };
    if is_one {
        Ok(Value::from(text))
    } else {
        Err(mismatch(wanted, given))
    }
}

fn as_map(wanted: &Signature, held: &Signature, given: &Variant<'_>) -> Result<Value, Mismatch> {
    let Variant::Dict(dict) = given else {
        return Err(mismatch(wanted, given));
    };
    let mut map = Map::new();
    for (key, value) in dict.iter() {
        let key = match as_given(key)? {
            Value::String(key) => key,
            key => key.to_string(),
        };
        map.insert(key, as_wanted(held, value)?);
    }
    Ok(Value::Object(map))
}

/// The elements of an array or a structure.
fn elements<'a>(given: &'a Variant<'_>) -> Option<impl ExactSizeIterator<Item = &'a Variant<'a>>> {
    let elements: &[Variant<'_>] = match given {
        Variant::Array(array) => array.inner(),
        Variant::Structure(structure) => structure.fields(),
        _ => return None,
    };
    Some(elements.iter())
}

fn mismatch(wanted: &Signature, given: &Variant<'_>) -> Mismatch {
    Mismatch::Type {
        expected: wanted.to_string(),
        found: given.value_signature().to_string(),
    }
}

#[cfg(test)]
mod tests;
