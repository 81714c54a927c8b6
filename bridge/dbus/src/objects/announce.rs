//! Announcement of changes and events on the bus.
//!
//! Model: additions, removals and events are queued when they happen; changed members and properties are marked and
//! announced together by [`Objects::flush_changes`].
//! Invariants: OBJECTS-3, OBJECTS-4 and OBJECTS-5 of the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use zbus::{Message, ObjectPath, Variant};

use super::{
    OBJECT_MANAGER, Objects, PROPERTIES, PROPERTIES_CHANGED, Properties, TableError, no_interface,
    readable,
};
use crate::{
    interface::{Emits, Property},
    message::{Outgoing, with_arguments},
};

impl Objects {
    /// Announces all changes of members, then those of properties, one `PropertiesChanged` for each object and interface.
    pub fn flush_changes(&mut self) {
        for (path, interfaces) in mem::take(&mut self.reshaped) {
            self.flush_members(&path, interfaces);
        }
        for (path, interface) in mem::take(&mut self.dirty) {
            self.flush_interface(&path, &interface);
        }
    }

    /// Emits a signal at once, before pending property changes.
    ///
    /// # Errors
    ///
    /// The interface has no such signal.
    pub fn emit(
        &mut self,
        path: &str,
        interface: &str,
        signal: &str,
        arguments: Vec<Variant<'static>>,
    ) -> Result<(), TableError> {
        let found = self
            .interface(path, interface)
            .ok_or_else(|| no_interface(path, interface))?;
        if found.signal(signal).is_none() {
            return Err(TableError::NoSignal(signal.to_owned()));
        }
        if let Some((path, interfaces)) = self.reshaped.remove_entry(path) {
            self.flush_members(&path, interfaces);
        }
        if self.announcing {
            let message = with_arguments(Message::signal(path, interface, signal), arguments);
            self.push_signal(message);
        }
        Ok(())
    }

    /// The manager that announces an object: the object itself or the nearest one above it.
    fn manager_of<'a>(&self, mut path: &'a str) -> Option<&'a str> {
        loop {
            if self
                .objects
                .get(path)
                .is_some_and(|object| object.is_manager)
            {
                return Some(path);
            }
            path = match path.rfind('/')? {
                0 if path.len() > 1 => "/",
                0 => return None,
                at => &path[..at],
            };
        }
    }

    pub(super) fn announce_added(&mut self, path: &str, interfaces: &[Arc<str>]) {
        if !self.announcing || interfaces.is_empty() {
            return;
        }
        let (Some(manager), Some(object)) = (self.manager_of(path), self.objects.get(path)) else {
            return;
        };
        let Ok(object_path) = ObjectPath::try_from(path) else {
            return;
        };
        let added: BTreeMap<&str, Properties<'_>> = interfaces
            .iter()
            .filter_map(|name| object.interfaces.get(name))
            .map(|interface| (interface.name().as_ref(), readable(interface)))
            .collect();
        let signal = Message::signal(manager, OBJECT_MANAGER, "InterfacesAdded");
        let message = Outgoing::build(signal, &(object_path, added));
        self.push_signal(message);
    }

    pub(super) fn announce_removed(&mut self, path: &str, interfaces: &[Arc<str>]) {
        if !self.announcing || interfaces.is_empty() {
            return;
        }
        let (Some(manager), Ok(object_path)) = (self.manager_of(path), ObjectPath::try_from(path))
        else {
            return;
        };
        let names: Vec<&str> = interfaces.iter().map(AsRef::as_ref).collect();
        let signal = Message::signal(manager, OBJECT_MANAGER, "InterfacesRemoved");
        let message = Outgoing::build(signal, &(object_path, names));
        self.push_signal(message);
    }

    /// Announces interfaces of an object whose members changed, with all values.
    fn flush_members(&mut self, path: &str, interfaces: BTreeSet<Arc<str>>) {
        let interfaces: Vec<Arc<str>> = interfaces.into_iter().collect();
        self.announce_removed(path, &interfaces);
        self.announce_added(path, &interfaces);
        for interface in &interfaces {
            self.clear_slots(path, interface);
        }
    }

    fn flush_interface(&mut self, path: &str, interface: &str) {
        let Some(found) = self
            .objects
            .get_mut(path)
            .and_then(|object| object.interfaces.get_mut(interface))
        else {
            return;
        };
        found.dirty = false;
        let told: Vec<(usize, bool)> = (0..found.slots.len())
            .filter(|&at| mem::take(&mut found.slots[at].dirty))
            .filter_map(|at| Some((at, with_value(&found.shape.properties[at])?)))
            .collect();
        if !self.announcing || told.is_empty() {
            return;
        }
        let found = &*found;
        let name = |at: usize| found.shape.properties[at].name.as_ref();
        let changed: Properties<'_> = told
            .iter()
            .filter(|(_, with_value)| *with_value)
            .filter_map(|&(at, _)| Some((name(at), found.slots[at].content.value()?)))
            .collect();
        let invalidated: Vec<&str> = told
            .iter()
            .filter(|(_, with_value)| !*with_value)
            .map(|&(at, _)| name(at))
            .collect();
        let signal = || Message::signal(path, PROPERTIES, PROPERTIES_CHANGED);
        let mut message = Outgoing::build(signal(), &(interface, changed, invalidated));
        if message
            .as_ref()
            .is_ok_and(|message| message.data().len() > self.message_len_max)
        {
            let names: Vec<&str> = told.iter().map(|&(at, _)| name(at)).collect();
            message = Outgoing::build(signal(), &(interface, Properties::new(), names));
        }
        self.push_signal(message);
    }

    pub(super) fn clear_dirty(&mut self) {
        self.reshaped.clear();
        for (path, interface) in mem::take(&mut self.dirty) {
            self.clear_slots(&path, &interface);
        }
    }

    /// Nothing of an interface is to be announced any more.
    fn clear_slots(&mut self, path: &str, interface: &str) {
        let object = self.objects.get_mut(path);
        if let Some(interface) = object.and_then(|object| object.interfaces.get_mut(interface)) {
            let slots = &mut interface.slots;
            slots.iter_mut().for_each(|slot| slot.dirty = false);
            interface.dirty = false;
        }
    }

    fn push_signal(&mut self, message: zbus::Result<Outgoing>) {
        match message {
            Ok(message) if message.data().len() <= self.message_len_max => self.push_raw(message),
            Ok(message) => {
                let path = message
                    .header()
                    .path()
                    .map_or("", |it| it.as_str())
                    .to_owned();
                if let Some(left_out) = self.report.log(&path) {
                    tracing::warn!(
                        path,
                        octets = message.data().len(),
                        max = self.message_len_max,
                        left_out,
                        "signals larger than the bus accepts are left out"
                    );
                }
            }
            Err(error) => {
                if let Some(left_out) = self.report.log("") {
                    tracing::warn!(%error, left_out, "signals that cannot be built are left out");
                }
            }
        }
    }
}

/// Whether a change of the property is announced with its value; `None` if it is not announced.
fn with_value(property: &Property) -> Option<bool> {
    match property.emits {
        _ if !property.access.reads() => None,
        Emits::Value => Some(true),
        Emits::Invalidation => Some(false),
        Emits::Const | Emits::Never => None,
    }
}
