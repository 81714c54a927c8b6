//! A table of D-Bus objects made at run time, and the dispatcher that answers for it.
//!
//! Model: object paths with [`Interface`]s. [`Objects::handle`] answers a method call from memory, or returns it for
//! the handler as a [`Dispatch`]. Outgoing messages, replies and signals alike, enter one queue in order;
//! [`Objects::take_outgoing`] empties it. **Rule: after each call of a method that changes the table or handles a
//! message, send the messages of [`Objects::take_outgoing`] in that order.** [`crate::server`] does so.
//! Invariants:
//! OBJECTS-1. Every path that is an object or above one answers `Introspect`, `Peer` and `Properties`.
//! OBJECTS-2. A method call gets exactly one reply, or none if it expects none.
//! OBJECTS-3. `InterfacesAdded` contains all readable properties; objects are removed from the leaves to the root. A new
//!     interface and a removed one are announced at once.
//! OBJECTS-4. [`Objects::flush_changes`] announces changes of members and of properties with the current values: all
//!     changes of members of one interface are one `InterfacesRemoved` and one `InterfacesAdded`, all others are in one
//!     `PropertiesChanged`. A signal of an object comes after the announcement of the members that it has.
//! OBJECTS-5. No message is larger than the bus accepts, because the bus would close the connection. Such a reply
//!     becomes an error, such a `PropertiesChanged` contains only names, and any other such signal is left out and
//!     logged.
//! Deviation: `InterfacesAdded` and `InterfacesRemoved` are also emitted for the path of the manager itself, because
//! its interfaces change too; `GetManagedObjects` contains the objects below it, as the specification says.
//! Limits: none for objects and members; the code that fills the table has limits.
//! Not here: sockets, tasks, clocks, names (`crate::server`).
//! Spec: D-Bus specification, "Standard Interfaces", "Message Protocol".

mod announce;
mod dispatch;
mod request;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use zbus::{ObjectPath, Signature, Variant};

use crate::{
    interface::{Argument, Content, Interface, SlotError},
    message::Outgoing,
    report::Report,
};

pub use self::request::{Call, Dispatch, ReplyToken, Set};

/// Why a change of the table fails, which is a bug of the caller. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Not a valid object path.
    #[error("{0:?} is no object path")]
    Path(String),
    /// The object has no such interface.
    #[error("no interface {interface} at {path}")]
    NoInterface {
        /// The object.
        path: String,
        /// The interface.
        interface: String,
    },
    /// The interface has no such signal.
    #[error("no signal {0}")]
    NoSignal(String),
    /// The property cannot be set.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

/// The table. See the [module](self).
#[derive(Debug)]
pub struct Objects {
    objects: BTreeMap<Arc<str>, Object>,
    machine_id: Option<Arc<str>>,
    report: Report,
    /// Interfaces with changed slots, in the order of their first change.
    dirty: Vec<(Arc<str>, Arc<str>)>,
    /// Interfaces whose members changed, by object.
    reshaped: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    announcing: bool,
    message_len_max: usize,
    outgoing: Vec<Outgoing>,
    outgoing_octets: usize,
}

#[derive(Debug, Default)]
struct Object {
    interfaces: BTreeMap<Arc<str>, Interface>,
    is_manager: bool,
}

/// Interfaces of an object with their readable properties, as `a{sa{sv}}`.
type Properties<'a> = BTreeMap<&'a str, Cow<'a, Variant<'static>>>;

impl Default for Objects {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Objects {
    /// An empty table that does not announce changes yet.
    #[must_use]
    pub fn new(machine_id: Option<Arc<str>>) -> Self {
        Self {
            objects: BTreeMap::new(),
            machine_id,
            report: Report::default(),
            dirty: Vec::new(),
            reshaped: BTreeMap::new(),
            announcing: false,
            message_len_max: MESSAGE_LEN_MAX,
            outgoing: Vec::new(),
            outgoing_octets: 0,
        }
    }

    /// Sets whether changes are announced, which is useful only while a bus is connected. Pending messages are
    /// discarded.
    pub fn set_announcing(&mut self, announcing: bool) {
        self.announcing = announcing;
        drop(self.take_outgoing());
        self.clear_dirty();
    }

    /// Sets the report that counts error replies.
    pub fn set_report(&mut self, report: Report) {
        self.report = report;
    }

    /// Sets the largest message that the bus accepts.
    pub fn set_message_len_max(&mut self, octets: usize) {
        self.message_len_max = octets.min(MESSAGE_LEN_MAX);
    }

    /// Removes and returns all outgoing messages.
    #[must_use]
    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        self.outgoing_octets = 0;
        mem::take(&mut self.outgoing)
    }

