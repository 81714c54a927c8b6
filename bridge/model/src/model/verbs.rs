//! The messages of peers about trees: GET, SET, MOD, SIG.

use serde_json::{Map, Value};

use super::{
    Model, Peer, SetError,
    remote::merged,
    touches::{Met, Telling},
};
use crate::{
    CapPath, Capability, Cause, Change, NodeId, Tree,
    dialect::Dialect,
    event::{Event, Ignored},
    json,
    message::{MessageError, Verb, ack, entry, insert, modified, parts},
    tree::{Replaced, prune, straighten},
};

impl Model {
    pub(super) fn handle_verb(
        &mut self,
        peer: NodeId,
        verb: Verb,
        cause: Option<&Cause>,
    ) -> Result<(), MessageError> {
        match verb {
            Verb::Get(names) => self.get(peer, names),
            Verb::Set(patch) => self.set_by_peer(peer, &patch, cause),
            Verb::Ack(patch) => self.acknowledged(peer, &patch),
            Verb::Call(call) => self.called(peer, call),
            Verb::Sub(wire) => self.sub(peer, wire, false),
            Verb::Unsub(wire) => self.unsub(peer, wire),
            Verb::Rep(answer) => self.answered(peer, answer),
            Verb::Mod(patch) => return self.modified(peer, patch, cause),
            Verb::Sig(emitter, value) => return self.signaled(peer, emitter, value, cause),
            Verb::Nothing | Verb::Unknown => {}
        }
        Ok(())
    }

    /// Names that this node does not have are answered with null, as pyZOCP does, also to old peers: that
    /// removes nothing.
    fn get(&mut self, peer: NodeId, names: Option<Vec<String>>) {
        // protocol.md §5.2, §5.9
        let mut entries = self.tree_for(peer);
        if let Some(names) = names {
            entries = names
                .into_iter()
                .map(|name| (name.clone(), entries.remove(&name).unwrap_or_default()))
                .collect();
        } else if let Some(known) = self.peers.get_mut(&peer) {
            known.keeps_copy = known.kind.zocp && !known.kind.extended;
        }
        self.whisper(peer, modified(entries));
    }

    /// Sets every value in a patch, one by one: one that is refused does not affect the others.
    fn set_by_peer(&mut self, peer: NodeId, patch: &Map<String, Value>, cause: Option<&Cause>) {
        // protocol.md §5.3
        let mut holds = Map::new();
        for (path, part) in parts(patch) {
            self.set_entry(peer, path.clone(), part, cause);
            if part.get("value").is_some() {
                let value = self.tree.capability(&path).and_then(|it| it.value.clone());
                let value = value.map_or_else(Map::new, |value| entry("value", value));
                insert(&mut holds, &path, value);
            }
        }
        // protocol.md §6.7
        if !holds.is_empty() && self.kind(peer).is_some_and(|kind| kind.extended) {
            self.whisper(peer, ack(holds));
        }
    }

    /// What a peer has after our sets: when all of one capability are answered, that is the
    /// value, whatever crossed them (MODEL-4).
    fn acknowledged(&mut self, peer: NodeId, patch: &Map<String, Value>) {
        let limits = self.room(peer);
        // protocol.md §6.7
        for (path, part) in parts(patch) {
            let Some(known) = self.peers.get_mut(&peer) else {
                return;
            };
            let Some(tree) = known.tree.as_mut() else {
                return;
            };
            if let Some(sets) = known.sets.get_mut(&path) {
                *sets -= 1;
                if *sets > 0 {
                    continue;
                }
                known.sets.remove(&path);
            }
            let Some(value) = part.get("value") else {
                continue;
            };
            match tree.replace_value(&path, value.clone(), &limits) {
                Ok(replaced) => {
                    self.recount(peer);
                    if let Some(changes) = replaced.changes(&path, value.clone()) {
                        self.event(Event::Changed { peer, changes });
                    }
                }
                Err(cause) => self.ignore(peer, Ignored::TooLarge { path, cause }),
            }
        }
    }

