//! Secure meshes: who is met, whose word counts, who is let go.

use super::*;
use crate::output::{ConnectError, LinkError, RejectReason};
use crate::{FirstUse, NodeKey, Security, Stranger};

fn key(number: u8) -> NodeKey {
    NodeKey::new([number; 32])
}

/// A node with key 100 that trusts the keys 1 to 4.
fn secure() -> Bench {
    secure_with(FirstUse::Refuse)
}

fn secure_with(first_use: FirstUse) -> Bench {
    Bench::with(|config| {
        config.security = Some(Security {
            key: key(100),
            trusted: (1..=4).map(key).collect(),
            learned: vec![(key(5), "five".into())],
            barred: vec![key(6)],
            first_use,
        });
    })
}

fn beacon_v3(id: u8, port: u16, key_number: u8) -> crate::BeaconOctets {
    let (id, key) = (peer_id(id), key(key_number));
    Beacon::V3 { id, port, key }.encode()
}

impl Bench {
    fn beacon_v3(&mut self, id: u8, at: u8, port: u16, key_number: u8) {
        let from = ([10, 0, 0, at], 5669).into();
        let octets = beacon_v3(id, port, key_number);
        self.zre.handle_beacon(self.now, from, &octets);
    }

    fn dialed_with_key(&mut self) -> Vec<(DialId, NodeKey)> {
        let outputs = self.outputs().into_iter();
        let dials = outputs.filter_map(|output| match output {
            Output::Dial { dial, key, .. } => Some((dial, key.unwrap())),
            _ => None,
        });
        dials.collect()
    }

    fn secure_link(&mut self, id: u8, at: u8, key_number: u8) -> Result<LinkId, LinkError> {
        self.links += 1;
        let link = LinkId(self.links);
        let identity = peer_id(id).routing_id();
        let remote = peer_addr(at);
        self.zre
            .secure_link_opened(self.now, link, remote, &identity, key(key_number))?;
        Ok(link)
    }

    fn hello_on(&mut self, link: LinkId, at: u8) {
        self.hello_named(link, at, &format!("node {at}"));
    }

    fn hello_named(&mut self, link: LinkId, at: u8, name: &str) {
        let mut hello = hello_of(peer_addr(at));
        hello.name = name.into();
        self.say_on(link, &Command::Hello(Box::new(hello)), 1, Content::new());
    }

    /// A peer that is here with the key of its number.
    fn meet_secure(&mut self, number: u8) -> LinkId {
        let link = self.secure_link(number, number, number).unwrap();
        self.hello_on(link, number);
        let (dial, _) = self.dialed_with_key()[0];
        self.ready(dial, peer_addr(number));
        self.outputs();
        link
    }

    fn is_here(&self, number: u8) -> bool {
        self.zre.peer(peer_id(number)).is_some()
    }
}

// protocol.md §8.5
#[test]
fn our_beacon_tells_our_key_also_when_we_leave() {
    let mut bench = secure_with(FirstUse::Refuse);
    bench.zre.announce(bench.now);
    assert_eq!(bench.outputs(), []);
    let mut bench = Bench::with(|config| {
        config.beacon = true;
        config.security = Some(Security {
            key: key(100),
            trusted: Vec::new(),
            learned: Vec::new(),
            barred: Vec::new(),
            first_use: FirstUse::Refuse,
        });
    });
    let here = Output::Beacon(beacon_v3(100, OUR_PORT, 100));
    assert_eq!(bench.outputs(), [here]);
    bench.zre.shutdown(bench.now);
    let gone = Output::Beacon(beacon_v3(100, 0, 100));
    assert_eq!(bench.outputs(), [gone]);
}

// protocol.md §8.4
#[test]
fn who_is_trusted_is_dialed_with_the_key_that_it_must_have() {
    let mut bench = secure();
    bench.beacon_v3(1, 1, PEER_PORT, 1);
    let dialed = bench.dialed_with_key();
    assert!(matches!(dialed[..], [(_, with)] if with == key(1)));
}

