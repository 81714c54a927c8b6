//! A program in the simulation: it calls services, and may be one.

use std::{collections::BTreeMap, num::NonZeroU32};

use zbus::{
    Message,
    message::{Flags, Type},
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
    /// The newest signal that was heard of each service, or that a reply told of.
    heard: BTreeMap<u32, u64>,
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

    /// Calls a name.
    pub(super) fn call(&mut self, bus: &mut Bus, name: &str, wants_reply: bool) {
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
        let argument = match self.serial.is_multiple_of(7) {
            true => long_text(),
            false => "argument".to_owned(),
        };
        let call = Outgoing::build(call, &argument).expect("a call");
        bus.send(&self.unique, call.data());
    }

    /// Sends a signal, to all or to one.
    pub(super) fn signal(&mut self, bus: &mut Bus, to: Option<&str>) {
        let Some((_, number)) = self.service else {
            return;
        };
        self.sent += u64::from(to.is_none());
        let signal = Message::signal("/object", "org.example.Interface", "Signal");
        let signal = match to {
            Some(to) => signal.destination(to.to_owned()),
            None => signal,
        };
        let signal = match self.sent.is_multiple_of(11) {
            // A program may miss this one.
            true => Outgoing::build(signal, &(number, self.sent, long_text())),
            false => Outgoing::build(signal, &(number, self.sent)),
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
        let number = self.service.map_or(0, |(_, number)| number);
        let reply = match choice % 5 {
            0 => {
                let error = Message::error(&call.header(), "org.example.Error");
                Outgoing::build(error, &"an error of the service")
            }
            1 => Outgoing::build(Message::method_return(&call.header()), &long_text()),
            _ => Outgoing::build(Message::method_return(&call.header()), &(number, self.sent)),
        };
        bus.send(&self.unique, reply.expect("a reply").data());
        true
    }

    /// Who has called it and waits.
    pub(super) fn caller(&self, choice: usize) -> Option<String> {
        let call = self.called.get(choice % self.called.len().max(1))?;
        Some(call.header().sender()?.as_str().to_owned())
    }

    /// Reads a message.
    pub(super) fn handle(&mut self, message: Message) {
        let header = message.header();
        match message.message_type() {
            Type::MethodCall => {
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
                if let Ok((number, sent)) = message.body().deserialize::<(u32, u64)>() {
                    let heard = self.heard.entry(number).or_default();
                    *heard = sent.max(*heard);
                }
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
            Type::Signal => {}
        }
    }
}