    fn set_entry(&mut self, peer: NodeId, path: CapPath, part: &Value, cause: Option<&Cause>) {
        if part.as_object().is_some_and(Map::is_empty) {
            return; // pyZOCP's echo of a GET is no request.
        }
        let Some(capability) = self.tree.capability(&path) else {
            return self.ignore(peer, Ignored::UnknownCapability(path.to_string()));
        };
        let Some(part) = part.as_object() else {
            return self.ignore(peer, Ignored::NotAValue(path.to_string()));
        };
        if let Some(value) = part.get("value") {
            let is_whole = self.kind(peer).is_some_and(|kind| kind.extended);
            let old = capability.value.as_ref().filter(|_| !is_whole);
            let checked = capability.check_set(&merged(old, value));
            match checked {
                Ok(value) => self.set_checked(peer, path.clone(), value, cause),
                Err(cause) => self.ignore(
                    peer,
                    Ignored::Refused {
                        path: path.clone(),
                        cause,
                    },
                ),
            }
        }
        if part.keys().any(|key| key != "value") {
            self.ignore(peer, Ignored::NotAValue(path.to_string()));
        }
    }

    fn set_checked(&mut self, peer: NodeId, path: CapPath, value: Value, cause: Option<&Cause>) {
        let is_old = self.kind(peer).is_some_and(|kind| !kind.extended);
        let Met::Taken(cause) = self.meet(&path, cause, is_old) else {
            return;
        };
        let telling = Telling::all(cause.clone()).except(peer);
        match self.update(&path, value.clone(), telling) {
            Ok(()) => {
                let emits = |capability: &Capability| capability.info.access.emit;
                if self.tree.capability(&path).is_some_and(emits) {
                    self.event(Event::LocalEmitted {
                        path: path.clone(),
                        value: value.clone(),
                        cause,
                    });
                }
                self.event(Event::LocalSet { peer, path, value });
            }
            Err(cause) => self.ignore(peer, Ignored::TooLarge { path, cause }),
        }
    }

    fn modified(
        &mut self,
        peer: NodeId,
        mut patch: Map<String, Value>,
        cause: Option<&Cause>,
    ) -> Result<(), MessageError> {
        let limits = self.room(peer);
        // protocol.md §5.10
        let pruned = prune(&mut patch, &limits);
        if pruned > 0 {
            self.ignore(peer, Ignored::Pruned(pruned));
        }
        let Some(known) = self.peers.get_mut(&peer) else {
            return Err(MessageError::UnknownPeer);
        };
        if !known.kind.zocp {
            self.ignore(peer, Ignored::NotZocp);
            return Ok(());
        }
        let Some(tree) = known.tree.as_mut() else {
            known.tree = Some(Tree::from_json(Value::Object(patch), &limits)?);
            self.recount(peer);
            self.rewired();
            self.event(Event::TreeKnown { peer });
            return Ok(());
        };
        // Extended nodes put everything into the right object.
        let (patch, dialect) = if known.kind.extended {
            (patch, Dialect::Ours)
        } else {
            (straighten(tree, patch), Dialect::Python)
        };
        let merged = tree.merge_object(&patch, &limits, dialect)?;
        // protocol.md §5.4
        let emitted: Vec<_> = merged
            .valued
            .into_iter()
            .filter_map(|path| {
                let capability = tree
                    .capability(&path)
                    .filter(|capability| capability.info.access.emit)?;
                Some((path, capability.value.clone()?))
            })
            .collect();
        self.recount(peer);
        if merged.changes.iter().any(is_description) {
            self.rewired();
        }
        if !merged.changes.is_empty() {
            self.event(Event::Changed {
                peer,
                changes: merged.changes,
            });
        }
        for (path, value) in emitted {
            self.sense(peer, &path.to_string(), &value, cause);
            if !cause.is_some_and(Cause::is_again) {
                let cause = cause.cloned();
                self.event(Event::Emitted {
                    peer,
                    path,
                    value,
                    cause,
                });
            }
        }
        Ok(())
    }

    fn signaled(
        &mut self,
        peer: NodeId,
        emitter: String,
        value: Value,
        cause: Option<&Cause>,
    ) -> Result<(), MessageError> {
        let path = CapPath::root(emitter);
        let limits = self.room(peer);
        let Some(known) = self.peers.get_mut(&peer) else {
            return Err(MessageError::UnknownPeer);
        };
        let wired = known.wires.contains_key(&*path.name);
        let capability = known.tree.as_mut().map(|tree| {
            let replaced = tree.replace_value(&path, value.clone(), &limits)?;
            let emits = tree
                .capability(&path)
                .is_some_and(|capability| capability.info.access.emit);
            Ok::<_, MessageError>((replaced, emits))
        });
        let (replaced, emits) = capability
            .transpose()?
            .unwrap_or((Replaced::Unknown, false));
        self.recount(peer);
        if matches!(replaced, Replaced::Unknown) && !wired {
            let emitter = path.name.as_ref().to_owned();
            self.ignore(peer, Ignored::UnknownEmitter(emitter));
        }
        if let Some(changes) = replaced.changes(&path, value.clone()) {
            self.event(Event::Changed { peer, changes });
        }
        if wired {
            self.sense(peer, &path.name, &value, cause);
        }
        if emits && !cause.is_some_and(Cause::is_again) {
            let cause = cause.cloned();
            self.event(Event::Emitted {
                peer,
                path,
                value,
                cause,
            });
        }
        Ok(())
    }

