//! The registry on a simulated mesh, with nodes that restart, links that fail, and users who remove wires.
//!
//! Model: a [`World`] has desks with an emitter and lamps with a sensor. It carries out the outputs of the registry,
//! as far as nodes are present and connected, and reports to the registry what a bridge would observe. When all nodes
//! are present and connected again and the retries have run, every wire must exist exactly once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use zocp_node::{
    CapPath, PeerId, PeerInfo,
    model::{Change, Limits, Tree},
};

use super::super::{
    Limits as WireLimits,
    conversion::Conversion,
    nodes::CapabilityAddress,
    registry::{Output, Registry, State, WireId},
};

const DESKS: u8 = 2;
const LAMPS: u8 = 2;

/// An event of the simulation.
#[derive(Debug, Clone)]
enum Happening {
    /// A node leaves; the next time, a new node with its name enters.
    Toggle(u8),
    /// A desk and a lamp lose their connection, or regain it.
    Part(u8, u8),
    /// A user removes a subscription at the emitter.
    Unwire(u8, u8),
    /// Time passes.
    Wait,
}

#[derive(Debug, Default)]
struct World {
    registry: Option<Registry>,
    /// The present nodes by number.
    here: BTreeMap<u8, PeerId>,
    starts: u8,
    /// Pairs of numbers without a connection.
    apart: BTreeSet<(u8, u8)>,
    /// Subscriptions: emitter and sensor.
    listed: BTreeSet<(PeerId, PeerId)>,
    /// Subscriptions of nodes that left without unsubscribing.
    missed: BTreeSet<(PeerId, PeerId)>,
    later: BTreeSet<WireId>,
}

impl World {
    fn registry(&mut self) -> &mut Registry {
        self.registry.get_or_insert_with(|| {
            Registry::new(PeerId::new([255; 16]), "bridge", WireLimits::default())
        })
    }

    fn number_of(&self, peer: PeerId) -> Option<u8> {
        let found = self.here.iter().find(|(_, one)| **one == peer);
        found.map(|(number, _)| *number)
    }

    fn toggle(&mut self, number: u8) {
        if let Some(peer) = self.here.remove(&number) {
            let is_its = |(emitter, sensor): &(PeerId, PeerId)| *emitter == peer || *sensor == peer;
            // The emitter's node may notice before the bridge.
            if self.starts.is_multiple_of(2) {
                self.miss(is_its);
            }
            self.registry().exited(peer);
            self.follow();
            self.miss(is_its);
            return;
        }
        self.starts += 1;
        let peer = PeerId::new([self.starts; 16]);
        self.here.insert(number, peer);
        let mut info = PeerInfo::new(peer, format!("node{number}"));
        (info.zocp, info.extended) = (true, true);
        let tree = tree(&[]);
        self.registry().entered(&info);
        self.registry().tree_known(peer, &tree);
        self.follow();
    }

    fn part(&mut self, desk: u8, lamp: u8) {
        if self.apart.remove(&(desk, lamp)) {
            return;
        }
        self.apart.insert((desk, lamp));
        let pair = (self.here.get(&desk).copied(), self.here.get(&lamp).copied());
        if let (Some(emitter), Some(sensor)) = pair {
            // Each node considers the other one gone and removes its subscriptions.
            self.miss(|one| *one == (emitter, sensor));
        }
    }

    fn miss(&mut self, is_it: impl Fn(&(PeerId, PeerId)) -> bool) {
        let gone = self.listed.iter().filter(|pair| is_it(pair));
        let gone: Vec<_> = gone.copied().collect();
        self.missed.extend(gone);
        self.forget(is_it);
    }

    fn forget(&mut self, is_it: impl Fn(&(PeerId, PeerId)) -> bool) {
        let before = self.listed.clone();
        self.listed.retain(|pair| !is_it(pair));
        let emitters: BTreeSet<PeerId> =
            before.difference(&self.listed).map(|pair| pair.0).collect();
        for emitter in emitters {
            self.tell(emitter);
        }
        self.follow();
    }

    /// Reports the list of subscribers of an emitter to the registry.
    fn tell(&mut self, emitter: PeerId) {
        if self.number_of(emitter).is_none() {
            return;
        }
        let sensors: Vec<PeerId> = self
            .listed
            .iter()
            .filter(|pair| pair.0 == emitter)
            .map(|pair| pair.1)
            .collect();
        let missed = self.missed.iter().filter(|pair| pair.0 == emitter);
        let missed: Vec<PeerId> = missed.map(|pair| pair.1).collect();
        let tree = tree_with(&sensors, &missed);
        let path = CapPath::root("out");
        let capability = tree.capability(&path).unwrap().clone();
        let change = Change::CapabilityChanged { path, capability };
        self.registry().changed(emitter, &[change]);
    }

    /// Carries out the outputs of the registry.
    fn follow(&mut self) {
        while let Some(output) = self.registry().poll_output() {
            match output {
                Output::Subscribe(_, emitter, sensor, _) => self.subscribe(&emitter, &sensor),
                Output::Unsubscribe(emitter, sensor) => {
                    self.listed.remove(&(emitter.peer, sensor.peer));
                    self.tell(emitter.peer);
                }
                Output::Later(id) => {
                    self.later.insert(id);
                }
                _ => {}
            }
        }
    }

