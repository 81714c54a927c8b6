//! The ZRE core's side of the house: who is here, and what is said to and by whom.
//!
//! Model: connections, beacons and handles feed the core; what it puts out goes to the connections
//! (`dials.rs`), to the model as far as it is ZOCP, and to the reader of events.
//! Invariants: I1. A peer's gate opens before `Entered` is told and closes before `Exited` is. I2. What the
//! model says of a peer is told between the two.
//! Spec: 36/ZRE; docs/reference/protocol.md §4.1, §5.8.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::{debug, info, warn};
use zocp_model::{NodeId, PeerKind};
use zocp_zmtp::{Message, PublicKey};
use zocp_zre::{
    Content, Endpoint, HEADER_BRIDGE, Header, LinkError, LinkId, Output, PeerId, PeerView,
    SendError,
};

use super::keys::name_refused;
use super::{Actor, Link};
use crate::config::ZOCP_GROUP;
use crate::connection::Input;
use crate::credit::CreditPermit;
use crate::error::{Invalid, NodeError};
use crate::event::Event;
use crate::peer::PeerInfo;
use crate::security::{node_key, public_key};
use crate::trace::TraceEvent;
use crate::traffic_kinds::{BeaconKind, Rejection};

impl Actor {
    /// Takes what the cores put out, until nothing is left, and writes.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.zre.poll_output() {
                self.route(now, output);
            }
            if self.settle_model(now) {
                continue;
            }
            // A connection that turns out to be lost is news to the cores.
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
            } => match self.link_ready(now, link, (local, remote), &identity, key) {
                Ok(peer) => {
                    let ends = (local, remote);
                    self.links.insert(link, Link { token, peer, ends });
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
                turn,
            } => {
                for message in messages {
                    self.link_message(now, link, message);
                }
                drop(turn);
            }
            Input::LinkProgressed { link } => self.zre.link_progressed(now, link),
            Input::LinkClosed { link, why } => {
                if self.links.remove(&link).is_some() {
                    debug!(?link, why, "a peer's connection is closed");
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
                    self.zre.dial_ready(now, dial, local, remote);
                }
            }
            Input::DialOctets { dial, octets } => self.dial_octets(now, dial, &octets),
            Input::DialWritable { dial } => {
                if let Some(outgoing) = self.outgoing(dial) {
                    outgoing.writable();
                    self.dirty.push(dial);
                }
            }
            Input::DialClosed { dial, end, why } => self.dial_lost(now, dial, end, &why),
        }
    }

    /// Whose a connection is that came to our mailbox; none but a node of the mesh is let in.
    fn link_ready(
        &mut self,
        now: Instant,
        link: LinkId,
        (local, remote): (SocketAddr, SocketAddr),
        identity: &[u8],
        key: Option<PublicKey>,
    ) -> Result<PeerId, (Rejection, String)> {
        if !self.admits(local) {
            info!(%remote, %local, "refused a connection on a network not in use");
            return Err((Rejection::Network, format!("{local} is not in use")));
        }
        let opened = match key.map(node_key) {
            None => self.zre.link_opened(now, link, remote, identity),
            Some(key) => self
                .zre
                .secure_link_opened(now, link, remote, identity, key),
        };
        let refused = &mut self.refused;
        opened.map_err(|error| {
            match error {
                LinkError::TooMany | LinkError::TooManyThere if refused.is_due(now) => {
                    warn!(%remote, %error, "refused a connection");
                }
                _ => info!(%remote, %error, "refused a connection"),
            }
            (error.into(), error.to_string())
        })?;
        let no_node = || (Rejection::Identity, String::from("no identity of a node"));
        PeerId::from_routing_id(identity).ok_or_else(no_node)
    }

    fn link_message(&mut self, now: Instant, link: LinkId, message: Message) {
        // Whispers have two frames; their content is taken over without a copy.
        if message.len() == 2 {
            let header: Header = message.frame(0).unwrap_or_default().into();
            let content: Content = message.into_frame(1).into_iter().collect();
            self.count_received(link, &header, &content);
            self.zre.link_message(now, link, &header, content);
        } else {
            let mut frames = message.into_frames();
            let header = frames.next().unwrap_or_default();
            let content: Content = frames.collect();
            self.count_received(link, &header, &content);
            self.zre.link_message(now, link, &header, content);
        }
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
                self.credits.open(peer);
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
                    self.events.push(Event::Entered(info));
                    self.model.peer_entered(now, node_id(peer), kind);
                }
            }
            Zre::Exited { peer, name, reason } => {
                info!(peer = %peer.short(), name = &*name, ?reason, "exited");
                self.traffic.exit(peer, reason);
                self.traffic
                    .trace_hook()
                    .record(|| TraceEvent::Exited { peer, reason });
                self.model.peer_left(now, node_id(peer));
                self.forget(peer);
                // What the model has to say about the peer comes before its `Exited`.
                self.settle_model(now);
                self.events.push(Event::Exited { peer, reason });
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
                    .reject(why.into(), Some(remote), || format!("{why:?}"));
                warn!(%remote, ?why, "a peer is refused");
            }
            _ => {}
        }
    }

    fn whispered(&mut self, now: Instant, peer: PeerId, content: Content) {
        if !self.is_zocp(now, peer, &content) {
            self.events.push(Event::Whispered { peer, content });
        }
    }

    /// A peer is heard, and nothing can be said to it.
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

    /// What was promised to a peer cannot be queued for it: it is met afresh, so that nothing is
    /// silently missing.
    pub(super) fn give_up(&mut self, now: Instant, peer: PeerId) {
        warn!(peer = %peer.short(), "the peer does not keep up and is met afresh");
        self.zre.give_up(now, peer);
    }

    fn forget(&mut self, peer: PeerId) {
        self.credits.close(peer);
        // Whoever waits learns that the peer is gone.
        self.pings.remove(&peer);
    }

    fn ping_answered(&mut self, peer: PeerId, rtt: std::time::Duration) {
        let Some(waiting) = self.pings.get_mut(&peer) else {
            return;
        };
        if let Some(answer) = waiting.pop_front() {
            // Who asked may have gone.
            let _ = answer.send(rtt);
        }
        if waiting.is_empty() {
            self.pings.remove(&peer);
        }
    }
}

