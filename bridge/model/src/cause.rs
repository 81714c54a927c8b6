//! Which touch an emission comes from, so that an echo can be recognised.
//!
//! Model: a *touch* is what somebody sets or emits at a capability; what wires make of it at other
//! capabilities has that touch as its *cause*. A [`Touch`] is named by where it was made ([`Origin`]) and a
//! number. A [`History`] says of one capability which touch its value comes from, the *winner*, and which
//! touches it has had; a [`Cause`] says both of the emission that it goes with.
//! Invariants:
//! CAUSE-1. A capability takes each touch once, so what one touch causes ends in every circle of wires.
//! CAUSE-2. A touch that a capability has not had is taken, whoever made it and whenever: none is lost.
//! CAUSE-3. Two capabilities that tell each other end on the same winner: of two touches that both have had, the
//!      higher one, in the order of [`Touch`], wins at both.
//! Limits: [`KNOWN_MAX`] origins are remembered, the newest ones, and [`TOLD_MAX`] of them are told. Numbers end
//! at [`LAST_NUMBER`]: what is touched after that has no cause, as with old peers.
//! Spec: docs/reference/protocol.md §6.8.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::NodeId;

/// Where touches are made: a capability of a node, by a number that means something to that node only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    node: NodeId,
    slot: u32,
}

/// One touch. Of two that were made without knowing of each other the one with the higher number counts as
/// the later one, and with equal numbers the one with the higher origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Touch {
    /// Higher than that of every touch which the capability had before.
    number: u64,
    origin: Origin,
}

/// The cause of an emission: the touch that it comes from, and what its emitter knew of other touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The touch that it comes from.
    pub(crate) touch: Touch,
    /// The touches that the capability which emits it has had.
    pub(crate) known: Known,
    /// Whoever numbered it had it from a node that tells no causes: it may be the echo of another touch.
    pub(crate) relayed: bool,
    /// It was sent before: this is no new emission.
    pub(crate) again: bool,
}

/// The highest number of each origin that a capability has had, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    touches: Vec<Touch>,
}

/// The touches that a capability has had.
#[derive(Debug, Clone, Default)]
pub struct History {
    winner: Option<Touch>,
    known: Known,
    relayed: bool,
    /// It knows of touches that it has not sent.
    has_untold: bool,
}

/// What an emission means to a capability that receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A touch that it has not had: its value is taken.
    New,
    /// It has had the touch, and the other one that it holds now is the earlier one: the value is taken.
    Wins,
    /// It has had the touch: nothing is taken.
    Echo,
    /// It has had the touch, and the sender still holds the earlier one, perhaps without knowing the later.
    Loses,
}

impl Origin {
    /// The capability with this number of a node.
    #[must_use]
    pub const fn new(node: NodeId, slot: u32) -> Self {
        Self { node, slot }
    }
}

impl Cause {
    /// Whether it was sent before, so that this is no new emission.
    pub(crate) const fn is_again(&self) -> bool {
        self.again
    }

    /// In the form of messages.
    pub(crate) fn to_json(&self) -> Value {
        let told = self.known.touches.iter().take(TOLD_MAX);
        let mut entries = Map::new();
        entries.insert("touch".to_owned(), self.touch.to_json());
        entries.insert(
            "known".to_owned(),
            told.copied().map(Touch::to_json).collect(),
        );
        for (name, is_so) in [("relayed", self.relayed), ("again", self.again)] {
            if is_so {
                entries.insert(name.to_owned(), Value::Bool(true));
            }
        }
        Value::Object(entries)
    }

    /// `None` when it is not one.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let entries = value.as_object()?;
        let touch = Touch::from_json(entries.get("touch")?)?;
        let listed = entries.get("known").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().take(KNOWN_MAX);
        let mut known = Known {
            touches: listed.filter_map(Touch::from_json).collect(),
        };
        known.add(touch);
        let is_so = |name: &str| entries.get(name) == Some(&Value::Bool(true));
        Some(Self {
            touch,
            known,
            relayed: is_so("relayed"),
            again: is_so("again"),
        })
    }
}

