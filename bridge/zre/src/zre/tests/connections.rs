//! HELLO, silence, ends of connections, renewal.

use super::*;
use crate::output::{RejectReason, SendError};

// protocol.md §2.7
#[test]
fn a_closed_link_is_a_lost_peer_at_once() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.link_closed(bench.now, player.link);
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpDial(player.dial)));
    assert!(bench.zre.peer(player.id).is_none());
    bench.pass(Duration::from_millis(200));
    assert!(bench.dialed().is_some(), "it is greeted afresh");
}

#[test]
fn a_closed_dial_is_a_lost_peer_at_once() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench
        .zre
        .dial_closed(bench.now, player.dial, DialEnd::Closed);
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpLink(player.link)));
    assert!(!outputs.contains(&Output::HangUpDial(player.dial)));
    assert!(bench.zre.peer(player.id).is_none());
}

#[test]
fn messages_before_the_connection_is_ready_wait_in_order() {
    let mut bench = Bench::new();
    let link = bench.open_link(peer_id(1), peer_addr(1));
    let hello = Command::Hello(Box::new(hello_of(peer_addr(1))));
    bench.say_on(link, &hello, 1, Content::new());
    let (dial, _) = bench.dialed().unwrap();
    bench.zre.whisper(bench.now, peer_id(1), text("a")).unwrap();
    bench.zre.shout(bench.now, "ZOCP", text("b")).unwrap();
    assert_eq!(bench.outputs(), []);
    bench.ready(dial, peer_addr(1));
    let sent = bench.sent();
    assert!(matches!(sent[0], (Command::Hello(_), 1)));
    assert_eq!(sent[1], (Command::Whisper, 2));
    assert!(matches!(sent[2], (Command::Shout { .. }, 3)));
}

// protocol.md §3.10
#[test]
fn a_second_hello_is_exit_and_enter_and_no_circle_of_greetings() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    // Shortly after ours it may be the answer to it: only a PING follows.
    bench.say_on(player.link, &hello, 1, Content::new());
    let outputs = bench.outputs();
    let dialed = |o: &Output| matches!(o, Output::Dial { .. } | Output::HangUpDial(_));
    assert!(!outputs.iter().any(dialed), "{outputs:?}");
    assert!(matches!(outputs[0], Output::Event(Event::Exited { .. })));
    assert!(matches!(outputs[1], Output::Event(Event::Entered { .. })));
    assert!(matches!(outputs[2], Output::Send { .. }));
    bench.say_on(player.link, &Command::PingOk, 2, Content::new());
    // Later it means that we are forgotten: we greet afresh.
    bench.pass(Duration::from_secs(3));
    bench.say_on(player.link, &hello, 1, Content::new());
    assert!(bench.outputs().iter().any(dialed));
}

#[test]
fn a_join_that_waits_outlives_a_peer_that_begins_anew() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(player.link, &hello, 1, Content::new());
    // Our HELLO of this connection does not tell it, and a PING is out.
    bench.zre.join(bench.now, "g").unwrap();
    bench
        .zre
        .whisper(bench.now, player.id, text("old"))
        .unwrap();
    bench.say_on(player.link, &hello, 1, Content::new());
    assert_eq!(bench.sent(), [(Command::Ping, 2)]);
    bench.say_on(player.link, &Command::PingOk, 2, Content::new());
    let sent = bench.sent();
    assert!(
        matches!(&sent[..], [(Command::Join { group, status: 2 }, 3)] if group == "g"),
        "{sent:?}"
    );
}

/// Opens a link that says to be a present peer's, from another address.
fn claim(bench: &mut Bench, player: &Player) -> LinkId {
    let link = bench.open_link(player.id, peer_addr(66));
    let hello = Command::Hello(Box::new(hello_of(peer_addr(66))));
    bench.say_on(link, &hello, 1, Content::new());
    assert_eq!(bench.sent().len(), 1, "the peer is asked");
    link
}

// protocol.md §2.10
#[test]
fn who_takes_the_identity_of_a_peer_that_answers_is_refused() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    let link = claim(&mut bench, &player);
    // It answers too, but not where the peer does.
    bench.say_on(link, &Command::PingOk, 2, Content::new());
    bench.say_on(link, &Command::Whisper, 3, text("false"));
    bench.say(&mut player, &Command::PingOk, Content::new());
    bench.pass(Duration::from_secs(2));
    let rejected = Event::PeerRejected {
        remote: peer_addr(66),
        why: RejectReason::IdentityTaken,
    };
    assert_eq!(
        bench.outputs(),
        [Output::HangUpLink(link), Output::Event(rejected)]
    );
    bench.say(&mut player, &Command::Whisper, text("true"));
    let events = bench.events();
    assert!(
        matches!(&events[..], [Event::Whispered { .. }]),
        "{events:?}"
    );
}

