//! Queries: what the core knows of peers, groups and connections.

use std::time::Instant;

use crate::mailbox::Phase;
use crate::output::{DialId, Headers};
use crate::peer::{Peer, Presence, SharedWay, Silence};
use crate::{Endpoint, GroupName, NodeKey, PeerId};

use super::Zre;

/// The present state of a peer that is present.
#[derive(Debug, Clone, Copy)]
pub struct PeerView<'a> {
    id: PeerId,
    peer: &'a Peer,
    presence: &'a Presence,
}

impl<'a> PeerView<'a> {
    fn new(peer: &'a Peer) -> Option<Self> {
        Some(Self {
            id: peer.id?,
            peer,
            presence: peer.presence.as_ref()?,
        })
    }

    /// How long an answer of the peer takes, as far as that is known.
    #[must_use]
    pub const fn round_trip(&self) -> Option<std::time::Duration> {
        self.peer.mailbox.round_trip.get()
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.presence.name
    }

    /// Its mailbox, as far as it is known.
    #[must_use]
    pub const fn endpoint(&self) -> &'a Endpoint {
        &self.peer.endpoint
    }

    /// The headers of its HELLO.
    #[must_use]
    pub const fn headers(&self) -> &'a Headers {
        &self.presence.headers
    }

    /// The groups that it is in.
    #[must_use]
    pub fn groups(&self) -> &'a [GroupName] {
        &self.presence.groups
    }

    /// The key that it has proved; always `Some` on a secure mesh.
    #[must_use]
    pub const fn key(&self) -> Option<NodeKey> {
        self.peer.key
    }

    /// The connection on which this node sends to it.
    #[must_use]
    pub const fn dial(&self) -> Option<DialId> {
        self.peer.mailbox.dial()
    }

    /// Whether none of its endpoints can be dialed, so that nothing can be sent to it.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.presence.is_unreachable
    }

    /// Which of the two nodes opened the connection that carries the messages of both; `None` if each node opened one.
    #[must_use]
    pub fn shared(&self) -> Option<SharedWay> {
        self.peer.shared()
    }

    /// Whether it is silent and has not answered a PING.
    #[must_use]
    pub const fn is_evasive(&self) -> bool {
        matches!(self.presence.silence, Silence::Evasive(_))
    }
}

impl Zre {
    /// When the peer at an endpoint that a user wants is dialed next; `None` while it is dialed or connected, or where
    /// nobody wants it.
    #[must_use]
    pub fn next_dial(&self, endpoint: &str, key: Option<NodeKey>) -> Option<Instant> {
        let endpoint: Endpoint = endpoint.parse().ok()?;
        let is_it = |peer: &Peer| peer.key == key && peer.manual.contains(&endpoint);
        let peer = self.peers.at(self.peers.find(is_it)?)?;
        match peer.mailbox.phase {
            Phase::Closed { retry_at, .. } if peer.shared().is_none() => Some(retry_at),
            _ => None,
        }
    }

    /// The identity of this node.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.config.id
    }

    /// The groups that this node is in.
    #[must_use]
    pub fn own_groups(&self) -> &[GroupName] {
        &self.own_groups
    }

    /// The peer of a dial, once it is known.
    #[must_use]
    pub fn dialed_peer(&self, dial: DialId) -> Option<PeerId> {
        self.peers.at(*self.dials.get(&dial)?)?.id
    }

    /// Whether messages to a peer are held until its connection is ready.
    #[must_use]
    pub fn holds(&self, id: PeerId) -> bool {
        let peer = self.peers.key(id).and_then(|key| self.peers.at(key));
        peer.is_some_and(|peer| peer.mailbox.holds())
    }

    /// All peers that are present, in no order.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        self.peers
            .iter()
            .filter_map(|(_, peer)| PeerView::new(peer))
    }

    /// A peer that is present.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<PeerView<'_>> {
        PeerView::new(self.peers.at(self.peers.key(id)?)?)
    }
}
