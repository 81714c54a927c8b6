//! The replacement for expressions in a build without the feature `expressions`: every text is rejected.

use zocp_node::Value;

use super::{ConversionError, ExpressionError, Kind};

/// Rejects every expression.
#[derive(Debug, Clone, Default)]
pub struct Calculator {}

/// No expression exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {}

impl Calculator {
    /// Rejects a text.
    ///
    /// # Errors
    /// Always.
    pub fn understand(&self, _text: &str) -> Result<Expression, ExpressionError> {
        Err(ExpressionError::NotBuiltIn)
    }
}

impl Expression {
    /// The text of the expression.
    #[must_use]
    pub fn text(&self) -> &str {
        match *self {}
    }

    pub(super) fn evaluate(&self, _: &Value, _: Kind) -> Result<Option<Value>, ConversionError> {
        match *self {}
    }
}
