//! Venues: sites with a mesh each, of which some nodes are linked.
//!
//! Model: a node may say in its HELLO which venue it is in. A peer of another venue is called `VENUE/NAME`, so that nodes
//! of two venues may have the same name.
//! Limits: [`VENUE_LEN_MAX`]; a peer whose venue has no legal name is in the venue `unnamed`.
//! Spec: docs/reference/protocol.md §4.8.

use zocp_zre::{HEADER_LINK, Headers, PeerView};

use crate::config::Config;
use crate::security::Security;

/// The header of a HELLO that names the venue.
pub(crate) const HEADER_VENUE: &str = "X-ZOCP-VENUE";
/// Octets of the name of a venue.
pub const VENUE_LEN_MAX: usize = 24;

/// The text is no name of a venue. The user's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a venue is at most 24 letters, digits and -, a letter first")]
pub struct VenueError;

/// The venue of this node.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnVenue {
    name: Option<String>,
    /// Whether peers of other venues are known by a key, and others are of this one whatever they say.
    proves: bool,
}

impl OwnVenue {
    pub(crate) fn of(config: &Config) -> Self {
        let security = config.security.as_ref();
        Self {
            name: config.venue.clone(),
            proves: security.is_some_and(Security::is_for_links),
        }
    }

    /// The venue of a peer, unless it is this one.
    pub(crate) fn of_peer(&self, peer: &PeerView<'_>) -> Option<String> {
        // protocol.md §8.11
        if self.proves && peer.key().is_none() {
            return None;
        }
        of_peer(peer.headers(), self.name.as_deref())
    }
}

/// Whether a text is the name of a venue.
///
/// # Errors
/// It is none.
pub fn check_venue(name: &str) -> Result<(), VenueError> {
    let is_legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let begins = name
        .bytes()
        .next()
        .is_some_and(|it| it.is_ascii_alphabetic());
    match begins && name.len() <= VENUE_LEN_MAX && name.bytes().all(is_legal) {
        true => Ok(()),
        false => Err(VenueError),
    }
}

/// The venue of a peer with these headers, unless it is `own`. To a node that is in none, only a peer that asks to share
/// its connection is elsewhere: others are on the same network, and have been given a venue before this node.
pub(crate) fn of_peer(headers: &Headers, own: Option<&str>) -> Option<String> {
    let named = headers.value(HEADER_VENUE)?;
    let is_link = || {
        headers
            .value(HEADER_LINK)
            .is_some_and(|it| it.contains(' '))
    };
    if own == Some(named) || (own.is_none() && !is_link()) {
        return None;
    }
    Some(match check_venue(named) {
        Ok(()) => named.to_owned(),
        Err(VenueError) => UNNAMED.to_owned(),
    })
}

/// The name of a peer, with the venue if that is another one.
pub(crate) fn qualified(venue: Option<&str>, name: &str) -> String {
    match venue {
        Some(venue) => format!("{venue}/{name}"),
        None => name.to_owned(),
    }
}

const UNNAMED: &str = "unnamed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_elsewhere_if_it_names_another_venue_than_ours() {
        let of = |venue: &str, own| {
            let headers = vec![(HEADER_VENUE.to_owned(), venue.to_owned())];
            of_peer(&headers.into(), own)
        };
        assert_eq!(of("north", Some("south")).as_deref(), Some("north"));
        assert_eq!(of("north", Some("north")), None);
        assert_eq!(of("north", None), None);
        for odd in ["", "a.b", "a/b", "7th", "a b", "*", &"a".repeat(25)] {
            assert_eq!(of(odd, Some("south")).as_deref(), Some("unnamed"), "{odd}");
        }
        assert_eq!(of_peer(&Vec::new().into(), Some("south")), None);
    }

    #[test]
    fn to_a_node_without_a_venue_who_asks_for_a_shared_connection_is_elsewhere() {
        let headers = vec![
            (HEADER_VENUE.to_owned(), "north".to_owned()),
            (
                HEADER_LINK.to_owned(),
                format!("{} answer", "07".repeat(16)),
            ),
        ];
        assert_eq!(of_peer(&headers.into(), None).as_deref(), Some("north"));
    }
}
