//! How nodes find each other: beacons, and endpoints that a user gives.
//!
//! Invariants: DISCOVERY-1. One UUID is one peer, whatever addresses its beacons come from. DISCOVERY-2. An endpoint
//! belongs to one peer: a newcomer gets it only from one whose connection is dead.
//! DISCOVERY-3. This node does not dial an address that it knows to be its own.
//! Spec: 36/ZRE "Node Discovery".

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::beacon::Beacon;
use crate::mailbox::Phase;
use crate::output::{ConnectError, Event, ExitReason, Output, RejectReason};
use crate::peer::{Leaving, Peer};
use crate::peers::Key;
use crate::trust::{NodeKey, Trust};
use crate::{Endpoint, PeerId};

use super::address_limits::Claim;
use super::{OWN_ADDRESSES_MAX, Zre};

impl Zre {
    /// Sends a beacon now, and then regularly; to be called when a network has come up.
    /// Does nothing without [`Config::beacon`] or without a mailbox, since port 0 would say goodbye.
    ///
    /// [`Config::beacon`]: crate::Config::beacon
    pub fn announce(&mut self, now: Instant) {
        let port = self.config.mailbox_port;
        if !self.config.beacon || port == 0 || self.is_shut_down {
            return;
        }
        // protocol.md §1.2
        self.send_beacon(port);
        self.beacon_at = Some(now + self.config.times.beacon_interval);
    }

    pub(super) fn send_beacon(&mut self, port: u16) {
        let key = self.trust.as_ref().filter(|_| self.is_closed());
        let key = key.map(Trust::own);
        let beacon = Beacon::of(self.config.id, port, key);
        self.outputs.push_back(Output::Beacon(beacon.encode()));
    }

    /// Handles a datagram received on the beacon port; most are from this node itself or repeat
    /// what is known.
    pub fn handle_beacon(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let (id, port, key) = match Beacon::parse(datagram) {
            Some(Beacon::V1 { id, port }) => (id, port, None),
            Some(Beacon::V3 { id, port, key }) => (id, port, Some(key)),
            None => return,
        };
        // Each of the two meshes ignores the beacons of the other.
        if self.is_shut_down || key.is_some() != self.is_closed() {
            return;
        }
        // protocol.md §1.4
        let mut source = from;
        source.set_port(port);
        match key {
            // From this node, or forged: the source address proves nothing.
            _ if id == self.config.id => {}
            None if self.has_key(id) => {}
            Some(key) if !self.admits_key(Some(key)) => self.refused(now, source, id, key),
            _ if port == 0 => self.goodbye(now, id, from.ip()),
            _ => self.meet(now, id, source.into(), key),
        }
    }

    /// Somebody else says which peer is at an endpoint, in a [gossip](crate::gossip). It makes a peer known that was not,
    /// or one more endpoint of one that is; it is no sign of life of a known peer, nor a reason to dial it earlier. To be
    /// said again as long as it holds, so that a peer that was forgotten is met again. Does nothing on a secure mesh,
    /// where each peer says its key itself.
    pub fn introduce(&mut self, now: Instant, id: PeerId, endpoint: Endpoint) {
        // protocol.md §1.11
        if id == self.config.id || self.is_closed() || self.is_shut_down || self.has_key(id) {
            return;
        }
        if let Some(key) = self.peers.key(id) {
            return self.told_at(key, endpoint);
        }
        let is_nameless = |peer: &Peer| peer.id.is_none() && peer.is_at(&endpoint);
        let is_taken = |peer: &Peer| peer.id.is_some() && peer.endpoint == endpoint;
        if let Some(key) = self.peers.find(is_nameless) {
            self.peers.rename(key, id);
        } else if self.peers.find(is_taken).is_none() {
            self.meet_new(now, id, endpoint, None);
        }
    }

