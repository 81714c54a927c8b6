//! Any octets as messages of peers of every kind to a node that has a tree.
//!
//! Input: lines; the first octet of each says which of three peers whispers the rest.
//! Holds: a message is taken, or is none, or is refused for a reason; what we say because of it is what
//! another node takes, and nothing that an old peer does not bear (M3); the copies of the peers' trees are
//! within the limits; the calls that are open do not grow beyond theirs; memory is in proportion.

use std::time::{Duration, Instant};

use zocp_model::{
    Access, CapPath, Capability, Limits, Method, Model, NodeId, ObjectPath, Output, PeerKind,
};

use crate::memory;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut scene = Scene::new();
    let ((), most) = memory::peak(|| {
        for line in data.split(|octet| *octet == b'\n') {
            if let [who, message @ ..] = line {
                scene.whisper(usize::from(*who) % PEERS, message);
            }
        }
    });
    assert!(
        most <= FIXED + EACH * data.len(),
        "{most} octets for {}",
        data.len()
    );
    scene.leave();
}

const ME: NodeId = NodeId::new([1; 16]);
const PEERS: usize = 3;

fn peer(number: usize) -> NodeId {
    NodeId::new([2 + number as u8; 16])
}

/// An old node, one of ours, and one that is no ZOCP node.
const KINDS: [PeerKind; PEERS] = [
    PeerKind {
        zocp: true,
        extended: false,
    },
    PeerKind {
        zocp: true,
        extended: true,
    },
    PeerKind {
        zocp: false,
        extended: false,
    },
];

struct Scene {
    now: Instant,
    model: Model,
    limits: Limits,
}

impl Scene {
    fn new() -> Self {
        let limits = limits();
        let mut model = Model::new(ME, limits.clone());
        let published = [
            (
                "a",
                Capability::new(
                    Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
                    1,
                ),
            ),
            (
                "b",
                Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0),
            ),
            (
                "o.c",
                Capability::new(
                    Access::READ | Access::WRITE | Access::EMIT | Access::SENSE,
                    "x",
                ),
            ),
        ];
        for (path, capability) in published {
            let path = path.parse().expect("a path");
            model.publish(path, capability).expect("it fits");
        }
        let method = Method::default();
        model
            .publish_method(&ObjectPath::root(), "m", &method)
            .expect("it fits");
        let now = Instant::now();
        for (number, kind) in KINDS.into_iter().enumerate() {
            model.peer_entered(now, peer(number), kind);
        }
        Self { now, model, limits }
    }

    fn whisper(&mut self, number: usize, message: &[u8]) {
        self.now += Duration::from_millis(10);
        // A refusal is the peer's affair; it stays a peer.
        let _ = self.model.handle_message(self.now, peer(number), message);
        self.outputs();
        for (number, kind) in KINDS.into_iter().enumerate() {
            if let Some(tree) = self.model.remote(peer(number)) {
                assert!(kind.zocp);
                assert!(tree.capability_count() <= self.limits.capabilities_max);
                assert!(tree.object_count() <= self.limits.objects_max);
            }
        }
        let own = self.model.local();
        assert!(own.capability(&CapPath::root("a")).is_some(), "ours stays");
    }

    fn outputs(&mut self) {
        while let Some(output) = self.model.poll_output() {
            if let Output::Whisper { peer: to, octets } = output {
                let number = (0..PEERS).find(|number| peer(*number) == to);
                let kind = KINDS[number.expect("to a peer that is here")];
                assert_well_formed(&octets, kind);
            }
        }
    }

    /// Who leaves takes all along.
    fn leave(&mut self) {
        for number in 0..PEERS {
            self.model.peer_left(self.now, peer(number));
        }
        self.outputs();
        assert_eq!(self.model.peers().count(), 0);
        assert_eq!(self.model.poll_timeout(), None, "no call is open");
        let listed = self.model.local().capabilities();
        let names = listed.flat_map(|(_, capability)| capability.info.subscribers.clone());
        assert_eq!(names.flatten().count(), 0, "nobody is listed any more");
    }
}

/// What a node of ours takes, and an old one too if it is for one.
pub(crate) fn assert_well_formed(octets: &[u8], to: PeerKind) {
    let mut hearer = Model::new(peer(0), Limits::default());
    hearer.peer_entered(
        Instant::now(),
        ME,
        PeerKind {
            zocp: true,
            extended: true,
        },
    );
    let text = String::from_utf8_lossy(octets);
    let heard = hearer.handle_message(Instant::now(), ME, octets);
    assert_eq!(heard, Ok(true), "{text}");
    if !to.extended {
        assert!(!text.starts_with("{\"CALL") && !text.starts_with("{\"REP"));
        let told = hearer.remote(ME).map(|tree| tree.root().walk().count());
        let methods = hearer.remote(ME).map(|tree| {
            let objects = tree.root().walk();
            objects
                .map(|(_, object)| object.methods.len())
                .sum::<usize>()
        });
        assert!(methods.unwrap_or(0) == 0, "{told:?}: {text}");
    }
}

/// Small, so that some lines reach each.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.message_len_max = 2000;
    limits.message_size_max = 20_000;
    limits.tree_size_max = 20_000;
    limits.depth_max = 10;
    limits.capabilities_max = 12;
    limits.objects_max = 6;
    limits.name_len_max = 40;
    limits.subscriptions_max = 4;
    limits.calls_max = 3;
    limits
}

const FIXED: usize = 4 << 20;
const EACH: usize = 2048;
