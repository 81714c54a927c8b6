//! What handles request of the mesh (messages, groups, peers, PINGs), and whispers that come.

use std::time::Instant;

use tokio::sync::oneshot;
use tracing::debug;
use zocp_zre::{Content, PeerId, SendError};

use super::Actor;
use super::mesh::describe;
use crate::channel::{Asked, request_in};
use crate::config::ZOCP_GROUP;
use crate::credit::CreditPermit;
use crate::error::{Invalid, NodeError};
use crate::event::Event;
use crate::passing;
use crate::peer::PeerInfo;

impl Actor {
    /// A whisper has come: about a node of another venue, for a channel, ZOCP, or for the program.
    pub(super) fn whispered(&mut self, now: Instant, peer: PeerId, content: Content) {
        if let Some(passed) = passing::read(&content) {
            self.passed(now, peer, passed);
        } else if let Some(request) = request_in(&content) {
            match self.channels.received(peer, request) {
                Some(Asked::Channel(request)) => self.events.push(Event::ChannelRequested(request)),
                Some(Asked::Turn { ticket, by }) => self.turn_channel(peer, ticket, by),
                None => {}
            }
        } else if !self.is_zocp(now, peer, &content) {
            self.events.push(Event::Whispered { peer, content });
        }
    }

    pub(super) fn whisper(
        &mut self,
        now: Instant,
        peer: PeerId,
        content: Content,
        permit: CreditPermit,
    ) {
        match self.zre.whisper(now, peer, content) {
            Ok(()) => permit.charge(),
            Err(SendError::Busy) => self.give_up(now, peer),
            // The peer left after the permit was acquired.
            Err(error) => debug!(peer = %peer.short(), %error, "a whisper was not sent"),
        }
    }

    pub(crate) fn shout(
        &mut self,
        now: Instant,
        group: &str,
        content: Content,
    ) -> Result<(), NodeError> {
        self.zre.shout(now, group, content).map_err(not_sent)?;
        Ok(())
    }

    pub(crate) fn join(&mut self, now: Instant, group: &str) -> Result<(), NodeError> {
        self.zre.join(now, group).map_err(not_sent)?;
        Ok(())
    }

    pub(crate) fn leave(&mut self, now: Instant, group: &str) -> Result<(), NodeError> {
        if group == ZOCP_GROUP {
            return Err(Invalid::HomeGroup.into());
        }
        self.zre.leave(now, group).map_err(not_sent)?;
        Ok(())
    }

    pub(crate) fn groups(&self) -> Vec<String> {
        self.zre
            .own_groups()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        let own = &self.venue;
        let met = self.zre.peers().map(|peer| describe(peer, own));
        met.chain(self.nodes_away()).collect()
    }

    pub(crate) fn ping(
        &mut self,
        now: Instant,
        peer: PeerId,
    ) -> Result<oneshot::Receiver<std::time::Duration>, NodeError> {
        // Of a node of another venue, who passes it on is asked.
        let peer = self.passing.via(peer).unwrap_or(peer);
        self.zre.ping(now, peer).map_err(|error| match error {
            SendError::NoSuchPeer => NodeError::NodeGone(peer),
            SendError::Unreachable => NodeError::Unreachable(peer),
            other => not_sent(other),
        })?;
        let (answer, answered) = oneshot::channel();
        self.pings.entry(peer).or_default().push_back(answer);
        Ok(answered)
    }

    pub(crate) fn info(&self, peer: PeerId) -> Option<PeerInfo> {
        let own = &self.venue;
        let met = self.zre.peer(peer).map(|peer| describe(peer, own));
        met.or_else(|| self.node_away(peer))
    }
}

fn not_sent(error: SendError) -> NodeError {
    match error {
        SendError::Busy => NodeError::Busy,
        other => Invalid::Send(other).into(),
    }
}
