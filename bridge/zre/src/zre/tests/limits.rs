//! Every field of `Limits`, reached.

use super::*;
use crate::config::Limits;
use crate::output::{ConnectError, LinkError, RejectReason, SendError};

fn limited(change: impl FnOnce(&mut Limits)) -> Bench {
    Bench::with(|config| change(&mut config.limits))
}

#[test]
fn peers_max_ignores_beacons_and_refuses_hellos() {
    let mut bench = limited(|limits| limits.peers_max = 1);
    bench.meet(1);
    bench.beacon(peer_id(2), peer_addr(2), PEER_PORT);
    let full = Event::PeerRejected {
        remote: peer_addr(2),
        why: RejectReason::Full,
    };
    assert_eq!(bench.outputs(), [Output::Event(full)]);
    greet(&mut bench, 2);
    let told = bench.events();
    assert_eq!(told, [], "the same was said just now");
    assert!(bench.zre.peer(peer_id(2)).is_none());
}

/// A HELLO from nobody who was heard.
fn greet(bench: &mut Bench, number: u8) {
    let link = bench.open_link(peer_id(number), peer_addr(number));
    let hello = Command::Hello(Box::new(hello_of(peer_addr(number))));
    bench.say_on(link, &hello, 1, Content::new());
}

#[test]
fn who_greets_takes_the_place_of_who_was_only_heard() {
    let mut bench = limited(|limits| limits.peers_max = 2);
    bench.meet(1);
    bench.beacon(peer_id(2), peer_addr(2), PEER_PORT);
    bench.beacon(peer_id(3), peer_addr(3), PEER_PORT);
    greet(&mut bench, 4);
    assert!(bench.zre.peer(peer_id(4)).is_some());
    assert!(bench.zre.peer(peer_id(1)).is_some());
    // Nobody is left who was only heard.
    greet(&mut bench, 5);
    assert!(bench.zre.peer(peer_id(5)).is_none());
}

#[test]
fn peers_of_one_address_are_counted() {
    let mut bench = limited(|limits| limits.peers_per_address_max = 2);
    let at = |port: u16| ([10, 0, 0, 1], port).into();
    for number in 1..=3 {
        let port = 5000 + u16::from(number);
        bench.beacon(peer_id(number), at(5670), port);
    }
    let dialed = bench.outputs();
    let dials = dialed
        .iter()
        .filter(|output| matches!(output, Output::Dial { .. }));
    assert_eq!(dials.count(), 2);
    let full = Event::PeerRejected {
        remote: at(5003),
        why: RejectReason::AddressFull,
    };
    assert!(dialed.contains(&Output::Event(full)));
    bench.beacon(peer_id(4), peer_addr(4), PEER_PORT);
    assert!(bench.dialed().is_some(), "others are met");
}

/// What a HELLO names counts for who says it, not for who is there.
#[test]
fn peers_count_for_the_address_that_named_them() {
    let mut bench = limited(|limits| limits.peers_per_address_max = 3);
    for number in 1..=5 {
        name_elsewhere(&mut bench, number);
    }
    assert_eq!(bench.zre.peers().count(), 3);
    // Who is at one of the addresses that were named is met.
    greet(&mut bench, 104);
    assert!(bench.zre.peer(peer_id(104)).is_some());
}

/// A HELLO from 10.0.0.9 that names an endpoint at another address.
fn name_elsewhere(bench: &mut Bench, number: u8) {
    let remote = ([10, 0, 0, 9], 1000 + u16::from(number)).into();
    let link = bench.open_link(peer_id(number), remote);
    let hello = Command::Hello(Box::new(hello_of(peer_addr(100 + number))));
    bench.say_on(link, &hello, 1, Content::new());
}

