//! The patch of a universe: which slots are which capabilities.
//!
//! Model: a fixture is an object, its channels are capabilities. A channel has one slot, or two for 16 bits, and a range
//! of values that the slots stand for.
//! Limits: 512 slots, each of one channel; those of `file`.
//! Spec: docs/reference/dmx.md, "Patch".

use std::path::Path;

use serde::Deserialize;

use super::sacn::SLOTS_MAX;
use crate::file::{self, FileError};
use crate::mesh::{Access, CapPath, Capability, ObjectPath, Value, float, number};
use crate::name;

/// What a file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    direction: Direction,
    #[serde(default)]
    loss: Loss,
    #[serde(default = "usual_priority")]
    priority: u8,
    #[serde(default)]
    sync: u16,
    #[serde(default)]
    fixture: Vec<Fixture>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    address: usize,
    channel: Vec<ChannelEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelEntry {
    name: String,
    /// Its place in the fixture, from 1 on; by default behind the one before.
    at: Option<usize>,
    #[serde(default = "usual_bits")]
    bits: u8,
    #[serde(default, rename = "type")]
    kind: ChannelKind,
    min: Option<f64>,
    max: Option<f64>,
    default: Option<First>,
}

/// The value that a channel begins with.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "expected a number, true or false")]
enum First {
    Truth(bool),
    Number(f64),
}

/// Which way levels go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// From the mesh to lamps.
    #[default]
    Out,
    /// From a desk to the mesh.
    In,
}

/// What becomes of the values when nobody sends any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Loss {
    /// They stay.
    #[default]
    Hold,
    /// They are what the patch says.
    Default,
    /// They are the least.
    Blackout,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum ChannelKind {
    #[default]
    #[serde(rename = "flt")]
    Float,
    #[serde(rename = "percent")]
    Percent,
    #[serde(rename = "int")]
    Int,
    #[serde(rename = "bool")]
    Bool,
}

/// A patch, checked.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) direction: Direction,
    pub(crate) loss: Loss,
    pub(crate) priority: u8,
    pub(crate) sync: u16,
    pub(crate) channels: Vec<Channel>,
}

/// A channel.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) path: CapPath,
    /// Its first slot, from 0 on.
    slot: usize,
    is_wide: bool,
    kind: ChannelKind,
    min: f64,
    max: f64,
    default: f64,
}

impl Patch {
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        Self::parse(&path.display().to_string(), &file::read(path)?)
    }

    fn parse(name: &str, text: &str) -> Result<Self, FileError> {
        let invalid = |reason: String| FileError::Invalid(name.to_owned(), reason);
        let file: File = file::parse(name, text)?;
        if file.priority > PRIORITY_HIGHEST {
            return Err(invalid("a priority is from 0 to 200".to_owned()));
        }
        if file
            .fixture
            .iter()
            .all(|fixture| fixture.channel.is_empty())
        {
            let reason = "no channel: write a [[fixture]] with its address, and a [[fixture.channel]] with a name below it";
            return Err(invalid(reason.to_owned()));
        }
        let mut channels: Vec<Channel> = Vec::new();
        let mut taken = [false; SLOTS_MAX];
        for fixture in &file.fixture {
            let mut next = 1;
            for entry in &fixture.channel {
                let at = entry.at.unwrap_or(next);
                let width = if entry.bits == 16 { 2 } else { 1 };
                next = at.saturating_add(width);
                let wrong =
                    |reason: &str| invalid(format!("{}.{}: {reason}", fixture.name, entry.name));
                let channel = Channel::new(fixture, entry, at).map_err(wrong)?;
                name::check(&channel.path).map_err(wrong)?;
                let slots = taken.get_mut(channel.slot..channel.slot.saturating_add(width));
                let slots = slots.ok_or_else(|| wrong("a slot is from 1 to 512"))?;
                if slots.contains(&true) {
                    return Err(wrong("another channel has its slot"));
                }
                slots.fill(true);
                if channels.iter().any(|other| other.path == channel.path) {
                    return Err(wrong("there are two of this name"));
                }
                channels.push(channel);
            }
        }
        Ok(Self {
            direction: file.direction,
            loss: file.loss,
            priority: file.priority,
            sync: file.sync,
            channels,
        })
    }
}