    /// Connects to the peer at an endpoint, and again whenever it is lost; no beacon is
    /// needed. The endpoint of a peer that is present already is only remembered.
    ///
    /// # Errors
    ///
    /// If the text is no endpoint, or that of this node, or one too many; always on a secure mesh.
    pub fn connect(&mut self, now: Instant, endpoint: &str) -> Result<(), ConnectError> {
        self.connect_to(now, endpoint, None, false)
    }

    /// The same on a secure mesh, where the peer must prove this key.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`], and if the key is not trusted.
    pub fn connect_securely(
        &mut self,
        now: Instant,
        endpoint: &str,
        key: NodeKey,
    ) -> Result<(), ConnectError> {
        self.connect_to(now, endpoint, Some(key), false)
    }

    /// The same, and the peer is asked to answer on the connection that this node opens, so that it needs none to this
    /// node.
    ///
    /// # Errors
    ///
    /// As [`Self::connect_securely`].
    pub fn connect_both_ways(
        &mut self,
        now: Instant,
        endpoint: &str,
        key: NodeKey,
    ) -> Result<(), ConnectError> {
        self.connect_to(now, endpoint, Some(key), self.config.shares)
    }

    fn connect_to(
        &mut self,
        now: Instant,
        endpoint: &str,
        key: Option<NodeKey>,
        both_ways: bool,
    ) -> Result<(), ConnectError> {
        let endpoint: Endpoint = endpoint.parse()?;
        if !self.admits_key(key) {
            return Err(if self.is_secure() {
                ConnectError::KeyUntrusted
            } else {
                ConnectError::KeyUnused
            });
        }
        if self.is_own(&endpoint) {
            return Err(ConnectError::OwnEndpoint);
        }
        let manual = self.peers.iter().map(|(_, peer)| peer.manual.len());
        if manual.sum::<usize>() >= self.config.limits.manual_max {
            return Err(ConnectError::TooMany);
        }
        let known = self
            .peers
            .find(|peer| peer.is_at(&endpoint) && peer.key == key);
        match known.and_then(|key| self.peers.at_mut(key)) {
            Some(peer) => {
                peer.is_asked_to_share |= both_ways;
                peer.is_unwanted = false;
                if !peer.manual.contains(&endpoint) {
                    peer.manual.push(endpoint);
                }
            }
            None => self.seek(now, endpoint, key, now, both_ways),
        }
        Ok(())
    }

    /// Tells the core an address of this host, so that it is never taken for a peer's. Other
    /// addresses are learned when the node dials itself once.
    pub fn own_address(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        let room = self.own_addresses.len() < OWN_ADDRESSES_MAX;
        if room && !self.own_addresses.contains(&address) {
            self.own_addresses.push(address);
        }
    }

    /// Whether an endpoint is that of this node.
    pub(super) fn is_own(&self, endpoint: &Endpoint) -> bool {
        endpoint.port() == self.config.mailbox_port
            && endpoint
                .ip()
                .is_some_and(|ip| self.own_addresses.contains(&ip))
    }

    /// Keeps dialing an endpoint whose node is not known yet.
    pub(super) fn seek(
        &mut self,
        now: Instant,
        endpoint: Endpoint,
        key: Option<NodeKey>,
        first: Instant,
        both_ways: bool,
    ) {
        let spread = self.chance();
        let mut peer = Peer::new(None, key, endpoint.clone(), now, spread);
        peer.manual.push(endpoint);
        peer.is_asked_to_share = both_ways;
        peer.mailbox.close(now, first);
        let key = self.peers.insert(peer);
        self.attend(now, key);
    }

    /// A beacon named an endpoint of a node.
    pub(super) fn meet(
        &mut self,
        now: Instant,
        id: PeerId,
        endpoint: Endpoint,
        node_key: Option<NodeKey>,
    ) {
        // protocol.md §1.5
        let is_it = |p: &Peer| p.id.is_none() && p.key == node_key && p.is_at(&endpoint);
        if let Some(key) = self.peers.key(id) {
            if self.is_heard_as(key, node_key) {
                if let Some(peer) = self.peers.at_mut(key) {
                    peer.is_unwanted = false;
                }
                self.heard_alive(now, key);
                self.heard_at(now, key, endpoint);
            }
        } else if let Some(key) = self.peers.find(is_it) {
            self.peers.rename(key, id);
            self.alive(now, key);
        } else {
            self.meet_new(now, id, endpoint, node_key);
        }
    }