// protocol.md §2.10
#[test]
fn who_floods_in_the_name_of_a_peer_that_answered_is_refused_at_once() {
    let mut bench = Bench::with(|config| config.limits.held_messages_max = 3);
    let mut player = bench.meet(1);
    let link = claim(&mut bench, &player);
    bench.say(&mut player, &Command::PingOk, Content::new());
    bench.say_on(link, &Command::Whisper, 2, text("a"));
    assert_eq!(bench.outputs(), []);
    bench.say_on(link, &Command::Whisper, 3, text("b"));
    assert_eq!(bench.outputs()[0], Output::HangUpLink(link));
    assert!(bench.zre.peer(player.id).is_some());
}

// protocol.md §2.9
#[test]
fn the_hello_of_a_second_link_waits_until_the_first_is_read() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    let link = bench.open_link(player.id, player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    bench.say_on(link, &Command::Whisper, 2, text("new"));
    bench.say(&mut player, &Command::Whisper, text("old"));
    bench.zre.link_closed(bench.now, player.link);
    let events = bench.events();
    let [
        Event::Whispered { content: old, .. },
        Event::Exited { .. },
        Event::Entered { .. },
        Event::Whispered { content: new, .. },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((old, new), (&text("old"), &text("new")));
}

#[test]
fn a_first_link_that_never_ends_is_not_waited_for_long() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let link = bench.open_link(player.id, player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    bench.pass(Duration::from_secs(3));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::HangUpLink(player.link)));
    assert!(bench.zre.peer(player.id).is_some());
}

// protocol.md §3.2
#[test]
fn a_message_without_a_hello_is_ignored_and_the_peer_greeted() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.link_closed(bench.now, player.link);
    bench.outputs();
    // libzmq has opened the connection again and goes on in the middle.
    let link = bench.open_link(player.id, player.addr);
    bench.pass(Duration::from_millis(60));
    bench.say_on(link, &Command::Ping, 17, Content::new());
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, player.addr);
    assert!(matches!(bench.sent()[0], (Command::Hello(_), 1)));
    assert_eq!(bench.exits(), []);
}

// protocol.md §3.9
#[test]
fn a_silent_peer_is_asked_then_evasive_then_gone() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.pass(Duration::from_millis(2400));
    assert_eq!(bench.sent(), []);
    bench.pass(Duration::from_millis(2550));
    assert_eq!(bench.sent()[0], (Command::Ping, 2));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.events(), [Event::Evasive { peer: player.id }]);
    assert!(bench.zre.peer(player.id).unwrap().is_evasive());
    bench.pass(Duration::from_millis(23_950));
    assert!(bench.sent().len() >= 20, "a PING each second");
    assert_eq!(bench.exits(), []);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.exits(), [ExitReason::Expired]);
}

// protocol.md §3.9
#[test]
fn a_peer_that_beacons_and_answers_nothing_is_evasive_then_gone() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let pass = |bench: &mut Bench, seconds| {
        for _ in 0..seconds {
            bench.pass(Duration::from_secs(1));
            bench.beacon(player.id, player.addr, PEER_PORT);
        }
    };
    pass(&mut bench, 6);
    assert_eq!(bench.events(), [Event::Evasive { peer: player.id }]);
    pass(&mut bench, 23);
    assert_eq!(bench.events(), []);
    bench.pass(Duration::from_millis(1100));
    assert_eq!(bench.exits(), [ExitReason::Expired]);
}

#[test]
fn a_command_ends_evasiveness_and_a_part_of_a_message_does() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    let returned = Event::Returned { peer: player.id };
    // An answer that took 2 s is the last: longer ones are waited for after it.
    for sign in [1, 2, 0] {
        bench.pass(Duration::from_secs(7));
        bench.outputs();
        bench.beacon(player.id, player.addr, PEER_PORT);
        assert_eq!(bench.events(), []);
        match sign {
            0 => bench.say(&mut player, &Command::PingOk, Content::new()),
            // A long message is on its way, from it or to it.
            1 => bench.zre.link_progressed(bench.now, player.link),
            _ => bench.zre.dial_progressed(bench.now, player.dial),
        }
        assert_eq!(bench.events(), std::slice::from_ref(&returned));
    }
}

/// Who cannot be asked has only its beacons to show that it is there.
#[test]
fn a_beacon_is_a_sign_of_life_of_a_peer_that_cannot_be_asked() {
    let mut bench = Bench::new();
    let (id, addr) = (peer_id(1), peer_addr(1));
    let link = bench.open_link(id, addr);
    let hello = Box::new(hello_of(addr));
    bench.say_on(link, &Command::Hello(hello), 1, Content::new());
    bench.outputs();
    for _ in 0..20 {
        bench.pass(Duration::from_millis(500));
        bench.beacon(id, addr, PEER_PORT);
        let events = bench.events();
        assert!(!events.contains(&Event::Evasive { peer: id }), "{events:?}");
    }
}

