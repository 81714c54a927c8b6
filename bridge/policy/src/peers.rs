//! Selects peers by name, UUID or key.
//!
//! Model: [`Who`] is the identity of a peer. A node chooses its name and its UUID itself, but on a secure mesh it has
//! proved its key. So a rule with a key matches only that node, whatever name another node chooses.
//! Invariants: PEERS-1. A text that begins with `key:` is a key or an error: it never matches a name.
//! Spec: docs/reference/configuration.md, "Who is meant"

use zocp_zmtp::PublicKey;

use super::RuleError;

/// The identity of a peer.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// Its name, which it has chosen; of a peer of another venue, with that before it: `north/stage`.
    pub name: &'a str,
    /// The venue that it is in, unless that is our own.
    pub venue: Option<&'a str>,
    /// Its UUID, 32 digits.
    pub uuid: &'a str,
    /// Its key, which it has proved; `None` on an open mesh.
    pub key: Option<PublicKey>,
}

/// A set of peers: those that are named, all if none is, in some venues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    named: Vec<Wanted>,
    venues: Venues,
}

/// A set of venues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Venues {
    /// Every venue.
    #[default]
    Every,
    /// The own one alone.
    Own,
    /// These, by name, and perhaps the own one.
    Named {
        /// Whether our own is among them.
        own: bool,
        /// The others.
        others: Vec<Box<str>>,
    },
}

impl Venues {
    /// Those with these names, of which `own` is that of our own; `*` matches every venue.
    #[must_use]
    pub fn named(names: &[String], own: Option<&str>) -> Self {
        if names.iter().any(|name| name == "*") {
            return Self::Every;
        }
        let is_own = |name: &&String| own == Some(name.as_str());
        let others = names.iter().filter(|name| !is_own(name));
        Self::Named {
            own: names.iter().any(|name| is_own(&name)),
            others: others.map(|name| name.as_str().into()).collect(),
        }
    }

    /// As they are written; none for the own venue alone. `own` is its name.
    #[must_use]
    pub fn texts(&self, own: Option<&str>) -> Vec<String> {
        match self {
            Self::Every => vec!["*".to_owned()],
            Self::Own => Vec::new(),
            Self::Named {
                own: is_own,
                others,
            } => {
                let own = own.filter(|_| *is_own).map(str::to_owned);
                let others = others.iter().map(ToString::to_string);
                own.into_iter().chain(others).collect()
            }
        }
    }

    fn matches(&self, venue: Option<&str>) -> bool {
        match (self, venue) {
            (Self::Every, _) | (Self::Own, None) => true,
            (Self::Own, Some(_)) => false,
            (Self::Named { own, .. }, None) => *own,
            (Self::Named { others, .. }, Some(venue)) => others.iter().any(|it| **it == *venue),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// By name or UUID.
    Called(Box<str>),
    Key(PublicKey),
    /// By the fingerprint of the key.
    Fingerprint(Box<str>),
}

impl Peers {
    /// Parses names, UUIDs, keys (`key:` and 40 characters) and fingerprints (`key:` and 20 digits); `*` matches
    /// every peer.
    ///
    /// # Errors
    /// The text after `key:` is neither a key nor a fingerprint.
    pub fn new(texts: &[String]) -> Result<Self, RuleError> {
        let wanted = texts.iter().map(|text| Wanted::read(text));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        if texts.iter().any(|text| text == "*") {
            return Ok(Self::default());
        }
        Ok(Self {
            named: wanted,
            venues: Venues::Every,
        })
    }

    /// Those of these that are in some venues.
    #[must_use]
    pub fn within(mut self, venues: Venues) -> Self {
        self.venues = venues;
        self
    }

    /// The names, UUIDs and keys, as they are written; none for every peer.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let texts = self.named.iter().map(|wanted| match wanted {
            Wanted::Called(text) => text.to_string(),
            Wanted::Key(key) => format!("key:{key}"),
            Wanted::Fingerprint(text) => format!("key:{text}"),
        });
        texts.collect()
    }

    /// The venues that the peers are in.
    #[must_use]
    pub fn venues(&self) -> &Venues {
        &self.venues
    }

    /// Whether every peer of our own venue matches.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self.named.is_empty() && self.venues.matches(None)
    }

    /// Whether a peer matches.
    #[must_use]
    pub fn matches(&self, who: Who<'_>) -> bool {
        self.venues.matches(who.venue)
            && (self.named.is_empty() || self.named.iter().any(|wanted| wanted.is(who)))
    }
}

