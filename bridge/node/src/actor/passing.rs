//! What peers of other venues are told of nodes of this one.
//!
//! Model: what the model reports of the nodes that the rules name goes to the linked peers, as their lines carry it
//! ([`Outbox`](crate::passing::Outbox)). So does what this node says itself to them.
//! Not here: what those peers tell and ask (`actor/away.rs`).
//! Limits: [`UNSENT_MAX`] octets are given to a connection before the next message about a node waits.
//! Spec: docs/reference/protocol.md §10.4, §10.5.

use std::time::Instant;

use bytes::Bytes;
use tracing::{debug, warn};
use zocp_model::passing::{self as zocp, Scope};
use zocp_zre::{Content, PeerId, SendError};

use super::Actor;
use super::mesh::{node_id, peer_id};
use crate::passing::{Introduction, Item, PassRule, Passed, write};

// What linked peers are told.
impl Actor {
    /// A peer of another venue has entered.
    pub(super) fn link_entered(&mut self, peer: PeerId, venue: &str) {
        self.passing.link(peer, venue);
        for (node, name) in self.own_nodes() {
            self.tell_of(peer, node, &name);
        }
    }

    /// Follows other rules.
    pub(crate) fn set_pass(&mut self, rules: Vec<PassRule>) {
        self.passing.rules = rules;
        for link in self.passing.links() {
            for (node, name) in self.own_nodes() {
                match self.passing.names(link, &name) {
                    None => self.passing.tell_gone(link, node),
                    told if told == self.passing.told_of(link, node) => {}
                    Some(told) => self.passing.tell(link, node, told),
                }
            }
        }
    }

    /// The nodes of this venue whose trees are known, with their names.
    fn own_nodes(&self) -> Vec<(PeerId, String)> {
        let met = self.zre.peers();
        let own = met.filter(|peer| self.venue.of_peer(peer).is_none());
        let known = own.filter(|peer| self.model.remote(node_id(peer.id())).is_some());
        known
            .map(|peer| (peer.id(), peer.name().to_owned()))
            .collect()
    }

    fn tell_of(&mut self, link: PeerId, node: PeerId, name: &str) {
        if let Some(told) = self.passing.names(link, name) {
            self.passing.tell(link, node, told);
        }
    }

    /// A peer has left: those who were told of it are told that.
    pub(super) fn left(&mut self, peer: PeerId) {
        self.passing.lost(peer);
    }

    /// Passes on what the model reports of a node of this venue.
    pub(super) fn pass_on(&mut self, event: &zocp_model::Event) {
        use zocp_model::Event as Zocp;
        match event {
            Zocp::TreeKnown { peer } => self.tree_known(peer_id(*peer)),
            Zocp::Changed { peer, changes } => {
                let (node, peer) = (peer_id(*peer), *peer);
                if !self.passing.is_passed(node) {
                    return;
                }
                let is_extended = self.model.kind(peer).is_some_and(|kind| kind.extended);
                let changed = |with_services| {
                    let scope = Scope {
                        is_extended,
                        with_services,
                    };
                    zocp::changed(changes, scope)
                };
                let (without, with) = (changed(false), changed(true));
                for (told, outbox) in self.passing.told(node) {
                    let told = if told.with_services { &with } else { &without };
                    for patch in &told.patches {
                        outbox.patch(node, patch.clone());
                    }
                    for (path, value) in &told.states {
                        outbox.state(node, path.clone(), value.clone());
                    }
                }
            }
            Zocp::Emitted {
                peer,
                path,
                value,
                cause,
            }
            | Zocp::Set {
                peer,
                path,
                value,
                cause,
                ..
            } => {
                let node = peer_id(*peer);
                for (_, outbox) in self.passing.told(node) {
                    outbox.event(node, path.clone(), value.clone(), cause.clone());
                }
            }
            _ => {}
        }
    }

    /// Has what this node says itself wait for a linked peer with what it passes on.
    pub(super) fn queue_own(&mut self, link: PeerId, octets: Vec<u8>) {
        let subject = zocp::subject(&octets, self.model.limits());
        let own = self.id;
        let Some(outbox) = self.passing.outbox(link) else {
            return;
        };
        match subject {
            zocp::Subject::Value(path) => {
                let capability = self.model.local().capability(&path);
                match capability.is_some_and(|it| it.info.access.emit) {
                    true => outbox.own_event(own, path, octets),
                    false => outbox.own_state(own, path, octets),
                }
            }
            zocp::Subject::Set(path) => {
                if outbox.set(link, path.clone(), octets) {
                    self.model.unset(node_id(link), &path);
                }
            }
            zocp::Subject::Patch => outbox.own_patch(own, octets),
            zocp::Subject::Other => outbox.message(own, octets),
        }
    }

