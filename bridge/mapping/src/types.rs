//! Which D-Bus type a value of the mesh has.
//!
//! Model: a capability's `typeHint` names a type, under which its values are shown, or none. A value converts to
//! a type without loss ([`as_type`]), or to the nearest value of it ([`nearest`]), or not at all; and it has a
//! type by itself ([`own`]). Which of these a member has, and how that changes as values come, is
//! [`MemberType`].
//!
//! | typeHint | D-Bus | | value by itself | D-Bus |
//! | --- | --- | --- | --- | --- |
//! | `int` | `x` | | boolean | `b` |
//! | `flt`, `float`, `percent` | `d` | | integer of 64 bits | `x` |
//! | `bool` | `b` | | integer of 64 bits, no sign | `t` |
//! | `string` | `s` | | other number | `d` |
//! | `vec2f` `vec3f` `vec4f` | `(dd)` `(ddd)` `(dddd)` | | string | `s` |
//! | `signature:<sig>` | `<sig>` | | array | `av` |
//! | other, none | none | | object | `a{sv}` |
//! | | | | null | `v` holding `""` |
//!
//! Invariants: TYPES-1. What is shown is legal on the bus: its strings are [`Text`](zocp_dbus::message::Text)s, so two keys that
//! look alike there are one; no nesting beyond what D-Bus bears even inside `GetManagedObjects`, no file
//! descriptors.
//! Limits: a value that nests deeper than [`DEPTH_MAX`], or needs more than [`VALUE_LEN_MAX`] octets, is
//! shown as a string with its JSON text, or the deep part of it is.
//! Not here: what a client sets, see `convert`.
//! Spec: docs/reference/dbus.md, "Types".

mod approximation;
mod conversion;
pub mod member;

use zbus::{Dict, Signature, Variant};
use zocp_model::{TypeHint, Value};

use self::conversion::{Conversion, Loss, append, as_json, string};
pub use self::member::MemberType;

/// A value on the bus.
#[derive(Debug, PartialEq)]
pub struct Shown {
    /// The value.
    pub value: Variant<'static>,
    /// Whether it is another one than the node wrote: the type does not hold that.
    pub is_converted: bool,
}

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

/// A value under a type, if it converts without loss.
#[must_use]
pub fn as_type(signature: &Signature, value: &Value) -> Option<Variant<'static>> {
    Conversion::new(Loss::Refused).typed(signature, value, 0)
}

/// A value under a type, or the nearest value of that type; `None` if there is none.
#[must_use]
pub fn nearest(signature: &Signature, value: &Value) -> Option<Shown> {
    let mut conversion = Conversion::new(Loss::Accepted);
    let value = conversion.typed(signature, value, 0)?;
    Some(conversion.shown(value))
}

/// A value under the type that it has by itself.
#[must_use]
pub fn own(value: &Value) -> Shown {
    let mut conversion = Conversion::new(Loss::Refused);
    match conversion.natural(value, 0) {
        Some(value) => conversion.shown(value),
        None => Shown {
            value: as_json(value),
            is_converted: true,
        },
    }
}

/// The same without saying whether something of it was lost.
#[must_use]
pub fn natural(value: &Value) -> Variant<'static> {
    own(value).value
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

/// An integer under one of D-Bus's integral types, if it is in its range.
pub fn integer_variant(signature: &Signature, integer: i128) -> Option<Variant<'static>> {
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
/// Octets of one value on the bus.
pub const VALUE_LEN_MAX: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests;
