//! What peers of other venues tell of their nodes, and ask of those of this one.
//!
//! Model: a node that a linked peer tells of enters the model as a peer with `X-ZOCP-DBUS`, whose messages come by way of
//! the linked peer; what the model sends to it goes there. What a linked peer asks of a node of this venue, this node asks
//! in its place.
//! Invariants: AWAY-1. `Entered` and `Exited` of such a node come as those of any other, the latter before that of the
//! peer that passes it on.
//! Limits: those of the model.
//! Not here: what linked peers are told (`actor/passing.rs`).
//! Spec: docs/reference/protocol.md §10.3, §10.6.

use std::time::Instant;

use bytes::Bytes;
use tracing::{debug, info, warn};
use zocp_model::{CallFailure, CapPath, PeerKind, Value, passing as zocp};
use zocp_zre::{ExitReason, PeerId};

use super::Actor;
use super::mesh::node_id;
use crate::event::Event;
use crate::passing::{Passed, Step};
use crate::peer::PeerInfo;
use crate::traffic_kinds::Rejection;
use crate::venue;

// What linked peers ask of nodes of this venue.
impl Actor {
    fn asked(&mut self, now: Instant, link: PeerId, node: PeerId, octets: &[u8]) {
        let requests = match zocp::requests(octets, self.model.limits()) {
            Ok(requests) => requests,
            Err(error) => return self.reject_passed(link, &error),
        };
        for request in requests {
            match request {
                zocp::Request::Set { path, value, cause } => {
                    self.passing.asking = Some(link);
                    let set = self.set(node, &path, value, (1, cause));
                    self.settle_model(now);
                    self.passing.asking = None;
                    if let Err(error) = set {
                        debug!(peer = %link.short(), %path, %error, "a SET of another venue was refused");
                    }
                    self.acknowledge(link, node, &path);
                }
                zocp::Request::Call {
                    id,
                    object,
                    method,
                    args,
                } => {
                    let deadline = now + self.call_max;
                    let peer = node_id(node);
                    let called = self.model.call(now, peer, &object, &method, args, deadline);
                    match (called, id) {
                        (Ok(call), Some(id)) => {
                            self.passing.calls.insert(call, (link, node, id));
                        }
                        (Ok(_), None) => {}
                        (Err(error), Some(id)) => {
                            let failure = CallFailure::Remote {
                                error: error_name(&error).to_owned(),
                                message: error.to_string(),
                            };
                            self.answer_away((link, node, id), Err(failure));
                        }
                        (Err(error), None) => debug!(%error, "a call of another venue was refused"),
                    }
                }
            }
        }
    }

    /// Tells who set a value what holds.
    fn acknowledge(&mut self, link: PeerId, node: PeerId, path: &CapPath) {
        let tree = self.model.remote(node_id(node));
        let value = tree.and_then(|tree| tree.capability(path)?.value.clone());
        if let Some(outbox) = self.passing.outbox(link) {
            outbox.message(node, zocp::state(path, value.as_ref()));
        }
    }

    pub(super) fn answer_away(
        &mut self,
        (link, node, id): (PeerId, PeerId, u64),
        result: Result<Vec<Value>, CallFailure>,
    ) {
        let result = result.map_err(|failure| match failure {
            CallFailure::Remote { error, message } => (error, message),
            CallFailure::Timeout => (TIMEOUT.to_owned(), failure.to_string()),
            CallFailure::NodeGone => (NODE_GONE.to_owned(), failure.to_string()),
        });
        if let Some(outbox) = self.passing.outbox(link) {
            outbox.message(node, zocp::reply(id, result));
        }
    }
}

// What linked peers tell.
impl Actor {
    /// A message about a node.
    pub(super) fn passed(
        &mut self,
        now: Instant,
        link: PeerId,
        passed: Result<(PeerId, Passed), impl std::fmt::Display>,
    ) {
        if self.passing.linked(link).is_none() {
            return self.reject_passed(
                link,
                &"a message about a node from a peer that is not linked",
            );
        }
        let (node, passed) = match passed {
            Ok(passed) => passed,
            Err(error) => return self.reject_passed(link, &error),
        };
        let is_met = self.is_met(node);
        let steps = self.passing.hear(link, (node, passed), is_met);
        self.take_steps(now, link, steps);
    }

    /// Whether a node is met itself, or is this one.
    fn is_met(&self, node: PeerId) -> bool {
        node == self.id || self.zre.peer(node).is_some()
    }

