//! Connections that carry the messages of both nodes, since only one of the two can dial the other.
//!
//! Model: A has opened a connection to B and sent HELLO there. Where both are ours and B cannot dial A, or A asks for it,
//! B sends everything on that connection too, HELLO first. For B this is a dial *over* a link: its mailbox has
//! `over`, the link has `over`. For A it is a link with an id of its own ([`LinkId::of_dial`]), so that all rules of
//! links hold; it exists from B's HELLO on. The HELLO names its node, since a dialed ROUTER does not.
//! Invariants: SHARED-1. A dial over a link exists only while the link is that of its peer's presence. SHARED-2. A link
//! of a dial exists only while the dial is in `dials`. SHARED-3. The end of one direction is the end of the other.
//! Limits: none of its own: a shared connection counts as the link or dial that it was.
//! Spec: docs/reference/protocol.md §2.11.

use std::time::{Duration, Instant};

use crate::PeerId;
use crate::command::{Command, Hello, decode};
use crate::mailbox::Phase;
use crate::output::{Content, DialId, ExitReason, LinkId, Output, RejectReason};
use crate::peers::Key;
use crate::sequence::{FIRST, Inbound};
use crate::sharing::{self, Sharing};
use crate::{HEADER_LINK, Headers};

use super::Zre;
use super::links::Link;

impl Zre {
    /// A whole message was received on a connection that this node opened: its first frame and the others. Nodes that
    /// share no connections send none there; what comes before a HELLO is ignored.
    pub fn dial_message(&mut self, now: Instant, dial: DialId, header: &[u8], content: Content) {
        let link = LinkId::of_dial(dial);
        if self.links.contains_key(&link) || self.open_link_of_dial(dial, header) {
            self.link_message(now, link, header, content);
        }
    }

    /// The first message on a connection that this node opened: a HELLO makes it a shared one.
    fn open_link_of_dial(&mut self, dial: DialId, header: &[u8]) -> bool {
        let Some(peer) = self.dials.get(&dial).and_then(|key| self.peers.at(*key)) else {
            return false;
        };
        let (true, Some(remote)) = (peer.mailbox.is_greeted(), peer.mailbox.remote) else {
            return false;
        };
        let Ok((Command::Hello(hello), FIRST)) = decode(header, &self.config.limits.hello) else {
            return false;
        };
        let is_over = peer.mailbox.over.is_some();
        let named = sharing::parse(&hello.headers).filter(|(id, _)| *id != self.config.id);
        let Some((id, _)) = named.filter(|_| self.config.shares && !is_over) else {
            return false;
        };
        let entry = Link {
            id,
            remote,
            key: peer.key,
            peer: None,
            inbound: Inbound::after_hello(),
            over: None,
            parked: None,
        };
        self.links.insert(LinkId::of_dial(dial), entry);
        true
    }

    /// The peer whose HELLO came on a connection that this node opened: the one that was dialed. Its endpoint is the one
    /// that was dialed, whatever it names.
    pub(super) fn admit_dialed(&mut self, link: LinkId) -> Result<Key, RejectReason> {
        let dial = link.dial().ok_or(RejectReason::NotGreeted)?;
        let dialed = self.dials.get(&dial).copied();
        let dialed = dialed.ok_or(RejectReason::NotGreeted)?;
        let id = self.links.get(&link).map(|entry| entry.id);
        let id = id.ok_or(RejectReason::NotGreeted)?;
        let is_present = |key: Key| self.peers.at(key).is_some_and(|p| p.presence.is_some());
        match self.peers.key(id) {
            Some(known) if known == dialed => Ok(known),
            // Another node answers there, and the one that was met there is somewhere else.
            _ if is_present(dialed) => Err(RejectReason::IdentityTaken),
            Some(known) => {
                self.adopt(dialed, known);
                Ok(known)
            }
            None => {
                self.peers.rename(dialed, id);
                Ok(dialed)
            }
        }
    }

