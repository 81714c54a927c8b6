//! Venues under a virtual clock: their nodes, the links between their bridges, and what passes over these.
//!
//! Model: a mesh of `zocp_zre` nodes in one thread, with the network of that crate's simulation; each venue is a network
//! of five bridges, of which some are linked with those of others and pass on all nodes of theirs by [`Passing`]. Trees
//! and values are not simulated: what passes at rest does not depend on them.
//! Not here: the real program (`tests/venue_mesh.rs`).
//!
//! A failure prints its seed. `SIMULATION_SEEDS=50` runs each topology that many times more.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod checks;
#[path = "../../../zre/tests/mesh/mod.rs"]
#[allow(dead_code, reason = "a crate uses a part of it")]
mod mesh;
mod topology;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use rand::Rng;
use zocp_zre::{Event, HEADER_BRIDGE, NodeKey, PeerId, Security};

use self::{mesh::World, topology::Topology};
use super::{Introduction, Item, PassRule, Passed, Passing, Step, read, write};
use crate::venue::HEADER_VENUE;

const VENUES: usize = 20;
/// Bridges of one venue.
const BRIDGES: usize = 5;
/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(60);
const STEP: Duration = Duration::from_millis(10);

/// A bridge that is linked with others.
struct Linked {
    passing: Passing,
    /// The nodes that it has told its user of, each once.
    shown: BTreeSet<PeerId>,
    entered: u64,
}

struct Venues {
    world: World,
    links: Vec<(usize, usize)>,
    linked: BTreeMap<usize, Linked>,
}

const fn venue(host: usize) -> usize {
    host / BRIDGES
}

fn key(host: usize) -> NodeKey {
    let mut octets = [0; 32];
    octets[0] = host as u8 + 1;
    NodeKey::new(octets)
}

impl Venues {
    fn open(seed: u64, topology: Topology) -> Self {
        let mut world = World::new(seed);
        let links = topology.links(&mut world.rng);
        for host in 0..VENUES * BRIDGES {
            world.network.insert(host, venue(host));
        }
        world.line = ROUND_TRIP / 2;
        let mut venues = Self {
            world,
            links,
            linked: BTreeMap::new(),
        };
        for host in 0..VENUES * BRIDGES {
            let config = venues.config(host);
            venues.world.add(config);
        }
        let hosts: BTreeSet<usize> = venues.links.iter().flat_map(|&(a, b)| [a, b]).collect();
        for host in hosts {
            venues.begin(host);
        }
        venues
    }

    fn config(&mut self, host: usize) -> zocp_zre::Config {
        let mut config = self.world.config();
        config.name = format!("bridge{}", host % BRIDGES);
        config.headers = vec![
            (HEADER_BRIDGE.into(), "1".into()),
            (HEADER_VENUE.into(), format!("venue{}", venue(host))),
        ];
        config.groups = vec!["ZOCP".try_into().expect("a name")];
        config.shares = true;
        let links = self.links.iter();
        let others = links.filter_map(|&(a, b)| match host {
            it if it == a => Some(key(b)),
            it if it == b => Some(key(a)),
            _ => None,
        });
        let trusted: Vec<NodeKey> = others.collect();
        if !trusted.is_empty() {
            self.world.keys.insert(host, key(host));
            config.open = true;
            config.security = Some(Security {
                key: key(host),
                trusted,
                learned: Vec::new(),
                barred: Vec::new(),
                first_use: zocp_zre::FirstUse::Refuse,
            });
        }
        config
    }

    /// A linked bridge begins: it dials its links.
    fn begin(&mut self, host: usize) {
        let rule = PassRule::new(["*"], None::<[&str; 0]>);
        let linked = Linked {
            passing: Passing::new(vec![rule]),
            shown: BTreeSet::new(),
            entered: 0,
        };
        self.linked.insert(host, linked);
        let dialed = self.links.iter().filter(|(from, _)| *from == host);
        let dialed: Vec<usize> = dialed.map(|(_, to)| *to).collect();
        for to in dialed {
            self.world.dialable.insert(to);
            let endpoint = format!("tcp://{}", self.world.hosts[to].addr);
            self.world.with(host, |node, now| {
                let met = node.ours().connect_both_ways(now, &endpoint, key(to));
                met.expect("an endpoint");
            });
        }
    }

