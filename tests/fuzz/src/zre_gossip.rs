//! Gossip: what connections tell, and what is passed on.
//!
//! Input: operations on the connections of one node.
//! Holds: what is known is what the open connections have told, up to four endpoints of a peer each. An entry is reported
//! once while it is known. Nothing is sent over a connection that brought it, nor twice. Who sends something else is
//! closed.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use zocp_zre::PeerId;
use zocp_zre::gossip::{Gossip, GossipEnd, GossipOutput};

#[derive(Debug, Arbitrary)]
enum Operation {
    Open { connection: u8, is_client: bool },
    Close { connection: u8 },
    Hello { connection: u8 },
    Publish { connection: u8, peer: u8, port: u8 },
    Octets { connection: u8, octets: Vec<u8> },
    Ping,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(operations) = Vec::<Operation>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut rig = Rig {
        core: Gossip::new(PeerId::new([OWN; 16])),
        open: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    for operation in operations {
        crate::show(&operation);
        rig.follow(operation);
        rig.check();
    }
}

/// A peer and a port.
type Pair = (u8, u8);

/// What should be known of a connection.
struct Known {
    is_client: bool,
    is_greeted: bool,
    /// What was sent over it since it was told all.
    sent: BTreeSet<Pair>,
}

struct Rig {
    core: Gossip,
    open: BTreeMap<u8, Known>,
    /// Each entry, with the connections that brought it.
    told: BTreeMap<Pair, BTreeSet<u8>>,
}

impl Rig {
    fn follow(&mut self, operation: Operation) {
        match operation {
            Operation::Open { connection, .. } if self.open.contains_key(&connection) => {}
            Operation::Open {
                connection,
                is_client,
            } => {
                let end = match is_client {
                    true => GossipEnd::Client,
                    false => GossipEnd::Server,
                };
                let known = Known {
                    is_client,
                    is_greeted: is_client,
                    sent: BTreeSet::new(),
                };
                self.open.insert(connection, known);
                self.core
                    .handle_opened(connection.into(), end, "tcp://own:1".into());
                self.drain(None);
            }
            Operation::Close { connection } => {
                self.core.handle_closed(connection.into());
                self.forget(connection);
            }
            Operation::Hello { connection } => {
                if let Some(known) = self.open.get_mut(&connection) {
                    known.is_greeted = true;
                    // It is told all anew; to a client nobody says HELLO.
                    known.sent.clear();
                }
                self.say(connection, &[0xaa, 0xa0, 1, 1]);
            }
            Operation::Publish {
                connection,
                peer,
                port,
            } => self.publish(connection, (peer, port)),
            Operation::Octets { connection, octets } => {
                // INVALID lets a client begin anew, and HELLO a server.
                if !octets.starts_with(&[0xaa, 0xa0]) {
                    self.say(connection, &octets);
                    assert!(!self.open.contains_key(&connection), "it was not closed");
                }
            }
            Operation::Ping => {
                self.core.handle_ping_time();
                self.drain(None);
            }
        }
    }

    fn publish(&mut self, connection: u8, pair: Pair) {
        let is_greeted = self.open.get(&connection).is_some_and(|it| it.is_greeted);
        let of_peer = self.told.iter().filter(|((peer, _), _)| *peer == pair.0);
        let of_peer = of_peer.filter(|(_, by)| by.contains(&connection));
        let mut is_new = None;
        if is_greeted && pair.0 != OWN && of_peer.count() < 4 {
            let by = self.told.entry(pair).or_default();
            is_new = by.is_empty().then_some(pair);
            by.insert(connection);
        }
        let (key, value) = (format!("{:02X}", pair.0).repeat(16), value_of(pair));
        let mut octets = vec![0xaa, 0xa0, 2, 1, 32];
        octets.extend(key.bytes());
        octets.extend((value.len() as u32).to_be_bytes());
        octets.extend(value.bytes());
        octets.extend([0; 4]);
        self.core.handle_message(connection.into(), &[&octets]);
        self.drain(is_new);
        let is_open = self.open.contains_key(&connection);
        assert!(is_open || !is_greeted, "closed for a message");
    }

    fn say(&mut self, connection: u8, octets: &[u8]) {
        self.core.handle_message(connection.into(), &[octets]);
        self.drain(None);
    }

    /// Takes all outputs; one peer is expected to be new, or none.
    fn drain(&mut self, mut new: Option<Pair>) {
        while let Some(output) = self.core.poll_output() {
            match output {
                GossipOutput::Send(to, octets) => {
                    let to = u8::try_from(to).unwrap();
                    let Some(pair) = published(&octets) else {
                        continue;
                    };
                    let by = &self.told[&pair];
                    assert!(!by.contains(&to), "GOSSIP-1");
                    let known = self.open.get_mut(&to).unwrap();
                    assert!(known.sent.insert(pair), "sent twice: {pair:?}");
                }
                GossipOutput::New(id, endpoint) => {
                    let pair = new.take().expect("nothing is new");
                    assert_eq!(id, PeerId::new([pair.0; 16]));
                    assert_eq!(endpoint.to_string(), value_of(pair));
                }
                GossipOutput::Close(connection) => {
                    self.forget(u8::try_from(connection).unwrap());
                }
            }
        }
        assert_eq!(new, None, "it was not reported");
    }

    fn forget(&mut self, connection: u8) {
        self.open.remove(&connection);
        for by in self.told.values_mut() {
            by.remove(&connection);
        }
        self.told.retain(|_, by| !by.is_empty());
        for known in self.open.values_mut() {
            known.sent.retain(|pair| self.told.contains_key(pair));
        }
    }

    fn check(&self) {
        let known = self.core.entries();
        let known = known.map(|(id, endpoint)| (id, endpoint.to_string()));
        let told = self.told.keys();
        let told = told.map(|pair| (PeerId::new([pair.0; 16]), value_of(*pair)));
        assert_eq!(
            known.collect::<BTreeSet<_>>(),
            told.collect::<BTreeSet<_>>()
        );
        // Whoever may be told has been told all that it did not bring.
        for (connection, known) in &self.open {
            if known.is_greeted && !known.is_client {
                let others = self.told.iter().filter(|(_, by)| !by.contains(connection));
                assert!(
                    others
                        .into_iter()
                        .all(|(pair, _)| known.sent.contains(pair))
                );
            }
        }
    }
}

fn value_of(pair: Pair) -> String {
    format!("tcp://10.0.0.{}:{}", pair.0, u16::from(pair.1) + 1)
}

/// The entry that a message publishes, unless it is that of the node itself.
fn published(octets: &[u8]) -> Option<Pair> {
    let rest = octets.strip_prefix(&[0xaa, 0xa0, 2, 1, 32])?;
    let (key, rest) = rest.split_at_checked(32)?;
    let peer = u8::from_str_radix(std::str::from_utf8(&key[..2]).ok()?, 16).ok()?;
    let (value, _) = rest.get(4..)?.split_at_checked(rest.len() - 8)?;
    let (_, port) = std::str::from_utf8(value).ok()?.rsplit_once(':')?;
    (peer != OWN).then_some((peer, (port.parse::<u16>().ok()? - 1) as u8))
}

/// The node itself.
const OWN: u8 = 255;
