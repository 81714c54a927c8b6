//! Descriptors that pass themselves to and from nodes of this machine.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tracing::debug;
use zocp_model::Value;
use zocp_zmtp::PublicKey;
use zocp_zre::PeerId;

use super::Node;
use super::channels::{OfferedChannel, Redeemed};
use crate::channel::ChannelRequest;
use crate::error::NodeError;
use crate::handover::{Handover, LocalName};
use crate::tickets::{TICKET_TIME_MAX, Ticket};

/// # Descriptors between nodes of one machine
///
/// A node of the same machine, user and network namespace ([`LocalName::of`]) gets a descriptor itself instead of a
/// channel that is carried to it, where both ends want that. It is never certain: whoever offers has a channel ready.
impl Node {
    /// As [`try_offer_channel`](Self::try_offer_channel), where a peer of this machine may instead take the descriptor.
    ///
    /// # Errors
    /// `Busy`; `NodeGone`.
    #[doc(hidden)]
    pub fn try_offer_descriptor(
        &self,
        peer: PeerId,
        key: Option<PublicKey>,
        time_max: Duration,
    ) -> Result<OfferedChannel, NodeError> {
        self.offer((peer, key), time_max, true)
    }

    /// As [`request_channel`](Self::request_channel), where a peer of this machine may instead give a descriptor.
    ///
    /// # Errors
    /// As there.
    pub async fn request_stream(
        &self,
        peer: PeerId,
        purpose: Value,
    ) -> Result<Redeemed, NodeError> {
        let info = self.with_channels(peer).await?;
        let offered = self.offer((peer, info.key), TICKET_TIME_MAX, true)?;
        self.ask(offered, purpose).await
    }

    /// The handover to or from a peer for a ticket that it gave; `None` if it is not on this machine or does not take
    /// part. Then the ticket is good for a channel.
    pub async fn hand_over(&self, peer: PeerId, ticket: Ticket) -> Option<Handover> {
        let info = self.peer(peer).await.ok()??;
        let name = LocalName::of(&info)?;
        let opened = Handover::open(&name, ticket).await;
        let refused = |error: &std::io::Error| {
            debug!(peer = %peer.short(), %error, "no descriptor passes itself to this node");
        };
        opened.inspect_err(refused).ok()
    }

    /// Gives a descriptor to a peer of this machine that asks for a channel and takes it instead; `false` if it does not:
    /// then [`accept_channel`](Self::accept_channel) is the answer.
    ///
    /// # Errors
    /// The handover began and failed: the request cannot be answered any more.
    pub async fn give_descriptor(
        &self,
        request: &ChannelRequest,
        fd: impl AsFd,
    ) -> std::io::Result<bool> {
        match self.hand_over(request.peer, request.ticket).await {
            Some(handover) => handover.give(fd).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes the descriptor to which a peer of this machine gave a ticket; `None` if there is no such way: then
    /// [`open_channel`](Self::open_channel) is one.
    ///
    /// # Errors
    /// The handover began and failed: the ticket is used up.
    pub async fn take_descriptor(
        &self,
        peer: PeerId,
        ticket: Ticket,
    ) -> std::io::Result<Option<OwnedFd>> {
        match self.hand_over(peer, ticket).await {
            Some(handover) => handover.take().await.map(Some),
            None => Ok(None),
        }
    }
}
