//! HELLO, and the groups of peers.
//!
//! Model: a HELLO makes a heard peer present. From a present one it is the answer to
//! our greeting it afresh, or it means that the peer has forgotten us: then it exits
//! and enters, and is greeted once more, unless it just has been.
//! Invariants: GREETING-1. We never answer a HELLO that may be the answer to ours; two nodes
//! that did would greet each other forever. GREETING-2. Joins and leaves that change nothing
//! are not reported.
//! Spec: 36/ZRE "HELLO", "JOIN", "LEAVE"; docs/reference/protocol.md §3.10.

use std::net::SocketAddr;
use std::time::Instant;

use crate::command::Hello;
use crate::mailbox::Phase;
use crate::output::{Event, ExitReason, Headers, LinkId, RejectReason};
use crate::peer::{Peer, Presence, Silence};
use crate::peers::Key;
use crate::sequence::{Inbound, Wrap};
use crate::sharing::Sharing;
use crate::trust::NodeKey;
use crate::{Endpoint, GroupName, HEADER_BRIDGE, PeerId};

use super::Zre;
use super::address_limits::Claim;

/// The source of a HELLO: the address that it came from, and the endpoint that it names.
#[derive(Clone, Copy)]
struct Source<'a> {
    remote: SocketAddr,
    endpoint: Option<&'a Endpoint>,
    /// The key that the connection proved.
    key: Option<NodeKey>,
    /// Whether the HELLO asks to be answered on its connection.
    asks: bool,
}

impl Zre {
    /// Handles the HELLO of a link, in its turn.
    pub(super) fn hello(&mut self, now: Instant, link: LinkId, hello: Hello) {
        if self.takes_name(now, link, &hello.name) {
            return;
        }
        if link.dial().is_some() {
            return match self.admit_dialed(link) {
                Ok(key) => self.enter(now, key, link, hello),
                Err(why) => self.reject(now, link, why),
            };
        }
        let Some(entry) = self.links.get(&link) else {
            return;
        };
        let endpoint = hello.endpoint.parse::<Endpoint>();
        // A peer that asks to be answered there may be anywhere: its endpoint means nothing here, and other peers may
        // have the same one.
        let asks = self.says_of_sharing(entry.id, &hello) == Sharing::Asks;
        let endpoint = match asks {
            true => Some(entry.remote.into()),
            false => endpoint.ok().map(|e| e.seen_from(entry.remote)),
        };
        let source = Source {
            remote: entry.remote,
            endpoint: endpoint.as_ref(),
            key: entry.key,
            asks,
        };
        match self.admit(now, entry.id, source) {
            Ok(key) => self.enter(now, key, link, hello),
            Err(why) => self.reject(now, link, why),
        }
    }

    /// The peer of a HELLO; a new one is added.
    fn admit(&mut self, now: Instant, id: PeerId, source: Source<'_>) -> Result<Key, RejectReason> {
        let (limits, times) = (self.config.limits, self.config.times);
        let nameless = self.find_nameless(id, source);
        let key = match (self.peers.key(id), nameless) {
            (Some(key), nameless) => {
                if let Some(nameless) = nameless {
                    self.absorb(nameless, key);
                }
                key
            }
            (None, Some(nameless)) => {
                self.peers.rename(nameless, id);
                nameless
            }
            (None, None) => {
                let endpoint = source.endpoint.ok_or(RejectReason::BadEndpoint)?;
                let by = Claim::Greeted(source.remote.ip());
                let key = self.claim(now, id, endpoint.clone(), source.key, by)?;
                self.may_be_at_source(key, source);
                return Ok(key);
            }
        };
        self.prove(now, key, source.key, source.endpoint);
        // The source address of a beacon can be forged; that of a HELLO cannot, since it comes on a connection.
        self.set_cause(key, source.remote.ip());
        if source.asks {
            self.is_at_source(key, source);
            return Ok(key);
        }
        if let Some(endpoint) = source.endpoint.filter(|it| self.is_free_for(key, it))
            && let Some(peer) = self.peers.at_mut(key)
        {
            let begins_anew = peer.presence.as_ref().is_some_and(|p| !p.awaiting);
            if peer.knows(endpoint) || !(begins_anew || peer.mailbox.is_closed(now, &times)) {
                peer.remember(endpoint.clone(), &limits);
            } else if peer.mailbox.is_greeted() {
                // It gets a HELLO again there.
                peer.move_to(endpoint.clone(), &limits);
            } else {
                self.dial_at(now, key, endpoint.clone());
            }
        }
        self.may_be_at_source(key, source);
        Ok(key)
    }

    /// The endpoint of a peer that asks to be answered on its connection is where that connection comes from, unless it
    /// is connected elsewhere.
    fn is_at_source(&mut self, key: Key, source: Source<'_>) {
        let Some((peer, endpoint)) = self.peers.at_mut(key).zip(source.endpoint) else {
            return;
        };
        if matches!(peer.mailbox.phase, Phase::Closed { .. }) {
            peer.endpoint = endpoint.clone();
        }
    }

