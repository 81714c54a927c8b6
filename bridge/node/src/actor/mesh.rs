//! The ZRE core's side of the actor: peers, and messages from and to them.
//!
//! Model: connections, beacons and handles feed the core. Its outputs go to the connections (`dials.rs`), to the model if
//! they are ZOCP, and to the reader of events.
//! Invariants: MESH-1. A peer's send credit is opened before `Entered` is reported and closed before `Exited` is. MESH-2.
//! The events of the model about a peer are reported between the two.
//! Spec: 36/ZRE; docs/reference/protocol.md §4.1, §5.8.

use std::net::SocketAddr;
use std::time::Instant;

use tracing::{debug, info, warn};
use zocp_model::{NodeId, PeerKind};
use zocp_zmtp::{Message, PublicKey};
use zocp_zre::{
    Content, DialId, Endpoint, HEADER_BRIDGE, Header, LinkError, LinkId, Output, PeerId, PeerView,
};

use super::keys::name_refused;
use super::{Actor, Link, LinkWay};
use crate::channel::HEADER_CHANNEL;
use crate::config::ZOCP_GROUP;
use crate::connection::Input;
use crate::event::Event;
use crate::passing;
use crate::peer::PeerInfo;
use crate::security::{node_key, public_key};
use crate::trace::TraceEvent;
use crate::traffic_kinds::{BeaconKind, Rejection};
use crate::venue::{self, OwnVenue};

