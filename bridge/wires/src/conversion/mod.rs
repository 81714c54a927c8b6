//! The conversion of values by a wire, without I/O.
//!
//! Model: a [`Conversion`] is the configuration. A [`Converter`] applies it for a source and a target whose [`Side`]s
//! are known, to one value after the other. The steps, each only if configured: expression, scale, clamp, invert,
//! threshold. Finally the value is converted to the type of the target.
//! Invariants: CONVERSION-1. The same values in the same order give the same results: a converter remembers only
//! whether the last value was above its threshold. CONVERSION-2. A value that cannot be converted is an error and
//! changes no state.
//! CONVERSION-3. No recursion: only scalars and lists of scalars are examined.
//! Limits: those of `expression`.
//! Not here: the source and the delivery of values (`super::worker`).
//! Spec: docs/reference/dbus.md, "Conversion".

#[cfg_attr(not(feature = "expressions"), path = "without_expressions.rs")]
mod expression;
mod range;
#[cfg(test)]
mod tests;

use zocp_node::model::{Info, TypeHint, Value, float, number};

pub use self::{
    expression::{Calculator, Expression},
    range::{Range, RangeError, Scale},
};

/// Why a text is not an expression: the writer's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Longer than the limit.
    #[error("an expression has at most {EXPRESSION_LEN_MAX} octets")]
    TooLong,
    /// A syntax error; the text says where.
    #[error("{0}")]
    Malformed(String),
    /// It calls a function that does not exist.
    #[error("there is no function {0}()")]
    NoFunction(String),
    /// This build has no expressions.
    #[error("this program was built without expressions: the feature `expressions` has them")]
    NotBuiltIn,
}

/// Octets of an expression.
const EXPRESSION_LEN_MAX: usize = 1024;

/// The conversion of a wire. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversion {
    /// The expression, applied first.
    pub expression: Option<Expression>,
    /// Scales from one range to another.
    pub scale: Option<Scale>,
    /// Limits the value to the range of the target.
    pub clamp: bool,
    /// Inverts the range of the target: its highest value becomes its lowest. With a threshold: the value triggers
    /// when it falls below the threshold.
    pub invert: bool,
    /// Triggers once each time the value rises to this number; no other value passes.
    pub threshold: Option<f64>,
    /// What is delivered if the target is slower than the source; `None`: the target decides.
    pub delivery: Option<Delivery>,
    /// Whether the target receives the current value of the source when the wire is made; `None`: only if the target
    /// is a state.
    pub initial: Option<bool>,
}

/// What is delivered if the source is faster than the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Every value: the values are events.
    Every,
    /// The newest value: the values are a state.
    Latest,
}

/// The kind and range of the capability, property or argument at one end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Side {
    /// The kind of its values.
    pub kind: Kind,
    /// Its range, from the lowest to the highest value.
    pub range: Option<Range>,
}

/// The kind of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A text.
    Text,
    /// A list of this many numbers.
    Vector(usize),
    /// Any value.
    #[default]
    Any,
}

/// Why a value cannot be converted: a mistake of the creator of the wire, or an unsuitable value of the emitter.
/// Later values are not affected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// The expression has no result for this value.
    #[error("the expression: {0}")]
    Expression(String),
    /// The step needs a number, and the value is not one.
    #[error("{found} is not a number")]
    NotANumber {
        /// The value, shortened.
        found: String,
    },
    /// The result is NaN, infinite or too large.
    #[error("the result is not a finite number")]
    NotFinite,
    /// The value cannot be converted to the kind of the target.
    #[error("{found} cannot become {wanted}")]
    Unfit {
        /// The value, shortened.
        found: String,
        /// The kind of the target.
        wanted: Kind,
    },
    /// The step needs the range of an end that has none.
    #[error("the {0} has no range: its min and max are not known")]
    NoRange(&'static str),
}