    /// Gives an emission to the sensors of this node that are wired to it.
    pub(super) fn sense(
        &mut self,
        peer: NodeId,
        emitter: &str,
        value: &Value,
        cause: Option<&Cause>,
    ) {
        let receivers = self
            .peers
            .get(&peer)
            .and_then(|known: &Peer| known.wires.get(emitter))
            .cloned();
        for receiver in receivers.into_iter().flatten() {
            self.sense_at((peer, emitter), receiver, value, cause);
        }
    }

    pub(super) fn sense_at(
        &mut self,
        (peer, emitter): (NodeId, &str),
        receiver: Option<String>,
        value: &Value,
        cause: Option<&Cause>,
    ) {
        let Some(name) = receiver else {
            let value = value.clone();
            return self.event(Event::LocalSensed {
                peer,
                emitter: emitter.into(),
                receiver: None,
                value,
                cause: cause.cloned(),
            });
        };
        let Some(path) = self.tree.resolve(&name) else {
            return self.ignore(peer, Ignored::UnknownSensor(name));
        };
        let Some(capability) = self.tree.capability(&path) else {
            return;
        };
        if !capability.info.access.sense {
            return self.ignore(peer, Ignored::NotASensor(path));
        }
        let checked = match capability.check(value) {
            Ok(value) => value,
            Err(cause) => return self.ignore(peer, Ignored::Refused { path, cause }),
        };
        self.sense_checked((peer, emitter), path, checked, cause);
    }

    /// Takes a value that is no echo, and passes it on.
    pub(super) fn sense_checked(
        &mut self,
        (peer, emitter): (NodeId, &str),
        path: CapPath,
        value: Value,
        cause: Option<&Cause>,
    ) {
        if self.is_return(&path, (peer, emitter), &value, cause) {
            return;
        }
        let is_old = self.strips(peer);
        let told = match self.meet(&path, cause, is_old) {
            Met::Taken(cause) => cause,
            Met::Echo => return,
            Met::Retold(cause) => return self.tell_again(&path, cause),
        };
        let held = self.tree.capability(&path).and_then(|it| it.value.as_ref());
        let differs = !held.is_some_and(|held| json::equal(held, &value));
        let mut telling = Telling::all(told.clone());
        telling.source = Some((peer, emitter.to_owned()));
        if cause.is_none() {
            // As in pyZOCP, only a different value is passed on to old peers, so that circles of wires come to rest.
            telling.is_for_extended = !differs;
            telling.except = self.spared(&path, (peer, emitter));
        }
        if let Err(cause) = self.update(&path, value.clone(), telling) {
            return self.ignore(peer, Ignored::TooLarge { path, cause });
        }
        self.event(Event::LocalSensed {
            peer,
            emitter: emitter.into(),
            receiver: Some(path),
            value,
            cause: told,
        });
    }
}

impl Model {
    /// Gives a value to a capability of this node as a peer would over a wire: a sensor receives it as an emission,
    /// another capability is set if it is writable. `emitter` names the origin.
    pub fn receive(
        &mut self,
        path: &CapPath,
        value: &Value,
        emitter: &str,
        cause: Option<&Cause>,
    ) -> Result<(), SetError> {
        let capability = self.tree.capability(path);
        let capability = capability.ok_or(SetError::UnknownCapability)?;
        if capability.info.access.sense {
            capability.check(value)?;
            let receiver = Some(path.to_string());
            self.sense_at((self.me, emitter), receiver, value, cause);
            return Ok(());
        }
        let value = capability.check_set(value)?;
        self.set_checked(self.me, path.clone(), value, cause);
        Ok(())
    }
}

/// Whether a change is of more than a value: subscribers are among it.
fn is_description(change: &Change) -> bool {
    matches!(
        change,
        Change::CapabilityAdded { .. }
            | Change::CapabilityChanged { .. }
            | Change::CapabilityRemoved { .. }
            | Change::ObjectRemoved(_)
    )
}
