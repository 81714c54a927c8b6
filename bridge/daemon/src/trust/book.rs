//! Which keys are trusted, and by whose word.
//!
//! Model: a [`Book`] has an entry for each key of which anything is said: by the configuration, by hand, or by
//! its first use. Plain data; what follows from a change its owner does.
//! Invariants: BOOK-1. what was said by hand outweighs all else: who was distrusted by hand is not trusted before
//! it is trusted by hand, also if the configuration names it. BOOK-2. an entry of which nothing is said is gone.
//! Limits: [`BY_HAND_MAX`] keys of which something is said by hand.

use std::collections::{BTreeMap, BTreeSet};

use zocp_node::PublicKey;

use super::kept::Keys;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<PublicKey, Entry>,
}

/// What is said of a key.
#[derive(Debug, Default)]
struct Entry {
    configured: bool,
    hand: Option<Hand>,
    on_first_use: bool,
    /// What its node called itself last.
    name: Option<String>,
}

/// What somebody said by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    Trusted,
    Distrusted,
}

/// By whose word a key is trusted: of several the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Configuration,
    Hand,
    FirstUse,
}

impl Source {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Hand => "hand",
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

/// What another configuration changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turned {
    pub(super) trusted: Vec<PublicKey>,
    pub(super) distrusted: Vec<PublicKey>,
}

/// Something is said by hand of as many keys already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Entry {
    fn source(&self) -> Option<Source> {
        match self.hand {
            Some(Hand::Distrusted) => None,
            _ if self.configured => Some(Source::Configuration),
            Some(Hand::Trusted) => Some(Source::Hand),
            None => self.on_first_use.then_some(Source::FirstUse),
        }
    }

    fn says_nothing(&self) -> bool {
        !self.configured && self.hand.is_none() && !self.on_first_use
    }
}

impl Book {
    pub(super) fn new(kept: Keys, configured: &[PublicKey]) -> Self {
        let mut book = Self::default();
        for key in configured {
            book.entry(*key).configured = true;
        }
        for (key, name) in kept.learned {
            let entry = book.entry(key);
            entry.on_first_use = true;
            entry.name = Some(name);
        }
        for key in kept.by_hand {
            book.entry(key).hand = Some(Hand::Trusted);
        }
        for key in kept.distrusted {
            book.entry(key).hand = Some(Hand::Distrusted);
        }
        book
    }

