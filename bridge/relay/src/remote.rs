//! Who a peer is.

use zocp_node::{LocalName, PeerId, PeerInfo, PublicKey};
use zocp_policy::Who;

/// A peer that speaks our additions. It stays the same from its arrival to its leaving.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) id: PeerId,
    pub(crate) uuid: String,
    pub(crate) name: String,
    /// Unless it is in our own venue.
    pub(crate) venue: Option<String>,
    /// What it has proved, on a secure mesh.
    pub(crate) key: Option<PublicKey>,
    /// Whether it knows channels, and so descriptors.
    pub(crate) channels: bool,
    /// Whether it says that it is on this machine: then descriptors may pass themselves.
    pub(crate) is_here: bool,
}

impl Remote {
    pub(crate) fn new(info: &PeerInfo) -> Self {
        Self {
            id: info.id,
            uuid: info.id.to_string(),
            name: info.name.clone(),
            venue: info.venue.clone(),
            key: info.key,
            channels: info.channels,
            is_here: info.channels && LocalName::of(info).is_some(),
        }
    }

    /// What rules compare.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            name: &self.name,
            venue: self.venue.as_deref(),
            uuid: &self.uuid,
            key: self.key,
        }
    }
}
