//! Messages to peers: whispers, shouts, PINGs, and this node's joins and leaves.
//!
//! Invariants: SENDING-1. Towards a peer, messages keep the order of the calls. SENDING-2. A
//! message is refused before any part of it is sent, or it goes to all peers that it
//! is for. SENDING-3. Joins and leaves go to everyone that has our HELLO, and are
//! counted as that HELLO told; a wrong count aborts a zyre.
//! Spec: 36/ZRE "Protocol Grammar"; PING and PING-OK: "Keep-alive".

use std::borrow::Cow;
use std::time::Instant;

use crate::command::Command;
use crate::mailbox::{Asker, Message, Phase, Ping};
use crate::output::{Content, Event, Header, Output, SendError};
use crate::peer::Peer;
use crate::peers::Key;
use crate::{GroupName, PeerId};

use super::Zre;

impl Zre {
    /// Sends a message to one peer.
    ///
    /// # Errors
    ///
    /// `NoSuchPeer`; `Busy` when too much waits for it; `Unreachable`; `Empty`; `TooManyFrames`.
    pub fn whisper(
        &mut self,
        now: Instant,
        peer: PeerId,
        content: Content,
    ) -> Result<(), SendError> {
        self.check_content(&content)?;
        let key = self.reachable(peer)?;
        self.check_room(key)?;
        self.send_or_hold(now, key, Message::Whisper(content));
        Ok(())
    }

    /// Sends a message to all peers in a group, and returns their number.
    ///
    /// # Errors
    ///
    /// `Busy` when too much waits for one of them; `Empty`; `TooManyFrames`; `BadGroup`. Then no peer gets the message.
    pub fn shout(
        &mut self,
        now: Instant,
        group: &str,
        content: Content,
    ) -> Result<usize, SendError> {
        self.check_content(&content)?;
        GroupName::new(group)?;
        let Some((name, keys)) = self.members.get_key_value(group) else {
            return Ok(0);
        };
        let can_be_told = |key: &&Key| !self.peers.at(**key).is_some_and(Peer::is_unreachable);
        let name = name.clone();
        let keys: Vec<Key> = keys.iter().filter(can_be_told).copied().collect();
        keys.iter().try_for_each(|key| self.check_room(*key))?;
        for key in &keys {
            let message = Message::Shout(name.clone(), content.clone());
            self.send_or_hold(now, *key, message);
        }
        Ok(keys.len())
    }

    /// Joins a group; `false` if this node is in it already.
    ///
    /// # Errors
    ///
    /// `BadGroup`; `Busy` when too much waits for a peer. Then no peer is told.
    pub fn join(&mut self, now: Instant, group: &str) -> Result<bool, SendError> {
        if self.own_groups.iter().any(|own| own.as_str() == group) {
            return Ok(false);
        }
        let group = GroupName::new(group)?;
        self.tell_all(now, |status| Message::Join(group.clone(), status))?;
        self.own_groups.push(group);
        Ok(true)
    }

    /// Leaves a group; `false` if this node is not in it.
    ///
    /// # Errors
    ///
    /// `Busy` when too much waits for a peer. Then no peer is told.
    pub fn leave(&mut self, now: Instant, group: &str) -> Result<bool, SendError> {
        let own = self.own_groups.iter().find(|own| own.as_str() == group);
        let Some(name) = own.cloned() else {
            return Ok(false);
        };
        self.tell_all(now, |status| Message::Leave(name.clone(), status))?;
        self.own_groups.retain(|own| *own != name);
        Ok(true)
    }

    /// Sends a PING to a peer; [`Event::PingAnswered`] reports how long the answer took.
    ///
    /// # Errors
    ///
    /// `NoSuchPeer`; `Unreachable`; `Busy` while its connection is being made, or when too many
    /// PINGs are unanswered.
    pub fn ping(&mut self, now: Instant, peer: PeerId) -> Result<(), SendError> {
        let key = self.reachable(peer)?;
        let is_open = self.peers.at(key).is_some_and(|peer| {
            matches!(peer.mailbox.phase, Phase::Open { .. })
                && peer.mailbox.pings.len() < self.config.limits.pings_max
        });
        if !is_open {
            return Err(SendError::Busy);
        }
        self.ask(now, key, Asker::Caller);
        self.drain_if_due(now, key);
        Ok(())
    }

    fn check_content(&self, content: &Content) -> Result<(), SendError> {
        // protocol.md §3.7
        match content.len() {
            0 => Err(SendError::Empty),
            n if n > self.config.limits.content_frames_max => Err(SendError::TooManyFrames),
            _ => Ok(()),
        }
    }

    /// A peer that is present and can be sent to.
    fn reachable(&self, id: PeerId) -> Result<Key, SendError> {
        let key = self.peers.key(id).ok_or(SendError::NoSuchPeer)?;
        match self.peers.at(key).and_then(|peer| peer.presence.as_ref()) {
            None => Err(SendError::NoSuchPeer),
            Some(presence) if presence.is_unreachable => Err(SendError::Unreachable),
            Some(_) => Ok(key),
        }
    }

