//! Messages from peers, on the connections that they opened.
//!
//! Model: a link belongs to no peer until its first message, a HELLO, is taken; then
//! every message on it counts. While a peer has a link, the HELLO on another link of that
//! peer is held back with everything that follows, until the first link is read to its end. The peer is sent a
//! PING meanwhile: if it answers on the first link, the other link is not its own, and is closed.
//! Invariants: LINK-1. A link with a peer is the link of that peer's presence. LINK-2.
//! Nothing on a link without a HELLO changes a peer.
//! Limits: `Limits::{links_max, links_per_address_max, held_messages_max, held_bytes_max}`, `Times::hello_timeout`.
//! Spec: 36/ZRE "Interconnection Model", "Protocol Grammar".

use std::net::SocketAddr;
use std::time::Instant;

use crate::PeerId;
use crate::command::{Command, DecodeError, decode};
use crate::mailbox::Asker;
use crate::output::{Content, DialId, Event, ExitReason, Header, LinkError, LinkId, RejectReason};
use crate::peer::Successor;
use crate::peers::Key;
use crate::sequence::{FIRST, Inbound};
use crate::trust::NodeKey;

use super::Zre;

/// A connection that a peer opened.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: PeerId,
    pub(super) remote: SocketAddr,
    /// The key that the peer proved on it.
    pub(super) key: Option<NodeKey>,
    /// The peer whose HELLO was taken on it.
    pub(super) peer: Option<Key>,
    pub(super) inbound: Inbound,
    /// The connection of this node that goes over it, if it is shared.
    pub(super) over: Option<DialId>,
    /// Its HELLO and everything that followed, held back until the peer's former link has ended.
    pub(super) parked: Option<Parked>,
}

/// The messages of a link that are held back.
#[derive(Debug, Default)]
pub(super) struct Parked {
    messages: Vec<(Header, Content)>,
    octets: usize,
}

impl Parked {
    fn new(header: &[u8], content: Content) -> Self {
        let mut parked = Self::default();
        parked.push(header, content);
        parked
    }

    fn push(&mut self, header: &[u8], content: Content) {
        self.octets += header.len() + content.iter().map(bytes::Bytes::len).sum::<usize>();
        self.messages.push((Header::from_slice(header), content));
    }
}

impl Zre {
    /// A peer opened a connection to the mailbox: READY was exchanged, with this identity.
    ///
    /// # Errors
    ///
    /// If it is not from a node of the mesh. The caller closes it.
    pub fn link_opened(
        &mut self,
        now: Instant,
        link: LinkId,
        remote: SocketAddr,
        identity: &[u8],
    ) -> Result<(), LinkError> {
        self.open_link(now, link, remote, identity, None)
    }

    /// A peer opened a connection to the mailbox, proved this key, and was admitted
    /// ([`Self::may_enter`]).
    ///
    /// # Errors
    ///
    /// If it is not from a node of the mesh. The caller closes it.
    pub fn secure_link_opened(
        &mut self,
        now: Instant,
        link: LinkId,
        remote: SocketAddr,
        identity: &[u8],
        key: NodeKey,
    ) -> Result<(), LinkError> {
        self.open_link(now, link, remote, identity, Some(key))
    }

    fn open_link(
        &mut self,
        now: Instant,
        link: LinkId,
        remote: SocketAddr,
        identity: &[u8],
        key: Option<NodeKey>,
    ) -> Result<(), LinkError> {
        if self.is_shut_down {
            return Err(LinkError::ShutDown);
        }
        let id = PeerId::from_routing_id(identity).ok_or(LinkError::BadIdentity)?;
        if id == self.config.id {
            // From this node, or from one that claims its identity: the source address proves nothing.
            return Err(LinkError::Own);
        }
        if !self.admits_key(key) || (key.is_none() && self.has_key(id)) {
            return Err(LinkError::Untrusted);
        }
        if self.links.len() >= self.config.limits.links_max {
            return Err(LinkError::TooMany);
        }
        let ip = remote.ip().to_canonical();
        let links = self.links.values();
        let there = links.filter(|link| link.remote.ip().to_canonical() == ip);
        if there.count() >= self.config.limits.links_per_address_max {
            return Err(LinkError::TooManyThere);
        }
        let entry = Link {
            id,
            remote,
            key,
            peer: None,
            inbound: Inbound::after_hello(),
            over: None,
            parked: None,
        };
        self.links.insert(link, entry);
        let due = now + self.config.times.hello_timeout;
        self.unhailed.push_back((due, link));
        Ok(())
    }

