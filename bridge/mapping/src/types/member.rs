//! The D-Bus type of a member, and its changes with new values.
//!
//! Model: a [`MemberType`] processes the values of one capability in order, returns each as it is displayed, and is the
//! type of all of them. It starts with the type of the hint, or without a type, and changes only as this table says:
//!
//! | type so far | value | type from then on | shown | marked |
//! | --- | --- | --- | --- | --- |
//! | none: no hint that names a type, no value yet | `null` | none, which is `v` | `""` | |
//! | none | any other | the type that the value has by itself | as it is | |
//! | the hint's | one that converts to it | the same | converted | if that loses something |
//! | the hint's | one that does not | `v` | as it is | |
//! | `x` or `t`, by itself | a number that it does not hold | `d` | as it is | if a double does not hold it |
//! | any, by itself | one that it holds, or `null` | the same | converted | `null` |
//! | any, by itself | any other | `v` | as it is | |
//! | `v`, by one of these rows | any | `v` | as it is | |
//!
//! Invariants: MEMBER-1. With the same hint a type changes at most three times: from none to the type of a value, from `x`
//! or `t` to `d`, from any type to `v`; and never back. MEMBER-2. A displayed value has this type. MEMBER-3. The displayed
//! value depends only on the type and the value.
//! Not here: the type of a hint, and the conversion of values (`super`); values that a client sets (`zocp_daemon::view`).
//! Spec: docs/reference/dbus.md, "Types".

use zbus::{Signature, Variant};
use zocp_model::{TypeHint, Value};

use super::{Shown, as_type, hinted, nearest, own};

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberType {
    state: TypeState,
    is_hinted: bool,
}

/// The state of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TypeState {
    /// No type yet.
    Unknown,
    /// All values have this type.
    Is(Signature),
    /// Values have any type, each in a variant.
    Any,
}

/// A displayed value.
#[derive(Debug, PartialEq)]
pub struct Taken {
    /// The displayed value, and whether it differs from the value of the node.
    pub shown: Shown,
    /// Whether the value has changed the type.
    pub is_retyped: bool,
}

impl MemberType {
    /// The type of a member without a value.
    #[must_use]
    pub fn new(hint: TypeHint<'_>) -> Self {
        let hinted = hinted(hint);
        Self {
            is_hinted: hinted.is_some(),
            state: hinted.map_or(TypeState::Unknown, TypeState::Is),
        }
    }

    /// The type on the bus.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        match &self.state {
            TypeState::Is(signature) => signature,
            TypeState::Unknown | TypeState::Any => &Signature::Variant,
        }
    }

    /// Whether values of any type are shown, each in a variant.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.state == TypeState::Any
    }

    /// Processes the next value.
    pub fn take(&mut self, value: &Value) -> Taken {
        if let Some(shown) = self.show(value) {
            let is_retyped = false;
            return Taken { shown, is_retyped };
        }
        let itself = own(value);
        self.state = match &self.state {
            TypeState::Unknown => TypeState::Is(itself.value.value_signature().clone()),
            TypeState::Is(signature) if self.widens(signature, value) => {
                TypeState::Is(Signature::F64)
            }
            TypeState::Is(_) | TypeState::Any => TypeState::Any,
        };
        Taken {
            shown: self.show(value).unwrap_or_else(|| in_variant(itself)),
            is_retyped: true,
        }
    }

    /// The displayed value without changing the type; `None` if the value would change it.
    #[must_use]
    pub fn show(&self, value: &Value) -> Option<Shown> {
        match &self.state {
            TypeState::Unknown => value.is_null().then(|| own(value)),
            TypeState::Any if value.is_null() => Some(own(value)),
            TypeState::Any => Some(in_variant(own(value))),
            TypeState::Is(signature) if self.is_hinted || value.is_null() => {
                nearest(signature, value)
            }
            TypeState::Is(Signature::F64) if value.is_number() => nearest(&Signature::F64, value),
            TypeState::Is(signature) => as_type(signature, value).map(|value| Shown {
                value,
                is_converted: false,
            }),
        }
    }

    /// Whether a number changes an integer type without a hint to `d`.
    fn widens(&self, signature: &Signature, value: &Value) -> bool {
        let is_integral = matches!(signature, Signature::I64 | Signature::U64);
        !self.is_hinted && is_integral && value.is_number()
    }
}

fn in_variant(shown: Shown) -> Shown {
    Shown {
        value: Variant::Variant(Box::new(shown.value)),
        ..shown
    }
}

#[cfg(test)]
mod tests;
