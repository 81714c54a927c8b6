//! The 16 octets that name a node, and their text form.
//!
//! Spec: 36/ZRE "Node identification".

use std::fmt;
use std::str::FromStr;

/// The UUID of a ZRE node.
///
/// Shown as 32 lowercase hex digits, which is how peers of all kinds write it.
///
/// ```
/// use zocp_zre::PeerId;
/// let id: PeerId = "5B957F8B-CE42-4219-B5B4-3D58A9EF55B3".parse()?;
/// assert_eq!(id.to_string(), "5b957f8bce424219b5b43d58a9ef55b3");
/// assert_eq!(id.short(), "5b957f8b");
/// # Ok::<(), zocp_zre::PeerIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; 16]);

/// The text is not a UUID. The caller's (or its user's) fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node is named by 32 hex digits, with or without dashes")]
pub struct PeerIdError;

impl PeerId {
    /// From the octets of a UUID.
    #[must_use]
    pub const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets, as a beacon carries them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first 8 hex digits, enough to tell nodes apart in a log.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }

    /// The identity of this node's connections: an octet 1, then the UUID.
    ///
    /// A routing id that begins with 0 is not allowed by ZMTP's classic peers,
    /// hence the leading octet. Peers ignore any other length without a word.
    #[must_use]
    pub fn routing_id(&self) -> [u8; 17] {
        // protocol.md §2.3
        let mut routing = [1; 17];
        routing[1..].copy_from_slice(&self.0);
        routing
    }

    /// The node behind a connection's identity, if it has the form of
    /// [`Self::routing_id`].
    #[must_use]
    pub fn from_routing_id(identity: &[u8]) -> Option<Self> {
        let (first, uuid) = identity.split_first()?;
        (*first == 1).then_some(())?;
        Some(Self(uuid.try_into().ok()?))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        let mut octets = [0; 16];
        let mut digits = 0;
        for character in text.chars().filter(|c| *c != '-') {
            let digit = character.to_digit(16).ok_or(PeerIdError)?;
            let octet = octets.get_mut(digits / 2).ok_or(PeerIdError)?;
            *octet = *octet << 4 | digit as u8;
            digits += 1;
        }
        (digits == 32).then_some(Self(octets)).ok_or(PeerIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "5b957f8bce424219b5b43d58a9ef55b3";

    #[test]
    fn text_with_or_without_dashes_in_any_case_is_one_id() {
        let plain: PeerId = TEXT.parse().unwrap();
        let dashed: PeerId = "5B957F8B-ce42-4219-B5B4-3D58A9EF55B3".parse().unwrap();
        assert_eq!(plain, dashed);
        assert_eq!(plain.to_string(), TEXT);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "zz",
            &TEXT[1..],
            &format!("{TEXT}0"),
            "5b957f8bce42421é",
        ] {
            assert_eq!(text.parse::<PeerId>(), Err(PeerIdError), "{text}");
        }
    }

    // protocol.md §2.3
    #[test]
    fn only_an_identity_of_17_octets_that_starts_with_1_names_a_peer() {
        let id = PeerId::new([7; 16]);
        let routing = id.routing_id();
        assert_eq!(PeerId::from_routing_id(&routing), Some(id));
        assert_eq!(PeerId::from_routing_id(&routing[1..]), None);
        assert_eq!(PeerId::from_routing_id(&[2; 17]), None);
        assert_eq!(PeerId::from_routing_id(&[1; 18]), None);
        assert_eq!(PeerId::from_routing_id(&[]), None);
    }
}
