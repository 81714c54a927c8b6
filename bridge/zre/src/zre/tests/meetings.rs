//! Beacons, endpoints, goodbyes.

use super::*;
use crate::output::{ConnectError, LinkError, RejectReason};

// protocol.md §1.2
#[test]
fn the_first_beacon_goes_out_at_once_and_then_every_second() {
    let mut bench = Bench::with(|config| config.beacon = true);
    assert!(matches!(bench.outputs()[..], [Output::Beacon(_)]));
    bench.pass(Duration::from_secs(3));
    let beacons = bench.outputs();
    assert_eq!(beacons.len(), 3);
    assert!(beacons.iter().all(|b| matches!(b, Output::Beacon(_))));
}

#[test]
fn without_a_mailbox_there_is_no_beacon_since_port_0_says_goodbye() {
    let mut bench = Bench::with(|config| {
        config.beacon = true;
        config.mailbox_port = 0;
    });
    assert_eq!(bench.outputs(), []);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.outputs(), []);
}

// protocol.md §1.4, §1.5, §3.3
#[test]
fn who_is_heard_is_dialed_at_once_and_greeted_when_ready() {
    let mut bench = Bench::new();
    bench.beacon(peer_id(1), ([10, 0, 0, 1], 5670).into(), PEER_PORT);
    let (dial, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://10.0.0.1:49152");
    bench.ready(dial, peer_addr(1));
    let sent = bench.sent();
    let [(Command::Hello(hello), 1)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(hello.endpoint, "tcp://10.0.0.100:49000");
    assert_eq!((hello.status, hello.groups.len()), (1, 1));
}

#[test]
fn our_own_beacon_is_ignored_and_so_is_who_names_our_endpoint() {
    let mut bench = Bench::new();
    bench.zre.own_address([10, 0, 0, 100].into());
    bench.beacon(peer_id(100), ([10, 0, 0, 100], 5670).into(), OUR_PORT);
    assert_eq!(bench.outputs(), []);
    let result = bench.zre.connect(bench.now, "tcp://10.0.0.100:49000");
    assert_eq!(result, Err(ConnectError::OwnEndpoint));
    // Somebody else's UUID with our endpoint: not dialed.
    bench.beacon(peer_id(2), ([10, 0, 0, 100], 5670).into(), OUR_PORT);
    assert_eq!(bench.outputs(), []);
}

#[test]
fn who_forges_our_uuid_at_the_address_of_another_does_not_keep_it_out() {
    let mut bench = Bench::new();
    let at_our_port = SocketAddr::new(peer_addr(1).ip(), OUR_PORT);
    bench.beacon(peer_id(100), at_our_port, OUR_PORT);
    let forged = peer_id(100).routing_id();
    let opened = bench
        .zre
        .link_opened(bench.now, LinkId(9), at_our_port, &forged);
    assert_eq!(opened, Err(LinkError::Own));
    bench.beacon(peer_id(1), at_our_port, OUR_PORT);
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, format!("tcp://{at_our_port}"));
}

// protocol.md §1.7
#[test]
fn a_peer_that_is_known_is_not_sought_where_we_or_others_are() {
    let mut bench = Bench::new();
    let us = SocketAddr::new([10, 0, 0, 100].into(), OUR_PORT);
    bench.zre.own_address(us.ip());
    bench.meet(2);
    let mut player = bench.meet(1);
    for taken in [us, peer_addr(2)] {
        bench.beacon(player.id, taken, taken.port());
        let hello = Command::Hello(Box::new(hello_of(taken)));
        player.sequence = 0;
        bench.say(&mut player, &hello, Content::new());
    }
    let mut dial = Some(player.dial);
    for _ in 0..6 {
        if let Some(dial) = dial.take() {
            bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
        }
        bench.pass(Duration::from_secs(3));
        if let Some((next, endpoint)) = bench.dialed() {
            assert_eq!(endpoint, format!("tcp://{}", player.addr));
            dial = Some(next);
        }
    }
    assert!(dial.is_some(), "it is sought");
}

// protocol.md §1.7
#[test]
fn nobody_is_sought_where_another_has_come_to_be() {
    let mut bench = Bench::new();
    let wanted = format!("tcp://{}", peer_addr(1));
    bench.zre.connect(bench.now, &wanted).unwrap();
    let gone = bench.meet(1);
    bench.zre.link_closed(bench.now, gone.link);
    // Another was heard elsewhere first, and is known when it comes to be there.
    let other = peer_id(2);
    bench.beacon(other, peer_addr(9), PEER_PORT);
    let (dial, _) = bench.dialed().unwrap();
    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
    bench.beacon(other, peer_addr(1), PEER_PORT);
    let link = bench.open_link(other, peer_addr(1));
    let hello = Command::Hello(Box::new(hello_of(peer_addr(1))));
    bench.say_on(link, &hello, 1, Content::new());
    for _ in 0..20 {
        bench.pass(Duration::from_secs(1));
        bench.beacon(other, peer_addr(1), PEER_PORT);
        while let Some((dial, _)) = bench.dialed() {
            assert_eq!(bench.zre.dialed_peer(dial), Some(other));
            bench.ready(dial, peer_addr(1));
        }
    }
    assert!(bench.zre.peer(other).is_some());
}

#[test]
fn who_names_our_endpoint_in_a_hello_is_refused() {
    let mut bench = Bench::new();
    bench.zre.own_address([10, 0, 0, 100].into());
    let link = bench.open_link(peer_id(1), peer_addr(1));
    let hello = hello_of(([10, 0, 0, 100], OUR_PORT).into());
    bench.say_on(link, &Command::Hello(Box::new(hello)), 1, Content::new());
    let outputs = bench.outputs();
    assert_eq!(outputs[0], Output::HangUpLink(link));
    let Output::Event(Event::PeerRejected { why, .. }) = &outputs[1] else {
        panic!("{outputs:?}");
    };
    assert_eq!(*why, RejectReason::OwnEndpoint);
}

#[test]
fn dialing_ourselves_is_noticed_and_ends_there() {
    let mut bench = Bench::new();
    let us = SocketAddr::new(our_addr().ip(), OUR_PORT);
    bench
        .zre
        .connect(bench.now, &format!("tcp://{us}"))
        .unwrap();
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, us);
    assert!(bench.outputs().contains(&Output::HangUpDial(dial)));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.dialed(), None);
}

