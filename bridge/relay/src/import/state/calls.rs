//! What comes on the connection of an import: calls of programs here, and what the bus says of its name.
//!
//! Spec: docs/reference/protocol.md §7.4, §7.8

use std::{collections::HashSet, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::Instant;
use zbus::{
    Message,
    message::{Header, Type},
};
use zocp_interfaces::IMPORT_INTERFACE;
use zocp_node::PeerId;

use super::{
    Caller, ImportId, Output, State,
    import::{Question, Request},
};
use crate::descriptors::with_notes;
use crate::transport::{Stream, kept, outgoing_call, wants_reply};
use zocp_dbus::{connection::BUS_NAME, errors::Refusal, message::Outgoing};
use zocp_policy::{Member, Passage};

impl State {
    /// An import has a connection of this unique name.
    pub(crate) fn handle_connected(&mut self, id: ImportId, unique: Arc<str>) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        import.unique = Some(unique);
        let serial = import.next_serial();
        if let Some(call) = import.naming.handle_connected(serial) {
            self.output.push_back(Output::Write(id, call.into()));
        }
        let (bus, service) = (import.bus, import.service.clone());
        self.settle_names(bus, &service);
    }

    /// The connection of an import failed. Who called is gone from the bus with it, as far as we can know.
    pub(crate) fn handle_disconnected(&mut self, id: ImportId) {
        // A subscription is the peer's matter; its reply still says whether the service may be shown.
        self.take_requests(id, |request| request.call().is_some());
        let text = "the connection of the import failed".to_owned();
        self.close_calls_back(id, &Refusal::Failed(text));
        if let Some(import) = self.imports.get_mut(&id) {
            import.unique = None;
            import.naming.handle_disconnected();
            let (bus, service) = (import.bus, import.service.clone());
            self.settle_names(bus, &service);
            self.output.push_back(Output::NamesChanged);
        }
    }

    /// A message on the connection of an import.
    pub(crate) fn handle_message(&mut self, id: ImportId, message: &Message, now: Instant) {
        match message.message_type() {
            Type::MethodCall => {
                if let Err(error) = self.handle_call(id, message, now) {
                    let refused = Output::RefuseCall(id, message.clone(), error);
                    self.output.push_back(refused);
                }
            }
            Type::MethodReturn | Type::Error => self.handle_program_reply(id, message),
            Type::Signal => self.handle_bus_signal(id, message),
        }
    }

    /// Gives up what of an import has waited for too long; when there is more to give up.
    pub(crate) fn handle_timeout(&mut self, id: ImportId, now: Instant) -> Option<Instant> {
        let look_again = self.give_up_start(id, now);
        let import = self.imports.get_mut(&id)?;
        let peer = self.peers.get_mut(&import.peer)?;
        while let Some(number) = import.deadlines.pop(now) {
            match peer.requests.close(number) {
                Some(Request::Call { call, .. }) => {
                    let text = format!("{} did not answer in time", import.naming.wanted());
                    let refused = Output::RefuseCall(id, call, Refusal::Timeout(text));
                    self.output.push_back(refused);
                }
                Some(Request::Memory(_, question)) => import.forget(&question.key),
                Some(Request::Subscribe(_)) | None => {}
            }
        }
        while let Some(serial) = import.call_back_deadlines.pop(now) {
            import.calls_back.remove(&serial);
        }
        let next = [
            import.deadlines.next(),
            import.call_back_deadlines.next(),
            look_again,
        ];
        next.into_iter().flatten().min()
    }

    fn handle_call(&mut self, id: ImportId, call: &Message, now: Instant) -> Result<(), Refusal> {
        let import = self.imports.get(&id).ok_or_else(is_gone)?;
        let peer = self.peers.get(&import.peer).ok_or_else(is_gone)?;
        let header = call.header();
        let method = Member::of(&header);
        // What does not run is started by it, as on its own bus.
        let reply = match (method.interface, method.member) {
            (Some("org.freedesktop.DBus.Peer"), "Ping") if import.runs => {
                Outgoing::build(Message::method_return(&header), &())
            }
            // Says that this is no service of this bus; see `crate::export`.
            (Some(IMPORT_INTERFACE), _) => {
                Outgoing::build(Message::method_return(&header), &peer.remote.uuid)
            }
            _ => return self.pass_on(id, call, &header, &method, now),
        };
        let reply = reply.map_err(|error| Refusal::Failed(error.to_string()))?;
        self.output.push_back(Output::Write(id, reply.into()));
        Ok(())
    }

    /// Passes a call on, or replies from memory.
    fn pass_on(
        &mut self,
        id: ImportId,
        call: &Message,
        header: &Header<'_>,
        method: &Member<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let max = self.limits.message_len_max();
        if call.data().len() > max {
            return Err(Refusal::TooLarge { max });
        }
        let passage = self.passage(id, method)?;
        if let Some(import) = self.imports.get(&id)
            && import.rule.files
            && let Some(peer) = self.peers.get(&import.peer)
        {
            self.departures.announce(&peer.remote, call);
        }
        let Some(sender) = header.sender().map(|sender| sender.as_str()) else {
            return Err(Refusal::Failed("a call without a sender".to_owned()));
        };
        let caller = self.caller(id, sender)?;
        let import = self.imports.get_mut(&id).ok_or_else(is_gone)?;
        if !wants_reply(call) {
            let peer = self.peers.get(&import.peer).ok_or_else(is_gone)?;
            let packet = outgoing_call(call, &import.service, passage.interface(), NonZeroU32::MIN)
                .map_err(|error| Refusal::Failed(error.to_string()))?;
            let allowed = import.rule.grant.descriptors;
            let packet = with_notes(packet, call, &*self.departures, (&peer.remote, allowed))?;
            import.pass(call, now);
            self.output.push_back(Output::Call {
                peer: import.peer,
                stream: Stream::Caller(caller),
                packet,
                id: None,
            });
            return Ok(());
        }
        match import.recall(call, now) {
            Ok(reply) => {
                let reply = import.presented_reply(call, &reply).unwrap_or(reply);
                // What came in several messages may be too much for one.
                let max = self.message_len_max;
                if reply.data().len() > max {
                    return Err(Refusal::TooLarge { max });
                }
                self.output.push_back(Output::Write(id, reply.into()));
                Ok(())
            }
            Err(question) => self.request(id, call, (caller, question), passage.interface(), now),
        }
    }

    /// How the rules here let a call go on.
    fn passage(&mut self, id: ImportId, method: &Member<'_>) -> Result<Passage, Refusal> {
        let import = self.imports.get(&id).ok_or_else(is_gone)?;
        let passage = import.rule.grant.passage(method, |_| None);
        if passage.is_allowed() {
            return Ok(passage);
        }
        if let Some(peer) = self.peers.get(&import.peer) {
            Self::log_denied(&mut self.denied, &peer.remote, import, method);
        }
        let (call, service) = (method.rule(), &import.service);
        let text = format!("no rule here allows {call} of {service}");
        Err(Refusal::AccessDenied(text))
    }

    /// The name of a caller of an import, which is kept from its first call on.
    fn caller(&mut self, id: ImportId, sender: &str) -> Result<Arc<str>, Refusal> {
        let import = self.imports.get_mut(&id).ok_or_else(is_gone)?;
        if let Some(caller) = import.callers.get(sender) {
            return Ok(caller.clone());
        }
        let caller: Arc<str> = sender.into();
        import.callers.insert(caller.clone());
        let bus = import.bus;
        let known = self
            .callers
            .entry(caller.clone())
            .or_insert_with(|| Caller {
                bus,
                peers: HashSet::new(),
            });
        if known.peers.insert(import.peer) {
            // It may have left before we could know of it.
            self.output
                .push_back(Output::AskCaller(bus, caller.clone()));
        }
        Ok(caller)
    }

    /// Passes a call on, and keeps it until its reply comes.
    fn request(
        &mut self,
        id: ImportId,
        call: &Message,
        (caller, question): (Arc<str>, Option<Question>),
        interface: Option<&str>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let import = self.imports.get_mut(&id).ok_or_else(is_gone)?;
        let peer = self.peers.get_mut(&import.peer).ok_or_else(is_gone)?;
        let missing = question.as_ref().map(|it| import.missing(it));
        let request = Request::Call {
            import: id,
            program: caller.clone(),
            call: kept(call),
            question,
        };
        let number = peer.requests.open(request, &self.limits, &peer.remote.name);
        let packet = number.and_then(|number| {
            let packet = outgoing_call(call, &import.service, interface, number);
            let to = (&*peer.remote, import.rule.grant.descriptors);
            let packet = packet
                .map_err(|error| Refusal::Failed(error.to_string()))
                .and_then(|packet| with_notes(packet, call, &*self.departures, to));
            let packet = packet.inspect_err(|_| {
                peer.requests.close(number);
            });
            Ok((number, packet?))
        });
        let (number, packet) = packet.inspect_err(|_| {
            for question in missing.iter().flatten() {
                import.forget(&question.key);
            }
        })?;
        self.output.push_back(Output::Call {
            peer: import.peer,
            stream: Stream::Caller(caller),
            packet,
            id: Some(number),
        });
        if let Some(timeout) = import.rule.grant.timeout.or(self.limits.answer_max) {
            let is_open = |number: &NonZeroU32| peer.requests.is_open(*number);
            import.deadlines.add(now + timeout, number, is_open);
        }
        for question in missing.into_iter().flatten() {
            self.ask(id, question, now);
        }
        Ok(())
    }

    /// Asks something for our memory alone; without a reply it is not known.
    fn ask(&mut self, id: ImportId, question: Question, now: Instant) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&import.peer) else {
            return;
        };
        let Some(unique) = import.unique.clone() else {
            return import.forget(&question.key);
        };
        let service = import.service.clone();
        let key = question.key.clone();
        let Some(call) = key.call(&service, &unique, NonZeroU32::MIN) else {
            return import.forget(&key);
        };
        let request = Request::Memory(id, question);
        let Ok(number) = peer.requests.open(request, &self.limits, &peer.remote.name) else {
            return import.forget(&key);
        };
        let packet = match outgoing_call(&call, &service, None, number) {
            Ok(packet) => packet,
            Err(error) => {
                tracing::error!(%error, "a question cannot be made");
                peer.requests.close(number);
                return import.forget(&key);
            }
        };
        self.output.push_back(Output::Call {
            peer: import.peer,
            stream: Stream::Caller(unique),
            packet,
            id: Some(number),
        });
        let is_open = |number: &NonZeroU32| peer.requests.is_open(*number);
        import
            .deadlines
            .add(now + MEMORY_REPLY_MAX, number, is_open);
    }

    /// The peer's queue had no room for the call of this number; the call is not sent.
    pub(crate) fn handle_full(&mut self, peer: PeerId, number: NonZeroU32) {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(request) = peer.requests.close(number) else {
            return;
        };
        match request {
            Request::Call { import, call, .. } => {
                let text = format!("{}: the send queue is full", peer.remote.name);
                let refused = Output::RefuseCall(import, call, Refusal::Busy(text));
                self.output.push_back(refused);
            }
            Request::Memory(import, question) => {
                if let Some(import) = self.imports.get_mut(&import) {
                    import.forget(&question.key);
                }
            }
            Request::Subscribe(_) => {}
        }
    }

    /// A reply on the connection of an import. A call of ours of the bus may have the same serial as one of a program,
    /// but who is called replies, not the bus.
    fn handle_program_reply(&mut self, id: ImportId, reply: &Message) {
        let header = reply.header();
        let Some(serial) = header.reply_serial() else {
            return;
        };
        if !is_of_bus(&header) {
            return self.handle_reply_to_call_back(id, serial, reply);
        }
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        match import.naming.handle_reply(serial, reply) {
            Some(true) => self.handle_named(id),
            Some(false) => {}
            // The bus replies for a program that it cannot reach.
            None => self.handle_reply_to_call_back(id, serial, reply),
        }
    }

    fn handle_bus_signal(&mut self, id: ImportId, signal: &Message) {
        let header = signal.header();
        let Some(import) = self.imports.get_mut(&id).filter(|_| is_of_bus(&header)) else {
            return;
        };
        let is_ours = match header.member().map(|name| name.as_str()) {
            Some("NameAcquired") => true,
            Some("NameLost") => false,
            _ => return,
        };
        let body = signal.body();
        if let Ok(name) = body.deserialize::<&str>()
            && import.naming.handle_owned(name, is_ours)
        {
            self.handle_named(id);
        }
    }

    /// An import has its name now, or lost it.
    fn handle_named(&mut self, id: ImportId) {
        let Some(import) = self.imports.get_mut(&id) else {
            return;
        };
        while import.naming.shown().is_some() && import.naming.has_former() {
            let serial = import.next_serial();
            if let Some(call) = import.naming.release(serial) {
                self.output.push_back(Output::Write(id, call.into()));
            }
        }
        self.output.push_back(Output::NamesChanged);
    }
}

fn is_gone() -> Refusal {
    Refusal::ServiceUnknown("the service has left its bus".to_owned())
}

fn is_of_bus(header: &Header<'_>) -> bool {
    header
        .sender()
        .is_some_and(|name| name.as_str() == BUS_NAME)
}

/// How long a reply to what is asked for memory alone is waited for; without one it is not known.
const MEMORY_REPLY_MAX: Duration = Duration::from_secs(20);
