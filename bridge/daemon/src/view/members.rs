//! The members of one capability, changed in place.
//!
//! Model: the interfaces of an object are edited for one capability, so that thousands that come one by one do not have
//! all of them made anew for each.

use std::collections::BTreeMap;

use zbus::Variant;
use zocp_interfaces::{SIGNALS_INTERFACE, VALUES_INTERFACE};
use zocp_node::{CapPath, ObjectPath};

use zocp_dbus::{
    interface::{Content, Interface},
    objects::TableError,
};

use super::{Fresh, View, log, metadata};

impl View {
    /// Has the members of a capability be those of its metadata: in place, or with its whole object, where that is
    /// `touched` or has no interface for them yet.
    pub(super) fn follow_members(
        &self,
        path: &CapPath,
        shown: Variant<'static>,
        touched: &mut BTreeMap<ObjectPath, Fresh>,
    ) {
        if touched.contains_key(&path.object) || !self.reshape(path, &shown) {
            let fresh = touched.entry(path.object.clone()).or_default();
            fresh.insert(path.name.clone(), shown);
        } else {
            self.retell_capabilities(&path.object);
        }
    }

    /// A capability is there no more.
    pub(super) fn follow_removal(&self, path: &CapPath) {
        let Some(object) = self.objects.get(&path.object) else {
            return;
        };
        let removed = metadata::lock(&object.metadata)
            .capabilities
            .remove(&path.name);
        if let Some(member) = removed.and_then(|removed| removed.member) {
            let has_it =
                |it: &Interface| it.property(&member).is_some() || it.signal(&member).is_some();
            self.table.with(|objects| {
                for interface in [VALUES_INTERFACE, SIGNALS_INTERFACE] {
                    if objects
                        .interface(&object.path, interface)
                        .is_some_and(has_it)
                    {
                        objects.reshape(&object.path, interface, |it| it.remove_member(&member));
                    }
                }
            });
        }
        self.retell_capabilities(&path.object);
    }

    /// Whether the members of a capability could be changed in place.
    fn reshape(&self, path: &CapPath, shown: &Variant<'static>) -> bool {
        let Some(object) = self.objects.get(&path.object) else {
            return false;
        };
        let metadata = metadata::lock(&object.metadata);
        let Some(known) = metadata.capabilities.get(&path.name) else {
            return false;
        };
        let Some(member) = known.member.clone() else {
            return true;
        };
        let (property, signal) = known.members();
        drop(metadata);
        self.table.with(|objects| {
            let values = objects.interface(&object.path, VALUES_INTERFACE);
            let signals = objects.interface(&object.path, SIGNALS_INTERFACE);
            let has_property = values.map(|it| it.property(&member) == property.as_ref());
            let has_signal = signals.map(|it| it.signal(&member) == signal.as_ref());
            if (property.is_some() && values.is_none()) || (signal.is_some() && signals.is_none()) {
                return false;
            }
            match (has_property, property) {
                (Some(false), property) => {
                    let value = Content::Plain(shown.clone());
                    objects.reshape(&object.path, VALUES_INTERFACE, |values| {
                        values.remove_member(&member);
                        let added = property.map(|it| values.add_property(it, value));
                        log(added.unwrap_or(Ok(())).map_err(TableError::from));
                    });
                }
                (_, Some(_)) => {
                    log(objects.set(&object.path, VALUES_INTERFACE, &member, shown.clone()));
                }
                (_, None) => {}
            }
            if has_signal == Some(false) {
                objects.reshape(&object.path, SIGNALS_INTERFACE, |signals| {
                    signals.remove_member(&member);
                    signal.into_iter().for_each(|it| signals.add_signal(it));
                });
            }
            true
        })
    }
}