    fn subscribe(&mut self, emitter: &CapabilityAddress, sensor: &CapabilityAddress) {
        let pair = (self.number_of(emitter.peer), self.number_of(sensor.peer));
        let (Some(desk), Some(lamp)) = pair else {
            return;
        };
        if !self.apart.contains(&(desk, lamp)) {
            self.listed.insert((emitter.peer, sensor.peer));
            self.missed.remove(&(emitter.peer, sensor.peer));
            self.tell(emitter.peer);
        }
    }

    fn wait(&mut self) {
        for id in std::mem::take(&mut self.later) {
            self.registry().again(id);
        }
        self.follow();
    }
}

/// A tree with an emitter and a sensor.
pub(super) fn tree(sensors: &[PeerId]) -> Tree {
    tree_with(sensors, &[])
}

fn tree_with(sensors: &[PeerId], missed: &[PeerId]) -> Tree {
    let list = |peers: &[PeerId]| -> Vec<_> {
        let peers = peers.iter();
        peers.map(|peer| json!([peer.to_string(), "in"])).collect()
    };
    let (listed, missed) = (list(sensors), list(missed));
    let tree = json!({
        "out": {
            "value": 0, "typeHint": "int", "access": "re",
            "subscribers": listed, "missed": missed,
        },
        "in": {"value": 0, "typeHint": "int", "access": "rs", "subscribers": []},
    });
    Tree::from_json(tree, &Limits::default()).unwrap()
}

fn happening() -> impl Strategy<Value = Happening> {
    let (desk, lamp) = (0..DESKS, DESKS..DESKS + LAMPS);
    prop_oneof![
        (0..DESKS + LAMPS).prop_map(Happening::Toggle),
        (desk.clone(), lamp.clone()).prop_map(|(desk, lamp)| Happening::Part(desk, lamp)),
        (desk, lamp).prop_map(|(desk, lamp)| Happening::Unwire(desk, lamp)),
        Just(Happening::Wait),
    ]
}

impl World {
    fn wire(&mut self, lasting: bool) {
        for desk in 0..DESKS {
            for lamp in DESKS..DESKS + LAMPS {
                let ends = (format!("node{desk}:out"), format!("node{lamp}:in"));
                let ends = (ends.0.parse().unwrap(), ends.1.parse().unwrap());
                let made = self
                    .registry()
                    .connect(ends, Conversion::default(), lasting);
                made.unwrap();
            }
        }
        self.follow();
    }

    /// Makes all nodes present and connected, and runs the retries.
    fn mend(&mut self) {
        self.apart.clear();
        for number in 0..DESKS + LAMPS {
            if !self.here.contains_key(&number) {
                self.toggle(number);
            }
        }
        for _ in 0..3 {
            self.wait();
        }
    }
}

proptest! {
    #[test]
    fn lasting_wires_are_there_once_when_all_is_whole_again(
        happenings in proptest::collection::vec(happening(), 0..40)
    ) {
        let mut world = World::default();
        world.wire(true);
        for happening in happenings {
            match happening {
                Happening::Toggle(number) => world.toggle(number),
                Happening::Part(desk, lamp) => world.part(desk, lamp),
                Happening::Unwire(desk, lamp) => {
                    let pair = (world.here.get(&desk).copied(), world.here.get(&lamp).copied());
                    world.forget(|one| pair == (Some(one.0), Some(one.1)));
                }
                Happening::Wait => world.wait(),
            }
        }
        world.mend();
        let wires: Vec<_> = world.registry().wires().map(|(_, wire)| wire.state()).collect();
        prop_assert_eq!(wires, vec![State::Active; usize::from(DESKS * LAMPS)]);
        prop_assert_eq!(world.listed.len(), usize::from(DESKS * LAMPS));
    }

    #[test]
    fn a_wire_of_any_kind_waits_for_who_went(
        happenings in proptest::collection::vec(happening(), 0..40)
    ) {
        let mut world = World::default();
        world.mend();
        world.wire(false);
        for happening in happenings {
            match happening {
                Happening::Toggle(number) => world.toggle(number),
                Happening::Part(desk, lamp) => world.part(desk, lamp),
                // Would remove a wire that is not lasting.
                Happening::Unwire(..) | Happening::Wait => world.wait(),
            }
        }
        world.mend();
        let wires: Vec<_> = world.registry().wires().map(|(_, wire)| wire.state()).collect();
        prop_assert_eq!(wires, vec![State::Active; usize::from(DESKS * LAMPS)]);
        prop_assert_eq!(world.listed.len(), usize::from(DESKS * LAMPS));
    }
}

#[test]
fn a_wire_that_is_taken_away_is_no_more() {
    let mut world = World::default();
    world.mend();
    world.wire(false);
    let (desk, lamp) = (world.here[&0], world.here[&DESKS]);
    world.forget(|one| *one == (desk, lamp));
    assert_eq!(
        world.registry().wires().count(),
        usize::from(DESKS * LAMPS) - 1
    );
}