    fn restart(&mut self, host: usize) {
        let config = self.config(host);
        self.world.restart(host, config);
        self.world.take_events(host);
        if self.linked.contains_key(&host) {
            self.begin(host);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.world.run(STEP);
            let hosts: Vec<usize> = self.linked.keys().copied().collect();
            for host in hosts {
                self.follow(host);
                self.send(host);
            }
        }
    }

    fn is_met(&mut self, host: usize, node: PeerId) -> bool {
        let own = self.world.hosts[host].id;
        node == own || self.world.hosts[host].node.ours().peer(node).is_some()
    }

    /// The venue of a peer of a bridge, unless it is the same, and its name.
    fn met(&mut self, host: usize, peer: PeerId) -> Option<(Option<String>, String)> {
        let view = self.world.hosts[host].node.ours().peer(peer)?;
        let own = format!("venue{}", venue(host));
        let venue = view.headers().value(HEADER_VENUE);
        let venue = venue.filter(|it| *it != own).map(str::to_owned);
        Some((venue, view.name().to_owned()))
    }

    /// As the actor of a node does.
    fn follow(&mut self, host: usize) {
        for event in self.world.take_events(host) {
            let steps = match event {
                Event::Entered { peer, .. } => {
                    let Some((venue, name)) = self.met(host, peer) else {
                        continue;
                    };
                    let passing = &mut self.linked.get_mut(&host).expect("linked").passing;
                    let steps = passing.met(peer);
                    match venue {
                        Some(venue) => self.link_entered(host, peer, &venue),
                        None => {
                            for link in passing.links() {
                                if let Some(told) = passing.names(link, &name) {
                                    passing.tell(link, peer, told);
                                }
                            }
                        }
                    }
                    steps
                }
                Event::Exited { peer, .. } => {
                    let known: Vec<PeerId> = self.world.hosts[host]
                        .node
                        .ours()
                        .peers()
                        .map(|it| it.id())
                        .collect();
                    let passing = &mut self.linked.get_mut(&host).expect("linked").passing;
                    let steps = passing.cut(peer, |node| known.contains(&node));
                    passing.lost(peer);
                    steps
                }
                Event::Whispered { peer, content } => {
                    let (node, passed) = read(&content).expect("of nodes").expect("well formed");
                    let is_met = self.is_met(host, node);
                    let passing = &mut self.linked.get_mut(&host).expect("linked").passing;
                    match passing.linked(peer) {
                        Some(_) => passing.hear(peer, (node, passed), is_met),
                        None => panic!("a message of a peer that is not linked"),
                    }
                }
                _ => continue,
            };
            self.carry_out(host, steps);
        }
    }

    fn link_entered(&mut self, host: usize, peer: PeerId, venue: &str) {
        let peers = self.world.hosts[host].node.ours().peers();
        let peers: Vec<PeerId> = peers.map(|it| it.id()).collect();
        let mut own = Vec::new();
        for id in peers {
            if let Some((None, name)) = self.met(host, id) {
                own.push((id, name));
            }
        }
        let passing = &mut self.linked.get_mut(&host).expect("linked").passing;
        passing.link(peer, venue);
        for (node, name) in own {
            if let Some(told) = passing.names(peer, &name) {
                passing.tell(peer, node, told);
            }
        }
    }

    fn carry_out(&mut self, host: usize, steps: Vec<Step>) {
        for step in steps {
            let linked = self.linked.get_mut(&host).expect("linked");
            match step {
                Step::Enter(node, _) => {
                    linked.entered += 1;
                    assert!(linked.shown.insert(node), "PASSHEAR-1 at {host}: twice");
                }
                Step::Exit(node, _) => {
                    assert!(
                        linked.shown.remove(&node),
                        "PASSHEAR-1 at {host}: not there"
                    );
                }
                step => panic!("{step:?}"),
            }
        }
    }