    /// A whole message was received on a link: its first frame and the others.
    pub fn link_message(&mut self, now: Instant, link: LinkId, header: &[u8], content: Content) {
        let Some(entry) = self.links.get_mut(&link) else {
            return;
        };
        if self.is_shut_down {
            return;
        }
        let decoded = decode(header, &self.config.limits.hello);
        match (entry.peer, decoded) {
            _ if entry.parked.is_some() => self.park(now, link, header, content),
            (None, decoded) => self.first_message(now, link, decoded, (header, content)),
            (Some(key), Err(error)) => self.part(now, key, ExitReason::Malformed(error)),
            // 36/ZRE: HELLO from a peer that is here begins anew, with its number 1.
            (Some(_), Ok((Command::Hello(hello), FIRST))) => self.hello(now, link, *hello),
            (Some(key), Ok((command, number))) if entry.inbound.accept(number) => {
                self.command(now, key, command, content);
            }
            // protocol.md §3.5
            (Some(key), Ok(_)) => self.part(now, key, ExitReason::SequenceGap),
        }
    }

    /// A part of a message was received on a link: its sender is alive, however long the whole takes.
    pub fn link_progressed(&mut self, now: Instant, link: LinkId) {
        // protocol.md §3.9
        if let Some(key) = self.links.get(&link).and_then(|entry| entry.peer) {
            self.alive(now, key);
        }
    }

    /// A link was closed.
    pub fn link_closed(&mut self, now: Instant, link: LinkId) {
        let Some(entry) = self.links.remove(&link) else {
            return;
        };
        self.over_closed(now, &entry);
        let key = entry.peer.or_else(|| self.peers.key(entry.id));
        let presence = key
            .and_then(|key| self.peers.at_mut(key))
            .and_then(|peer| peer.presence.as_mut());
        let (Some(key), Some(presence)) = (key, presence) else {
            return;
        };
        if presence.link != Some(link) {
            presence.successor.take_if(|next| next.link == link);
        } else if presence.leaving.is_some() {
            self.part_for_good(now, key, ExitReason::Goodbye);
        } else if presence.awaiting {
            presence.link = None;
            if let Some(next) = presence.successor.take() {
                self.take_over(now, next.link);
            }
        } else {
            self.part(now, key, ExitReason::LinkClosed);
        }
    }

