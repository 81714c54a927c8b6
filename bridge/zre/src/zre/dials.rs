//! The connections that we open: attempts, HELLO, confirmation, renewal.
//!
//! Model: the phases are those of `mailbox`. Every end of a connection goes through
//! [`Zre::hang_up_dial`] or [`Zre::dial_closed`], where its slot is given back.
//! Limits: `Limits::dials_per_address_max`, see `slots`.
//! Spec: 36/ZRE "Interconnection Model".

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Endpoint;
use crate::command::{Command, Hello};
use crate::mailbox::{Asker, Phase, Ping};
use crate::output::{Content, DialEnd, DialId, Event, ExitReason, LinkId, Output, RejectReason};
use crate::peer::Peer;
use crate::peers::Key;

use super::Zre;

impl Zre {
    /// A dial is ready: the peer's READY was received. `local` and `remote` are the addresses
    /// of its two ends.
    pub fn dial_ready(
        &mut self,
        now: Instant,
        dial: DialId,
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        let Some(&key) = self.dials.get(&dial) else {
            return;
        };
        self.release_slot(dial);
        let phase = self.peers.at(key).map(|peer| peer.mailbox.phase);
        if !matches!(phase, Some(Phase::Dialing { .. })) {
            return;
        }
        if self.is_over(key) {
            return self.ready(now, key, dial, (local, remote));
        }
        if remote.port() == self.config.mailbox_port && remote.ip() == local.ip() {
            return self.dialed_self(now, key, remote);
        }
        if self.absorb_at(key, &remote.into()) {
            return;
        }
        let limits = self.config.limits;
        if let Some(peer) = self.peers.at_mut(key) {
            peer.resolve(remote, &limits);
            peer.mailbox.undialed = 0;
            if let Some(at) = peer.mailbox.dialed_at.take() {
                let time = now.saturating_duration_since(at);
                peer.mailbox.round_trip.shook_hands(time);
            }
            peer.heard_elsewhere = false;
            self.ready(now, key, dial, (local, remote));
        }
    }