#[test]
fn who_is_not_trusted_is_a_stranger_and_nothing_else() {
    let mut bench = secure();
    for _ in 0..3 {
        bench.beacon_v3(9, 9, PEER_PORT, 9);
    }
    let events = bench.outputs();
    let [Output::Event(Event::StrangerHeard(stranger))] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((stranger.id, stranger.key), (peer_id(9), key(9)));
    assert_eq!(stranger.from, peer_addr(9));
    let times = 3;
    assert_eq!(bench.zre.strangers(), [Stranger { times, ..*stranger }]);
    let now = bench.now;
    let identity = peer_id(9).routing_id();
    assert!(!bench.zre.may_enter(now, peer_addr(9), key(9), &identity));
    assert_eq!(bench.secure_link(9, 9, 9), Err(LinkError::Untrusted));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn the_two_kinds_of_mesh_do_not_hear_each_other() {
    let mut bench = secure();
    bench.beacon(peer_id(1), peer_addr(1), PEER_PORT);
    let identity = peer_id(1).routing_id();
    let plain = bench
        .zre
        .link_opened(bench.now, LinkId(7), peer_addr(1), &identity);
    assert_eq!(plain, Err(LinkError::Untrusted));
    assert_eq!(bench.outputs(), []);
    let mut bench = Bench::new();
    bench.beacon_v3(1, 1, PEER_PORT, 1);
    assert_eq!(bench.secure_link(1, 1, 1), Err(LinkError::Untrusted));
    assert_eq!(bench.outputs(), []);
    assert!(!bench.zre.trust(key(1)) && !bench.zre.is_secure());
}

#[test]
fn a_greeting_makes_a_trusted_node_present_with_its_key() {
    let mut bench = secure();
    let link = bench.secure_link(1, 1, 1).unwrap();
    bench.hello_on(link, 1);
    let dialed = bench.dialed_with_key();
    assert!(matches!(dialed[..], [(_, with)] if with == key(1)));
    assert_eq!(bench.zre.peer(peer_id(1)).unwrap().key(), Some(key(1)));
}

// protocol.md §8.6
#[test]
fn a_node_that_is_here_keeps_its_identity_against_other_trusted_keys() {
    let mut bench = secure();
    bench.meet_secure(1);
    let thief = bench.secure_link(1, 2, 2).unwrap();
    bench.hello_on(thief, 2);
    let outputs = bench.outputs();
    let refused = Output::Event(Event::PeerRejected {
        remote: peer_addr(2),
        why: RejectReason::IdentityTaken,
    });
    assert_eq!(outputs, [Output::HangUpLink(thief), refused]);
    bench.beacon_v3(1, 2, PEER_PORT, 2);
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.zre.peer(peer_id(1)).unwrap().key(), Some(key(1)));
}

// protocol.md §8.6
#[test]
fn a_proved_key_outweighs_what_a_beacon_told() {
    let mut bench = secure();
    // Somebody tells the UUID of a node with another trusted key, and where to find it.
    bench.beacon_v3(1, 9, PEER_PORT, 2);
    let lured = bench.dialed_with_key();
    assert!(matches!(lured[..], [(_, with)] if with == key(2)));
    let link = bench.secure_link(1, 1, 1).unwrap();
    bench.hello_on(link, 1);
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpDial(lured[0].0)));
    let redialed = |o: &Output| matches!(o, Output::Dial { endpoint, key: Some(with), .. } if *with == key(1) && endpoint.to_string() == "tcp://10.0.0.1:49152");
    assert!(outputs.iter().any(redialed), "{outputs:?}");
    assert!(bench.is_here(1));
}

// protocol.md §8.6
#[test]
fn a_forged_goodbye_and_a_forged_sign_of_life_do_nothing_to_who_is_connected() {
    let mut bench = secure();
    bench.meet_secure(1);
    bench.beacon_v3(1, 1, 0, 1);
    assert!(bench.is_here(1));
    // Beacons go on, the connection is silent: it is gone when that has been so for too long.
    for _ in 0..40 {
        bench.pass(Duration::from_secs(1));
        bench.beacon_v3(1, 1, PEER_PORT, 1);
    }
    assert_eq!(bench.exits(), [ExitReason::Expired]);
}