/// We slept, or our machine did: that a peer said nothing meanwhile is not known, so it is asked first.
#[test]
fn a_peer_is_not_given_up_before_it_had_the_time_to_answer() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    bench.now += Duration::from_secs(100);
    bench.zre.handle_timeout(bench.now);
    assert_eq!(bench.sent(), [(Command::Ping, 2)]);
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.events(), [Event::Evasive { peer: player.id }]);
    bench.say(&mut player, &Command::PingOk, Content::new());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.events(), [Event::Returned { peer: player.id }]);
}

#[test]
fn nobody_is_taken_for_silent_as_long_as_nothing_is_read() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.set_listening(false);
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.events(), []);
    bench.zre.set_listening(true);
    bench.pass(Duration::from_secs(12));
    assert_eq!(bench.events(), [Event::Evasive { peer: player.id }]);
}

#[test]
fn many_peers_that_are_silent_are_not_asked_in_one_moment() {
    let mut bench = Bench::new();
    let players: Vec<Player> = (1..=60).map(|number| bench.meet(number)).collect();
    let mut most = 0;
    let mut asked = 0;
    for _ in 0..50 {
        bench.pass(Duration::from_millis(100));
        let sent = bench.sent();
        let pings = sent
            .iter()
            .filter(|(it, number)| (it, *number) == (&Command::Ping, 2));
        let pings = pings.count();
        asked += pings;
        most = most.max(pings);
    }
    assert_eq!(asked, players.len());
    assert!(most <= 15, "{most} in a tenth of a second");
}

#[test]
fn an_idle_peer_that_answers_is_never_evasive() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    for _ in 0..200 {
        bench.pass(Duration::from_millis(900));
        for (command, _) in bench.sent() {
            assert_eq!(command, Command::Ping);
            bench.say(&mut player, &Command::PingOk, Content::new());
        }
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn a_ping_is_answered_at_once_and_ours_is_timed() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    bench.say(&mut player, &Command::Ping, Content::new());
    assert_eq!(bench.sent(), [(Command::PingOk, 2)]);
    bench.zre.ping(bench.now, player.id).unwrap();
    assert_eq!(bench.sent(), [(Command::Ping, 3)]);
    bench.now += Duration::from_micros(300);
    bench.say(&mut player, &Command::PingOk, Content::new());
    let rtt = Duration::from_micros(300);
    let peer = player.id;
    assert_eq!(bench.events(), [Event::PingAnswered { peer, rtt }]);
}

// protocol.md §2.8
#[test]
fn a_repeated_connection_is_confirmed_before_messages_pass() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.link_closed(bench.now, player.link);
    bench.pass(Duration::from_millis(200));
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, player.addr);
    let sent = bench.sent();
    assert!(matches!(
        sent[..],
        [(Command::Hello(_), 1), (Command::Ping, 2)]
    ));
    let link = bench.open_link(player.id, player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    bench.whisper(&player, text("a"));
    assert_eq!(bench.sent(), []);
    bench.say_on(link, &Command::PingOk, 2, Content::new());
    assert_eq!(bench.sent(), [(Command::Whisper, 3)]);
}

// protocol.md §3.4
#[test]
fn towards_an_unknown_kind_no_number_above_65534_is_ever_sent() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    for number in 2..=65533 {
        bench.whisper(&player, text("a"));
        let sent = bench.sent();
        assert_eq!(sent[0], (Command::Whisper, number));
        if number == 65533 {
            assert_eq!(sent[1..], [(Command::Ping, 65534)]);
        }
    }
    bench.whisper(&player, text("held"));
    assert_eq!(bench.outputs(), []);
    bench.say(&mut player, &Command::PingOk, Content::new());
    assert_eq!(bench.outputs(), [Output::HangUpDial(player.dial)]);
    bench.pass(Duration::from_millis(60));
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, player.addr);
    assert_eq!(bench.sent().len(), 2, "HELLO and PING");
    // The peer drops its connection and greets us afresh.
    bench.zre.link_closed(bench.now, player.link);
    assert_eq!(bench.outputs(), []);
    let link = bench.open_link(player.id, player.addr);
    let hello = Command::Hello(Box::new(hello_of(player.addr)));
    bench.say_on(link, &hello, 1, Content::new());
    assert_eq!(bench.events(), [Event::Renewed { peer: player.id }]);
    bench.say_on(link, &Command::PingOk, 2, Content::new());
    assert_eq!(bench.sent(), [(Command::Whisper, 3)]);
}