impl Actor {
    /// Takes the outputs of the cores until none is left, and writes.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.zre.poll_output() {
                self.route(now, output);
            }
            if self.settle_model(now) || self.send_passed(now) {
                continue;
            }
            // A write may find that its connection is lost, which makes further outputs.
            match self.dirty.pop() {
                Some(dial) => self.flush(now, dial),
                None => break,
            }
        }
    }

    pub(super) fn input(&mut self, now: Instant, input: Input) {
        match input {
            Input::LinkReady {
                link,
                local,
                remote,
                identity,
                key,
                token,
                turn,
            } => match self.link_ready(now, link, (local, remote), &identity, key) {
                Ok(peer) => {
                    let ends = (local, remote);
                    let way = LinkWay::Peer(turn);
                    let state = Link {
                        token,
                        peer,
                        ends,
                        way,
                    };
                    self.links.insert(link, state);
                }
                Err((turned, why)) => {
                    self.traffic.reject(turned, Some(remote), || why);
                    token.cancel();
                }
            },
            Input::Authorize { remote, pending } => self.authorize(now, remote, pending),
            Input::LinkMessages {
                link,
                messages,
                share,
            } => {
                for message in messages {
                    self.link_message(now, link, message);
                }
                drop(share);
            }
            Input::LinkProgressed { link } => self.zre.link_progressed(now, link),
            Input::LinkClosed { link, why } => {
                if let Some(state) = self.links.remove(&link) {
                    debug!(?link, why, "a peer's connection is closed");
                    self.forget_dial_over(&state);
                    self.zre.link_closed(now, link);
                }
            }
            Input::DialReady {
                dial,
                local,
                remote,
                outgoing,
            } => {
                if self.dialed(dial, (local, remote), outgoing) {
                    let local = self.listed.to_tell(local);
                    self.zre.dial_ready(now, dial, local, remote);
                }
            }
            Input::DialOctets {
                dial,
                octets,
                share,
            } => {
                self.dial_octets(now, dial, &octets);
                drop(share);
            }
            Input::DialWritable { dial } => {
                if let Some(outgoing) = self.outgoing(dial) {
                    outgoing.writable();
                    self.dirty.push(dial);
                }
            }
            Input::DialClosed { dial, end, why } => self.dial_lost(now, dial, end, &why),
        }
    }

    /// Admits a link whose handshake is complete, and returns its peer; or the kind of rejection and why.
    fn link_ready(
        &mut self,
        now: Instant,
        link: LinkId,
        (local, remote): (SocketAddr, SocketAddr),
        identity: &[u8],
        key: Option<PublicKey>,
    ) -> Result<PeerId, (Rejection, String)> {
        // A link to another venue comes in where the user said.
        let is_link = key.is_some() && self.context.keys.open;
        if !is_link && !self.admits(local) {
            info!(%remote, %local, "refused a connection on a network not in use");
            return Err((Rejection::Network, format!("{local} is not in use")));
        }
        let opened = match key.map(node_key) {
            None => self.zre.link_opened(now, link, remote, identity),
            Some(key) => self
                .zre
                .secure_link_opened(now, link, remote, identity, key),
        };
        let refusals_log = &mut self.refusals_log;
        opened.map_err(|error| {
            match error {
                LinkError::TooMany | LinkError::TooManyThere if refusals_log.is_due(now) => {
                    warn!(%remote, %error, "refused a connection");
                }
                _ => info!(%remote, %error, "refused a connection"),
            }
            (Rejection::of_link(error), error.to_string())
        })?;
        let no_node = || (Rejection::Identity, String::from("no identity of a node"));
        PeerId::from_routing_id(identity).ok_or_else(no_node)
    }

    pub(super) fn link_message(&mut self, now: Instant, link: LinkId, message: Message) {
        let (header, content) = parts(message);
        self.count_received(link, &header, &content);
        self.zre.link_message(now, link, &header, content);
    }

    /// A message on a connection that this node opened.
    pub(super) fn dial_message(&mut self, now: Instant, dial: DialId, message: Message) {
        let (header, content) = parts(message);
        self.count_received_on_dial(dial, &header, &content);
        self.zre.dial_message(now, dial, &header, content);
    }

    fn route(&mut self, now: Instant, output: Output) {
        match output {
            Output::Beacon(beacon) => {
                self.traffic
                    .beacons
                    .add_octets(BeaconKind::Sent, beacon.len());
                self.beacons.send(&beacon);
            }
            Output::Dial {
                dial,
                endpoint,
                key,
            } => self.dial(dial, &endpoint, key),
            Output::DialOver { dial, link } => self.dial_over(dial, link),
            Output::Send {
                dial,
                header,
                content,
            } => {
                self.count_sent(dial, &header, &content);
                self.send(now, dial, &header, &content);
            }
            Output::HangUpDial(dial) => self.hang_up(dial),
            Output::HangUpLink(link) => {
                if let Some(link) = self.links.remove(&link) {
                    self.forget_dial_over(&link);
                    link.token.cancel();
                }
            }
            Output::Event(event) => self.route_event(now, event),
            _ => {}
        }
    }

    fn route_event(&mut self, now: Instant, event: zocp_zre::Event) {
        use zocp_zre::Event as Zre;
        match event {
            Zre::Entered { peer, .. } => {
                self.meet_itself(now, peer);
                self.credits.open(peer);
                self.channels.enter(peer);
                self.traffic.enter(peer);
                if let Some(info) = self.info(peer) {
                    let kind = PeerKind {
                        zocp: info.zocp,
                        extended: info.extended,
                    };
                    info!(peer = %peer.short(), name = info.name, endpoint = info.endpoint, "entered");
                    self.traffic.trace_hook().record(|| TraceEvent::Entered {
                        peer,
                        name: info.name.clone(),
                        endpoint: info.endpoint.clone(),
                    });
                    self.wanted_links.entered(now, info.key, peer);
                    let link = passing::venue_of(&info);
                    self.events.push(Event::Entered(info));
                    self.model.peer_entered(now, node_id(peer), kind);
                    if let Some(venue) = link {
                        self.link_entered(peer, &venue);
                    }
                }
            }
            Zre::Exited { peer, name, reason } => {
                info!(peer = %peer.short(), name = &*name, ?reason, "exited");
                self.traffic.exit(peer, reason);
                self.wanted_links.exited(now, peer, reason);
                self.traffic
                    .trace_hook()
                    .record(|| TraceEvent::Exited { peer, reason });
                self.unlinked(now, peer);
                self.model.peer_left(now, node_id(peer));
                self.forget(peer);
                // MESH-2: the model's events about the peer come before its `Exited`.
                self.settle_model(now);
                self.events.push(Event::Exited { peer, reason });
                self.left(peer);
            }
            Zre::Joined { peer, group } => {
                self.events.push(Event::Joined {
                    peer,
                    group: group.to_string(),
                });
            }
            Zre::Left { peer, group } => {
                self.events.push(Event::Left {
                    peer,
                    group: group.to_string(),
                });
            }
            Zre::Whispered { peer, content } => self.whispered(now, peer, content),
            Zre::Shouted {
                peer,
                group,
                content,
            } => {
                let zocp = group.as_str() == ZOCP_GROUP && self.is_zocp(now, peer, &content);
                if !zocp {
                    let group = group.to_string();
                    self.events.push(Event::Shouted {
                        peer,
                        group,
                        content,
                    });
                }
            }
            Zre::Evasive { peer } => {
                self.traffic
                    .trace_hook()
                    .record(|| TraceEvent::Evasive { peer });
                self.events.push(Event::Evasive { peer });
            }
            Zre::Returned { peer } => {
                self.traffic
                    .trace_hook()
                    .record(|| TraceEvent::Returned { peer });
                self.events.push(Event::Returned { peer });
            }
            Zre::Shared { peer } => self.events.push(Event::Shared { peer }),
            Zre::Unreachable { peer, endpoints } => self.unreachable(peer, &endpoints),
            Zre::PingAnswered { peer, rtt } => self.ping_answered(peer, rtt),
            Zre::Renewed { peer } => self.model.peer_renewed(node_id(peer)),
            Zre::StrangerHeard(stranger) => self.stranger_heard(now, &stranger),
            Zre::KeyLearned { peer, key, name } => self.key_learned(peer, key, &name),
            Zre::NameRefused {
                remote,
                name,
                key,
                holder,
            } => {
                self.traffic.rejections.add(Rejection::Impostor);
                name_refused(remote, &name, key, holder);
            }
            Zre::PeerRejected { remote, why } => {
                self.traffic
                    .reject(Rejection::of_node(why), Some(remote), || format!("{why:?}"));
                warn!(%remote, ?why, "a peer is refused");
            }
            _ => {}
        }
    }

    /// A peer can be received from but not sent to.
    fn unreachable(&mut self, peer: PeerId, endpoints: &[Endpoint]) {
        let name = self.zre.peer(peer).map_or("", |peer| peer.name());
        let tried: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        warn!(
            peer = %peer.short(), name, tried = tried.join(" "),
            "a node has opened a connection to us and cannot be reached itself; it is heard, and nothing can be said \
             to it: is a firewall or an address translation before it?"
        );
        self.credits.mark_unreachable(peer);
        self.pings.remove(&peer);
        self.events.push(Event::Unreachable { peer });
    }

    /// Drops a peer for which a message cannot be queued, and meets it afresh, so that no message is silently missing.
    pub(super) fn give_up(&mut self, now: Instant, peer: PeerId) {
        warn!(peer = %peer.short(), "the peer does not keep up and is met afresh");
        self.zre.give_up(now, peer);
    }

    fn forget(&mut self, peer: PeerId) {
        self.credits.close(peer);
        self.channels.leave(peer);
        // Dropping the senders tells those who wait that the peer is gone.
        self.pings.remove(&peer);
    }

    fn ping_answered(&mut self, peer: PeerId, rtt: std::time::Duration) {
        let Some(waiting) = self.pings.get_mut(&peer) else {
            return;
        };
        if let Some(answer) = waiting.pop_front() {
            // The caller may be gone.
            let _ = answer.send(rtt);
        }
        if waiting.is_empty() {
            self.pings.remove(&peer);
        }
    }
}

