//! What happens when time passes: beacons, PINGs, peers that are silent for too long, repeated attempts.

use std::time::Instant;

use crate::mailbox::Phase;
use crate::output::{Event, ExitReason, RejectReason};
use crate::peer::{Peer, Question, Silence};
use crate::peers::Key;

use super::Zre;

impl Zre {
    /// Tells the core whether the caller reads the links. While it does not, the silence of peers means nothing, and no
    /// peer becomes evasive or expires.
    pub const fn set_listening(&mut self, is_listening: bool) {
        self.is_deaf = !is_listening;
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_shut_down {
            return;
        }
        if self.beacon_at.is_some_and(|at| at <= now) {
            self.announce(now);
        }
        while let Some(&(at, link)) = self.unhailed.front()
            && at <= now
        {
            self.unhailed.pop_front();
            self.expire_link(now, link);
        }
        // All due peers are taken first, so that each is handled once in a call.
        let due: Vec<Key> = std::iter::from_fn(|| self.timers.pop(now)).collect();
        for key in due {
            self.tick_connection(now, key);
            self.tick_silence(now, key);
            self.attend(now, key);
        }
    }

    fn tick_connection(&mut self, now: Instant, key: Key) {
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let hello_timeout = peer.patience(self.config.times.hello_timeout);
        let hello_due = peer
            .mailbox
            .hello_at
            .is_some_and(|at| at + hello_timeout <= now);
        let successor = peer.presence.as_mut().and_then(|p| {
            let it = p.successor.take_if(|it| it.until <= now)?;
            match it.is_false {
                true => Some((None, it)),
                false => Some((p.link.take(), it)),
            }
        });
        let is_gone = peer.presence.as_ref().and_then(|p| p.leaving);
        if is_gone.is_some_and(|leaving| leaving.until <= now) {
            return self.part_for_good(now, key, ExitReason::Goodbye);
        }
        match peer.mailbox.phase {
            Phase::Dialing { until, .. } | Phase::Confirming { until, .. } if until <= now => {
                self.attempt_failed(now, key);
            }
            // The messages that it has not read would be silently missing.
            Phase::Draining { until, .. } if until <= now => {
                self.part(now, key, ExitReason::TooSlow);
            }
            _ if hello_due && peer.awaits_hello() => self.attempt_failed(now, key),
            _ => {}
        }
        if let Some((former, it)) = successor {
            if it.is_false {
                return self.reject(now, it.link, RejectReason::IdentityTaken);
            }
            if let Some(former) = former {
                self.hang_up_link(now, former);
            }
            self.take_over(now, it.link);
        }
    }

    fn tick_silence(&mut self, now: Instant, key: Key) {
        // protocol.md §3.9
        let times = self.config.times;
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        if let Some(presence) = peer.presence.as_mut().filter(|_| self.is_deaf) {
            peer.heard = now;
            presence.silence = match presence.silence {
                Silence::Evasive(_) => Silence::Evasive(Question::new(now)),
                Silence::None | Silence::Asked(_) => Silence::None,
            };
            return;
        }
        if peer.expires(&times).is_some_and(|at| at <= now) {
            if peer.presence.is_some() {
                self.part_for_good(now, key, ExitReason::Expired);
            } else if peer.manual.is_empty() {
                self.forget(now, key);
            } else {
                peer.heard = now;
            }
            return;
        }
        let (Some(id), Some(presence)) = (peer.id, peer.presence.as_ref()) else {
            return;
        };
        let again = |asked: Question| Silence::Evasive(Question { last: now, ..asked });
        let (next, tell) = match presence.silence {
            Silence::None if peer.ping_at(&times) <= now => {
                (Silence::Asked(Question::new(now)), false)
            }
            Silence::Asked(asked) if peer.evasive_at(&times, asked) <= now => (again(asked), true),
            Silence::Evasive(asked) if asked.last + peer.ping_wait(&times) <= now => {
                (again(asked), false)
            }
            _ => return,
        };
        if let Some(presence) = peer.presence.as_mut() {
            presence.silence = next;
        }
        // A peer that cannot be sent a PING does not become evasive.
        if tell && !self.peers.at(key).is_some_and(Peer::is_unreachable) {
            self.event(Event::Evasive { peer: id });
        }
        self.ask_if_open(now, key);
    }

    /// The time for the HELLO of a link is over.
    fn expire_link(&mut self, now: Instant, link: crate::LinkId) {
        let Some(entry) = self.links.get(&link) else {
            return;
        };
        if entry.peer.is_none() && entry.parked.is_none() {
            let remote = entry.remote;
            self.hang_up_link(now, link);
            self.tell_rejected(now, remote, RejectReason::NotGreeted);
        }
    }
}
