//! The map of a controller: which of its knobs and keys are which capabilities.
//!
//! Model: as the map of a program that speaks OSC: read from TOML, or learned and then written as the same.
//! Limits: [`ENTRIES_MAX`] entries; those of `file`.
//! Spec: docs/reference/midi.md, "Map".

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::message::{Control, Kind, LOW};
use crate::file::{self, FileError};
use crate::mesh::{CapPath, ObjectPath};
use crate::name;

/// The controls of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    /// Whether controls that are not here are learned.
    #[serde(default = "yes")]
    pub(crate) learn: bool,
    #[serde(default)]
    pub(crate) capability: Vec<Entry>,
}

/// One control. Exactly one of the five says what it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The capability, with its objects before it; by default `channel1.cc7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// 1 to 16.
    pub(crate) channel: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) controller: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<u8>,
    #[serde(default, skip_serializing_if = "is_no")]
    pub(crate) program: bool,
    #[serde(default, skip_serializing_if = "is_no")]
    pub(crate) pressure: bool,
    #[serde(default, skip_serializing_if = "is_no")]
    pub(crate) bend: bool,
    /// Of a controller: 7, or 14 with the one 32 above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bits: Option<u8>,
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
                what: "entries",
            });
        }
        for (number, entry) in (1..).zip(&map.capability) {
            let checked = entry
                .control()
                .and_then(|_| entry.path().ok_or("its name has an empty part"))
                .and_then(|path| name::check(&path));
            checked.map_err(|reason| {
                FileError::Invalid(name.to_owned(), format!("capability {number}: {reason}"))
            })?;
        }
        Ok(map)
    }

    /// As a file has it.
    pub(crate) fn text(&self) -> String {
        let about =
            "# What was moved and played. Copy it, change what you like, and give it as --map.\n";
        format!("{about}{}", toml::to_string(self).unwrap_or_default())
    }
}

impl Entry {
    /// The entry of a control that is learned.
    pub(crate) fn of(control: Control) -> Self {
        let entry = Self {
            channel: control.channel + 1,
            ..Self::default()
        };
        match control.kind {
            Kind::Controller(number) => Self {
                controller: Some(number),
                ..entry
            },
            Kind::Wide(number) => Self {
                controller: Some(number),
                bits: Some(14),
                ..entry
            },
            Kind::Note(key) => Self {
                note: Some(key),
                ..entry
            },
            Kind::Program => Self {
                program: true,
                ..entry
            },
            Kind::Pressure => Self {
                pressure: true,
                ..entry
            },
            Kind::Bend => Self {
                bend: true,
                ..entry
            },
        }
    }

    /// What it is.
    pub(crate) fn control(&self) -> Result<Control, &'static str> {
        if !(1..=16).contains(&self.channel) {
            return Err("a channel is from 1 to 16");
        }
        let kinds = [
            self.controller.map(|number| match self.bits {
                Some(14) => Kind::Wide(number),
                _ => Kind::Controller(number),
            }),
            self.note.map(Kind::Note),
            self.program.then_some(Kind::Program),
            self.pressure.then_some(Kind::Pressure),
            self.bend.then_some(Kind::Bend),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err("it is one of controller, note, program, pressure and bend");
        };
        match (kind, self.bits) {
            (Kind::Controller(128..) | Kind::Note(128..), _) => Err("a number is from 0 to 127"),
            (Kind::Wide(LOW..), _) => Err("a controller of 14 bits is from 0 to 31"),
            (Kind::Controller(_), None | Some(7)) | (Kind::Wide(_), _) | (_, None) => Ok(Control {
                channel: self.channel - 1,
                kind,
            }),
            _ => Err("bits is 7 or 14, of a controller"),
        }
    }

    /// The capability that it is; `None` for a name with an empty part.
    pub(crate) fn path(&self) -> Option<CapPath> {
        let Some(name) = &self.name else {
            let control = self.control().ok()?;
            let object = ObjectPath::root().child(&format!("channel{}", self.channel));
            return Some(object.capability(&control.kind.to_string()));
        };
        let (object, name) = name.rsplit_once('.').unwrap_or(("", name));
        let object: ObjectPath = object.parse().ok()?;
        (!name.is_empty()).then(|| object.capability(name))
    }
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_no(truth: &bool) -> bool {
    !truth
}

/// Controls of a device: more than all of one channel, 16 channels in use.
pub(crate) const ENTRIES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_names_and_is_written_as_it_was_read() {
        let text = "[[capability]]\nname = \"master.volume\"\nchannel = 1\ncontroller = 7\nbits = 14\n\
                    [[capability]]\nchannel = 10\nnote = 36\n[[capability]]\nchannel = 1\nbend = true\n";
        let map = Map::parse("map.toml", text).unwrap();
        let named: Vec<_> = map
            .capability
            .iter()
            .map(|entry| entry.path().unwrap().to_string())
            .collect();
        assert_eq!(
            named,
            ["master.volume", "channel10.note36", "channel1.bend"]
        );
        let kinds: Vec<_> = map
            .capability
            .iter()
            .map(|entry| entry.control().unwrap().kind)
            .collect();
        assert_eq!(kinds, [Kind::Wide(7), Kind::Note(36), Kind::Bend]);
        assert_eq!(Map::parse("again", &map.text()).unwrap(), map);
        for kind in kinds {
            let control = Control { channel: 3, kind };
            assert_eq!(Entry::of(control).control(), Ok(control));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let wrong = [
            ("channel = 0\nnote = 1", "from 1 to 16"),
            ("channel = 1", "it is one of"),
            ("channel = 1\nnote = 1\nbend = true", "it is one of"),
            ("channel = 1\nnote = 128", "from 0 to 127"),
            ("channel = 1\ncontroller = 32\nbits = 14", "from 0 to 31"),
            ("channel = 1\ncontroller = 1\nbits = 8", "bits is 7 or 14"),
            ("channel = 1\nnote = 1\nname = \".\"", "empty part"),
        ];
        for (entry, reason) in wrong {
            let error = Map::parse("map.toml", &format!("[[capability]]\n{entry}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("map.toml: capability 1") && error.contains(reason),
                "{error}"
            );
        }
    }
}
