//! Where something of a service is, on its bus and in our tree, and what the service is asked.
//!
//! Model: an object of a service is an object of the tree, named by its path; an interface is an object in that, named by
//! its name. Both names are those of D-Bus, and neither is ambiguous in a dotted path: a path has no dots, and nothing is
//! below an interface.
//! Spec: docs/reference/protocol.md §7.10

use std::sync::Arc;

use zbus::{Message, Variant, message::Flags};
use zocp_node::{CapPath, ObjectPath};

use crate::schema::SERVICES;
use zocp_dbus::message::Outgoing;

/// An interface of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) path: Arc<str>,
    pub(super) interface: Arc<str>,
}

impl Place {
    pub(super) fn new(path: &str, interface: &str) -> Self {
        Self {
            path: path.into(),
            interface: interface.into(),
        }
    }

    /// The place of something that is set in the tree, with the names of the service and the member.
    pub(super) fn of(capability: &CapPath) -> Option<(Arc<str>, Self, Arc<str>)> {
        let [services, service, path, interface] = capability.object.segments() else {
            return None;
        };
        let place = Self {
            path: path.clone(),
            interface: interface.clone(),
        };
        (**services == *SERVICES).then(|| (service.clone(), place, capability.name.clone()))
    }

    /// The object of the tree.
    pub(super) fn object(&self, service: &str) -> ObjectPath {
        service_object(service)
            .child(&self.path)
            .child(&self.interface)
    }
}

/// The object of the tree that a service is.
pub(super) fn service_object(service: &str) -> ObjectPath {
    ObjectPath::root().child(SERVICES).child(service)
}

/// What a service is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Question {
    /// What an object is.
    Introspect(Arc<str>),
    /// The values of all properties.
    Values(Place),
    /// The value of a property.
    Value(Place, Arc<str>),
    /// To take a value.
    Set(Place, Arc<str>),
}

/// Which service is asked, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) service: Arc<str>,
    /// The revision of the service that is asked.
    pub(super) revision: u64,
    pub(super) question: Question,
}

impl Question {
    /// As a call of a service's owner; `None` for one that needs a value.
    pub(super) fn call(&self, owner: &str) -> Option<Outgoing> {
        let built = match self {
            Self::Introspect(path) => {
                let interface = "org.freedesktop.DBus.Introspectable";
                Outgoing::build(call(owner, path, interface, "Introspect"), &())
            }
            Self::Values(place) => {
                let call = call(owner, &place.path, PROPERTIES, "GetAll");
                Outgoing::build(call, &&*place.interface)
            }
            Self::Value(place, name) => {
                let call = call(owner, &place.path, PROPERTIES, "Get");
                Outgoing::build(call, &(&*place.interface, &**name))
            }
            Self::Set(..) => return None,
        };
        made(built)
    }
}

/// A call that sets a property.
pub(super) fn set_call(
    owner: &str,
    place: &Place,
    name: &str,
    value: &Variant<'_>,
) -> Option<Outgoing> {
    let body = (&*place.interface, name, value);
    let call = call(owner, &place.path, PROPERTIES, "Set");
    made(Outgoing::build(call, &body))
}

fn call<'a>(
    owner: &'a str,
    path: &'a str,
    interface: &'static str,
    member: &'static str,
) -> zbus::message::Builder<'a> {
    Message::method_call(path, member)
        .destination(owner)
        .interface(interface)
        // Who has left is not started for this.
        .with_flags(Flags::NO_AUTO_START)
}

fn made(call: zbus::Result<Outgoing>) -> Option<Outgoing> {
    call.inspect_err(|error| tracing::debug!(%error, "a service cannot be asked"))
        .ok()
}

/// The interface of the properties of all others.
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
