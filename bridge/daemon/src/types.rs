//! Which D-Bus type a value of the mesh has.
//!
//! Model: a capability's `typeHint` names a type; a value is shown under it if it converts without loss,
//! else under its own. So [`show`] gives a value, and the value's signature is the member's type.
//!
//! | typeHint | D-Bus | | value without hint | D-Bus |
//! | --- | --- | --- | --- | --- |
//! | `int` | `x` | | boolean | `b` |
//! | `flt`, `float`, `percent` | `d` | | integer of 64 bits | `x` |
//! | `bool` | `b` | | integer of 64 bits, no sign | `t` |
//! | `string` | `s` | | other number | `d` |
//! | `vec2f` `vec3f` `vec4f` | `(dd)` `(ddd)` `(dddd)` | | string | `s` |
//! | `signature:<sig>` | `<sig>` | | array | `av` |
//! | other, none | by the value | | object | `a{sv}` |
//! | | | | null | `v` holding `""` |
//!
//! Invariants: T1. What [`show`] gives is legal on the bus: its strings are [`Text`]s, so that two keys that
//! look alike there are one; no nesting beyond what D-Bus bears even inside `GetManagedObjects`, no file
//! descriptors.
//! Limits: a value that nests deeper than [`DEPTH_MAX`], or needs more than [`VALUE_LEN_MAX`] octets, is
//! shown as a string with its JSON text, or the deep part of it is.
//! Not here: what a client sets, see `convert`.
//! Spec: docs/reference/dbus.md, "Types".

use zbus::{
    Array, Dict, ObjectPath, Signature, Variant,
    wire::{
        StructureBuilder,
        signature::{Child, Fields},
    },
};
use zocp_node::model::{Map, TypeHint, Value, number};

use crate::message::Text;

/// The type that a hint names; `None` for those that name none.
#[must_use]
pub fn hinted(hint: TypeHint<'_>) -> Option<Signature> {
    match hint {
        TypeHint::Int => Some(Signature::I64),
        TypeHint::Float => Some(Signature::F64),
        TypeHint::Bool => Some(Signature::Bool),
        TypeHint::Text => Some(Signature::Str),
        TypeHint::Vector(2) => Some(zbus::signature!("(dd)")),
        TypeHint::Vector(3) => Some(zbus::signature!("(ddd)")),
        TypeHint::Vector(4) => Some(zbus::signature!("(dddd)")),
        TypeHint::Signature(text) => single_type(text),
        _ => None,
    }
}

/// The type of an argument of a method: the hint's, else any.
#[must_use]
pub fn argument(hint: Option<&str>) -> Signature {
    hint.and_then(|text| hinted(TypeHint::parse(text)))
        .unwrap_or(Signature::Variant)
}

/// A value as it is on the bus.
#[must_use]
pub fn show(hint: TypeHint<'_>, value: &Value) -> Variant<'static> {
    hinted(hint)
        .and_then(|signature| as_type(&signature, value))
        .unwrap_or_else(|| natural(value))
}

/// A value under a type, if it converts without loss.
#[must_use]
pub fn as_type(signature: &Signature, value: &Value) -> Option<Variant<'static>> {
    Showing::new().typed(signature, value, 0)
}

/// A value under the type that it has by itself.
#[must_use]
pub fn natural(value: &Value) -> Variant<'static> {
    Showing::new()
        .natural(value, 0)
        .unwrap_or_else(|| as_json(value))
}

/// A dictionary `a{sv}` of values under the types that they have by themselves.
#[must_use]
pub fn dictionary<'a>(
    entries: impl IntoIterator<Item = (&'a str, Variant<'static>)>,
) -> Variant<'static> {
    let mut dict = Dict::new(&Signature::Str, &Signature::Variant);
    for (key, value) in entries {
        append(&mut dict, string(key), Variant::Variant(Box::new(value)));
    }
    Variant::Dict(dict)
}

/// One conversion: what it may still use.
struct Showing {
    octets_left: usize,
}

impl Showing {
    fn new() -> Self {
        Self {
            octets_left: VALUE_LEN_MAX,
        }
    }

    /// Accounts for what a value needs at most, its padding included.
    fn spend(&mut self, octets: usize) -> Option<()> {
        self.octets_left = self.octets_left.checked_sub(octets + PADDING)?;
        Some(())
    }

