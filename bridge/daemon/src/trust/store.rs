//! The trust store: which keys are trusted, and why.
//!
//! Model: a [`TrustStore`] has an entry for each key that the configuration names, that somebody trusted or distrusted
//! by command, or that was learned at first use. It is plain data; its owner carries out what follows from a change.
//! Invariants: TRUSTSTORE-1. a manual override outweighs everything else: a key that was distrusted by command is not trusted before
//! it is trusted by command, also if the configuration names it. TRUSTSTORE-2. an entry without any source is removed.
//! Limits: [`BY_HAND_MAX`] manual overrides.

use std::collections::{BTreeMap, BTreeSet};

use zocp_node::PublicKey;

use super::document::Keys;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct TrustStore {
    entries: BTreeMap<PublicKey, Entry>,
}

/// The sources for a key.
#[derive(Debug, Default)]
struct Entry {
    configured: bool,
    /// Whether there is a link to its node that was added by command.
    linked: bool,
    hand: Option<Override>,
    on_first_use: bool,
    /// The name that its node had last.
    name: Option<String>,
}

/// A manual override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Override {
    Trusted,
    Distrusted,
}

/// Why a key is trusted: of several reasons the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Configuration,
    Link,
    Override,
    FirstUse,
}

impl Source {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Link => "link",
            Self::Override => "hand",
            Self::FirstUse => "first-use",
        }
    }
}

/// A trusted key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TrustedKey<'a> {
    pub(super) key: PublicKey,
    pub(super) source: Source,
    pub(super) name: Option<&'a str>,
}

/// The keys that a new configuration changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) trusted: Vec<PublicKey>,
    pub(super) distrusted: Vec<PublicKey>,
}

/// There are as many manual overrides as there may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Entry {
    fn source(&self) -> Option<Source> {
        match self.hand {
            Some(Override::Distrusted) => None,
            _ if self.configured => Some(Source::Configuration),
            _ if self.linked => Some(Source::Link),
            Some(Override::Trusted) => Some(Source::Override),
            None => self.on_first_use.then_some(Source::FirstUse),
        }
    }

    fn says_nothing(&self) -> bool {
        !self.configured && !self.linked && self.hand.is_none() && !self.on_first_use
    }
}

impl TrustStore {
    pub(super) fn new(kept: Keys, configured: &[PublicKey]) -> Self {
        let mut trusted = Self::default();
        for key in configured {
            trusted.entry(*key).configured = true;
        }
        for (key, name) in kept.learned {
            let entry = trusted.entry(key);
            entry.on_first_use = true;
            entry.name = Some(name);
        }
        for key in kept.by_hand {
            trusted.entry(key).hand = Some(Override::Trusted);
        }
        for key in kept.distrusted {
            trusted.entry(key).hand = Some(Override::Distrusted);
        }
        trusted
    }

    /// The part that is saved.
    pub(super) fn kept(&self) -> Keys {
        let by_hand = |hand| {
            let said = move |entry: &Entry| entry.hand == Some(hand);
            self.keys_where(said).collect()
        };
        let learned = self.entries.iter().filter(|(_, entry)| entry.on_first_use);
        Keys {
            by_hand: by_hand(Override::Trusted),
            learned: learned
                .map(|(key, entry)| (*key, entry.name.clone().unwrap_or_default()))
                .collect(),
            distrusted: by_hand(Override::Distrusted),
        }
    }

