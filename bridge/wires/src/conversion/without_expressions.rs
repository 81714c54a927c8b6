//! What a build without the feature `expressions` has in place of expressions: every text is refused.

use zocp_node::Value;

use super::{ConversionError, ExpressionError, Kind};

/// Refuses every expression.
#[derive(Debug, Clone, Default)]
pub struct Calculator;

/// There is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {}

impl Calculator {
    /// Refuses a text.
    ///
    /// # Errors
    /// Always.
    pub fn understand(&self, _text: &str) -> Result<Expression, ExpressionError> {
        Err(ExpressionError::NotBuiltIn)
    }
}

impl Expression {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match *self {}
    }

    pub(super) fn evaluate(&self, _: &Value, _: Kind) -> Result<Option<Value>, ConversionError> {
        match *self {}
    }
}
