//! Why octets are not a message, or not wholly.

/// Why octets are not a message. Fault of the sender; nothing was taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text ends within a value.
    #[error("the JSON text ends early")]
    Truncated,
    /// Something else was expected at this octet.
    #[error("not JSON at octet {0}")]
    Syntax(usize),
    /// Text that is not UTF-8.
    #[error("not UTF-8 at octet {0}")]
    Encoding(usize),
    /// A number of absurd length (Python reads no more than 4300 digits either).
    #[error("a number of more than {NUMBER_LEN_MAX} octets")]
    NumberTooLong,
    /// Nested deeper than the limit.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// Would need more memory than the limit.
    #[error("needs more than {0} octets of memory")]
    TooLarge(usize),
    /// Not an object at the top.
    #[error("not a JSON object")]
    NotAnObject,
}

/// Values of a message that are broken, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaws {
    /// How many there are.
    pub count: usize,
    /// What is wrong with the first.
    pub first: JsonError,
    /// Whether one of them could not be read at all.
    pub has_lost: bool,
}

/// More octets than any number needs that a program could use.
pub(super) const NUMBER_LEN_MAX: usize = 1_024;