#[test]
fn whoever_is_distrusted_is_gone_at_once_and_is_not_met_again() {
    let mut bench = secure();
    let link = bench.meet_secure(1);
    bench.meet_secure(2);
    let unhailed = bench.secure_link(3, 3, 1).unwrap();
    assert!(bench.zre.distrust(bench.now, key(1)));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpLink(link)));
    assert!(outputs.contains(&Output::HangUpLink(unhailed)));
    assert!(outputs.iter().any(|o| matches!(o, Output::HangUpDial(_))));
    let gone = |o: &Output| matches!(o, Output::Event(Event::Exited { reason: ExitReason::Distrusted, peer, .. }) if *peer == peer_id(1));
    assert!(outputs.iter().any(gone));
    assert!(!bench.is_here(1) && bench.is_here(2));
    bench.beacon_v3(1, 1, PEER_PORT, 1);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.dialed(), None);
    assert!(!bench.zre.distrust(bench.now, key(1)));
}

#[test]
fn whoever_is_trusted_is_met_when_it_is_heard_next() {
    let mut bench = secure();
    bench.beacon_v3(9, 9, PEER_PORT, 9);
    bench.outputs();
    assert!(bench.zre.trust(key(9)));
    assert!(!bench.zre.trust(key(9)));
    assert_eq!(bench.zre.strangers(), []);
    bench.beacon_v3(9, 9, PEER_PORT, 9);
    assert_eq!(bench.dialed_with_key().len(), 1);
    assert_eq!(bench.zre.trusted().count(), 6);
}

#[test]
fn on_first_use_a_key_is_trusted_when_its_node_has_entered() {
    let mut bench = secure_with(FirstUse::Trust);
    bench.beacon_v3(9, 9, PEER_PORT, 9);
    assert_eq!(bench.zre.trusted().count(), 5);
    bench.outputs();
    let link = bench.secure_link(9, 9, 9).unwrap();
    bench.hello_on(link, 9);
    let learned = Event::KeyLearned {
        peer: peer_id(9),
        key: key(9),
        name: "node 9".into(),
    };
    assert!(bench.events().contains(&learned));
    bench.zre.set_first_use(FirstUse::Refuse);
    assert!(bench.is_here(9));
    assert_eq!(bench.zre.trusted().count(), 6);
    assert_eq!(bench.secure_link(8, 8, 8), Err(LinkError::Untrusted));
}

// protocol.md §8.4
#[test]
fn what_was_learned_before_is_trusted_also_without_first_use() {
    let mut bench = secure();
    bench.beacon_v3(5, 5, PEER_PORT, 5);
    assert_eq!(bench.dialed_with_key().len(), 1);
}

// protocol.md §8.9
#[test]
fn on_first_use_another_key_under_a_name_that_was_learned_is_a_stranger_and_that_is_told() {
    let mut bench = secure_with(FirstUse::Trust);
    bench.beacon_v3(9, 9, PEER_PORT, 9);
    let dialed = bench.dialed_with_key();
    let link = bench.secure_link(9, 9, 9).unwrap();
    bench.hello_named(link, 9, "five");
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpLink(link)));
    assert!(outputs.contains(&Output::HangUpDial(dialed[0].0)));
    let refused = Output::Event(Event::NameRefused {
        remote: peer_addr(9),
        name: "five".into(),
        key: key(9),
        holder: key(5),
    });
    assert!(outputs.contains(&refused), "{outputs:?}");
    assert!(!bench.is_here(9));
    // It is not even let in to try another name, until somebody says that it is who it says.
    bench.beacon_v3(9, 9, PEER_PORT, 9);
    assert_eq!(bench.dialed_with_key(), []);
    assert_eq!(bench.secure_link(9, 9, 9), Err(LinkError::Untrusted));
    assert!(bench.zre.trust(key(9)));
    let link = bench.secure_link(9, 9, 9).unwrap();
    bench.hello_named(link, 9, "five");
    assert!(bench.is_here(9));
}

// protocol.md §8.9
#[test]
fn the_name_of_whoever_has_been_here_is_taken_too_and_trusted_keys_may_share_one() {
    let mut bench = secure_with(FirstUse::Trust);
    for number in [1, 2] {
        let link = bench.secure_link(number, number, number).unwrap();
        bench.hello_named(link, number, "desk");
        assert!(bench.is_here(number));
        bench.zre.link_closed(bench.now, link);
    }
    let link = bench.secure_link(9, 9, 9).unwrap();
    bench.hello_named(link, 9, "desk");
    assert!(!bench.is_here(9));
}