    /// Dials a peer that was not known, if the limits allow it.
    fn meet_new(
        &mut self,
        now: Instant,
        id: PeerId,
        endpoint: Endpoint,
        node_key: Option<NodeKey>,
    ) {
        let source = endpoint.socket_addr();
        let by = source.map(|source| source.ip());
        match self.claim(now, id, endpoint, node_key, Claim::Heard(by)) {
            Ok(key) => self.attend(now, key),
            Err(why @ (RejectReason::Full | RejectReason::AddressFull)) => {
                if let Some(source) = source {
                    self.tell_rejected(now, source, why);
                }
            }
            Err(_) => {}
        }
    }

    /// Whether a beacon with this key can be of a known peer. A beacon proves nothing, so it changes the key of a
    /// peer only while no connection to it was tried.
    fn is_heard_as(&mut self, key: Key, node_key: Option<NodeKey>) -> bool {
        // protocol.md §8.6
        let Some(peer) = self.peers.at_mut(key) else {
            return false;
        };
        if peer.presence.is_none() && peer.mailbox.dial().is_none() {
            peer.key = node_key;
        }
        peer.key == node_key
    }

    /// A beacon is a sign of life, except of a peer that can be sent a PING: a program that hangs may still send beacons,
    /// and they can be forged.
    fn heard_alive(&mut self, now: Instant, key: Key) {
        // protocol.md §3.9, §8.6
        let is_asked = self.peers.at(key).is_some_and(|peer| {
            peer.is_linked() && (self.is_secure() || peer.mailbox.is_greeted())
        });
        if !is_asked {
            self.alive(now, key);
        }
    }

    /// A beacon of a known peer: dials it if it is not connected, and remembers a
    /// further address of one that is.
    fn heard_at(&mut self, now: Instant, key: Key, endpoint: Endpoint) {
        // protocol.md §1.6
        let (limits, times) = (self.config.limits, self.config.times);
        let is_known = |peer: &Peer| peer.endpoint == endpoint;
        let is_free = self.peers.at(key).is_some_and(is_known) || self.is_free_for(key, &endpoint);
        let Some(peer) = self.peers.at_mut(key).filter(|_| is_free) else {
            return;
        };
        let is_new = !peer.knows(&endpoint) && peer.has_room(&limits);
        if is_new && peer.mailbox.is_closed(now, &times) {
            self.dial_at(now, key, endpoint);
        } else if peer.mailbox.dial().is_none() && peer.presence.is_none() {
            if peer.endpoint != endpoint {
                let former = std::mem::replace(&mut peer.endpoint, endpoint);
                peer.remember(former, &limits);
            }
            peer.mailbox.hurry(now);
            self.attend(now, key);
        } else if is_new {
            peer.is_elsewhere_too(endpoint);
        }
    }

    /// Somebody else told of an endpoint of a known peer: it is tried when the present one fails.
    fn told_at(&mut self, key: Key, endpoint: Endpoint) {
        let is_known = self.peers.at(key).is_some_and(|peer| peer.knows(&endpoint));
        if !is_known && self.is_free_for(key, &endpoint) {
            let limits = self.config.limits;
            if let Some(peer) = self.peers.at_mut(key) {
                peer.remember(endpoint, &limits);
            }
        }
    }

    /// Whether a known peer may be at an endpoint: it is neither that of this node nor that of another connected peer,
    /// whatever the source of the claim.
    pub(super) fn is_free_for(&self, key: Key, endpoint: &Endpoint) -> bool {
        // protocol.md §1.7
        !self.is_own(endpoint) && self.owner(key, endpoint).is_none()
    }

