//! Ranges of numbers, and scaling from one to another.

use std::{fmt, str::FromStr};

/// A range of numbers; the first end may be the larger one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    first: f64,
    last: f64,
}

/// Why two numbers or a text are not a range: the writer's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The ends are equal or not finite.
    #[error("a range has two different, finite ends")]
    Empty,
    /// The text is not in the form of a range.
    #[error("\"{0}\" is not FIRST..LAST")]
    Malformed(String),
    /// The text is not in the form of a scale.
    #[error("\"{0}\" is not FIRST..LAST=FIRST..LAST")]
    NoScale(String),
}

/// The two ranges of a scaling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// From the range of the source to that of the target.
    Ends,
    /// These two ranges.
    Given {
        /// The range of the source.
        from: Range,
        /// The range of the target.
        to: Range,
    },
}

impl Range {
    /// From `first` to `last`.
    ///
    /// # Errors
    /// The ends are equal or not finite.
    pub fn new(first: f64, last: f64) -> Result<Self, RangeError> {
        let is_range = first.is_finite() && last.is_finite() && (last - first).abs() > 0.0;
        if is_range && (last - first).is_finite() {
            Ok(Self { first, last })
        } else {
            Err(RangeError::Empty)
        }
    }

    /// Its two ends.
    #[must_use]
    pub fn ends(self) -> (f64, f64) {
        (self.first, self.last)
    }

    /// Maps a number of this range to another range. Ends map to ends exactly.
    pub(super) fn map(self, number: f64, to: Self) -> f64 {
        let part = (number - self.first) / (self.last - self.first);
        to.first * (1.0 - part) + to.last * part
    }

    pub(super) fn clamp(self, number: f64) -> f64 {
        number.clamp(self.first.min(self.last), self.first.max(self.last))
    }

    pub(super) fn invert(self, number: f64) -> f64 {
        self.first + (self.last - number)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ends = text.split_once("..").and_then(|(first, last)| {
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        });
        let (first, last) = ends.ok_or_else(|| RangeError::Malformed(text.to_owned()))?;
        Self::new(first, last)
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends => f.write_str("ends"),
            Self::Given { from, to } => write!(f, "{from}={to}"),
        }
    }
}

impl FromStr for Scale {
    type Err = RangeError;

    /// `ends`, or `FIRST..LAST=FIRST..LAST`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "ends" {
            return Ok(Self::Ends);
        }
        let (from, to) = text
            .split_once('=')
            .ok_or_else(|| RangeError::NoScale(text.to_owned()))?;
        Ok(Self::Given {
            from: from.parse()?,
            to: to.parse()?,
        })
    }
}
