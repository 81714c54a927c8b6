//! Gossip between nodes that the test connects, and the octets of its messages.

use super::*;

fn id(number: u8) -> PeerId {
    PeerId::new([number; 16])
}

fn endpoint(number: u8) -> String {
    format!("tcp://10.0.0.{number}:5671")
}

/// Nodes that are connected as the test says.
#[derive(Default)]
struct Rig {
    nodes: BTreeMap<u8, Gossip>,
    /// Where each connection of a node leads.
    wires: BTreeMap<(u8, GossipConnection), (u8, GossipConnection)>,
    next: GossipConnection,
    news: Vec<(u8, PeerId, String)>,
}

impl Rig {
    /// Node 99 with others that are connected to it.
    fn star(numbers: impl IntoIterator<Item = u8>) -> Self {
        let mut rig = Self::default();
        for number in numbers {
            rig.connect(number, 99);
        }
        rig
    }

    fn node(&mut self, number: u8) -> &mut Gossip {
        let node = || Gossip::new(id(number));
        self.nodes.entry(number).or_insert_with(node)
    }

    /// One connects to another, which listens, and both say what they have to say.
    fn connect(&mut self, client: u8, server: u8) -> (GossipConnection, GossipConnection) {
        let (here, there) = (self.next, self.next + 1);
        self.next += 2;
        self.wires.insert((client, here), (server, there));
        self.wires.insert((server, there), (client, here));
        let (end, own) = (GossipEnd::Server, endpoint(server));
        self.node(server).handle_opened(there, end, own);
        let (end, own) = (GossipEnd::Client, endpoint(client));
        self.node(client).handle_opened(here, end, own);
        self.settle();
        (here, there)
    }

    /// Carries messages until there are none.
    fn settle(&mut self) {
        let mut carried = 0;
        loop {
            let mut batch = Vec::new();
            for (number, node) in &mut self.nodes {
                while let Some(output) = node.poll_output() {
                    match output {
                        GossipOutput::Send(over, octets) => {
                            batch.push((self.wires[&(*number, over)], octets));
                        }
                        GossipOutput::New(id, endpoint) => {
                            self.news.push((*number, id, endpoint.to_string()));
                        }
                        GossipOutput::Close(_) => panic!("{output:?}"),
                    }
                }
            }
            if batch.is_empty() {
                return;
            }
            carried += batch.len();
            assert!(carried < 10_000, "messages circulate");
            for ((node, over), octets) in batch {
                self.node(node).handle_message(over, &[&octets]);
            }
        }
    }
}

fn known(gossip: &Gossip) -> Vec<(PeerId, String)> {
    let entries = gossip.entries();
    entries.map(|(id, it)| (id, it.to_string())).collect()
}

fn publish(number: u8, value: &str) -> Vec<u8> {
    encode(&Message::Publish(key_of(id(number)), value.to_owned()))
}

#[test]
fn all_know_all_through_one_and_what_is_gone_is_forgotten_by_who_heard_it() {
    let mut rig = Rig::star([1, 3]);
    let (_, at_hub) = rig.connect(2, 99);
    let of = |numbers: &[u8]| -> Vec<_> {
        numbers
            .iter()
            .map(|number| (id(*number), endpoint(*number)))
            .collect()
    };
    assert_eq!(known(&rig.nodes[&99]), of(&[1, 2, 3]));
    assert_eq!(known(&rig.nodes[&1]), of(&[2, 3, 99]));
    assert_eq!(
        known(&rig.nodes[&2]),
        of(&[1, 3, 99]),
        "also those before it"
    );
    rig.nodes.remove(&2);
    rig.node(99).handle_closed(at_hub);
    assert_eq!(known(&rig.nodes[&99]), of(&[1, 3]));
    rig.connect(4, 99);
    assert_eq!(known(&rig.nodes[&4]), of(&[1, 3, 99]));
}

#[test]
fn several_endpoints_of_one_peer_go_round_a_ring_once() {
    let mut rig = Rig::default();
    for (client, server) in [(10, 11), (11, 12), (12, 10)] {
        rig.connect(client, server);
    }
    let (over, _) = rig.connect(1, 10);
    let (10, at_hub) = rig.wires[&(1, over)] else {
        panic!("another hub")
    };
    // The first was told when it connected.
    let others: Vec<String> = (2..=6).map(endpoint).collect();
    for value in &others {
        rig.node(10).handle_message(at_hub, &[&publish(1, value)]);
    }
    rig.settle();
    let mut expected = vec![endpoint(1)];
    expected.extend(others.into_iter().take(ENDPOINTS_MAX - 1));
    for hub in [10, 11, 12] {
        let told = known(&rig.nodes[&hub]).into_iter();
        let told = told.filter(|(of, _)| *of == id(1)).map(|(_, value)| value);
        assert_eq!(told.collect::<Vec<_>>(), expected, "{hub}");
        let news = rig.news.iter();
        let news = news.filter(|(at, of, _)| *at == hub && *of == id(1));
        assert_eq!(news.count(), ENDPOINTS_MAX, "{hub}");
    }
}

