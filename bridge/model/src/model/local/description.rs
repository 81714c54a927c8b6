//! What peers are sent about additions, changes and removals in this node's tree.
//!
//! Model: old peers get pyZOCP's shape, in which nothing is missing; extended ones what there is.
//! Spec: docs/reference/protocol.md §5.4, §5.11.

use serde_json::{Map, Value};

use crate::{
    CapPath, Capability, Cause, ObjectPath,
    capability::MISSED,
    message::{entry, modified, nested, sig, with_cause},
    model::{Model, removals},
    object::Audience,
};

impl Model {
    /// Sends the subscribers of a capability its description, and removes from it what only `before` has.
    pub(super) fn announce(
        &mut self,
        path: &CapPath,
        before: &Map<String, Value>,
        cause: Option<&Cause>,
    ) {
        let Some(capability) = self.tree.capability(path) else {
            return;
        };
        let part = |entries| {
            modified(nested(
                &path.object,
                entry(&path.name, Value::Object(entries)),
            ))
        };
        let (mut old, mut whole) = (old_shape(capability), capability.to_json());
        for key in before.keys() {
            whole.entry(key).or_insert(Value::Null);
            // protocol.md §5.11: as good as missing, which pyZOCP cannot be told.
            if key != MISSED {
                old.entry(key).or_insert(Value::Null);
            }
        }
        let (old, extended) = (part(old), with_cause(&part(whole), cause));
        for (peer, is_extended) in self.followers(Some(path)) {
            self.whisper(
                peer,
                if is_extended {
                    extended.clone()
                } else {
                    old.clone()
                },
            );
        }
    }

    /// Sends a part that is no capability to the peers that subscribed to everything.
    pub(super) fn notify(&mut self, audience: Audience, patch: &Map<String, Value>) {
        let octets = modified(patch.clone());
        for (peer, is_extended) in self.followers(None) {
            let is_meant = match audience {
                Audience::Everyone => true,
                Audience::Extended => is_extended,
                Audience::Plain => !is_extended,
            };
            if is_meant {
                self.whisper(peer, octets.clone());
            }
        }
    }

    /// Removes what `entries` has as null. Old nodes would keep the null, and are sent what is left instead.
    pub(super) fn withdraw(
        &mut self,
        object: &ObjectPath,
        entries: Map<String, Value>,
        audience: Audience,
        emitter: Option<&CapPath>,
    ) {
        let left = removals::left_of(&self.tree, object, &entries);
        let patch = nested(object, entries);
        // A removal exceeds no limit.
        if self.merge(patch.clone()).is_err() {
            return;
        }
        if audience == Audience::Everyone {
            self.notify(Audience::Extended, &patch);
        }
        if !left.is_empty() {
            let octets = modified(left);
            for (peer, is_extended) in self.followers(emitter) {
                if !is_extended {
                    self.whisper(peer, octets.clone());
                }
            }
        }
    }
}

/// The message with a value.
pub(super) fn emission_of(path: &CapPath, value: &Value) -> Vec<u8> {
    if path.object.is_root() {
        return sig(&path.name, value);
    }
    let part = entry(&path.name, Value::Object(entry("value", value.clone())));
    modified(nested(&path.object, part))
}

/// A capability as pyZOCP's programs expect one: nothing is missing.
pub(super) fn old_shape(capability: &Capability) -> Map<String, Value> {
    let mut entries = capability.to_json();
    let value = entries
        .entry("value")
        .or_insert_with(|| capability.info.hint().default_value())
        .clone();
    entries
        .entry("typeHint")
        .or_insert_with(|| crate::TypeHint::text_for(&value).into());
    entries.remove(MISSED);
    entries.entry("access").or_insert_with(|| Value::from(""));
    entries
        .entry("subscribers")
        .or_insert_with(|| Value::Array(Vec::new()));
    entries
}