    /// `None` when it needs too many octets. `depth` counts the containers around the value and bounds
    /// the recursion.
    fn natural(&mut self, value: &Value, depth: usize) -> Option<Variant<'static>> {
        self.spend(8)?;
        Some(match value {
            Value::Null => Variant::Variant(Box::new(Variant::from(""))),
            Value::Bool(value) => Variant::Bool(*value),
            Value::Number(_) => natural_number(value),
            Value::String(value) => self.string(value)?,
            Value::Array(_) | Value::Object(_) if depth + DICT_DEPTH > DEPTH_MAX => as_json(value),
            Value::Array(values) => {
                let mut array = Array::new(&Signature::Variant);
                for value in values {
                    let value = self.natural(value, depth + 2)?;
                    array.append(Variant::Variant(Box::new(value))).ok()?;
                }
                Variant::Array(array)
            }
            Value::Object(entries) => self.natural_map(entries, depth)?,
        })
    }

    fn natural_map(
        &mut self,
        entries: &Map<String, Value>,
        depth: usize,
    ) -> Option<Variant<'static>> {
        let mut dict = Dict::new(&Signature::Str, &Signature::Variant);
        for (key, value) in entries {
            let key = self.string(key)?;
            let value = self.natural(value, depth + DICT_DEPTH)?;
            append(&mut dict, key, Variant::Variant(Box::new(value)));
        }
        Some(Variant::Dict(dict))
    }

    /// `None` when it does not fit the type or needs too many octets.
    fn typed(
        &mut self,
        signature: &Signature,
        value: &Value,
        depth: usize,
    ) -> Option<Variant<'static>> {
        self.spend(8)?;
        match signature {
            Signature::Bool => truth(value).map(Variant::Bool),
            Signature::F64 => exact_float(value).map(Variant::F64),
            Signature::Str => self.string(value.as_str()?),
            Signature::ObjectPath => {
                let path = ObjectPath::try_from(value.as_str()?).ok()?;
                Some(Variant::ObjectPath(path.into_owned()))
            }
            Signature::Signature => {
                let text = value.as_str()?;
                let signature = Signature::try_from(text).ok()?;
                // zbus writes several types as one structure, which is another value and may be too long.
                (signature.to_string() == text).then_some(Variant::Signature(signature))
            }
            Signature::Variant => {
                let value = self.natural(value, depth + 1)?;
                Some(Variant::Variant(Box::new(value)))
            }
            Signature::Array(element) => self.array(element, value.as_array()?, depth),
            Signature::Dict { key, value: held } => {
                self.dict((key, held), value.as_object()?, depth)
            }
            Signature::Structure(fields) => self.structure(fields, value.as_array()?, depth),
            integral => integer_variant(integral, integer(value)?),
        }
    }

    fn array(
        &mut self,
        element: &Child,
        values: &[Value],
        depth: usize,
    ) -> Option<Variant<'static>> {
        let mut array = Array::new(element.signature());
        for value in values {
            array
                .append(self.typed(element.signature(), value, depth + 1)?)
                .ok()?;
        }
        Some(Variant::Array(array))
    }

    fn dict(
        &mut self,
        (key, held): (&Child, &Child),
        entries: &Map<String, Value>,
        depth: usize,
    ) -> Option<Variant<'static>> {
        let mut dict = Dict::new(key.signature(), held.signature());
        for (name, value) in entries {
            // The keys of JSON are text, also where D-Bus has numbers.
            let name = match key.signature() {
                Signature::Str | Signature::ObjectPath | Signature::Signature => {
                    self.typed(key.signature(), &Value::from(name.as_str()), depth)?
                }
                signature => self.typed(signature, &name.parse().ok()?, depth)?,
            };
            let value = self.typed(held.signature(), value, depth + 2)?;
            dict.append(name, value).ok()?;
        }
        Some(Variant::Dict(dict))
    }

    fn structure(
        &mut self,
        fields: &Fields,
        values: &[Value],
        depth: usize,
    ) -> Option<Variant<'static>> {
        if fields.len() != values.len() {
            return None;
        }
        let mut structure = StructureBuilder::new();
        for (field, value) in fields.iter().zip(values) {
            structure.push_value(self.typed(field, value, depth + 1)?);
        }
        structure.build().ok().map(Variant::Structure)
    }

    fn string(&mut self, value: &str) -> Option<Variant<'static>> {
        self.spend(value.len())?;
        Some(string(value))
    }
}