    /// The number of outgoing messages.
    #[must_use]
    pub fn outgoing_len(&self) -> usize {
        self.outgoing.len()
    }

    /// The octets of the outgoing messages.
    #[must_use]
    pub fn outgoing_octets(&self) -> usize {
        self.outgoing_octets
    }

    /// Makes an object the `ObjectManager` of all objects below it; creates the object if needed.
    ///
    /// # Errors
    ///
    /// The path is not valid.
    pub fn add_manager(&mut self, path: &str) -> Result<(), TableError> {
        self.object_at(path)?.is_manager = true;
        Ok(())
    }

    /// Adds interfaces to an object, which is created if needed, and announces them together.
    ///
    /// An existing interface of the same name is replaced; [`Objects::flush_changes`] announces that.
    ///
    /// # Errors
    ///
    /// The path is not valid.
    pub fn insert(
        &mut self,
        path: &str,
        interfaces: impl IntoIterator<Item = Interface>,
    ) -> Result<(), TableError> {
        let interfaces: Vec<Interface> = interfaces.into_iter().collect();
        let object = self.object_at(path)?;
        let (mut added, mut replaced) = (Vec::new(), Vec::new());
        for mut interface in interfaces {
            // An added interface is announced with all values.
            interface
                .slots
                .iter_mut()
                .for_each(|slot| slot.dirty = false);
            interface.dirty = false;
            let name = interface.name().clone();
            match object.interfaces.insert(name.clone(), interface) {
                Some(_) => replaced.push(name),
                None => added.push(name),
            }
        }
        if self.announcing && !replaced.is_empty() {
            self.reshaped
                .entry(path.into())
                .or_default()
                .extend(replaced);
        }
        self.announce_added(path, &added);
        Ok(())
    }

    /// Changes the members of an interface in place, where the object has it; [`Objects::flush_changes`] announces
    /// that. An interface that is left without members is removed.
    pub fn reshape(&mut self, path: &str, interface: &str, edit: impl FnOnce(&mut Interface)) {
        let object = entry_mut(&mut self.objects, path);
        let Some((path_key, object)) = object else {
            return;
        };
        let Some((name, found)) = entry_mut(&mut object.interfaces, interface) else {
            return;
        };
        edit(found);
        if found.is_empty() {
            return self.remove(path, [interface]);
        }
        if self.announcing {
            let reshaped = self.reshaped.entry(path_key.clone()).or_default();
            reshaped.insert(name.clone());
        }
    }