    fn send(&mut self, host: usize) {
        let linked = self.linked.get_mut(&host).expect("linked");
        let mut items = Vec::new();
        for link in linked.passing.waiting() {
            while let Some(item) = linked.passing.outbox(link).and_then(|it| it.pop()) {
                items.push((link, item));
            }
        }
        for (link, item) in items {
            let node = item.node();
            let passed = match item {
                Item::Enter(node) => match self.met(host, node) {
                    Some((_, name)) => {
                        let introduction = Introduction { name };
                        Passed::Enter(introduction, Bytes::from_static(b"{}"))
                    }
                    None => continue,
                },
                Item::Leave(_) => Passed::Leave,
                Item::Ask(_) => Passed::Ask,
                item => panic!("{item:?}"),
            };
            // A link that has ended within this step is told next.
            let _ = self.world.with(host, |bridge, now| {
                bridge.ours().whisper(now, link, write(node, passed))
            });
        }
    }

    /// Cuts some links and ends some bridges, for up to 40 s.
    fn trouble(&mut self) {
        for _ in 0..4 {
            for _ in 0..3 {
                let link = self.world.rng.random_range(0..self.links.len());
                let (a, b) = self.links[link];
                self.world.cut(a, b);
            }
            let host = self.world.rng.random_range(0..VENUES * BRIDGES);
            self.restart(host);
            let links: Vec<usize> = self.linked.keys().copied().collect();
            let host = links[self.world.rng.random_range(0..links.len())];
            self.restart(host);
            let time = self.world.rng.random_range(500..10_000);
            self.run(Duration::from_millis(time));
        }
    }
}

fn run(topology: Topology, seed: u64) -> String {
    let mut venues = Venues::open(seed, topology);
    let start = venues.complete("after the start");
    let rest = venues.rest();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        venues.trouble();
        venues.world.heal();
        slowest = slowest.max(venues.complete("after cuts and restarts"));
    }
    format!(
        "| {topology} | {} | {} | {:.1} s | {:.1} s | {:.2}, {:.0} | {:.1}, {:.0} |",
        venues.links.len(),
        venues
            .linked
            .values()
            .map(|it| it.shown.len())
            .sum::<usize>(),
        start.as_secs_f64(),
        slowest.as_secs_f64(),
        rest.link.0,
        rest.link.1,
        rest.venue.0,
        rest.venue.1,
    )
}

#[test]
fn twenty_venues_of_five_bridges_show_each_node_once_over_any_topology() {
    let more = std::env::var("SIMULATION_SEEDS").ok();
    let more: u64 = more.map_or(0, |count| count.parse().expect("a count"));
    println!(
        "| topology | links | nodes passed | start | after trouble | link, packets and octets | venue |"
    );
    for topology in Topology::ALL {
        for seed in 0..=more {
            let result = std::panic::catch_unwind(|| run(topology, seed));
            match result {
                Ok(line) => println!("{line}"),
                Err(panic) => {
                    eprintln!("failed with seed {seed}: {topology}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

#[test]
fn a_node_that_two_bridges_of_its_venue_pass_on_stays_while_one_of_them_does() {
    // Both bridges 0 and 1 of venue 0 are linked with bridge 0 of venue 1.
    let mut venues = Venues::open(7, Topology::Twice);
    venues.complete("after the start");
    let node = venues.world.hosts[2].id;
    venues.world.cut(0, BRIDGES);
    venues.run(Duration::from_secs(30));
    assert!(venues.linked[&BRIDGES].shown.contains(&node));
    venues.world.cut(1, BRIDGES);
    venues.run(Duration::from_secs(30));
    assert!(!venues.linked[&BRIDGES].shown.contains(&node));
    venues.world.heal();
    venues.complete("after the cuts");
}
