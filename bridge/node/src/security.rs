//! Keys of a secure mesh: whose connections are made, and with what.
//!
//! Model: [`Security`] in the configuration makes the mesh a secure one: every connection is CURVE, with
//! the node's key pair at both its ends. Who is trusted the ZRE core decides; here is what it needs of
//! the codec: connections with keys, and randomness from the operating system.
//! Spec: docs/reference/protocol.md §8.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use zocp_zmtp::{Connection, Entropy, KeyPair, Limits, PublicKey};
use zocp_zre::{FirstUse, NodeKey, PeerId};

/// Makes the mesh a secure one: only nodes that prove a trusted key are met, and all that is said is
/// sealed. Old nodes cannot take part, but for zyre with a certificate.
#[derive(Debug, Clone)]
pub struct Security {
    /// This node's key pair.
    pub keys: KeyPair,
    /// The keys of the nodes to meet. [`Node::trust`](crate::Node::trust) adds to them.
    pub trusted: Vec<PublicKey>,
    /// Those that were trusted on first use before ([`Event::KeyLearned`](crate::Event::KeyLearned)), with
    /// the names that their nodes had.
    pub learned: Vec<(PublicKey, String)>,
    /// Those that are not trusted on first use.
    pub barred: Vec<PublicKey>,
    /// What becomes of other keys.
    pub first_use: FirstUse,
}

/// A node whose key is not trusted, and that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its key. It is not said that it has proved to have it: compare it with what its owner sees.
    pub key: PublicKey,
    /// Who it says to be.
    pub id: PeerId,
    /// Where it was heard.
    pub address: SocketAddr,
    /// How long ago.
    pub silent: Duration,
    /// How often: beacons and connections.
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
        }
    }

    /// As the core needs it.
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

/// Our end of a connection that a peer opened.
pub(crate) fn router(keys: Option<&KeyPair>, limits: Limits) -> io::Result<Connection> {
    Ok(match keys {
        None => Connection::router(limits),
        Some(keys) => Connection::curve_router(keys, entropy()?, limits),
    })
}

/// Our end of a connection that we open, on a secure mesh to who has the key `server`.
pub(crate) fn dealer(
    keys: Option<&KeyPair>,
    server: Option<NodeKey>,
    identity: &[u8],
    limits: Limits,
) -> io::Result<Connection> {
    Ok(match (keys, server) {
        (None, None) => Connection::dealer(identity, limits),
        (Some(keys), Some(server)) => {
            let server = PublicKey::new(*server.as_bytes()).map_err(io::Error::other)?;
            Connection::curve_dealer(identity, keys, server, entropy()?, limits)
        }
        // The core has keys exactly on a secure mesh.
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

/// `None` for what was heard and is no key.
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
