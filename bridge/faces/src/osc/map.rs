//! The map of a program that speaks OSC: which of its addresses are which capabilities.
//!
//! Model: a [`Map`] is read from TOML, or learned, and then written as the same TOML, so that what was learned is where a
//! map of one's own begins.
//! Limits: [`ENTRIES_MAX`] entries; those of `file`.
//! Spec: docs/reference/osc.md, "Map".

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{packet::ADDRESS_LEN_MAX, pattern::is_pattern};
use crate::file::{self, FileError};
use crate::mesh::{Access, CapPath, Capability, ObjectPath, TypeHint, Value};
use crate::name;

/// The addresses of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    /// Whether addresses that are not here are learned.
    #[serde(default = "yes")]
    pub(crate) learn: bool,
    #[serde(default)]
    pub(crate) capability: Vec<Entry>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Its address at the program.
    pub(crate) address: String,
    /// The capability, with its objects before it; by default what the address says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) direction: Direction,
    /// Its `typeHint`.
    #[serde(rename = "type")]
    pub(crate) hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<f64>,
    /// Its value before there is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<toml::Value>,
}

/// Which way values go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// The program sends it: an emitter.
    #[default]
    Out,
    /// The program takes it: a sensor.
    In,
    Both,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            learn: true,
            capability: Vec::new(),
        }
    }
}

impl Map {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        Self::parse(&path.display().to_string(), &file::read(path)?)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, FileError> {
        let map: Self = file::parse(name, text)?;
        if map.capability.len() > ENTRIES_MAX {
            return Err(FileError::TooLong {
                file: name.to_owned(),
                max: ENTRIES_MAX,
                what: "addresses",
            });
        }
        for entry in &map.capability {
            let checked = entry.check();
            checked.map_err(|reason| {
                FileError::Invalid(name.to_owned(), format!("{}: {reason}", entry.address))
            })?;
        }
        Ok(map)
    }

    /// As a file has it.
    pub(crate) fn text(&self) -> String {
        let about = "# Addresses that a program has sent. Copy it, change what you like, and give it as --map.\n";
        let text = toml::to_string(self).unwrap_or_default();
        format!("{about}{text}")
    }
}

impl Entry {
    fn check(&self) -> Result<(), &'static str> {
        if !is_address(&self.address) {
            return Err("an address begins with a slash and has no *, ?, [, ], { and }");
        }
        let path = self.path().ok_or("the name has an empty part")?;
        name::check(&path)?;
        if TypeHint::parse(&self.hint) == TypeHint::Other {
            return Err("the type is one of int, flt, percent, bool, string, vec2f, vec3f, vec4f");
        }
        Ok(())
    }

    /// The capability that it is; `None` for a name with an empty part.
    pub(crate) fn path(&self) -> Option<CapPath> {
        match &self.name {
            Some(name) => {
                let (object, name) = name.rsplit_once('.').unwrap_or(("", name));
                let object: ObjectPath = object.parse().ok()?;
                (!name.is_empty()).then(|| object.capability(name))
            }
            None => path_of(&self.address),
        }
    }

    /// How it is published, with this value.
    pub(crate) fn capability(&self, value: Option<Value>) -> Capability {
        let access = match self.direction {
            Direction::Out => Access::READ | Access::EMIT,
            Direction::In => Access::READ | Access::WRITE | Access::SENSE,
            Direction::Both => Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
        };
        let hint = TypeHint::parse(&self.hint);
        let given = self
            .value
            .as_ref()
            .and_then(|value| serde_json::to_value(value).ok());
        let value = value.or(given).and_then(|value| hint.convert(&value));
        let capability = Capability::new(access, value.unwrap_or_else(|| none_of(hint, self.min)));
        let capability = capability.with_hint(&self.hint);
        capability.with(|info| {
            info.min = self.min.map(number_of);
            info.max = self.max.map(number_of);
        })
    }
}

