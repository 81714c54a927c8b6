//! Peers, groups, and messages that are not ZOCP.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use zocp_zre::{Content, PeerId};

use super::Node;
use crate::command::Command;
use crate::error::{Invalid, NodeError};
use crate::interfaces::Network;
use crate::passing::PassRule;
use crate::peer::PeerInfo;
use crate::wanted_links::LinkState;

/// # Peers and messages
///
/// 36/ZRE: a *whisper* is a message to one peer, a *shout* one to all peers in a group. The frames of a message are
/// octets without any meaning to this crate.
impl Node {
    /// Sends a message to one peer. Waits while more than
    /// [`outgoing_whispers_max`](crate::Limits::outgoing_whispers_max) octets are queued for it.
    ///
    /// # Errors
    /// `NodeGone`; `Unreachable`; `Closed`; `Invalid` when `content` has no frame.
    pub async fn whisper(
        &self,
        peer: PeerId,
        content: impl Into<Content>,
    ) -> Result<(), NodeError> {
        let content = checked(content.into())?;
        let permit = self.shared.credits.acquire(peer, octets(&content)).await?;
        let command = Command::Whisper {
            peer,
            content,
            permit,
        };
        let sent = self.shared.requests.send(command).await;
        sent.map_err(|_| NodeError::Closed)
    }

    /// Sends a message to one peer, or fails where [`whisper`](Self::whisper) would wait.
    ///
    /// # Errors
    /// `Busy`; `NodeGone`; `Unreachable`; `Closed`; `Invalid` when `content` has no frame.
    pub fn try_whisper(&self, peer: PeerId, content: impl Into<Content>) -> Result<(), NodeError> {
        let content = checked(content.into())?;
        let slot = self.shared.requests.try_reserve();
        let slot = slot.map_err(|error| match error {
            TrySendError::Full(()) => NodeError::Busy,
            TrySendError::Closed(()) => NodeError::Closed,
        })?;
        let permit = self.shared.credits.try_acquire(peer, octets(&content))?;
        slot.send(Command::Whisper {
            peer,
            content,
            permit,
        });
        Ok(())
    }

    /// Waits until at most `octets` are queued for a peer. A sender of much data that waits here before each message
    /// leaves room for the messages of others.
    ///
    /// # Errors
    /// `NodeGone`; `Unreachable`.
    pub async fn drained(&self, peer: PeerId, octets: usize) -> Result<(), NodeError> {
        self.shared.credits.drained(peer, octets).await
    }

    /// The octets that wait to be written to a peer; 0 when it is not present.
    #[must_use]
    pub fn queued(&self, peer: PeerId) -> usize {
        self.shared.credits.queued(peer)
    }

    /// The octets that wait to be written to all peers together.
    #[must_use]
    pub fn queued_for_all(&self) -> usize {
        self.shared.credits.queued_for_all()
    }

    /// Sends a message to every peer in a group.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `content` has no frame or `group` is no name of a group.
    pub async fn shout(&self, group: &str, content: impl Into<Content>) -> Result<(), NodeError> {
        let content = checked(content.into())?;
        let group = group.to_owned();
        self.request(move |actor, now| actor.shout(now, &group, content))
            .await?
    }

    /// Joins a group.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `group` is no name of a group.
    pub async fn join(&self, group: &str) -> Result<(), NodeError> {
        let group = group.to_owned();
        self.request(move |actor, now| actor.join(now, &group))
            .await?
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `group` is `ZOCP`, in which every node is.
    pub async fn leave(&self, group: &str) -> Result<(), NodeError> {
        let group = group.to_owned();
        self.request(move |actor, now| actor.leave(now, &group))
            .await?
    }

    /// Connects to the peer at an endpoint, `tcp://host:port`, without waiting for its beacon, and again whenever the
    /// connection is lost. On a secure mesh the peer's public key follows: `tcp://host:port|key`.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `endpoint` is none, or has a key although the mesh is not secure, or has none although
    /// it is.
    pub async fn connect(&self, endpoint: &str) -> Result<(), NodeError> {
        let endpoint = endpoint.to_owned();
        self.request(move |actor, now| actor.connect(now, &endpoint))
            .await?
    }

    /// Takes back a [`connect`](Self::connect): the endpoint is not dialed for that any more. A peer that is present
    /// stays. Returns `false` if nobody asked for it.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `endpoint` is none.
    pub async fn disconnect(&self, endpoint: &str) -> Result<bool, NodeError> {
        let endpoint = endpoint.to_owned();
        self.request(move |actor, now| actor.disconnect(now, &endpoint))
            .await?
    }

    /// Connects to the peer at an endpoint, `tcp://host:port|key`, whose key is trusted from now on. The peer answers on
    /// the connection that this node opens, so it needs none to this node. Only on a secure mesh.
    ///
    /// # Errors
    /// `Closed`; `Invalid` when `endpoint` is none or has no key, or the mesh is not secure.
    pub async fn link(&self, endpoint: &str) -> Result<(), NodeError> {
        let endpoint = endpoint.to_owned();
        self.request(move |actor, now| actor.link(now, &endpoint))
            .await?
    }

    /// Takes back a [`link`](Self::link) and closes its connection. Its key stays trusted. Returns `false` if nobody asked
    /// for it.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub async fn unlink(&self, endpoint: &str) -> Result<bool, NodeError> {
        let endpoint = endpoint.to_owned();
        self.request(move |actor, now| actor.unlink(now, &endpoint))
            .await?
    }

    /// The state of all links, in the order in which they were asked for.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn links(&self) -> Result<Vec<LinkState>, NodeError> {
        self.request(|actor, now| actor.links(now)).await
    }

    /// The peers that are present.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NodeError> {
        self.request(|actor, _| actor.peers()).await
    }

    /// What is known of a peer; `None` if it is not present.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn peer(&self, peer: PeerId) -> Result<Option<PeerInfo>, NodeError> {
        self.request(move |actor, _| actor.info(peer)).await
    }

    /// Chooses which nodes of its venue this node passes on to other venues from now on.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn pass(&self, rules: Vec<PassRule>) -> Result<(), NodeError> {
        self.request(move |actor, _| actor.set_pass(rules)).await
    }

    /// The groups that this node is in.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn groups(&self) -> Result<Vec<String>, NodeError> {
        self.request(|actor, _| actor.groups()).await
    }

    /// The networks that carry the mesh at present. [`Event::Networks`](crate::Event::Networks) reports changes.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn networks(&self) -> Result<Vec<Network>, NodeError> {
        self.request(|actor, _| actor.networks()).await
    }

    /// Asks a peer for a sign of life and returns the time until it came.
    ///
    /// # Errors
    /// `NodeGone`, also when the peer stays silent for [`silence_max`](crate::Config::silence_max); `Unreachable`;
    /// `Busy`; `Closed`.
    pub async fn ping(&self, peer: PeerId) -> Result<Duration, NodeError> {
        let reply = self
            .request(move |actor, now| actor.ping(now, peer))
            .await??;
        reply.await.map_err(|_| NodeError::NodeGone(peer))
    }
}

fn checked(content: Content) -> Result<Content, NodeError> {
    if content.is_empty() {
        Err(Invalid::NoContent.into())
    } else {
        Ok(content)
    }
}

fn octets(content: &[Bytes]) -> usize {
    content.iter().map(Bytes::len).sum()
}
