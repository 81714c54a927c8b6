//! D-Bus values as JSON and text, and text as the D-Bus value that a property takes.
//!
//! Model: [`to_json`] shows any value; [`parse`] reads text for a type. What `get` prints, `set` takes.
//! Limits: nesting is D-Bus's own, at most 64; `NaN` and the infinities, which JSON has not, are shown
//! as those words.

use serde_json::{Number, Value};
use zbus::{Array, Dict, Message, OwnedStructure, Signature, Structure, Variant};

/// A D-Bus value as JSON; variants are what they hold.
#[must_use]
pub fn to_json(value: &Variant<'_>) -> Value {
    match value {
        Variant::U8(n) => Value::from(*n),
        Variant::Bool(b) => Value::from(*b),
        Variant::I16(n) => Value::from(*n),
        Variant::U16(n) => Value::from(*n),
        Variant::I32(n) => Value::from(*n),
        Variant::U32(n) => Value::from(*n),
        Variant::I64(n) => Value::from(*n),
        Variant::U64(n) => Value::from(*n),
        Variant::F64(n) => {
            Number::from_f64(*n).map_or_else(|| Value::from(n.to_string()), Value::Number)
        }
        Variant::Str(text) => Value::from(text.as_str()),
        Variant::Signature(signature) => Value::from(signature.to_string()),
        Variant::ObjectPath(path) => Value::from(path.as_str()),
        Variant::Variant(inner) => to_json(inner),
        Variant::Array(array) => array.inner().iter().map(to_json).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(to_json).collect(),
        Variant::Dict(dict) => Value::Object(
            dict.iter()
                .map(|(key, value)| (plain(&to_json(key)), to_json(value)))
                .collect(),
        ),
        Variant::Fd(_) => Value::Null,
    }
}

/// A value for people: text as it is, everything else as JSON.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// The values of a message. zbus shows a body of one structure as its fields: `is_structure` says that it
/// is one.
///
/// # Errors
/// When the body is not what its signature says.
pub fn fields(message: &Message, is_structure: bool) -> zbus::Result<Vec<Variant<'static>>> {
    let body = message.body();
    if matches!(body.signature(), Signature::Unit) {
        return Ok(Vec::new());
    }
    let OwnedStructure(values) = body.deserialize()?;
    Ok(match is_structure {
        true => vec![Variant::Structure(values)],
        false => values.into_fields(),
    })
}

/// Reads text as a value that a property of this signature takes; `Err` says what would be right.
///
/// A number is passed on as it was written, also for another type of number: whether it fits is the
/// bridge's to say, which knows the range, too.
///
/// # Errors
/// What would be right.
pub fn parse(text: &str, signature: &Signature) -> Result<Variant<'static>, String> {
    match signature {
        Signature::Str | Signature::ObjectPath | Signature::Signature => as_text(text),
        Signature::Bool => truth(text).map(Variant::new),
        Signature::Variant => from_json(&guess(text), signature),
        _ if is_number(signature) => {
            let number = scalar(text).ok_or_else(|| expected("a number", text))?;
            from_json(&number, signature)
        }
        Signature::Structure(_) | Signature::Array(_) => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| listed(text));
            from_json(&value, signature)
        }
        _ => match serde_json::from_str(text) {
            Ok(value) => from_json(&value, signature),
            Err(_) => Err(expected("JSON", text)),
        },
    }
}

/// JSON as a value of this signature. Numbers are of the type in which they were written, as with [`parse`]; a text is
/// read as one where a number is wanted.
///
/// # Errors
/// What would be right.
pub fn from_json(value: &Value, signature: &Signature) -> Result<Variant<'static>, String> {
    match signature {
        Signature::Variant => Ok(Variant::Variant(Box::new(natural(value)?))),
        Signature::Bool => match value {
            Value::Bool(truth) => Ok(Variant::new(*truth)),
            other => Err(expected("true or false", &other.to_string())),
        },
        _ if is_number(signature) => number(value, signature),
        Signature::Structure(fields) => {
            structure(value, &fields.iter().collect::<Vec<_>>(), &from_json)
        }
        Signature::Array(child) => array(value, child, &from_json),
        Signature::Dict { key, value: child } => dict(value, key, child, &from_json),
        _ => match value {
            Value::String(text) => as_text(text),
            other => Err(expected("text", &other.to_string())),
        },
    }
}

/// JSON as a value of exactly this type, as the arguments of a call have to be.
///
/// # Errors
/// What would be right.
pub fn exactly(value: &Value, signature: &Signature) -> Result<Variant<'static>, String> {
    match signature {
        Signature::Structure(fields) => {
            structure(value, &fields.iter().collect::<Vec<_>>(), &exactly)
        }
        Signature::Array(child) => array(value, child, &exactly),
        Signature::Dict { key, value: child } => dict(value, key, child, &exactly),
        _ if is_number(signature) => {
            let number = number(value, signature)?;
            narrowed(&number, signature).ok_or_else(|| {
                expected(&format!("a number of type {signature}"), &value.to_string())
            })
        }
        _ => from_json(value, signature),
    }
}

