//! Where messages go.
//!
//! Model: what is addressed goes to its destination and to those that watch; a signal that is addressed to nobody goes
//! to all whose rules match. A call that is passed on is remembered until it is answered; an answer is passed on if the
//! call is remembered.
//! Invariants: ROUTING-1. who watches sees a message before what comes of it. ROUTING-2. what cannot be passed on is
//! refused if it is a call, and else dropped.

use std::{num::NonZeroU32, sync::Arc};

use super::{BUS_NAME, Bus, CloseReason, ConnectionId, Output, connection::State, fault::Fault};
use crate::{
    message::{Draft, Kind, Message, RawMessage, Writer},
    rules::{Index, Subject},
};

impl Bus {
    pub(super) fn route(&mut self, from: ConnectionId, message: &Message<'_>) {
        let Some(sender) = self.connections.get(&from).filter(|one| !one.is_ending) else {
            return;
        };
        let is_active = sender.state == State::Active;
        let sender_name = sender.unique_name.clone();
        if sender.state == State::Monitor {
            return self.end(from, CloseReason::MonitorSpoke);
        }
        match message.destination() {
            Some(BUS_NAME) => {
                let sender_name: &str = if is_active { &sender_name } else { NO_NAME };
                self.watch(message, Some(from), sender_name, None);
                self.drive(from, message);
            }
            _ if !is_active => self.end(from, CloseReason::NoHello),
            None if message.kind() == Kind::Signal => self.broadcast(from, &sender_name, message),
            None => {
                self.watch(message, Some(from), &sender_name, None);
                self.drive_unaddressed(from, message);
            }
            Some(name) => {
                let to = self.find(name);
                self.watch(message, Some(from), &sender_name, to);
                self.unicast(from, &sender_name, to, message);
            }
        }
    }

    pub(super) fn unicast(
        &mut self,
        from: ConnectionId,
        sender_name: &str,
        to: Option<ConnectionId>,
        message: &Message<'_>,
    ) {
        match (message.kind(), to) {
            (Kind::Call, to) => {
                let passed = match to {
                    Some(to) => self.pass_call(from, sender_name, to, message),
                    None => match self.to_start(message) {
                        Some(name) => self.hold_message(from, sender_name, name, message),
                        None => Err(no_such_name(message)),
                    },
                };
                if let Err(fault) = passed {
                    self.refuse(from, message, &fault);
                }
            }
            (Kind::Return | Kind::Error, Some(to)) => {
                self.pass_answer(from, sender_name, to, message)
            }
            (Kind::Signal, Some(to)) if self.can_take(to, message) => {
                self.send(to, message.stamp(sender_name));
            }
            (Kind::Signal, None) => {
                if let Some(name) = self.to_start(message) {
                    // Nobody waits for an answer to a signal that cannot be kept.
                    self.hold_message(from, sender_name, name, message).ok();
                }
            }
            // There is nobody, it cannot take it, or the type means nothing to us: nobody waits for an answer.
            _ => {}
        }
    }

