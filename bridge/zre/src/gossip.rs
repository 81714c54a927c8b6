//! Gossip: peers that tell each other which nodes there are, where no beacon reaches. Without I/O.
//!
//! Model: zyre's gossip, which is CZMQ's `zgossip`. A node connects to one that listens (DEALER to ROUTER), says HELLO and
//! publishes its identity with its endpoint; each passes on what is new to all others. [`Gossip`] keeps, for each
//! connection, what came through it, and [`Gossip::entries`] is what all of them say. The protocol takes nothing back: here
//! an entry ends with the connection that it came through.
//! Invariants: GOSSIP-1. What came through a connection is never sent back through it. GOSSIP-2. A message that cannot be
//! read ends its connection and changes nothing.
//! Limits: [`ENTRIES_MAX`] entries of one connection, further ones are ignored; [`VALUE_LEN_MAX`] octets of an endpoint.
//! Spec: docs/reference/protocol.md §1.11; CZMQ `zgossip_msg`, version 1.

use std::collections::{BTreeMap, VecDeque};

use crate::PeerId;

/// Which end of a connection this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GossipEnd {
    /// It opened the connection, and says HELLO.
    Client,
    /// It listens, and waits for HELLO.
    Server,
}

/// A connection, as its owner numbers it.
pub type GossipConnection = u64;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipOutput {
    /// Send a message of one frame.
    Send(GossipConnection, Vec<u8>),
    /// End a connection whose other end does not speak the protocol.
    Close(GossipConnection),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Gossip {
    id: PeerId,
    connections: BTreeMap<GossipConnection, Connection>,
    outputs: VecDeque<GossipOutput>,
    /// Whether there is an entry that was not there when this was looked at.
    has_news: bool,
}

#[derive(Debug)]
struct Connection {
    end: GossipEnd,
    /// Whether the other end may be sent entries.
    is_greeted: bool,
    /// This node's endpoint, as the other end reaches it.
    own: String,
    entries: BTreeMap<PeerId, String>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    Hello,
    Publish(String, String),
    Ping,
    Pong,
    Invalid,
}

impl Gossip {
    /// The gossip of the node with this identity.
    #[must_use]
    pub fn new(id: PeerId) -> Self {
        Self {
            id,
            connections: BTreeMap::new(),
            outputs: VecDeque::new(),
            has_news: false,
        }
    }

    /// A connection is ready. `own` is this node's endpoint, as the other end reaches it.
    pub fn handle_opened(&mut self, connection: GossipConnection, end: GossipEnd, own: String) {
        let opened = Connection {
            end,
            is_greeted: false,
            own,
            entries: BTreeMap::new(),
        };
        self.connections.insert(connection, opened);
        if end == GossipEnd::Client {
            self.send(connection, &Message::Hello);
            self.tell_all(connection);
        }
    }

    /// A connection has ended, and what came through it with it.
    pub fn handle_closed(&mut self, connection: GossipConnection) {
        self.connections.remove(&connection);
    }

    /// A message came; its frames.
    pub fn handle_message(&mut self, connection: GossipConnection, frames: &[&[u8]]) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let message = match frames {
            [frame] => decode(frame),
            _ => None,
        };
        match (message, known.end) {
            (Some(Message::Ping), _) => self.send(connection, &Message::Pong),
            (Some(Message::Pong), _) => {}
            (Some(Message::Hello), GossipEnd::Server) => self.tell_all(connection),
            // It has forgotten this node, which begins anew.
            (Some(Message::Invalid), GossipEnd::Client) => {
                self.send(connection, &Message::Hello);
                self.tell_all(connection);
            }
            (Some(Message::Publish(key, value)), _) if known.is_greeted => {
                self.publish(connection, &key, value);
            }
            (_, GossipEnd::Server) => {
                self.send(connection, &Message::Invalid);
                self.close(connection);
            }
            (_, GossipEnd::Client) => self.close(connection),
        }
    }

    /// Says that this node is there; to be called at least every [`PING_INTERVAL`]. CZMQ forgets who is silent for a second.
    pub fn handle_ping_time(&mut self) {
        let clients = self.connections.iter();
        let clients = clients.filter(|(_, known)| known.end == GossipEnd::Client);
        for connection in clients
            .map(|(connection, _)| *connection)
            .collect::<Vec<_>>()
        {
            self.send(connection, &Message::Ping);
        }
    }

    /// The peers that are told of, with their endpoints; a peer may have several.
    pub fn entries(&self) -> impl Iterator<Item = (PeerId, &str)> {
        let connections = self.connections.values();
        let entries = connections.flat_map(|known| &known.entries);
        entries.map(|(id, endpoint)| (*id, endpoint.as_str()))
    }

    /// Whether there are new entries since this was asked last.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<GossipOutput> {
        self.outputs.pop_front()
    }

    fn publish(&mut self, from: GossipConnection, key: &str, value: String) {
        // What is no peer is nothing that this node passes on.
        let Some(id) = key.parse().ok().filter(|id| *id != self.id) else {
            return;
        };
        let Some(known) = self.connections.get_mut(&from) else {
            return;
        };
        let is_new = known.entries.get(&id) != Some(&value);
        let has_room = known.entries.len() < ENTRIES_MAX || known.entries.contains_key(&id);
        if !is_new || !has_room || value.len() > VALUE_LEN_MAX {
            return;
        }
        known.entries.insert(id, value.clone());
        self.has_news = true;
        // GOSSIP-1.
        let others = self.connections.iter();
        let others = others.filter(|(other, known)| {
            **other != from && known.is_greeted && known.entries.get(&id) != Some(&value)
        });
        let others: Vec<GossipConnection> = others.map(|(other, _)| *other).collect();
        let message = Message::Publish(key.to_owned(), value);
        for other in others {
            self.send(other, &message);
        }
    }

    /// Publishes this node and all that it knows from elsewhere.
    fn tell_all(&mut self, to: GossipConnection) {
        let Some(known) = self.connections.get_mut(&to) else {
            return;
        };
        known.is_greeted = true;
        let own = (self.id, known.own.clone());
        let others = self.connections.iter().filter(|(other, _)| **other != to);
        let others = others.flat_map(|(_, known)| &known.entries);
        let mut all: BTreeMap<PeerId, String> =
            others.map(|(id, value)| (*id, value.clone())).collect();
        all.insert(own.0, own.1);
        for (id, value) in all {
            self.send(to, &Message::Publish(key_of(id), value));
        }
    }

    fn send(&mut self, to: GossipConnection, message: &Message) {
        self.outputs
            .push_back(GossipOutput::Send(to, encode(message)));
    }

    fn close(&mut self, connection: GossipConnection) {
        self.connections.remove(&connection);
        self.outputs.push_back(GossipOutput::Close(connection));
    }
}

