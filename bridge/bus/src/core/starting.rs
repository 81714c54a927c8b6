//! Services that are started when they are called.
//!
//! Model: the program that the bus is a part of offers names. The first message for an offered name without an owner
//! asks it to start the service ([`Output::Start`]). That message and those after it wait until the name has an owner,
//! or is not offered any more.
//! Invariants: BUSSTART-1. what waits for a name is delivered in the order in which it came, before anything that comes
//! later. BUSSTART-2. nothing waits for a connection that has left. BUSSTART-3. for a name with something that waits,
//! [`Output::Start`] was given, once.
//! Limits: `starting_messages_max`, `starting_octets_max` and `queued_descriptors_max`, of all names together.
//! Not here: how a service is started, and when the program gives that up: then it no longer offers the name.
//! Spec: D-Bus specification, "Message Bus Starting Services (Activation)"

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use super::{BUS_NAME, Bus, ConnectionId, Output, fault::Fault};
use crate::message::{Message, RawMessage, Writer, syntax};

/// The names that are offered.
#[derive(Debug, Default)]
pub(super) struct Offers {
    names: BTreeMap<Arc<str>, Offer>,
    /// What waits, of all names.
    messages: usize,
    octets: usize,
    descriptors: usize,
}

#[derive(Debug, Default)]
struct Offer {
    is_starting: bool,
    waiting: VecDeque<Waiting>,
}

/// What waits for an owner of a name.
#[derive(Debug)]
struct Waiting {
    from: ConnectionId,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A message for it, with the name of its sender.
    Message(RawMessage),
    /// A call of `StartServiceByName`, with this serial if it expects a reply.
    Start(Option<NonZeroU32>),
}

impl Waiting {
    fn octets(&self) -> usize {
        match &self.what {
            What::Message(message) => message.len(),
            What::Start(_) => 0,
        }
    }

    fn descriptors(&self) -> usize {
        match &self.what {
            What::Message(message) => message.descriptors().map_or(0, |some| some.len()),
            What::Start(_) => 0,
        }
    }
}

impl Offers {
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// Takes everything that waits for a name.
    fn take(&mut self, name: &str) -> VecDeque<Waiting> {
        let Some(offer) = self.names.get_mut(name) else {
            return VecDeque::new();
        };
        offer.is_starting = false;
        let waiting = std::mem::take(&mut offer.waiting);
        waiting.iter().for_each(|one| self.lower(one));
        waiting
    }

    fn raise(&mut self, one: &Waiting) {
        self.messages += 1;
        self.octets += one.octets();
        self.descriptors += one.descriptors();
    }

    fn lower(&mut self, one: &Waiting) {
        self.messages -= 1;
        self.octets -= one.octets();
        self.descriptors -= one.descriptors();
    }
}

impl Bus {
    /// Offers to start a service of this name. Nothing happens if it is offered already.
    pub fn offer(&mut self, name: &str) {
        if !self.offers.has(name) {
            self.offers.names.insert(name.into(), Offer::default());
            self.tell_offers();
        }
    }

    /// Stops offering this name. Calls that wait for it get `ServiceUnknown`.
    pub fn withdraw(&mut self, name: &str) {
        let waiting = self.offers.take(name);
        if self.offers.names.remove(name).is_some() {
            self.tell_offers();
        }
        let fault = Fault::unknown_service(name);
        for one in waiting {
            self.refuse_waiting(&one, &fault.full_name(), &fault.text);
        }
        self.end_those_that_end();
    }

    /// A service could not be started: calls that wait for it get this error. Its name stays offered. An error name that
    /// is none becomes `Failed`.
    pub fn fail_start(&mut self, name: &str, error_name: &str, text: &str) {
        let error_name = match syntax::is_interface(error_name) {
            true => error_name,
            false => FAILED,
        };
        for one in self.offers.take(name) {
            self.refuse_waiting(&one, error_name, text);
        }
        self.end_those_that_end();
    }