    /// Whether a message to a peer can be sent or held.
    fn check_room(&mut self, key: Key) -> Result<(), SendError> {
        let limits = &self.config.limits;
        match self.peers.at_mut(key) {
            Some(peer) => match peer.mailbox.phase {
                Phase::Open { .. } => Ok(()),
                _ => peer.mailbox.check_room(limits),
            },
            None => Err(SendError::NoSuchPeer),
        }
    }

    fn send_or_hold(&mut self, now: Instant, key: Key, message: Message) {
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        if matches!(peer.mailbox.phase, Phase::Open { .. }) {
            self.send(now, key, message);
        } else {
            peer.mailbox.hold(message);
        }
    }

    /// Sends a join or leave to every peer that has this node's HELLO. The HELLO that the others
    /// will get has the change.
    fn tell_all(&mut self, now: Instant, message: impl Fn(u8) -> Message) -> Result<(), SendError> {
        let has_hello = |phase| matches!(phase, Phase::Open { .. } | Phase::Confirming { .. });
        let keys: Vec<Key> = self
            .peers
            .iter()
            .filter(|(_, peer)| has_hello(peer.mailbox.phase))
            .map(|(key, _)| key)
            .collect();
        keys.iter().try_for_each(|key| self.check_room(*key))?;
        // protocol.md §3.6
        self.status = self.status.wrapping_add(1);
        for key in keys {
            self.send_or_hold(now, key, message(self.status));
        }
        Ok(())
    }

    /// Sends on a connection that is open.
    fn send(&mut self, now: Instant, key: Key, message: Message) {
        let named = |group: &GroupName| Cow::<'static, str>::Owned(group.to_string());
        let (command, content) = match message {
            Message::Whisper(content) => (Command::Whisper, content),
            Message::Shout(group, content) => {
                let group = named(&group);
                (Command::Shout { group }, content)
            }
            Message::Join(group, status) => {
                let group = named(&group);
                (Command::Join { group, status }, Content::new())
            }
            Message::Leave(group, status) => {
                let group = named(&group);
                (Command::Leave { group, status }, Content::new())
            }
        };
        self.transmit(key, &command, content);
        self.drain_if_due(now, key);
    }

    /// Sends the messages that wait, up to the last sequence number.
    pub(super) fn flush(&mut self, now: Instant, key: Key) {
        self.drain_if_due(now, key);
        while let Some(peer) = self.peers.at_mut(key)
            && let Phase::Open { .. } = peer.mailbox.phase
        {
            match peer.mailbox.next_held() {
                Some(message) => self.send(now, key, message),
                None => break,
            }
        }
        if let Some(peer) = self.peers.at_mut(key)
            && peer.mailbox.take_unblocked()
            && let Some(id) = peer.id
        {
            self.event(Event::Unblocked { peer: id });
        }
    }

    /// Numbers a message and outputs it.
    pub(super) fn transmit(&mut self, key: Key, command: &Command<'_>, content: Content) {
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        let Some(dial) = peer.mailbox.dial() else {
            return;
        };
        let mut header = Header::new();
        command.encode(peer.mailbox.outbound.advance(), &mut header);
        self.outputs.push_back(Output::Send {
            dial,
            header,
            content,
        });
    }

    /// Sends a PING on a connection that is open.
    pub(super) fn ask(&mut self, now: Instant, key: Key, asker: Asker) {
        if let Some(peer) = self.peers.at_mut(key) {
            peer.mailbox.pings.push_back(Ping { sent: now, asker });
            self.transmit(key, &Command::Ping, Content::new());
        }
    }

    /// Sends a PING to a silent peer, if its connection is open.
    pub(super) fn ask_if_open(&mut self, now: Instant, key: Key) {
        let max = self.config.limits.pings_max;
        let can_ask = self.peers.at(key).is_some_and(|peer| {
            matches!(peer.mailbox.phase, Phase::Open { .. }) && peer.mailbox.pings.len() < max
        });
        if can_ask {
            self.ask(now, key, Asker::Protocol);
            self.drain_if_due(now, key);
        }
    }

    /// Answers a peer's PING, or holds the answer until the connection is ready.
    pub(super) fn answer_ping(&mut self, now: Instant, key: Key) {
        let Some(peer) = self.peers.at_mut(key) else {
            return;
        };
        match peer.mailbox.phase {
            Phase::Open { .. } | Phase::Confirming { .. } => {
                self.transmit(key, &Command::PingOk, Content::new());
                self.drain_if_due(now, key);
            }
            _ => peer.mailbox.pings_owed = peer.mailbox.pings_owed.saturating_add(1),
        }
    }
}