/// The header of a message, and its content. A whisper has two frames; the second is taken over without a copy.
fn parts(message: Message) -> (Header, Content) {
    if message.len() == 2 {
        let header = message.frame(0).unwrap_or_default().into();
        (header, message.into_frame(1).into_iter().collect())
    } else {
        let mut frames = message.into_frames();
        let header = frames.next().unwrap_or_default();
        ((*header).into(), frames.collect())
    }
}

/// What is known of a peer, to a node of the venue `own`.
pub(super) fn describe(peer: PeerView<'_>, own: &OwnVenue) -> PeerInfo {
    let venue = own.of_peer(&peer);
    PeerInfo {
        id: peer.id(),
        name: venue::qualified(venue.as_deref(), peer.name()),
        venue,
        via: None,
        endpoint: peer.endpoint().to_string(),
        headers: peer
            .headers()
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        groups: peer.groups().iter().map(ToString::to_string).collect(),
        zocp: peer.headers().value("X-ZOCP").is_some(),
        extended: peer.headers().value(HEADER_BRIDGE) == Some("1"),
        channels: peer.headers().value(HEADER_CHANNEL) == Some("1"),
        evasive: peer.is_evasive(),
        unreachable: peer.is_unreachable(),
        shared: peer.shared(),
        key: peer.key().and_then(public_key),
        round_trip: peer.round_trip(),
    }
}

pub(super) fn node_id(peer: PeerId) -> NodeId {
    NodeId::new(*peer.as_bytes())
}

pub(super) fn peer_id(node: NodeId) -> PeerId {
    PeerId::new(*node.octets())
}
