//! The ZRE core's side of the house: connections, whispers, presence.

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use zocp_model::{NodeId, PeerKind};
use zocp_zmtp::Message;
use zocp_zre::{
    DialEnd, DialId, Endpoint, HEADER_BRIDGE, Header, LinkId, Output, PeerId, PeerView, SendError,
};

use super::House;
use crate::connection::{Input, Outgoing, run_dial};
use crate::event::{Content, Event, PeerInfo};
use crate::gate::Pass;
use crate::node::{Invalid, NodeError};
use crate::start::ZOCP_GROUP;

/// One connection of ours to a peer.
pub(super) struct Dial {
    token: CancellationToken,
    /// `None` until connected.
    outgoing: Option<Box<Outgoing>>,
    /// To be closed when everything is written.
    closing: bool,
}

impl Dial {
    pub(super) fn has_queued(&self) -> bool {
        self.outgoing
            .as_ref()
            .is_some_and(|outgoing| outgoing.codec.output_len() > 0)
    }
}

impl House {
    /// Takes what the cores put out, until nothing is left, and writes.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.zre.poll_output() {
                self.route(now, output);
            }
            if !self.settle_model(now) {
                break;
            }
        }
        while let Some(dial) = self.dirty.pop() {
            self.flush(now, dial);
        }
    }

    pub(super) fn input(&mut self, now: Instant, input: Input) {
        match input {
            Input::LinkReady {
                link,
                local,
                remote,
                identity,
                token,
            } => {
                if !self.admits(local) {
                    info!(%remote, %local, "refused a connection on a network not in use");
                    token.cancel();
                    return;
                }
                match self.zre.link_opened(now, link, remote, &identity) {
                    Ok(()) => {
                        self.links.insert(link, token);
                    }
                    Err(error) => {
                        info!(%remote, %error, "refused a connection");
                        token.cancel();
                    }
                }
            }
            Input::LinkMessages { link, messages } => {
                for message in messages {
                    self.link_message(now, link, message);
                }
            }
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
                if let Some(state) = self.dials.get_mut(&dial) {
                    state.outgoing = Some(outgoing);
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

    fn link_message(&mut self, now: Instant, link: LinkId, message: Message) {
        // Whispers have two frames; their content is taken over without a copy.
        if message.len() == 2 {
            let header: Header = message.frame(0).unwrap_or_default().into();
            let content = message.into_frame(1).into_iter().collect();
            self.zre.link_message(now, link, &header, content);
        } else {
            let mut frames = message.into_frames();
            let header = frames.next().unwrap_or_default();
            self.zre.link_message(now, link, &header, frames.collect());
        }
    }

    /// Nobody sends messages against the stream; what comes are PINGs, which the codec answers.
    fn dial_octets(&mut self, now: Instant, dial: DialId, octets: &[u8]) {
        let Some(outgoing) = self.outgoing(dial) else {
            return;
        };
        let outcome = outgoing.codec.handle_input(octets);
        while outgoing.codec.poll_event().is_some() {}
        match outcome {
            Ok(()) => self.dirty.push(dial),
            Err(error) => self.dial_lost(now, dial, DialEnd::Protocol, &error.to_string()),
        }
    }

    fn route(&mut self, now: Instant, output: Output) {
        match output {
            Output::Beacon(beacon) => self.beacons.send(&beacon),
            Output::Dial { dial, endpoint } => self.dial(dial, &endpoint),
            Output::Send {
                dial,
                header,
                content,
            } => self.send(now, dial, &header, &content),
            Output::HangUpDial(dial) => {
                if let Some(state) = self.dials.get_mut(&dial) {
                    state.closing = true;
                    self.dirty.push(dial);
                }
            }
            Output::HangUpLink(link) => {
                if let Some(token) = self.links.remove(&link) {
                    token.cancel();
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
                self.gates.open(peer);
                if let Some(info) = self.info(peer) {
                    let kind = PeerKind {
                        zocp: info.zocp,
                        extended: info.extended,
                    };
                    info!(peer = %peer.short(), name = info.name, endpoint = info.endpoint, "entered");
                    self.events.push(Event::Entered(info));
                    self.model.peer_entered(now, node_id(peer), kind);
                }
            }
            Zre::Exited { peer, name, reason } => {
                info!(peer = %peer.short(), name = &*name, ?reason, "exited");
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
            Zre::Evasive { peer } => self.events.push(Event::Evasive { peer }),
            Zre::Returned { peer } => self.events.push(Event::Returned { peer }),
            Zre::PingAnswered { peer, rtt } => self.ping_answered(peer, rtt),
            Zre::Renewed { peer } => self.model.peer_renewed(node_id(peer)),
            Zre::PeerRejected { remote, why } => warn!(%remote, ?why, "a peer is refused"),
            _ => {}
        }
    }

    fn whispered(&mut self, now: Instant, peer: PeerId, content: Content) {
        if !self.is_zocp(now, peer, &content) {
            self.events.push(Event::Whispered { peer, content });
        }
    }

    /// What was promised to a peer cannot be queued for it: it is met afresh, so that nothing is
    /// silently missing.
    pub(super) fn give_up(&mut self, now: Instant, peer: PeerId) {
        warn!(peer = %peer.short(), "the peer does not keep up and is met afresh");
        self.zre.give_up(now, peer);
    }

    fn forget(&mut self, peer: PeerId) {
        self.gates.close(peer);
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

// Connections.
impl House {
    fn dial(&mut self, dial: DialId, endpoint: &Endpoint) {
        let token = self.connections.child_token();
        let identity = self.id.routing_id();
        let address = format!("{}:{}", endpoint.host(), endpoint.port());
        self.tasks.spawn(run_dial(
            dial,
            address,
            identity,
            self.wiring.clone(),
            token.clone(),
        ));
        self.dials.insert(
            dial,
            Dial {
                token,
                outgoing: None,
                closing: false,
            },
        );
    }

    fn outgoing(&mut self, dial: DialId) -> Option<&mut Outgoing> {
        self.dials.get_mut(&dial)?.outgoing.as_deref_mut()
    }

    fn dial_lost(&mut self, now: Instant, dial: DialId, end: DialEnd, why: &str) {
        let Some(state) = self.dials.remove(&dial) else {
            return;
        };
        debug!(?dial, why, "our connection to a peer is closed");
        state.token.cancel();
        self.zre.dial_closed(now, dial, end);
    }

    fn send(&mut self, now: Instant, dial: DialId, header: &[u8], content: &[Bytes]) {
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
            // A message that cannot be sent is a gap in the sequence, so the peer is met afresh.
            Err(error) => self.dial_lost(now, dial, DialEnd::Closed, &error.to_string()),
        }
    }

    /// Writes what the socket takes, and lets those go on who wait for room.
    fn flush(&mut self, now: Instant, dial: DialId) {
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
                    self.gates
                        .release(peer, if done { usize::MAX } else { written });
                }
            }
            Err(error) => self.dial_lost(now, dial, DialEnd::Closed, &error.to_string()),
        }
    }
}

// What handles ask for.
impl House {
    pub(super) fn whisper(&mut self, now: Instant, peer: PeerId, content: Content, pass: Pass) {
        match self.zre.whisper(now, peer, content) {
            Ok(()) => pass.redeem(),
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

    pub(crate) fn connect(&mut self, now: Instant, endpoint: &str) -> Result<(), NodeError> {
        self.zre
            .connect(now, endpoint)
            .map_err(|error| Invalid::Connect(error).into())
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

/// How long a peer may take to close a connection that we have finished.
const FINISH_MAX: std::time::Duration = std::time::Duration::from_secs(1);
