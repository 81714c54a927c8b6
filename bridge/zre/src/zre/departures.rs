//! Peers that leave: a present one becomes one that is only heard, and a heard one is forgotten.

use std::time::Instant;

use crate::output::{ConnectError, Event, ExitReason, LinkId, Output};
use crate::peer::{Peer, SharedWay};
use crate::peers::Key;
use crate::sharing::Sharing;
use crate::{Endpoint, NodeKey, PeerId};

use super::Zre;

impl Zre {
    /// Leaves the mesh: says goodbye, closes all connections, and reports every peer as
    /// exited. Nothing happens after that.
    pub fn shutdown(&mut self, now: Instant) {
        if self.is_shut_down {
            return;
        }
        if self.beacon_at.take().is_some() {
            self.send_beacon(0);
        }
        self.is_shut_down = true;
        let keys: Vec<Key> = self.peers.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(peer) = self.peers.at_mut(key) {
                peer.manual.clear();
                peer.contender = None;
            }
            self.part_for_good(now, key, ExitReason::Shutdown);
        }
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links
            .into_iter()
            .for_each(|link| self.hang_up_link(now, link));
        self.unhailed.clear();
    }

    /// Takes back a wish for the peer at an endpoint ([`Self::connect`]). It is not dialed for that any more; a peer that
    /// is present stays, as long as it is. `false` if there was no such wish.
    ///
    /// # Errors
    ///
    /// The text is no endpoint.
    pub fn disconnect(
        &mut self,
        now: Instant,
        endpoint: &str,
        node_key: Option<NodeKey>,
    ) -> Result<bool, ConnectError> {
        // protocol.md §1.12
        let endpoint: Endpoint = endpoint.parse()?;
        let is_wanted = |peer: &Peer| peer.key == node_key && peer.manual.contains(&endpoint);
        let wanted = self.peers.iter().filter(|(_, peer)| is_wanted(peer));
        let wanted: Vec<Key> = wanted.map(|(key, _)| key).collect();
        for key in &wanted {
            let Some(peer) = self.peers.at_mut(*key) else {
                continue;
            };
            peer.manual.retain(|it| *it != endpoint);
            // Nobody else has named it.
            let is_known = peer.id.is_some() && peer.cause.is_some();
            peer.is_unwanted = peer.manual.is_empty() && !is_known;
            if peer.is_unwanted && peer.presence.is_none() {
                self.forget(now, *key);
            }
        }
        Ok(!wanted.is_empty())
    }

    /// The same of a wish for a connection that carries the messages of both ([`Self::connect_both_ways`]): where it is
    /// there, it is closed.
    ///
    /// # Errors
    ///
    /// As [`Self::disconnect`].
    pub fn disconnect_both_ways(
        &mut self,
        now: Instant,
        endpoint: &str,
        node_key: NodeKey,
    ) -> Result<bool, ConnectError> {
        let was_wanted = self.disconnect(now, endpoint, Some(node_key))?;
        let is_it = |peer: &Peer| {
            peer.key == Some(node_key)
                && peer.is_asked_to_share
                && peer.manual.is_empty()
                && peer.shared() == Some(SharedWay::Ours)
        };
        if was_wanted && let Some(key) = self.peers.find(is_it) {
            self.part_for_good(now, key, ExitReason::Unlinked);
        }
        Ok(was_wanted)
    }

    /// Drops a present peer, because a message could not be queued for
    /// it. It is met afresh, so that no message is silently missing.
    pub fn give_up(&mut self, now: Instant, peer: PeerId) {
        if let Some(key) = self.peers.key(peer) {
            self.part(now, key, ExitReason::TooSlow);
        }
    }

    /// Ends the connections with a peer. It stays known and is dialed again, after a pause if
    /// it misbehaved.
    pub(super) fn part(&mut self, now: Instant, key: Key, reason: ExitReason) {
        self.end(now, key, reason, After::Redial);
    }

    /// Ends the connections with a peer, and forgets it.
    pub(super) fn part_for_good(&mut self, now: Instant, key: Key, reason: ExitReason) {
        self.end(now, key, reason, After::Forget);
    }

    /// The peer that waits for this peer's endpoint is dialed at once, and this peer's own next
    /// link is read.
    fn end(&mut self, now: Instant, key: Key, reason: ExitReason, after: After) {
        // protocol.md §2.7
        self.hang_up_dial(key);
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let endpoint = peer.endpoint.clone();
        let contender = peer.contender.take();
        // Such a peer has no endpoint that could be dialed.
        let after = match peer.presence.as_ref().map(|p| p.sharing) {
            Some(Sharing::Asks) => After::Forget,
            _ if peer.is_unwanted => After::Forget,
            _ => after,
        };
        let successor = self.exit(now, key, reason);
        match after {
            After::Redial => self.rest(now, key, reason),
            After::Forget => self.forget(now, key),
        }
        if let Some((id, key)) = contender {
            self.meet(now, id, endpoint, key);
        }
        if let Some(link) = successor {
            self.take_over(now, link);
        }
    }

    /// Does not dial a peer until its connections are closed at its end too.
    fn rest(&mut self, now: Instant, key: Key, reason: ExitReason) {
        let quiet = if misbehaved(reason) {
            self.config.times.redial_max
        } else {
            self.config.times.redial_min
        };
        self.stop_waiting(key);
        // protocol.md §1.6
        if let Some(peer) = self.peers.at_mut(key)
            && std::mem::take(&mut peer.heard_elsewhere)
        {
            peer.next_endpoint();
        }
        let failures = self.peers.at(key).map_or(0, |p| p.mailbox.failures);
        let retry_at = now + self.backoff(failures);
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.clear_held();
            peer.mailbox.close(now + quiet, retry_at);
        }
        self.arm(key);
    }

    /// Reports that a present peer exited, and closes its link; returns the link that
    /// is next.
    pub(super) fn exit(&mut self, now: Instant, key: Key, reason: ExitReason) -> Option<LinkId> {
        let peer = self.peers.at_mut(key)?;
        let id = peer.id?;
        let presence = peer.presence.take()?;
        for group in &presence.groups {
            self.remove_member(group, key);
        }
        if let Some(link) = presence.link {
            self.hang_up_link(now, link);
        }
        self.event(Event::Exited {
            peer: id,
            name: presence.name,
            reason,
        });
        presence.successor.map(|it| it.link)
    }

    /// Forgets a peer that is not present. Endpoints that a user gave are still
    /// dialed.
    pub(super) fn forget(&mut self, now: Instant, key: Key) {
        self.hang_up_dial(key);
        let Some(peer) = self.remove_peer(key) else {
            return;
        };
        for endpoint in peer.manual {
            let first = now + self.backoff(1);
            self.seek(now, endpoint, peer.key, first, peer.is_asked_to_share);
        }
    }

    pub(super) fn hang_up_link(&mut self, now: Instant, link: LinkId) {
        let Some(entry) = self.links.remove(&link) else {
            return;
        };
        match link.dial() {
            Some(dial) => self.shared_ended(now, dial),
            None => {
                self.over_closed(now, &entry);
                self.outputs.push_back(Output::HangUpLink(link));
            }
        }
    }
}

/// What happens to a peer that is no longer present.
enum After {
    Redial,
    Forget,
}

/// Whether a peer is not dialed for a while.
const fn misbehaved(reason: ExitReason) -> bool {
    matches!(
        reason,
        ExitReason::Malformed(_) | ExitReason::NoContent | ExitReason::OverLimit
    )
}
