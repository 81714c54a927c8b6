//! What is known of a peer.

use std::time::Duration;

use zocp_zmtp::PublicKey;
use zocp_zre::{PeerId, SharedWay};

/// A peer as it introduced itself, and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its identity, new each time that it starts.
    pub id: PeerId,
    /// Its name; two peers may have the same one. That of a peer of another venue has the venue before it:
    /// `north/stage`.
    pub name: String,
    /// The venue that it is in, unless that is this node's own.
    pub venue: Option<String>,
    /// The peer of its venue that passes it on, if it is not met itself. It is sent nothing but SETs and calls.
    pub via: Option<PeerId>,
    /// Its mailbox, `tcp://address:port`.
    pub endpoint: String,
    /// Its headers, in its order.
    pub headers: Vec<(String, String)>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Whether it speaks ZOCP (header `X-ZOCP`).
    pub zocp: bool,
    /// Whether it speaks the extensions of this project, such as calls (header `X-ZOCP-DBUS: 1`).
    pub extended: bool,
    /// Whether it knows channels (header `X-ZOCP-CHANNEL: 1`).
    pub channels: bool,
    /// Whether it is silent and was asked for a sign of life.
    pub evasive: bool,
    /// Whether nothing can be sent to it, since none of its endpoints can be dialed.
    pub unreachable: bool,
    /// Which of the two nodes opened the connection that carries the messages of both, where only one can dial the other;
    /// `None` if each opened one.
    pub shared: Option<SharedWay>,
    /// The key that it proved to have: always `Some` on a secure mesh, and never on another.
    pub key: Option<PublicKey>,
    /// How long an answer of it takes, as far as that is known.
    pub round_trip: Option<Duration>,
}

impl PeerInfo {
    /// A peer with this identity and name, and nothing else known: for tests of programs that handle peers.
    #[must_use]
    pub fn new(id: PeerId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            venue: None,
            via: None,
            endpoint: String::new(),
            headers: Vec::new(),
            groups: Vec::new(),
            zocp: false,
            extended: false,
            channels: false,
            evasive: false,
            unreachable: false,
            shared: None,
            key: None,
            round_trip: None,
        }
    }

    /// Whether it has proved its key, so that all messages to it and from it are encrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.key.is_some()
    }
}
