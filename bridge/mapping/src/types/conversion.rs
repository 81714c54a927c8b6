//! Conversion of one value of the mesh to a D-Bus value.
//!
//! Model: a [`Conversion`] traverses a value and builds the displayed value, either of a given type or of the type
//! that each part has itself, and records whether something was lost. `None` means that no such value exists.
//! Limits: depth ([`DEPTH_MAX`], which bounds the recursion) and octets ([`VALUE_LEN_MAX`]).
//! Not here: the type of a member (`super::member`).

use std::borrow::Cow;

use zbus::{
    Array, Dict, ObjectPath, Signature, Variant,
    wire::{
        StructureBuilder,
        signature::{Child, Fields},
    },
};
use zocp_model::{Map, TypeHint, Value, number};

use super::{
    DEPTH_MAX, Shown, VALUE_LEN_MAX,
    approximation::{nearest_bool, nearest_float, nearest_integer, nearest_text},
    integer_variant,
};
use zocp_dbus::message::Text;

/// What is done if a type cannot represent a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The conversion fails.
    Refused,
    /// The nearest value replaces it.
    Accepted,
}

/// The state of one conversion.
pub(super) struct Conversion {
    octets_left: usize,
    loss: Loss,
    /// Whether a part of the value was lost.
    has_lost: bool,
}

impl Conversion {
    pub(super) fn new(loss: Loss) -> Self {
        Self {
            octets_left: VALUE_LEN_MAX,
            loss,
            has_lost: false,
        }
    }

    pub(super) fn shown(&self, value: Variant<'static>) -> Shown {
        Shown {
            value,
            is_converted: self.has_lost,
        }
    }

    /// The exact value, else the nearest one if a loss is accepted.
    fn or_nearest<T>(&mut self, exact: Option<T>, near: impl FnOnce() -> Option<T>) -> Option<T> {
        if exact.is_some() || self.loss == Loss::Refused {
            return exact;
        }
        self.has_lost = true;
        near()
    }

    /// Subtracts the octets that a value needs at most, with its padding; `None` if too few are left.
    fn spend(&mut self, octets: usize) -> Option<()> {
        self.octets_left = self.octets_left.checked_sub(octets + PADDING)?;
        Some(())
    }

