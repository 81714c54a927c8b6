//! Calls of imported services to those that called them from this bus.
//!
//! Model: such a call goes to the very connection that called, from the connection of the import, which is what the
//! service is here. Its reply goes back as the reply to the exporter's request. Who takes a call out of the table replies
//! to it.
//! Limits: `calls_back_max` of one import wait, each as long as the program here takes, or as a rule says; then it is
//! forgotten, since its exporter has replied to it. Further ones get `Busy`.
//! Spec: docs/reference/protocol.md §7.9

use std::num::NonZeroU32;

use tokio::time::Instant;
use zbus::Message;
use zocp_node::PeerId;

use super::{ImportId, Output, State, import::CallBack};
use crate::{
    descriptors::{check, with_notes},
    transport::{Stream, local_call, outgoing_reply, wants_reply},
};
use zocp_dbus::errors::Refusal;
use zocp_policy::Member;

impl State {
    /// A service calls one that called it.
    pub(crate) fn handle_call_back(&mut self, peer: PeerId, packet: &Message, now: Instant) {
        let id = packet.primary_header().serial_num();
        let wants_reply = wants_reply(packet);
        let header = packet.header();
        let Some(caller) = header.destination().map(|name| name.as_str()) else {
            return;
        };
        let called = self.call_back(peer, packet, caller, wants_reply.then_some(id), now);
        if let Err(error) = called
            && wants_reply
        {
            let stream = Stream::Caller(caller.into());
            self.output.push_back(Output::RefusePeer {
                peer,
                stream,
                id,
                error,
            });
        }
    }

    fn call_back(
        &mut self,
        peer: PeerId,
        packet: &Message,
        caller: &str,
        id: Option<NonZeroU32>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let header = packet.header();
        let method = Member::of(&header);
        let not_called = || Refusal::AccessDenied(format!("{caller} did not call this service"));
        let known = self.peers.get(&peer).ok_or_else(not_called)?;
        let service = header
            .reply_serial()
            .and_then(|subscription| known.by_subscription.get(&subscription))
            .ok_or_else(not_called)?;
        let bus = self.callers.get(caller).ok_or_else(not_called)?.bus;
        let import_id = known.import_of(bus, service).ok_or_else(not_called)?;
        let import = self.imports.get_mut(&import_id).ok_or_else(not_called)?;
        let caller = import.callers.get(caller).ok_or_else(not_called)?.clone();
        let passage = import.rule.grant.passage_back(&method);
        if !passage.is_allowed() {
            let text = format!(
                "no [[import]] rule with call_back lets {} call {}",
                import.service,
                method.rule()
            );
            Self::log_denied(&mut self.denied, &known.remote, import, &method);
            return Err(Refusal::AccessDenied(text));
        }
        check(packet, import.rule.grant.descriptors)?;
        let serial = import.next_serial();
        let call = local_call(packet, &caller, passage.interface(), serial)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let max = self.message_len_max;
        if call.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        if let Some(id) = id {
            let count = import.calls_back.len();
            if count >= self.limits.calls_back_max {
                let text = format!("{count} calls wait for programs");
                return Err(Refusal::Busy(text));
            }
            import.calls_back.insert(serial, CallBack { id, caller });
            if let Some(timeout) = import.rule.grant.timeout.or(self.limits.answer_max) {
                let waiting = &import.calls_back;
                let waits = |serial: &NonZeroU32| waiting.contains_key(serial);
                import.call_back_deadlines.add(now + timeout, serial, waits);
            }
        }
        self.output.push_back(Output::Write(import_id, call));
        Ok(())
    }

    /// A reply of a program here, to such a call if one waits with this serial.
    pub(super) fn handle_reply_to_call_back(
        &mut self,
        id: ImportId,
        serial: NonZeroU32,
        reply: &Message,
    ) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        let Some(call) = import.calls_back.remove(&serial) else {
            return;
        };
        let (peer, stream) = (import.peer, Stream::Caller(call.caller));
        let max = self.limits.message_len_max();
        let allowed = import.rule.grant.descriptors;
        let packet = match (
            outgoing_reply(reply, &import.service, call.id),
            self.peers.get(&peer),
        ) {
            _ if reply.data().len() > max => Err(Refusal::TooLarge { max }),
            (Err(error), _) => Err(Refusal::Failed(format!("the answer: {error}"))),
            (Ok(packet), Some(known)) => {
                with_notes(packet, reply, &*self.departures, (&known.remote, allowed))
            }
            (Ok(_), None) => return,
        };
        let output = match packet {
            Ok(packet) => Output::Send {
                peer,
                stream,
                packet,
            },
            Err(error) => Output::RefusePeer {
                peer,
                stream,
                id: call.id,
                error,
            },
        };
        self.output.push_back(output);
    }

    /// No program here will reply any more.
    pub(super) fn close_calls_back(&mut self, id: ImportId, error: &Refusal) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        for call in std::mem::take(&mut import.calls_back).into_values() {
            self.output.push_back(Output::RefusePeer {
                peer: import.peer,
                stream: Stream::Caller(call.caller),
                id: call.id,
                error: error.clone(),
            });
        }
    }
}