    /// The trusted keys, sorted.
    pub(super) fn trusted(&self) -> impl Iterator<Item = TrustedKey<'_>> {
        self.entries.iter().filter_map(|(key, entry)| {
            Some(TrustedKey {
                key: *key,
                source: entry.source()?,
                name: entry.name.as_deref(),
            })
        })
    }

    /// Whether a key is trusted for its first use alone.
    pub(super) fn is_learned(&self, key: PublicKey) -> bool {
        let entry = self.entries.get(&key);
        entry.is_some_and(|entry| entry.source() == Some(Source::FirstUse))
    }

    /// The keys that were distrusted by command, sorted.
    pub(super) fn distrusted(&self) -> impl Iterator<Item = PublicKey> {
        self.keys_where(|entry| entry.hand == Some(Override::Distrusted))
    }

    /// The keys that were distrusted by command although the configuration names them.
    pub(super) fn overruled(&self) -> impl Iterator<Item = PublicKey> {
        self.keys_where(|entry| entry.hand == Some(Override::Distrusted) && entry.configured)
    }

    /// Trusts a key by hand.
    pub(super) fn trust(&mut self, key: PublicKey) -> Result<(), Full> {
        self.make_room(key)?;
        let entry = self.entry(key);
        // A key of the configuration gets no override, so it is removed when the configuration drops it.
        entry.hand = (!entry.configured).then_some(Override::Trusted);
        entry.on_first_use = false;
        Ok(())
    }

    /// Distrusts a key by hand.
    pub(super) fn distrust(&mut self, key: PublicKey) -> Result<(), Full> {
        self.make_room(key)?;
        let entry = self.entry(key);
        entry.hand = Some(Override::Distrusted);
        entry.on_first_use = false;
        Ok(())
    }

    /// There is a link to the node with this key.
    pub(super) fn link(&mut self, key: PublicKey) {
        self.entry(key).linked = true;
    }

    /// There is none any more. Returns whether the key is not trusted any more by that.
    pub(super) fn unlink(&mut self, key: PublicKey) -> bool {
        let entry = self.entry(key);
        let was_trusted = entry.source().is_some();
        entry.linked = false;
        let is_trusted = entry.source().is_some();
        self.entries.retain(|_, entry| !entry.says_nothing());
        was_trusted && !is_trusted
    }

    /// Whether a key was distrusted by command.
    pub(super) fn is_distrusted(&self, key: PublicKey) -> bool {
        let entry = self.entries.get(&key);
        entry.is_some_and(|entry| entry.hand == Some(Override::Distrusted))
    }

    /// A key was trusted on first use.
    pub(super) fn learned(&mut self, key: PublicKey, name: &str) {
        let entry = self.entry(key);
        entry.on_first_use = true;
        entry.name = Some(name.to_owned());
    }

    /// Notes the name of the node of a trusted key; whether it changed.
    pub(super) fn named(&mut self, key: PublicKey, name: &str) -> bool {
        match self.entries.get_mut(&key) {
            Some(entry) if entry.name.as_deref() != Some(name) => {
                entry.name = Some(name.to_owned());
                true
            }
            _ => false,
        }
    }

    /// The configuration names these keys now.
    pub(super) fn configure(&mut self, keys: &[PublicKey]) -> Changed {
        let before: BTreeSet<PublicKey> = self.trusted().map(|it| it.key).collect();
        for entry in self.entries.values_mut() {
            entry.configured = false;
        }
        for key in keys {
            self.entry(*key).configured = true;
        }
        self.entries.retain(|_, entry| !entry.says_nothing());
        let now: BTreeSet<PublicKey> = self.trusted().map(|it| it.key).collect();
        Changed {
            trusted: now.difference(&before).copied().collect(),
            distrusted: before.difference(&now).copied().collect(),
        }
    }

    fn entry(&mut self, key: PublicKey) -> &mut Entry {
        self.entries.entry(key).or_default()
    }

    fn keys_where(&self, is_such: impl Fn(&Entry) -> bool) -> impl Iterator<Item = PublicKey> {
        let such = self.entries.iter().filter(move |(_, entry)| is_such(entry));
        such.map(|(key, _)| *key)
    }

    fn make_room(&self, key: PublicKey) -> Result<(), Full> {
        let has_hand = |entry: &&Entry| entry.hand.is_some();
        let is_there = self.entries.get(&key).as_ref().is_some_and(has_hand);
        let count = || self.entries.values().filter(has_hand).count();
        if !is_there && count() >= BY_HAND_MAX {
            return Err(Full);
        }
        Ok(())
    }
}