    fn take_steps(&mut self, now: Instant, link: PeerId, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Enter(node, tree) => self.enter_away(now, node, &tree),
                Step::Exit(node, reason) => self.exit_away(now, node, reason),
                Step::Said(node, octets) => {
                    self.is_zocp(now, node, &[octets]);
                }
                Step::Asked(node, octets) => self.asked(now, link, node, &octets),
                Step::Whispered(peer, content) => {
                    self.events.push(Event::Whispered { peer, content });
                }
                Step::WhisperedTo(node, content) => {
                    let peer = link;
                    self.events.push(Event::WhisperedTo {
                        peer,
                        node,
                        content,
                    });
                }
                Step::Refused(why) => self.reject_passed(link, &why),
            }
        }
    }

    fn enter_away(&mut self, now: Instant, node: PeerId, tree: &Bytes) {
        let Some(info) = self.node_away(node) else {
            return;
        };
        info!(peer = %node.short(), name = info.name, "entered, by way of another venue's bridge");
        self.events.push(Event::Entered(info));
        let kind = PeerKind {
            zocp: true,
            extended: true,
        };
        self.model.peer_entered(now, node_id(node), kind);
        self.is_zocp(now, node, std::slice::from_ref(tree));
    }

    fn exit_away(&mut self, now: Instant, node: PeerId, reason: ExitReason) {
        info!(peer = %node.short(), ?reason, "exited, by way of another venue's bridge");
        self.model.peer_left(now, node_id(node));
        self.settle_model(now);
        self.events.push(Event::Exited { peer: node, reason });
    }

    /// A node is met itself.
    pub(super) fn meet_itself(&mut self, now: Instant, node: PeerId) {
        let steps = self.passing.met(node);
        self.take_steps(now, node, steps);
    }

    /// A linked peer has left, and with it the nodes that it told of.
    pub(super) fn unlinked(&mut self, now: Instant, link: PeerId) {
        let (own, zre) = (self.id, &self.zre);
        let steps = self
            .passing
            .cut(link, |node| node == own || zre.peer(node).is_some());
        self.take_steps(now, link, steps);
    }

    /// Sends a message of the model to a node of another venue: what asks for its tree and its emissions is not needed.
    pub(super) fn ask_away(&mut self, via: PeerId, node: PeerId, octets: Vec<u8>) {
        let requests = zocp::requests(&octets, self.model.limits());
        let Some(outbox) = self.passing.outbox(via) else {
            return;
        };
        match requests.ok().and_then(|mut requests| requests.pop()) {
            Some(zocp::Request::Set { path, .. }) => {
                let replaces = outbox.set(node, path.clone(), octets);
                if replaces {
                    self.model.unset(node_id(node), &path);
                }
            }
            Some(zocp::Request::Call { .. }) => outbox.message(node, octets),
            None => {}
        }
    }

    /// The nodes of other venues that are present and not met.
    pub(super) fn nodes_away(&self) -> impl Iterator<Item = PeerInfo> {
        let present = self.passing.present();
        present.filter_map(|(node, _)| self.node_away(node))
    }

    pub(super) fn node_away(&self, node: PeerId) -> Option<PeerInfo> {
        let offer = self.passing.offer(node)?;
        let venue = self.passing.linked(offer.via)?.venue.clone();
        let endpoint = self.zre.peer(offer.via)?.endpoint().to_string();
        Some(PeerInfo {
            venue: Some(venue.clone()),
            via: Some(offer.via),
            endpoint,
            headers: vec![("X-ZOCP".to_owned(), "1".to_owned())],
            groups: vec![crate::config::ZOCP_GROUP.to_owned()],
            zocp: true,
            ..PeerInfo::new(node, venue::qualified(Some(&venue), &offer.name))
        })
    }

    fn reject_passed(&self, link: PeerId, why: &dyn std::fmt::Display) {
        self.traffic.reject(Rejection::Message, None, || {
            format!("{}: {why}", link.short())
        });
        warn!(peer = %link.short(), %why, "a message about a node of another venue is ignored");
    }
}

/// The name of the error of a call that cannot be made.
fn error_name(error: &zocp_model::CallError) -> &'static str {
    use zocp_model::CallError;
    match error {
        CallError::NodeGone => NODE_GONE,
        CallError::NotSupported => "org.freedesktop.DBus.Error.NotSupported",
        CallError::Busy => "org.z25.Zocp1.Error.Busy",
        _ => "org.freedesktop.DBus.Error.InvalidArgs",
    }
}

const TIMEOUT: &str = "org.freedesktop.DBus.Error.Timeout";
const NODE_GONE: &str = "org.z25.Zocp1.Error.NodeGone";