impl Conversion {
    /// Whether it changes nothing. To deliver only the newest value, the bridge must be in between, so that counts
    /// as a change.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.delivery != Some(Delivery::Latest)
            && *self
                == Self {
                    delivery: self.delivery,
                    initial: self.initial,
                    ..Self::default()
                }
    }

    /// What is delivered to a target, which is a state or not.
    #[must_use]
    pub fn delivery(&self, is_state: bool) -> Delivery {
        match (self.delivery, self.threshold, is_state) {
            (Some(delivery), ..) => delivery,
            (None, None, true) => Delivery::Latest,
            // A trigger is an event.
            _ => Delivery::Every,
        }
    }

    /// Whether the target, which is a state or not, receives the initial value.
    #[must_use]
    pub fn is_initial(&self, is_state: bool) -> bool {
        let by_default =
            is_state && self.threshold.is_none() && self.delivery != Some(Delivery::Every);
        self.initial.unwrap_or(by_default)
    }
}

impl Side {
    /// The kind and range of a capability. pyZOCP omits a bound of 0, so if one bound is present the other is 0. A
    /// percent has the range 0 to 100 if it has no bounds.
    #[must_use]
    pub fn of(info: &Info) -> Self {
        let bound = |bound: Option<&Value>| bound.and_then(number);
        let (low, high) = (bound(info.min.as_ref()), bound(info.max.as_ref()));
        let range = match (low, high) {
            (None, None) if info.type_hint.as_deref() == Some("percent") => {
                Range::new(0.0, 100.0).ok()
            }
            (None, None) => None,
            (low, high) => Range::new(low.unwrap_or(0.0), high.unwrap_or(0.0)).ok(),
        };
        Self {
            kind: Kind::of(info.hint()),
            range,
        }
    }
}

impl Kind {
    fn of(hint: TypeHint<'_>) -> Self {
        match hint {
            TypeHint::Int => Self::Int,
            TypeHint::Float => Self::Float,
            TypeHint::Bool => Self::Bool,
            TypeHint::Text => Self::Text,
            TypeHint::Vector(count) => Self::Vector(count),
            TypeHint::Signature(_) | TypeHint::Other => Self::Any,
        }
    }

    /// Whether every value of this kind is also of kind `other`, without conversion.
    #[must_use]
    pub fn suits(self, other: Self) -> bool {
        self == other || other == Self::Any || (self, other) == (Self::Int, Self::Float)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int => f.write_str("an integer"),
            Self::Float => f.write_str("a number"),
            Self::Bool => f.write_str("true or false"),
            Self::Text => f.write_str("a text"),
            Self::Vector(count) => write!(f, "a list of {count} numbers"),
            Self::Any => f.write_str("anything"),
        }
    }
}

/// A conversion between two known ends.
#[derive(Debug, Clone)]
pub struct Converter {
    conversion: Conversion,
    source: Side,
    target: Side,
    was_over: bool,
}

impl Converter {
    /// The converter for these two ends.
    #[must_use]
    pub fn new(conversion: Conversion, source: Side, target: Side) -> Self {
        Self {
            conversion,
            source,
            target,
            was_over: false,
        }
    }

    /// Converts a value; `None` if nothing is delivered, because a threshold is not crossed or an expression returns
    /// `()`.
    ///
    /// # Errors
    /// The value cannot be converted.
    pub fn convert(&mut self, value: &Value) -> Result<Option<Value>, ConversionError> {
        let mut value = value.clone();
        if let Some(expression) = &self.conversion.expression {
            match expression.evaluate(&value, self.source.kind)? {
                Some(result) => value = result,
                None => return Ok(None),
            }
        }
        if let Some(scale) = self.conversion.scale {
            let (from, to) = self.ranges(scale)?;
            value = each_number(&value, |number| from.map(number, to))?;
        }
        if self.conversion.clamp {
            let range = self.range_after()?;
            value = each_number(&value, |number| range.clamp(number))?;
        }
        if let Some(threshold) = self.conversion.threshold {
            if !self.crosses(threshold, as_number(&value)?) {
                return Ok(None);
            }
            value = Value::Bool(true);
        } else if self.conversion.invert {
            value = self.inverted(&value)?;
        }
        fit(value, self.target.kind).map(Some)
    }

