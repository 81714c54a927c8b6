//! What the core knows, for those who ask.

use crate::output::{DialId, Headers};
use crate::peer::{Peer, Presence, Silence};
use crate::{Endpoint, GroupName, NodeKey, PeerId};

use super::Zre;

/// A node that is here, as it stands now.
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

    /// Who.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.presence.name
    }

    /// Where its mailbox is, as far as we know.
    #[must_use]
    pub const fn endpoint(&self) -> &'a Endpoint {
        &self.peer.endpoint
    }

    /// What its HELLO told besides.
    #[must_use]
    pub const fn headers(&self) -> &'a Headers {
        &self.presence.headers
    }

    /// The groups that it is in.
    #[must_use]
    pub fn groups(&self) -> &'a [GroupName] {
        &self.presence.groups
    }

    /// The key that it has proved; on a secure mesh always.
    #[must_use]
    pub const fn key(&self) -> Option<NodeKey> {
        self.peer.key
    }

    /// Whether none of its endpoints can be dialed, so that nothing can be said to it.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.presence.is_unreachable
    }

    /// Whether it is silent and has not answered a PING.
    #[must_use]
    pub const fn is_evasive(&self) -> bool {
        matches!(self.presence.silence, Silence::Evasive(_))
    }
}

impl Zre {
    /// Who we are.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.config.id
    }

    /// The groups that we are in.
    #[must_use]
    pub fn own_groups(&self) -> &[GroupName] {
        &self.own_groups
    }

    /// The node that one of our connections leads to, once it is known.
    #[must_use]
    pub fn dialed_peer(&self, dial: DialId) -> Option<PeerId> {
        self.peers.at(*self.dials.get(&dial)?)?.id
    }

    /// Whether messages for a node wait in here for its connection.
    #[must_use]
    pub fn holds(&self, id: PeerId) -> bool {
        let peer = self.peers.key(id).and_then(|key| self.peers.at(key));
        peer.is_some_and(|peer| peer.mailbox.holds())
    }

    /// All nodes that are here, in no order.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        self.peers
            .iter()
            .filter_map(|(_, peer)| PeerView::new(peer))
    }

    /// A node that is here.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<PeerView<'_>> {
        PeerView::new(self.peers.at(self.peers.key(id)?)?)
    }
}
