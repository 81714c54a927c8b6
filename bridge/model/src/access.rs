//! What may be done with a capability: ZOCP's `access`, any choice of the letters `rwes`.
//!
//! Spec: docs/reference/protocol.md §4.3.

use std::{
    fmt,
    ops::{BitOr, BitOrAssign},
    str::FromStr,
};

/// What may be done with a capability: a set of flags, combined with `|`.
///
/// ```
/// use zocp_model::Access;
/// let access = Access::READ | Access::WRITE | Access::EMIT;
/// assert!(access.contains(Access::WRITE));
/// assert_eq!(access.to_string(), "rwe");
/// assert_eq!("ewr".parse(), Ok(access));
/// assert!("rx".parse::<Access>().is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Access {
    /// `r`: the value may be read.
    pub read: bool,
    /// `w`: the value may be set.
    pub write: bool,
    /// `e`: the capability emits.
    pub emit: bool,
    /// `s`: the capability is a sensor: it receives the emissions of others.
    pub sense: bool,
}

impl Access {
    /// Nothing may be done.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        emit: false,
        sense: false,
    };
    /// `r`: the value may be read.
    pub const READ: Self = Self {
        read: true,
        ..Self::NONE
    };
    /// `w`: the value may be set.
    pub const WRITE: Self = Self {
        write: true,
        ..Self::NONE
    };
    /// `e`: the capability emits.
    pub const EMIT: Self = Self {
        emit: true,
        ..Self::NONE
    };
    /// `s`: the capability is a sensor.
    pub const SENSE: Self = Self {
        sense: true,
        ..Self::NONE
    };

    /// Whether all flags of `other` are among these.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self | other == self
    }

    /// The flags of `access` as another node wrote it: letters in any order and number. Unknown letters are ignored,
    /// as pyZOCP ignores them.
    #[must_use]
    pub fn from_wire(letters: &str) -> Self {
        Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            emit: letters.contains('e'),
            sense: letters.contains('s'),
        }
    }
}

impl BitOr for Access {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
            emit: self.emit || other.emit,
            sense: self.sense || other.sense,
        }
    }
}

impl BitOrAssign for Access {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// The letters in the order `rwes`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.read, "r"),
            (self.write, "w"),
            (self.emit, "e"),
            (self.sense, "s"),
        ];
        letters
            .iter()
            .filter(|(has, _)| *has)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// Letters of `rwes` in any order; another letter is an error.
impl FromStr for Access {
    type Err = AccessError;

    fn from_str(letters: &str) -> Result<Self, AccessError> {
        let mut access = Self::NONE;
        for letter in letters.chars() {
            access |= match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'e' => Self::EMIT,
                's' => Self::SENSE,
                letter => return Err(AccessError { letter }),
            };
        }
        Ok(access)
    }
}

/// The text has a letter that is none of `access`. The fault of whoever wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("access is made of the letters r, w, e and s, and {letter:?} is none of them")]
pub struct AccessError {
    /// The first such letter.
    pub letter: char,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_the_wire_come_in_any_order_and_unknown_ones_mean_nothing() {
        assert_eq!(Access::from_wire("swr"), Access::from_wire("rws"));
        assert_eq!(Access::from_wire("sxwr!").to_string(), "rws");
        assert_eq!(Access::from_wire("e"), Access::EMIT);
        assert_eq!(Access::from_wire("").to_string(), "");
    }

    #[test]
    fn letters_of_a_program_are_checked() {
        let access = Access::READ | Access::WRITE | Access::EMIT | Access::SENSE;
        assert_eq!("sewr".parse(), Ok(access));
        assert_eq!("".parse(), Ok(Access::NONE));
        assert_eq!("rq".parse::<Access>(), Err(AccessError { letter: 'q' }));
        assert!(access.contains(Access::EMIT | Access::SENSE));
        assert!(!Access::READ.contains(Access::READ | Access::WRITE));
    }
}
