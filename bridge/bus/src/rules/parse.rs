//! Texts of match rules.
//!
//! Model: keys with values, between commas. A value is quoted as in a shell: between single quotes everything is as it
//! is, and outside of them a backslash before a quote makes it one.
//! Limits: [`TEXT_LEN_MAX`] octets, [`ARG_MAX`] is the last argument.

use super::{ArgTest, Place, Rule};
use crate::message::{Kind, syntax};

/// Why a text is no match rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("the match rule has {0} octets and may have {TEXT_LEN_MAX}")]
    TooLong(usize),
    #[error("match rule: {0}")]
    Invalid(String),
}

impl Rule {
    pub(crate) fn parse(text: &str) -> Result<Self, RuleError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(RuleError::TooLong(text.len()));
        }
        let mut rule = Self::default();
        let mut has_eavesdrop = false;
        let mut rest = text;
        while let Some((key, value, after)) = next(rest)? {
            rest = after;
            let is_new = match key {
                "type" => set(&mut rule.kind, kind(&value)),
                "sender" => set(&mut rule.sender, text_if(&value, syntax::is_bus_name)),
                "interface" => set(&mut rule.interface, text_if(&value, syntax::is_interface)),
                "member" => set(&mut rule.member, text_if(&value, syntax::is_member)),
                "path" => set(
                    &mut rule.path,
                    text_if(&value, syntax::is_path).map(Place::Path),
                ),
                "path_namespace" => set(
                    &mut rule.path,
                    text_if(&value, syntax::is_path).map(Place::Namespace),
                ),
                "destination" => set(&mut rule.destination, text_if(&value, syntax::is_bus_name)),
                "eavesdrop" => {
                    rule.is_eavesdropping = value == "true";
                    let is_valid = rule.is_eavesdropping || value == "false";
                    is_valid.then(|| !std::mem::replace(&mut has_eavesdrop, true))
                }
                arg => {
                    let (number, test) = argument(arg, &value)?;
                    let place = rule
                        .args
                        .binary_search_by_key(&number, |(number, _)| *number);
                    Some(
                        place
                            .map_err(|place| rule.args.insert(place, (number, test)))
                            .is_err(),
                    )
                }
            };
            match is_new {
                Some(true) => {}
                Some(false) => return Err(invalid(format!("{key} is there twice"))),
                None => return Err(invalid(format!("{value:?} is no value for {key}"))),
            }
        }
        Ok(rule)
    }
}

/// Sets what is not set; `None` for what is no value, `false` if it was set before.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> Option<bool> {
    let is_new = place.is_none();
    *place = Some(value?);
    Some(is_new)
}

fn text_if(value: &str, is_valid: impl Fn(&str) -> bool) -> Option<Box<str>> {
    is_valid(value).then(|| value.into())
}

fn kind(value: &str) -> Option<Kind> {
    match value {
        "method_call" => Some(Kind::Call),
        "method_return" => Some(Kind::Return),
        "error" => Some(Kind::Error),
        "signal" => Some(Kind::Signal),
        _ => None,
    }
}

/// `arg0`, `arg0path`, `arg0namespace`.
fn argument(key: &str, value: &str) -> Result<(u8, ArgTest), RuleError> {
    let Some(rest) = key.strip_prefix("arg") else {
        return Err(invalid(format!("there is no key {key:?}")));
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, kind) = rest.split_at(digits);
    let Ok(number @ 0..=ARG_MAX) = number.parse::<u8>() else {
        return Err(invalid(format!(
            "{key:?} names no argument from 0 to {ARG_MAX}"
        )));
    };
    let test = match kind {
        "" => ArgTest::Is(value.into()),
        "path" => ArgTest::Path(value.into()),
        "namespace" if number == 0 && syntax::is_namespace(value) => {
            ArgTest::Namespace(value.into())
        }
        "namespace" if number == 0 => {
            return Err(invalid(format!("{value:?} is no beginning of a name")));
        }
        _ => return Err(invalid(format!("there is no key {key:?}"))),
    };
    Ok((number, test))
}

/// The next key with its value, and what is behind it; `None` at the end.
fn next(text: &str) -> Result<Option<(&str, String, &str)>, RuleError> {
    let text = text.trim_start_matches(is_white);
    let end = text
        .find(|one| one == '=' || is_white(one))
        .unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    let rest = rest.trim_start_matches(is_white);
    if key.is_empty() && !rest.starts_with('=') {
        return Ok(None);
    }
    let Some(rest) = rest.strip_prefix('=') else {
        return Err(invalid(format!("there is no = behind {key:?}")));
    };
    if key.is_empty() {
        return Err(invalid(String::from("there is no key before =")));
    }
    let (value, rest) = value(rest)?;
    Ok(Some((key, value, rest)))
}

/// A value, and what is behind its comma.
fn value(text: &str) -> Result<(String, &str), RuleError> {
    let mut value = String::new();
    let mut is_quoted = false;
    let mut left = text.chars();
    while let Some(one) = left.next() {
        match one {
            '\'' => is_quoted = !is_quoted,
            ',' if !is_quoted => return Ok((value, left.as_str())),
            '\\' if !is_quoted => match left.as_str().strip_prefix('\'') {
                Some(rest) => {
                    value.push('\'');
                    left = rest.chars();
                }
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    match is_quoted {
        true => Err(invalid(String::from("a quote is not closed"))),
        false => Ok((value, "")),
    }
}

fn is_white(one: char) -> bool {
    matches!(one, ' ' | '\t' | '\n' | '\r')
}

fn invalid(reason: String) -> RuleError {
    RuleError::Invalid(reason)
}

/// As libdbus has it.
pub(super) const TEXT_LEN_MAX: usize = 1024;
/// As the specification has it.
const ARG_MAX: u8 = 63;
