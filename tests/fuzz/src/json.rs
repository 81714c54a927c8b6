//! JSON values out of an input, in the words of ZOCP, so that mutations stay near what means something.
//!
//! Limits: nesting of [`DEPTH_MAX`], which bounds the recursion; eight entries in each object or list.

use arbitrary::{Result, Unstructured};
use zocp_model::{Map, Value, float};

/// A value.
pub(crate) fn value(input: &mut Unstructured<'_>) -> Result<Value> {
    nested(input, 0)
}

/// An object.
pub(crate) fn object(input: &mut Unstructured<'_>) -> Result<Map<String, Value>> {
    entries(input, 0)
}

/// The key of an entry.
pub(crate) fn name(input: &mut Unstructured<'_>) -> Result<&'static str> {
    input.choose(NAMES).copied()
}

fn nested(input: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let most = if depth < DEPTH_MAX { 11 } else { 8 };
    Ok(match input.int_in_range(0..=most)? {
        0 => Value::Null,
        1 => Value::Bool(input.arbitrary()?),
        2 => Value::from(input.arbitrary::<i8>()?),
        3 => Value::from(*input.choose(&INTEGERS)?),
        4 => Value::from(*input.choose(&[u64::MAX, 1 << 63])?),
        5 => float(*input.choose(&FLOATS)?),
        6 | 7 => Value::from(*input.choose(TEXTS)?),
        8 => Value::from(input.arbitrary::<&str>()?),
        9 => Value::Array(list(input, depth + 1)?),
        _ => Value::Object(entries(input, depth + 1)?),
    })
}

fn list(input: &mut Unstructured<'_>, depth: usize) -> Result<Vec<Value>> {
    let len = input.int_in_range(0..=4)?;
    (0..len).map(|_| nested(input, depth)).collect()
}

fn entries(input: &mut Unstructured<'_>, depth: usize) -> Result<Map<String, Value>> {
    let len = input.int_in_range(0..=8)?;
    let mut map = Map::new();
    for _ in 0..len {
        let name = name(input)?;
        // What these hold is nearly always an object.
        let value = match name {
            "objects" | "methods" if depth < DEPTH_MAX && input.ratio(7, 8)? => {
                Value::Object(entries(input, depth + 1)?)
            }
            _ => nested(input, depth)?,
        };
        map.insert(name.to_owned(), value);
    }
    Ok(map)
}

const DEPTH_MAX: usize = 8;

const NAMES: &[&str] = &[
    "a",
    "b",
    "c",
    "objects",
    "value",
    "access",
    "typeHint",
    "methods",
    "min",
    "max",
    "step",
    "subscribers",
    "type",
    "in",
    "out",
    "name",
    "doc",
    "a.b",
    "",
    "\u{fc}",
];

const TEXTS: &[&str] = &[
    "r",
    "rw",
    "rwe",
    "rwes",
    "e",
    "s",
    "we",
    "int",
    "flt",
    "float",
    "percent",
    "bool",
    "string",
    "vec2f",
    "vec3f",
    "signature:a{sv}",
    "signature:(sid)",
    "signature:aay",
    "x",
    "",
    "a.b",
    "\0",
    "/a/b",
    "0202020202020202020202020202020202",
];

const INTEGERS: [i64; 6] = [0, 1, (1 << 53) + 1, i64::MAX, i64::MIN, 1 << 32];

const FLOATS: [f64; 7] = [
    0.0,
    -0.0,
    0.5,
    1e300,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
