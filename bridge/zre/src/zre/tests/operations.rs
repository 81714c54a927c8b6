//! Sequences of anything at all: no panic, and the invariants of the core hold.

use proptest::prelude::*;

use super::*;
use crate::mailbox::Phase;

/// Something that a peer, the caller or time may do. Numbers choose among few, so
/// that operations meet.
#[derive(Debug, Clone)]
enum Operation {
    Beacon(u8, u8, bool),
    Open(u8),
    Hello(u8, u8, u16, u8),
    HelloOnDial(u8, u8, bool),
    SayOnDial(u8, u8, u16),
    Link(u8),
    Say(u8, u8, u16),
    Junk(u8, Vec<u8>),
    CloseLink(u8),
    Ready(u8),
    CloseDial(u8),
    Connect(u8),
    Whisper(u8),
    Shout,
    Toggle(u8),
    Ping(u8),
    Pass(u16),
    Shutdown,
}

fn operation() -> impl Strategy<Value = Operation> {
    let few = || 0u8..4;
    prop_oneof![
        4 => (few(), few(), any::<bool>()).prop_map(|(a, b, c)| Operation::Beacon(a, b, c)),
        4 => few().prop_map(Operation::Open),
        4 => (0u8..8, few(), 1u16..3, 0u8..4)
            .prop_map(|(a, b, c, d)| Operation::Hello(a, b, c, d)),
        3 => (0u8..8, few(), any::<bool>()).prop_map(|(a, b, c)| Operation::HelloOnDial(a, b, c)),
        3 => (0u8..8, 2u8..11, 1u16..6).prop_map(|(a, b, c)| Operation::SayOnDial(a, b, c)),
        1 => few().prop_map(Operation::Link),
        8 => (0u8..8, 2u8..11, 1u16..6).prop_map(|(a, b, c)| Operation::Say(a, b, c)),
        1 => (0u8..8, prop::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(a, b)| Operation::Junk(a, b)),
        2 => (0u8..8).prop_map(Operation::CloseLink),
        6 => (0u8..8).prop_map(Operation::Ready),
        2 => (0u8..8).prop_map(Operation::CloseDial),
        1 => few().prop_map(Operation::Connect),
        4 => few().prop_map(Operation::Whisper),
        2 => Just(Operation::Shout),
        2 => few().prop_map(Operation::Toggle),
        1 => few().prop_map(Operation::Ping),
        4 => (0u16..8000).prop_map(Operation::Pass),
        1 => prop::bool::weighted(0.02).prop_map(|end| match end {
            true => Operation::Shutdown,
            false => Operation::Pass(40_000),
        }),
    ]
}

impl Bench {
    fn operate(&mut self, operation: Operation) {
        let now = self.now;
        match operation {
            Operation::Beacon(peer, host, bye) => {
                let port = if bye { 0 } else { PEER_PORT };
                self.beacon(peer_id(peer), peer_addr(host), port);
            }
            Operation::Open(peer) => {
                self.links += 1;
                let id = peer_id(peer).routing_id();
                let link = LinkId(self.links % 8);
                if !self.zre.links.contains_key(&link) {
                    let from = peer_addr(peer);
                    let _ = match self.zre.is_secure() {
                        false => self.zre.link_opened(now, link, from, &id),
                        true => self
                            .zre
                            .secure_link_opened(now, link, from, &id, key_of(peer)),
                    };
                }
            }
            Operation::Hello(link, host, sequence, sharing) => {
                let link = LinkId(link.into());
                let mut hello = hello_of(peer_addr(host));
                let id = self.zre.links.get(&link).map(|link| link.id);
                if let Some(id) = id.filter(|_| sharing < 2) {
                    hello.headers = shares(id, sharing == 1);
                }
                let hello = Command::Hello(Box::new(hello));
                self.say_on(link, &hello, sequence, Content::new());
            }
            Operation::HelloOnDial(dial, peer, asks) => {
                if let Some((dial, host)) = self.some_dial(dial) {
                    let mut hello = hello_of(host);
                    hello.headers = shares(peer_id(peer), asks);
                    let octets = frame(&Command::Hello(Box::new(hello)), 1);
                    self.zre.dial_message(now, dial, &octets, Content::new());
                }
            }
            Operation::SayOnDial(dial, id, sequence) => {
                let octets = [0xAA, 0xA1, id, 2, 0, sequence as u8, 1, b'g', 0];
                if let Some((dial, _)) = self.some_dial(dial) {
                    self.zre.dial_message(now, dial, &octets, text("x"));
                }
            }
            Operation::Link(host) => {
                let endpoint = format!("tcp://{}", peer_addr(host));
                let _ = self.zre.connect_both_ways(now, &endpoint, key_of(host));
            }
            Operation::Say(link, id, sequence) => {
                let octets = [0xAA, 0xA1, id, 2, 0, sequence as u8, 1, b'g', 0];
                let link = LinkId(link.into());
                self.zre.link_message(now, link, &octets, text("x"));
            }
            Operation::Junk(link, octets) => {
                let link = LinkId(link.into());
                self.zre.link_message(now, link, &octets, Content::new());
            }
            Operation::CloseLink(link) => self.zre.link_closed(now, LinkId(link.into())),
            Operation::Ready(dial) => {
                if let Some((dial, host)) = self.some_dial(dial) {
                    self.ready(dial, host);
                }
            }
            Operation::CloseDial(dial) => {
                if let Some((dial, _)) = self.some_dial(dial) {
                    self.zre.dial_closed(now, dial, DialEnd::Closed);
                }
            }
            Operation::Connect(host) => {
                let _ = self.zre.connect(now, &format!("tcp://{}", peer_addr(host)));
            }
            Operation::Whisper(peer) => {
                let _ = self.zre.whisper(now, peer_id(peer), text("w"));
            }
            Operation::Shout => {
                let _ = self.zre.shout(now, "ZOCP", text("s"));
            }
            Operation::Toggle(group) => {
                let group = format!("g{group}");
                if self.zre.join(now, &group) == Ok(false) {
                    let _ = self.zre.leave(now, &group);
                }
            }
            Operation::Ping(peer) => {
                let _ = self.zre.ping(now, peer_id(peer));
            }
            Operation::Pass(millis) => self.pass(Duration::from_millis(millis.into())),
            Operation::Shutdown => self.zre.shutdown(now),
        }
    }