    /// Removes interfaces from an object and announces that together. Missing ones are ignored. An object without
    /// interfaces that is not a manager is removed.
    pub fn remove<'a>(&mut self, path: &str, interfaces: impl IntoIterator<Item = &'a str>) {
        let Some(object) = self.objects.get_mut(path) else {
            return;
        };
        let removed: Vec<Arc<str>> = interfaces
            .into_iter()
            .filter_map(|name| object.interfaces.remove_entry(name))
            .map(|(name, _)| name)
            .collect();
        if let Some(reshaped) = self.reshaped.get_mut(path) {
            reshaped.retain(|name| !removed.contains(name));
        }
        self.announce_removed(path, &removed);
        self.forget_if_empty(path);
    }

    /// Removes an object and all below it, leaves first.
    pub fn remove_tree(&mut self, path: &str) {
        let mut paths: Vec<Arc<str>> = self.below(path).map(|(path, _)| path.clone()).collect();
        paths.reverse();
        paths.push(path.into());
        for path in paths {
            let Some(object) = self.objects.get_mut(&path) else {
                continue;
            };
            let removed: Vec<Arc<str>> = mem::take(&mut object.interfaces).into_keys().collect();
            self.reshaped.remove(&path);
            self.announce_removed(&path, &removed);
            self.objects.remove(&path);
        }
    }

    /// The interface of an object.
    #[must_use]
    pub fn interface(&self, path: &str, interface: &str) -> Option<&Interface> {
        self.objects.get(path)?.interfaces.get(interface)
    }

    /// Whether there is an object at `path`.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.objects.contains_key(path)
    }

    /// The paths of all objects, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.objects.keys()
    }

    /// Sets a property; returns whether the value changed. [`Objects::flush_changes`] announces it.
    ///
    /// # Errors
    ///
    /// There is no such property, or the value has another type.
    pub fn set(
        &mut self,
        path: &str,
        interface: &str,
        property: &str,
        value: impl Into<Variant<'static>>,
    ) -> Result<bool, TableError> {
        self.set_content(path, interface, property, Content::Plain(value.into()))
    }

    /// As [`Objects::set`], with any [`Content`]. A computed one always counts as a change.
    ///
    /// # Errors
    ///
    /// As [`Objects::set`].
    pub fn set_content(
        &mut self,
        path: &str,
        interface: &str,
        property: &str,
        content: Content,
    ) -> Result<bool, TableError> {
        let missing = || no_interface(path, interface);
        let (path_key, object) = entry_mut(&mut self.objects, path).ok_or_else(missing)?;
        let (name, found) = entry_mut(&mut object.interfaces, interface).ok_or_else(missing)?;
        let was_dirty = found.dirty;
        let changed = found.set(property, content)?;
        if changed && !was_dirty {
            self.dirty.push((path_key.clone(), name.clone()));
        }
        Ok(changed)
    }

    /// Copies the values of an interface with the same members.
    ///
    /// # Errors
    ///
    /// As [`Objects::set`].
    pub fn take_values(&mut self, path: &str, interface: Interface) -> Result<(), TableError> {
        let Interface { shape, slots, .. } = interface;
        for (property, slot) in shape.properties.iter().zip(slots) {
            self.set_content(path, &shape.name, &property.name, slot.content)?;
        }
        Ok(())
    }

    /// How often a property was set, also to the same value.
    #[must_use]
    pub fn revision(&self, path: &str, interface: &str, property: &str) -> Option<u32> {
        let slot = self.interface(path, interface)?.slot(property)?;
        Some(slot.revision)
    }

    /// Whether [`Objects::flush_changes`] would announce anything.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.dirty.is_empty() || !self.reshaped.is_empty()
    }

    /// Queues a call; returns `false` if no bus is connected or the call is too long for it.
    pub fn ask(&mut self, call: Outgoing) -> bool {
        let is_possible = self.announcing && call.data().len() <= self.message_len_max;
        if is_possible {
            self.push_raw(call);
        }
        is_possible
    }

    /// Queues a message that is neither a reply nor a signal of the table, such as a call to the bus.
    pub fn push_raw(&mut self, message: Outgoing) {
        self.outgoing_octets += message.data().len();
        self.outgoing.push(message);
    }

    fn object_at(&mut self, path: &str) -> Result<&mut Object, TableError> {
        if ObjectPath::try_from(path).is_err() {
            return Err(TableError::Path(path.to_owned()));
        }
        if !self.objects.contains_key(path) {
            self.objects.insert(path.into(), Object::default());
        }
        self.objects
            .get_mut(path)
            .ok_or_else(|| TableError::Path(path.to_owned()))
    }

    fn forget_if_empty(&mut self, path: &str) {
        let is_empty = |object: &Object| object.interfaces.is_empty() && !object.is_manager;
        if self.objects.get(path).is_some_and(is_empty) {
            self.objects.remove(path);
        }
    }

    /// All objects below a path, in order.
    fn below(&self, path: &str) -> impl Iterator<Item = (&Arc<str>, &Object)> {
        let prefix = prefix_of(path);
        self.objects
            .range::<str, _>((
                std::ops::Bound::Excluded(&*prefix),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.starts_with(&prefix))
    }
}

/// The properties of an interface that a client may read, with their values.
fn readable(interface: &Interface) -> Properties<'_> {
    interface
        .entries()
        .filter(|(property, _)| property.access.reads())
        .filter_map(|(property, slot)| Some((property.name.as_ref(), slot.content.value()?)))
        .collect()
}

fn prefix_of(path: &str) -> String {
    match path {
        "/" => "/".to_owned(),
        path => format!("{path}/"),
    }
}

/// A mutable entry with its shared key.
fn entry_mut<'a, V>(
    map: &'a mut BTreeMap<Arc<str>, V>,
    key: &str,
) -> Option<(&'a Arc<str>, &'a mut V)> {
    map.range_mut::<str, _>((
        std::ops::Bound::Included(key),
        std::ops::Bound::Included(key),
    ))
    .next()
}

fn no_interface(path: &str, interface: &str) -> TableError {
    TableError::NoInterface {
        path: path.to_owned(),
        interface: interface.to_owned(),
    }
}

/// The signature of a body with these arguments, as `Body::signature` gives it.
fn body_signature(arguments: &[Argument]) -> Signature {
    match arguments {
        [] => Signature::Unit,
        [one] => one.signature.clone(),
        many => {
            let fields: Box<[Signature]> = many.iter().map(|one| one.signature.clone()).collect();
            Signature::structure(fields)
        }
    }
}

/// The limit of D-Bus for a message; a bus may have a lower one.
const MESSAGE_LEN_MAX: usize = 128 * 1024 * 1024;

const PEER: &str = "org.freedesktop.DBus.Peer";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PROPERTIES_CHANGED: &str = "PropertiesChanged";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
