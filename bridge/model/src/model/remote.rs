//! Setting the values of other nodes.

use serde_json::Value;

use super::Model;
use crate::{
    CapPath, Cause, CheckError, NodeId, TreeError,
    event::Event,
    json,
    message::{self, entry, nested},
};

impl Model {
    /// Sets a value of a peer, after checking it against the peer's tree.
    ///
    /// The copy of the peer's tree has the new value at once, since pyZOCP does not confirm a `SET` to its sender.
    pub fn set(&mut self, peer: NodeId, path: &CapPath, value: Value) -> Result<(), SetError> {
        self.set_through(peer, path, value, (0, None))
    }

    /// A SET of this node will not be sent, since a newer one takes its place: no reply to it is awaited.
    pub fn unset(&mut self, peer: NodeId, path: &CapPath) {
        if let Some(known) = self.peers.get_mut(&peer)
            && let Some(sets) = known.sets.get_mut(path)
        {
            *sets -= 1;
            if *sets == 0 {
                known.sets.remove(path);
            }
        }
    }

    /// The same as [`Self::set`] for a value that came through so many wires and from this touch, which [`Event::Set`] reports. Sensors of
    /// this node that are wired to it get the value too, since the peer does not emit it to the node that set it.
    pub fn set_through(
        &mut self,
        peer: NodeId,
        path: &CapPath,
        value: Value,
        (hops, cause): (u8, Option<Cause>),
    ) -> Result<(), SetError> {
        let limits = self.room(peer);
        let known = self.peers.get_mut(&peer).ok_or(SetError::NodeGone)?;
        let tree = known.tree.as_mut().ok_or(SetError::UnknownCapability)?;
        let capability = tree.capability(path).ok_or(SetError::UnknownCapability)?;
        let value = if known.kind.extended {
            value
        } else {
            merged(capability.value.as_ref(), &value)
        };
        let value = capability.check_set(&value)?;
        let emits = capability.info.access.emit;
        let replaced = tree.replace_value(path, value.clone(), &limits)?;
        let is_extended = known.kind.extended;
        if is_extended {
            if known.sets.len() >= self.limits.capabilities_max {
                known.sets.retain(|path, _| tree.capability(path).is_some());
            }
            let sets = known.sets.entry(path.clone()).or_default();
            *sets = sets.saturating_add(1);
        }
        self.recount(peer);
        let part = entry(&path.name, Value::Object(entry("value", value.clone())));
        let octets = message::set(nested(&path.object, part));
        let told = cause.as_ref().filter(|_| is_extended);
        self.whisper(peer, message::with_cause(&octets, told));
        let changes = replaced.changes(path, value.clone());
        let tells = emits && (hops == 0 || cause.is_some() || changes.is_some());
        if let Some(changes) = changes {
            self.event(Event::Changed { peer, changes });
        }
        if tells {
            self.sense(peer, &path.to_string(), &value, cause.as_ref());
            let path = path.clone();
            self.event(Event::Set {
                peer,
                path,
                value,
                hops,
                cause,
            });
        }
        Ok(())
    }
}

/// A value as pyZOCP sets it: objects merge.
pub(super) fn merged(old: Option<&Value>, new: &Value) -> Value {
    match (old, new) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            let mut both = old.clone();
            json::merge(&mut both, new);
            Value::Object(both)
        }
        _ => new.clone(),
    }
}

/// Why a peer's value was not set. Nothing was sent, nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// The peer is not present.
    #[error("the node is gone")]
    NodeGone,
    /// The peer has no such capability, or its tree is not known yet.
    #[error("unknown capability")]
    UnknownCapability,
    /// The description of the capability does not allow the value. The caller's fault.
    #[error("the value is refused")]
    Value(#[from] CheckError),
    /// The value exceeds a limit.
    #[error("the tree does not take it")]
    Tree(#[from] TreeError),
}