/// An identity as zyre writes it.
fn key_of(id: PeerId) -> String {
    let octets = id.as_bytes().iter();
    octets.map(|octet| format!("{octet:02X}")).collect()
}

fn encode(message: &Message) -> Vec<u8> {
    let kind = match message {
        Message::Hello => 1,
        Message::Publish(..) => 2,
        Message::Ping => 3,
        Message::Pong => 4,
        Message::Invalid => 5,
    };
    let mut octets = vec![SIGNATURE[0], SIGNATURE[1], kind, VERSION];
    if let Message::Publish(key, value) = message {
        let length = u8::try_from(key.len()).unwrap_or(u8::MAX);
        octets.push(length);
        octets.extend(key.bytes().take(usize::from(length)));
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        octets.extend(length.to_be_bytes());
        octets.extend(value.bytes());
        // Time to live: none, as zyre says.
        octets.extend(0_u32.to_be_bytes());
    }
    octets
}

fn decode(octets: &[u8]) -> Option<Message> {
    let rest = octets.strip_prefix(&SIGNATURE)?;
    let (kind, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(&[VERSION])?;
    Some(match kind {
        1 => Message::Hello,
        2 => {
            let (length, rest) = rest.split_first()?;
            let (key, rest) = rest.split_at_checked(usize::from(*length))?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (value, ttl) = rest.split_at_checked(length)?;
            ttl.first_chunk::<4>()?;
            let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).ok();
            Message::Publish(text(key)?, text(value)?)
        }
        3 => Message::Ping,
        4 => Message::Pong,
        5 => Message::Invalid,
        _ => return None,
    })
}

