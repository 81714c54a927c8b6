//! Two nodes that meet, talk and lose each other, and a stranger who forges all it can.
//!
//! Input: operations (`arbitrary`).
//! Holds: what a caller relies on (`watcher`); and when the network is whole again and the stranger gone,
//! the nodes see each other as they are, within `PATIENCE`, and stay so.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use zocp_zre::{Beacon, Command, Content, Hello, PeerId};

use crate::mesh::{CONNECTIONS_MAX, Mesh, NODES, PORT, STRANGER, address, content};

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut play = Play::new();
    for _ in 0..OPERATIONS_MAX {
        // Half of the connections are for what is to hold in the end.
        if input.is_empty() || play.mesh.connections() > CONNECTIONS_MAX / 2 {
            break;
        }
        let Ok(operation) = Operation::arbitrary(&mut input) else {
            break;
        };
        crate::show(&operation);
        play.operate(operation);
    }
    play.finish();
}

#[derive(Debug, Arbitrary)]
enum Operation {
    Step(u8),
    Steps(u8),
    Settle,
    /// So many hundredths of a second.
    Pass(u8),
    PassLong(u8),
    Whisper(u8),
    Shout(u8),
    Toggle {
        node: u8,
        group: u8,
    },
    Ping(u8),
    Connect {
        node: u8,
        to: u8,
    },
    GiveUp(u8),
    Reset(u8),
    Restart(u8),
    Deafen(bool),
    Forge {
        to: u8,
        from: u8,
        who: u8,
        is_goodbye: bool,
    },
    ForgeRaw {
        to: u8,
        octets: [u8; 24],
        len: u8,
    },
    Intrude {
        to: u8,
        from: u8,
        who: u8,
    },
    Greet {
        on: u8,
        at: u8,
        groups: u8,
    },
    Say {
        on: u8,
        command: u8,
        gap: u8,
    },
    SayRaw {
        on: u8,
        octets: [u8; 8],
        len: u8,
    },
}

/// A connection of the stranger, and the number of its last message.
struct Intruder {
    connection: usize,
    number: u16,
}

struct Play {
    mesh: Mesh,
    intruders: Vec<Intruder>,
    said: u32,
}

impl Play {
    fn new() -> Self {
        Self {
            mesh: Mesh::new(),
            intruders: Vec::new(),
            said: 0,
        }
    }

    fn operate(&mut self, operation: Operation) {
        let mesh = &mut self.mesh;
        match operation {
            Operation::Step(choice) => {
                mesh.step(usize::from(choice));
            }
            Operation::Steps(count) => (0..count).for_each(|_| {
                mesh.step(0);
            }),
            Operation::Settle => mesh.settle(),
            Operation::Pass(hundredths) => {
                mesh.pass(Duration::from_millis(10 * u64::from(hundredths)));
            }
            Operation::PassLong(seconds) => {
                mesh.pass(Duration::from_secs(u64::from(seconds % 40)));
            }
            Operation::Whisper(node) => self.whisper(node_of(node)),
            Operation::Shout(node) => {
                let shout = mesh.with(node_of(node), |zre, now| {
                    zre.shout(now, "ZOCP", content(b"s"))
                });
                assert!(shout.is_ok_and(|count| count <= 8) || shout.is_err());
            }
            Operation::Toggle { node, group } => {
                let group = format!("g{}", group % 3);
                mesh.with(node_of(node), |zre, now| {
                    if zre.join(now, &group) == Ok(false) {
                        let _ = zre.leave(now, &group);
                    }
                });
            }
            Operation::Ping(node) => {
                let other = mesh.hosts[1 - node_of(node)].zre.id();
                let _ = mesh.with(node_of(node), |zre, now| zre.ping(now, other));
            }
            Operation::Connect { node, to } => {
                let endpoint = format!("tcp://{}", address(any_of(to)));
                let _ = mesh.with(node_of(node), |zre, now| zre.connect(now, &endpoint));
            }
            Operation::GiveUp(node) => {
                let other = mesh.hosts[1 - node_of(node)].zre.id();
                mesh.with(node_of(node), |zre, now| zre.give_up(now, other));
            }
            Operation::Reset(which) => {
                let back = usize::from(which % 8) + 1;
                if let Some(index) = mesh.connections().checked_sub(back) {
                    mesh.reset(index);
                }
            }
            Operation::Restart(node) => mesh.restart(node_of(node)),
            Operation::Deafen(is_deaf) => mesh.is_deaf = is_deaf,
            forged => self.intrude(forged),
        }
    }

