//! The keys of a secure mesh, and the codecs of its connections.
//!
//! Model: [`Security`] in the configuration makes the mesh a secure one: every connection uses CURVE, with the key pair
//! of its node at each end. The ZRE core decides which keys are trusted; this module makes the codecs with keys, and
//! takes randomness from the operating system.
//! Spec: docs/reference/protocol.md §8.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use zocp_zmtp::{Connection, Entropy, KeyPair, Limits, PublicKey};
use zocp_zre::{FirstUse, NodeKey, PeerId};

/// Makes the mesh a secure one: peers prove that they have a trusted key, and everything that is sent is encrypted
/// (25/ZMTP-CURVE). Of old nodes only those of zyre with a certificate can take part.
///
/// ```
/// use zocp_node::{Config, FirstUse, KeyPair, Security};
///
/// let keys = KeyPair::from_secret(&[7; 32]); // in a program: KeyPair::draw(getrandom::fill)
/// let lamp = KeyPair::from_secret(&[8; 32]).public();
/// let security = Security::new(keys).with_trusted([lamp]).with_first_use(FirstUse::Refuse);
/// let config = Config::new("desk").with_security(security);
/// assert_eq!(config.beacon_port(), 5669);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Security {
    /// This node's key pair.
    pub keys: KeyPair,
    /// The keys of the nodes that may be peers. [`Node::trust`](crate::Node::trust) adds to them.
    pub trusted: Vec<PublicKey>,
    /// Further keys that were trusted on first use in an earlier run
    /// ([`Event::KeyLearned`](crate::Event::KeyLearned)), each with the name that its node had.
    pub learned: Vec<(PublicKey, String)>,
    /// Keys that are never trusted on first use, since they were distrusted in an earlier run.
    pub barred: Vec<PublicKey>,
    /// What happens to other keys.
    pub first_use: FirstUse,
    /// What is encrypted.
    pub scope: SecurityScope,
}

/// What of a node's connections is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecurityScope {
    /// All: the mesh is a secure one.
    #[default]
    Mesh,
    /// Links to other venues: the mesh itself is open, so that old nodes are met.
    Links {
        /// Where peers of other venues connect to; `None`: they do not.
        listen: Option<SocketAddr>,
    },
}

/// A node that announced itself with a key that is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stranger {
    /// The key that it announced. It may not have proved that it has this key: compare it with what the owner of the
    /// node sees before you trust it.
    pub key: PublicKey,
    /// The identity that it announced.
    pub id: PeerId,
    /// The remote address of its last announcement.
    pub address: SocketAddr,
    /// The time since its last announcement.
    pub silent: Duration,
    /// The number of its announcements, beacons and connections together.
    pub times: u64,
}

/// The port of the beacons of a secure mesh. protocol.md §8.5
pub(crate) const SECURE_BEACON_PORT: u16 = 5669;
/// The header of a HELLO that tells the key. protocol.md §8.5
pub(crate) const HEADER_KEY: &str = "X-PUBLICKEY";

impl Security {
    /// A node with these keys that trusts nobody yet.
    #[must_use]
    pub const fn new(keys: KeyPair) -> Self {
        Self {
            keys,
            trusted: Vec::new(),
            learned: Vec::new(),
            barred: Vec::new(),
            first_use: FirstUse::Refuse,
            scope: SecurityScope::Mesh,
        }
    }

    /// The same that trusts these keys too.
    #[must_use]
    pub fn with_trusted(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.trusted.extend(keys);
        self
    }

    /// The same that trusts keys on first use, or does not.
    #[must_use]
    pub fn with_first_use(mut self, first_use: FirstUse) -> Self {
        self.first_use = first_use;
        self
    }

    /// The same for links alone; peers of other venues connect to `listen`, if there is one.
    #[must_use]
    pub const fn for_links(mut self, listen: Option<SocketAddr>) -> Self {
        self.scope = SecurityScope::Links { listen };
        self
    }

    /// Whether the mesh itself is an open one.
    pub(crate) const fn is_for_links(&self) -> bool {
        matches!(self.scope, SecurityScope::Links { .. })
    }

    /// In the types of the ZRE core.
    pub(crate) fn of_core(&self) -> zocp_zre::Security {
        let keys = |keys: &[PublicKey]| keys.iter().copied().map(node_key).collect();
        let learned = self.learned.iter();
        zocp_zre::Security {
            key: node_key(self.keys.public()),
            trusted: keys(&self.trusted),
            learned: learned
                .map(|(key, name)| (node_key(*key), name.as_str().into()))
                .collect(),
            barred: keys(&self.barred),
            first_use: self.first_use,
        }
    }
}

/// The codec of a connection that a peer opened.
pub(crate) fn router(keys: Option<&KeyPair>, limits: Limits) -> io::Result<Connection> {
    Ok(match keys {
        None => Connection::router(limits),
        Some(keys) => Connection::curve_router(keys, entropy()?, limits),
    })
}

/// The keys of a node, and whether peers without one are met too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    pub(crate) pair: Option<KeyPair>,
    pub(crate) open: bool,
}

impl Keys {
    pub(crate) fn of(security: Option<&Security>) -> Self {
        Self {
            pair: security.map(|security| security.keys.clone()),
            open: security.is_some_and(Security::is_for_links),
        }
    }

    /// Those of the mailbox for the mesh itself.
    pub(crate) fn of_mesh(&self) -> Self {
        let pair = self.pair.clone().filter(|_| !self.open);
        Self { pair, open: false }
    }

    /// Those for a peer with or without a key.
    fn towards(&self, peer: Option<NodeKey>) -> Option<&KeyPair> {
        self.pair.as_ref().filter(|_| peer.is_some() || !self.open)
    }
}

/// The codec of a connection that this node opens; on a secure mesh to the peer with the key `server`.
pub(crate) fn dealer(
    keys: &Keys,
    server: Option<NodeKey>,
    identity: &[u8],
    limits: Limits,
) -> io::Result<Connection> {
    Ok(match (keys.towards(server), server) {
        (None, None) => Connection::dealer(identity, limits),
        (Some(keys), Some(server)) => {
            let server = PublicKey::new(*server.as_bytes()).map_err(io::Error::other)?;
            Connection::curve_dealer(identity, keys, server, entropy()?, limits)
        }
        // The core gives keys on a secure mesh, and only there.
        _ => {
            return Err(io::Error::other(
                "a key where there is none, or none where there is one",
            ));
        }
    })
}

pub(crate) fn node_key(key: PublicKey) -> NodeKey {
    NodeKey::new(*key.as_bytes())
}

/// `None` for octets that a peer announced and that are no usable key.
pub(crate) fn public_key(key: NodeKey) -> Option<PublicKey> {
    PublicKey::new(*key.as_bytes()).ok()
}

/// An endpoint, and the key behind `|` if there is one. protocol.md §8.8
pub(crate) fn split_endpoint(text: &str) -> (&str, Option<&str>) {
    match text.split_once('|') {
        Some((endpoint, key)) => (endpoint, Some(key)),
        None => (text, None),
    }
}

fn entropy() -> io::Result<Entropy> {
    Entropy::draw(getrandom::fill).map_err(|error| io::Error::other(error.to_string()))
}
