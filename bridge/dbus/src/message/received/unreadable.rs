//! The usable parts of a malformed message.
//!
//! Model: the sender of a call waits for a reply, and a reply is awaited by its caller. [`Unreadable::call`] is a
//! substitute for a malformed call, to answer it with an error; [`Unreadable::answer`] is the error that the caller
//! receives instead of a malformed reply.
//! Invariants: UNREADABLE-1. At most one of the two exists; there is none for a call that expects no reply, a signal,
//! or a message of an undefined type. UNREADABLE-2. The parts that are taken from the message were checked.

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

/// A malformed message, with the parts of its header that say who waits because of it.
#[derive(Debug, thiserror::Error)]
#[error("malformed message: {}", known.reason)]
pub struct Unreadable {
    /// Boxed, so that a result is not much larger than a message.
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

    /// A substitute with the same sender, destination and serial, if the message is a call that expects a reply.
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

    /// An error for the caller, if the message is a reply.
    #[must_use]
    pub fn answer(&self) -> Option<Message> {
        let is_answer = [Type::MethodReturn as u8, Type::Error as u8].contains(&self.known.kind);
        let serial = self.known.reply_serial.filter(|_| is_answer)?;
        // The receiver is the caller, so the name of the caller is not needed.
        let call = made(Message::method_call("/", "x").serial(serial), &())?;
        let error = Message::error(&call.header(), errors::FAILED);
        let error = match &self.known.sender {
            Some(sender) => error.sender(sender.clone()),
            None => error,
        };
        let text = format!("the reply is malformed: {}", self.known.reason);
        made(error, &text)
    }

    /// Why the message is malformed.
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
