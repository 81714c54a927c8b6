//! The keys of a secure mesh.

use zocp_zmtp::PublicKey;
use zocp_zre::FirstUse;

use super::Node;
use crate::error::NodeError;
use crate::security::Stranger;

/// # Keys of a secure mesh
///
/// See docs/reference/protocol.md §8.
impl Node {
    /// Trusts a key from now on, so that its node is met when its next beacon comes. Returns `false` if the key was
    /// trusted before.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when the mesh is not a secure one.
    pub async fn trust(&self, key: PublicKey) -> Result<bool, NodeError> {
        self.request(move |actor, _| actor.trust(key)).await?
    }

    /// Stops trusting a key, and ends all connections with its node at once. Returns `false` if the key was not
    /// trusted.
    ///
    /// # Errors
    /// As [`trust`](Self::trust).
    pub async fn distrust(&self, key: PublicKey) -> Result<bool, NodeError> {
        self.request(move |actor, now| actor.distrust(now, key))
            .await?
    }

    /// Chooses whether keys are trusted on first use from now on. Peers that are present stay.
    ///
    /// # Errors
    /// As [`trust`](Self::trust).
    pub async fn set_first_use(&self, first_use: FirstUse) -> Result<(), NodeError> {
        self.request(move |actor, _| actor.set_first_use(first_use))
            .await?
    }

    /// The trusted keys, in no order.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn trusted(&self) -> Result<Vec<PublicKey>, NodeError> {
        self.request(|actor, _| actor.trusted()).await
    }

    /// The nodes that announced themselves lately with keys that are not trusted, in no order.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn strangers(&self) -> Result<Vec<Stranger>, NodeError> {
        self.request(|actor, now| actor.strangers(now)).await
    }
}