    /// Converts to the D-Bus type of the value itself. `None` if it needs too many octets. `depth` counts the
    /// containers around the value and bounds the recursion.
    pub(super) fn natural(&mut self, value: &Value, depth: usize) -> Option<Variant<'static>> {
        self.spend(8)?;
        Some(match value {
            Value::Null => Variant::Variant(Box::new(Variant::from(""))),
            Value::Bool(value) => Variant::Bool(*value),
            Value::Number(_) => {
                let (shown, is_exact) = natural_number(value);
                self.has_lost |= !is_exact;
                shown
            }
            Value::String(value) => self.string(value)?,
            Value::Array(_) | Value::Object(_) if depth + DICT_DEPTH > DEPTH_MAX => {
                self.has_lost = true;
                as_json(value)
            }
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

    /// Converts to a given type. `None` if the value does not fit the type or needs too many octets.
    pub(super) fn typed(
        &mut self,
        signature: &Signature,
        value: &Value,
        depth: usize,
    ) -> Option<Variant<'static>> {
        self.spend(8)?;
        match signature {
            Signature::Bool => {
                let truth = self.or_nearest(truth(value), || nearest_bool(value));
                truth.map(Variant::Bool)
            }
            Signature::F64 => {
                let float = self.or_nearest(exact_float(value), || nearest_float(value))?;
                // The digits exceed the range of a double.
                self.has_lost |= float.is_infinite() && !is_word(value);
                Some(Variant::F64(float))
            }
            Signature::Str => {
                let text = value.as_str().map(Cow::Borrowed);
                let text = self.or_nearest(text, || Some(Cow::Owned(nearest_text(value))))?;
                self.string(&text)
            }
            Signature::ObjectPath => {
                let path = self.or_nearest(value.as_str(), || value.is_null().then_some("/"))?;
                let path = ObjectPath::try_from(path).ok()?;
                Some(Variant::ObjectPath(path.into_owned()))
            }
            Signature::Signature => {
                let text = self.or_nearest(value.as_str(), || value.is_null().then_some(""))?;
                let signature = Signature::try_from(text).ok()?;
                // zbus writes several types as one structure, which is another value and may be too long.
                (signature.to_string() == text).then_some(Variant::Signature(signature))
            }
            Signature::Variant => {
                let value = self.natural(value, depth + 1)?;
                Some(Variant::Variant(Box::new(value)))
            }
            Signature::Array(element) => {
                let values = value.as_array().map(Vec::as_slice);
                let values = self.or_nearest(values, || value.is_null().then_some(&[]))?;
                self.array(element, values, depth)
            }
            Signature::Dict { key, value: held } => {
                let none = Map::new();
                let entries =
                    self.or_nearest(value.as_object(), || value.is_null().then_some(&none))?;
                self.dict((key, held), entries, depth)
            }
            Signature::Structure(fields) => {
                let values = value.as_array().map(Vec::as_slice);
                let values = self.or_nearest(values, || value.is_null().then_some(&[]))?;
                self.structure(fields, values, depth)
            }
            integral => {
                let exact = integer(value).and_then(|integer| integer_variant(integral, integer));
                self.or_nearest(exact, || nearest_integer(integral, value))
            }
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
            // Keys of JSON are strings, also if the D-Bus type has numbers.
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
        let is_whole = (fields.len() == values.len()).then_some(());
        self.or_nearest(is_whole, || Some(()))?;
        let mut structure = StructureBuilder::new();
        // A missing field counts as null, a surplus one is left out.
        let values = values.iter().chain(std::iter::repeat(&Value::Null));
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

pub(super) fn string(value: &str) -> Variant<'static> {
    Text::new(value).into()
}

pub(super) fn as_json(value: &Value) -> Variant<'static> {
    string(&value.to_string())
}

/// Appends an entry of the types of the dictionary. Two keys may become equal on D-Bus; then the later entry
/// remains.
pub(super) fn append(
    dict: &mut Dict<'static, 'static>,
    key: Variant<'static>,
    value: Variant<'static>,
) {
    if let Err(error) = dict.append(key, value) {
        tracing::error!(%error, "an entry does not have the types of its dictionary");
    }
}

/// A number in its own D-Bus type, and whether that is exact.
fn natural_number(value: &Value) -> (Variant<'static>, bool) {
    let digits = value.as_number().map(|number| number.as_str());
    if let Some(integer) = digits.and_then(|digits| digits.parse().ok()) {
        return (Variant::I64(integer), true);
    }
    if let Some(integer) = digits.and_then(|digits| digits.parse().ok()) {
        return (Variant::U64(integer), true);
    }
    let float = number(value).unwrap_or(f64::NAN);
    let is_exact = exact_float(value).is_some() && (!float.is_infinite() || is_word(value));
    (Variant::F64(float), is_exact)
}

/// Whether a number is written as a word: `Infinity` and the like.
fn is_word(value: &Value) -> bool {
    let number = value.as_number();
    number.is_some_and(|number| number.as_str().ends_with(['y', 'N']))
}

/// The integer value of a number, also if it is written as `5.0`.
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

/// A number as `f64`; integers only if they are exact.
fn exact_float(value: &Value) -> Option<f64> {
    TypeHint::Float.fits(value).then(|| number(value))?
}

fn truth(value: &Value) -> Option<bool> {
    match TypeHint::Bool.convert(value)? {
        Value::Bool(truth) => Some(truth),
        _ => None,
    }
}

/// Depth of a dictionary entry: array, entry and variant.
const DICT_DEPTH: usize = 3;
/// Length, signature and alignment of a value in a variant.
const PADDING: usize = 16;
/// Every integer up to this one is exact as `f64`.
const FLOAT_EXACT_MAX: f64 = 9_007_199_254_740_992.0;