    /// If a HELLO names an endpoint that cannot be dialed, the mailbox may be at the source address.
    fn may_be_at_source(&mut self, key: Key, source: Source<'_>) {
        // protocol.md §1.10
        let Some(endpoint) = source.endpoint.filter(|it| self.is_free_for(key, it)) else {
            return;
        };
        let mut at_source = source.remote;
        at_source.set_port(endpoint.port());
        let at_source = Endpoint::from(at_source);
        let limits = self.config.limits;
        if self.is_free_for(key, &at_source)
            && let Some(peer) = self.peers.at_mut(key)
        {
            peer.remember(at_source, &limits);
        }
    }

    /// The peer without an identity whose answer a HELLO is: the one at the endpoint that
    /// the HELLO names; or the only one that a HELLO was sent to, if it was reached at the
    /// source address of the HELLO, or if the HELLO comes unasked from a present peer, as it
    /// does when that peer was reached at another of its addresses.
    fn find_nameless(&self, id: PeerId, link: Source<'_>) -> Option<Key> {
        let nameless = |p: &Peer| p.id.is_none() && p.key == link.key;
        let is_there = |p: &Peer| link.endpoint.is_some_and(|e| p.is_at(e));
        if let Some(key) = self.peers.find(|p| nameless(p) && is_there(p)) {
            return Some(key);
        }
        // On a secure mesh the key says who it is.
        let is_sought = |p: &Peer| nameless(p) && p.key.is_some() && p.is_asked_to_share;
        if let Some(key) = self.peers.find(is_sought) {
            return Some(key);
        }
        let is_greeted = |(_, p): &(Key, &Peer)| nameless(p) && p.is_nameless_greeted();
        let mut greeted = self.peers.iter().filter(is_greeted);
        let (key, peer) = greeted.next()?;
        let known = self.peers.key(id).and_then(|key| self.peers.at(key));
        let is_unexpected = known.is_some_and(|p| p.presence.is_some() && !p.awaits_hello());
        let is_it = is_unexpected || peer.is_on(link.remote.ip());
        (is_it && greeted.next().is_none()).then_some(key)
    }