impl Channel {
    fn new(fixture: &Fixture, entry: &ChannelEntry, at: usize) -> Result<Self, &'static str> {
        let object: ObjectPath = fixture
            .name
            .parse()
            .map_err(|_| "the fixture's name has an empty part")?;
        let is_wide = match entry.bits {
            8 => false,
            16 => true,
            _ => return Err("a channel has 8 or 16 bits"),
        };
        if entry.name.is_empty() || object.is_root() {
            return Err("a fixture and a channel have a name");
        }
        let first = fixture
            .address
            .checked_add(at)
            .and_then(|sum| sum.checked_sub(2));
        let slot = first.filter(|_| fixture.address > 0 && at > 0);
        let slot = slot.ok_or("a slot is from 1 to 512")?;
        let widest = match entry.kind {
            ChannelKind::Float | ChannelKind::Bool => 1.0,
            ChannelKind::Percent => 100.0,
            ChannelKind::Int if is_wide => 65_535.0,
            ChannelKind::Int => 255.0,
        };
        let (min, max) = (entry.min.unwrap_or(0.0), entry.max.unwrap_or(widest));
        let default = match entry.default {
            None => min,
            Some(First::Number(number)) => number,
            Some(First::Truth(truth)) if entry.kind == ChannelKind::Bool => {
                [min, max][usize::from(truth)]
            }
            Some(First::Truth(_)) => return Err("true and false are for the type bool"),
        };
        let is_range = min.is_finite() && max.is_finite() && min < max;
        if !is_range || !(min..=max).contains(&default) {
            return Err("min is below max, and default between the two");
        }
        Ok(Self {
            path: object.capability(&entry.name),
            slot,
            is_wide,
            kind: entry.kind,
            min,
            max,
            default,
        })
    }

    /// How it is published.
    pub(crate) fn capability(&self, direction: Direction) -> Capability {
        let access = match direction {
            Direction::Out => Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
            Direction::In => Access::READ | Access::EMIT,
        };
        let hint = match self.kind {
            ChannelKind::Float => "flt",
            ChannelKind::Percent => "percent",
            ChannelKind::Int => "int",
            ChannelKind::Bool => "bool",
        };
        let capability = Capability::new(access, self.default()).with_hint(hint);
        if self.kind == ChannelKind::Bool {
            return capability;
        }
        capability.with_range(self.value_of(self.min), self.value_of(self.max))
    }

    pub(crate) fn default(&self) -> Value {
        self.value_of(self.default)
    }

    pub(crate) fn least(&self) -> Value {
        self.value_of(self.min)
    }

    fn value_of(&self, number: f64) -> Value {
        match self.kind {
            #[expect(clippy::cast_possible_truncation, reason = "at most 16 bits")]
            ChannelKind::Int => Value::from(number.round() as i64),
            ChannelKind::Bool => Value::Bool(number >= f64::midpoint(self.min, self.max)),
            ChannelKind::Float | ChannelKind::Percent => float(number),
        }
    }

    fn steps(&self) -> f64 {
        if self.is_wide { 65_535.0 } else { 255.0 }
    }

    /// Puts a value into the slots; whether they are other ones now.
    pub(crate) fn put(&self, value: &Value, slots: &mut [u8; SLOTS_MAX]) -> bool {
        let number = match value {
            Value::Bool(true) => self.max,
            Value::Bool(false) => self.min,
            other => number(other).unwrap_or(self.min),
        };
        let share = ((number - self.min) / (self.max - self.min)).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 65535"
        )]
        let level = (share * self.steps()).round() as u16;
        let [high, low] = level.to_be_bytes();
        let new = if self.is_wide {
            vec![high, low]
        } else {
            vec![low]
        };
        let Some(place) = slots.get_mut(self.slot..self.slot + new.len()) else {
            return false;
        };
        let differs = *place != *new;
        place.copy_from_slice(&new);
        differs
    }

    /// The value that slots stand for; those that were not sent are 0.
    pub(crate) fn value(&self, slots: &[u8; SLOTS_MAX]) -> Value {
        let slot = |at: usize| slots.get(at).copied().unwrap_or(0);
        let level = if self.is_wide {
            u16::from_be_bytes([slot(self.slot), slot(self.slot + 1)])
        } else {
            u16::from(slot(self.slot))
        };
        self.value_of(self.min + f64::from(level) / self.steps() * (self.max - self.min))
    }
}

