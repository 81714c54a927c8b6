//! Names as ZRE carries them: at most 255 octets, better valid UTF-8.
//!
//! Outbound a name is checked or cut at a character; inbound anything is taken,
//! since a peer that counts characters instead of octets cuts its names in the
//! middle of one.
//!
//! Spec: 36/ZRE "Protocol Grammar" (`string`); docs/reference/protocol.md §3.11.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The most octets that a `string` of ZRE holds.
pub const NAME_LEN_MAX: usize = 255;

/// The name of a group, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

/// A group cannot have this name. The caller's fault; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than a `string` of ZRE.
    #[error("a name of {0} octets is longer than 255")]
    TooLong(usize),
    /// zyre would cut the name at the NUL, and then differ from the rest.
    #[error("a name cannot hold a NUL character")]
    Nul,
}

impl GroupName {
    /// Checks a name of our side.
    ///
    /// # Errors
    ///
    /// If no peer could be told this name unharmed.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong(name.len()));
        }
        if name.contains('\0') {
            return Err(NameError::Nul);
        }
        Ok(Self(name.into()))
    }

    /// Takes a name as it came from a peer; the decoder bounds its length.
    pub(crate) fn from_peer(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for GroupName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl Borrow<str> for GroupName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for GroupName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The longest beginning of `text` that fits a `string` and ends at a character.
#[must_use]
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let text = "é".repeat(200);
        assert_eq!(cut(&text), "é".repeat(127));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn a_group_name_that_peers_cannot_carry_is_refused() {
        assert_eq!(
            GroupName::new(&"x".repeat(256)),
            Err(NameError::TooLong(256))
        );
        assert_eq!(GroupName::new("a\0b"), Err(NameError::Nul));
        assert!(GroupName::new(&"x".repeat(255)).is_ok());
    }
}
