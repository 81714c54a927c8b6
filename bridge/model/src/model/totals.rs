//! The bounds of the trees of all peers together.
//!
//! Model: the size of each peer's tree is counted whenever the tree has changed; a change is checked against the
//! bounds of one tree, and against what the trees of all others leave.
//! Limits: `Limits::{trees_size_max, all_objects_max}`; a change beyond is refused as a whole, with the
//! error of the bound of one tree.

use super::Model;
use crate::{Limits, NodeId, tree::Held};

impl Model {
    /// The bounds of a change of a peer's tree.
    pub(super) fn room(&self, peer: NodeId) -> Limits {
        let own = self
            .peers
            .get(&peer)
            .map_or_else(Held::default, |peer| peer.held);
        let limits = &self.limits;
        let size = limits.trees_size_max.saturating_sub(self.held.size);
        let objects = limits.all_objects_max.saturating_sub(self.held.objects);
        Limits {
            tree_size_max: limits.tree_size_max.min(own.size + size),
            objects_max: limits.objects_max.min(own.objects + objects),
            ..limits.clone()
        }
    }

    /// Takes note of what a peer's tree takes now.
    pub(super) fn recount(&mut self, peer: NodeId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            let now = known
                .tree
                .as_ref()
                .map_or_else(Held::default, |tree| tree.held());
            let before = std::mem::replace(&mut known.held, now);
            self.held.size = self.held.size - before.size + now.size;
            self.held.objects = self.held.objects - before.objects + now.objects;
        }
    }

    /// A peer is gone, and what its tree took.
    pub(super) fn give_back(&mut self, held: Held) {
        self.held.size -= held.size;
        self.held.objects -= held.objects;
    }
}