    fn ranges(&self, scale: Scale) -> Result<(Range, Range), ConversionError> {
        match scale {
            Scale::Given { from, to } => Ok((from, to)),
            Scale::Ends => Ok((
                self.source
                    .range
                    .ok_or(ConversionError::NoRange("source"))?,
                self.target
                    .range
                    .ok_or(ConversionError::NoRange("target"))?,
            )),
        }
    }

    /// The range of a value after scaling.
    fn range_after(&self) -> Result<Range, ConversionError> {
        match self.conversion.scale {
            Some(Scale::Given { to, .. }) => Ok(to),
            _ => self.target.range.ok_or(ConversionError::NoRange("target")),
        }
    }

    fn inverted(&self, value: &Value) -> Result<Value, ConversionError> {
        if let Value::Bool(truth) = value {
            return Ok(Value::Bool(!truth));
        }
        let range = self.range_after()?;
        each_number(value, |number| range.invert(number))
    }

    fn crosses(&mut self, threshold: f64, number: f64) -> bool {
        let is_over = (number >= threshold) != self.conversion.invert;
        let crosses = is_over && !self.was_over;
        self.was_over = is_over;
        crosses
    }
}

/// Maps a number, or each number of a list.
fn each_number(value: &Value, map: impl Fn(f64) -> f64) -> Result<Value, ConversionError> {
    let one = |value: &Value| finite(map(as_number(value)?));
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => one(value),
    }
}

/// The value as a number. A text that contains a number counts, also with a per cent sign; true is 1.
fn as_number(value: &Value) -> Result<f64, ConversionError> {
    let found = match value {
        Value::Number(_) => number(value),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => text.trim().trim_end_matches('%').trim_end().parse().ok(),
        _ => None,
    };
    match found {
        Some(number) if number.is_finite() => Ok(number),
        Some(_) => Err(ConversionError::NotFinite),
        None => Err(ConversionError::NotANumber {
            found: shown(value),
        }),
    }
}

fn finite(number: f64) -> Result<Value, ConversionError> {
    if number.is_finite() {
        Ok(float(number))
    } else {
        Err(ConversionError::NotFinite)
    }
}

/// Converts a value to the kind of the target.
fn fit(value: Value, wanted: Kind) -> Result<Value, ConversionError> {
    match (wanted, &value) {
        (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Bool, Value::Bool(_)) => Ok(value),
        (Kind::Int, Value::Number(digits)) if digits.as_str().parse::<i64>().is_ok() => Ok(value),
        (Kind::Int, _) => integer(as_number(&value)?),
        (Kind::Float, _) => finite(as_number(&value)?),
        (Kind::Bool, Value::String(text)) => match truth(text) {
            Some(truth) => Ok(Value::Bool(truth)),
            None => Err(unfit(&value, wanted)),
        },
        (Kind::Bool, _) => Ok(Value::Bool(as_number(&value)? != 0.0)),
        (Kind::Text, _) => Ok(Value::String(value.to_string())),
        (Kind::Vector(count), Value::Array(values)) if values.len() == count => values
            .iter()
            .map(|value| finite(as_number(value)?))
            .collect(),
        (Kind::Vector(_), _) => Err(unfit(&value, wanted)),
    }
}

/// The nearest integer.
fn integer(number: f64) -> Result<Value, ConversionError> {
    let rounded = number.round();
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^63")]
    if rounded.abs() < INTEGER_MAX {
        Ok(Value::from(rounded as i64))
    } else {
        Err(ConversionError::NotFinite)
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" | "" => Some(false),
        _ => None,
    }
}

fn unfit(value: &Value, wanted: Kind) -> ConversionError {
    ConversionError::Unfit {
        found: shown(value),
        wanted,
    }
}

/// The beginning of a value, for an error's text.
fn shown(value: &Value) -> String {
    let mut text: String = value.to_string().chars().take(SHOWN_MAX + 1).collect();
    if text.chars().count() > SHOWN_MAX {
        text.pop();
        text.push('…');
    }
    text
}

/// 2^63: the smallest positive number that does not fit into an integer of 64 bits.
const INTEGER_MAX: f64 = 9_223_372_036_854_775_808.0;
/// Characters of a value in an error's text.
const SHOWN_MAX: usize = 60;