/// A number of TOML, whole if it is.
fn number_of(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
    if number.fract() == 0.0 && number.abs() < 1e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

/// A value of a type that has none yet.
fn none_of(hint: TypeHint<'_>, min: Option<f64>) -> Value {
    let least = min.unwrap_or(0.0);
    match hint {
        TypeHint::Int => number_of(least.round()),
        TypeHint::Bool => Value::Bool(false),
        TypeHint::Text => Value::from(""),
        TypeHint::Vector(count) => Value::Array(vec![crate::mesh::float(least); count]),
        _ => crate::mesh::float(least),
    }
}

/// Whether this is an address, and no pattern.
pub(crate) fn is_address(text: &str) -> bool {
    text.len() > 1
        && text.len() <= ADDRESS_LEN_MAX
        && text.starts_with('/')
        && !is_pattern(text)
        && !text.contains([']', '}', '#', ' '])
        && !text.ends_with('/')
}

/// The capability that an address is: its last part, in objects of those before.
fn path_of(address: &str) -> Option<CapPath> {
    let parts: Vec<&str> = address.split('/').skip(1).collect();
    let (name, objects) = parts.split_last()?;
    if parts.len() > PARTS_MAX || parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let objects = objects.iter().map(|part| part.to_string().into());
    let capability = match *name {
        // What a tree has for itself.
        "objects" | "methods" | "sources" | "sinks" | "type" => format!("{name}_"),
        other => other.to_owned(),
    };
    let path = objects.collect::<ObjectPath>().capability(&capability);
    match name::check(&path) {
        Ok(()) => Some(path),
        // What the face has for itself.
        Err(_) => Some(path.object.capability(&format!("{capability}_"))),
    }
}

fn yes() -> bool {
    true
}

/// Addresses of a program, learned or not.
pub(crate) const ENTRIES_MAX: usize = 4096;
/// Parts of an address.
const PARTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_map_says_names_directions_and_ranges() {
        let map = Map::parse(
            "map.toml",
            "learn = false\n\
             [[capability]]\naddress = \"/1/fader\"\nname = \"left.level\"\ntype = \"flt\"\nmin = 0\nmax = 1.5\n\
             [[capability]]\naddress = \"/1/pad\"\ndirection = \"in\"\ntype = \"int\"\nvalue = 7\n",
        )
        .unwrap();
        assert!(!map.learn);
        let [fader, pad] = &map.capability[..] else {
            panic!()
        };
        assert_eq!(fader.path().unwrap().to_string(), "left.level");
        let capability = fader.capability(None);
        assert_eq!(capability.value, Some(json!(0.0)));
        assert_eq!(
            (&capability.info.min, &capability.info.max),
            (&Some(json!(0)), &Some(json!(1.5)))
        );
        assert!(capability.info.access.emit && !capability.info.access.write);
        assert_eq!(pad.path().unwrap().to_string(), "1.pad");
        let capability = pad.capability(None);
        assert_eq!(capability.value, Some(json!(7)));
        assert!(capability.info.access.sense && capability.info.access.write);
        assert_eq!(Map::parse("again", &map.text()).unwrap(), map);
    }

    #[test]
    fn what_the_face_has_for_itself_is_not_hidden_by_an_address() {
        let path = |address: &str| path_of(address).unwrap().to_string();
        assert_eq!(path("/counts/sent"), "counts.sent_");
        assert_eq!(path("/counts/level"), "counts.level");
        assert_eq!(path("/a/methods"), "a.methods_");
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let wrong = [
            ("x = 1", "unknown field"),
            (
                "[[capability]]\naddress = \"a\"\ntype = \"flt\"",
                "begins with a slash",
            ),
            (
                "[[capability]]\naddress = \"/a*\"\ntype = \"flt\"",
                "begins with a slash",
            ),
            (
                "[[capability]]\naddress = \"/a\"\ntype = \"real\"",
                "the type is one of",
            ),
            (
                "[[capability]]\naddress = \"/a\"\nname = \"b.\"\ntype = \"flt\"",
                "empty part",
            ),
            (
                "[[capability]]\naddress = \"/a\"\nname = \"b.methods\"\ntype = \"flt\"",
                "no names of capabilities",
            ),
        ];
        for (text, reason) in wrong {
            let error = Map::parse("map.toml", text).unwrap_err().to_string();
            assert!(
                error.starts_with("map.toml") && error.contains(reason),
                "{error}"
            );
        }
        let entry = "[[capability]]\naddress = \"/a\"\ntype = \"flt\"\n";
        let many = Map::parse("map.toml", &entry.repeat(ENTRIES_MAX + 1));
        assert!(matches!(many, Err(FileError::TooLong { .. })));
    }
}