/// Far more keys than a person compares.
pub(super) const BY_HAND_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use zocp_node::KeyPair;

    use super::*;

    fn key(number: u8) -> PublicKey {
        KeyPair::from_secret(&[number; 32]).public()
    }

    fn source_of(trusted: &TrustStore, of: PublicKey) -> Option<Source> {
        trusted
            .trusted()
            .find(|it| it.key == of)
            .map(|it| it.source)
    }

    #[test]
    fn a_key_is_trusted_by_the_first_word_of_three() {
        let mut trusted = TrustStore::new(Keys::default(), &[key(1)]);
        trusted.trust(key(2)).unwrap();
        trusted.learned(key(3), "three");
        assert_eq!(source_of(&trusted, key(1)), Some(Source::Configuration));
        assert_eq!(source_of(&trusted, key(2)), Some(Source::Override));
        assert_eq!(source_of(&trusted, key(3)), Some(Source::FirstUse));
        trusted.trust(key(3)).unwrap();
        assert_eq!(source_of(&trusted, key(3)), Some(Source::Override));
    }

    #[test]
    fn what_is_said_by_hand_outweighs_the_configuration_until_it_is_taken_back() {
        let mut trusted = TrustStore::new(Keys::default(), &[key(1)]);
        trusted.distrust(key(1)).unwrap();
        assert_eq!(source_of(&trusted, key(1)), None);
        assert_eq!(trusted.overruled().collect::<Vec<_>>(), [key(1)]);
        let mut trusted = TrustStore::new(trusted.kept(), &[key(1)]);
        assert_eq!(source_of(&trusted, key(1)), None);
        assert_eq!(trusted.configure(&[key(1)]), Changed::default());
        trusted.trust(key(1)).unwrap();
        assert_eq!(source_of(&trusted, key(1)), Some(Source::Configuration));
        assert_eq!(trusted.kept(), Keys::default());
    }

    #[test]
    fn another_configuration_tells_who_is_trusted_now_and_who_no_longer() {
        let mut trusted = TrustStore::new(Keys::default(), &[key(1), key(2), key(3)]);
        trusted.learned(key(3), "three");
        let turned = trusted.configure(&[key(2), key(4)]);
        assert_eq!(turned.trusted, [key(4)]);
        assert_eq!(turned.distrusted, [key(1)]);
        assert_eq!(source_of(&trusted, key(3)), Some(Source::FirstUse));
    }

    #[test]
    fn the_key_of_a_link_is_trusted_as_long_as_the_link_is_there() {
        let mut trusted = TrustStore::new(Keys::default(), &[key(1)]);
        for number in [1, 2, 3] {
            trusted.link(key(number));
        }
        trusted.trust(key(3)).unwrap();
        assert_eq!(source_of(&trusted, key(1)), Some(Source::Configuration));
        assert_eq!(source_of(&trusted, key(2)), Some(Source::Link));
        assert_eq!(trusted.configure(&[]), Changed::default());
        assert!(trusted.unlink(key(2)) && !trusted.unlink(key(3)));
        assert_eq!(source_of(&trusted, key(3)), Some(Source::Override));
        trusted.distrust(key(1)).unwrap();
        assert!(trusted.is_distrusted(key(1)) && !trusted.unlink(key(1)));
        assert_eq!(trusted.kept().by_hand, [key(3)]);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut trusted = TrustStore::default();
        trusted.trust(key(1)).unwrap();
        trusted.learned(key(2), "two");
        trusted.distrust(key(3)).unwrap();
        let again = TrustStore::new(
            super::super::document::SavedKeys::from(trusted.kept()).read(),
            &[],
        );
        assert_eq!(again.kept(), trusted.kept());
        assert!(again.trusted().eq(trusted.trusted()));
    }

    #[test]
    fn so_much_is_said_by_hand_and_no_more() {
        let mut trusted = TrustStore::default();
        let key = |number: usize| {
            let mut secret = [7; 32];
            // The first octet has bits that do not count.
            secret[8..16].copy_from_slice(&number.to_le_bytes());
            KeyPair::from_secret(&secret).public()
        };
        for number in 0..BY_HAND_MAX {
            trusted.entry(key(number)).hand = Some(Override::Trusted);
        }
        assert_eq!(trusted.trust(key(BY_HAND_MAX)), Err(Full));
        assert_eq!(trusted.distrust(key(7)), Ok(()));
    }
}
