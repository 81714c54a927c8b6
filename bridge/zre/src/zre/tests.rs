//! One rule, one test: a node, and the test in the place of its peers and caller.

mod connections;
mod introductions;
mod limits;
mod meetings;
mod messages;
mod operations;
mod security;
mod shared;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::smallvec;

use crate::command::{Command, Hello};
use crate::output::{Content, DialEnd, DialId, Event, ExitReason, LinkId, Output};
use crate::{Beacon, Config, HEADER_BRIDGE, HelloLimits, PeerId, Zre, decode};

const OUR_PORT: u16 = 49000;
const PEER_PORT: u16 = 49152;

/// A node with a clock, and what it has asked for.
struct Bench {
    zre: Zre,
    now: Instant,
    links: u64,
}

/// A peer, played by the test.
#[derive(Clone, Copy)]
struct Player {
    id: PeerId,
    addr: SocketAddr,
    link: LinkId,
    dial: DialId,
    sequence: u16,
}

fn peer_id(number: u8) -> PeerId {
    PeerId::new([number; 16])
}

fn peer_addr(number: u8) -> SocketAddr {
    ([10, 0, 0, number], PEER_PORT).into()
}

fn our_addr() -> SocketAddr {
    ([10, 0, 0, 100], 50000).into()
}

fn text(text: &'static str) -> Content {
    smallvec![bytes::Bytes::from_static(text.as_bytes())]
}

fn hello_of(addr: SocketAddr) -> Hello {
    Hello {
        endpoint: format!("tcp://{addr}"),
        groups: vec!["ZOCP".into()],
        status: 1,
        name: format!("peer {}", addr.ip()),
        headers: Vec::new(),
    }
}

fn frame(command: &Command<'_>, sequence: u16) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(sequence, &mut out);
    out
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let now = Instant::now();
        let mut config = Config::new(peer_id(100), "us", OUR_PORT, 7);
        config.beacon = false;
        config.groups = vec!["ZOCP".try_into().unwrap()];
        change(&mut config);
        let zre = Zre::new(now, config);
        Self { zre, now, links: 0 }
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.zre.poll_output()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let outputs = self.outputs().into_iter();
        let events = outputs.filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    fn exits(&mut self) -> Vec<ExitReason> {
        let events = self.events().into_iter();
        let exits = events.filter_map(|event| match event {
            Event::Exited { reason, .. } => Some(reason),
            _ => None,
        });
        exits.collect()
    }

    /// The commands that were sent, with their numbers.
    fn sent(&mut self) -> Vec<(Command<'static>, u16)> {
        let outputs = self.outputs().into_iter();
        let sent = outputs.filter_map(|output| match output {
            Output::Send { header, .. } => {
                let header: &'static [u8] = Box::leak(header.to_vec().into_boxed_slice());
                Some(decode(header, &HelloLimits::default()).unwrap())
            }
            _ => None,
        });
        sent.collect()
    }

    fn dialed(&mut self) -> Option<(DialId, String)> {
        let outputs = self.outputs().into_iter();
        let mut dials = outputs.filter_map(|output| match output {
            Output::Dial { dial, endpoint, .. } => Some((dial, endpoint.to_string())),
            _ => None,
        });
        dials.next()
    }

    /// Lets time pass, and everything happen that falls due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.zre.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.zre.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn beacon(&mut self, id: PeerId, from: SocketAddr, port: u16) {
        let octets = Beacon::V1 { id, port }.encode();
        self.zre.handle_beacon(self.now, from, &octets);
    }

    fn open_link(&mut self, id: PeerId, remote: SocketAddr) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        let opened = self
            .zre
            .link_opened(self.now, link, remote, &id.routing_id());
        opened.unwrap();
        link
    }

    fn say_on(&mut self, link: LinkId, command: &Command<'_>, sequence: u16, content: Content) {
        let frame = frame(command, sequence);
        self.zre.link_message(self.now, link, &frame, content);
    }

    fn ready(&mut self, dial: DialId, remote: SocketAddr) {
        self.zre.dial_ready(self.now, dial, our_addr(), remote);
    }

    /// A peer that has greeted us and was greeted; nothing is left to drain.
    fn meet(&mut self, number: u8) -> Player {
        self.meet_as(number, |_| {})
    }

    fn meet_bridge(&mut self, number: u8) -> Player {
        self.meet_as(number, |hello| {
            hello.headers = vec![(HEADER_BRIDGE.into(), "1".into())];
        })
    }

    fn meet_as(&mut self, number: u8, change: impl FnOnce(&mut Hello)) -> Player {
        let (id, addr) = (peer_id(number), peer_addr(number));
        let mut hello = hello_of(addr);
        change(&mut hello);
        let link = self.open_link(id, addr);
        self.say_on(link, &Command::Hello(Box::new(hello)), 1, Content::new());
        let (dial, _) = self.dialed().unwrap();
        self.ready(dial, addr);
        self.outputs();
        Player {
            id,
            addr,
            link,
            dial,
            sequence: 1,
        }
    }

    /// The next message of a peer.
    fn say(&mut self, player: &mut Player, command: &Command<'_>, content: Content) {
        player.sequence = player.sequence.wrapping_add(1);
        self.say_on(player.link, command, player.sequence, content);
    }

    fn whisper(&mut self, player: &Player, content: Content) {
        self.zre.whisper(self.now, player.id, content).unwrap();
    }
}