    /// What is to be kept.
    pub(super) fn kept(&self) -> Keys {
        let by_hand = |hand| {
            let said = move |entry: &Entry| entry.hand == Some(hand);
            self.keys_where(said).collect()
        };
        let learned = self.entries.iter().filter(|(_, entry)| entry.on_first_use);
        Keys {
            by_hand: by_hand(Hand::Trusted),
            learned: learned
                .map(|(key, entry)| (*key, entry.name.clone().unwrap_or_default()))
                .collect(),
            distrusted: by_hand(Hand::Distrusted),
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

    /// Whether its first use is the only word for a key.
    pub(super) fn is_learned(&self, key: PublicKey) -> bool {
        let entry = self.entries.get(&key);
        entry.is_some_and(|entry| entry.source() == Some(Source::FirstUse))
    }

    /// Those that were distrusted by hand, sorted.
    pub(super) fn distrusted(&self) -> impl Iterator<Item = PublicKey> {
        self.keys_where(|entry| entry.hand == Some(Hand::Distrusted))
    }

    /// Those of them that the configuration names all the same.
    pub(super) fn overruled(&self) -> impl Iterator<Item = PublicKey> {
        self.keys_where(|entry| entry.hand == Some(Hand::Distrusted) && entry.configured)
    }

    /// Trusts a key by hand.
    pub(super) fn trust(&mut self, key: PublicKey) -> Result<(), Full> {
        self.make_room(key)?;
        let entry = self.entry(key);
        // What the configuration says is not said twice: it goes when it is taken out there.
        entry.hand = (!entry.configured).then_some(Hand::Trusted);
        entry.on_first_use = false;
        Ok(())
    }

    /// Distrusts a key by hand.
    pub(super) fn distrust(&mut self, key: PublicKey) -> Result<(), Full> {
        self.make_room(key)?;
        let entry = self.entry(key);
        entry.hand = Some(Hand::Distrusted);
        entry.on_first_use = false;
        Ok(())
    }

    /// A key was trusted on first use.
    pub(super) fn learned(&mut self, key: PublicKey, name: &str) {
        let entry = self.entry(key);
        entry.on_first_use = true;
        entry.name = Some(name.to_owned());
    }

    /// The node of a trusted key is here under a name; whether that is news.
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
    pub(super) fn configure(&mut self, keys: &[PublicKey]) -> Turned {
        let before: BTreeSet<PublicKey> = self.trusted().map(|it| it.key).collect();
        for entry in self.entries.values_mut() {
            entry.configured = false;
        }
        for key in keys {
            self.entry(*key).configured = true;
        }
        self.entries.retain(|_, entry| !entry.says_nothing());
        let now: BTreeSet<PublicKey> = self.trusted().map(|it| it.key).collect();
        Turned {
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

/// Far more than anybody compares.
pub(super) const BY_HAND_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use zocp_node::KeyPair;

    use super::*;

    fn key(number: u8) -> PublicKey {
        KeyPair::from_secret(&[number; 32]).public()
    }

    fn source_of(book: &Book, of: PublicKey) -> Option<Source> {
        book.trusted().find(|it| it.key == of).map(|it| it.source)
    }

    #[test]
    fn a_key_is_trusted_by_the_first_word_of_three() {
        let mut book = Book::new(Keys::default(), &[key(1)]);
        book.trust(key(2)).unwrap();
        book.learned(key(3), "three");
        assert_eq!(source_of(&book, key(1)), Some(Source::Configuration));
        assert_eq!(source_of(&book, key(2)), Some(Source::Hand));
        assert_eq!(source_of(&book, key(3)), Some(Source::FirstUse));
        book.trust(key(3)).unwrap();
        assert_eq!(source_of(&book, key(3)), Some(Source::Hand));
    }

    #[test]
    fn what_is_said_by_hand_outweighs_the_configuration_until_it_is_taken_back() {
        let mut book = Book::new(Keys::default(), &[key(1)]);
        book.distrust(key(1)).unwrap();
        assert_eq!(source_of(&book, key(1)), None);
        assert_eq!(book.overruled().collect::<Vec<_>>(), [key(1)]);
        let mut book = Book::new(book.kept(), &[key(1)]);
        assert_eq!(source_of(&book, key(1)), None);
        assert_eq!(book.configure(&[key(1)]), Turned::default());
        book.trust(key(1)).unwrap();
        assert_eq!(source_of(&book, key(1)), Some(Source::Configuration));
        assert_eq!(book.kept(), Keys::default());
    }

    #[test]
    fn another_configuration_tells_who_is_trusted_now_and_who_no_longer() {
        let mut book = Book::new(Keys::default(), &[key(1), key(2), key(3)]);
        book.learned(key(3), "three");
        let turned = book.configure(&[key(2), key(4)]);
        assert_eq!(turned.trusted, [key(4)]);
        assert_eq!(turned.distrusted, [key(1)]);
        assert_eq!(source_of(&book, key(3)), Some(Source::FirstUse));
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut book = Book::default();
        book.trust(key(1)).unwrap();
        book.learned(key(2), "two");
        book.distrust(key(3)).unwrap();
        let again = Book::new(super::super::kept::KeptKeys::from(book.kept()).read(), &[]);
        assert_eq!(again.kept(), book.kept());
        assert!(again.trusted().eq(book.trusted()));
    }

    #[test]
    fn so_much_is_said_by_hand_and_no_more() {
        let mut book = Book::default();
        let key = |number: usize| {
            let mut secret = [7; 32];
            // The first octet has bits that do not count.
            secret[8..16].copy_from_slice(&number.to_le_bytes());
            KeyPair::from_secret(&secret).public()
        };
        for number in 0..BY_HAND_MAX {
            book.entry(key(number)).hand = Some(Hand::Trusted);
        }
        assert_eq!(book.trust(key(BY_HAND_MAX)), Err(Full));
        assert_eq!(book.distrust(key(7)), Ok(()));
    }
}