/// A number as another type, if that holds it.
fn narrowed(number: &Variant<'_>, signature: &Signature) -> Option<Variant<'static>> {
    let whole = match number {
        Variant::I64(n) => i128::from(*n),
        Variant::U64(n) => i128::from(*n),
        Variant::F64(n) if matches!(signature, Signature::F64) => return Some(Variant::F64(*n)),
        // Whole numbers up to here have no rounding.
        Variant::F64(n) if n.fract() == 0.0 && n.abs() < 9.0e15 => *n as i128,
        _ => return None,
    };
    Some(match signature {
        Signature::U8 => Variant::U8(whole.try_into().ok()?),
        Signature::I16 => Variant::I16(whole.try_into().ok()?),
        Signature::U16 => Variant::U16(whole.try_into().ok()?),
        Signature::I32 => Variant::I32(whole.try_into().ok()?),
        Signature::U32 => Variant::U32(whole.try_into().ok()?),
        Signature::I64 => Variant::I64(whole.try_into().ok()?),
        Signature::U64 => Variant::U64(whole.try_into().ok()?),
        _ => return None,
    })
}

/// How the parts of a value are made.
type Each<'a> = &'a dyn Fn(&Value, &Signature) -> Result<Variant<'static>, String>;

fn structure(
    value: &Value,
    fields: &[&Signature],
    each: Each<'_>,
) -> Result<Variant<'static>, String> {
    let items = items(value)?;
    if items.len() != fields.len() {
        let found = format!("{} of them", items.len());
        return Err(expected(&format!("{} values", fields.len()), &found));
    }
    let mut builder = Structure::builder();
    for (item, field) in items.iter().zip(fields) {
        builder.push_value(each(item, field)?);
    }
    let built = builder.build().map(Variant::Structure);
    built.map_err(|error| error.to_string())
}

fn array(value: &Value, child: &Signature, each: Each<'_>) -> Result<Variant<'static>, String> {
    let mut array = Array::new(child);
    for item in items(value)? {
        array
            .append(each(item, child)?)
            .map_err(|error| error.to_string())?;
    }
    Ok(Variant::Array(array))
}

fn dict(
    value: &Value,
    key: &Signature,
    child: &Signature,
    each: Each<'_>,
) -> Result<Variant<'static>, String> {
    let Value::Object(entries) = value else {
        return Err(expected("a JSON object", &value.to_string()));
    };
    let mut dict = Dict::new(key, child);
    for (name, value) in entries {
        // The keys of JSON are text.
        let name = match is_number(key) {
            true => exactly(&Value::from(name.as_str()), key)?,
            false => parse(name, key)?,
        };
        dict.append(name, each(value, child)?)
            .map_err(|error| error.to_string())?;
    }
    Ok(Variant::Dict(dict))
}

/// JSON without a type to go by: integers are `x`, lists `av`, objects `a{sv}`.
fn natural(value: &Value) -> Result<Variant<'static>, String> {
    match value {
        Value::Null => Ok(Variant::new(String::new())),
        Value::Bool(truth) => Ok(Variant::new(*truth)),
        Value::Number(_) => number(value, &Signature::I64),
        Value::String(text) => as_text(text),
        Value::Array(_) => from_json(value, &Signature::array(Signature::Variant)),
        Value::Object(_) => from_json(value, &Signature::dict(Signature::Str, Signature::Variant)),
    }
}

/// A text as D-Bus has it. JSON may have U+0000; a bus ends the connection of who sends that.
fn as_text(text: &str) -> Result<Variant<'static>, String> {
    match text.contains('\0') {
        true => Err(expected(
            "text without U+0000, which D-Bus does not have",
            "one with it",
        )),
        false => Ok(Variant::new(text.to_owned())),
    }
}

fn number(value: &Value, signature: &Signature) -> Result<Variant<'static>, String> {
    let word = || expected("a number", &value.to_string());
    let number = match value {
        Value::Number(number) => number,
        Value::String(text) => {
            let read = scalar(text).filter(Value::is_number);
            return match read {
                Some(read) => number(&read, signature),
                None => special(text).map(Variant::F64).ok_or_else(word),
            };
        }
        _ => return Err(word()),
    };
    if matches!(signature, Signature::F64) {
        return number.as_f64().map(Variant::F64).ok_or_else(word);
    }
    let exact = number
        .as_i64()
        .map(Variant::I64)
        .or_else(|| number.as_u64().map(Variant::U64));
    exact
        .or_else(|| number.as_f64().map(Variant::F64))
        .ok_or_else(word)
}

fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(expected("a list, as 1,2,3 or [1,2,3]", &other.to_string())),
    }
}

/// `1,2,3`: each part a scalar.
fn listed(text: &str) -> Value {
    let text = text
        .trim()
        .trim_start_matches(['[', '('])
        .trim_end_matches([']', ')']);
    text.split(',').map(|part| guess(part.trim())).collect()
}

/// Text without a type to go by: JSON if it is some, else text.
fn guess(text: &str) -> Value {
    serde_json::from_str(text)
        .ok()
        .or_else(|| scalar(text))
        .unwrap_or_else(|| Value::from(text))
}