impl History {
    /// A touch is made here: the cause of what is emitted for it. `None` when there is no number left.
    pub fn touch(&mut self, origin: Origin, relayed: bool) -> Option<Cause> {
        let highest = self.known.touches.iter().map(|touch| touch.number).max();
        let number = highest.unwrap_or(0) + 1;
        if number > LAST_NUMBER {
            self.winner = None;
            return None;
        }
        let touch = Touch { number, origin };
        self.known.add(touch);
        self.winner = Some(touch);
        self.relayed = relayed;
        self.cause()
    }

    /// An emission with a cause arrives.
    pub fn meet(&mut self, cause: &Cause) -> Meaning {
        let is_known = self.known.has(cause.touch);
        let winner = self.winner;
        let knows_winner = winner.is_some_and(|winner| cause.known.has(winner));
        self.has_untold |= self.known.merge(&cause.known);
        let takes = match winner {
            _ if !is_known => Meaning::New,
            Some(winner) if winner == cause.touch || !knows_winner => Meaning::Echo,
            Some(winner) if winner > cause.touch => Meaning::Loses,
            _ => Meaning::Wins,
        };
        if matches!(takes, Meaning::New | Meaning::Wins) {
            self.known.add(cause.touch);
            self.winner = Some(cause.touch);
            self.relayed = cause.relayed;
        }
        takes
    }

    /// Takes note of a touch whose value is known to be that of another one which it has had.
    pub(crate) fn absorb(&mut self, cause: &Cause) {
        self.has_untold |= self.known.merge(&cause.known);
    }

    /// Whether an emission is of a touch that it has not had, made by somebody who did not know what
    /// it holds.
    pub(crate) fn is_unaware(&self, cause: &Cause) -> bool {
        let knows_winner = self.winner.is_none_or(|winner| cause.known.has(winner));
        !self.known.has(cause.touch) && !knows_winner
    }

    /// The cause of what it holds, to be told; `None` when that has none.
    pub fn cause(&mut self) -> Option<Cause> {
        let touch = self.winner?;
        self.has_untold = false;
        Some(Cause {
            touch,
            known: self.known.clone(),
            relayed: self.relayed,
            again: false,
        })
    }

    /// The same, to be told again, when it knows of touches that it has not told of.
    pub(crate) fn untold(&mut self) -> Option<Cause> {
        let untold = self.has_untold.then(|| self.cause()).flatten()?;
        Some(Cause {
            again: true,
            ..untold
        })
    }
}

impl Known {
    fn has(&self, touch: Touch) -> bool {
        let mut touches = self.touches.iter();
        touches.any(|one| one.origin == touch.origin && one.number >= touch.number)
    }

    /// It is the newest one.
    fn add(&mut self, touch: Touch) {
        if self.has(touch) {
            return;
        }
        self.touches.retain(|one| one.origin != touch.origin);
        self.touches.truncate(KNOWN_MAX - 1);
        self.touches.insert(0, touch);
    }

    /// Whether there was something new.
    fn merge(&mut self, other: &Self) -> bool {
        let mut grew = false;
        for touch in other.touches.iter().rev() {
            grew |= !self.has(*touch);
            self.add(*touch);
        }
        grew
    }
}

impl Touch {
    fn to_json(self) -> Value {
        Value::from(vec![
            Value::from(self.origin.to_string()),
            Value::from(self.number),
        ])
    }

    fn from_json(value: &Value) -> Option<Self> {
        let [origin, number] = value.as_array()?.as_slice() else {
            return None;
        };
        let (origin, number) = (origin.as_str()?.parse().ok()?, number.as_u64()?);
        (1..=LAST_NUMBER)
            .contains(&number)
            .then_some(Self { number, origin })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.slot)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (node, slot) = text.split_once('.').ok_or(OriginError)?;
        Ok(Self {
            node: node.parse().map_err(|_| OriginError)?,
            slot: slot.parse().map_err(|_| OriginError)?,
        })
    }
}

/// Not a node's digits, a dot and a number. Fault of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is 32 hex digits, a dot and a number")]
pub struct OriginError;

/// Origins that a capability remembers.
const KNOWN_MAX: usize = 64;
/// Origins that are told with an emission.
const TOLD_MAX: usize = 16;
/// The highest number: JSON numbers are exact up to here everywhere.
const LAST_NUMBER: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
