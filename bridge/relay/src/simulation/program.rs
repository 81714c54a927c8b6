//! A program in the simulation: it calls services, and may be one.
//!
//! Model: what it sends as a service says how many signals to all were sent before, and a program that receives it has
//! received them (protocol.md §7.5). What it sends as a caller, its replies to calls of services among them, says
//! nothing of them: on another bus a service and a caller are two connections, also where they are one program here.

use std::{collections::BTreeMap, num::NonZeroU32};

use zbus::{
    Message,
    message::{Flags, Type},
    names::BusName,
};

use super::{bus::Bus, rules::long_text};
use zocp_dbus::message::Outgoing;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Program {
    pub(super) unique: String,
    /// The service that it is, and a number that no other start of one has.
    pub(super) service: Option<(&'static str, u32)>,
    serial: u32,
    /// Calls that have no reply yet.
    calls: BTreeMap<NonZeroU32, String>,
    /// Calls that it has not replied to.
    called: Vec<Message>,
    /// How many signals it has sent.
    sent: u64,
    /// The newest signal that was heard of each service, or that another message of it told of.
    heard: BTreeMap<u32, u64>,
}

/// As what a program sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Service,
    Caller,
}

impl Role {
    /// As what a program is called: a service by its name, a caller by that of its connection.
    fn of_called(call: &Message) -> Self {
        match call.header().destination() {
            Some(BusName::WellKnown(_)) => Self::Service,
            _ => Self::Caller,
        }
    }
}

impl Program {
    pub(super) fn new(bus: &mut Bus, service: Option<(&'static str, u32)>) -> Self {
        let unique = bus.connect(true);
        if let Some((name, _)) = service {
            bus.request(&unique, name);
        }
        Self {
            unique,
            service,
            serial: 0,
            calls: BTreeMap::new(),
            called: Vec::new(),
            sent: 0,
            heard: BTreeMap::new(),
        }
    }

    /// Whether all its calls have replies, and it has replied to all.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.called.is_empty()
    }

    /// Whether somebody waits for its reply.
    pub(super) fn is_called(&self) -> bool {
        !self.called.is_empty()
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &String> {
        self.calls.values()
    }

    /// Calls a name, as a caller of a service or as a service that one of its callers waits for.
    pub(super) fn call(&mut self, bus: &mut Bus, name: &str, role: Role, wants_reply: bool) {
        self.serial += 1;
        let serial = NonZeroU32::new(self.serial).expect("few calls");
        let call = Message::method_call("/object", "Method")
            .destination(name.to_owned())
            .interface("org.example.Interface")
            .serial(serial);
        let call = match wants_reply {
            true => call,
            false => call.with_flags(Flags::NO_REPLY_EXPECTED),
        };
        if wants_reply {
            self.calls.insert(serial, name.to_owned());
        }
        let call = match (self.serial.is_multiple_of(7), role) {
            (true, _) => Outgoing::build(call, &long_text()),
            (false, Role::Service) => Outgoing::build(call, &self.sent()),
            (false, Role::Caller) => Outgoing::build(call, &"argument"),
        };
        bus.send(&self.unique, call.expect("a call").data());
    }

    /// Sends a signal, to all or to one.
    pub(super) fn signal(&mut self, bus: &mut Bus, to: Option<&str>) {
        if self.service.is_none() {
            return;
        }
        self.sent += u64::from(to.is_none());
        let (number, sent) = self.sent();
        let signal = Message::signal("/object", "org.example.Interface", "Signal");
        let signal = match to {
            Some(to) => signal.destination(to.to_owned()),
            None => signal,
        };
        let signal = match sent.is_multiple_of(11) {
            // A program may miss this one.
            true => Outgoing::build(signal, &(number, sent, long_text())),
            false => Outgoing::build(signal, &(number, sent)),
        };
        let signal = signal.expect("a signal");
        bus.send(&self.unique, signal.data());
    }

    /// Replies to one of the calls that wait; whether there was one.
    pub(super) fn reply(&mut self, bus: &mut Bus, choice: usize) -> bool {
        if self.called.is_empty() {
            return false;
        }
        let call = self.called.remove(choice % self.called.len());
        let reply = Message::method_return(&call.header());
        let reply = match (choice % 5, Role::of_called(&call)) {
            (0, _) => {
                let error = Message::error(&call.header(), "org.example.Error");
                Outgoing::build(error, &"an error of the service")
            }
            (1, _) => Outgoing::build(reply, &long_text()),
            (_, Role::Service) => Outgoing::build(reply, &self.sent()),
            (_, Role::Caller) => Outgoing::build(reply, &"a reply of a caller"),
        };
        bus.send(&self.unique, reply.expect("a reply").data());
        true
    }

    /// The number of the service, and how many signals to all it has sent.
    fn sent(&self) -> (u32, u64) {
        let number = self.service.map_or(0, |(_, number)| number);
        (number, self.sent)
    }

    /// Who has called it and waits, and as what it was called.
    pub(super) fn caller(&self, choice: usize) -> Option<(String, Role)> {
        let call = self.called.get(choice % self.called.len().max(1))?;
        let caller = call.header().sender()?.as_str().to_owned();
        Some((caller, Role::of_called(call)))
    }

    /// Reads a message.
    pub(super) fn handle(&mut self, message: Message) {
        let header = message.header();
        match message.message_type() {
            Type::MethodCall => {
                self.hear_of(&message);
                let flags = message.primary_header().flags();
                if !flags.contains(Flags::NO_REPLY_EXPECTED) {
                    self.called.push(message);
                }
            }
            Type::MethodReturn | Type::Error => {
                let serial = header.reply_serial().expect("a reply has a serial");
                assert!(
                    self.calls.remove(&serial).is_some(),
                    "{} gets a reply that it does not wait for: {message:?}",
                    self.unique
                );
                self.hear_of(&message);
            }
            Type::Signal if header.destination().is_none() => {
                if let Ok((number, sent)) = message.body().deserialize::<(u32, u64)>() {
                    let heard = self.heard.entry(number).or_default();
                    assert!(
                        sent > *heard,
                        "a signal comes after what was sent behind it: {sent} after {heard}"
                    );
                    *heard = sent;
                }
            }
            Type::Signal => self.hear_of(&message),
        }
    }

    /// A message for this program alone tells of signals that the service has sent before it.
    fn hear_of(&mut self, message: &Message) {
        if let Ok((number, sent)) = message.body().deserialize::<(u32, u64)>() {
            let heard = self.heard.entry(number).or_default();
            *heard = sent.max(*heard);
        }
    }
}
