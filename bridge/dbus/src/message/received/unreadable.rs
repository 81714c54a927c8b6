//! What can be said of a message that cannot be read.
//!
//! Model: whoever sent a call waits for an answer, and whoever called waits for this one if it is an answer.
//! [`Unreadable::call`] stands for the call, to be refused; [`Unreadable::answer`] is the error that the
//! caller gets in place of the answer.
//! Invariants: UNREADABLE-1. only one of the two is there, and none for a call that wants no answer, a signal,
//! or a message of a type that nobody has defined. UNREADABLE-2. what is taken from the message was checked.

use std::num::NonZeroU32;

use serde::Serialize;
use zbus::{
    DynamicType, Message,
    message::{Builder, Flags, Type},
    names::{BusName, UniqueName},
};
use zocp_interfaces::errors;

use super::fields::{Fields, is_big, number_at};
use crate::message::Outgoing;

/// A message that cannot be read, with what its header says of who waits because of it.
#[derive(Debug, thiserror::Error)]
#[error("a message that cannot be read: {}", known.reason)]
pub struct Unreadable {
    /// In a box, so that a result with a message in it is not much larger than the message.
    known: Box<Known>,
}

#[derive(Debug)]
struct Known {
    kind: u8,
    flags: Flags,
    serial: Option<NonZeroU32>,
    reply_serial: Option<NonZeroU32>,
    sender: Option<UniqueName<'static>>,
    destination: Option<BusName<'static>>,
    reason: zbus::Error,
}

impl Unreadable {
    pub(super) fn new(octets: &[u8], reason: zbus::Error) -> Self {
        let octet = |at: usize| octets.get(at).copied().unwrap_or_default();
        let serial = number_at(octets, 8, is_big(octets)).and_then(number);
        let mut known = Known {
            kind: octet(1),
            flags: Flags::from_bits_retain(octet(2)),
            serial,
            reply_serial: None,
            sender: None,
            destination: None,
            reason,
        };
        let Some(fields) = Fields::of(octets) else {
            return known.into();
        };
        for field in fields.clone().map_while(|field| field) {
            match field.code {
                REPLY_SERIAL => {
                    known.reply_serial = fields.number(&field).and_then(NonZeroU32::new);
                }
                DESTINATION => {
                    let name = fields.text(&field).map(str::to_owned);
                    known.destination = name.and_then(|name| BusName::try_from(name).ok());
                }
                SENDER => {
                    let name = fields.text(&field).map(str::to_owned);
                    known.sender = name.and_then(|name| UniqueName::try_from(name).ok());
                }
                _ => {}
            }
        }
        known.into()
    }

    /// Stands for it if it is a call that wants an answer: the same sender, destination and serial.
    #[must_use]
    pub fn call(&self) -> Option<Message> {
        let wants_answer = self.known.kind == Type::MethodCall as u8
            && !self.known.flags.contains(Flags::NO_REPLY_EXPECTED);
        let serial = self.known.serial.filter(|_| wants_answer)?;
        let call = Message::method_call("/", "Unreadable").serial(serial);
        let call = call.sender(self.known.sender.clone()?);
        let call = match &self.known.destination {
            Some(destination) => call.destination(destination.clone()),
            None => call,
        };
        made(call, &())
    }

    /// What goes to who waits for it, if it is an answer: an error that says so.
    #[must_use]
    pub fn answer(&self) -> Option<Message> {
        let is_answer = [Type::MethodReturn as u8, Type::Error as u8].contains(&self.known.kind);
        let serial = self.known.reply_serial.filter(|_| is_answer)?;
        // Whoever reads it is who called; the name of the caller does not matter to it.
        let call = made(Message::method_call("/", "x").serial(serial), &())?;
        let error = Message::error(&call.header(), errors::FAILED);
        let error = match &self.known.sender {
            Some(sender) => error.sender(sender.clone()),
            None => error,
        };
        let text = format!("the answer cannot be read: {}", self.known.reason);
        made(error, &text)
    }

    /// Why it cannot be read.
    #[must_use]
    pub fn reason(&self) -> &zbus::Error {
        &self.known.reason
    }
}

fn made<B: Serialize + DynamicType>(builder: Builder<'_>, body: &B) -> Option<Message> {
    let made = Outgoing::build(builder, body).ok()?;
    Some(Message::clone(&made))
}

impl From<Known> for Unreadable {
    fn from(known: Known) -> Self {
        Self {
            known: Box::new(known),
        }
    }
}

fn number(number: usize) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(number).ok()?)
}

const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
