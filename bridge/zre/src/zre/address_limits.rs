//! Limits for each remote address: how many peers it may introduce, and how many connections are opened at once because
//! of it.
//!
//! Model: a peer's *cause* is the address whose beacon or HELLO named it, whatever endpoint that was. A HELLO outweighs a
//! beacon, in whose name anybody can write one. A peer that is dialed for a user has no cause.
//! Limits: `Limits::{peers_max, peers_per_address_max, dials_per_address_max}`.

use std::net::IpAddr;
use std::time::Instant;

use crate::output::{DialId, RejectReason};
use crate::peer::Peer;
use crate::peers::Key;

use super::Zre;

impl Zre {
    /// The address that names a peer is its cause.
    pub(super) fn caused(&mut self, key: Key, by: Claim) {
        if let Some(ip) = by.address() {
            self.set_cause(key, ip);
        }
    }

    /// Makes space for one more peer that an address introduces, if its limits allow it.
    pub(super) fn make_room(&mut self, now: Instant, by: Claim) -> Result<(), RejectReason> {
        let limits = self.config.limits;
        let ip = by.address().map(|ip| ip.to_canonical());
        let is_there = |peer: &Peer| ip.is_some() && peer.cause == ip;
        let there = self.peers.iter().filter(|(_, peer)| is_there(peer)).count();
        let why = if there >= limits.peers_per_address_max {
            RejectReason::AddressFull
        } else if self.peers.len() >= limits.peers_max {
            RejectReason::Full
        } else {
            return Ok(());
        };
        // A beacon can be forged; a HELLO comes on a connection.
        let is_idle = |peer: &Peer| {
            let may_go = peer.presence.is_none() && peer.manual.is_empty();
            may_go && !peer.mailbox.is_greeted() && (why == RejectReason::Full || is_there(peer))
        };
        match self
            .peers
            .find(is_idle)
            .filter(|_| matches!(by, Claim::Greeted(_)))
        {
            Some(idle) => {
                self.forget(now, idle);
                Ok(())
            }
            None => Err(why),
        }
    }

    /// A dial is over: the next one that waits because of the same address may begin.
    pub(super) fn release_slot(&mut self, dial: DialId) {
        let next = self.making.remove(&dial);
        if let Some(next) = next.and_then(|ip| self.slots.release(ip))
            && let Some(peer) = self.peers.at_mut(next)
        {
            peer.is_waiting = false;
            self.arm(next);
        }
    }

    /// Makes an address the cause of a peer, unless a user gave the peer.
    pub(super) fn set_cause(&mut self, key: Key, ip: IpAddr) {
        let ip = ip.to_canonical();
        if let Some(peer) = self.peers.at_mut(key)
            && peer.cause != Some(ip)
            && peer.manual.is_empty()
        {
            let former = peer.cause.replace(ip);
            if std::mem::take(&mut peer.is_waiting)
                && let Some(former) = former
            {
                self.slots.leave(former, key);
            }
        }
    }

    /// A peer is not to be dialed before a later time: until then others may have the slot that it waits for.
    pub(super) fn stop_waiting(&mut self, key: Key) {
        if let Some(peer) = self.peers.at_mut(key)
            && std::mem::take(&mut peer.is_waiting)
            && let Some(ip) = peer.cause
        {
            self.slots.leave(ip, key);
        }
    }

    /// Removes a peer that is not dialed.
    pub(super) fn remove_peer(&mut self, key: Key) -> Option<Peer> {
        let peer = self.peers.remove(key)?;
        if let Some(ip) = peer.cause.filter(|_| peer.is_waiting) {
            self.slots.leave(ip, key);
        }
        Some(peer)
    }
}

/// How a newcomer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// By a beacon of this address, which can be forged.
    Heard(Option<IpAddr>),
    /// By its HELLO, on a connection from this address.
    Greeted(IpAddr),
}

impl Claim {
    const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Heard(ip) => ip,
            Self::Greeted(ip) => Some(ip),
        }
    }
}
