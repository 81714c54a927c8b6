//! Which peers are sent what of this node's tree.
//!
//! Spec: docs/reference/protocol.md §5.7, §5.11, §7.10.

use crate::{
    CapPath, NodeId, ObjectPath,
    model::{Model, Peer},
    object::Audience,
};

impl Model {
    /// Whether a peer subscribed to this very emitter.
    pub(super) fn names(&self, peer: NodeId, emitter: &CapPath) -> bool {
        let known = self.peers.get(&peer);
        known.is_some_and(|peer| peer.subscribers.contains_key(&Some(emitter.clone())))
    }

    /// The peers that subscribed to everything or to this emitter and may see it; and whether they
    /// are extended.
    pub(in crate::model) fn subscribers(&self, emitter: Option<&CapPath>) -> Vec<(NodeId, bool)> {
        self.audience_of(emitter, |_| false)
    }

    /// Those, and old nodes that have a copy of the tree: for additions and removals, not for values.
    pub(super) fn followers(&self, emitter: Option<&CapPath>) -> Vec<(NodeId, bool)> {
        // protocol.md §5.11
        self.audience_of(emitter, |peer| peer.keeps_copy)
    }

    fn audience_of(
        &self,
        emitter: Option<&CapPath>,
        wants_besides: impl Fn(&Peer) -> bool,
    ) -> Vec<(NodeId, bool)> {
        // protocol.md §5.7
        let audience = emitter.map_or(Audience::Everyone, |it| self.audience(&it.object));
        let emitter = emitter.map(|emitter| Some(emitter.clone()));
        let wants = |subscribers: &std::collections::BTreeMap<_, _>| {
            subscribers.contains_key(&None)
                || emitter
                    .as_ref()
                    .is_some_and(|emitter| subscribers.contains_key(emitter))
        };
        let peers = self.peers.iter().filter(|(_, peer)| {
            let is_meant = audience == Audience::Everyone || !peer.kind.extended;
            is_meant && (wants(&peer.subscribers) || wants_besides(peer))
        });
        peers.map(|(id, peer)| (*id, peer.kind.extended)).collect()
    }

    /// Which nodes may see an object.
    pub(super) fn audience(&self, object: &ObjectPath) -> Audience {
        // protocol.md §7.10
        let mut at = self.tree.root();
        for name in object.segments() {
            let Some(object) = at.objects.get(&**name) else {
                break;
            };
            if !object.is_for(Audience::Extended) {
                return Audience::Plain;
            }
            at = object;
        }
        Audience::Everyone
    }
}