    /// A peer other than `key` that is present, connected, and at this endpoint.
    pub(super) fn owner(&self, key: Key, endpoint: &Endpoint) -> Option<Key> {
        let mut peers = self.peers.iter();
        let is_it =
            |(other, p): &(Key, &Peer)| *other != key && p.is_linked() && p.endpoint == *endpoint;
        peers.find(is_it).map(|(other, _)| other)
    }

    /// Adds a new peer at an endpoint, unless the endpoint is that of this node or of a
    /// present peer; then the new peer gets it when that peer is gone. From a peer that is only
    /// dialed there the new one takes the endpoint over: the dial leads to the new peer.
    pub(super) fn claim(
        &mut self,
        now: Instant,
        id: PeerId,
        endpoint: Endpoint,
        node_key: Option<NodeKey>,
        by: Claim,
    ) -> Result<Key, RejectReason> {
        // protocol.md §1.7
        if self.is_own(&endpoint) {
            return Err(RejectReason::OwnEndpoint);
        }
        let owner = self
            .peers
            .find(|p| p.id.is_some() && p.endpoint == endpoint);
        if let Some((key, peer)) = owner.and_then(|key| Some((key, self.peers.at_mut(key)?))) {
            if peer.is_linked() {
                peer.contender = Some((id, node_key));
                return Err(RejectReason::EndpointTaken);
            }
            if peer.presence.is_none() {
                peer.heard = now;
                // The ROUTER of the new peer does not know this node yet, so there is no pause.
                if peer.mailbox.dial().is_none() {
                    peer.mailbox.failures = 0;
                    peer.mailbox.close(now, now);
                }
                self.peers.rename(key, id);
                self.prove(now, key, node_key, None);
                self.caused(key, by);
                return Ok(key);
            }
            self.part_for_good(now, key, ExitReason::Replaced);
        }
        self.make_room(now, by)?;
        let spread = self.chance();
        let peer = Peer::new(Some(id), node_key, endpoint, now, spread);
        let key = self.peers.insert(peer);
        self.caused(key, by);
        Ok(key)
    }

    /// A goodbye by beacon. It counts only from the address of the peer: from another one it could
    /// be forged, or mean that the peer leaves one of several networks.
    fn goodbye(&mut self, now: Instant, id: PeerId, from: IpAddr) {
        // protocol.md §1.8
        let Some(key) = self.peers.key(id) else {
            return;
        };
        // protocol.md §8.6
        if self.is_secure() && self.peers.at(key).is_some_and(Peer::is_linked) {
            return;
        }
        let link = self.peers.at(key).and_then(|p| p.presence.as_ref()?.link);
        let link_is_from = link
            .and_then(|link| self.links.get(&link))
            .is_some_and(|link| link.remote.ip().to_canonical() == from.to_canonical());
        if link_is_from || self.peers.at(key).is_some_and(|p| p.is_on(from)) {
            match link {
                Some(_) => self.doubt(now, key),
                None => self.part_for_good(now, key, ExitReason::Goodbye),
            }
        }
    }

    /// A goodbye in the name of a peer whose connection is open. If it is true, the connection closes or a PING stays
    /// without an answer; where no PING can be sent, the connection shows it later.
    fn doubt(&mut self, now: Instant, key: Key) {
        let until = now + self.patience(key, self.config.times.goodbye_timeout);
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let can_ask = matches!(peer.mailbox.phase, Phase::Open { .. });
        if let Some(presence) = peer
            .presence
            .as_mut()
            .filter(|p| can_ask && p.leaving.is_none())
        {
            presence.leaving = Some(Leaving { since: now, until });
            self.ask_if_open(now, key);
            self.arm(key);
        }
    }

    /// A sign of life.
    pub(super) fn alive(&mut self, now: Instant, key: Key) {
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        peer.heard = now;
        if let (Some(id), true) = (peer.id, peer.end_silence()) {
            self.event(Event::Returned { peer: id });
        }
    }
}
