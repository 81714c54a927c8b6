//! Expressions over a value, in the syntax of rhai, restricted to expressions.
//!
//! Model: a [`Calculator`] has the functions and parses texts; an [`Expression`] is a parsed text with the variable
//! `value`. Numbers of integer and floating point capabilities keep their kind; lists are arrays.
//! Invariants: EXPRESSION-1. No statements, loops, functions, modules, clocks, output or `eval`: the result depends
//! only on the value. EXPRESSION-2. The result is a scalar or a list of scalars, or `()`, which means no value.
//! Limits: [`super::EXPRESSION_LEN_MAX`], [`OPERATIONS_MAX`], [`DEPTH_MAX`], [`TEXT_SIZE_MAX`], [`ARRAY_SIZE_MAX`]: an
//! expression above a limit is rejected, or has no result for that value.

use std::{collections::HashSet, fmt, sync::Arc};

use rhai::{
    AST, Array, Dynamic, Engine, INT, Scope,
    packages::{
        ArithmeticPackage, BasicArrayPackage, BasicMathPackage, LogicPackage, MoreStringPackage,
        Package,
    },
};
use zocp_node::model::{Value, float, number};

use super::{ConversionError, EXPRESSION_LEN_MAX, ExpressionError, Kind, shown};

/// Parses expressions. Cheap to clone.
#[derive(Clone)]
pub struct Calculator {
    engine: Arc<Engine>,
    /// The names of all functions, and of what else may stand before a parenthesis.
    functions: Arc<HashSet<String>>,
}

/// A parsed expression. Two expressions are equal if their texts are.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    ast: Arc<AST>,
    engine: Arc<Engine>,
}

impl Default for Calculator {
    fn default() -> Self {
        let mut engine = Engine::new_raw();
        ArithmeticPackage::new().register_into_engine(&mut engine);
        LogicPackage::new().register_into_engine(&mut engine);
        BasicMathPackage::new().register_into_engine(&mut engine);
        BasicArrayPackage::new().register_into_engine(&mut engine);
        MoreStringPackage::new().register_into_engine(&mut engine);
        engine
            .set_max_operations(OPERATIONS_MAX)
            .set_max_expr_depths(DEPTH_MAX)
            .set_max_string_size(TEXT_SIZE_MAX)
            .set_max_array_size(ARRAY_SIZE_MAX)
            .set_max_map_size(ARRAY_SIZE_MAX)
            .set_strict_variables(true)
            .disable_symbol("eval");
        let functions = engine.gen_fn_signatures(true);
        let functions = functions
            .iter()
            .filter_map(|signature| Some(signature.split_once('(')?.0.trim().to_owned()))
            .chain(WORDS.iter().map(|&word| word.to_owned()));
        Self {
            functions: Arc::new(functions.collect()),
            engine: Arc::new(engine),
        }
    }
}

impl Calculator {
    /// Parses a text.
    ///
    /// # Errors
    /// The text is too long or not an expression.
    pub fn understand(&self, text: &str) -> Result<Expression, ExpressionError> {
        if text.len() > EXPRESSION_LEN_MAX {
            return Err(ExpressionError::TooLong);
        }
        let mut scope = Scope::new();
        scope.push_dynamic("value", Dynamic::UNIT);
        let ast = self
            .engine
            .compile_expression_with_scope(&scope, text)
            .map_err(|error| ExpressionError::Malformed(error.to_string()))?;
        if let Some(name) = called(text).find(|name| !self.functions.contains(*name)) {
            return Err(ExpressionError::NoFunction(name.to_owned()));
        }
        Ok(Expression {
            text: text.into(),
            ast: Arc::new(ast),
            engine: self.engine.clone(),
        })
    }
}