fn usual_priority() -> u8 {
    100
}

fn usual_bits() -> u8 {
    8
}

const PRIORITY_HIGHEST: u8 = 200;

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) const SPOT: &str = "priority = 150\n\
        [[fixture]]\nname = \"spot\"\naddress = 10\n\
        [[fixture.channel]]\nname = \"dimmer\"\n\
        [[fixture.channel]]\nname = \"pan\"\nbits = 16\nmin = -270\nmax = 270\ndefault = 0\n\
        [[fixture.channel]]\nname = \"gobo\"\nat = 6\ntype = \"int\"\n\
        [[fixture.channel]]\nname = \"shutter\"\ntype = \"bool\"\n";

    pub(crate) fn spot() -> Patch {
        Patch::parse("spot.toml", SPOT).unwrap()
    }

    #[test]
    fn values_become_slots_and_slots_values() {
        let patch = spot();
        let [dimmer, pan, gobo, shutter] = &patch.channels[..] else {
            panic!()
        };
        let mut slots = [0; SLOTS_MAX];
        assert!(dimmer.put(&json!(0.5), &mut slots));
        assert!(!dimmer.put(&json!(0.5), &mut slots), "the same once more");
        pan.put(&json!(0), &mut slots);
        gobo.put(&json!(7), &mut slots);
        shutter.put(&json!(true), &mut slots);
        assert_eq!(slots[9..16], [128, 0x80, 0x00, 0, 0, 7, 255]);
        assert_eq!(gobo.value(&slots), json!(7));
        assert_eq!(shutter.value(&slots), json!(true));
        assert_eq!(pan.path.to_string(), "spot.pan");
        let lit = Patch::parse("lit", &(SPOT.to_owned() + "default = true\n")).unwrap();
        assert_eq!(lit.channels[3].default(), json!(true));
        let capability = pan.capability(Direction::Out);
        assert_eq!(
            (capability.value, &capability.info.max),
            (Some(json!(0.0)), &Some(json!(270.0)))
        );
    }

    #[test]
    fn sixteen_bits_move_without_a_step_and_come_back() {
        let pan = &spot().channels[1];
        let mut slots = [0; SLOTS_MAX];
        let mut before = None;
        for level in 0..=u16::MAX {
            let degrees = -270.0 + f64::from(level) / 65_535.0 * 540.0;
            pan.put(&json!(degrees), &mut slots);
            let now = u16::from_be_bytes([slots[10], slots[11]]);
            assert_eq!(now, level);
            assert!(before.is_none_or(|before: u16| now == before + 1));
            before = Some(now);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let fixture =
            "[[fixture]]\nname = \"a\"\naddress = 512\n[[fixture.channel]]\nname = \"x\"\n";
        let wrong = [
            (format!("{fixture}bits = 16\n"), "a slot is from 1 to 512"),
            (format!("{fixture}at = 0\n"), "a slot is from 1 to 512"),
            (
                format!("{fixture}at = 18446744073709551615\n"),
                "a slot is from 1 to 512",
            ),
            (format!("{fixture}bits = 12\n"), "8 or 16 bits"),
            (format!("{fixture}min = 2\n"), "min is below max"),
            (
                format!("{fixture}[[fixture.channel]]\nname = \"y\"\nat = 1\n"),
                "another channel has its slot",
            ),
            (format!("{fixture}default = true\n"), "for the type bool"),
            (
                fixture.replace("\"x", "\"objects"),
                "no names of capabilities",
            ),
            ("priority = 201\n".to_owned(), "from 0 to 200"),
            ("colour = 1\n".to_owned(), "unknown field"),
            (String::new(), "no channel: write a [[fixture]]"),
            (
                "[[fixture]]\nname = \"a\"\naddress = 1\nchannel = []\n".to_owned(),
                "no channel",
            ),
        ];
        for (text, reason) in wrong {
            let error = Patch::parse("p.toml", &text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
