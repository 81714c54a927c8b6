//! Calls of services to those that called them from another bus.
//!
//! Model: what a remote caller's connection is called with goes to the caller itself, as a request of our
//! own of its bridge; its answer comes back on that connection.
//! Invariants: A1. only a service that the caller called may call it, as long as both are there and the
//! peer's grant says so. A2. it stays behind what the service told the caller before. A3. a call is
//! answered once: by whoever takes the request out of the link, or by the bus when the connection ends.
//! Limits: `calls_back_max` calls of one caller wait for answers, each as long as the caller takes, or as a rule
//! says.
//! Spec: docs/reference/protocol.md §7.9

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::Instant;
use zbus::{Message, message::Flags};
use zocp_node::PeerId;

use super::{
    Exporter,
    caller::{Caller, CallerEar},
    identity,
    learning::Note,
    locked,
};
use crate::{
    link::Link,
    requests::{Half, Request},
    transport::{has_descriptors, kept, local_answer, outgoing_call_back},
};
use zocp_dbus::{errors::Refusal, line::Line, message::Outgoing};
use zocp_policy::Member;

/// A call of a service that waits for the answer of one that called it.
#[derive(Debug)]
pub(super) struct CallBack {
    caller: Caller,
    call: Message,
    /// The longest answer that the bus takes.
    max: usize,
}

impl Request for CallBack {
    const HALF: Half = Half::Export;

    fn program(&self) -> Option<&Arc<str>> {
        None
    }
}

impl Exporter {
    /// An answer of one that called a service here. The line that it goes out on.
    pub(crate) fn answer(&self, link: &Link, packet: &Message, id: NonZeroU32) -> Option<Line> {
        let call = self.close_call_back(link.peer, id)?;
        Some(call.answered(id, packet))
    }

    /// Such an answer is longer than what is taken.
    pub(crate) fn lost_answer(&self, link: &Link, id: NonZeroU32, max: usize) {
        if let Some(call) = self.close_call_back(link.peer, id) {
            call.lost(id, &Refusal::TooLarge { max });
        }
    }

    /// Takes such a call out, to answer it.
    pub(super) fn close_call_back(&self, peer: PeerId, id: NonZeroU32) -> Option<CallBack> {
        locked(&self.shared.calls_back).get_mut(&peer)?.close(id)
    }
}

impl CallBack {
    /// The answer came, as the request of this number. The line that it goes out on.
    fn answered(&self, id: NonZeroU32, packet: &Message) -> Line {
        let shared = &self.caller.shared;
        locked(&shared.calls).back.remove(&id);
        match local_answer(packet, &self.call) {
            Ok(answer) if answer.len() <= self.max => shared.line.push(answer),
            Ok(_) => self.refuse(&Refusal::TooLarge { max: self.max }),
            Err(error) => self.refuse(&Refusal::Failed(format!("the answer: {error}"))),
        }
        shared.line.clone()
    }

    /// The answer, which was the request of this number, cannot be had.
    fn lost(&self, id: NonZeroU32, refusal: &Refusal) {
        locked(&self.caller.shared.calls).back.remove(&id);
        self.refuse(refusal);
    }

    fn refuse(&self, refusal: &Refusal) {
        self.caller.shared.line.refuse(&self.call, refusal);
    }
}

impl Caller {
    /// Answers calls of services whose time is over; when the next one's is.
    pub(super) fn expire_back(&self, exporter: &Exporter) -> Option<Instant> {
        let shared = &self.shared;
        let mut calls = locked(&shared.calls);
        let now = Instant::now();
        while let Some(id) = calls.back_deadlines.pop(now) {
            if calls.back.remove(&id)
                && let Some(back) = exporter.close_call_back(shared.link.peer, id)
            {
                let text = format!("{} did not answer in time", shared.name);
                back.refuse(&Refusal::Timeout(text));
            }
        }
        calls.back_deadlines.next()
    }
}

