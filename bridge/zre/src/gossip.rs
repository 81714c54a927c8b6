//! Gossip: peers that tell each other which nodes there are, where no beacon reaches. Without I/O.
//!
//! Model: zyre's gossip, which is CZMQ's `zgossip`. A node connects to one that listens (DEALER to ROUTER), says HELLO
//! and publishes its identity with its endpoint; each passes on what is new to all others. [`Gossip`] keeps each entry,
//! an
//! identity with an endpoint, together with the connections that it came through. The protocol takes nothing back: here
//! an entry ends with the last connection that it came through.
//! Invariants: GOSSIP-1. What came through a connection is never sent back through it. GOSSIP-2. A message that cannot be
//! read ends its connection and changes nothing. GOSSIP-3. An entry is passed on once, when the first connection brings
//! it, so that nothing circulates where connections form a ring.
//! Limits: [`ENTRIES_MAX`] entries of all connections, and `ENDPOINTS_MAX` of one peer through one connection; further
//! ones are ignored, since what replaced another would circulate in a ring. [`VALUE_LEN_MAX`] octets of an endpoint.
//! Spec: docs/reference/protocol.md §1.11; CZMQ `zgossip_msg`, version 1.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{Endpoint, PeerId};

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
    /// A peer is told of that may be connected to, and was not before.
    New(PeerId, Endpoint),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Gossip {
    id: PeerId,
    connections: BTreeMap<GossipConnection, Connection>,
    entries: BTreeMap<(PeerId, String), Entry>,
    outputs: VecDeque<GossipOutput>,
}

#[derive(Debug)]
struct Connection {
    end: GossipEnd,
    /// Whether the other end may be sent entries.
    is_greeted: bool,
    /// This node's endpoint, as the other end reaches it.
    own: String,
}

/// What is known of a peer's being somewhere.
#[derive(Debug)]
struct Entry {
    /// Where to connect; none if the text is none, or has the key of a secure mesh behind it, which is not this one.
    endpoint: Option<Endpoint>,
    /// The connections that it came through; never empty.
    from: BTreeSet<GossipConnection>,
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
            entries: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A connection is ready. `own` is this node's endpoint, as the other end reaches it.
    pub fn handle_opened(&mut self, connection: GossipConnection, end: GossipEnd, own: String) {
        let opened = Connection {
            end,
            is_greeted: false,
            own,
        };
        self.connections.insert(connection, opened);
        if end == GossipEnd::Client {
            self.send(connection, &Message::Hello);
            self.tell_all(connection);
        }
    }

    /// A connection has ended, and what came through it with it.
    pub fn handle_closed(&mut self, connection: GossipConnection) {
        self.remove(connection);
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

    /// Says that this node is there; to be called at least every [`PING_INTERVAL`]. CZMQ forgets who is silent for a
    /// second.
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

    /// The peers that are told of and may be connected to, with their endpoints; a peer may have several.
    pub fn entries(&self) -> impl Iterator<Item = (PeerId, &Endpoint)> {
        let entries = self.entries.iter();
        entries.filter_map(|((id, _), entry)| Some((*id, entry.endpoint.as_ref()?)))
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<GossipOutput> {
        self.outputs.pop_front()
    }

    fn publish(&mut self, origin: GossipConnection, key: &str, value: String) {
        // What is no peer is nothing that this node passes on.
        let Some(id) = key.parse().ok().filter(|id| *id != self.id) else {
            return;
        };
        if value.len() > VALUE_LEN_MAX || !self.has_room(origin, id) {
            return;
        }
        let place = (id, value);
        if let Some(entry) = self.entries.get_mut(&place) {
            // GOSSIP-3: all others have been sent it, or sent it themselves.
            entry.from.insert(origin);
            return;
        }
        if self.entries.len() >= ENTRIES_MAX {
            return;
        }
        // An endpoint with a key (`tcp://…|key`) is that of a node of a secure mesh.
        let is_clear = !place.1.contains('|');
        let endpoint: Option<Endpoint> = place.1.parse().ok().filter(|_| is_clear);
        if let Some(endpoint) = endpoint.clone() {
            self.outputs.push_back(GossipOutput::New(id, endpoint));
        }
        let message = Message::Publish(key.to_owned(), place.1.clone());
        let from = BTreeSet::from([origin]);
        self.entries.insert(place, Entry { endpoint, from });
        let others = self.connections.iter();
        // GOSSIP-1.
        let others = others.filter(|(other, known)| **other != origin && known.is_greeted);
        for other in others.map(|(other, _)| *other).collect::<Vec<_>>() {
            self.send(other, &message);
        }
    }

    /// Whether a connection may tell of one more endpoint of a peer.
    fn has_room(&self, connection: GossipConnection, id: PeerId) -> bool {
        let of_peer = self.entries.range((id, String::new())..);
        let of_peer = of_peer.take_while(|((other, _), _)| *other == id);
        let told = of_peer.filter(|(_, entry)| entry.from.contains(&connection));
        told.count() < ENDPOINTS_MAX
    }

    /// Publishes this node and all that it knows from elsewhere.
    fn tell_all(&mut self, to: GossipConnection) {
        let Some(known) = self.connections.get_mut(&to) else {
            return;
        };
        known.is_greeted = true;
        let mut all = vec![Message::Publish(key_of(self.id), known.own.clone())];
        // GOSSIP-1.
        let others = self.entries.iter();
        let others = others.filter(|(_, entry)| !entry.from.contains(&to));
        all.extend(others.map(|((id, value), _)| Message::Publish(key_of(*id), value.clone())));
        for message in all {
            self.send(to, &message);
        }
    }

    fn remove(&mut self, connection: GossipConnection) {
        self.connections.remove(&connection);
        self.entries.retain(|_, entry| {
            entry.from.remove(&connection);
            !entry.from.is_empty()
        });
    }

    fn send(&mut self, to: GossipConnection, message: &Message) {
        self.outputs
            .push_back(GossipOutput::Send(to, encode(message)));
    }

    fn close(&mut self, connection: GossipConnection) {
        self.remove(connection);
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
/// Endpoints of peers that all connections tell of.
pub const ENTRIES_MAX: usize = 4096;
/// Endpoints of one peer that one connection tells of: as many as networks on which it may be.
const ENDPOINTS_MAX: usize = 4;
/// Octets of an endpoint, with a key.
pub const VALUE_LEN_MAX: usize = 512;
/// How often a client says that it is there.
pub const PING_INTERVAL: std::time::Duration = std::time::Duration::from_millis(400);

#[cfg(test)]
mod tests;