    /// Keeps a message for an offered name, and requests the start of its service.
    pub(super) fn hold_message(
        &mut self,
        from: ConnectionId,
        sender_name: &str,
        name: &str,
        message: &Message<'_>,
    ) -> Result<(), Fault> {
        let what = What::Message(message.stamp(sender_name));
        self.hold(name, Waiting { from, what })
    }

    /// Requests the start of a service whose name has no owner. The reply is sent when the name has one.
    pub(super) fn hold_start(
        &mut self,
        from: ConnectionId,
        name: &str,
        serial: Option<NonZeroU32>,
    ) -> Result<(), Fault> {
        let what = What::Start(serial);
        self.hold(name, Waiting { from, what })
    }

    fn hold(&mut self, name: &str, one: Waiting) -> Result<(), Fault> {
        let limits = &self.config.limits;
        let offers = &self.offers;
        if offers.messages >= limits.starting_messages_max
            || offers.octets.saturating_add(one.octets()) > limits.starting_octets_max
            || offers.descriptors.saturating_add(one.descriptors()) > limits.queued_descriptors_max
        {
            let text = "as much as may waits for services that are being started";
            return Err(Fault::limit(text));
        }
        let Some((name, offer)) = self.offers.names.get_key_value(name) else {
            return Err(Fault::unknown_service(name));
        };
        let (name, is_starting) = (name.clone(), offer.is_starting);
        self.offers.raise(&one);
        if let Some(offer) = self.offers.names.get_mut(&name) {
            offer.is_starting = true;
            offer.waiting.push_back(one);
        }
        if !is_starting {
            self.outputs.push_back(Output::Start { name });
        }
        Ok(())
    }

    /// Delivers what waits for a name, if the name has an owner now (BUSSTART-1).
    pub(super) fn deliver_waiting(&mut self, name: &str) {
        let Some(owner) = self.names.owner(name) else {
            return;
        };
        for one in self.offers.take(name) {
            match &one.what {
                What::Message(raw) => {
                    let limits = self.config.limits.clone();
                    // It was a message when it came.
                    if let Ok(message) = Message::of_raw(raw, &limits) {
                        let sender = self.unique_name(Some(one.from));
                        self.unicast(one.from, &sender, Some(owner), &message);
                    }
                }
                What::Start(Some(serial)) => {
                    let mut body = Writer::default();
                    body.u32(STARTED);
                    self.answer(one.from, *serial, None, "u", body);
                }
                What::Start(None) => {}
            }
        }
    }

    /// Drops what a connection sent for names that are being started (BUSSTART-2).
    pub(super) fn forget_waiting(&mut self, from: ConnectionId) {
        let Offers {
            names,
            messages,
            octets,
            descriptors,
        } = &mut self.offers;
        // Nearly always.
        if *messages == 0 {
            return;
        }
        for offer in names.values_mut() {
            offer.waiting.retain(|one| {
                let stays = one.from != from;
                if !stays {
                    *messages -= 1;
                    *octets -= one.octets();
                    *descriptors -= one.descriptors();
                }
                stays
            });
        }
    }

    fn refuse_waiting(&mut self, one: &Waiting, error_name: &str, text: &str) {
        let serial = match &one.what {
            What::Message(raw) => {
                let message = Message::of_raw(raw, &self.config.limits).ok();
                let call = message.filter(Message::expects_reply);
                call.map(|call| call.serial())
            }
            What::Start(serial) => *serial,
        };
        if let Some(serial) = serial {
            let mut body = Writer::default();
            body.string(text);
            self.answer(one.from, serial, Some(error_name), "s", body);
        }
    }

    fn tell_offers(&mut self) {
        let signal = self.signal("ActivatableServicesChanged", None, "", Writer::default());
        self.broadcast_own(&signal);
    }

    /// The names that a program may call, and the bus itself.
    pub(super) fn activatable_names(&self) -> impl Iterator<Item = &str> {
        [BUS_NAME].into_iter().chain(self.offers.iter())
    }
}

const FAILED: &str = "org.freedesktop.DBus.Error.Failed";
/// The answers of `StartServiceByName`, by the specification.
const STARTED: u32 = 1;
pub(super) const ALREADY_RUNNING: u32 = 2;