#[test]
fn a_connection_with_another_identity_is_refused() {
    let mut bench = Bench::new();
    let now = bench.now;
    let mut open = |id: &[u8]| bench.zre.link_opened(now, LinkId(1), peer_addr(1), id);
    assert_eq!(open(&[7; 16]), Err(LinkError::BadIdentity));
    assert_eq!(open(b""), Err(LinkError::BadIdentity));
    assert_eq!(open(&peer_id(100).routing_id()), Err(LinkError::Own));
    assert_eq!(open(&peer_id(1).routing_id()), Ok(()));
}

// protocol.md §1.6
#[test]
fn a_beacon_from_a_second_network_does_not_move_a_peer() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.beacon(player.id, ([192, 168, 0, 1], 5670).into(), PEER_PORT);
    assert_eq!(bench.outputs(), []);
    let view = bench.zre.peer(player.id).unwrap();
    assert_eq!(view.endpoint().to_string(), "tcp://10.0.0.1:49152");
}

#[test]
fn when_an_endpoint_fails_the_alternative_is_tried() {
    let mut bench = Bench::new();
    bench.beacon(peer_id(1), ([10, 0, 0, 1], 5670).into(), PEER_PORT);
    let (dial, _) = bench.dialed().unwrap();
    bench.beacon(peer_id(1), ([192, 168, 0, 1], 5670).into(), PEER_PORT);
    bench.zre.dial_closed(bench.now, dial, DialEnd::Unreachable);
    bench.pass(Duration::from_millis(200));
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://192.168.0.1:49152");
}

// protocol.md §1.8
#[test]
fn a_goodbye_counts_from_where_the_peer_is_and_nowhere_else() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.beacon(player.id, ([192, 168, 0, 1], 5670).into(), 0);
    assert_eq!(bench.outputs(), []);
    bench.beacon(player.id, ([10, 0, 0, 1], 5670).into(), 0);
    assert_eq!(bench.sent(), [(Command::Ping, 2)]);
    bench.pass(Duration::from_secs(1));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpDial(player.dial)));
    assert!(outputs.contains(&Output::HangUpLink(player.link)));
    assert!(bench.zre.peer(player.id).is_none());
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.outputs(), [], "it is not sought any more");
}

