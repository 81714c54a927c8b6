//! Whole meshes under a virtual clock: what the bridges of a hall live through.
//!
//! A failure prints its seed. `SIMULATION_SEEDS=500` runs each test that many times
//! more, with further seeds.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod mesh;

use std::time::Duration;

use bytes::Bytes;
use mesh::old::{Kind, numbered};
use mesh::{Node, World};
use rand::Rng;
use zocp_zre::{
    Beacon, Content, DialEnd, Event, ExitReason, HEADER_BRIDGE, PeerId, SendError, SharedWay,
};

/// Runs a test for several seeds and says which one failed.
fn for_seeds(seeds: std::ops::Range<u64>, test: impl Fn(&mut World)) {
    let more = std::env::var("SIMULATION_SEEDS").ok();
    let more: u64 = more.map_or(0, |count| count.parse().expect("a count"));
    let further = (0..more).map(|n| 1000 * (n + 1) + seeds.start);
    for seed in seeds.clone().chain(further) {
        let mut world = World::new(seed);
        let run = std::panic::AssertUnwindSafe(|| test(&mut world));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn bridges(world: &mut World, count: usize) {
    for index in 0..count {
        let mut config = world.config();
        config.headers = vec![(HEADER_BRIDGE.into(), "1".into())];
        config.groups = vec!["ZOCP".try_into().expect("a name")];
        if index % 3 == 0 {
            config.groups.push("lights".try_into().expect("a name"));
        }
        world.add(config);
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Everyone who lives sees everyone who lives, in the groups that they are in.
fn assert_converged(world: &mut World) {
    let alive: Vec<usize> = (0..world.hosts.len())
        .filter(|host| world.hosts[*host].alive)
        .collect();
    for &a in &alive {
        for &b in &alive {
            if a == b {
                continue;
            }
            let id = world.hosts[b].id;
            let mut own: Vec<String> = world.hosts[b]
                .node
                .ours()
                .own_groups()
                .iter()
                .map(ToString::to_string)
                .collect();
            let view = world.hosts[a].node.ours().peer(id);
            let view = view.unwrap_or_else(|| panic!("{a} does not see {b}"));
            let mut seen: Vec<String> = view.groups().iter().map(ToString::to_string).collect();
            own.sort();
            seen.sort();
            assert_eq!(seen, own, "{a} sees other groups of {b}");
            assert!(!view.is_evasive());
        }
        let seen = world.hosts[a].node.ours().peers().count();
        assert_eq!(seen, alive.len() - 1, "{a} sees ghosts");
    }
}

fn numbers(events: &[Event], from: PeerId) -> Vec<u32> {
    let numbers = events.iter().filter_map(|event| match event {
        Event::Whispered { peer, content } if *peer == from => {
            Some(u32::from_be_bytes((&*content[0]).try_into().expect("4")))
        }
        _ => None,
    });
    numbers.collect()
}

fn exits(events: &[Event]) -> Vec<ExitReason> {
    let exits = events.iter().filter_map(|event| match event {
        Event::Exited { reason, .. } => Some(*reason),
        _ => None,
    });
    exits.collect()
}

#[test]
fn fifty_nodes_see_each_other_in_a_moment_and_never_flap() {
    for_seeds(0..3, |world| {
        bridges(world, 50);
        world.run(millis(100));
        assert_converged(world);
        world.run(seconds(60));
        assert_converged(world);
        for host in 0..50 {
            assert_eq!(exits(&world.take_events(host)), [], "{host}");
        }
    });
}

#[test]
fn lost_beacons_delay_a_meeting_and_break_nothing() {
    for_seeds(10..14, |world| {
        world.beacon_loss = 0.6;
        bridges(world, 20);
        world.run(seconds(20));
        assert_converged(world);
        world.run(seconds(120));
        for host in 0..20 {
            assert_eq!(exits(&world.take_events(host)), [], "{host}");
        }
    });
}

#[test]
fn a_cut_network_expires_and_comes_together_again() {
    for_seeds(20..24, |world| {
        bridges(world, 12);
        world.run(seconds(2));
        for a in 0..6 {
            (6..12).for_each(|b| world.cut(a, b));
        }
        // The last command of each was at most 5 s before.
        world.run(seconds(24));
        assert_eq!(world.hosts[0].node.ours().peers().count(), 11);
        world.run(seconds(10));
        assert_eq!(world.hosts[0].node.ours().peers().count(), 5);
        let gone = exits(&world.take_events(0));
        assert_eq!(gone, [ExitReason::Expired; 6]);
        world.run(seconds(60));
        world.heal();
        world.run(seconds(15));
        assert_converged(world);
    });
}

#[test]
fn a_short_cut_loses_no_message() {
    for_seeds(30..34, |world| {
        bridges(world, 2);
        world.run(seconds(1));
        let ids = [world.hosts[0].id, world.hosts[1].id];
        for n in 0..300 {
            if n == 100 {
                world.cut(0, 1);
            }
            if n == 200 {
                world.heal();
            }
            let send = |node: &mut dyn Node, now| node.ours().whisper(now, ids[1], numbered(n));
            world.with(0, send).expect("sent");
            world.run(millis(100));
        }
        world.run(seconds(2));
        let events = world.take_events(1);
        assert_eq!(numbers(&events, ids[0]), (0..300).collect::<Vec<_>>());
        assert_eq!(exits(&events), []);
    });
}

#[test]
fn broken_connections_deaths_and_restarts_end_in_agreement() {
    for_seeds(40..60, |world| {
        world.beacon_loss = 0.1;
        bridges(world, 10);
        world.run(seconds(2));
        for _ in 0..60 {
            let (a, b) = (world.rng.random_range(0..10), world.rng.random_range(0..10));
            match world.rng.random_range(0..6) {
                0 | 1 if a != b => world.reset(a, b),
                2 if a != b => world.cut(a, b),
                3 => world.heal(),
                4 => {
                    let config = world.config();
                    world.restart(a, config);
                }
                _ => {
                    let group = format!("group{}", b % 4);
                    let result = world.with(a, |node, now| node.ours().join(now, &group));
                    if result == Ok(false) {
                        let _ = world.with(a, |node, now| node.ours().leave(now, &group));
                    }
                }
            }
            let pause = world.rng.random_range(1..4000);
            world.run(millis(pause));
        }
        world.heal();
        world.run(seconds(60));
        assert_converged(world);
        (0..10).for_each(|host| drop(world.take_events(host)));
        world.run(seconds(60));
        for host in 0..10 {
            assert_eq!(exits(&world.take_events(host)), [], "{host} flaps");
        }
    });
}

#[test]
fn a_host_that_sleeps_is_met_again_however_long_it_slept() {
    for_seeds(120..150, |world| {
        bridges(world, 5);
        world.run(seconds(3));
        for _ in 0..4 {
            let host = world.rng.random_range(0..5);
            world.sleep(host);
            let time = world.rng.random_range(1..90_000);
            world.run(millis(time));
            world.wake(host);
            let pause = world.rng.random_range(1..10_000);
            world.run(millis(pause));
        }
        world.run(seconds(60));
        assert_converged(world);
        (0..5).for_each(|host| drop(world.take_events(host)));
        world.run(seconds(60));
        for host in 0..5 {
            assert_eq!(exits(&world.take_events(host)), [], "{host} flaps");
        }
    });
}

#[test]
fn a_nap_is_no_parting_and_nothing_said_in_it_is_lost() {
    for_seeds(150..160, |world| {
        bridges(world, 3);
        world.run(seconds(2));
        let ids = [world.hosts[0].id, world.hosts[1].id];
        world.sleep(1);
        for n in 0..200 {
            let send = |node: &mut dyn Node, now| node.ours().whisper(now, ids[1], numbered(n));
            world.with(0, send).expect("sent");
            world.run(millis(100));
        }
        world.wake(1);
        world.run(seconds(5));
        let events = world.take_events(1);
        assert_eq!(numbers(&events, ids[0]), (0..200).collect::<Vec<_>>());
        for host in [0, 1, 2] {
            assert_eq!(exits(&world.take_events(host)), []);
        }
        assert_eq!(exits(&events), []);
    });
}

/// Its process hangs; what sends its beacons does not.
#[test]
fn who_hangs_is_evasive_then_gone_although_it_beacons_and_is_met_again_when_it_goes_on() {
    for_seeds(160..170, |world| {
        world.add_old(Kind::Zyre);
        world.add_old(Kind::Pyre);
        bridges(world, 3);
        world.run(seconds(40));
        for host in 2..5 {
            assert_eq!(exits(&world.take_events(host)), [], "idle is not gone");
        }
        let hung = world.rng.random_range(0..3);
        let (id, addr) = (world.hosts[hung].id, world.hosts[hung].addr);
        world.sleep(hung);
        let beacon = Beacon::V1 {
            id,
            port: mesh::PORT,
        }
        .encode();
        let evasive = Event::Evasive { peer: id };
        for second in 0..33 {
            for host in (2..5).filter(|host| *host != hung) {
                let now = world.now;
                world.hosts[host].node.beacon(now, addr, &beacon);
                let events = &world.hosts[host].events;
                assert!(second < 7 || events.contains(&evasive), "{host}");
            }
            world.run(seconds(1));
        }
        for host in (2..5).filter(|host| *host != hung) {
            let events = world.take_events(host);
            assert_eq!(exits(&events), [ExitReason::Expired], "{host}");
            assert_eq!(world.hosts[host].node.ours().peers().count(), 3);
        }
        world.wake(hung);
        world.run(seconds(60));
        for host in (2..5).filter(|host| *host != hung) {
            assert_eq!(world.hosts[host].node.ours().peers().count(), 4, "{host}");
        }
    });
}

#[test]
fn order_holds_within_every_stay_however_connections_break() {
    for_seeds(60..66, |world| {
        bridges(world, 3);
        world.run(seconds(1));
        let id = world.hosts[1].id;
        for n in 0..3000 {
            let send = |node: &mut dyn Node, now| node.ours().whisper(now, id, numbered(n));
            let _ = world.with(0, send);
            if world.rng.random_range(0..200) == 0 {
                world.reset(0, 1);
            }
            world.run(Duration::from_micros(500));
        }
        world.run(seconds(5));
        let from = world.hosts[0].id;
        let events = world.take_events(1);
        let stays = events.split(|e| matches!(e, Event::Exited { peer, .. } if *peer == from));
        for stay in stays {
            let numbers = numbers(stay, from);
            assert!(
                numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "a gap within a stay"
            );
        }
    });
}

#[test]
fn a_node_that_dies_is_gone_at_once_and_its_successor_on_the_same_port_is_let_in() {
    for_seeds(70..74, |world| {
        bridges(world, 4);
        world.run(seconds(3));
        let config = world.config();
        world.restart(2, config);
        world.run(millis(300));
        assert_converged(world);
        let gone = exits(&world.take_events(0));
        assert_eq!(gone, [ExitReason::LinkClosed]);
        world.kill(2);
        world.run(millis(20));
        assert_eq!(world.hosts[0].node.ours().peers().count(), 2);
    });
}

#[test]
fn a_goodbye_is_believed_at_once() {
    for_seeds(80..82, |world| {
        bridges(world, 3);
        world.run(seconds(1));
        world.with(1, |node, now| node.ours().shutdown(now));
        world.run(millis(20));
        let events = world.take_events(0);
        assert_eq!(exits(&events).len(), 1);
        world.run(seconds(40));
        assert_eq!(world.hosts[0].node.ours().peers().count(), 1);
    });
}

/// A node that says to be another, with all that belongs to it, and goodbyes in that one's name: nobody who knows
/// the true one notices.
#[test]
fn who_takes_the_identity_of_a_present_node_takes_nothing_else() {
    for_seeds(82..88, |world| {
        bridges(world, 3);
        world.run(seconds(1));
        let id = world.hosts[1].id;
        let mut config = world.config();
        config.id = id;
        world.add(config);
        for host in 0..3 {
            world.take_events(host);
        }
        let goodbye = Beacon::V1 { id, port: 0 }.encode();
        let source = world.hosts[1].addr;
        for _ in 0..20 {
            for host in [0, 2] {
                let now = world.now;
                world.hosts[host].node.beacon(now, source, &goodbye);
            }
            world.run(seconds(1));
        }
        for host in 0..3 {
            assert_eq!(exits(&world.take_events(host)), [], "at host {host}");
        }
        let content = Content::from_iter([Bytes::from_static(b"still here")]);
        world.with(1, |node, now| {
            node.ours().shout(now, "ZOCP", content).unwrap()
        });
        world.run(seconds(1));
        for host in [0, 2] {
            let events = world.take_events(host);
            let shouts = events.iter().filter(|e| matches!(e, Event::Shouted { .. }));
            assert_eq!(shouts.count(), 1, "at host {host}");
        }
    });
}

#[test]
fn manual_peers_meet_without_any_beacon_and_are_sought_for_ever() {
    for_seeds(90..94, |world| {
        for _ in 0..4 {
            let mut config = world.config();
            config.beacon = false;
            world.add(config);
        }
        let hub = format!("tcp://{}", world.hosts[0].addr);
        for host in 1..4 {
            let result = world.with(host, |node, now| node.ours().connect(now, &hub));
            assert_eq!(result, Ok(()));
        }
        world.run(seconds(1));
        assert_eq!(world.hosts[0].node.ours().peers().count(), 3);
        world.run(seconds(100));
        for host in 0..4 {
            assert_eq!(exits(&world.take_events(host)), []);
        }
        world.kill(0);
        world.run(seconds(100));
        assert_eq!(world.hosts[1].node.ours().peers().count(), 0);
        let mut config = world.config();
        config.beacon = false;
        world.restart(0, config);
        world.run(seconds(7));
        assert_eq!(world.hosts[0].node.ours().peers().count(), 3);
    });
}

#[test]
fn beacons_and_manual_endpoints_of_one_node_make_one_peer() {
    for_seeds(100..104, |world| {
        bridges(world, 3);
        for (from, to) in [(0, 1), (1, 0), (2, 0)] {
            let endpoint = format!("tcp://{}", world.hosts[to].addr);
            let result = world.with(from, |node, now| node.ours().connect(now, &endpoint));
            assert_eq!(result, Ok(()));
        }
        world.run(seconds(60));
        assert_converged(world);
        for host in 0..3 {
            assert_eq!(exits(&world.take_events(host)), [], "{host}");
        }
    });
}

/// Whispers past the wrap from a bridge to an old peer: none is lost, in order.
fn past_the_wrap_to(kind: Kind) {
    for_seeds(110..111, |world| {
        let old = world.add_old(kind);
        bridges(world, 1);
        world.run(seconds(2));
        let (old_id, our_id) = (world.hosts[old].id, world.hosts[1].id);
        let mut sent = 0;
        while sent < 140_000 {
            let send = |node: &mut dyn Node, now| node.ours().whisper(now, old_id, numbered(sent));
            match world.with(1, send) {
                Ok(()) => sent += 1,
                Err(SendError::Busy) => world.run(millis(1)),
                Err(error) => panic!("{error} at {sent}"),
            }
            if sent % 1000 == 0 {
                world.run(millis(3));
                if sent % 10_000 == 0 {
                    let toggle = |node: &mut dyn Node, now| match node.ours().join(now, "g") {
                        Ok(false) => node.ours().leave(now, "g"),
                        other => other,
                    };
                    let _ = world.with(1, toggle);
                }
            }
        }
        world.run(seconds(5));
        let events = world.take_events(old);
        assert!(numbers(&events, our_id).into_iter().eq(0..140_000));
        let ours = world.take_events(1);
        assert_eq!(exits(&ours), []);
        let renewed = ours.iter().filter(|e| matches!(e, Event::Renewed { .. }));
        assert_eq!(renewed.count(), 2);
        assert_eq!(exits(&events).len(), 2, "what the protocol forces");
        let own = world.hosts[1].node.ours().own_groups().len();
        assert_eq!(world.hosts[old].node.old().groups_of(our_id).len(), own);
    });
}

#[test]
fn whispers_to_a_zyre_pass_the_wrap() {
    past_the_wrap_to(Kind::Zyre);
}

#[test]
fn whispers_to_a_pyre_pass_the_wrap() {
    past_the_wrap_to(Kind::Pyre);
}

/// Whispers past the wrap from an old peer to a bridge.
fn past_the_wrap_from(kind: Kind) {
    for_seeds(120..121, |world| {
        let old = world.add_old(kind);
        bridges(world, 1);
        world.run(seconds(2));
        let (old_id, our_id) = (world.hosts[old].id, world.hosts[1].id);
        for n in 0..140_000 {
            world.with(old, |node, _| node.old().whisper(our_id, numbered(n)));
            if n % 1000 == 0 {
                world.run(millis(3));
            }
        }
        world.run(seconds(5));
        let events = world.take_events(1);
        assert!(numbers(&events, old_id).into_iter().eq(0..140_000));
        assert_eq!(exits(&events), []);
    });
}

#[test]
fn whispers_from_a_zyre_pass_the_wrap() {
    past_the_wrap_from(Kind::Zyre);
}

#[test]
fn whispers_from_a_pyre_pass_the_wrap() {
    past_the_wrap_from(Kind::Pyre);
}

#[test]
fn whispers_between_bridges_pass_the_wrap_without_a_stop() {
    for_seeds(130..131, |world| {
        bridges(world, 2);
        world.run(seconds(1));
        let (from, to) = (world.hosts[0].id, world.hosts[1].id);
        for n in 0..140_000 {
            let send = |node: &mut dyn Node, now| node.ours().whisper(now, to, numbered(n));
            assert_eq!(world.with(0, send), Ok(()));
            if n % 1000 == 0 {
                world.run(millis(3));
            }
        }
        world.run(seconds(1));
        assert!(
            numbers(&world.take_events(1), from)
                .into_iter()
                .eq(0..140_000)
        );
        let ours = world.take_events(0);
        assert!(!ours.iter().any(|e| matches!(e, Event::Renewed { .. })));
    });
}

#[test]
fn old_and_new_peers_live_together_through_resets() {
    for_seeds(140..148, |world| {
        let zyre = world.add_old(Kind::Zyre);
        let pyre = world.add_old(Kind::Pyre);
        bridges(world, 2);
        world.run(seconds(40));
        for host in [2, 3] {
            assert_eq!(exits(&world.take_events(host)), [], "idle is not gone");
        }
        for _ in 0..10 {
            let (a, b) = (world.rng.random_range(0..2), world.rng.random_range(2..4));
            world.reset(a, b);
            let pause = world.rng.random_range(1..5000);
            world.run(millis(pause));
        }
        world.run(seconds(40));
        for ours in [2, 3] {
            let id = world.hosts[ours].id;
            assert_eq!(world.hosts[ours].node.ours().peers().count(), 3, "{ours}");
            for old in [zyre, pyre] {
                assert!(world.hosts[old].node.old().knows(id), "{old} and {ours}");
                world.take_events(old);
                let old_id = world.hosts[old].id;
                let send = |node: &mut dyn Node, now| node.ours().whisper(now, old_id, numbered(7));
                world.with(ours, send).expect("sent");
                world.run(millis(50));
                assert_eq!(numbers(&world.take_events(old), id), [7]);
            }
        }
    });
}

/// Bridges that can share connections, of which the first is behind a router that lets no connection in.
fn walled_bridges(world: &mut World, count: usize, end: DialEnd) {
    for _ in 0..count {
        let mut config = world.config();
        config.headers = vec![(HEADER_BRIDGE.into(), "1".into())];
        config.groups = vec!["ZOCP".try_into().expect("a name")];
        config.shares = true;
        world.add(config);
    }
    world.walled.insert(0, end);
}

#[test]
fn a_node_that_cannot_be_dialed_is_answered_on_its_own_connection_and_nothing_is_lost() {
    for (seeds, end) in [(90..93, DialEnd::TimedOut), (93..96, DialEnd::Refused)] {
        for_seeds(seeds, |world| {
            walled_bridges(world, 5, end);
            world.run(seconds(3));
            assert_converged(world);
            for other in 1..5 {
                let (first, second) = (world.hosts[0].id, world.hosts[other].id);
                let way = |world: &mut World, at: usize, of| {
                    let peer = world.hosts[at].node.ours().peer(of).expect("met");
                    assert!(!peer.is_unreachable());
                    peer.shared()
                };
                assert_eq!(way(world, 0, second), Some(SharedWay::Ours));
                assert_eq!(way(world, other, first), Some(SharedWay::Theirs));
            }
            let (near, far) = (world.hosts[0].id, world.hosts[1].id);
            let to = |to: PeerId| {
                move |node: &mut dyn Node, now| {
                    (0..70_000_u32).for_each(|n| {
                        let sent = node.ours().whisper(now, to, numbered(n));
                        sent.expect("room");
                    });
                }
            };
            world.with(0, to(far));
            world.with(1, to(near));
            world.run(seconds(2));
            for (at, from) in [(0, far), (1, near)] {
                let events = world.take_events(at);
                let expected: Vec<u32> = (0..70_000).collect();
                assert!(numbers(&events, from) == expected, "at {at}");
                assert_eq!(exits(&events), [], "at {at}");
            }
            world.run(seconds(60));
            for host in 0..5 {
                assert_eq!(exits(&world.take_events(host)), [], "{host}");
            }
        });
    }
}

#[test]
fn a_shared_connection_that_is_cut_is_noticed_in_ten_seconds_and_comes_back() {
    for_seeds(96..106, |world| {
        walled_bridges(world, 3, DialEnd::TimedOut);
        world.run(seconds(3));
        assert_converged(world);
        world.cut(0, 1);
        world.run(millis(10_600));
        for (at, of) in [(0, 1), (1, 0)] {
            let id = world.hosts[of].id;
            assert!(
                world.hosts[at].node.ours().peer(id).is_none(),
                "{at} still sees {of}"
            );
            let events = world.take_events(at);
            assert_eq!(exits(&events), [ExitReason::Expired], "{at}");
        }
        assert_eq!(exits(&world.take_events(2)), []);
        world.heal();
        world.run(seconds(12));
        assert_converged(world);
    });
}

#[test]
fn whichever_end_of_a_shared_connection_dies_the_other_notices_at_once_and_meets_the_next() {
    for_seeds(106..112, |world| {
        walled_bridges(world, 3, DialEnd::Refused);
        world.run(seconds(2));
        assert_converged(world);
        for dead in [0, 1] {
            world.kill(dead);
            world.run(millis(50));
            let id = world.hosts[dead].id;
            let other = 1 - dead;
            assert!(world.hosts[other].node.ours().peer(id).is_none());
            let mut config = world.config();
            config.headers = vec![(HEADER_BRIDGE.into(), "1".into())];
            config.groups = vec!["ZOCP".try_into().expect("a name")];
            config.shares = true;
            world.restart(dead, config);
            world.run(seconds(7));
            assert_converged(world);
        }
    });
}

#[test]
fn connections_that_break_on_both_sides_of_a_wall_come_back() {
    for_seeds(112..124, |world| {
        walled_bridges(world, 4, DialEnd::TimedOut);
        world.run(seconds(3));
        for _ in 0..20 {
            let other = world.rng.random_range(1..4);
            world.reset(0, other);
            let pause = world.rng.random_range(1..1500);
            world.run(millis(pause));
        }
        world.run(seconds(12));
        assert_converged(world);
    });
}

#[test]
fn old_nodes_are_told_nothing_on_the_connections_that_they_opened() {
    for_seeds(124..127, |world| {
        walled_bridges(world, 2, DialEnd::TimedOut);
        for kind in [Kind::Pyre, Kind::Zyre] {
            let old = world.add_old(kind);
            world.walled.insert(old, DialEnd::TimedOut);
        }
        // A message on such a connection would end this test.
        world.run(seconds(60));
        let (first, second) = (world.hosts[0].id, world.hosts[1].id);
        assert!(world.hosts[0].node.ours().peer(second).is_some());
        assert!(world.hosts[1].node.ours().peer(first).is_some());
    });
}