#[test]
fn dials_count_for_the_address_that_causes_them_and_others_wait_for_their_turn() {
    let mut bench = limited(|limits| limits.dials_per_address_max = 4);
    let dials = |bench: &mut Bench| {
        let outputs = bench.outputs().into_iter();
        let dials = outputs.filter_map(|output| match output {
            Output::Dial { dial, .. } => Some(dial),
            _ => None,
        });
        dials.collect::<Vec<_>>()
    };
    for number in 1..=20 {
        name_elsewhere(&mut bench, number);
    }
    let first = dials(&mut bench);
    assert_eq!(first.len(), 4);
    // Others are dialed at once, also at an address that was named.
    bench.beacon(peer_id(50), peer_addr(50), PEER_PORT);
    bench.beacon(peer_id(51), peer_addr(101), PEER_PORT + 1);
    assert_eq!(dials(&mut bench).len(), 2);
    // One that is ready or has failed gives its slot to the next.
    bench.ready(first[0], peer_addr(101));
    bench.pass(Duration::ZERO);
    assert_eq!(dials(&mut bench).len(), 1);
    bench
        .zre
        .dial_closed(bench.now, first[1], DialEnd::TimedOut);
    bench.pass(Duration::ZERO);
    assert_eq!(dials(&mut bench).len(), 1);
    // All have their turn, though none of them answers.
    let mut made = 6;
    for _ in 0..6 {
        bench.pass(Duration::from_secs(5));
        made += dials(&mut bench).len();
    }
    assert!(made >= 20, "{made}");
}

/// Who waits for its turn and is not to be dialed any more for a while does not keep it from others.
#[test]
fn a_turn_goes_to_who_can_take_it() {
    let mut bench = limited(|limits| limits.dials_per_address_max = 1);
    name_elsewhere(&mut bench, 1);
    let (first, _) = bench.dialed().unwrap();
    name_elsewhere(&mut bench, 2);
    name_elsewhere(&mut bench, 3);
    // The third is the next, and goes.
    bench.zre.link_closed(bench.now, LinkId(bench.links));
    assert_eq!(bench.dialed(), None);
    bench.ready(first, peer_addr(101));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.dialed().unwrap().1, "tcp://10.0.0.102:49152");
}

#[test]
fn links_of_one_address_are_counted() {
    let mut bench = limited(|limits| limits.links_per_address_max = 1);
    bench.open_link(peer_id(1), peer_addr(1));
    let mut open = |number: u8, port: u16, at: u8| {
        let identity = peer_id(number).routing_id();
        let remote = ([10, 0, 0, at], port).into();
        bench
            .zre
            .link_opened(bench.now, LinkId(u64::from(number) + 9), remote, &identity)
    };
    assert_eq!(open(2, 7, 1), Err(LinkError::TooManyThere));
    assert_eq!(open(3, 7, 3), Ok(()));
}

#[test]
fn links_max_refuses_connections() {
    let mut bench = limited(|limits| limits.links_max = 1);
    bench.open_link(peer_id(1), peer_addr(1));
    let id = peer_id(2).routing_id();
    let result = bench
        .zre
        .link_opened(bench.now, LinkId(9), peer_addr(2), &id);
    assert_eq!(result, Err(LinkError::TooMany));
}

#[test]
fn a_link_that_does_not_greet_is_closed() {
    let mut bench = Bench::new();
    let link = bench.open_link(peer_id(1), peer_addr(1));
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.outputs()[0], Output::HangUpLink(link));
}

#[test]
fn manual_max_refuses_endpoints() {
    let mut bench = limited(|limits| limits.manual_max = 1);
    assert_eq!(bench.zre.connect(bench.now, "tcp://10.0.0.1:5"), Ok(()));
    let result = bench.zre.connect(bench.now, "tcp://10.0.0.2:5");
    assert_eq!(result, Err(ConnectError::TooMany));
}

#[test]
fn groups_max_ends_the_peer_that_joins_more() {
    let mut bench = limited(|limits| limits.hello.groups_max = 1);
    let mut player = bench.meet(1);
    let join = Command::Join {
        group: "g".into(),
        status: 2,
    };
    bench.say(&mut player, &join, Content::new());
    assert_eq!(bench.exits(), [ExitReason::OverLimit]);
}