/// A peer that has not read all that was sent to it, and whose connection is to be renewed.
fn behind() -> (Bench, Player) {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    for _ in 2..=65533 {
        bench.whisper(&player, text("a"));
    }
    bench.outputs();
    (bench, player)
}

#[test]
fn a_peer_that_reads_slowly_is_waited_for_before_its_connection_is_renewed() {
    let (mut bench, mut player) = behind();
    for _ in 0..20 {
        bench.beacon(player.id, player.addr, player.addr.port());
        bench.pass(Duration::from_secs(1));
        let evasive = Output::Event(Event::Evasive { peer: player.id });
        assert!(bench.outputs().into_iter().all(|output| output == evasive));
    }
    bench.say(&mut player, &Command::PingOk, Content::new());
    let returned = Output::Event(Event::Returned { peer: player.id });
    let renewed = Output::HangUpDial(player.dial);
    assert_eq!(bench.outputs(), [returned, renewed]);
}

#[test]
fn a_peer_that_never_reads_to_the_end_is_told_to_have_gone() {
    let (mut bench, player) = behind();
    for _ in 0..31 {
        bench.beacon(player.id, player.addr, player.addr.port());
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(bench.exits(), [ExitReason::TooSlow]);
}

#[test]
fn towards_a_bridge_the_numbers_pass_65535() {
    let mut bench = Bench::new();
    let player = bench.meet_bridge(1);
    let mut last = 1u16;
    for _ in 0..70_000 {
        bench.whisper(&player, text("a"));
        last = last.wrapping_add(1);
        assert_eq!(bench.sent(), [(Command::Whisper, last)]);
    }
}

// protocol.md §1.10
#[test]
fn a_peer_that_can_only_dial_us_is_heard_and_told_of_until_it_can_be_reached() {
    let mut bench = Bench::new();
    let mut player = unreachable(&mut bench);
    let result = bench.zre.whisper(bench.now, player.id, text("a"));
    assert_eq!(result, Err(SendError::Unreachable));
    let shouted = bench.zre.shout(bench.now, "ZOCP", text("a"));
    assert_eq!(shouted, Ok(0));
    assert!(bench.zre.peer(player.id).unwrap().is_unreachable());
    // What it says arrives, and it stays as long as it says something.
    let mut dials = Vec::new();
    for _ in 0..60 {
        bench.say(&mut player, &Command::Whisper, text("b"));
        bench.pass(Duration::from_secs(1));
        for output in bench.outputs() {
            match output {
                Output::Dial { dial, .. } => {
                    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
                    dials.push(dial);
                }
                Output::Event(Event::Whispered { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!((12..30).contains(&dials.len()), "{} attempts", dials.len());
    // Its firewall has a hole now.
    bench.pass(Duration::from_secs(5));
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, player.addr);
    let outputs = bench.outputs();
    assert!(matches!(outputs[0], Output::Send { .. }), "HELLO");
    let events = outputs.iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    });
    let events: Vec<&Event> = events.collect();
    let reason = ExitReason::Replaced;
    assert!(matches!(events[0], Event::Exited { reason: r, .. } if *r == reason));
    assert!(matches!(events[1], Event::Entered { .. }));
    assert!(!bench.zre.peer(player.id).unwrap().is_unreachable());
}

/// A peer whose endpoint refuses us; that it does was told just now.
fn unreachable(bench: &mut Bench) -> Player {
    let (id, addr) = (peer_id(1), peer_addr(1));
    let link = bench.open_link(id, addr);
    let hello = Command::Hello(Box::new(hello_of(addr)));
    bench.say_on(link, &hello, 1, Content::new());
    let mut told = Vec::new();
    for _ in 0..10 {
        for output in bench.outputs() {
            match output {
                Output::Dial { dial, .. } => {
                    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
                }
                Output::Event(event) => told.push(event),
                _ => {}
            }
        }
        bench.pass(Duration::from_millis(200));
    }
    let endpoints = vec![format!("tcp://{addr}").parse().unwrap()];
    let unreachable = Event::Unreachable {
        peer: id,
        endpoints,
    };
    assert!(matches!(told[0], Event::Entered { .. }));
    assert_eq!(told[1..], [unreachable]);
    Player {
        id,
        addr,
        link,
        dial: DialId(0),
        sequence: 1,
    }
}

#[test]
fn a_peer_that_can_only_dial_us_and_says_nothing_is_gone_at_expiry() {
    let mut bench = Bench::new();
    let player = unreachable(&mut bench);
    let mut told = Vec::new();
    for _ in 0..31 {
        bench.pass(Duration::from_secs(1));
        for output in bench.outputs() {
            match output {
                Output::Dial { dial, .. } => {
                    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
                }
                Output::Event(event) => told.push(event),
                _ => {}
            }
        }
    }
    let [Event::Exited { peer, reason, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((*peer, *reason), (player.id, ExitReason::Expired));
}
