//! This node's own tree: what it publishes, sets and emits, and what subscribers are sent of it.
//!
//! Old peers see our tree in pyZOCP's shape: every capability has `value`, `typeHint`,
//! `access` and `subscribers`; there are no `methods`. Removals are described to them as
//! `removals` says.

mod audience;
mod description;
mod error;

use std::sync::Arc;

use serde_json::{Map, Value};

use self::description::{emission_of, old_shape};
pub use self::error::PublishError;
use super::{
    Model,
    touches::{Met, Telling},
};
use crate::{
    CapPath, Capability, Cause, Change, Method, NodeId, ObjectPath, TreeError,
    capability::MISSED,
    dialect::Dialect,
    event::Event,
    message::{entry, nested, sig, with_cause},
    object::{Audience, METHODS, OBJECTS, TYPE},
};

impl Model {
    /// Publishes a capability, or replaces one, whose subscribers stay. Objects on its path are
    /// created.
    pub fn publish(
        &mut self,
        path: CapPath,
        mut capability: Capability,
    ) -> Result<(), PublishError> {
        self.check_name(&path.name)?;
        let old = self.tree.capability(&path).cloned();
        let info = Arc::make_mut(&mut capability.info);
        info.subscribers = Some(
            old.as_ref()
                .and_then(|old| old.info.subscribers.clone())
                .unwrap_or_default(),
        );
        if let Some(missed) = old.as_ref().and_then(|old| old.info.extra.get(MISSED)) {
            info.extra.insert(MISSED.to_owned(), missed.clone());
        }
        if let (None, Some(value)) = (&info.type_hint, &capability.value) {
            info.type_hint = Some(crate::TypeHint::text_for(value).into());
        }
        let Some(old) = old else {
            self.make_objects(&path.object)?;
            self.merge(nested(
                &path.object,
                entry(&path.name, Value::Object(capability.to_json())),
            ))?;
            self.announce(&path, &Map::new(), None);
            return Ok(());
        };
        if old == capability {
            return Ok(());
        }
        let mut changed = self.tree.clone();
        changed.merge_object(
            &nested(&path.object, entry(&path.name, Value::Null)),
            &self.limits,
            Dialect::Ours,
        )?;
        let whole = entry(&path.name, Value::Object(capability.to_json()));
        changed.merge_object(&nested(&path.object, whole), &self.limits, Dialect::Ours)?;
        self.tree = changed;
        let value = capability
            .value
            .clone()
            .filter(|_| capability.value != old.value);
        let mut changes = vec![Change::CapabilityChanged {
            path: path.clone(),
            capability,
        }];
        changes.extend(value.map(|value| Change::Value {
            path: path.clone(),
            value,
        }));
        let emitted = self.tree.capability(&path).and_then(emission);
        self.event(Event::LocalChanged { changes });
        let cause = emitted.as_ref().and_then(|_| self.touch(&path));
        self.announce(&path, &old.to_json(), cause.as_ref());
        if let Some(value) = emitted {
            self.event(Event::LocalEmitted { path, value, cause });
        }
        Ok(())
    }

    /// Withdraws a capability; returns whether there was one.
    pub fn unpublish(&mut self, path: &CapPath) -> bool {
        let existed = self.tree.capability(path).is_some();
        if existed {
            let audience = self.audience(&path.object);
            let entries = entry(&path.name, Value::Null);
            self.withdraw(&path.object, entries, audience, Some(path));
            self.touches.forget(|one| one == path);
            self.rewired();
            for peer in self.peers.values_mut() {
                peer.subscribers.remove(&Some(path.clone()));
            }
        }
        existed
    }

    /// Creates an object, or changes its kind (its entry `type`).
    pub fn set_object(&mut self, object: &ObjectPath, kind: &str) -> Result<(), PublishError> {
        self.set_data(object, TYPE, Value::from(kind))
    }

    /// Removes an object with everything in it; returns whether there was one.
    pub fn remove_object(&mut self, object: &ObjectPath) -> bool {
        let (Some(parent), Some(name)) = (object.parent(), object.name()) else {
            return false;
        };
        let existed = self.tree.object(object).is_some();
        if existed {
            let gone = entry(OBJECTS, Value::Object(entry(name, Value::Null)));
            self.withdraw(&parent, gone, self.audience(object), None);
            self.touches.forget(|path| path.object.starts_with(object));
            self.rewired();
            for peer in self.peers.values_mut() {
                peer.subscribers.retain(|emitter, _| {
                    !emitter
                        .as_ref()
                        .is_some_and(|emitter| emitter.object.starts_with(object))
                });
            }
        }
        existed
    }

    /// Sets a plain entry of an object; null removes it.
    pub fn set_data(
        &mut self,
        object: &ObjectPath,
        name: &str,
        value: Value,
    ) -> Result<(), PublishError> {
        self.check_name(name)?;
        let there = self.tree.object(object);
        if there.is_some_and(|there| there.capabilities.contains_key(name))
            || value.as_object().is_some_and(crate::object::is_capability)
        {
            return Err(PublishError::IsCapability);
        }
        if name == TYPE {
            // The object itself is made with its kind.
            self.make_objects(&object.parent().unwrap_or_default())?;
        } else {
            self.make_objects(object)?;
        }
        if value.is_null() {
            self.withdraw(object, entry(name, value), self.audience(object), None);
            return Ok(());
        }
        let patch = nested(object, entry(name, value));
        self.merge(patch.clone())?;
        self.notify(self.audience(object), &patch);
        Ok(())
    }

