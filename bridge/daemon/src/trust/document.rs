//! The saved trust store.
//!
//! Not here: the keys of the configuration, which has them.
//! Spec: docs/reference/configuration.md, "What is kept".

use serde::{Deserialize, Serialize};
use zocp_node::PublicKey;

use zocp_state::Document;

/// The document. Keys are in Z85.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SavedKeys {
    /// Those that somebody trusted by hand.
    by_hand: Vec<SavedKey>,
    /// Those that were trusted on first use, with the names that their nodes had.
    learned: Vec<Learned>,
    /// Those that somebody distrusted by hand.
    distrusted: Vec<SavedKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct SavedKey(String);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    key: SavedKey,
    name: String,
}

/// The same, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) by_hand: Vec<PublicKey>,
    pub(super) learned: Vec<(PublicKey, String)>,
    pub(super) distrusted: Vec<PublicKey>,
}

impl Document for SavedKeys {
    const NAME: &'static str = "trust";
    const VERSION: u32 = 1;
}

impl SavedKeys {
    /// What is no key is logged and left out.
    pub(super) fn read(self) -> Keys {
        let keys = |kept: Vec<SavedKey>| kept.into_iter().filter_map(SavedKey::read).collect();
        let learned = self.learned.into_iter();
        Keys {
            by_hand: keys(self.by_hand),
            learned: learned
                .filter_map(|it| Some((it.key.read()?, it.name)))
                .collect(),
            distrusted: keys(self.distrusted),
        }
    }
}

impl From<Keys> for SavedKeys {
    fn from(keys: Keys) -> Self {
        let kept = |keys: Vec<PublicKey>| keys.into_iter().map(SavedKey::of).collect();
        let learned = keys.learned.into_iter();
        Self {
            by_hand: kept(keys.by_hand),
            learned: learned
                .map(|(key, name)| Learned {
                    key: SavedKey::of(key),
                    name,
                })
                .collect(),
            distrusted: kept(keys.distrusted),
        }
    }
}

impl SavedKey {
    fn of(key: PublicKey) -> Self {
        Self(key.to_string())
    }

    fn read(self) -> Option<PublicKey> {
        let key = self.0.parse();
        key.inspect_err(|error| {
            tracing::error!(key = self.0, %error, "a key that was kept is none");
        })
        .ok()
    }
}