impl Expression {
    /// The text of the expression.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its result for a value of this kind; `None` for `()`.
    pub(super) fn evaluate(
        &self,
        value: &Value,
        kind: Kind,
    ) -> Result<Option<Value>, ConversionError> {
        let failed = |error: String| ConversionError::Expression(error);
        let mut scope = Scope::new();
        scope.push_constant_dynamic("value", given(value, kind)?);
        let result = self
            .engine
            .eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast)
            .map_err(|error| failed(error.to_string()))?;
        if result.is_unit() {
            return Ok(None);
        }
        let kind = result.type_name();
        let unknown = || failed(format!("its result is a {kind}"));
        if result.is_array() {
            let values = result.clone().cast::<Array>();
            let values = values.iter().map(scalar).collect::<Option<Vec<_>>>();
            return values
                .map(|values| Some(Value::Array(values)))
                .ok_or_else(unknown);
        }
        scalar(&result).map(Some).ok_or_else(unknown)
    }
}

/// The names that stand before a parenthesis in a text that is an expression, outside of its strings.
fn called(text: &str) -> impl Iterator<Item = &str> {
    let (mut quote, mut is_escaped) = (None, false);
    let mut word = 0..0;
    text.char_indices().filter_map(move |(at, letter)| {
        if let Some(end) = quote {
            if letter == end && !is_escaped {
                quote = None;
            }
            is_escaped = letter == '\\' && !is_escaped;
            return None;
        }
        match letter {
            letter if letter == '_' || letter.is_alphanumeric() => {
                let start = if word.end == at { word.start } else { at };
                word = start..at + letter.len_utf8();
                return None;
            }
            // `foo (1)` is a call too.
            letter if letter.is_whitespace() => return None,
            '"' | '\'' | '`' => quote = Some(letter),
            _ => {}
        }
        let name = text.get(std::mem::take(&mut word))?;
        let is_name = name.starts_with(|first: char| first == '_' || first.is_alphabetic());
        (letter == '(' && is_name).then_some(name)
    })
}

/// The value as a variable of the expression.
fn given(value: &Value, kind: Kind) -> Result<Dynamic, ConversionError> {
    let unknown = || {
        ConversionError::Expression(format!(
            "the value {} cannot be used in an expression",
            shown(value)
        ))
    };
    let Value::Array(values) = value else {
        return given_scalar(value, kind).ok_or_else(unknown);
    };
    let kind = match kind {
        Kind::Vector(_) => Kind::Float,
        kind => kind,
    };
    let values: Option<Array> = values
        .iter()
        .map(|value| given_scalar(value, kind))
        .collect();
    values.map(Dynamic::from_array).ok_or_else(unknown)
}

fn given_scalar(value: &Value, kind: Kind) -> Option<Dynamic> {
    Some(match value {
        Value::Bool(truth) => Dynamic::from_bool(*truth),
        Value::String(text) if text.len() <= TEXT_SIZE_MAX => text.clone().into(),
        Value::Number(digits) => match digits.as_str().parse::<INT>() {
            Ok(integer) if kind != Kind::Float => Dynamic::from_int(integer),
            _ => Dynamic::from_float(number(value)?),
        },
        _ => return None,
    })
}

/// A scalar of a result as JSON.
fn scalar(result: &Dynamic) -> Option<Value> {
    if let Ok(truth) = result.as_bool() {
        return Some(Value::Bool(truth));
    }
    if let Ok(integer) = result.as_int() {
        return Some(Value::from(integer));
    }
    if let Ok(number) = result.as_float() {
        return number.is_finite().then(|| float(number));
    }
    let text = result.as_immutable_string_ref().ok()?;
    Some(Value::from(text.as_str()))
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl fmt::Debug for Calculator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calculator")
    }
}

/// What may stand before a parenthesis and is no function, and functions that rhai does not list.
const WORDS: [&str; 10] = [
    "if",
    "else",
    "in",
    "switch",
    "type_of",
    "is_shared",
    "return",
    "is_def_var",
    "to_string",
    "to_debug",
];
/// Steps of one evaluation: some milliseconds at most.
const OPERATIONS_MAX: u64 = 10_000;
/// Nesting of an expression.
const DEPTH_MAX: usize = 32;
/// Octets of a text within an expression.
const TEXT_SIZE_MAX: usize = 64 * 1024;
/// Elements of a list within an expression.
const ARRAY_SIZE_MAX: usize = 1024;
