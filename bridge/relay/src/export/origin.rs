//! Whether a name's owner shows a service of another bus, which is not exported once more.
//!
//! Model: who owns a name that a rule names is asked for its `Origin`, which every import of every bridge
//! answers at once. Whoever answers with an error, or not within [`ORIGIN_MAX`], is a service and offered.
//! Invariants: G1. what this bridge shows is never offered, nor what bears a bridge's name. G2. what
//! another bridge of this bus shows is not offered, unless it took the name of a service that was offered
//! because the bus could start it: then no longer than the question takes.
//! Spec: interfaces/org.z25.Zocp1.Import1.xml

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::sleep;
use zbus::{
    Message,
    message::{Flags, Type},
};
use zocp_interfaces::{BRIDGE_NAME, IMPORT_INTERFACE, IMPORT_PATH};

use super::{Exporter, locked};
use zocp_dbus::message::Outgoing;

impl Exporter {
    /// A name has this owner.
    pub(super) fn consider(&self, name: &Arc<str>, owner: &Arc<str>) {
        let shared = &self.shared;
        if is_bridge_name(name) || !locked(&shared.rules).all.offers(name) {
            return;
        }
        if shared.own_names.has(owner) {
            return self.withhold(name);
        }
        if locked(&shared.offers).claim(name, owner) {
            self.ask_origin(name, owner);
        }
    }

    /// The bus has a service of this name, or can start one.
    pub(super) fn offer(&self, name: &Arc<str>, owner: Option<&str>) {
        if !is_bridge_name(name) {
            let mut offers = locked(&self.shared.offers);
            // An owner where there was none is no other revision, and is to be announced too.
            let offered = offers.offer(name, owner).or_else(|| offers.revision(name));
            drop(offers);
            self.announced(offered.into_iter().collect());
        }
    }

    /// The owner of a name said whether it is a bridge, or did not in time.
    pub(super) fn origin_answered(&self, question: NonZeroU32, is_bridge: bool) {
        let asked = locked(&self.shared.origins).remove(&question);
        if let Some((name, owner)) = asked {
            self.origin_known(&name, &owner, is_bridge);
        }
    }

    fn origin_known(&self, name: &Arc<str>, owner: &Arc<str>, is_bridge: bool) {
        if is_bridge {
            tracing::debug!(
                name = &**name,
                owner = &**owner,
                "not offered: another bridge shows it"
            );
            self.shared.own_names.add(owner.clone());
        }
        if !locked(&self.shared.offers).settle(name, owner) {
            return;
        }
        if is_bridge {
            self.withhold(name);
        } else {
            self.offer(name, Some(owner));
        }
    }

    /// Also what was offered because the bus could start it.
    fn withhold(&self, name: &str) {
        let gone = locked(&self.shared.offers).retain(|offered| offered != name);
        self.withdrawn(&gone);
    }

    fn ask_origin(&self, name: &Arc<str>, owner: &Arc<str>) {
        let call = Message::method_call(IMPORT_PATH, "Origin")
            .destination(owner.to_string())
            .interface(IMPORT_INTERFACE)
            .with_flags(Flags::NO_AUTO_START);
        let call = match Outgoing::build(call, &()) {
            Ok(call) => call,
            Err(error) => return tracing::error!(%error, "a question cannot be made"),
        };
        let question = call.serial();
        locked(&self.shared.origins).insert(question, (name.clone(), owner.clone()));
        self.shared.watch.ask_program(call);
        let exporter = self.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = exporter.shared.stop.cancelled() => return,
                () = sleep(ORIGIN_MAX) => {}
            }
            exporter.shared.watch.forget_question(question);
            exporter.origin_answered(question, false);
        });
    }
}

/// Whether somebody answers as a bridge does. There are services that agree to everything.
pub(super) fn is_origin(answer: &Message) -> bool {
    let body = answer.body();
    let uuid = body.deserialize::<&str>().unwrap_or_default();
    answer.message_type() == Type::MethodReturn
        && uuid.len() == 32
        && uuid.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// Names of the bus and of bridges, which nobody offers.
fn is_bridge_name(name: &str) -> bool {
    let below = name.strip_prefix(BRIDGE_NAME);
    name == "org.freedesktop.DBus"
        || name.starts_with(':')
        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A bridge answers from memory; a service that hangs is not kept from being offered.
const ORIGIN_MAX: Duration = Duration::from_secs(2);
