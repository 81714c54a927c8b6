//! Nodes that come and go: of this project, and of pyre.

use rand::Rng;
use serde_json::json;
use zocp_node::{Access, CapPath, Capability};
use zocp_testkit::PyPeer;

use super::Actor;
use crate::{peer::Peer, world::node_name};

impl Actor {
    /// A node of ours, for a while.
    pub(super) async fn peer(&mut self) {
        let name = format!("peer{}", self.number);
        let peer = Peer::start(&name).await;
        if self.rng.random_bool(0.5) {
            self.world.shows(self.world.foh(), &node_name(&name)).await;
        }
        for _ in 0..self.rng.random_range(0..30) {
            self.stir(&peer).await;
            self.pause(60).await;
        }
        if self.rng.random_bool(0.5) {
            self.world.ledger.did("nodes that said goodbye");
            peer.leave().await;
        } else {
            self.world.ledger.did("nodes that were dropped");
            drop(peer);
        }
        self.pause(1000).await;
    }

    /// One thing that a node does.
    async fn stir(&mut self, peer: &Peer) {
        let value: u64 = self.rng.random_range(0..1000);
        match self.rng.random_range(0..7) {
            0 => {
                for number in 0..value {
                    peer.emit("tick", number).await;
                }
            }
            1 => peer.emit("count", value).await,
            2 => {
                let name = format!("extra{}", value % 5);
                peer.publish(
                    &name,
                    Capability::new(Access::READ | Access::WRITE | Access::EMIT, value),
                )
                .await;
            }
            // It may not be there.
            3 => drop(
                peer.node
                    .unpublish(format!("extra{}", value % 5).as_str())
                    .await,
            ),
            4 => drop(peer.node.join(&format!("group{}", value % 3)).await),
            5 => drop(peer.node.leave(&format!("group{}", value % 3)).await),
            _ => self.meddle(peer).await,
        }
    }

    /// Sets what another node has, and shouts.
    async fn meddle(&mut self, peer: &Peer) {
        let rock = self.world.rock.node.id();
        let scratch = CapPath::root("scratch");
        let part: f64 = self.rng.random();
        // It may not have met the rock yet.
        let _ = peer.node.set(rock, scratch, json!(part)).await;
        let shout = vec![b"soak".to_vec().into()];
        let _ = peer.node.shout("ZOCP", shout).await;
    }

    /// A node of pyre, for a while.
    pub(super) async fn python(&mut self) {
        let tick =
            json!({"register": {"name": "tick", "value": 0, "typeHint": "int", "access": "rwes"}});
        let host = &self.world.foh().host;
        let mut peer = PyPeer::start(host, "python", &[tick]).await;
        self.world
            .shows(self.world.stage(), &node_name("python"))
            .await;
        let last = self.rng.random_range(1..500);
        peer.command(json!({"emit_many": ["tick", 1, last]})).await;
        self.pause(2000).await;
        if self.rng.random_bool(0.5) {
            self.world.ledger.did("nodes of pyre that were killed");
            peer.program.kill().await;
        } else {
            self.world.ledger.did("nodes of pyre that said goodbye");
            peer.leave().await;
        }
        self.pause(3000).await;
    }
}