const SIGNATURE: [u8; 2] = [0xaa, 0xa0];
const VERSION: u8 = 1;
/// Peers that one connection tells of.
pub const ENTRIES_MAX: usize = 4096;
/// Octets of an endpoint, with a key.
pub const VALUE_LEN_MAX: usize = 512;
/// How often a client says that it is there.
pub const PING_INTERVAL: std::time::Duration = std::time::Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> PeerId {
        PeerId::new([number; 16])
    }

    fn endpoint(number: u8) -> String {
        format!("tcp://10.0.0.{number}:5671")
    }

    /// A hub with nodes around it; connection N of the hub is that of node N.
    struct Rig {
        hub: Gossip,
        nodes: BTreeMap<u8, Gossip>,
    }

    impl Rig {
        fn new(numbers: impl IntoIterator<Item = u8>) -> Self {
            let mut rig = Self {
                hub: Gossip::new(id(99)),
                nodes: BTreeMap::new(),
            };
            for number in numbers {
                rig.join(number);
            }
            rig
        }

        fn join(&mut self, number: u8) {
            let mut node = Gossip::new(id(number));
            self.hub
                .handle_opened(u64::from(number), GossipEnd::Server, endpoint(99));
            node.handle_opened(0, GossipEnd::Client, endpoint(number));
            self.nodes.insert(number, node);
            self.settle();
        }

        fn settle(&mut self) {
            loop {
                let mut is_quiet = true;
                for (number, node) in &mut self.nodes {
                    while let Some(output) = node.poll_output() {
                        let GossipOutput::Send(_, octets) = output else {
                            panic!("{output:?}")
                        };
                        self.hub.handle_message(u64::from(*number), &[&octets]);
                        is_quiet = false;
                    }
                }
                while let Some(output) = self.hub.poll_output() {
                    let GossipOutput::Send(to, octets) = output else {
                        panic!("{output:?}")
                    };
                    let node = u8::try_from(to).ok().and_then(|to| self.nodes.get_mut(&to));
                    if let Some(node) = node {
                        node.handle_message(0, &[&octets]);
                    }
                    is_quiet = false;
                }
                if is_quiet {
                    return;
                }
            }
        }
    }

    fn known(gossip: &Gossip) -> Vec<(PeerId, String)> {
        let mut known: Vec<_> = gossip
            .entries()
            .map(|(id, it)| (id, it.to_owned()))
            .collect();
        known.sort();
        known
    }

    #[test]
    fn all_know_all_through_one_and_what_is_gone_is_forgotten_by_who_heard_it() {
        let mut rig = Rig::new([1, 2, 3]);
        let of = |numbers: &[u8]| -> Vec<_> {
            numbers
                .iter()
                .map(|number| (id(*number), endpoint(*number)))
                .collect()
        };
        assert_eq!(known(&rig.hub), of(&[1, 2, 3]));
        assert_eq!(known(&rig.nodes[&1]), of(&[2, 3, 99]));
        assert_eq!(
            known(&rig.nodes[&3]),
            of(&[1, 2, 99]),
            "also those before it"
        );
        rig.nodes.remove(&2);
        rig.hub.handle_closed(2);
        assert_eq!(known(&rig.hub), of(&[1, 3]));
        rig.join(4);
        assert_eq!(known(&rig.nodes[&4]), of(&[1, 3, 99]));
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
    fn entries_of_a_connection_have_a_bound() {
        let mut rig = Rig::new([1]);
        for number in 0..=ENTRIES_MAX {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&number.to_be_bytes());
            let publish = Message::Publish(key_of(PeerId::new(octets)), endpoint(1));
            rig.hub.handle_message(1, &[&encode(&publish)]);
        }
        assert_eq!(rig.hub.entries().count(), ENTRIES_MAX);
        let long = "x".repeat(VALUE_LEN_MAX + 1);
        let long = Message::Publish(key_of(id(1)), long);
        rig.hub.handle_message(1, &[&encode(&long)]);
        assert!(
            rig.hub
                .entries()
                .any(|it| it == (id(1), endpoint(1).as_str()))
        );
    }
}
