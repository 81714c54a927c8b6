//! The errors with which the bus answers calls.

use crate::rules::RuleError;

/// Why a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Without its beginning, which is [`PREFIX`].
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// What the names of all errors of the specification begin with.
const PREFIX: &str = "org.freedesktop.DBus.Error.";

impl Fault {
    pub(super) fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
        }
    }

    /// With its beginning.
    pub(super) fn full_name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    pub(super) fn denied(text: impl Into<String>) -> Self {
        Self::new("AccessDenied", text)
    }

    pub(super) fn args(text: impl Into<String>) -> Self {
        Self::new("InvalidArgs", text)
    }

    pub(super) fn limit(text: impl Into<String>) -> Self {
        Self::new("LimitsExceeded", text)
    }

    /// Something is asked about a name that nobody has.
    pub(super) fn no_owner(what: &str, name: &str) -> Self {
        Self::new(
            "NameHasNoOwner",
            format!("Could not get {what} of name '{name}': no such name"),
        )
    }

    /// A call to a name that nobody has.
    pub(super) fn unknown_service(name: &str) -> Self {
        Self::new(
            "ServiceUnknown",
            format!("The name {name} was not provided by any .service files"),
        )
    }

    pub(super) fn no_descriptors() -> Self {
        Self::new(
            "NotSupported",
            "the message has descriptors, and whom it is for cannot take any",
        )
    }
}

impl From<RuleError> for Fault {
    fn from(error: RuleError) -> Self {
        let name = match error {
            RuleError::TooLong(_) => "LimitsExceeded",
            RuleError::Invalid(_) => "MatchRuleInvalid",
        };
        Self::new(name, error.to_string())
    }
}
