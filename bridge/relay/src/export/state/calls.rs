//! Calls of peers, and what comes on the connections of their callers.
//!
//! Model: a call is checked against its peer's grant, made a call of this bus, and written on its caller's connection.
//! What cannot be is refused there and then.
//! Limits: `callers_max` callers of one peer.

use std::{num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use zbus::{Message, message::Type};
use zocp_node::PeerId;

use super::{Caller, CallerId, Knows, Output, State, caller::Pending};
use crate::{
    barrier::Barrier,
    descriptors::{check, with_notes},
    export::record::Note,
    transport::{
        Stream, has_descriptors, local_call, outgoing_reply, outgoing_signal, wants_reply,
    },
};
use zocp_dbus::errors::Refusal;
use zocp_policy::{Grant, Member, PLAYERS};

impl State {
    /// A call from a peer for a service of ours.
    pub(crate) fn handle_call(
        &mut self,
        peer: PeerId,
        packet: &Message,
        knows: &Knows<'_>,
        now: Instant,
    ) {
        let header = packet.header();
        let (Some(caller), Some(service)) = (header.sender(), header.destination()) else {
            return;
        };
        let (caller, service) = (caller.as_str(), service.as_str());
        if let Err(error) = self.call(peer, packet, (service, caller), knows, now)
            && wants_reply(packet)
        {
            self.output.push_back(Output::RefusePeer {
                peer,
                stream: Stream::Replies(service.into(), caller.into()),
                id: packet.primary_header().serial_num(),
                error,
            });
        }
    }

    fn call(
        &mut self,
        peer: PeerId,
        packet: &Message,
        (service, caller): (&str, &str),
        knows: &Knows<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let header = packet.header();
        let method = Member::of(&header);
        let grant = self.grant(peer, service)?;
        let passage = grant.passage(&method, |interface| knows(service, &method, interface));
        let is_allowed = passage.is_allowed();
        if grant.learn {
            self.note(peer, is_allowed, |peer| {
                Note::member(service, peer, &method, packet)
            });
        }
        if !is_allowed {
            return Err(self.denied(peer, service, &method));
        }
        check(packet, grant.descriptors)?;
        let service = self.offers.name(service).ok_or_else(|| is_gone(service))?;
        let id = self.caller(peer, caller)?;
        let Some(caller) = self.callers.get_mut(&id) else {
            return Err(is_gone(&service));
        };
        let serial = caller.next_serial();
        let call = local_call(packet, &service, passage.interface(), serial)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let max = self.message_len_max;
        if call.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        if caller.pending.len() >= self.limits.caller_calls_max {
            return Err(is_busy(&service));
        }
        if !caller.called.contains(&service) {
            caller.called.insert(service.clone());
        }
        if wants_reply(packet) {
            let id = packet.primary_header().serial_num();
            caller.pending.insert(serial, Pending { id, service });
            if let Some(timeout) = grant.timeout.or(self.limits.answer_max) {
                let pending = &caller.pending;
                let waits = |serial: &NonZeroU32| pending.contains_key(serial);
                caller.deadlines.add(now + timeout, serial, waits);
            }
        }
        self.output.push_back(Output::Call(id, call, serial));
        Ok(())
    }

    /// Too much waits on a caller's connection for the call of this serial; it is not written.
    pub(crate) fn handle_full(&mut self, id: CallerId, serial: NonZeroU32) {
        let Some(caller) = self.callers.get_mut(&id) else {
            return;
        };
        if let Some(pending) = caller.pending.remove(&serial) {
            let refused = caller.refuse(&pending, is_busy(&pending.service));
            self.output.push_back(refused);
        }
    }

    /// What a peer may do with a service that is offered to it. One that it may not see does not exist for it.
    pub(super) fn grant(&mut self, peer: PeerId, service: &str) -> Result<Arc<Grant>, Refusal> {
        if let Some(grant) = self.offers.granted(service, peer) {
            return Ok(grant);
        }
        let known = self.peers.get(&peer).ok_or_else(|| is_gone(service))?;
        let remote = known.remote.clone();
        let grant = self.rules.all.grant(service, remote.who());
        if grant.may_see() {
            // A call that was under way when the service left its bus is denied nothing.
            let is_offered = self.offers.name(service).is_some();
            return is_offered
                .then(|| Arc::new(grant))
                .ok_or_else(|| is_gone(service));
        }
        if grant.learn {
            self.note(peer, false, |peer| Note::see(service, peer));
        }
        let text = format!("{service} is not exported to {}", remote.name);
        Err(Refusal::AccessDenied(text))
    }

    /// Notes what a peer asked of a service that a program learns of.
    pub(super) fn note(&mut self, peer: PeerId, is_allowed: bool, note: impl FnOnce(&str) -> Note) {
        if let Some(peer) = self.peers.get(&peer) {
            let note = note(&peer.remote.name);
            self.rules.note(&peer.remote, &note, is_allowed);
        }
    }

    /// Logged once for each rule and peer; `zocp export --learn` shows each call.
    pub(super) fn denied(&mut self, peer: PeerId, service: &str, method: &Member<'_>) -> Refusal {
        let call = method.rule();
        let rule = self.rules.all.about(service);
        let rule = rule.map(|rule| rule.service.text()).unwrap_or_default();
        let peer_name = self.peers.get(&peer).map(|it| it.remote.name.clone());
        let peer_name = peer_name.unwrap_or_default();
        if self.denied.is_new(peer, &rule) {
            let (peer, rule) = (&peer_name, &*rule);
            tracing::warn!(
                peer,
                service,
                rule,
                call,
                "denied: the rule does not allow it"
            );
        } else {
            tracing::debug!(peer = peer_name, service, rule, call, "denied");
        }
        let hint = match method.interface {
            Some(_) => "",
            None => ": it names no interface",
        };
        Refusal::AccessDenied(format!("no rule lets {peer_name} call {call}{hint}"))
    }

    /// The connection of a remote caller, made at its first call.
    fn caller(&mut self, id: PeerId, name: &str) -> Result<CallerId, Refusal> {
        let gone = || Refusal::NodeGone(id.to_string());
        let peer = self.peers.get_mut(&id).ok_or_else(gone)?;
        if let Some(caller) = peer.callers.get(name) {
            return Ok(*caller);
        }
        let count = peer.callers.len();
        if count >= self.limits.callers_max {
            let text = format!("{count} callers of {} are connected", peer.remote.name);
            return Err(Refusal::LimitsExceeded(text));
        }
        self.last += 1;
        let caller = CallerId(self.last);
        let name: Arc<str> = name.into();
        peer.callers.insert(name.clone(), caller);
        self.callers.insert(caller, Caller::new(id, name));
        self.output.push_back(Output::Connect(id, caller));
        Ok(caller)
    }

    /// A message on the connection of a caller.
    pub(crate) fn handle_message(&mut self, id: CallerId, message: &Message, now: Instant) {
        match message.message_type() {
            Type::MethodReturn | Type::Error => self.handle_service_reply(id, message),
            Type::Signal => self.handle_directed_signal(id, message),
            Type::MethodCall => self.handle_call_back(id, message, now),
        }
    }

    /// Passes on what is held and may go, and gives up what has waited for too long; when there is more to give up.
    pub(crate) fn handle_turn(
        &mut self,
        id: CallerId,
        barrier: &dyn Barrier,
        now: Instant,
    ) -> Option<Instant> {
        let caller = self.callers.get_mut(&id)?;
        caller.release(barrier, &mut self.output);
        while let Some(serial) = caller.deadlines.pop(now) {
            if let Some(pending) = caller.pending.remove(&serial) {
                let text = format!("{} did not answer in time", pending.service);
                let refused = caller.refuse(&pending, Refusal::Timeout(text));
                self.output.push_back(refused);
            }
        }
        self.expire_calls_back(id, now);
        self.callers.get(&id)?.next_deadline()
    }

    /// The connection of a caller has ended by itself.
    pub(crate) fn handle_disconnected(&mut self, id: CallerId, error: &Refusal) {
        self.close_caller(id, error);
    }

    /// Ends a caller: calls that wait get an error (EXPORT-4). The bus tells the services that call it.
    pub(super) fn close_caller(&mut self, id: CallerId, error: &Refusal) {
        let Some(mut caller) = self.callers.remove(&id) else {
            return;
        };
        caller.release_all(&mut self.output);
        for (_, pending) in std::mem::take(&mut caller.pending) {
            let refused = caller.refuse(&pending, error.clone());
            self.output.push_back(refused);
        }
        if let Some(peer) = self.peers.get_mut(&caller.peer) {
            peer.callers.remove(&caller.name);
            for id in caller.calls_back {
                peer.requests.close(id);
            }
        }
        self.output.push_back(Output::Disconnect(id));
    }

    fn handle_service_reply(&mut self, id: CallerId, reply: &Message) {
        let Some(caller) = self.callers.get_mut(&id) else {
            return;
        };
        let serial = reply.header().reply_serial();
        let Some(pending) = serial.and_then(|serial| caller.pending.remove(&serial)) else {
            return;
        };
        let max = self.limits.message_len_max();
        let known = self.peers.get(&caller.peer);
        let granted = self.offers.granted(&pending.service, caller.peer);
        let allowed = granted.map(|grant| grant.descriptors).unwrap_or_default();
        if let Some(known) = known.filter(|_| pending.service.starts_with(PLAYERS)) {
            self.departures.announce(&known.remote, reply);
        }
        let packet = match (outgoing_reply(reply, &caller.name, pending.id), known) {
            _ if reply.data().len() > max => Err(Refusal::TooLarge { max }),
            (Err(error), _) => Err(Refusal::Failed(format!("the answer: {error}"))),
            (Ok(packet), Some(known)) => {
                with_notes(packet, reply, &*self.departures, (&known.remote, allowed))
            }
            (Ok(packet), None) => Ok(packet),
        };
        let error = match packet {
            Ok(packet) => return caller.hold(pending.service, packet),
            Err(error) => error,
        };
        let refused = caller.refuse(&pending, error);
        self.output.push_back(refused);
    }

    /// A signal for this caller alone, from a service that it called.
    fn handle_directed_signal(&mut self, id: CallerId, signal: &Message) {
        let header = signal.header();
        let Some(sender) = header.sender().filter(|_| header.destination().is_some()) else {
            return;
        };
        let Some((service, subscription)) = self.service_of(id, sender.as_str()) else {
            return;
        };
        let Some(caller) = self.callers.get_mut(&id) else {
            return;
        };
        let max = self.limits.message_len_max();
        if has_descriptors(signal) || signal.data().len() > max {
            return self.output.push_back(Output::LogSignal {
                sender: service,
                member: header.member().map_or("", |name| name.as_str()).into(),
            });
        }
        match outgoing_signal(signal, subscription, Some(&caller.name)) {
            Ok(packet) => caller.hold(service, packet),
            Err(error) => tracing::debug!(%error, "a signal cannot be passed on"),
        }
    }

    /// The service that the caller called and that this connection is, and the subscription to it.
    pub(super) fn service_of(&self, id: CallerId, owner: &str) -> Option<(Arc<str>, NonZeroU32)> {
        let caller = self.callers.get(&id)?;
        let is_called = |name: &str| caller.called.contains(name);
        self.offers.hearer(owner, caller.peer, is_called)
    }
}

pub(super) fn is_gone(service: &str) -> Refusal {
    Refusal::ServiceUnknown(format!("{service} is gone"))
}

fn is_busy(service: &str) -> Refusal {
    Refusal::Busy(format!("{service}: too many calls wait"))
}
