//! Messages and groups.

use super::*;
use crate::GroupName;
use crate::output::SendError;

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

#[test]
fn whispers_and_shouts_arrive_with_their_frames() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    let content: Content = smallvec!["a".into(), "b".into()];
    bench.say(&mut player, &Command::Whisper, content.clone());
    let shout = Command::Shout {
        group: "ZOCP".into(),
    };
    bench.say(&mut player, &shout, text("c"));
    let peer = player.id;
    assert_eq!(
        bench.events(),
        [
            Event::Whispered { peer, content },
            Event::Shouted {
                peer,
                group: group("ZOCP"),
                content: text("c")
            }
        ]
    );
}

// protocol.md §3.5
#[test]
fn a_gap_in_the_numbers_ends_the_peer() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    player.sequence += 1;
    bench.say(&mut player, &Command::Whisper, text("a"));
    assert_eq!(bench.exits(), [ExitReason::SequenceGap]);
}

#[test]
fn a_message_without_content_ends_the_peer() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    bench.say(&mut player, &Command::Whisper, Content::new());
    assert_eq!(bench.exits(), [ExitReason::NoContent]);
}

#[test]
fn a_malformed_command_ends_the_peer_and_it_is_let_alone_for_a_while() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench
        .zre
        .link_message(bench.now, player.link, b"junk", Content::new());
    assert!(matches!(bench.exits()[..], [ExitReason::Malformed(_)]));
    bench.beacon(player.id, player.addr, PEER_PORT);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.dialed(), None);
    bench.pass(Duration::from_secs(5));
    assert!(bench.dialed().is_some());
}

// protocol.md §3.8
#[test]
fn elections_of_zyre_count_and_do_nothing() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    bench.say(&mut player, &Command::Other(8), text("x"));
    bench.say(&mut player, &Command::Whisper, text("a"));
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn joins_and_leaves_are_told_once_whatever_the_status_says() {
    let mut bench = Bench::new();
    let mut player = bench.meet(1);
    for status in [2, 77] {
        let join = Command::Join {
            group: "g".into(),
            status,
        };
        bench.say(&mut player, &join, Content::new());
    }
    for status in [3, 4] {
        let leave = Command::Leave {
            group: "g".into(),
            status,
        };
        bench.say(&mut player, &leave, Content::new());
    }
    let (peer, group) = (player.id, group("g"));
    let joined = Event::Joined {
        peer,
        group: group.clone(),
    };
    assert_eq!(bench.events(), [joined, Event::Left { peer, group }]);
}

// protocol.md §3.6
#[test]
fn our_status_counts_on_from_the_hello_and_wraps_at_256() {
    let mut bench = Bench::new();
    bench.meet(1);
    let mut status = 1u8;
    for _ in 0..200 {
        for is_join in [true, false] {
            status = status.wrapping_add(1);
            let changed = if is_join {
                bench.zre.join(bench.now, "g")
            } else {
                bench.zre.leave(bench.now, "g")
            };
            assert_eq!(changed, Ok(true));
            let sent = bench.sent();
            let (Command::Join { status: told, .. } | Command::Leave { status: told, .. }) =
                sent[0].0
            else {
                panic!("{sent:?}");
            };
            assert_eq!(told, status);
        }
    }
}

#[test]
fn joining_twice_and_leaving_nothing_is_not_told() {
    let mut bench = Bench::new();
    bench.meet(1);
    assert_eq!(bench.zre.join(bench.now, "ZOCP"), Ok(false));
    assert_eq!(bench.zre.leave(bench.now, "g"), Ok(false));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn a_join_while_a_connection_is_made_is_in_the_hello_and_not_said_again() {
    let mut bench = Bench::new();
    bench.beacon(peer_id(1), peer_addr(1), PEER_PORT);
    let (dial, _) = bench.dialed().unwrap();
    bench.zre.join(bench.now, "g").unwrap();
    bench.ready(dial, peer_addr(1));
    let sent = bench.sent();
    let [(Command::Hello(hello), 1)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(hello.groups, ["ZOCP", "g"]);
    assert_eq!(hello.status, 2);
    // From now on it has our HELLO, though we have not seen its own.
    bench.zre.leave(bench.now, "g").unwrap();
    let sent = bench.sent();
    assert!(matches!(sent[..], [(Command::Leave { status: 3, .. }, 2)]));
}

#[test]
fn a_shout_goes_to_the_members_only() {
    let mut bench = Bench::new();
    let a = bench.meet_as(1, |hello| hello.groups = vec!["x".into()]);
    bench.meet_as(2, |hello| hello.groups = vec!["y".into()]);
    assert_eq!(bench.zre.shout(bench.now, "x", text("m")), Ok(1));
    let outputs = bench.outputs();
    let [Output::Send { dial, .. }] = outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(dial, a.dial);
    assert_eq!(bench.zre.shout(bench.now, "z", text("m")), Ok(0));
    for no_name in ["a\0", &"x".repeat(256)] {
        assert!(bench.zre.shout(bench.now, no_name, text("m")).is_err());
    }
}

// protocol.md §3.7
#[test]
fn nothing_is_sent_that_an_old_peer_dies_of() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let empty = Content::new();
    let result = bench.zre.whisper(bench.now, player.id, empty.clone());
    assert_eq!(result, Err(SendError::Empty));
    let result = bench.zre.shout(bench.now, "ZOCP", empty);
    assert_eq!(result, Err(SendError::Empty));
    let long = "x".repeat(256);
    assert!(bench.zre.join(bench.now, &long).is_err());
    assert_eq!(bench.outputs(), []);
}

#[test]
fn a_group_is_forgotten_with_its_last_member() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    bench.zre.link_closed(bench.now, player.link);
    assert_eq!(bench.zre.shout(bench.now, "ZOCP", text("m")), Ok(0));
    assert!(bench.zre.members.is_empty());
}
