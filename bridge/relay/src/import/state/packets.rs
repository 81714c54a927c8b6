//! What a peer sends for its imports: replies and signals.
//!
//! Spec: docs/reference/protocol.md §7.4

use std::num::NonZeroU32;

use tokio::time::Instant;
use zbus::{Message, message::Type};
use zocp_node::PeerId;

use super::{ImportId, Output, State, import::Request};
use crate::descriptors::check;
use crate::transport::{local_reply, local_signal};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::{Member, PLAYERS};

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
        match request {
            Request::Subscribe(service) => {
                self.handle_subscribed(peer, &service, number, packet, now);
            }
            Request::Memory(id, question) => {
                if let Some(import) = self.imports.get_mut(&id) {
                    import.learn(question, packet, now);
                }
            }
            Request::Call {
                import: id,
                call,
                question,
                ..
            } => {
                let Some(import) = self.imports.get_mut(&id) else {
                    return;
                };
                if let Err(error) = check(packet, import.rule.grant.descriptors) {
                    if let Some(question) = question {
                        import.forget(&question.key);
                    }
                    let refused = Output::RefuseCall(id, call, error);
                    return self.output.push_back(refused);
                }
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

    /// A reply from a peer cannot be taken: who waits for it gets this error.
    pub(crate) fn handle_lost_reply(&mut self, peer: PeerId, number: NonZeroU32, error: Refusal) {
        let known = self.peers.get_mut(&peer);
        let Some(request) = known.and_then(|known| known.requests.close(number)) else {
            return;
        };
        match request {
            Request::Call { import, call, .. } => {
                self.output
                    .push_back(Output::RefuseCall(import, call, error));
            }
            Request::Memory(import, question) => {
                if let Some(import) = self.imports.get_mut(&import) {
                    import.forget(&question.key);
                }
            }
            // A reply to a subscription is never that long.
            Request::Subscribe(_) => {}
        }
    }

    /// Whether the files that a reply or a signal from a peer names are wanted here.
    pub(crate) fn wants_files(&self, peer: PeerId, packet: &Message) -> bool {
        let (Some(known), Some(number)) = (self.peers.get(&peer), packet.header().reply_serial())
        else {
            return false;
        };
        let wants = |import: ImportId| {
            let import = self.imports.get(&import);
            import.is_some_and(|it| it.rule.files && it.service.starts_with(PLAYERS))
        };
        if packet.message_type() != Type::Signal {
            let import = known.requests.get(number).and_then(Request::import);
            return import.is_some_and(wants);
        }
        let service = known.by_subscription.get(&number);
        let subscription = service.and_then(|service| known.services.get(service));
        subscription.is_some_and(|subscription| subscription.imports().any(wants))
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
        let service = known.by_subscription.get(&subscription);
        let Some(subscription) = service.and_then(|service| known.services.get(service)) else {
            return;
        };
        let signal = Member {
            path: path.as_str(),
            interface: header.interface().map(|name| name.as_str()),
            member: member.as_str(),
        };
        let caller = header.destination().map(|name| name.as_str());
        // On all buses it is the same message, where its content is not another one.
        let mut unchanged = None;
        for id in subscription.imports() {
            let Some(import) = self.imports.get_mut(&id) else {
                continue;
            };
            let is_allowed = match caller {
                Some(caller) => import.callers.contains(caller),
                None => import.rule.grant.may_hear(&signal),
            };
            if !is_allowed {
                continue;
            }
            let local = match (import.presented_signal(packet), &unchanged) {
                (Some(presented), _) => local_signal(&presented),
                (None, Some(octets)) => Ok(Octets::clone(octets)),
                (None, None) => {
                    local_signal(packet).inspect(|octets| unchanged = Some(octets.clone()))
                }
            };
            match local {
                Ok(signal) if signal.len() <= self.message_len_max => {
                    if caller.is_none() {
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
}