    fn tree_known(&mut self, node: PeerId) {
        let Some(peer) = self.zre.peer(node) else {
            return;
        };
        if self.venue.of_peer(&peer).is_some() {
            return;
        }
        let name = peer.name().to_owned();
        for link in self.passing.links() {
            self.tell_of(link, node, &name);
        }
    }

    /// Sends what waits for linked peers, as far as their connections take it; returns whether anything was sent.
    pub(super) fn send_passed(&mut self, now: Instant) -> bool {
        let mut any = false;
        for link in self.passing.waiting() {
            while self.takes_more(link) {
                let Some(item) = self.passing.outbox(link).and_then(|it| it.pop()) else {
                    break;
                };
                any |= self.send_item(now, link, item);
            }
            if self.passing.outbox(link).is_some_and(|it| it.is_full()) {
                self.give_up(now, link);
                any = true;
            }
            let merged = self.passing.outbox(link).map_or(0, |it| it.take_merged());
            if merged > 0 {
                warn!(
                    peer = %link.short(), merged,
                    "the line to a bridge of another venue does not carry all that nodes emit: only the newest values are sent"
                );
            }
        }
        any
    }

    fn takes_more(&mut self, link: PeerId) -> bool {
        let Some(dial) = self.zre.peer(link).and_then(|peer| peer.dial()) else {
            return false;
        };
        let Some(outgoing) = self.outgoing(dial) else {
            return false;
        };
        let takes = outgoing.codec.output_len() < UNSENT_MAX;
        if self.passing.limits(link, dial)
            && let Some(outgoing) = self.outgoing(dial)
        {
            outgoing.limit_unsent(UNSENT_MAX as u32);
        }
        takes
    }

    fn send_item(&mut self, now: Instant, link: PeerId, item: Item) -> bool {
        let node = item.node();
        let message = |octets: Vec<u8>| Passed::Message(Bytes::from(octets));
        let passed = match item {
            Item::Message(_, octets) | Item::Emission(_, _, octets)
                if node == self.id || node == link =>
            {
                // Not about a node that is passed on: as between any two nodes.
                let content = Content::from_iter([Bytes::from(octets)]);
                return self.send_passed_content(now, link, content);
            }
            Item::Emission(..) => return false,
            Item::Enter(node) => match self.introduction(link, node) {
                Some(passed) => passed,
                None => return false,
            },
            Item::Leave(_) => Passed::Leave,
            Item::Ask(_) => Passed::Ask,
            Item::Patch(_, octets) | Item::Message(_, octets) => message(octets),
            Item::State(_, path, value) => message(zocp::state(&path, Some(&value))),
            Item::Event(_, path, value, cause) => {
                message(zocp::emission(&path, &value, cause.as_ref()))
            }
            Item::Newest(..) => return false,
        };
        self.send_passed_content(now, link, write(node, passed))
    }

    fn send_passed_content(&mut self, now: Instant, link: PeerId, content: Content) -> bool {
        match self.zre.whisper(now, link, content) {
            Ok(()) => {}
            Err(SendError::Busy) => self.give_up(now, link),
            // The peer left within this turn, and the model is told next.
            Err(error) => {
                debug!(peer = %link.short(), %error, "a message about a node was not sent");
            }
        }
        true
    }

    fn introduction(&self, link: PeerId, node: PeerId) -> Option<Passed> {
        let name = self.zre.peer(node)?.name().to_owned();
        let id = node_id(node);
        let scope = Scope {
            is_extended: self.model.kind(id)?.extended,
            with_services: self.passing.passes_services(link, node),
        };
        let tree = zocp::tree(self.model.remote(id)?, scope);
        Some(Passed::Enter(Introduction { name }, Bytes::from(tree)))
    }
}

/// Octets that wait in the codec of a connection beyond what its socket has taken; a few messages, so that writes are
/// few and what waits longer is not out of date.
const UNSENT_MAX: usize = 16 << 10;