    /// A peer was reached by the dial of another one that is not present: it gets that dial, and takes the other's place.
    fn adopt(&mut self, dialed: Key, known: Key) {
        self.hang_up_dial(known);
        self.stop_waiting(known);
        let Some(gone) = self.remove_peer(dialed) else {
            return;
        };
        let dial = gone.mailbox.dial();
        if let Some(peer) = self.peers.at_mut(known) {
            // Nothing waits in the former one, since the peer is not present.
            peer.mailbox = gone.mailbox;
            peer.endpoint = gone.endpoint;
            peer.manual.extend(gone.manual);
            peer.is_asked_to_share |= gone.is_asked_to_share;
        }
        if let Some(dial) = dial {
            self.dials.insert(dial, known);
        }
    }

    /// The headers of our HELLO to a peer.
    pub(super) fn headers_for(&self, key: Key) -> Vec<(String, String)> {
        let mut headers = self.config.headers.clone();
        if self.config.shares {
            let asks = self
                .peers
                .at(key)
                .is_some_and(|peer| peer.is_asked_to_share && peer.mailbox.over.is_none());
            let value = sharing::value(self.config.id, asks);
            headers.push((HEADER_LINK.to_owned(), value));
        }
        headers
    }

    /// What the sender of a HELLO says about its connection.
    pub(super) fn says_of_sharing(&self, id: PeerId, hello: &Hello) -> Sharing {
        match self.config.shares {
            true => sharing::of(&Headers::from(hello.headers.clone()), id),
            false => Sharing::No,
        }
    }

    /// The same of the HELLO of a link.
    pub(super) fn sharing_of(&self, link: LinkId, hello: &Hello) -> Sharing {
        match self.links.get(&link) {
            Some(entry) if link.dial().is_none() => self.says_of_sharing(entry.id, hello),
            _ => Sharing::No,
        }
    }

    /// Whether messages to a peer go over the connection that it opened.
    pub(super) fn is_over(&self, key: Key) -> bool {
        self.peers
            .at(key)
            .is_some_and(|peer| peer.mailbox.over.is_some())
    }

    /// Whether one connection carries what goes to a peer and what comes from it.
    pub(super) fn is_shared(&self, key: Key) -> bool {
        let peer = self.peers.at(key);
        peer.is_some_and(|peer| peer.mailbox.over.is_some() || peer.shared().is_some())
    }

    /// The connection of a peer over which it is to be sent to: it asks for that, or could not be dialed.
    pub(super) fn shareable(&self, key: Key) -> Option<LinkId> {
        let peer = self.peers.at(key)?;
        let presence = peer.presence.as_ref()?;
        match presence.sharing {
            Sharing::No => None,
            Sharing::Can => presence.link.filter(|_| peer.mailbox.undialed > 0),
            Sharing::Asks => presence.link,
        }
    }

    /// How long an attempt to dial a peer may take: not long if there is another way.
    pub(super) fn dial_time(&self, key: Key) -> Duration {
        let times = &self.config.times;
        let presence = self.peers.at(key).and_then(|p| p.presence.as_ref());
        match presence.map(|p| p.sharing) {
            Some(Sharing::Can | Sharing::Asks) => times.dial_settle.min(times.dial_timeout),
            _ => times.dial_timeout,
        }
    }

    /// A peer has entered: if it is to be sent to over its connection, an attempt to dial it is given up, and if it may
    /// be, the attempt does not take long.
    pub(super) fn prefer_sharing(&mut self, now: Instant, key: Key) {
        let latest = now + self.dial_time(key);
        let Some(peer) = self.peers.at_mut(key).filter(|p| p.mailbox.over.is_none()) else {
            return;
        };
        let sharing = peer.presence.as_ref().map(|p| p.sharing);
        match (&mut peer.mailbox.phase, sharing) {
            (Phase::Dialing { until, .. }, Some(Sharing::Can)) => *until = latest.min(*until),
            (Phase::Dialing { .. }, Some(Sharing::Asks)) => {
                self.hang_up_dial(key);
                if let Some(peer) = self.peers.at_mut(key) {
                    peer.mailbox.close(now, now);
                }
            }
            (Phase::Closed { .. }, Some(Sharing::Asks)) => peer.mailbox.close(now, now),
            _ => {}
        }
        self.merge_namesakes(key);
    }

