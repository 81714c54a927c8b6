//! Peers that leave: a present one becomes one that is only heard, and a heard one is forgotten.

use std::time::Instant;

use crate::PeerId;
use crate::output::{Event, ExitReason, LinkId, Output};
use crate::peers::Key;
use crate::sharing::Sharing;

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