// protocol.md §1.8
#[test]
fn a_goodbye_of_a_peer_whose_connection_closes_is_believed_at_once() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.beacon(player.id, ([10, 0, 0, 1], 5670).into(), 0);
    bench.outputs();
    bench.zre.link_closed(bench.now, player.link);
    assert_eq!(bench.exits(), [ExitReason::Goodbye]);
    assert!(bench.zre.peer(player.id).is_none());
}

// protocol.md §1.8
#[test]
fn a_goodbye_that_another_said_is_outweighed_by_an_answer() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    for _ in 0..3 {
        bench.beacon(player.id, ([10, 0, 0, 1], 5670).into(), 0);
        assert_eq!(bench.sent().len(), 1, "asked once");
        bench.beacon(player.id, ([10, 0, 0, 1], 5670).into(), 0);
        assert_eq!(bench.sent(), []);
        bench.say(&mut player, &Command::PingOk, Content::new());
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.outputs(), []);
    }
    assert!(bench.zre.peer(player.id).is_some());
}

// protocol.md §1.8
#[test]
fn what_a_peer_had_said_before_a_goodbye_is_no_answer_to_it() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    bench.beacon(player.id, ([10, 0, 0, 1], 5670).into(), 0);
    bench.say(&mut player, &Command::Whisper, text("last"));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.exits(), [ExitReason::Goodbye]);
}

// protocol.md §1.7
#[test]
fn a_newcomer_does_not_get_the_endpoint_of_a_peer_that_lives() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let link = bench.open_link(peer_id(2), player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    assert_eq!(bench.outputs()[0], Output::HangUpLink(link));
    bench.beacon(peer_id(2), player.addr, PEER_PORT);
    assert_eq!(bench.outputs(), []);
    // When it is gone, the newcomer is in its place.
    bench.zre.link_closed(bench.now, player.link);
    bench.pass(Duration::from_millis(100));
    let (_, endpoint) = bench.dialed().unwrap();
    assert!(bench.zre.peers.key(peer_id(2)).is_some());
    assert!(bench.zre.peers.key(player.id).is_none());
    assert_eq!(endpoint, "tcp://10.0.0.1:49152");
}

#[test]
fn a_node_started_anew_where_another_died_is_dialed_at_once() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.link_closed(bench.now, player.link);
    bench.outputs();
    bench.beacon(peer_id(2), player.addr, PEER_PORT);
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://10.0.0.1:49152");
}

#[test]
fn a_rejection_is_told_once_in_a_while() {
    let mut bench = Bench::new();
    for expected in [1, 0, 0] {
        let link = bench.open_link(peer_id(1), peer_addr(1));
        let mut hello = hello_of(peer_addr(1));
        hello.endpoint = "inproc://nowhere".into();
        bench.say_on(link, &Command::Hello(Box::new(hello)), 1, Content::new());
        assert_eq!(bench.events().len(), expected);
    }
    bench.pass(Duration::from_secs(61));
    let link = bench.open_link(peer_id(1), peer_addr(1));
    bench.say_on(link, &Command::Ping, 2, Content::new());
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn a_manual_endpoint_is_dialed_until_it_answers() {
    let mut bench = Bench::new();
    bench.zre.connect(bench.now, "tcp://foh:49152").unwrap();
    let mut tries = 0;
    for _ in 0..30 {
        if let Some((dial, endpoint)) = bench.dialed() {
            assert_eq!(endpoint, "tcp://foh:49152");
            bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
            tries += 1;
        }
        bench.pass(Duration::from_secs(1));
    }
    assert!((8..=14).contains(&tries), "{tries} tries in half a minute");
}

#[test]
fn a_host_name_is_the_peer_that_answers_from_its_address() {
    let mut bench = Bench::new();
    bench.zre.connect(bench.now, "tcp://foh:49152").unwrap();
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, peer_addr(1));
    assert_eq!(bench.sent().len(), 1);
    let link = bench.open_link(peer_id(1), peer_addr(1));
    let hello = Command::Hello(Box::new(hello_of(peer_addr(1))));
    bench.say_on(link, &hello, 1, Content::new());
    let events = bench.events();
    assert!(matches!(events[..], [Event::Entered { .. }]), "{events:?}");
    assert_eq!(bench.dialed(), None, "there is a connection already");
}