impl Wanted {
    fn read(text: &str) -> Result<Self, RuleError> {
        let Some(key) = text.strip_prefix("key:") else {
            return Ok(Self::Called(text.into()));
        };
        if let Ok(key) = key.parse() {
            return Ok(Self::Key(key));
        }
        let groups: Vec<&str> = key.split('-').collect();
        let is_group = |group: &&str| group.len() == 4 && group.bytes().all(is_digit);
        if groups.len() == 5 && groups.iter().all(is_group) {
            return Ok(Self::Fingerprint(key.to_lowercase().into()));
        }
        Err(RuleError::Key(key.to_owned()))
    }

    fn is(&self, who: Who<'_>) -> bool {
        match self {
            Self::Called(text) => **text == *who.name || **text == *who.uuid,
            Self::Key(key) => who.key == Some(*key),
            Self::Fingerprint(text) => who.key.is_some_and(|key| **text == *key.fingerprint()),
        }
    }
}

fn is_digit(octet: u8) -> bool {
    octet.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use zocp_zmtp::KeyPair;

    use super::*;

    fn key(number: u8) -> PublicKey {
        KeyPair::from_secret(&[number; 32]).public()
    }

    fn who(name: &str, key: Option<PublicKey>) -> Who<'_> {
        Who {
            name,
            venue: None,
            uuid: "0123",
            key,
        }
    }

    #[test]
    fn a_rule_is_for_the_venues_that_it_names() {
        let of = |venue| Who {
            venue,
            ..who("stage", None)
        };
        let within = |venues| Peers::default().within(venues);
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            within(Venues::named(&names, Some("south")))
        };
        for (peers, own, north) in [
            (within(Venues::Own), true, false),
            (within(Venues::Every), true, true),
            (named(&["*"]), true, true),
            (named(&["north"]), false, true),
            (named(&["south"]), true, false),
            (named(&["south", "north"]), true, true),
            (named(&["east"]), false, false),
        ] {
            assert_eq!(peers.matches(of(None)), own, "{peers:?}");
            assert_eq!(peers.matches(of(Some("north"))), north, "{peers:?}");
            assert_eq!(peers.is_everybody(), own);
        }
    }

    #[test]
    fn who_is_meant_by_a_key_is_who_has_it_whatever_others_call_themselves() {
        let by_key = format!("key:{}", key(1));
        let by_fingerprint = format!("key:{}", key(1).fingerprint().to_uppercase());
        for text in [by_key, by_fingerprint] {
            let peers = Peers::new(std::slice::from_ref(&text)).unwrap();
            assert!(peers.matches(who("stage", Some(key(1)))), "{text}");
            assert!(!peers.matches(who("stage", Some(key(2)))));
            assert!(!peers.matches(who("stage", None)));
            assert!(!peers.matches(who(&text, Some(key(2)))), "a name like it");
            assert!(!peers.is_everybody());
        }
    }

    #[test]
    fn who_is_meant_by_a_name_may_have_any_key() {
        let peers = Peers::new(&["stage".to_owned()]).unwrap();
        assert!(peers.matches(who("stage", Some(key(2)))) && peers.matches(who("stage", None)));
        assert!(!peers.matches(who("foh", Some(key(2)))));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_taken_for_a_name() {
        let fingerprint = key(1).fingerprint();
        for text in [
            "",
            "stage",
            &fingerprint[..19],
            &fingerprint.replace('-', ""),
        ] {
            let refused = Peers::new(&["*".to_owned(), format!("key:{text}")]);
            assert_eq!(refused, Err(RuleError::Key(text.to_owned())));
        }
    }
}