    /// Publishes a method; extended peers see it.
    pub fn publish_method(
        &mut self,
        object: &ObjectPath,
        name: &str,
        method: &Method,
    ) -> Result<(), PublishError> {
        self.check_name(name)?;
        self.make_objects(object)?;
        self.unpublish_method(object, name);
        let patch = nested(
            object,
            entry(METHODS, Value::Object(entry(name, method.to_json()))),
        );
        self.merge(patch.clone())?;
        self.notify(Audience::Extended, &patch);
        Ok(())
    }

    /// Withdraws a method; returns whether there was one.
    pub fn unpublish_method(&mut self, object: &ObjectPath, name: &str) -> bool {
        let existed = self
            .tree
            .object(object)
            .is_some_and(|object| object.methods.contains_key(name));
        if existed {
            let gone = entry(METHODS, Value::Object(entry(name, Value::Null)));
            self.withdraw(object, gone, self.audience(object), None);
        }
        existed
    }

    /// Sets a value of this node. Subscribers are sent it if it differs.
    pub fn set_value(&mut self, path: &CapPath, value: Value) -> Result<(), PublishError> {
        let capability = self
            .tree
            .capability(path)
            .ok_or(PublishError::UnknownCapability)?;
        let value = capability.check(&value)?;
        if capability.value.as_ref() != Some(&value) {
            let cause = self.touch(path);
            self.update(path, value, Telling::all(cause))?;
        }
        Ok(())
    }

    /// Emits a value: subscribers are sent it in any case. The capability must have `e`.
    pub fn emit(&mut self, path: &CapPath, value: Value) -> Result<(), PublishError> {
        self.emit_from(path, value, None)
    }

    /// Replaces a value and sends it to the subscribers.
    pub(super) fn update(
        &mut self,
        path: &CapPath,
        value: Value,
        telling: Telling,
    ) -> Result<(), TreeError> {
        let replaced = self.tree.replace_value(path, value.clone(), &self.limits)?;
        let octets = emission_of(path, &value);
        let with_cause = with_cause(&octets, telling.cause.as_ref());
        let signal = (!path.object.is_root()).then(|| sig(&path.to_string(), &value));
        if !telling.is_again() {
            self.expect_returns(path, &value, &telling);
        }
        if let Some(changes) = replaced.changes(path, value) {
            self.event(Event::LocalChanged { changes });
        }
        for (peer, is_extended) in self.subscribers(Some(path)) {
            if Some(peer) == telling.except || (telling.is_for_extended && !is_extended) {
                continue;
            }
            let octets = if is_extended { &with_cause } else { &octets };
            self.whisper(peer, octets.clone());
            // protocol.md §5.7
            if let Some(signal) = &signal
                && !is_extended
                && self.names(peer, path)
            {
                self.whisper(peer, signal.clone());
            }
        }
        Ok(())
    }

    /// Sends one peer a value of this node.
    pub(super) fn tell_value(
        &mut self,
        peer: NodeId,
        path: &CapPath,
        value: &Value,
        cause: Option<&Cause>,
    ) {
        let is_extended = self.kind(peer).is_some_and(|kind| kind.extended);
        let octets = emission_of(path, value);
        let cause = cause.filter(|_| is_extended);
        self.whisper(peer, with_cause(&octets, cause));
        // protocol.md §5.7
        if !path.object.is_root() && !is_extended {
            self.whisper(peer, sig(&path.to_string(), value));
        }
    }

    /// Emits a value that comes from this touch, if there is one.
    pub fn emit_from(
        &mut self,
        path: &CapPath,
        value: Value,
        cause: Option<&Cause>,
    ) -> Result<(), PublishError> {
        let capability = self
            .tree
            .capability(path)
            .ok_or(PublishError::UnknownCapability)?;
        if !capability.info.access.emit {
            return Err(PublishError::NotAnEmitter);
        }
        let value = capability.check(&value)?;
        let Met::Taken(cause) = self.meet(path, cause, false) else {
            return Ok(());
        };
        self.update(path, value.clone(), Telling::all(cause.clone()))?;
        self.event(Event::LocalEmitted {
            path: path.clone(),
            value,
            cause,
        });
        Ok(())
    }

    /// This node's tree as a peer may see it.
    pub(super) fn tree_for(&self, peer: NodeId) -> Map<String, Value> {
        let root = self.tree.root();
        if self.kind(peer).is_some_and(|kind| kind.extended) {
            root.to_json_with(|_, capability| capability.to_json(), Audience::Extended)
        } else {
            root.to_json_with(|_, capability| old_shape(capability), Audience::Plain)
        }
    }

    /// Merges a patch into the tree and returns what changed.
    pub(super) fn merge(&mut self, patch: Map<String, Value>) -> Result<(), TreeError> {
        let merged = self
            .tree
            .merge_object(&patch, &self.limits, Dialect::Ours)?;
        if !merged.changes.is_empty() {
            self.event(Event::LocalChanged {
                changes: merged.changes,
            });
        }
        Ok(())
    }

    /// Creates the missing objects on a path, of pyZOCP's default kind.
    fn make_objects(&mut self, object: &ObjectPath) -> Result<(), PublishError> {
        for len in 1..=object.segments().len() {
            let part: ObjectPath = object.segments().iter().take(len).cloned().collect();
            if self.tree.object(&part).is_none() {
                let patch = nested(&part, entry(TYPE, Value::from("Unknown")));
                self.merge(patch.clone())?;
                self.notify(self.audience(&part), &patch);
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), PublishError> {
        if [OBJECTS, METHODS].contains(&name) {
            return Err(PublishError::ReservedName);
        }
        Ok(())
    }
}

/// What telling a known capability anew emits (protocol.md §5.4).
fn emission(capability: &Capability) -> Option<Value> {
    let value = capability.value.as_ref();
    value.filter(|_| capability.info.access.emit).cloned()
}
