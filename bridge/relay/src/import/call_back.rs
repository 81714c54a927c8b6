//! Calls of imported services to those that called them from this bus.
//!
//! Model: such a call goes to the very connection that called, from the connection of the import, which is
//! what the service is here. Its answer goes back as the answer to the exporter's request.
//! Invariants: B1. only who called the service is called, and only what a rule here allows: by default
//! nothing, since whoever calls a service of another machine did not mean to open itself to that machine.
//! B2. a call is answered once: by whoever takes it out of the table.
//! Limits: `calls_back_max` of one import wait, each as long as the program here takes, or as a rule says;
//! then it is forgotten, since its exporter has answered it.
//! Spec: docs/reference/protocol.md §7.9

use std::{num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use zbus::{Message, message::Flags};

use super::{Importer, calls_back::CallsBack, imported::Imported};
use crate::{
    link::Link,
    transport::{Lane, has_descriptors, local_call, outgoing_answer},
};
use zocp_dbus::{errors::Refusal, line::Line};
use zocp_policy::Member;

impl Importer {
    /// A service calls one that called it. The line that the call goes out on.
    pub(crate) fn call_back(&self, link: &Arc<Link>, packet: &Message) -> Option<Line> {
        let id = packet.primary_header().serial_num();
        let flags = packet.primary_header().flags();
        let wants_answer = !flags.contains(Flags::NO_REPLY_EXPECTED);
        match self.try_call_back(link, packet, wants_answer.then_some(id)) {
            Ok(line) => Some(line),
            Err(refusal) => {
                if let Some(caller) = packet.header().destination().filter(|_| wants_answer) {
                    link.refuse(Lane::Caller(caller.as_str().into()), id, &refusal);
                }
                None
            }
        }
    }

    fn try_call_back(
        &self,
        link: &Arc<Link>,
        packet: &Message,
        id: Option<NonZeroU32>,
    ) -> Result<Line, Refusal> {
        let header = packet.header();
        let caller = header.destination().map_or("", |name| name.as_str());
        let method = Member {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        };
        let imported = header
            .reply_serial()
            .and_then(|subscription| self.subscribed_as(link, subscription))
            .filter(|imported| imported.has_caller(caller))
            .ok_or_else(|| Refusal::AccessDenied(format!("{caller} did not call this service")))?;
        let passage = imported.passage_back(&method);
        if !passage.is_allowed() {
            let text = format!(
                "no [[import]] rule with call_back lets {} call {}",
                imported.service(),
                method.rule()
            );
            self.log_denied(link, &imported, &method);
            return Err(Refusal::AccessDenied(text));
        }
        let line = imported.line();
        let serial = line.serial();
        let call = local_call(packet, caller, passage.interface(), serial)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let max = self.shared.site.message_len_max();
        if call.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        if let Some(id) = id {
            let limits = link.limits.now();
            let timeout = imported.timeout().or(limits.answer_max);
            let max = limits.calls_back_max;
            imported.with_calls_back(|calls| calls.add(serial, id, caller, max))?;
            if let Some(timeout) = timeout {
                imported.with_calls_back(|calls| calls.expect(serial, timeout));
            }
        }
        line.push(call);
        Ok(line.clone())
    }
}

impl Imported {
    /// An answer of a program here; whether it is to such a call.
    pub(super) fn answered_back(&self, answer: &Message) -> bool {
        let serial = answer.header().reply_serial();
        let taken =
            serial.and_then(|serial| self.with_calls_back(|calls| calls.waiting.remove(&serial)));
        let Some(call) = taken else {
            return false;
        };
        let lane = Lane::Caller(call.caller);
        let max = self.link().limits.now().message_len_max();
        let refusal = if has_descriptors(answer) {
            Refusal::NoFileDescriptors
        } else if answer.data().len() > max {
            Refusal::TooLarge { max }
        } else {
            match outgoing_answer(answer, self.service(), call.id) {
                Ok(packet) => {
                    self.link().outlet.push(lane, packet);
                    return true;
                }
                Err(error) => Refusal::Failed(format!("the answer: {error}")),
            }
        };
        self.link().refuse(lane, call.id, &refusal);
        true
    }

    /// Nobody here will answer any more.
    pub(super) fn refuse_calls_back(&self, refusal: &Refusal) {
        let calls = self.with_calls_back(std::mem::take);
        for (_, call) in calls.waiting {
            self.link()
                .refuse(Lane::Caller(call.caller), call.id, refusal);
        }
    }

    /// Forgets calls that nobody waits for any more; when the next one is to be.
    pub(super) fn expire_calls_back(&self) -> Option<Instant> {
        self.with_calls_back(CallsBack::expire)
    }
}