/// The type that a hint `signature:<sig>` names: one complete type that is not too deep and has no file
/// descriptor.
fn single_type(text: &str) -> Option<Signature> {
    let signature = Signature::try_from(text).ok()?;
    // More than one type reads as a structure, none as nothing; neither is written so.
    let is_single = signature != Signature::Unit && signature.to_string() == text;
    (is_single && depth(&signature).is_some_and(|depth| depth <= HINT_DEPTH_MAX))
        .then_some(signature)
}

/// How deep a type nests; `None` if it has a file descriptor in it. The parser bounds the recursion.
fn depth(signature: &Signature) -> Option<usize> {
    match signature {
        Signature::Fd => None,
        Signature::Array(element) => Some(1 + depth(element.signature())?),
        Signature::Dict { value, .. } => Some(2 + depth(value.signature())?),
        Signature::Structure(fields) => {
            let depths: Option<Vec<usize>> = fields.iter().map(depth).collect();
            Some(1 + depths?.into_iter().max().unwrap_or(0))
        }
        _ => Some(1),
    }
}

fn string(value: &str) -> Variant<'static> {
    Text::new(value).into()
}

fn as_json(value: &Value) -> Variant<'static> {
    string(&value.to_string())
}

/// Keys and values of the dictionary's types; two keys may become one, then the later counts.
fn append(dict: &mut Dict<'static, 'static>, key: Variant<'static>, value: Variant<'static>) {
    if let Err(error) = dict.append(key, value) {
        tracing::error!(%error, "an entry of a dictionary is of another type than it");
    }
}

fn natural_number(value: &Value) -> Variant<'static> {
    let digits = value.as_number().map(|number| number.as_str());
    if let Some(integer) = digits.and_then(|digits| digits.parse().ok()) {
        return Variant::I64(integer);
    }
    if let Some(integer) = digits.and_then(|digits| digits.parse().ok()) {
        return Variant::U64(integer);
    }
    Variant::F64(number(value).unwrap_or(f64::NAN))
}

/// The exact integer that a number is, also when written as `5.0`.
fn integer(value: &Value) -> Option<i128> {
    let digits = value.as_number()?.as_str();
    if let Ok(integer) = digits.parse() {
        return Some(integer);
    }
    let float = number(value)?;
    let is_written_as_float = digits.contains(['.', 'e', 'E']);
    let is_exact = float.fract() == 0.0 && float.abs() <= FLOAT_EXACT_MAX;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    (is_written_as_float && is_exact).then_some(float as i128)
}

/// A number as `f64`, integers only if it holds them exactly.
fn exact_float(value: &Value) -> Option<f64> {
    TypeHint::Float.fits(value).then(|| number(value))?
}

fn truth(value: &Value) -> Option<bool> {
    match TypeHint::Bool.convert(value)? {
        Value::Bool(truth) => Some(truth),
        _ => None,
    }
}

/// An integer under one of D-Bus's integral types, if it is in its range.
pub(crate) fn integer_variant(signature: &Signature, integer: i128) -> Option<Variant<'static>> {
    Some(match signature {
        Signature::U8 => Variant::U8(integer.try_into().ok()?),
        Signature::I16 => Variant::I16(integer.try_into().ok()?),
        Signature::U16 => Variant::U16(integer.try_into().ok()?),
        Signature::I32 => Variant::I32(integer.try_into().ok()?),
        Signature::U32 => Variant::U32(integer.try_into().ok()?),
        Signature::I64 => Variant::I64(integer.try_into().ok()?),
        Signature::U64 => Variant::U64(integer.try_into().ok()?),
        _ => return None,
    })
}

/// Containers around a value. D-Bus bears 64 in a message; `GetManagedObjects` and `Capabilities` put 10
/// around a value, and a variant counts for what it could hold.
pub const DEPTH_MAX: usize = 45;
/// A hint's type is as deep as this at most; variants in it may hold what is left.
const HINT_DEPTH_MAX: usize = 16;
/// Array, entry and variant.
const DICT_DEPTH: usize = 3;
/// Octets of one value on the bus.
pub const VALUE_LEN_MAX: usize = 8 * 1024 * 1024;
/// Length, signature and alignment of a value in a variant.
const PADDING: usize = 16;
/// Every integer up to here is an `f64`.
const FLOAT_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests;
