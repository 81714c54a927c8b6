//! What bridges say to each other about services, as D-Bus calls without a destination.
//!
//! Model: [`Control`] is the closed list. `Subscribe` gets a reply like any call, and its number is then the number of the
//! subscription; the others need no reply.
//! Spec: docs/reference/protocol.md §7.3

use std::num::NonZeroU32;

use bytes::Bytes;
use zbus::{Message, message::Flags, names::UniqueName};

use zocp_dbus::message::{Octets, Outgoing};

/// A message of a bridge to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// I import this service: send me its signals. The reply is an [`Offer`] or an error.
    Subscribe(String),
    /// I no longer show it.
    Unsubscribe(String),
    /// This caller has left its bus.
    CallerGone(String),
    /// To the importer: you may do something else with this service than before; ask for it anew.
    Revised(String),
}

/// What the exporter says of a service to who subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Whether every signal is passed on, so that every change that the service emits is known.
    pub hears_all: bool,
}

impl Control {
    /// As a packet; `id` is its number.
    ///
    /// # Errors
    /// Never, as long as the text is not longer than a packet.
    pub fn packet(&self, id: NonZeroU32) -> zbus::Result<Outgoing> {
        let (member, text) = match self {
            Self::Subscribe(service) => ("Subscribe", service),
            Self::Unsubscribe(service) => ("Unsubscribe", service),
            Self::CallerGone(caller) => ("CallerGone", caller),
            Self::Revised(service) => ("Revised", service),
        };
        let call = Message::method_call(PATH, member)
            .interface(INTERFACE)
            .serial(id);
        let call = match self {
            Self::Subscribe(_) => call,
            _ => call.with_flags(Flags::NO_REPLY_EXPECTED),
        };
        Outgoing::build(call, text)
    }

    /// As a packet that needs no reply, whose number does not matter.
    pub(crate) fn unanswered(&self) -> Option<Bytes> {
        let packet = self.packet(NonZeroU32::MIN);
        let packet =
            packet.inspect_err(|error| tracing::error!(%error, ?self, "a message cannot be made"));
        Some(Octets::from(packet.ok()?).into_bytes())
    }

    /// Reads a call without a destination; `None` where it is none that we know.
    #[must_use]
    pub fn read(packet: &Message) -> Option<Self> {
        let header = packet.header();
        if header.interface()?.as_str() != INTERFACE {
            return None;
        }
        let body = packet.body();
        let text: String = body.deserialize().ok()?;
        match header.member()?.as_str() {
            "Subscribe" => Some(Self::Subscribe(text)),
            "Unsubscribe" => Some(Self::Unsubscribe(text)),
            "Revised" => Some(Self::Revised(text)),
            "CallerGone" => UniqueName::try_from(text.as_str())
                .is_ok()
                .then_some(Self::CallerGone(text)),
            _ => None,
        }
    }
}

impl Offer {
    /// As the reply to a `Subscribe` of this number.
    ///
    /// # Errors
    /// Never.
    pub fn packet(self, id: NonZeroU32) -> zbus::Result<Outgoing> {
        let call = Message::method_call(PATH, "Subscribe").serial(id);
        let call = Outgoing::build(call, &())?;
        Outgoing::build(Message::method_return(&call.header()), &self.hears_all)
    }

    /// Reads the reply; `None` where it is an error, or not understood.
    #[must_use]
    pub fn read(packet: &Message) -> Option<Self> {
        let is_return = packet.message_type() == zbus::message::Type::MethodReturn;
        let hears_all = packet.body().deserialize().ok().filter(|_| is_return)?;
        Some(Self { hears_all })
    }
}

const PATH: &str = "/org/z25/Zocp1/Link";
const INTERFACE: &str = "org.z25.Zocp1.Link1";
