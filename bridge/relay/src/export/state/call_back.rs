//! Calls of services to those that called them from another bus.
//!
//! Model: what a remote caller's connection is called with goes to the caller itself, as a request of our own of its
//! bridge; its reply comes back on that connection. It stays behind what the service emitted before. Who takes the
//! request out replies to it, or the bus does when the connection ends.
//! Limits: `calls_back_max` calls of one caller wait for replies, each as long as the caller takes, or as a rule says.
//! Spec: docs/reference/protocol.md §7.9

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;
use zbus::Message;
use zocp_node::PeerId;

use super::{CallerId, Output, State, caller::CallBack};
use crate::{
    descriptors::{check, with_notes},
    export::{identity, record::Note},
    transport::{kept, local_reply, outgoing_call_back, wants_reply},
};
use zocp_dbus::{errors::Refusal, message::Outgoing};
use zocp_policy::Member;

impl State {
    /// Somebody on this bus calls a caller.
    pub(super) fn handle_call_back(&mut self, id: CallerId, call: &Message, now: Instant) {
        let header = call.header();
        let method = Member::of(&header);
        let reply = match (method.interface, method.member) {
            (Some("org.freedesktop.DBus.Peer"), "Ping") => {
                let pong = Outgoing::build(Message::method_return(&header), &());
                Some(pong.map_err(|error| Refusal::Failed(error.to_string())))
            }
            _ => self.reply(id, call, &method),
        };
        let output = match reply {
            Some(Ok(reply)) => Output::Write(id, reply.into()),
            Some(Err(error)) => Output::RefuseCall(id, call.clone(), error),
            None => match self.pass_back(id, call, &method, now) {
                Ok(()) => return,
                Err(error) => Output::RefuseCall(id, call.clone(), error),
            },
        };
        self.output.push_back(output);
    }

    /// The reply to a call that is for the bridge: who the caller is.
    fn reply(
        &self,
        id: CallerId,
        call: &Message,
        method: &Member<'_>,
    ) -> Option<Result<Outgoing, Refusal>> {
        let caller = self.callers.get(&id)?;
        let peer = self.peers.get(&caller.peer)?;
        identity::answer(call, method, &peer.remote, &caller.name)
    }

