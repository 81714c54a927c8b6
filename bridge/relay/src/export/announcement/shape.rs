//! What of a service is in the tree: the members that everybody may use and that the tree has a type for.
//!
//! Model: [`shapes`] makes properties and signals of what a service has and of what the rules allow every peer. A property
//! is a capability with `r`; with `w` if it may be set, with `e` if its changes are emitted. A signal is a capability with
//! `e` alone.
//! Invariants: SHAPE-1. Nothing is here that the grant does not allow: no value that may not be read, no change or signal
//! that may not be received.
//! Limits: [`MEMBERS_MAX`] members of a service, and what the others leave.
//! Spec: docs/reference/protocol.md §7.10

use std::{collections::BTreeMap, sync::Arc};

use zbus::Signature;
use zocp_node::{Access, Capability, Value};

use super::{
    crawl::CrawlResult,
    limits::MEMBERS_MAX,
    place::{PROPERTIES, Place},
    values,
};
use zocp_dbus::{interface::Emits, introspection::Described};
use zocp_policy::{Grant, Member};

/// The members of an interface of an object that are in the tree.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) properties: BTreeMap<Arc<str>, Property>,
    pub(super) signals: BTreeMap<Arc<str>, Emitter>,
    /// Whether everybody may receive the changes of the properties.
    pub(super) may_follow: bool,
}

/// A property. It is shown when its value is known.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) signature: Signature,
    hint: String,
    pub(super) is_writable: bool,
    emits_changes: bool,
    /// The newest value that the service emitted.
    pub(super) value: Option<Value>,
    pub(super) is_shown: bool,
    /// The service, or we, refused a value, and the log has it.
    pub(super) is_logged: bool,
}

/// A signal.
#[derive(Debug)]
pub(super) struct Emitter {
    pub(super) arguments: Vec<Signature>,
    hint: String,
}

/// The shapes of all interfaces that have members, and whether that is all there is: at most `room`
/// members.
pub(super) fn shapes(
    findings: &CrawlResult,
    grant: &Grant,
    room: usize,
) -> (BTreeMap<Place, Shape>, bool) {
    let mut left = room.min(MEMBERS_MAX);
    let mut is_whole = true;
    let mut shapes = BTreeMap::new();
    for (place, described) in &findings.interfaces {
        let mut shape = shape(place, described, grant);
        if let Some(known) = findings.values.get(place) {
            for (name, property) in &mut shape.properties {
                let value = known.get(&**name);
                property.value = value.and_then(|value| values::value(value));
            }
        }
        is_whole &= shape.cut(left);
        left -= shape.len();
        if shape.len() > 0 {
            shapes.insert(place.clone(), shape);
        }
    }
    (shapes, is_whole)
}

fn shape(place: &Place, described: &Described, grant: &Grant) -> Shape {
    let of_properties = |member| Member {
        path: &place.path,
        interface: Some(PROPERTIES),
        member,
    };
    let may_call = |member| grant.may_call(&of_properties(member));
    let may_read = may_call("Get") || may_call("GetAll");
    let may_set = may_call("Set");
    let may_follow = grant.may_hear(&of_properties("PropertiesChanged"));
    let mut shape = Shape {
        may_follow,
        ..Shape::default()
    };
    let readable = described.properties.iter().filter(|it| it.access.reads());
    for property in readable.filter(|it| may_read && is_name(&it.name)) {
        let Some(hint) = values::hint(&property.signature) else {
            continue;
        };
        // Without an annotation changes are emitted, as the D-Bus specification says.
        let emits = property.emits.unwrap_or(Emits::Value);
        let property_of = Property {
            signature: property.signature.clone(),
            hint,
            is_writable: may_set && property.access.writes(),
            emits_changes: may_follow && matches!(emits, Emits::Value | Emits::Invalidation),
            value: None,
            is_shown: false,
            is_logged: false,
        };
        let name = property.name.as_str().into();
        shape.properties.insert(name, property_of);
    }
    for signal in &described.signals {
        let name: Arc<str> = signal.name.as_str().into();
        let member = Member {
            path: &place.path,
            interface: Some(&place.interface),
            member: &name,
        };
        // A property of the same name goes before.
        if !grant.may_hear(&member) || !is_name(&name) || shape.properties.contains_key(&name) {
            continue;
        }
        if let Some(hint) = values::signal_hint(&signal.arguments) {
            let arguments = signal.arguments.clone();
            shape.signals.insert(name, Emitter { arguments, hint });
        }
    }
    shape
}

impl Shape {
    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.properties.len() + self.signals.len()
    }

    /// Keeps at most so many members; whether that is all of them.
    fn cut(&mut self, max: usize) -> bool {
        let is_whole = self.len() <= max;
        while self.len() > max {
            if self.signals.pop_last().is_none() {
                self.properties.pop_last();
            }
        }
        is_whole
    }
}

impl Property {
    /// As it is in the tree; `None` while its value is not known.
    pub(super) fn capability(&self) -> Option<Capability> {
        let value = self.value.clone()?;
        let mut access = Access::READ;
        access.write = self.is_writable;
        access.emit = self.emits_changes;
        Some(Capability::new(access, value).with_hint(&self.hint))
    }
}

impl Emitter {
    /// As it is in the tree.
    pub(super) fn capability(&self) -> Capability {
        Capability::event(&self.hint)
    }
}

/// Names that mean something else in every object of a tree.
fn is_name(name: &str) -> bool {
    !["type", "objects", "methods"].contains(&name)
}

#[cfg(test)]
mod tests;
