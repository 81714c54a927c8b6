//! What may be done with a capability: ZOCP's `access`, any choice of `rwes`.

use std::fmt;

/// The letters of `access`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// `r`: the value may be read.
    pub read: bool,
    /// `w`: the value may be set.
    pub write: bool,
    /// `e`: it emits signals.
    pub emit: bool,
    /// `s`: it senses signals of others.
    pub sense: bool,
}

impl Access {
    /// Reads the letters, in any order and number; unknown ones mean nothing.
    pub fn parse(letters: &str) -> Self {
        Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            emit: letters.contains('e'),
            sense: letters.contains('s'),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_in_any_order_and_unknown_ones_mean_nothing() {
        assert_eq!(Access::parse("swr"), Access::parse("rws"));
        assert_eq!(Access::parse("sxwr!").to_string(), "rws");
        assert_eq!(
            Access::parse("e"),
            Access {
                emit: true,
                ..Access::default()
            }
        );
        assert_eq!(Access::parse("").to_string(), "");
    }
}
