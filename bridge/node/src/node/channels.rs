//! Channels to other nodes.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use zocp_model::Value;
use zocp_zmtp::PublicKey;
use zocp_zre::{PeerId, SharedWay};

use super::Node;
use crate::channel::{Carried, Channel, ChannelRequest, ChannelSlot, LocalEnd, Request};
use crate::connection::{HANDSHAKE_LONGEST, open};
use crate::error::{NodeError, RemoteError};
use crate::handover::Handover;
use crate::peer::PeerInfo;
use crate::security::{dealer, node_key};
use crate::tickets::{Arrival, TICKET_TIME_MAX, Ticket};

/// A channel that a peer is to open with a ticket. Dropping it withdraws the ticket.
#[derive(Debug)]
pub struct OfferedChannel {
    node: Node,
    peer: PeerId,
    ticket: Ticket,
    slot: Option<ChannelSlot>,
    time_max: Duration,
    arrived: oneshot::Receiver<Arrival>,
}

/// What a peer did with a ticket.
#[derive(Debug)]
pub enum Redeemed {
    /// It opened the channel.
    Channel(Box<Channel>),
    /// It is a node of this machine: a descriptor passes itself.
    Handover(Handover),
}

impl OfferedChannel {
    /// The ticket, for a message to the peer.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Waits until the peer has opened the channel.
    ///
    /// # Errors
    /// `Timeout` when it did not as long as the ticket is good; `NodeGone`.
    pub async fn opened(self) -> Result<Channel, NodeError> {
        match self.redeemed().await? {
            Redeemed::Channel(channel) => Ok(*channel),
            // Never: the ticket was not issued for it.
            Redeemed::Handover(_) => Err(NodeError::Timeout),
        }
    }

    /// The same for a ticket that may be shown by a process of this machine.
    ///
    /// # Errors
    /// As [`opened`](Self::opened).
    pub async fn redeemed(mut self) -> Result<Redeemed, NodeError> {
        match timeout(self.time_max, &mut self.arrived).await {
            Ok(Ok(arrival)) => self.taken(arrival),
            Ok(Err(_)) => Err(NodeError::NodeGone(self.peer)),
            Err(_) => Err(NodeError::Timeout),
        }
    }

    pub(super) fn taken(&mut self, arrival: Arrival) -> Result<Redeemed, NodeError> {
        let gone = NodeError::NodeGone(self.peer);
        let slot = self.slot.take().ok_or(gone)?;
        Ok(match arrival {
            Arrival::Connection { stream, codec } => {
                let channel = Channel::new(self.peer, stream, *codec, slot);
                Redeemed::Channel(Box::new(channel))
            }
            Arrival::Here(socket) => Redeemed::Handover(Handover::of(socket)),
        })
    }
}

impl Drop for OfferedChannel {
    fn drop(&mut self) {
        self.node.shared.channels.tickets.withdraw(self.ticket);
    }
}

/// # Channels
///
/// A [`Channel`] is a pipe beside the messages to one peer, with its own flow control: for what is too much for
/// messages. Only nodes that send the header `X-ZOCP-CHANNEL` have them ([`PeerInfo::channels`]).
impl Node {
    /// Asks a peer for a channel; the peer gets [`Event::ChannelRequested`](crate::Event::ChannelRequested) with
    /// `purpose`.
    ///
    /// # Errors
    /// `NoChannels`; `Remote` with the peer's refusal; `Timeout`; `Busy` when the peer has too many channels;
    /// `NodeGone`; `Unreachable`; `Closed`.
    pub async fn request_channel(
        &self,
        peer: PeerId,
        purpose: Value,
    ) -> Result<Channel, NodeError> {
        let offered = self.offer_channel(peer).await?;
        match self.ask(offered, purpose).await? {
            Redeemed::Channel(channel) => Ok(*channel),
            // Never: the ticket was not issued for it.
            Redeemed::Handover(_) => Err(NodeError::Timeout),
        }
    }

    /// Asks a peer to redeem a ticket, and waits until it did.
    pub(super) async fn ask(
        &self,
        mut offered: OfferedChannel,
        purpose: Value,
    ) -> Result<Redeemed, NodeError> {
        let peer = offered.peer;
        let mut pending = self.shared.channels.ask(peer);
        let open = Request::Open {
            id: pending.id,
            ticket: offered.ticket,
            purpose,
        };
        self.whisper(peer, open.write()).await?;
        let gone = NodeError::NodeGone(peer);
        let answer = async {
            // Cancel-safe: both only wait.
            tokio::select! {
                arrived = &mut offered.arrived => arrived.map_err(|_| gone.clone()),
                refused = &mut pending.refused => {
                    Err(refused.map_or_else(|_| gone.clone(), NodeError::Remote))
                }
            }
        };
        let arrival = timeout(offered.time_max, answer).await;
        let arrival = arrival.unwrap_or(Err(NodeError::Timeout))?;
        offered.taken(arrival)
    }

    /// Gives the peer the channel that it asks for.
    ///
    /// # Errors
    /// `NodeGone`; `Busy` when the peer has too many channels; `Unreachable` when the peer does not take it (any
    /// more); `Closed`.
    pub async fn accept_channel(&self, request: &ChannelRequest) -> Result<Channel, NodeError> {
        self.open_channel(request.peer, request.ticket).await
    }

