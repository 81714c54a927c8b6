//! The D-Bus types of values of the mesh.
//!
//! Model: the `typeHint` of a capability may name a D-Bus type for its values. A value can be converted to a type
//! without loss ([`as_type`]), to the nearest value of the type ([`nearest`]), or not at all. It also has a type of its
//! own ([`own`]). [`MemberType`] decides which of these types a member has, and how it changes with new values.
//!
//! | typeHint | D-Bus | | value without hint | D-Bus |
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
//! Invariants: TYPES-1. A displayed value is valid on the bus: its strings are [`Text`](zocp_dbus::message::Text)s, so
//! two keys with the same text become one; its nesting is within the limit of D-Bus even inside `GetManagedObjects`; it
//! has no file descriptors.
//! Limits: a value that needs more than [`VALUE_LEN_MAX`] octets, or a part that is nested deeper than [`DEPTH_MAX`], is
//! shown as a string with its JSON text.
//! Not here: values that a client sets, see `convert`.
//! Spec: docs/reference/dbus.md, "Types".

mod approximation;
mod conversion;
pub mod member;

use zbus::{Dict, Signature, Variant};
use zocp_model::{TypeHint, Value};

use self::conversion::{Conversion, Loss, append, as_json, string};
pub use self::member::MemberType;

/// A displayed value.
#[derive(Debug, PartialEq)]
pub struct Shown {
    /// The value.
    pub value: Variant<'static>,
    /// Whether it differs from the value of the node, because the type cannot represent that.
    pub is_converted: bool,
}

/// The D-Bus type of a hint; `None` if the hint names none.
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

/// The type of an argument of a method: that of the hint, else `v`.
#[must_use]
pub fn argument(hint: Option<&str>) -> Signature {
    hint.and_then(|text| hinted(TypeHint::parse(text)))
        .unwrap_or(Signature::Variant)
}

/// Converts a value to a type, if possible without loss.
#[must_use]
pub fn as_type(signature: &Signature, value: &Value) -> Option<Variant<'static>> {
    Conversion::new(Loss::Refused).typed(signature, value, 0)
}

/// Converts a value to a type, or to the nearest value of that type; `None` if there is none.
#[must_use]
pub fn nearest(signature: &Signature, value: &Value) -> Option<Shown> {
    let mut conversion = Conversion::new(Loss::Accepted);
    let value = conversion.typed(signature, value, 0)?;
    Some(conversion.shown(value))
}

/// Converts a value to its own D-Bus type.
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

/// Like [`own`], without the information whether something was lost.
#[must_use]
pub fn natural(value: &Value) -> Variant<'static> {
    own(value).value
}

/// A dictionary `a{sv}` of values in their own types.
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

/// The type of a hint `signature:<sig>`: one complete type that is not too deep and contains no file descriptor.
fn single_type(text: &str) -> Option<Signature> {
    let signature = Signature::try_from(text).ok()?;
    // zbus parses several types as a structure and an empty text as unit; neither has the same text.
    let is_single = signature != Signature::Unit && signature.to_string() == text;
    (is_single && depth(&signature).is_some_and(|depth| depth <= HINT_DEPTH_MAX))
        .then_some(signature)
}

/// The nesting depth of a type; `None` if it contains a file descriptor. The parser bounds the recursion.
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

/// An integer in one of the integer types of D-Bus, if it is in range.
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

/// Containers around a value. D-Bus allows 64 in a message; `GetManagedObjects` and `Capabilities` add 10 around a
/// value, and a variant counts for the deepest value that it could contain.
pub const DEPTH_MAX: usize = 45;
/// The depth limit of a hint's type; variants in it may use the rest.
const HINT_DEPTH_MAX: usize = 16;
/// Octets of one value on the bus.
pub const VALUE_LEN_MAX: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests;
