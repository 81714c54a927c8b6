//! Connections that carry the messages of both nodes: who is answered there, and who is not.

use super::*;
use crate::output::RejectReason;
use crate::sharing::value;
use crate::{FirstUse, HEADER_LINK, NodeKey, Security, SharedWay};

fn sharing() -> Bench {
    Bench::with(|config| config.shares = true)
}

fn key(number: u8) -> NodeKey {
    NodeKey::new([number; 32])
}

/// A node that trusts the keys 1 to 4.
fn secure() -> Bench {
    Bench::with(|config| {
        config.shares = true;
        config.security = Some(Security {
            key: key(100),
            trusted: (1..=4).map(key).collect(),
            learned: Vec::new(),
            barred: Vec::new(),
            first_use: FirstUse::Refuse,
        });
    })
}

/// The HELLO of a node of ours.
fn ours(number: u8, asks: bool) -> Command<'static> {
    let mut hello = hello_of(peer_addr(number));
    hello.headers = vec![
        (HEADER_BRIDGE.into(), "1".into()),
        (HEADER_LINK.into(), value(peer_id(number), asks)),
    ];
    Command::Hello(Box::new(hello))
}

impl Bench {
    /// What it is to send on, and at whose connection.
    fn over(&mut self) -> Option<(DialId, LinkId)> {
        let outputs = self.outputs().into_iter();
        let mut over = outputs.filter_map(|output| match output {
            Output::DialOver { dial, link } => Some((dial, link)),
            Output::Dial { endpoint, .. } => panic!("{endpoint} is dialed"),
            _ => None,
        });
        over.next()
    }

    fn say_on_dial(&mut self, dial: DialId, command: &Command<'_>, sequence: u16) {
        let frame = frame(command, sequence);
        self.zre
            .dial_message(self.now, dial, &frame, Content::new());
    }

    fn rejects(&mut self) -> Vec<RejectReason> {
        let events = self.events().into_iter();
        let rejects = events.filter_map(|event| match event {
            Event::PeerRejected { why, .. } => Some(why),
            _ => None,
        });
        rejects.collect()
    }

    fn link_with_key(&mut self, number: u8) -> LinkId {
        self.links += 1;
        let (link, id) = (LinkId(self.links), peer_id(number).routing_id());
        let opened =
            self.zre
                .secure_link_opened(self.now, link, peer_addr(number), &id, key(number));
        opened.unwrap();
        link
    }
}

#[test]
fn who_asks_for_it_is_answered_on_its_connection_and_never_dialed() {
    let mut bench = sharing();
    let link = bench.open_link(peer_id(1), peer_addr(1));
    bench.say_on(link, &ours(1, true), 1, Content::new());
    let (dial, over) = bench.over().unwrap();
    assert_eq!(over, link);
    bench.ready(dial, peer_addr(1));
    let sent = bench.sent();
    let [(Command::Hello(hello), 1)] = &sent[..] else {
        panic!("{sent:?}")
    };
    let header = (HEADER_LINK.to_owned(), value(peer_id(100), false));
    assert!(hello.headers.contains(&header));
    let peer = bench.zre.peer(peer_id(1)).unwrap();
    assert_eq!(peer.shared(), Some(SharedWay::Theirs));

    bench.zre.link_closed(bench.now, link);
    assert_eq!(bench.exits(), [ExitReason::LinkClosed]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn nodes_that_ask_may_all_have_one_endpoint_even_ours() {
    let mut bench = sharing();
    bench.zre.own_address([192, 168, 1, 2].into());
    for number in 1..=3 {
        let link = bench.open_link(peer_id(number), peer_addr(number));
        let Command::Hello(mut hello) = ours(number, true) else {
            unreachable!()
        };
        hello.endpoint = format!("tcp://192.168.1.2:{OUR_PORT}");
        bench.say_on(link, &Command::Hello(hello), 1, Content::new());
        let (dial, _) = bench.over().unwrap();
        bench.ready(dial, peer_addr(number));
        bench.outputs();
    }
    assert_eq!(bench.zre.peers().count(), 3);
}

#[test]
fn who_can_share_is_dialed_first_and_answered_on_its_connection_after_a_second() {
    let mut bench = sharing();
    let link = bench.open_link(peer_id(1), peer_addr(1));
    bench.say_on(link, &ours(1, false), 1, Content::new());
    assert!(bench.dialed().is_some());
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.outputs(), []);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.over().map(|(_, over)| over), Some(link));
}