    /// Begins to send to a peer over its connection, if it is time and that is the way.
    pub(super) fn has_shared(&mut self, now: Instant, key: Key) -> bool {
        let Some(link) = self.shareable(key) else {
            return false;
        };
        let until = now + self.config.times.dial_timeout;
        let Some(peer) = self.peers.at_mut(key) else {
            return false;
        };
        if !matches!(peer.mailbox.phase, Phase::Closed { retry_at, .. } if retry_at <= now) {
            return false;
        }
        self.dials_made += 1;
        let dial = DialId(self.dials_made);
        peer.mailbox.phase = Phase::Dialing { dial, until };
        peer.mailbox.over = Some(link);
        if let Some(entry) = self.links.get_mut(&link) {
            entry.over = Some(dial);
        }
        self.dials.insert(dial, key);
        self.stop_waiting(key);
        self.outputs.push_back(Output::DialOver { dial, link });
        self.arm(key);
        true
    }

    /// A peer that is only an endpoint of a user is not dialed while the node that has its key is connected; the wish
    /// goes to that node.
    pub(super) fn has_merged(&mut self, key: Key) -> bool {
        let Some(other) = self.namesake(key) else {
            return false;
        };
        self.absorb(key, other);
        true
    }

    fn namesake(&self, key: Key) -> Option<Key> {
        let peer = self.peers.at(key)?;
        let is_open = !matches!(peer.mailbox.phase, Phase::Closed { .. });
        if peer.id.is_some() || peer.key.is_none() || !peer.is_asked_to_share || is_open {
            return None;
        }
        self.peers.find(|p| p.key == peer.key && p.is_linked())
    }

    /// A peer has entered: endpoints of a user at which it is sought by its key are its own.
    fn merge_namesakes(&mut self, key: Key) {
        let Some(node_key) = self.peers.at(key).and_then(|peer| peer.key) else {
            return;
        };
        let is_it = |p: &crate::peer::Peer| {
            p.id.is_none() && p.key == Some(node_key) && p.is_asked_to_share
        };
        while let Some(nameless) = self.peers.find(|p| is_it(p) && !p.mailbox.is_greeted()) {
            self.absorb(nameless, key);
        }
    }

    /// A peer's connection has ended, and with it what went over it.
    pub(super) fn over_closed(&mut self, now: Instant, entry: &Link) {
        let key = entry.over.and_then(|dial| self.dials.remove(&dial));
        if let Some(peer) = key.and_then(|key| self.peers.at_mut(key)) {
            peer.mailbox.close(now, now);
        }
    }

    /// A link that is a direction of a dial is closed: the dial is too, and is tried again later.
    pub(super) fn shared_ended(&mut self, now: Instant, dial: DialId) {
        let Some(&key) = self.dials.get(&dial) else {
            return;
        };
        self.hang_up_dial(key);
        if self.peers.at(key).is_some_and(|peer| peer.is_linked()) {
            return self.part(now, key, ExitReason::LinkClosed);
        }
        let retry_at = now + self.config.times.redial_max;
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox
                .close(now + self.config.times.redial_min, retry_at);
        }
        self.arm(key);
    }

    /// Forgets a link whose connection is closed otherwise.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        let Some(entry) = self.links.remove(&link) else {
            return;
        };
        let presence = self
            .peers
            .key(entry.id)
            .and_then(|key| self.peers.at_mut(key))
            .and_then(|peer| peer.presence.as_mut());
        if let Some(presence) = presence {
            presence.successor.take_if(|next| next.link == link);
        }
    }
}