    /// What the stranger does.
    fn intrude(&mut self, operation: Operation) {
        match operation {
            Operation::Forge {
                to,
                from,
                who,
                is_goodbye,
            } => {
                let (id, port) = (self.identity(who), if is_goodbye { 0 } else { PORT });
                let octets = Beacon::V1 { id, port }.encode().to_vec();
                let from = (address(any_of(from)).ip(), 5670).into();
                self.mesh.forge(node_of(to), from, octets);
            }
            Operation::ForgeRaw { to, octets, len } => {
                let octets = octets[..usize::from(len % 25)].to_vec();
                self.mesh.forge(node_of(to), address(STRANGER), octets);
            }
            Operation::Intrude { to, from, who } => {
                let from = (address(any_of(from)).ip(), 50_001).into();
                let identity = self.identity(who).routing_id();
                let len = if who == 255 { 16 } else { 17 };
                let opened = self.mesh.intrude(node_of(to), from, &identity[..len]);
                self.intruders.extend(opened.map(|connection| Intruder {
                    connection,
                    number: 0,
                }));
            }
            Operation::Greet { on, at, groups } => {
                let hello = Hello {
                    endpoint: format!("tcp://{}", address(any_of(at))),
                    groups: (0..groups % 4).map(|n| format!("g{n}")).collect(),
                    status: groups % 4,
                    name: "stranger".to_owned(),
                    headers: Vec::new(),
                };
                self.say(on, &Command::Hello(Box::new(hello)), 0, Content::new());
            }
            Operation::Say { on, command, gap } => {
                let group = || "g1".into();
                let status = command;
                let (command, with) = match command % 8 {
                    0 | 1 => (Command::Whisper, content(b"w")),
                    2 => (Command::Shout { group: group() }, content(b"s")),
                    3 => (Command::Ping, Content::new()),
                    4 => (Command::PingOk, Content::new()),
                    5 => (
                        Command::Join {
                            group: group(),
                            status,
                        },
                        Content::new(),
                    ),
                    6 => (
                        Command::Leave {
                            group: group(),
                            status,
                        },
                        Content::new(),
                    ),
                    _ => (Command::Whisper, Content::new()),
                };
                self.say(on, &command, gap, with);
            }
            Operation::SayRaw { on, octets, len } => {
                if let Some(index) = self.intruder(on) {
                    let connection = self.intruders[index].connection;
                    let octets = &octets[..usize::from(len % 9)];
                    self.mesh.say(connection, octets, Content::new());
                }
            }
            _ => {}
        }
    }

    /// HELLO begins anew; anything else goes on, with a gap in one of eight.
    fn say(&mut self, on: u8, command: &Command<'_>, gap: u8, content: Content) {
        let Some(index) = self.intruder(on) else {
            return;
        };
        let intruder = &mut self.intruders[index];
        intruder.number = match command {
            Command::Hello(_) => 1,
            _ => intruder.number.wrapping_add(1 + u16::from(gap % 8 == 7)),
        };
        let mut header = Vec::new();
        command.encode(intruder.number, &mut header);
        self.mesh.say(intruder.connection, &header, content);
    }

    fn intruder(&self, on: u8) -> Option<usize> {
        let count = self.intruders.len();
        (count > 0).then(|| count - 1 - usize::from(on) % count.min(4))
    }

    /// Of one of the nodes, or of somebody who is none.
    fn identity(&self, who: u8) -> PeerId {
        match usize::from(who) % 4 {
            node if node < NODES => self.mesh.hosts[node].zre.id(),
            other => PeerId::new([200 + other as u8; 16]),
        }
    }

    fn whisper(&mut self, node: usize) {
        self.said += 1;
        let other = self.mesh.hosts[1 - node].zre.id();
        let mut octets = vec![node as u8];
        octets.extend(self.said.to_be_bytes());
        let sent = self
            .mesh
            .with(node, |zre, now| zre.whisper(now, other, content(&octets)));
        crate::show(&sent);
    }

    /// All is well again in the end.
    fn finish(&mut self) {
        self.mesh.expel();
        self.mesh.is_deaf = false;
        self.live(PATIENCE);
        self.assert_agreement();
        let ids = self.ids();
        self.live(Duration::from_secs(10));
        self.assert_agreement();
        assert_eq!(ids, self.ids());
        self.talk();
    }

    /// Time passes in small steps, and all arrives at once.
    fn live(&mut self, time: Duration) {
        let end = self.mesh.now + time;
        while self.mesh.now < end {
            self.mesh.settle();
            let next = self.mesh.hosts.iter();
            let next = next.filter_map(|host| host.zre.poll_timeout()).min();
            let step = next.map_or(time, |at| at.saturating_duration_since(self.mesh.now));
            self.mesh
                .pass(step.max(Duration::from_millis(1)).min(end - self.mesh.now));
        }
        self.mesh.settle();
    }

    fn ids(&self) -> Vec<PeerId> {
        self.mesh.hosts.iter().map(|host| host.zre.id()).collect()
    }

    fn assert_agreement(&self) {
        for (node, host) in self.mesh.hosts.iter().enumerate() {
            let other = &self.mesh.hosts[1 - node].zre;
            let own = other.own_groups().iter().map(ToString::to_string).collect();
            assert_eq!(
                host.watcher.sees(other.id()),
                Some(&own),
                "{node} sees the other"
            );
            assert_eq!(host.zre.peers().count(), 1, "{node} sees nobody else");
        }
    }

    /// And what is said is heard.
    fn talk(&mut self) {
        for node in 0..NODES {
            self.whisper(node);
            self.mesh.settle();
            let heard = &self.mesh.hosts[1 - node].watcher.heard;
            assert_eq!(heard.get(&(node as u8)), Some(&self.said));
        }
    }
}

fn node_of(number: u8) -> usize {
    usize::from(number) % NODES
}

/// A node or the stranger.
fn any_of(number: u8) -> usize {
    usize::from(number) % (NODES + 1)
}

const OPERATIONS_MAX: usize = 300;
/// Silence ends a peer after 30 s; then it is met again.
const PATIENCE: Duration = Duration::from_secs(50);