    /// The connection to a peer takes messages.
    fn ready(&mut self, now: Instant, key: Key, dial: DialId, ends: (SocketAddr, SocketAddr)) {
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.remote = Some(ends.1);
        }
        let shared = self.peers.at(key).filter(|p| p.mailbox.over.is_some());
        if let Some(peer) = shared.and_then(|peer| peer.id) {
            self.event(Event::Shared { peer });
        }
        self.say_hello(now, key, dial, ends.0);
        self.reached(key);
        self.attend(now, key);
    }

    /// A peer has read a part of what waits for it on a connection, and more waits. So it is alive, although a PING may
    /// still wait behind that.
    pub fn dial_progressed(&mut self, now: Instant, dial: DialId) {
        // protocol.md §3.9
        if let Some(&key) = self.dials.get(&dial) {
            self.alive(now, key);
        }
    }

    /// A dial failed, or was closed.
    pub fn dial_closed(&mut self, now: Instant, dial: DialId, end: DialEnd) {
        let over = |key: &Key| self.peers.at(*key).and_then(|peer| peer.mailbox.over);
        if let Some(link) = self.dials.get(&dial).and_then(over) {
            return self.link_closed(now, link);
        }
        let Some(key) = self.dials.remove(&dial) else {
            return;
        };
        self.release_slot(dial);
        let carried = LinkId::of_dial(dial);
        self.forget_link(carried);
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        peer.mailbox.not_dialed();
        tracing::debug!(endpoint = %peer.endpoint, ?end, "dial closed");
        let was_open = matches!(
            peer.mailbox.phase,
            Phase::Open { .. } | Phase::Draining { .. }
        ) || peer
            .presence
            .as_ref()
            .is_some_and(|p| p.link == Some(carried));
        // The caller has closed it already.
        peer.mailbox.close(now, now);
        let leaves = peer.presence.as_ref().is_some_and(|p| p.leaving.is_some());
        if leaves {
            self.part_for_good(now, key, ExitReason::Goodbye);
        } else if was_open && peer.presence.is_some() {
            self.part(now, key, ExitReason::LinkClosed);
        } else {
            self.attempt_failed(now, key);
        }
    }

    /// Dials a peer if it is time, and arms its deadline.
    pub(super) fn attend(&mut self, now: Instant, key: Key) {
        if self.is_shut_down
            || self.has_shared(now, key)
            || self.has_merged(key)
            || self.has_yielded(now, key)
        {
            return;
        }
        let until = now + self.dial_time(key);
        if let Some(peer) = self.peers.at_mut(key)
            && let Phase::Closed { retry_at, .. } = peer.mailbox.phase
            && retry_at <= now
            && !peer.is_waiting
        {
            let is_new = peer.mailbox.failures == 0;
            let cause = peer.cause;
            if cause.is_some_and(|ip| !self.slots.take(ip, key, is_new)) {
                peer.is_waiting = true;
                return self.arm(key);
            }
            self.dials_made += 1;
            let dial = DialId(self.dials_made);
            if let Some(cause) = cause {
                self.making.insert(dial, cause);
            }
            peer.mailbox.phase = Phase::Dialing { dial, until };
            peer.mailbox.dialed_at = Some(now);
            let output = Output::Dial {
                dial,
                endpoint: peer.endpoint.clone(),
                key: peer.key,
            };
            self.dials.insert(dial, key);
            self.outputs.push_back(output);
        }
        self.arm(key);
    }

    /// A peer that sent a HELLO on its own connection cannot be dialed. It stays present as long as that connection is
    /// open.
    fn unreachable(&mut self, key: Key) {
        // protocol.md §1.10
        let Some(peer) = self.peers.at_mut(key).filter(|p| !p.is_unreachable()) else {
            return;
        };
        // The peer's subscribers and callers are told again when it can be reached.
        peer.mailbox.clear_held();
        let endpoints = peer.endpoints().cloned().collect();
        if let (Some(peer), Some(presence)) = (peer.id, peer.presence.as_mut()) {
            presence.is_unreachable = true;
            self.event(Event::Unreachable { peer, endpoints });
        }
    }

    /// A peer that could not be reached can be: everything that it should know is sent now.
    fn reached(&mut self, key: Key) {
        let presence = self.peers.at_mut(key).and_then(|p| p.presence.as_mut());
        if let Some(presence) = presence.filter(|p| p.is_unreachable) {
            presence.is_unreachable = false;
            self.enter_again(key);
        }
    }

    /// Switches a peer to a new endpoint and dials it at once: the pause after failures at another endpoint does not
    /// apply to this one.
    pub(super) fn dial_at(&mut self, now: Instant, key: Key, endpoint: Endpoint) {
        // protocol.md §1.6
        if self.is_shared(key) {
            return;
        }
        self.hang_up_dial(key);
        let limits = self.config.limits;
        if let Some(peer) = self.peers.at_mut(key) {
            peer.move_to(endpoint, &limits);
            peer.mailbox.failures = 0;
            peer.mailbox.undialed = 0;
            peer.mailbox.close(now, now);
        }
        self.attend(now, key);
    }

    /// Does not dial a peer at an endpoint that belongs to another connected peer, which would take the HELLO for a new
    /// start of this node. The peer is dialed elsewhere or forgotten, and the user's wish for the endpoint goes to the
    /// connected peer.
    fn has_yielded(&mut self, now: Instant, key: Key) -> bool {
        // protocol.md §1.7
        let Some(peer) = self.peers.at(key).filter(|peer| peer.id.is_some()) else {
            return false;
        };
        if !matches!(peer.mailbox.phase, Phase::Closed { retry_at, .. } if retry_at <= now) {
            return false;
        }
        let endpoint = peer.endpoint.clone();
        let is_wanted = peer.manual.contains(&endpoint);
        let is_elsewhere = peer.presence.is_some() || peer.has_alternatives();
        let Some(owner) = self.owner(key, &endpoint) else {
            return false;
        };
        if is_elsewhere {
            self.attempt_failed(now, key);
            return true;
        }
        if let Some(peer) = self.peers.at_mut(key) {
            peer.manual.retain(|manual| *manual != endpoint);
        }
        self.forget(now, key);
        if let Some(owner) = self.peers.at_mut(owner)
            && is_wanted
            && !owner.manual.contains(&endpoint)
        {
            owner.manual.push(endpoint);
        }
        true
    }

    /// An attempt to reach a peer, or to get its HELLO, failed.
    pub(super) fn attempt_failed(&mut self, now: Instant, key: Key) {
        if self.is_shared(key) {
            return self.part(now, key, ExitReason::Unreachable);
        }
        self.hang_up_dial(key);
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        peer.mailbox.not_dialed();
        peer.next_endpoint();
        peer.mailbox.failures = peer.mailbox.failures.saturating_add(1);
        let failures = peer.mailbox.failures;
        let attempts_max = self.config.limits.attempts_max;
        let is_heard = peer.is_linked() && peer.presence.as_ref().is_some_and(|p| !p.awaiting);
        let tried = attempts_max.min(1 + 2 * peer.endpoints().count() as u32);
        if is_heard && peer.mailbox.undialed >= tried {
            self.unreachable(key);
        } else if peer.presence.is_some() && !peer.is_unreachable() && failures >= attempts_max {
            return self.part(now, key, ExitReason::Unreachable);
        }
        self.stop_waiting(key);
        let quiet_until = now + self.config.times.redial_min;
        let retry_at = now + self.backoff(failures);
        let (quiet_until, retry_at) = match self.shareable(key) {
            Some(_) => (now, now),
            None => (quiet_until, retry_at),
        };
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.close(quiet_until, retry_at);
        }
        self.attend(now, key);
    }

    /// Asks the caller to close a peer's connection, after writing what is queued.
    pub(super) fn hang_up_dial(&mut self, key: Key) {
        let mailbox = self.peers.at(key).map(|peer| &peer.mailbox);
        let Some((dial, over)) = mailbox.and_then(|it| Some((it.dial()?, it.over))) else {
            return;
        };
        if self.dials.remove(&dial).is_some() {
            self.release_slot(dial);
            self.forget_link(over.unwrap_or_else(|| LinkId::of_dial(dial)));
            self.outputs.push_back(Output::HangUpDial(dial));
        }
    }

    /// Renews the connection to a peer; the messages that wait are kept.
    pub(super) fn redial(&mut self, now: Instant, key: Key) {
        if self.is_shared(key) {
            return self.part(now, key, ExitReason::Replaced);
        }
        self.hang_up_dial(key);
        let quiet_until = now + self.config.times.redial_min;
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.close(quiet_until, quiet_until);
        }
        self.attend(now, key);
    }

    /// A peer answered the oldest PING without an answer.
    pub(super) fn ping_answered(&mut self, now: Instant, key: Key) -> Option<Ping> {
        let peer = self.peers.at_mut(key)?;
        let ping = peer.mailbox.pings.pop_front()?;
        let time = now.saturating_duration_since(ping.sent);
        peer.mailbox.round_trip.measured(time);
        if peer.mailbox.pings.is_empty() {
            match peer.mailbox.phase {
                Phase::Confirming { dial, .. } => {
                    peer.mailbox.phase = Phase::Open { dial };
                    peer.mailbox.failures = 0;
                    self.flush(now, key);
                }
                Phase::Draining { .. } => self.renew(now, key),
                _ => {}
            }
        }
        Some(ping)
    }

    /// A peer has read everything that was sent to it: replaces the connection by a new one.
    pub(super) fn renew(&mut self, now: Instant, key: Key) {
        if let Some(presence) = self.peers.at_mut(key).and_then(|p| p.presence.as_mut()) {
            presence.awaiting = true;
        }
        self.redial(now, key);
    }

    /// The sequence numbers of a connection are used up: sends a PING to find out when everything is read.
    pub(super) fn drain_if_due(&mut self, now: Instant, key: Key) {
        let until = now + self.config.times.silence_max;
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let wrap = peer.wrap();
        if let Phase::Open { dial } = peer.mailbox.phase
            && peer.mailbox.outbound.is_last_but_one(wrap)
        {
            self.ask(now, key, Asker::Protocol);
            if let Some(peer) = self.peers.at_mut(key) {
                peer.mailbox.phase = Phase::Draining { dial, until };
            }
            self.arm(key);
        }
    }

    /// How long to wait for an answer of a peer that otherwise is waited for this long.
    pub(super) fn patience(&self, key: Key, fixed: Duration) -> Duration {
        let peer = self.peers.at(key);
        peer.map_or(fixed, |peer| peer.mailbox.round_trip.patience(fixed))
    }

    /// Sends a PING, which the peer has to answer before anything else is sent to it.
    pub(super) fn confirm(&mut self, now: Instant, key: Key) {
        let until = now + self.patience(key, self.config.times.confirm_timeout);
        self.ask(now, key, Asker::Protocol);
        if let Some(peer) = self.peers.at_mut(key)
            && let Some(dial) = peer.mailbox.dial()
        {
            peer.mailbox.phase = Phase::Confirming { dial, until };
        }
        self.arm(key);
    }

    /// Sends HELLO, the first message of a connection, with the present groups.
    fn say_hello(&mut self, now: Instant, key: Key, dial: DialId, local: SocketAddr) {
        // protocol.md §3.3
        let endpoint = Endpoint::advertised(local.ip(), self.config.mailbox_port);
        let hello = Hello {
            endpoint: endpoint.to_string(),
            groups: self.own_groups.iter().map(ToString::to_string).collect(),
            status: self.status,
            name: self.config.name.clone(),
            headers: self.headers_for(key),
        };
        // Or it may be one that we reach by another address just now.
        let is_doubtful = self.peers.find(|p| p.is_nameless_greeted()).is_some();
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let is_doubtful = is_doubtful && peer.id.is_some();
        let follows_another = peer.mailbox.hello_at.replace(now).is_some();
        let owed = std::mem::take(&mut peer.mailbox.pings_owed);
        peer.mailbox.phase = Phase::Open { dial };
        self.transmit(key, &Command::Hello(Box::new(hello)), Content::new());
        for _ in 0..owed {
            self.transmit(key, &Command::PingOk, Content::new());
        }
        // protocol.md §2.8
        if follows_another || is_doubtful {
            self.confirm(now, key);
        } else {
            self.flush(now, key);
        }
    }

    /// The dial reached this node's own mailbox: the address was wrong.
    fn dialed_self(&mut self, now: Instant, key: Key, remote: SocketAddr) {
        self.own_address(remote.ip());
        self.tell_rejected(now, remote, RejectReason::OwnEndpoint);
        if let Some(peer) = self.peers.at_mut(key) {
            peer.manual.clear();
        }
        self.part_for_good(now, key, ExitReason::Unreachable);
    }

    /// If a peer without an identity turns out to be at the endpoint of a known peer,
    /// they are the same, and the user's wish goes to the known peer.
    fn absorb_at(&mut self, key: Key, endpoint: &Endpoint) -> bool {
        let Some(nameless) = self.peers.at(key).filter(|peer| peer.id.is_none()) else {
            return false;
        };
        let node_key = nameless.key;
        let known = |p: &Peer| p.id.is_some() && p.key == node_key && p.is_at(endpoint);
        let Some(other) = self.peers.find(known) else {
            return false;
        };
        self.absorb(key, other);
        true
    }

    /// Merges a peer without an identity into another one.
    pub(super) fn absorb(&mut self, nameless: Key, other: Key) {
        self.hang_up_dial(nameless);
        let Some(gone) = self.remove_peer(nameless) else {
            return;
        };
        if let Some(peer) = self.peers.at_mut(other) {
            peer.manual.extend(gone.manual);
            peer.is_asked_to_share |= gone.is_asked_to_share;
        }
    }
}