    fn pass_back(
        &mut self,
        id: CallerId,
        call: &Message,
        method: &Member<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let max = self.limits.message_len_max();
        if call.data().len() > max {
            return Err(Refusal::TooLarge { max });
        }
        let header = call.header();
        let sender = header.sender().map_or("", |sender| sender.as_str());
        let not_called = || {
            let text = "only a service that it called may call a program on another bus";
            Refusal::AccessDenied(text.to_owned())
        };
        let (service, subscription) = self.service_of(id, sender).ok_or_else(not_called)?;
        let peer = self.callers.get(&id).ok_or_else(not_called)?.peer;
        let grant = self.grant(peer, &service)?;
        let passage = grant.passage_back(method);
        let is_allowed = passage.is_allowed();
        if grant.learn {
            self.note(peer, is_allowed, |peer| {
                Note::call_back(&service, peer, method)
            });
        }
        if !is_allowed {
            return Err(self.denied(peer, &service, method));
        }
        let allowed = grant.descriptors;
        check(call, allowed)?;
        let number = match wants_reply(call) {
            false => None,
            true => Some(self.open_call_back(id, call, grant.timeout, now)?),
        };
        let caller = self.callers.get_mut(&id).ok_or_else(not_called)?;
        let packet = outgoing_call_back(
            call,
            subscription,
            &caller.name,
            passage.interface(),
            number.unwrap_or(NonZeroU32::MIN),
        );
        let known = self.peers.get(&peer).ok_or_else(not_called)?;
        let packet = packet.map_err(|error| Refusal::Failed(error.to_string()));
        let packet = packet.and_then(|packet| {
            with_notes(packet, call, &*self.departures, (&known.remote, allowed))
        });
        match packet {
            Ok(packet) => caller.hold(service, packet),
            Err(error) => {
                if let Some(number) = number {
                    self.close_call_back(peer, number);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Keeps a call to be replied to; its number.
    fn open_call_back(
        &mut self,
        id: CallerId,
        call: &Message,
        timeout: Option<Duration>,
        now: Instant,
    ) -> Result<NonZeroU32, Refusal> {
        let gone = || Refusal::NodeGone("the peer".to_owned());
        let caller = self.callers.get_mut(&id).ok_or_else(gone)?;
        let peer = self.peers.get_mut(&caller.peer).ok_or_else(gone)?;
        let count = caller.calls_back.len();
        if count >= self.limits.calls_back_max {
            let text = format!("{count} calls wait for {}", caller.name);
            return Err(Refusal::Busy(text));
        }
        let call_back = CallBack {
            caller: id,
            call: kept(call),
        };
        let number = peer
            .requests
            .open(call_back, &self.limits, &peer.remote.name)?;
        caller.calls_back.insert(number);
        if let Some(timeout) = timeout.or(self.limits.answer_max) {
            let open = &caller.calls_back;
            let waits = |number: &NonZeroU32| open.contains(number);
            caller.call_back_deadlines.add(now + timeout, number, waits);
        }
        Ok(number)
    }

    /// Takes a call out, to reply to it.
    fn close_call_back(&mut self, peer: PeerId, number: NonZeroU32) -> Option<CallBack> {
        let call_back = self.peers.get_mut(&peer)?.requests.close(number)?;
        if let Some(caller) = self.callers.get_mut(&call_back.caller) {
            caller.calls_back.remove(&number);
        }
        Some(call_back)
    }

    /// A peer replies to the request of this number.
    pub(crate) fn handle_reply(&mut self, peer: PeerId, number: NonZeroU32, packet: &Message) {
        let Some(CallBack { caller, call }) = self.close_call_back(peer, number) else {
            return;
        };
        let max = self.message_len_max;
        let granted = self.callers.get(&caller).and_then(|it| {
            let sender = call.header().sender().map(|name| name.to_string())?;
            let (service, _) = self.service_of(caller, &sender)?;
            self.offers.granted(&service, it.peer)
        });
        let allowed = granted.map(|grant| grant.descriptors).unwrap_or_default();
        if let Err(error) = check(packet, allowed) {
            let refused = Output::RefuseCall(caller, call, error);
            return self.output.push_back(refused);
        }
        let output = match local_reply(packet, &call) {
            Ok(reply) if reply.len() <= max => Output::Write(caller, reply),
            Ok(_) => Output::RefuseCall(caller, call, Refusal::TooLarge { max }),
            Err(error) => {
                let error = Refusal::Failed(format!("the answer: {error}"));
                Output::RefuseCall(caller, call, error)
            }
        };
        self.output.push_back(output);
    }

    /// Such a reply cannot be taken: the service gets this error.
    pub(crate) fn handle_lost_reply(&mut self, peer: PeerId, number: NonZeroU32, error: Refusal) {
        if let Some(CallBack { caller, call }) = self.close_call_back(peer, number) {
            self.output
                .push_back(Output::RefuseCall(caller, call, error));
        }
    }

    /// Replies to calls of services whose time is over.
    pub(super) fn expire_calls_back(&mut self, id: CallerId, now: Instant) {
        let Some(caller) = self.callers.get_mut(&id) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&caller.peer) else {
            return;
        };
        while let Some(number) = caller.call_back_deadlines.pop(now) {
            if caller.calls_back.remove(&number)
                && let Some(call_back) = peer.requests.close(number)
            {
                let text = format!("{} did not answer in time", caller.name);
                let error = Refusal::Timeout(text);
                self.output
                    .push_back(Output::RefuseCall(id, call_back.call, error));
            }
        }
    }
}