impl CallerEar<'_> {
    /// Somebody on this bus calls the caller.
    pub(super) fn hear_call(&mut self, call: &Message) {
        let line = &self.caller.shared.line;
        let header = call.header();
        let method = Member {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        };
        if (method.interface, method.member) == (Some("org.freedesktop.DBus.Peer"), "Ping") {
            match Outgoing::build(Message::method_return(&header), &()) {
                Ok(pong) => line.push(pong),
                Err(error) => tracing::error!(%error, "an answer cannot be made"),
            }
        } else if let Some(answer) = self.answer(call, &method) {
            match answer {
                Ok(answer) => line.push(answer),
                Err(refusal) => line.refuse(call, &refusal),
            }
        } else if let Err(refusal) = self.pass_back(call, &method) {
            self.caller.shared.line.refuse(call, &refusal);
        }
    }

    /// The answer to a call that is for the bridge: who the caller is.
    fn answer(&self, call: &Message, method: &Member<'_>) -> Option<Result<Outgoing, Refusal>> {
        let shared = &self.caller.shared;
        identity::answer(call, method, &shared.link, &shared.name)
    }

    fn pass_back(&mut self, call: &Message, method: &Member<'_>) -> Result<(), Refusal> {
        if has_descriptors(call) {
            return Err(Refusal::NoFileDescriptors);
        }
        let max = self.caller.shared.link.limits.now().message_len_max();
        if call.data().len() > max {
            return Err(Refusal::TooLarge { max });
        }
        let header = call.header();
        let sender = header.sender().map_or("", |sender| sender.as_str());
        let Some((service, subscription)) = self.service_of(sender) else {
            let text = "only a service that it called may call a program on another bus";
            return Err(Refusal::AccessDenied(text.to_owned()));
        };
        let shared = &self.caller.shared;
        let grant = self.exporter.grant(&shared.link, &service)?;
        let passage = grant.passage_back(method);
        let is_allowed = passage.is_allowed();
        if grant.learn {
            let note = Note::call_back(&service, &shared.link.name, method);
            self.exporter.note(&shared.link, &note, is_allowed);
        }
        if !is_allowed {
            return Err(self.exporter.denied(&shared.link, &service, method));
        }
        let unmakeable = |error: zbus::Error| Refusal::Failed(error.to_string());
        let interface = passage.interface();
        let packet = |id| outgoing_call_back(call, subscription, &shared.name, interface, id);
        let flags = call.primary_header().flags();
        if flags.contains(Flags::NO_REPLY_EXPECTED) {
            let packet = packet(NonZeroU32::MIN).map_err(unmakeable)?;
            self.hold(service, packet);
            return Ok(());
        }
        let id = self.open(call, grant.timeout)?;
        match packet(id) {
            Ok(packet) => self.hold(service, packet),
            Err(error) => {
                locked(&shared.calls).back.remove(&id);
                self.exporter.close_call_back(shared.link.peer, id);
                return Err(unmakeable(error));
            }
        }
        Ok(())
    }

    /// Keeps a call to be answered; its number.
    fn open(&self, call: &Message, timeout: Option<Duration>) -> Result<NonZeroU32, Refusal> {
        let shared = &self.caller.shared;
        let mut calls = locked(&shared.calls);
        let limits = shared.link.limits.now();
        let count = calls.back.len();
        if count >= limits.calls_back_max {
            let text = format!("{count} calls wait for {}", shared.name);
            return Err(Refusal::Busy(text));
        }
        let call_back = CallBack {
            caller: self.caller.clone(),
            call: kept(call),
            max: self.exporter.shared.site.message_len_max(),
        };
        let mut calls_back = locked(&self.exporter.shared.calls_back);
        let requests = calls_back.entry(shared.link.peer).or_default();
        let id = requests.open(call_back, &limits, &shared.link.name)?;
        drop(calls_back);
        let calls = &mut *calls;
        calls.back.insert(id);
        if let Some(timeout) = timeout.or(limits.answer_max) {
            let (back, deadline) = (&calls.back, Instant::now() + timeout);
            calls
                .back_deadlines
                .add(deadline, id, |id| back.contains(id));
        }
        Ok(id)
    }
}