#[test]
fn shutdown_says_goodbye_hangs_up_and_is_the_end() {
    let mut bench = Bench::with(|config| config.beacon = true);
    let player = {
        bench.outputs();
        bench.meet(1)
    };
    bench.zre.shutdown(bench.now);
    let outputs = bench.outputs();
    let Output::Beacon(goodbye) = &outputs[0] else {
        panic!("{outputs:?}");
    };
    assert_eq!(&goodbye[20..], [0, 0]);
    assert!(outputs.contains(&Output::HangUpDial(player.dial)));
    assert!(outputs.contains(&Output::HangUpLink(player.link)));
    assert_eq!(bench.zre.poll_timeout(), None);
    bench.beacon(peer_id(2), peer_addr(2), PEER_PORT);
    assert_eq!(bench.outputs(), []);
}

// protocol.md §1.10
#[test]
fn a_peer_whose_named_address_is_nobodys_is_tried_at_the_address_that_it_comes_from() {
    let mut bench = Bench::new();
    let remote = ([10, 0, 0, 7], 40_000).into();
    let link = bench.open_link(peer_id(1), remote);
    let hello = Command::Hello(Box::new(hello_of(peer_addr(99))));
    bench.say_on(link, &hello, 1, Content::new());
    let (dial, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://10.0.0.99:49152");
    bench.zre.dial_closed(bench.now, dial, DialEnd::TimedOut);
    bench.pass(Duration::from_millis(200));
    let (dial, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://10.0.0.7:49152");
    bench.ready(dial, ([10, 0, 0, 7], PEER_PORT).into());
    assert!(matches!(bench.sent()[0], (Command::Hello(_), 1)));
}

// protocol.md §1.6
#[test]
fn a_peer_that_is_heard_at_a_new_endpoint_is_dialed_there_without_a_wait() {
    let mut bench = Bench::new();
    bench.beacon(peer_id(1), peer_addr(1), PEER_PORT);
    let (dial, _) = bench.dialed().unwrap();
    // At once it would be another network of the same node, of which the first connection is about to be ready.
    bench.beacon(peer_id(1), peer_addr(2), PEER_PORT);
    assert_eq!(bench.outputs(), []);
    bench.pass(Duration::from_millis(1100));
    bench.beacon(peer_id(1), peer_addr(3), PEER_PORT);
    let outputs = bench.outputs();
    assert_eq!(outputs[0], Output::HangUpDial(dial));
    let Output::Dial { dial, endpoint, .. } = &outputs[1] else {
        panic!("{outputs:?}");
    };
    assert_eq!(endpoint.to_string(), "tcp://10.0.0.3:49152");
    // Nor is there a wait left over from attempts that failed.
    let mut dial = *dial;
    for _ in 0..8 {
        bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
        dial = loop {
            match bench.dialed() {
                Some((next, _)) => break next,
                None => bench.pass(Duration::from_millis(100)),
            }
        };
    }
    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
    bench.beacon(peer_id(1), peer_addr(4), PEER_PORT);
    assert_eq!(bench.dialed().unwrap().1, "tcp://10.0.0.4:49152");
}

// protocol.md §1.6
#[test]
fn a_peer_whose_connection_ends_is_dialed_first_where_it_was_heard_last() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    for number in [2, 3, 2, 1] {
        bench.beacon(player.id, peer_addr(number), PEER_PORT);
    }
    assert_eq!(bench.outputs(), [], "its connection is open");
    bench
        .zre
        .dial_closed(bench.now, player.dial, DialEnd::Closed);
    bench.outputs();
    bench.pass(Duration::from_millis(60));
    assert_eq!(bench.dialed().unwrap().1, "tcp://10.0.0.3:49152");
}

// protocol.md §1.6
#[test]
fn a_present_peer_that_begins_anew_elsewhere_is_greeted_there() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.link_closed(bench.now, player.link);
    bench.pass(Duration::from_millis(1));
    bench.outputs();
    let elsewhere = peer_addr(2);
    let link = bench.open_link(player.id, elsewhere);
    let hello = Command::Hello(Box::new(hello_of(elsewhere)));
    bench.say_on(link, &hello, 1, Content::new());
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://10.0.0.2:49152");
}