// What handles ask for.
impl Actor {
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
            // The peer left after its gate had let this through.
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
        self.zre.peers().map(describe).collect()
    }

    pub(crate) fn ping(
        &mut self,
        now: Instant,
        peer: PeerId,
    ) -> Result<oneshot::Receiver<std::time::Duration>, NodeError> {
        self.zre.ping(now, peer).map_err(|error| match error {
            SendError::NoSuchPeer => NodeError::NodeGone(peer),
            SendError::Unreachable => NodeError::Unreachable(peer),
            other => not_sent(other),
        })?;
        let (answer, answered) = oneshot::channel();
        self.pings.entry(peer).or_default().push_back(answer);
        Ok(answered)
    }

    fn info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.zre.peer(peer).map(describe)
    }
}

fn describe(peer: PeerView<'_>) -> PeerInfo {
    PeerInfo {
        id: peer.id(),
        name: peer.name().to_owned(),
        endpoint: peer.endpoint().to_string(),
        headers: peer
            .headers()
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        groups: peer.groups().iter().map(ToString::to_string).collect(),
        zocp: peer.headers().value("X-ZOCP").is_some(),
        extended: peer.headers().value(HEADER_BRIDGE) == Some("1"),
        evasive: peer.is_evasive(),
        unreachable: peer.is_unreachable(),
        key: peer.key().and_then(public_key),
    }
}

fn not_sent(error: SendError) -> NodeError {
    match error {
        SendError::Busy => NodeError::Busy,
        other => Invalid::Send(other).into(),
    }
}

pub(super) fn node_id(peer: PeerId) -> NodeId {
    NodeId::new(*peer.as_bytes())
}

pub(super) fn peer_id(node: NodeId) -> PeerId {
    PeerId::new(*node.octets())
}