#[test]
fn hubs_that_name_each_other_settle_with_a_node_of_several_addresses() {
    let hubs = [10, 11, 12, 13];
    let mut rig = Rig::default();
    for client in hubs {
        for server in hubs.into_iter().filter(|server| *server != client) {
            rig.connect(client, server);
        }
    }
    // On each of its networks it connects to another hub.
    for (number, hub) in hubs.into_iter().enumerate() {
        let (here, there) = (rig.next, rig.next + 1);
        rig.next += 2;
        rig.wires.insert((1, here), (hub, there));
        rig.wires.insert((hub, there), (1, here));
        let own = endpoint(number as u8 + 1);
        rig.node(hub)
            .handle_opened(there, GossipEnd::Server, endpoint(hub));
        rig.node(1).handle_opened(here, GossipEnd::Client, own);
    }
    rig.settle();
    for hub in hubs {
        let told = known(&rig.nodes[&hub]).into_iter();
        let told = told.filter(|(of, _)| *of == id(1)).map(|(_, value)| value);
        let all: Vec<String> = (1..=4).map(endpoint).collect();
        assert_eq!(told.collect::<Vec<_>>(), all, "{hub}");
    }
}

#[test]
fn an_entry_ends_with_the_last_connection_that_it_came_through() {
    let mut hub = Gossip::new(id(99));
    for connection in [1, 2] {
        hub.handle_opened(connection, GossipEnd::Server, endpoint(99));
        hub.handle_message(connection, &[&encode(&Message::Hello)]);
        hub.handle_message(connection, &[&publish(7, &endpoint(7))]);
    }
    let news = std::iter::from_fn(|| hub.poll_output());
    let news = news.filter(|output| matches!(output, GossipOutput::New(..)));
    assert_eq!(news.count(), 1);
    hub.handle_closed(1);
    assert_eq!(known(&hub), [(id(7), endpoint(7))]);
    hub.handle_closed(2);
    assert_eq!(known(&hub), []);
}

#[test]
fn what_cannot_be_connected_to_is_passed_on_and_not_met() {
    let mut rig = Rig::star([1]);
    let (_, at_hub) = rig.connect(2, 99);
    rig.news.clear();
    for odd in ["tcp://10.0.0.7:5671|key", "http://x", "tcp://h:1|k:2"] {
        rig.node(99).handle_message(at_hub, &[&publish(7, odd)]);
    }
    let passed = std::iter::from_fn(|| rig.node(99).poll_output()).count();
    assert_eq!(passed, 3, "to the other one, and nothing is new");
}

#[test]
fn messages_have_the_octets_of_czmq() {
    assert_eq!(encode(&Message::Hello), [0xaa, 0xa0, 1, 1]);
    let publish = Message::Publish("AB".into(), "tcp://a:1".into());
    let octets = encode(&publish);
    assert_eq!(
        octets,
        b"\xaa\xa0\x02\x01\x02AB\x00\x00\x00\x09tcp://a:1\x00\x00\x00\x00"
    );
    assert_eq!(decode(&octets), Some(publish));
    for cut in 0..octets.len() {
        assert_eq!(decode(&octets[..cut]), None, "{cut}");
    }
}

#[test]
fn who_does_not_speak_it_is_told_so_and_closed() {
    let publish = encode(&Message::Publish(key_of(id(7)), endpoint(7)));
    for odd in [
        &b""[..],
        b"\xaa\xa0\x09\x01",
        b"\xaa\xa0\x01\x02",
        b"ZRE",
        &publish,
    ] {
        let mut hub = Gossip::new(id(99));
        hub.handle_opened(1, GossipEnd::Server, endpoint(99));
        hub.handle_message(1, &[odd]);
        let invalid = encode(&Message::Invalid);
        assert_eq!(
            hub.poll_output(),
            Some(GossipOutput::Send(1, invalid)),
            "{odd:?}"
        );
        assert_eq!(hub.poll_output(), Some(GossipOutput::Close(1)));
        assert_eq!(hub.entries().count(), 0);
    }
}

#[test]
fn who_was_forgotten_begins_anew() {
    let mut node = Gossip::new(id(1));
    node.handle_opened(0, GossipEnd::Client, endpoint(1));
    while node.poll_output().is_some() {}
    node.handle_message(0, &[&encode(&Message::Invalid)]);
    let hello = encode(&Message::Hello);
    assert_eq!(node.poll_output(), Some(GossipOutput::Send(0, hello)));
    assert!(node.poll_output().is_some(), "itself");
    node.handle_ping_time();
    let ping = encode(&Message::Ping);
    assert_eq!(node.poll_output(), Some(GossipOutput::Send(0, ping)));
}

#[test]
fn entries_have_a_bound() {
    let mut hub = Gossip::new(id(99));
    for connection in [1, 2] {
        hub.handle_opened(connection, GossipEnd::Server, endpoint(99));
        hub.handle_message(connection, &[&encode(&Message::Hello)]);
    }
    for number in 0..=ENTRIES_MAX {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&number.to_be_bytes());
        let publish = Message::Publish(key_of(PeerId::new(octets)), endpoint(1));
        let connection = 1 + number as u64 % 2;
        hub.handle_message(connection, &[&encode(&publish)]);
    }
    assert_eq!(hub.entries().count(), ENTRIES_MAX);
    hub.handle_closed(1);
    assert_eq!(hub.entries().count(), ENTRIES_MAX / 2);
    let long = format!("tcp://{}:1", "x".repeat(VALUE_LEN_MAX));
    hub.handle_message(2, &[&publish(7, &long)]);
    hub.handle_message(2, &[&publish(7, &endpoint(7))]);
    let of_seven = hub.entries().filter(|(of, _)| *of == id(7));
    let of_seven = of_seven.map(|(_, endpoint)| endpoint.to_string());
    assert_eq!(of_seven.collect::<Vec<_>>(), [endpoint(7)]);
}
