//! The connections on which this node sends: those that it opened, and those of peers that it cannot dial.
//!
//! Model: a [`Dial`] is the actor's end of a connection; its task (`connection/dial.rs`) reads and waits. Messages are
//! queued in the codec and written when the actor settles, so that a burst is one write.
//! Invariants: DIAL-1. A dial that has something to write is in `dirty`, or its task waits until the socket takes
//! octets again and reports that. DIAL-2. A dial that is hung up is closed when everything queued before is written.
//! Limits: `Limits::zmtp.output_len_max` queued for one connection; beyond it the connection is closed, and the peer met
//! afresh.
//! Spec: 23/ZMTP; docs/reference/protocol.md §2.1.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use zocp_zmtp::Message;
use zocp_zre::{DialEnd, DialId, Endpoint, LinkId, NodeKey};

use super::{Actor, Link, LinkWay};
use crate::connection::{Outgoing, run_dial};
use crate::security::public_key;

/// One connection that this node opened.
pub(super) struct Dial {
    token: CancellationToken,
    /// `None` until connected.
    outgoing: Option<Box<Outgoing>>,
    /// The local and the remote address; `None` until connected.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    /// Whether to close it when everything is written.
    closing: bool,
    /// The key that the peer must prove, on a secure mesh.
    key: Option<NodeKey>,
    /// The connection of the peer that it goes over, if it is not one of its own.
    over: Option<LinkId>,
}

impl Dial {
    fn new(token: CancellationToken, key: Option<NodeKey>, over: Option<LinkId>) -> Self {
        Self {
            token,
            key,
            outgoing: None,
            ends: None,
            closing: false,
            over,
        }
    }

    pub(super) fn has_queued(&self) -> bool {
        self.outgoing
            .as_ref()
            .is_some_and(|outgoing| outgoing.codec.output_len() > 0)
    }
}

impl Actor {
    pub(super) fn dial(&mut self, dial: DialId, endpoint: &Endpoint, key: Option<NodeKey>) {
        let token = self.connections.child_token();
        let identity = self.id.routing_id();
        let networks = &self.listed.networks;
        let index_of = |name: &str| Some(networks.iter().find(|it| it.name == name)?.index);
        let address = endpoint.to_dial(index_of);
        self.tasks.spawn(run_dial(
            dial,
            (address, key),
            identity,
            self.context.clone(),
            token.clone(),
        ));
        self.dials.insert(dial, Dial::new(token, key, None));
    }

    /// Has the task of a link give its writing half to the actor.
    pub(super) fn dial_over(&mut self, dial: DialId, link: LinkId) {
        // If the link is closed, that is reported to the core.
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let token = state.token.clone();
        if let LinkWay::Peer(turn) = std::mem::replace(&mut state.way, LinkWay::Both(dial)) {
            // If the task has ended, its report is on the way.
            let _ = turn.send(dial);
        }
        self.dials.insert(dial, Dial::new(token, None, Some(link)));
    }

    /// A link is closed, and the dial that went over it.
    pub(super) fn forget_dial_over(&mut self, link: &Link) {
        if let LinkWay::Both(dial) = link.way {
            self.dials.remove(&dial);
        }
    }

    /// Takes over the writing half of a connection that is ready; `false` if the dial was given up.
    pub(super) fn dialed(
        &mut self,
        dial: DialId,
        ends: (SocketAddr, SocketAddr),
        outgoing: Box<Outgoing>,
    ) -> bool {
        let Some(state) = self.dials.get_mut(&dial) else {
            return false;
        };
        state.outgoing = Some(outgoing);
        state.ends = Some(ends);
        true
    }

    pub(super) fn outgoing(&mut self, dial: DialId) -> Option<&mut Outgoing> {
        self.dials.get_mut(&dial)?.outgoing.as_deref_mut()
    }