#[test]
fn a_header_that_names_another_node_or_comes_from_a_stranger_to_us_changes_nothing() {
    let foreign = {
        let Command::Hello(mut hello) = ours(1, true) else {
            unreachable!()
        };
        hello.headers.remove(0);
        Command::Hello(hello)
    };
    for hello in [foreign, ours(2, true)] {
        let mut bench = sharing();
        let link = bench.open_link(peer_id(1), peer_addr(1));
        bench.say_on(link, &hello, 1, Content::new());
        assert!(bench.dialed().is_some());
    }
    // Nor does it to a node that does not share.
    let mut bench = Bench::new();
    let link = bench.open_link(peer_id(1), peer_addr(1));
    bench.say_on(link, &ours(1, true), 1, Content::new());
    assert!(bench.dialed().is_some());
}

#[test]
fn who_was_dialed_by_its_endpoint_says_on_that_connection_who_it_is() {
    let mut bench = secure();
    let endpoint = format!("tcp://{}", peer_addr(1));
    bench
        .zre
        .connect_both_ways(bench.now, &endpoint, key(1))
        .unwrap();
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, peer_addr(1));
    let sent = bench.sent();
    let [(Command::Hello(hello), 1)] = &sent[..] else {
        panic!("{sent:?}")
    };
    let header = (HEADER_LINK.to_owned(), value(peer_id(100), true));
    assert!(hello.headers.contains(&header));

    // Whatever comes before its HELLO is ignored.
    bench.say_on_dial(dial, &Command::Ping, 2);
    assert_eq!(bench.outputs(), []);
    bench.say_on_dial(dial, &ours(1, false), 1);
    bench.say_on_dial(dial, &Command::Ping, 2);
    assert_eq!(bench.sent(), [(Command::PingOk, 2)]);
    let peer = bench.zre.peer(peer_id(1)).unwrap();
    assert_eq!(peer.shared(), Some(SharedWay::Ours));
    assert_eq!(peer.key(), Some(key(1)));
    bench.say_on_dial(dial, &Command::Ping, 4);
    assert_eq!(bench.exits(), [ExitReason::SequenceGap]);
    // Its successor, with an identity of its own, is met there too.
    bench.pass(Duration::from_secs(5));
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, peer_addr(1));
    bench.say_on_dial(dial, &ours(2, false), 1);
    assert_eq!(bench.zre.peers().count(), 1);
    assert!(bench.zre.peer(peer_id(2)).is_some());
}

#[test]
fn whoever_answers_in_the_name_of_a_node_that_is_here_takes_nothing_from_it() {
    let mut bench = sharing();
    let mut player = bench.meet_bridge(1);
    bench
        .zre
        .connect(bench.now, &format!("tcp://{}", peer_addr(2)))
        .unwrap();
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, peer_addr(2));
    bench.outputs();
    bench.say_on_dial(dial, &ours(1, false), 1);
    // The node that is here is asked, and answers.
    assert!(bench.sent().contains(&(Command::Ping, 2)));
    bench.say(&mut player, &Command::PingOk, Content::new());
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.rejects(), [RejectReason::IdentityTaken]);
    assert!(bench.zre.peer(peer_id(1)).is_some());
}

#[test]
fn a_node_is_not_dialed_by_its_endpoint_while_the_one_with_its_key_is_here() {
    let mut bench = secure();
    let link = bench.link_with_key(1);
    bench.say_on(link, &ours(1, true), 1, Content::new());
    let (dial, _) = bench.over().unwrap();
    bench.ready(dial, peer_addr(1));
    bench.outputs();
    // It has another address on its network.
    bench
        .zre
        .connect_both_ways(bench.now, "tcp://192.0.2.1:5671", key(1))
        .unwrap();
    assert_eq!(bench.dialed(), None);
    // It is once that node is gone.
    bench.zre.link_closed(bench.now, link);
    bench.pass(Duration::from_secs(1));
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, "tcp://192.0.2.1:5671");
}

#[test]
fn both_nodes_that_ask_at_the_same_time_keep_both_connections() {
    let mut bench = secure();
    bench
        .zre
        .connect_both_ways(bench.now, "tcp://192.0.2.1:5671", key(1))
        .unwrap();
    let (dial, _) = bench.dialed().unwrap();
    bench.ready(dial, ([192, 0, 2, 1], 5671).into());
    bench.outputs();
    let link = bench.link_with_key(1);
    bench.say_on(link, &ours(1, true), 1, Content::new());
    assert_eq!(bench.over(), None);
    let peer = bench.zre.peer(peer_id(1)).unwrap();
    assert_eq!(peer.shared(), None);
    bench.whisper(
        &Player {
            id: peer_id(1),
            addr: peer_addr(1),
            link,
            dial,
            sequence: 1,
        },
        text("on our own"),
    );
    let outputs = bench.outputs();
    assert!(matches!(&outputs[..], [Output::Send { dial: on, .. }] if *on == dial));
}