    /// Refuses the channel that a peer asks for.
    ///
    /// # Errors
    /// `NodeGone`; `Unreachable`; `Closed`.
    pub async fn refuse_channel(
        &self,
        request: &ChannelRequest,
        error: RemoteError,
    ) -> Result<(), NodeError> {
        let id = request.id;
        let refused = Request::Refused { id, error };
        self.whisper(request.peer, refused.write()).await
    }

    /// Lets a peer open a channel: it needs the ticket, once and within [`TICKET_TIME_MAX`], or longer on a slow line.
    ///
    /// # Errors
    /// `NoChannels`; `Busy` when the peer has too many channels; `NodeGone`; `Closed`.
    pub async fn offer_channel(&self, peer: PeerId) -> Result<OfferedChannel, NodeError> {
        let info = self.with_channels(peer).await?;
        self.try_offer_channel(peer, info.key, ticket_time(&info))
    }

    /// As [`offer_channel`](Self::offer_channel), to a peer that knows channels and has this key. The ticket is good for
    /// `time_max`.
    ///
    /// # Errors
    /// `Busy`; `NodeGone`.
    #[doc(hidden)]
    pub fn try_offer_channel(
        &self,
        peer: PeerId,
        key: Option<PublicKey>,
        time_max: Duration,
    ) -> Result<OfferedChannel, NodeError> {
        self.offer((peer, key), time_max, false)
    }

    pub(super) fn offer(
        &self,
        (peer, key): (PeerId, Option<PublicKey>),
        time_max: Duration,
        here: bool,
    ) -> Result<OfferedChannel, NodeError> {
        let channels = &self.shared.channels;
        let slot = channels.slots.take(peer)?;
        let mut octets = [0; 16];
        getrandom::fill(&mut octets).map_err(|_| NodeError::Busy)?;
        let ticket = Ticket::new(octets);
        let arrived = channels.tickets.issue(ticket, (peer, key), time_max, here);
        Ok(OfferedChannel {
            node: self.clone(),
            peer,
            ticket,
            slot: Some(slot),
            time_max,
            arrived: arrived.ok_or(NodeError::Busy)?,
        })
    }

    /// Opens a channel with a ticket that a peer gave.
    ///
    /// # Errors
    /// `NoChannels`; `Busy` when the peer has too many channels; `NodeGone`; `Unreachable` when the peer does not
    /// take it (any more); `Closed`.
    pub async fn open_channel(&self, peer: PeerId, ticket: Ticket) -> Result<Channel, NodeError> {
        let info = self.with_channels(peer).await?;
        if info.shared == Some(SharedWay::Theirs) {
            return self.turn_channel(&info, ticket).await;
        }
        let slot = self.shared.channels.slots.take(peer)?;
        let context = &self.shared.channel_context;
        let key = info.key.map(node_key);
        let identity = ticket.routing_id();
        let lost = |error: io::Error| {
            tracing::info!(peer = %peer.short(), %error, "a channel could not be opened");
            NodeError::Unreachable(peer)
        };
        let codec = dealer(&context.keys, key, &identity, context.limits.clone());
        let codec = codec.map_err(lost)?;
        let endpoint = info.endpoint.trim_start_matches("tcp://").to_owned();
        let opening = open(&endpoint, codec, context.handshake_max, context.silence_max);
        // Cancel-safe: the connection is closed when the peer leaves.
        let (stream, codec) = tokio::select! {
            opened = opening => opened.map_err(lost)?,
            () = slot.gone().cancelled() => return Err(NodeError::NodeGone(peer)),
        };
        Ok(Channel::new(peer, stream, codec, slot))
    }

    /// Has a peer that cannot be dialed open the channel for which it gave a ticket.
    async fn turn_channel(&self, info: &PeerInfo, ticket: Ticket) -> Result<Channel, NodeError> {
        // protocol.md §9.11
        let peer = info.id;
        let offered = self.try_offer_channel(peer, info.key, ticket_time(info))?;
        let by = offered.ticket();
        let turn = Request::Turn { ticket, by };
        self.whisper(peer, turn.write()).await?;
        offered.opened().await.map_err(|error| match error {
            NodeError::Timeout => NodeError::Unreachable(peer),
            other => other,
        })
    }

    /// Carries a channel to and from a descriptor, until both directions are over; then the descriptor is closed.
    /// Dropping the future does not stop it.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn carry(
        &self,
        channel: Channel,
        local: LocalEnd,
    ) -> io::Result<impl Future<Output = Option<Carried>> + Send + 'static> {
        let carried = self.shared.channels.carry(channel, local)?;
        // `None` when the node has ended.
        Ok(async move { carried.await.ok() })
    }

    /// How many channels a peer has, with those that are being opened.
    #[must_use]
    pub fn channels(&self, peer: PeerId) -> usize {
        self.shared.channels.slots.count(peer)
    }

    /// A peer that knows channels.
    pub(super) async fn with_channels(&self, peer: PeerId) -> Result<PeerInfo, NodeError> {
        let info = self.peer(peer).await?;
        let info = info.ok_or(NodeError::NodeGone(peer))?;
        match info.channels {
            true => Ok(info),
            false => Err(NodeError::NoChannels),
        }
    }
}

/// How long a ticket is good that a peer is given in a request: for the request, and a connection with its handshake.
fn ticket_time(info: &PeerInfo) -> Duration {
    // protocol.md §2.13
    let needed = info.round_trip.unwrap_or_default() * 8;
    needed.min(HANDSHAKE_LONGEST).max(TICKET_TIME_MAX)
}