/// A number in one of the manners that people write them in, `.5` and `+1` too.
fn scalar(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::from(number));
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(Value::from(number));
    }
    let number = text.parse::<f64>().ok()?;
    Some(Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number))
}

/// What JSON has no number for.
fn special(text: &str) -> Option<f64> {
    text.parse::<f64>()
        .ok()
        .filter(|number| !number.is_finite())
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(expected("true or false", text)),
    }
}

fn is_number(signature: &Signature) -> bool {
    matches!(
        signature,
        Signature::U8
            | Signature::I16
            | Signature::U16
            | Signature::I32
            | Signature::U32
            | Signature::I64
            | Signature::U64
            | Signature::F64
    )
}

fn expected(what: &str, found: &str) -> String {
    format!("expected {what}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, signature: &str) -> Result<String, String> {
        let value = parse(text, &Signature::try_from(signature).unwrap())?;
        Ok(format!("{} {}", value.value_signature(), to_json(&value)))
    }

    #[test]
    fn text_is_read_as_the_type_has_it() {
        for (text, signature, expected) in [
            ("5", "x", "x 5"),
            ("5", "d", "d 5.0"),
            (".5", "d", "d 0.5"),
            ("-1e3", "d", "d -1000.0"),
            ("0.5", "x", "d 0.5"),
            ("18446744073709551615", "x", "t 18446744073709551615"),
            ("nan", "d", "d \"NaN\""),
            ("true", "b", "b true"),
            ("off", "b", "b false"),
            ("5", "s", "s \"5\""),
            ("a \"b\"", "s", "s \"a \\\"b\\\"\""),
            ("", "s", "s \"\""),
            ("1,2", "(dd)", "(dd) [1.0,2.0]"),
            ("[1, 2.5, 3]", "(ddd)", "(ddd) [1.0,2.5,3.0]"),
            ("(1, 2)", "(dd)", "(dd) [1.0,2.0]"),
            ("1,a", "av", "av [1,\"a\"]"),
            ("{\"a\": [1]}", "a{sv}", "a{sv} {\"a\":[1]}"),
            ("a,b", "as", "as [\"a\",\"b\"]"),
            ("hello", "v", "v \"hello\""),
            ("7", "v", "v 7"),
        ] {
            assert_eq!(
                parsed(text, signature).as_deref(),
                Ok(expected),
                "{text} as {signature}"
            );
        }
    }

    #[test]
    fn text_that_is_not_of_the_type_is_refused_with_what_would_be() {
        for (text, signature, word) in [
            ("many", "x", "a number"),
            ("maybe", "b", "true or false"),
            ("1,2,3", "(dd)", "2 values"),
            ("1", "(dd)", "a list"),
            ("x,y", "(dd)", "a number"),
            ("[1", "a{sv}", "JSON"),
            ("\"a\\u0000b\"", "v", "U+0000"),
            ("[\"a\\u0000b\"]", "as", "U+0000"),
            ("{\"a\\u0000b\": 1}", "a{sv}", "U+0000"),
            ("{\"a\": \"\\u0000\"}", "a{sv}", "U+0000"),
        ] {
            let error = parsed(text, signature).unwrap_err();
            assert!(error.contains(word), "{text} as {signature}: {error}");
        }
    }

    #[test]
    fn arguments_are_of_exactly_their_type() {
        let made = |value: Value, signature: &str| {
            let made = exactly(&value, &Signature::try_from(signature).unwrap())?;
            Ok::<_, String>(format!("{} {}", made.value_signature(), to_json(&made)))
        };
        for (value, signature, expected) in [
            (Value::from(3), "y", "y 3"),
            (Value::from("3"), "u", "u 3"),
            (Value::from(3.0), "n", "n 3"),
            (serde_json::json!([1, 2]), "ay", "ay [1,2]"),
            (serde_json::json!([1, 2]), "(dx)", "(dx) [1.0,2]"),
            (serde_json::json!({"a": 1}), "a{si}", "a{si} {\"a\":1}"),
            (serde_json::json!({"7": 1}), "a{qy}", "a{qy} {\"7\":1}"),
            (
                serde_json::json!([{"a": [1]}]),
                "aa{say}",
                "aa{say} [{\"a\":[1]}]",
            ),
            (Value::from("a"), "s", "s \"a\""),
        ] {
            assert_eq!(made(value, signature).as_deref(), Ok(expected));
        }
        for (value, signature) in [
            (Value::from(300), "y"),
            (serde_json::json!({"a": 300}), "a{sy}"),
            (Value::from(0.5), "x"),
            (Value::from("a"), "d"),
        ] {
            assert!(
                made(value.clone(), signature).is_err(),
                "{value} as {signature}"
            );
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for (text, signature) in [
            ("0.1", "d"),
            ("[1.0,2.0]", "(dd)"),
            ("text", "s"),
            ("{\"a\":1}", "a{sv}"),
        ] {
            let signature = Signature::try_from(signature).unwrap();
            let shown = plain(&to_json(&parse(text, &signature).unwrap()));
            assert_eq!(shown, text);
        }
    }
}