    /// The first message of a link, which must be a HELLO.
    fn first_message(
        &mut self,
        now: Instant,
        link: LinkId,
        decoded: Result<(Command<'_>, u16), DecodeError>,
        raw: (&[u8], Content),
    ) {
        let Some((id, proved)) = self.links.get(&link).map(|entry| (entry.id, entry.key)) else {
            return;
        };
        let known = self.peers.key(id);
        let present = known.and_then(|key| self.peers.at(key));
        // protocol.md §8.6
        if present.is_some_and(|p| p.presence.is_some() && p.key != proved) {
            return self.reject(now, link, RejectReason::IdentityTaken);
        }
        match decoded {
            Ok((Command::Hello(hello), FIRST)) => {
                let is_linked = |key| self.peers.at(key).is_some_and(|p| p.is_linked());
                match known.filter(|key| is_linked(*key)) {
                    Some(key) => self.succeed(now, key, link, raw),
                    None => self.hello(now, link, *hello),
                }
            }
            Err(error) => self.reject(now, link, RejectReason::Malformed(error)),
            // An old peer's connection, silently opened again after it broke. It continues
            // in the middle of a sequence, and is of no use until it begins with a HELLO.
            Ok(_) => match known {
                Some(key) if !self.peers.at(key).is_some_and(|p| p.is_linked()) => {
                    if let Some(peer) = self.peers.at_mut(key) {
                        peer.mailbox.hurry(now);
                    }
                    self.attend(now, key);
                }
                _ => {}
            },
        }
    }

    /// Holds back the HELLO of a link until the peer's present link has ended.
    fn succeed(&mut self, now: Instant, key: Key, link: LinkId, raw: (&[u8], Content)) {
        // protocol.md §2.9
        let settle = self.patience(key, self.config.times.hello_settle);
        let successor = Successor {
            link,
            since: now,
            until: now + settle,
            is_false: false,
        };
        let presence = self.peers.at_mut(key).and_then(|p| p.presence.as_mut());
        let former = presence.and_then(|p| p.successor.replace(successor));
        if let Some(former) = former {
            self.hang_up_link(now, former.link);
        }
        if let Some(entry) = self.links.get_mut(&link) {
            entry.parked = Some(Parked::new(raw.0, raw.1));
        }
        // protocol.md §2.10: the peer answers on the link that is its own.
        self.ask_if_open(now, key);
        self.arm(key);
    }

    /// Holds back a message behind its HELLO; when there are too many, the former link is
    /// closed instead of waiting for its end.
    fn park(&mut self, now: Instant, link: LinkId, header: &[u8], content: Content) {
        let Some(entry) = self.links.get_mut(&link) else {
            return;
        };
        let Some(parked) = entry.parked.as_mut() else {
            return;
        };
        parked.push(header, content);
        let limits = &self.config.limits;
        if parked.messages.len() < limits.held_messages_max && parked.octets < limits.held_bytes_max
        {
            return;
        }
        let key = self.peers.key(entry.id);
        let presence = key
            .and_then(|key| self.peers.at_mut(key))
            .and_then(|peer| peer.presence.as_mut());
        if let Some(presence) = presence {
            let successor = presence.successor.take();
            if successor.is_some_and(|it| it.is_false) {
                return self.reject(now, link, RejectReason::IdentityTaken);
            }
            if let Some(former) = presence.link.take() {
                self.hang_up_link(now, former);
            }
        }
        self.take_over(now, link);
    }

    /// The former link has ended: the messages that were held back are handled.
    pub(super) fn take_over(&mut self, now: Instant, link: LinkId) {
        let parked = self.links.get_mut(&link).and_then(|l| l.parked.take());
        for (header, content) in parked.into_iter().flat_map(|parked| parked.messages) {
            self.link_message(now, link, &header, content);
        }
    }

    /// Closes a link that is of no use.
    pub(super) fn reject(&mut self, now: Instant, link: LinkId, why: RejectReason) {
        let Some(remote) = self.links.get(&link).map(|entry| entry.remote) else {
            return;
        };
        self.hang_up_link(now, link);
        self.tell_rejected(now, remote, why);
    }

    /// A message of a peer that is present, in order.
    fn command(&mut self, now: Instant, key: Key, command: Command<'_>, content: Content) {
        self.alive(now, key);
        let Some(id) = self.peers.at(key).and_then(|peer| peer.id) else {
            return;
        };
        match command {
            Command::Whisper => {
                if self.check_inbound(now, key, &content) {
                    self.event(Event::Whispered { peer: id, content });
                }
            }
            Command::Shout { group } => {
                if self.check_inbound(now, key, &content) {
                    let group = self.group_name(&group);
                    let event = Event::Shouted {
                        peer: id,
                        group,
                        content,
                    };
                    self.event(event);
                }
            }
            Command::Join { group, status } => self.joined(now, key, &group, status),
            Command::Leave { group, status } => self.left(key, &group, status),
            Command::Ping => self.answer_ping(now, key),
            Command::PingOk => {
                if let Some(ping) = self.ping_answered(now, key) {
                    self.vouched(key, ping.sent);
                    if ping.asker == Asker::Caller {
                        let rtt = now.saturating_duration_since(ping.sent);
                        self.event(Event::PingAnswered { peer: id, rtt });
                    }
                }
            }
            // HELLO is handled before; elections are not supported.
            Command::Hello(_) | Command::Other(_) => {}
        }
    }

    /// A peer has answered a PING that was sent at this time on its link.
    fn vouched(&mut self, key: Key, asked: Instant) {
        let presence = self.peers.at_mut(key).and_then(|p| p.presence.as_mut());
        if let Some(presence) = presence {
            presence.answered(asked);
        }
    }

    /// Whether a message has content, and not too much.
    fn check_inbound(&mut self, now: Instant, key: Key, content: &Content) -> bool {
        let reason = match content.len() {
            0 => ExitReason::NoContent,
            n if n > self.config.limits.content_frames_max => ExitReason::OverLimit,
            _ => return true,
        };
        self.part(now, key, reason);
        false
    }
}