    fn enter(&mut self, now: Instant, key: Key, link: LinkId, hello: Hello) {
        let sharing = self.sharing_of(link, &hello);
        let groups = self.names(&hello.groups);
        let headers = Headers::from(hello.headers);
        let former = self.peers.at_mut(key).and_then(|peer| {
            peer.heard = now;
            peer.presence.as_mut()
        });
        match former {
            Some(presence)
                if presence.awaiting
                    && *presence.name == *hello.name
                    && presence.headers == headers =>
            {
                presence.awaiting = false;
                presence.status = hello.status;
                presence.link = Some(link);
                self.renewed(key, &groups);
            }
            former => {
                let is_again = former.is_some();
                let awaited = former.is_some_and(|presence| presence.awaiting);
                let presence = Presence {
                    link: Some(link),
                    successor: None,
                    leaving: None,
                    is_unreachable: false,
                    awaiting: false,
                    name: hello.name.into(),
                    wrap: match headers.value(HEADER_BRIDGE) {
                        Some(_) => Wrap::Full,
                        None => Wrap::Unknown,
                    },
                    headers,
                    groups,
                    status: hello.status,
                    sharing,
                    silence: Silence::None,
                };
                if is_again {
                    self.out(now, key, link);
                }
                self.welcome(key, presence);
                if is_again && !awaited {
                    self.greet_again(now, key);
                }
            }
        }
        if let Some(entry) = self.links.get_mut(&link) {
            entry.peer = Some(key);
            entry.inbound = Inbound::after_hello();
        }
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.pings_owed = 0;
            peer.mailbox.failures = 0;
            if sharing == Sharing::Can {
                peer.mailbox.undialed = 0;
            }
            peer.mailbox.hurry(now);
        }
        self.prefer_sharing(now, key);
        self.attend(now, key);
    }

    /// A present peer starts again on `link`: it exits first.
    fn out(&mut self, now: Instant, key: Key, link: LinkId) {
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.clear_held();
            if let Some(presence) = peer.presence.as_mut() {
                presence.link.take_if(|former| *former == link);
            }
        }
        if let Some(successor) = self.exit(now, key, ExitReason::Replaced) {
            self.hang_up_link(now, successor);
        }
    }

    /// A peer enters.
    fn welcome(&mut self, key: Key, presence: Presence) {
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let Some(id) = peer.id else {
            return;
        };
        let key_of = peer.key;
        let event = Event::Entered {
            peer: id,
            name: presence.name.clone(),
            endpoint: peer.endpoint.clone(),
            headers: presence.headers.clone(),
            groups: presence.groups.clone(),
        };
        let (groups, name) = (presence.groups.clone(), presence.name.clone());
        peer.presence = Some(presence);
        for group in groups {
            self.members.entry(group).or_default().push(key);
        }
        self.learn(key_of, id, &name);
        self.event(event);
    }

    /// Reports that a peer exited and enters, for those to whom it matters that it started again.
    pub(super) fn enter_again(&mut self, key: Key) {
        let Some(peer) = self.peers.at(key) else {
            return;
        };
        let (Some(id), Some(presence)) = (peer.id, peer.presence.as_ref()) else {
            return;
        };
        let out = Event::Exited {
            peer: id,
            name: presence.name.clone(),
            reason: ExitReason::Replaced,
        };
        let again = Event::Entered {
            peer: id,
            name: presence.name.clone(),
            endpoint: peer.endpoint.clone(),
            headers: presence.headers.clone(),
            groups: presence.groups.clone(),
        };
        self.event(out);
        self.event(again);
    }

    /// A peer whose connection was renewed has answered. The groups that it joined or left in
    /// the meantime are reported.
    fn renewed(&mut self, key: Key, groups: &[GroupName]) {
        let Some(peer) = self.peers.at(key) else {
            return;
        };
        let (Some(id), Some(presence)) = (peer.id, peer.presence.as_ref()) else {
            return;
        };
        let former = presence.groups.clone();
        for group in former.iter().filter(|g| !groups.contains(g)) {
            self.leave_group(key, id, group);
        }
        for group in groups.iter().filter(|g| !former.contains(g)) {
            self.join_group(key, id, group.clone());
        }
        self.event(Event::Renewed { peer: id });
    }

    /// A peer has forgotten this node and needs its HELLO, unless the peer's own HELLO is the
    /// answer to one; a PING finds out.
    fn greet_again(&mut self, now: Instant, key: Key) {
        let settle = self.patience(key, self.config.times.hello_settle);
        let Some(peer) = self.peers.at(key) else {
            return;
        };
        match peer.mailbox.phase {
            Phase::Open { .. } | Phase::Draining { .. } => {
                let lately = peer.mailbox.hello_at.is_some_and(|at| at + settle > now);
                if lately && matches!(peer.mailbox.phase, Phase::Open { .. }) {
                    self.confirm(now, key);
                } else {
                    self.redial(now, key);
                }
            }
            Phase::Closed { .. } | Phase::Dialing { .. } | Phase::Confirming { .. } => {}
        }
    }

    /// The groups of a HELLO, each once, sharing the names that are known.
    fn names(&self, groups: &[String]) -> Vec<GroupName> {
        let mut names: Vec<GroupName> = groups.iter().map(|group| self.group_name(group)).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn group_name(&self, group: &str) -> GroupName {
        let known = self.members.get_key_value(group);
        known.map_or_else(|| GroupName::from_peer(group), |(name, _)| name.clone())
    }

    /// JOIN.
    pub(super) fn joined(&mut self, now: Instant, key: Key, group: &str, status: u8) {
        let Some((id, groups)) = self.count(key, status) else {
            return;
        };
        if groups >= self.config.limits.hello.groups_max {
            return self.part(now, key, ExitReason::OverLimit);
        }
        let group = self.group_name(group);
        self.join_group(key, id, group);
    }

    /// LEAVE.
    pub(super) fn left(&mut self, key: Key, group: &str, status: u8) {
        if let Some((id, _)) = self.count(key, status) {
            let group = self.group_name(group);
            self.leave_group(key, id, &group);
        }
    }

    /// Takes a peer's count of its joins and leaves. A count that does not follow has no
    /// effect, since the sequence numbers show what is lost.
    fn count(&mut self, key: Key, status: u8) -> Option<(PeerId, usize)> {
        // protocol.md §3.6
        let peer = self.peers.at_mut(key)?;
        let id = peer.id?;
        let presence = peer.presence.as_mut()?;
        if status != presence.status.wrapping_add(1) {
            tracing::debug!(peer = %id, status, after = presence.status, "status out of step");
        }
        presence.status = status;
        Some((id, presence.groups.len()))
    }

    fn join_group(&mut self, key: Key, id: PeerId, group: GroupName) {
        let presence = self.peers.at_mut(key).and_then(|p| p.presence.as_mut());
        if let Some(presence) = presence
            && !presence.groups.contains(&group)
        {
            presence.groups.push(group.clone());
            self.members.entry(group.clone()).or_default().push(key);
            self.event(Event::Joined { peer: id, group });
        }
    }

    fn leave_group(&mut self, key: Key, id: PeerId, group: &GroupName) {
        let presence = self.peers.at_mut(key).and_then(|p| p.presence.as_mut());
        if let Some(presence) = presence
            && presence.groups.contains(group)
        {
            presence.groups.retain(|g| g != group);
            self.remove_member(group, key);
            let group = group.clone();
            self.event(Event::Left { peer: id, group });
        }
    }

    pub(super) fn remove_member(&mut self, group: &GroupName, key: Key) {
        if let Some(keys) = self.members.get_mut(group) {
            keys.retain(|member| *member != key);
            if keys.is_empty() {
                self.members.remove(group);
            }
        }
    }
}