// protocol.md §8.4
#[test]
fn whoever_was_distrusted_is_not_trusted_on_first_use() {
    let mut bench = secure_with(FirstUse::Trust);
    assert_eq!(bench.secure_link(6, 6, 6), Err(LinkError::Untrusted));
    let link = bench.secure_link(9, 9, 9).unwrap();
    bench.hello_on(link, 9);
    assert!(bench.zre.distrust(bench.now, key(9)));
    assert!(!bench.is_here(9));
    assert_eq!(bench.secure_link(9, 9, 9), Err(LinkError::Untrusted));
}

// protocol.md §8.9
#[test]
fn so_many_keys_under_a_name_that_is_taken_are_remembered() {
    let mut bench = secure_with(FirstUse::Trust);
    for number in 20..85 {
        let link = bench.secure_link(number, number, number).unwrap();
        bench.hello_named(link, number, "five");
    }
    assert_eq!(bench.secure_link(21, 21, 21), Err(LinkError::Untrusted));
    let link = bench.secure_link(20, 20, 20).unwrap();
    bench.hello_named(link, 20, "five");
    assert!(!bench.is_here(20));
}

#[test]
fn so_many_keys_are_trusted_on_first_use_and_no_more() {
    let learned = |number: usize| {
        let mut octets = [200; 32];
        octets[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
        (NodeKey::new(octets), format!("{number}").into())
    };
    let mut bench = Bench::with(|config| {
        config.security = Some(Security {
            key: key(100),
            trusted: Vec::new(),
            learned: (1..crate::trust::LEARNED_MAX).map(learned).collect(),
            barred: Vec::new(),
            first_use: FirstUse::Trust,
        });
    });
    let link = bench.secure_link(8, 8, 8).unwrap();
    bench.hello_on(link, 8);
    assert_eq!(bench.secure_link(9, 9, 9), Err(LinkError::Untrusted));
    // Those that somebody has looked at do not count.
    bench.zre.trust(key(8));
    assert!(bench.secure_link(9, 9, 9).is_ok());
}

#[test]
fn an_endpoint_is_met_with_the_key_of_who_is_there() {
    let mut bench = secure();
    let endpoint = "tcp://10.0.0.1:49152";
    let (now, zre) = (bench.now, &mut bench.zre);
    assert_eq!(zre.connect(now, endpoint), Err(ConnectError::KeyUntrusted));
    let unknown = zre.connect_securely(now, endpoint, key(9));
    assert_eq!(unknown, Err(ConnectError::KeyUntrusted));
    zre.connect_securely(now, endpoint, key(1)).unwrap();
    let dialed = bench.dialed_with_key();
    assert!(matches!(dialed[..], [(_, with)] if with == key(1)));
    bench.ready(dialed[0].0, peer_addr(1));
    // Another one greets us meanwhile from there; it is not who was sought.
    let link = bench.secure_link(2, 1, 2).unwrap();
    bench.hello_on(link, 2);
    let link = bench.secure_link(1, 1, 1).unwrap();
    bench.hello_on(link, 1);
    assert_eq!(bench.zre.peer(peer_id(1)).unwrap().key(), Some(key(1)));
    let mut open = Bench::new();
    let unused = open.zre.connect_securely(open.now, endpoint, key(1));
    assert_eq!(unused, Err(ConnectError::KeyUnused));
}

#[test]
fn a_flood_of_made_up_keys_is_remembered_in_part_and_told_once_each() {
    let mut bench = secure();
    for number in 0..200_u8 {
        bench.beacon_v3(number, 9, PEER_PORT, number.wrapping_add(5));
    }
    let told = bench.events().len();
    assert_eq!((told, bench.zre.strangers().len()), (64, 64));
    bench.pass(Duration::from_secs(31));
    bench.beacon_v3(201, 9, PEER_PORT, 250);
    assert_eq!(bench.zre.strangers().len(), 64);
    assert!(bench.zre.strangers().iter().any(|s| s.key == key(250)));
}
