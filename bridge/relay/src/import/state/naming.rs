//! The name of an import on the bus.
//!
//! Model: the name is asked for in the queue behind its owner: the bus gives it to us when that one lets go. Where it
//! is to be another name, the one before is kept until that is ours. A [`Naming`] makes the calls of the bus that this
//! takes.
//! Spec: D-Bus specification, "Message Bus Messages"

use std::{num::NonZeroU32, sync::Arc};

use zbus::Message;

use zocp_dbus::{connection::bus_call, message::Outgoing};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Naming {
    /// The name that it is to have.
    wanted: Arc<str>,
    /// The name that was asked for on this connection.
    asked: Option<Arc<str>>,
    /// The call that asked for it, while it has no reply.
    question: Option<NonZeroU32>,
    /// Names that are ours, or asked for, from before, until the wanted one is ours.
    former: Vec<Arc<str>>,
    /// The name that it has.
    shown: Option<Arc<str>>,
}

impl Naming {
    pub(super) fn new(wanted: Arc<str>) -> Self {
        Self {
            wanted,
            asked: None,
            question: None,
            former: Vec::new(),
            shown: None,
        }
    }

    pub(super) fn wanted(&self) -> &Arc<str> {
        &self.wanted
    }

    pub(super) fn shown(&self) -> Option<&Arc<str>> {
        self.shown.as_ref()
    }

    /// Asks for the name on a new connection, with a call of this serial.
    pub(super) fn handle_connected(&mut self, serial: NonZeroU32) -> Option<Outgoing> {
        self.former.clear();
        self.asked = Some(self.wanted.clone());
        self.request(serial)
    }

    /// The connection is gone, and with it all names.
    pub(super) fn handle_disconnected(&mut self) {
        (self.asked, self.question, self.shown) = (None, None, None);
    }

    /// It is to have another name: asks for it, with a call of this serial, if there is a connection.
    pub(super) fn rename(&mut self, wanted: Arc<str>, serial: NonZeroU32) -> Option<Outgoing> {
        self.wanted = wanted;
        let asked = self.asked.as_mut().filter(|asked| **asked != self.wanted)?;
        let former = std::mem::replace(asked, self.wanted.clone());
        self.former.retain(|other| *other != self.wanted);
        self.former.push(former);
        self.request(serial)
    }

    /// The bus replies to the call of this serial; whether it was for the name, and it is ours now.
    pub(super) fn handle_reply(&mut self, serial: NonZeroU32, reply: &Message) -> Option<bool> {
        self.question.take_if(|question| *question == serial)?;
        let name = self.asked.clone()?;
        match reply.body().deserialize::<u32>() {
            Ok(PRIMARY_OWNER | ALREADY_OWNER) => {
                self.shown = Some(name);
                return Some(true);
            }
            Ok(IN_QUEUE) => tracing::warn!(
                name = &*name,
                "the name belongs to another program; it is ours when that one lets go of it"
            ),
            _ => tracing::warn!(name = &*name, reason = %reply, "the bus refuses the name"),
        }
        Some(false)
    }

    /// The bus gave us a name, or took it; whether it is the one that was asked for.
    pub(super) fn handle_owned(&mut self, name: &str, is_ours: bool) -> bool {
        let Some(asked) = self.asked.as_ref().filter(|asked| ***asked == *name) else {
            return false;
        };
        self.shown = is_ours.then(|| asked.clone());
        true
    }

    /// Lets go of a name that it had before, now that it has the wanted one.
    pub(super) fn release(&mut self, serial: NonZeroU32) -> Option<Outgoing> {
        let former = self.former.pop()?;
        bus_call("ReleaseName", &&*former, Some(serial))
    }

    pub(super) fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    fn request(&mut self, serial: NonZeroU32) -> Option<Outgoing> {
        self.question = Some(serial);
        // Without flags: in the queue behind its owner.
        let body = (self.asked.as_deref()?, 0u32);
        bus_call("RequestName", &body, Some(serial))
    }
}

const PRIMARY_OWNER: u32 = 1;
const IN_QUEUE: u32 = 2;
const ALREADY_OWNER: u32 = 4;