    pub(super) fn dial_lost(&mut self, now: Instant, dial: DialId, end: DialEnd, why: &str) {
        let Some(state) = self.dials.remove(&dial) else {
            return;
        };
        debug!(?dial, why, "our connection to a peer is closed");
        state.token.cancel();
        if let Some(key) = state.key.and_then(public_key) {
            self.wanted_links.failed(key, why);
        }
        match state.over {
            None => self.zre.dial_closed(now, dial, end),
            Some(link) => {
                self.links.remove(&link);
                self.zre.link_closed(now, link);
            }
        }
    }

    pub(super) fn send(&mut self, now: Instant, dial: DialId, header: &[u8], content: &[Bytes]) {
        let Some(outgoing) = self.outgoing(dial) else {
            return;
        };
        let idle = outgoing.codec.output_len() == 0;
        let frames: SmallVec<[&[u8]; 4]> = std::iter::once(header)
            .chain(content.iter().map(AsRef::as_ref))
            .collect();
        match outgoing.codec.send(&frames) {
            Ok(()) if idle => self.dirty.push(dial),
            Ok(()) => {}
            // A message that is not sent is a gap in the sequence numbers, so the peer is met afresh.
            Err(error) => self.dial_lost(now, dial, DialEnd::Closed, &error.to_string()),
        }
    }

    /// Writes what the socket takes, and releases the credit of what was written.
    pub(super) fn flush(&mut self, now: Instant, dial: DialId) {
        let Some(state) = self.dials.get_mut(&dial) else {
            return;
        };
        let Some(outgoing) = &mut state.outgoing else {
            if state.closing {
                state.token.cancel();
                self.dials.remove(&dial);
            }
            return;
        };
        match outgoing.flush() {
            Ok(written) => {
                let empty = outgoing.codec.output_len() == 0;
                if written > 0 && !empty {
                    self.zre.dial_progressed(now, dial);
                }
                if empty && state.closing {
                    outgoing.finish();
                    let (token, tasks) = (state.token.clone(), &self.tasks);
                    tasks.spawn(async move {
                        tokio::time::sleep(FINISH_MAX).await;
                        token.cancel();
                    });
                    self.dials.remove(&dial);
                } else if let Some(peer) = self.zre.dialed_peer(dial) {
                    let done = empty && !self.zre.holds(peer);
                    self.credits
                        .release(peer, if done { usize::MAX } else { written });
                }
            }
            Err(error) => self.dial_lost(now, dial, DialEnd::Closed, &error.to_string()),
        }
    }

    /// Closes a connection as soon as all that is queued is written.
    pub(super) fn hang_up(&mut self, dial: DialId) {
        if let Some(state) = self.dials.get_mut(&dial) {
            state.closing = true;
            self.dirty.push(dial);
            if let Some(link) = state.over {
                self.links.remove(&link);
            }
        }
    }

    /// Handles octets from the peer of a dial: PINGs of ZMTP, which the codec answers, and messages of a peer that shares
    /// the connection.
    pub(super) fn dial_octets(&mut self, now: Instant, dial: DialId, octets: &[u8]) {
        let Some(outgoing) = self.outgoing(dial) else {
            return;
        };
        let outcome = outgoing.codec.handle_input(octets);
        let messages: Vec<Message> = std::iter::from_fn(|| outgoing.codec.poll_event())
            .filter_map(|event| match event {
                zocp_zmtp::Event::Message(message) => Some(message),
                _ => None,
            })
            .collect();
        let is_within_message = outgoing.codec.is_within_message();
        let over = self.dials.get(&dial).and_then(|state| state.over);
        if is_within_message && messages.is_empty() {
            match over {
                Some(link) => self.zre.link_progressed(now, link),
                None => self.zre.dial_progressed(now, dial),
            }
        }
        for message in messages {
            match over {
                Some(link) => self.link_message(now, link, message),
                None => self.dial_message(now, dial, message),
            }
        }
        match outcome {
            Ok(()) => self.dirty.push(dial),
            Err(error) => self.dial_lost(now, dial, DialEnd::Protocol, &error.to_string()),
        }
    }
}

/// How long a peer may take to close a connection after this node has closed its side.
const FINISH_MAX: Duration = Duration::from_secs(1);