    /// The name that a message is for, if its service is to be started for it.
    fn to_start<'m>(&self, message: &Message<'m>) -> Option<&'m str> {
        let name = message.destination()?;
        (message.may_start() && self.offers.has(name)).then_some(name)
    }

    fn pass_call(
        &mut self,
        from: ConnectionId,
        sender_name: &str,
        to: ConnectionId,
        message: &Message<'_>,
    ) -> Result<(), Fault> {
        if !self.can_take(to, message) {
            return Err(Fault::no_descriptors());
        }
        if self.is_full(to) {
            return Err(Fault::limit(
                "whom the call is for does not read, and its queue is full",
            ));
        }
        if message.expects_reply() {
            self.expect(from, to, message.serial())?;
        }
        self.send(to, message.stamp(sender_name));
        Ok(())
    }

    /// Remembers a call until it is answered.
    fn expect(
        &mut self,
        from: ConnectionId,
        to: ConnectionId,
        serial: NonZeroU32,
    ) -> Result<(), Fault> {
        let limit = self.config.limits.pending_calls_max;
        if let Some(caller) = self.connections.get_mut(&from) {
            if caller.awaited.contains(&(serial, to)) {
                return Err(Fault::denied(
                    "a call with the same serial is not answered yet",
                ));
            }
            if caller.awaited.len() >= limit {
                return Err(Fault::limit(format!(
                    "{limit} calls of this connection are not answered"
                )));
            }
            caller.awaited.insert((serial, to));
        }
        if let Some(called) = self.connections.get_mut(&to) {
            called.owed.insert((from, serial));
        }
        Ok(())
    }

    fn pass_answer(
        &mut self,
        from: ConnectionId,
        sender_name: &str,
        to: ConnectionId,
        message: &Message<'_>,
    ) {
        let Some(serial) = message.reply_serial() else {
            return;
        };
        let caller = self.connections.get_mut(&to);
        if !caller.is_some_and(|caller| caller.awaited.remove(&(serial, from))) {
            // Nobody waits for it: it was answered, or called somebody else.
            return;
        }
        if let Some(called) = self.connections.get_mut(&from) {
            called.owed.remove(&(to, serial));
        }
        match self.can_take(to, message) {
            true => self.send(to, message.stamp(sender_name)),
            // It shall not wait for ever.
            false => self.send_error(to, serial, &Fault::no_descriptors()),
        }
    }

    /// Sends a signal to all whose rules match.
    fn broadcast(&mut self, from: ConnectionId, sender_name: &Arc<str>, message: &Message<'_>) {
        self.watch(message, Some(from), sender_name, None);
        if self.rules.is_empty() {
            return;
        }
        let mut subject = Subject::new(message, Some(from), sender_name, None);
        let owners = (&self.names, &self.connections);
        let found = self.rules.find(&mut subject, &owners, false);
        if found.is_empty() {
            return;
        }
        let stamped = message.stamp(sender_name);
        for to in found {
            if self.can_take(to, message) {
                self.send(to, stamped.clone());
            }
        }
    }

    /// Sends a signal of the bus itself to all whose rules match.
    pub(super) fn broadcast_own(&mut self, signal: &RawMessage) {
        self.watch_own(signal, None);
        self.tell_interested(signal, None, false);
    }

    /// Shows a message to those that watch.
    fn watch(
        &mut self,
        message: &Message<'_>,
        from: Option<ConnectionId>,
        sender_name: &str,
        recipient: Option<ConnectionId>,
    ) {
        if self.watching.is_empty() {
            return;
        }
        let mut subject = Subject::new(message, from, sender_name, recipient);
        let owners = (&self.names, &self.connections);
        let found = self.watching.find(&mut subject, &owners, true);
        if found.is_empty() {
            return;
        }
        let stamped = message.stamp(sender_name);
        for to in found {
            self.send(to, stamped.clone());
        }
    }

    fn watch_own(&mut self, message: &RawMessage, recipient: Option<ConnectionId>) {
        if !self.watching.is_empty() {
            self.tell_interested(message, recipient, true);
        }
    }

    fn tell_interested(
        &mut self,
        raw: &RawMessage,
        recipient: Option<ConnectionId>,
        is_watching: bool,
    ) {
        // What the bus itself makes is valid.
        let Ok(message) = Message::of_raw(raw, &self.config.limits) else {
            return;
        };
        let mut subject = Subject::new(&message, None, BUS_NAME, recipient);
        let owners = (&self.names, &self.connections);
        let index: &Index = if is_watching {
            &self.watching
        } else {
            &self.rules
        };
        let found = index.find(&mut subject, &owners, is_watching);
        for to in found {
            self.send(to, raw.clone());
        }
    }

    /// Answers a call with an error, if it wants an answer.
    pub(super) fn refuse(&mut self, to: ConnectionId, call: &Message<'_>, fault: &Fault) {
        if call.expects_reply() {
            self.send_error(to, call.serial(), fault);
        }
    }

    pub(super) fn send_error(&mut self, to: ConnectionId, serial: NonZeroU32, fault: &Fault) {
        let mut body = Writer::default();
        body.string(&fault.text);
        self.answer(to, serial, Some(&fault.full_name()), "s", body);
    }

    /// Sends an answer of the bus itself.
    pub(super) fn answer(
        &mut self,
        to: ConnectionId,
        serial: NonZeroU32,
        error_name: Option<&str>,
        signature: &str,
        body: Writer,
    ) {
        let Some(connection) = self.connections.get(&to) else {
            return;
        };
        let unique = connection.unique_name.clone();
        let destination = match connection.state {
            State::New => NO_NAME,
            _ => &unique,
        };
        let draft = Draft {
            kind: match error_name {
                Some(_) => Kind::Error,
                None => Kind::Return,
            },
            serial: self.serial(),
            reply_serial: Some(serial),
            sender: BUS_NAME,
            destination: Some(destination),
            path: None,
            interface: None,
            member: None,
            error_name,
            signature,
            body,
        };
        self.send_own(to, draft.finish());
    }

    /// Sends a message of the bus itself.
    pub(super) fn send_own(&mut self, to: ConnectionId, message: RawMessage) {
        self.watch_own(&message, Some(to));
        self.send(to, message);
    }

    fn send(&mut self, to: ConnectionId, message: RawMessage) {
        if self.is_full(to) {
            let waiting = self
                .connections
                .get(&to)
                .map_or(0, |one| one.backlog.octets());
            return self.end(to, CloseReason::DoesNotRead(waiting));
        }
        if let Some(connection) = self.connections.get(&to).filter(|one| !one.is_ending) {
            connection.backlog.raise(&message);
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    fn is_full(&self, to: ConnectionId) -> bool {
        let limits = &self.config.limits;
        self.connections.get(&to).is_some_and(|one| {
            one.backlog.octets() >= limits.queued_octets_max
                || one.backlog.descriptors() >= limits.queued_descriptors_max
        })
    }

    fn can_take(&self, to: ConnectionId, message: &Message<'_>) -> bool {
        message.descriptors() == 0
            || self
                .connections
                .get(&to)
                .is_some_and(|one| one.takes_descriptors)
    }

    /// Answers those who wait for a connection that went, and forgets whom it waited for.
    pub(super) fn forget_calls(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let awaited = std::mem::take(&mut connection.awaited);
        let owed = std::mem::take(&mut connection.owed);
        for (serial, called) in awaited {
            if let Some(called) = self.connections.get_mut(&called) {
                called.owed.remove(&(id, serial));
            }
        }
        let mut owed: Vec<_> = owed.into_iter().collect();
        owed.sort_unstable();
        for (caller, serial) in owed {
            let waits = |one: &mut super::Connection| one.awaited.remove(&(serial, id));
            if self.connections.get_mut(&caller).is_some_and(waits) {
                let fault = Fault::new("NoReply", GONE);
                self.send_error(caller, serial, &fault);
            }
        }
    }
}

fn no_such_name(message: &Message<'_>) -> Fault {
    let name = message.destination().unwrap_or_default();
    match message.may_start() {
        true => Fault::unknown_service(name),
        false => Fault::new("NameHasNoOwner", format!("Name \"{name}\" does not exist")),
    }
}

/// What a connection is called before it has a name.
const NO_NAME: &str = ":not.active.yet";
const GONE: &str = "Message recipient disconnected from message bus without replying";