    fn some_dial(&self, number: u8) -> Option<(DialId, SocketAddr)> {
        let mut dials: Vec<_> = self.zre.dials.iter().map(|(d, key)| (*d, *key)).collect();
        dials.sort();
        let (dial, key) = *dials.get(usize::from(number) % dials.len().max(1))?;
        let dialing = |phase| matches!(phase, Phase::Dialing { .. });
        let peer = self.zre.peers.at(key)?;
        let is_dialing = dialing(peer.mailbox.phase);
        (is_dialing || number.is_multiple_of(2)).then_some((dial, peer.endpoint.socket_addr()?))
    }

    /// The invariants of the header of `zre`, `peer` and `peers`.
    fn check(&self) {
        let zre = &self.zre;
        let mut dials = 0;
        for (key, peer) in zre.peers.iter() {
            if let Some(dial) = peer.mailbox.dial() {
                assert_eq!(zre.dials.get(&dial), Some(&key));
                dials += 1;
                let over = peer.mailbox.over.map(|link| zre.links[&link].over);
                assert!(over.is_none_or(|over| over == Some(dial)));
            }
            if let Some(id) = peer.id {
                assert_eq!(zre.peers.key(id), Some(key));
            } else {
                assert!(!peer.manual.is_empty());
                assert!(peer.presence.is_none());
            }
            let Some(presence) = &peer.presence else {
                continue;
            };
            assert!(presence.awaiting || presence.link.is_some());
            if let Some(link) = presence.link {
                assert_eq!(zre.links[&link].peer, Some(key));
            }
            for group in &presence.groups {
                let members = &zre.members[group];
                assert_eq!(members.iter().filter(|m| **m == key).count(), 1);
            }
        }
        assert_eq!(zre.dials.len(), dials);
        let members: usize = zre.members.values().map(Vec::len).sum();
        let presences = zre.peers.iter().filter_map(|(_, p)| p.presence.as_ref());
        assert_eq!(members, presences.map(|p| p.groups.len()).sum::<usize>());
        for (id, link) in &zre.links {
            // SHARED-1, SHARED-2
            if let Some(dial) = link.over {
                let peer = zre.peers.at(zre.dials[&dial]).unwrap();
                assert_eq!(peer.mailbox.over, Some(*id));
                assert_eq!(peer.presence.as_ref().unwrap().link, Some(*id));
            }
            assert!(id.dial().is_none_or(|dial| zre.dials.contains_key(&dial)));
            if let Some(key) = link.peer {
                let peer = zre.peers.at(key).unwrap();
                assert_eq!(peer.presence.as_ref().unwrap().link, Some(*id));
            }
        }
    }
}

/// What a node of ours says in its HELLO.
fn shares(id: PeerId, asks: bool) -> Vec<(String, String)> {
    let value = crate::sharing::value(id, asks);
    vec![
        (HEADER_BRIDGE.into(), "1".into()),
        (crate::HEADER_LINK.into(), value),
    ]
}

fn key_of(peer: u8) -> crate::NodeKey {
    crate::NodeKey::new([peer + 1; 32])
}

fn run(operations: Vec<Operation>, change: impl FnOnce(&mut Config)) {
    let mut bench = Bench::with(change);
    for operation in operations {
        bench.operate(operation);
        bench.check();
        bench.outputs();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn invariants_hold_through_any_sequence_of_operations(
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        run(operations, |_| {});
    }

    #[test]
    fn invariants_hold_where_connections_are_shared(
        operations in prop::collection::vec(operation(), 1..120),
        is_secure in any::<bool>(),
    ) {
        run(operations, |config| {
            config.shares = true;
            config.security = is_secure.then(|| crate::Security {
                key: key_of(100),
                trusted: (0..4).map(key_of).collect(),
                learned: Vec::new(),
                barred: Vec::new(),
                first_use: crate::FirstUse::Refuse,
            });
        });
    }
}
