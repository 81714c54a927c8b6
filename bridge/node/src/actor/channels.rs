//! Channels that a peer cannot open itself, since this node cannot be dialed by it, or it by the peer.
//!
//! Model: a peer that has a ticket of this node and cannot dial it asks to be dialed instead. The connection that this node
//! opens takes the place of the one that would have shown the ticket.
//! Limits: a ticket is good once; without one nothing is dialed.
//! Spec: docs/reference/protocol.md §9.11.

use tracing::info;
use zocp_zre::PeerId;

use super::Actor;
use crate::connection::open;
use crate::security::{dealer, node_key};
use crate::tickets::{Arrival, Ticket};

impl Actor {
    /// Opens a channel with the ticket `by` of a peer, for whoever waits for one with `ticket`.
    pub(super) fn turn_channel(&self, peer: PeerId, ticket: Ticket, by: Ticket) {
        let Some(info) = self.info(peer) else { return };
        let tickets = self.channels.tickets.clone();
        if !tickets.admits(ticket, info.key) {
            info!(peer = %peer.short(), "a channel is asked for with a ticket that is unknown, used or expired");
            return;
        }
        let context = self.context.clone();
        self.tasks.spawn(async move {
            let endpoint = info.endpoint.trim_start_matches("tcp://");
            let key = info.key.map(node_key);
            let codec = dealer(&context.keys, key, &by.routing_id(), context.limits.clone());
            let opened = match codec {
                Ok(codec) => {
                    open(endpoint, codec, context.handshake_max, context.silence_max).await
                }
                Err(error) => Err(error),
            };
            match opened {
                // If nobody waits any more, the connection is closed.
                Ok((stream, codec)) => {
                    let codec = Box::new(codec);
                    tickets.arrive(ticket, info.key, Arrival::Connection { stream, codec });
                }
                Err(error) => {
                    info!(peer = %peer.short(), %error, "a channel could not be opened");
                }
            }
        });
    }
}
