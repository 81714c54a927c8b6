//! Whether a name's owner shows a service of another bus, which is not exported once more.
//!
//! Model: the owner of a name that a rule names is asked for its `Origin`, which every import of every bridge answers at
//! once. An owner that replies with an error, or not within [`ORIGIN_MAX`], is a service and offered.
//! Invariants: ORIGIN-1. An import of this bridge is never offered, nor a name that belongs to bridges. ORIGIN-2. An
//! import of another bridge on this bus is not offered, unless it took the name of a service that was offered because
//! the bus could
//! start it: then no longer than the question takes.
//! Spec: interfaces/org.z25.Zocp1.Import1.xml

use std::{collections::HashSet, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::Instant;
use zbus::{
    Message,
    message::{Flags, Type},
};
use zocp_interfaces::{BRIDGE_NAME, IMPORT_INTERFACE, IMPORT_PATH};

use super::{Output, State};
use zocp_dbus::{connection::BUS_NAME, message::Outgoing};

/// A name whose owner was asked whether it is a bridge.
#[derive(Debug)]
pub(super) struct Origin {
    name: Arc<str>,
    owner: Arc<str>,
}

// What the bus says of names.
impl State {
    /// The bus can be watched from now on.
    pub(crate) fn handle_watched(&mut self) {
        self.output.push_back(Output::AskNames);
    }

    /// The bus is lost, and with it all that was offered, and all programs: on the next one their names mean others.
    pub(crate) fn handle_bus_lost(&mut self) {
        self.programs_gone();
        // No reply comes any more.
        self.origins.clear();
        let gone = self.offers.lose();
        self.withdrawn(gone);
    }

    /// All names that the bus has.
    pub(crate) fn handle_names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        let offered = names.into_iter().filter(|name| self.rules.all.offers(name));
        let asked = offered.map(|name| Output::AskOwner(name.into()));
        self.output.extend(asked);
    }

    /// All names that the bus can start a service for.
    pub(crate) fn handle_activatable<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        let offered = names.into_iter().filter(|name| self.rules.all.offers(name));
        let names: HashSet<String> = offered.map(str::to_owned).collect();
        let asked = names
            .iter()
            .map(|name| Output::AskOwner(name.as_str().into()));
        self.output.extend(asked);
        let changes = self.offers.set_activatable(names);
        self.withdrawn(changes.gone);
        for (name, revision) in changes.changed {
            self.announced(name, revision);
        }
    }

    /// Who owns a name, as the bus answers when it is asked.
    pub(crate) fn handle_owner(&mut self, name: &Arc<str>, owner: Option<&str>, now: Instant) {
        match owner {
            Some(owner) => self.consider(name, &Arc::from(owner), now),
            None => self.offer(name, None),
        }
    }

    /// A name has another owner, or none any more.
    pub(crate) fn handle_owner_changed(&mut self, name: &str, owner: Option<&str>, now: Instant) {
        if name.starts_with(':') {
            return;
        }
        let gone = self.offers.owner_gone(name);
        if let Some(owner) = owner {
            self.consider(&Arc::from(name), &Arc::from(owner), now);
        }
        match self.offers.revision(name) {
            // What was known of it is old.
            Some((name, revision)) => self.announced(name, revision),
            None => {
                self.withdrawn(gone.into_iter().collect());
                // What the bus can start may have had an owner that was no service, or had not said whether it is one.
                if owner.is_none() {
                    self.offer(&name.into(), None);
                }
            }
        }
    }

    /// The owner of a name said whether it is a bridge.
    pub(crate) fn handle_origin(&mut self, question: NonZeroU32, answer: &Message) {
        self.settle_origin(question, is_origin(answer));
    }

    /// Gives up questions that have waited for too long: who does not answer is a service.
    pub(crate) fn handle_origin_timeout(&mut self, now: Instant) {
        while let Some(question) = self.origin_deadlines.pop(now) {
            self.output.push_back(Output::ForgetQuestion(question));
            self.settle_origin(question, false);
        }
    }

    /// A name has this owner.
    fn consider(&mut self, name: &Arc<str>, owner: &Arc<str>, now: Instant) {
        if is_bridge_name(name) || !self.rules.all.offers(name) {
            return;
        }
        if self.own_names.has(owner) {
            return self.withhold(name);
        }
        if self.is_passage {
            return self.offer(name, Some(owner));
        }
        if self.offers.claim(name, owner) {
            self.ask_origin(name, owner, now);
        }
    }

    /// The bus has a service of this name, or can start one.
    fn offer(&mut self, name: &Arc<str>, owner: Option<&str>) {
        if is_bridge_name(name) {
            return;
        }
        // An owner where there was none is no other revision, and is to be announced too.
        let offered = self.offers.offer(name, owner);
        match offered.or_else(|| self.offers.revision(name)) {
            Some((name, revision)) => self.announced(name, revision),
            None => self.output.push_back(Output::OffersChanged),
        }
    }

    fn settle_origin(&mut self, question: NonZeroU32, is_bridge: bool) {
        let Some(Origin { name, owner }) = self.origins.remove(&question) else {
            return;
        };
        if is_bridge {
            tracing::debug!(
                name = &*name,
                owner = &*owner,
                "not offered: another bridge shows it"
            );
            self.own_names.add(owner.clone());
        }
        if !self.offers.settle(&name, &owner) {
            return;
        }
        if is_bridge {
            self.withhold(&name);
        } else {
            self.offer(&name, Some(&owner));
        }
    }

    /// Also what was offered because the bus could start it.
    fn withhold(&mut self, name: &str) {
        let gone = self.offers.retain(|offered| offered != name);
        self.withdrawn(gone);
    }

    fn ask_origin(&mut self, name: &Arc<str>, owner: &Arc<str>, now: Instant) {
        let call = Message::method_call(IMPORT_PATH, "Origin")
            .destination(owner.to_string())
            .interface(IMPORT_INTERFACE)
            .with_flags(Flags::NO_AUTO_START);
        let call = match Outgoing::build(call, &()) {
            Ok(call) => call,
            Err(error) => return tracing::error!(%error, "a question cannot be made"),
        };
        let (question, deadline) = (call.serial(), now + ORIGIN_MAX);
        let (name, owner) = (name.clone(), owner.clone());
        self.origins.insert(question, Origin { name, owner });
        let origins = &self.origins;
        let waits = |question: &NonZeroU32| origins.contains_key(question);
        self.origin_deadlines.add(deadline, question, waits);
        self.output.push_back(Output::AskOrigin(call, deadline));
    }
}

/// Whether a reply is that of a bridge. Some services return from every call.
fn is_origin(answer: &Message) -> bool {
    let body = answer.body();
    let uuid = body.deserialize::<&str>().unwrap_or_default();
    answer.message_type() == Type::MethodReturn
        && uuid.len() == 32
        && uuid.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// Names of the bus and of bridges, which nobody offers.
fn is_bridge_name(name: &str) -> bool {
    let below = name.strip_prefix(BRIDGE_NAME);
    name == BUS_NAME
        || name.starts_with(':')
        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A bridge answers from memory; a service that hangs is not kept from being offered.
const ORIGIN_MAX: Duration = Duration::from_secs(2);