#[test]
fn content_frames_max_holds_in_both_directions() {
    let mut bench = limited(|limits| limits.content_frames_max = 1);
    let mut player = bench.meet(1);
    let two: Content = smallvec!["a".into(), "b".into()];
    let result = bench.zre.whisper(bench.now, player.id, two.clone());
    assert_eq!(result, Err(SendError::TooManyFrames));
    bench.say(&mut player, &Command::Whisper, two);
    assert_eq!(bench.exits(), [ExitReason::OverLimit]);
}

/// A peer that has greeted us and whose mailbox is being dialed.
fn half_met(bench: &mut Bench) -> DialId {
    let link = bench.open_link(peer_id(1), peer_addr(1));
    let hello = Command::Hello(Box::new(hello_of(peer_addr(1))));
    bench.say_on(link, &hello, 1, Content::new());
    bench.dialed().unwrap().0
}

#[test]
fn held_messages_max_is_busy_until_the_connection_is_ready() {
    let mut bench = limited(|limits| limits.held_messages_max = 2);
    let dial = half_met(&mut bench);
    let whisper = |bench: &mut Bench| bench.zre.whisper(bench.now, peer_id(1), text("a"));
    assert_eq!(whisper(&mut bench), Ok(()));
    assert_eq!(whisper(&mut bench), Ok(()));
    assert_eq!(whisper(&mut bench), Err(SendError::Busy));
    let shout = bench.zre.shout(bench.now, "ZOCP", text("a"));
    assert_eq!(shout, Err(SendError::Busy));
    bench.ready(dial, peer_addr(1));
    let events = bench.events();
    assert_eq!(events, [Event::Unblocked { peer: peer_id(1) }]);
    assert_eq!(whisper(&mut bench), Ok(()));
}

#[test]
fn held_bytes_max_is_busy_too() {
    let mut bench = limited(|limits| limits.held_bytes_max = 3);
    half_met(&mut bench);
    let whisper = |bench: &mut Bench| bench.zre.whisper(bench.now, peer_id(1), text("abc"));
    assert_eq!(whisper(&mut bench), Ok(()));
    assert_eq!(whisper(&mut bench), Err(SendError::Busy));
}

#[test]
fn parked_messages_are_bounded_too() {
    let mut bench = limited(|limits| limits.held_messages_max = 3);
    let player = bench.meet(1);
    let link = bench.open_link(player.id, player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    bench.say_on(link, &Command::Whisper, 2, text("a"));
    assert_eq!(bench.sent(), [(Command::Ping, 2)]);
    bench.say_on(link, &Command::Whisper, 3, text("b"));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpLink(player.link)));
    let whispers = outputs
        .iter()
        .filter(|output| matches!(output, Output::Event(Event::Whispered { .. })));
    assert_eq!(whispers.count(), 2);
}

#[test]
fn octets_of_parked_messages_are_bounded_as_well() {
    let mut bench = limited(|limits| limits.held_bytes_max = 1000);
    let player = bench.meet(1);
    let link = bench.open_link(player.id, player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    bench.outputs();
    let large: Content = smallvec![vec![0; 1000].into()];
    bench.say_on(link, &Command::Whisper, 2, large);
    assert!(bench.outputs().contains(&Output::HangUpLink(player.link)));
}

#[test]
fn pings_max_is_busy() {
    let mut bench = limited(|limits| limits.pings_max = 1);
    let player = bench.meet(1);
    assert_eq!(bench.zre.ping(bench.now, player.id), Ok(()));
    let result = bench.zre.ping(bench.now, player.id);
    assert_eq!(result, Err(SendError::Busy));
}

#[test]
fn alternatives_max_ignores_further_addresses() {
    let mut bench = limited(|limits| limits.alternatives_max = 0);
    bench.beacon(peer_id(1), ([10, 0, 0, 1], 5670).into(), PEER_PORT);
    let (dial, _) = bench.dialed().unwrap();
    bench.beacon(peer_id(1), ([192, 168, 0, 1], 5670).into(), PEER_PORT);
    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.dialed().unwrap().1, "tcp://10.0.0.1:49152");
}
