//! Peers that leave: a present one becomes one that is only heard, and a heard one is forgotten.

use std::time::Instant;

use crate::PeerId;
use crate::output::{Event, ExitReason, LinkId, Output};
use crate::peers::Key;

use super::Zre;

impl Zre {
    /// Leaves the mesh: says goodbye, hangs up everywhere, tells of every peer that
    /// it is gone. Nothing happens after that.
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
        links.into_iter().for_each(|link| self.hang_up_link(link));
        self.unhailed.clear();
    }

    /// Gives a present peer up, because what it should know could not be queued for
    /// it: it is met afresh, so that nothing is silently missing.
    pub fn give_up(&mut self, now: Instant, peer: PeerId) {
        if let Some(key) = self.peers.key(peer) {
            self.part(now, key, ExitReason::TooSlow);
        }
    }

    /// Ends what there is with a peer. It stays known and is dialed again, later if
    /// it misbehaved.
    pub(super) fn part(&mut self, now: Instant, key: Key, reason: ExitReason) {
        self.end(now, key, reason, After::Redial);
    }

    /// Ends what there is with a peer, and forgets it.
    pub(super) fn part_for_good(&mut self, now: Instant, key: Key, reason: ExitReason) {
        self.end(now, key, reason, After::Forget);
    }

    /// Who waits for the peer's endpoint is met at once, and its own next link is
    /// heard.
    fn end(&mut self, now: Instant, key: Key, reason: ExitReason, after: After) {
        // protocol.md §2.7
        self.hang_up_dial(key);
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let endpoint = peer.endpoint.clone();
        let contender = peer.contender.take();
        let successor = self.exit(key, reason);
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

    /// Leaves a peer alone until its connections are surely closed at its side too.
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

    /// Tells that a present peer is gone and closes its link; returns the link that
    /// is next.
    pub(super) fn exit(&mut self, key: Key, reason: ExitReason) -> Option<LinkId> {
        let peer = self.peers.at_mut(key)?;
        let id = peer.id?;
        let presence = peer.presence.take()?;
        for group in &presence.groups {
            self.remove_member(group, key);
        }
        if let Some(link) = presence.link {
            self.hang_up_link(link);
        }
        self.event(Event::Exited {
            peer: id,
            name: presence.name,
            reason,
        });
        presence.successor.map(|it| it.link)
    }

    /// Forgets a peer that is not present. The endpoints that a user wants are
    /// sought on.
    pub(super) fn forget(&mut self, now: Instant, key: Key) {
        self.hang_up_dial(key);
        let Some(peer) = self.remove_peer(key) else {
            return;
        };
        for endpoint in peer.manual {
            let first = now + self.backoff(1);
            self.seek(now, endpoint, peer.key, first);
        }
    }

    pub(super) fn hang_up_link(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            self.outputs.push_back(Output::HangUpLink(link));
        }
    }
}

/// What becomes of a peer that is no longer present.
enum After {
    Redial,
    Forget,
}

/// Whether a peer is let alone for a while.
const fn misbehaved(reason: ExitReason) -> bool {
    matches!(
        reason,
        ExitReason::Malformed(_) | ExitReason::NoContent | ExitReason::OverLimit
    )
}
