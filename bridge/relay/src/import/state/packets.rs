//! What a peer sends for its imports: replies and signals.
//!
//! Spec: docs/reference/protocol.md §7.4

use std::num::NonZeroU32;

use tokio::time::Instant;
use zbus::Message;
use zocp_node::PeerId;

use super::{Output, State, import::RequestKind};
use crate::transport::{local_reply, local_signal};
use zocp_dbus::errors::Refusal;
use zocp_policy::Member;

impl State {
    /// A peer replies to the request of this number.
    pub(crate) fn handle_reply(
        &mut self,
        peer: PeerId,
        number: NonZeroU32,
        packet: &Message,
        now: Instant,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(request) = known.requests.close(number) else {
            return;
        };
        let id = request.import;
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        match request.kind {
            RequestKind::Subscribe => self.handle_subscribed(peer, id, number, packet, now),
            RequestKind::Memory(question) => import.learn(question, packet, now),
            RequestKind::Call { call, question, .. } => {
                let presented = import.presented_reply(&call, packet);
                let reply = local_reply(presented.as_deref().unwrap_or(packet), &call);
                let max = self.message_len_max;
                let output = match reply {
                    Ok(reply) if reply.len() <= max => {
                        if let Some(question) = question {
                            import.learn(question, packet, now);
                        }
                        Output::Write(id, reply)
                    }
                    Ok(_) => Output::RefuseCall(id, call, Refusal::TooLarge { max }),
                    Err(error) => {
                        let error = Refusal::Failed(format!("the answer: {error}"));
                        Output::RefuseCall(id, call, error)
                    }
                };
                self.output.push_back(output);
            }
        }
    }

    /// A reply from a peer is longer than the `max` octets that are taken: who waits for it gets an error.
    pub(crate) fn handle_long_reply(&mut self, peer: PeerId, number: NonZeroU32, max: usize) {
        let known = self.peers.get_mut(&peer);
        let Some(request) = known.and_then(|known| known.requests.close(number)) else {
            return;
        };
        match request.kind {
            RequestKind::Call { call, .. } => {
                let error = Refusal::TooLarge { max };
                self.output
                    .push_back(Output::RefuseCall(request.import, call, error));
            }
            RequestKind::Memory(question) => {
                if let Some(import) = self.imports.get_mut(&request.import) {
                    import.forget(&question.key);
                }
            }
            // A reply to a subscription is never that long.
            RequestKind::Subscribe => {}
        }
    }

    /// A signal from a peer (IMPORT-3).
    pub(crate) fn handle_signal(&mut self, peer: PeerId, packet: &Message) {
        let header = packet.header();
        let (Some(subscription), Some(path), Some(member)) =
            (header.reply_serial(), header.path(), header.member())
        else {
            return;
        };
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let Some(id) = known.by_subscription.get(&subscription).copied() else {
            return;
        };
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        let signal = Member {
            path: path.as_str(),
            interface: header.interface().map(|name| name.as_str()),
            member: member.as_str(),
        };
        let is_allowed = match header.destination() {
            Some(caller) => import.callers.contains(caller.as_str()),
            None => import.rule.grant.may_hear(&signal),
        };
        if !is_allowed {
            return;
        }
        let presented = import.presented_signal(packet);
        match local_signal(presented.as_deref().unwrap_or(packet)) {
            Ok(signal) if signal.len() <= self.message_len_max => {
                if header.destination().is_none() {
                    import.follow(packet);
                }
                self.output.push_back(Output::Write(id, signal));
            }
            Ok(_) => {
                let service = import.service.clone();
                self.output.push_back(Output::LogTooLong(peer, service));
            }
            Err(error) => {
                tracing::debug!(peer = known.remote.name, %error, "a signal is dropped");
            }
        }
    }
}
