//! Two nodes of ZRE and a stranger on a network whose every step the input chooses.
//!
//! Model: what a node asks for goes to a queue: datagrams to each node, and for each connection what goes
//! forth and what comes back. A queue keeps its order; which one moves next is the input's choice. The
//! stranger has no node: it forges datagrams, opens connections under any identity, and says anything.
//! Each node has a [`Watcher`], which knows what a caller may rely on.
//! Limits: [`CONNECTIONS_MAX`] connections; beyond, a dial is refused.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zocp_zre::{
    Config, Content, DialEnd, DialId, Endpoint, HEADER_BRIDGE, Header, LinkId, Output, PeerId, Zre,
};

use crate::watcher::Watcher;

/// How many nodes there are.
pub(crate) const NODES: usize = 2;
/// Behind the nodes, who is none.
pub(crate) const STRANGER: usize = NODES;
pub(crate) const CONNECTIONS_MAX: usize = 512;

/// One node and what it relies on.
pub(crate) struct Host {
    pub(crate) zre: Zre,
    pub(crate) watcher: Watcher,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
}

enum Item {
    Message(Header, Content),
    Close,
}

/// From a dial of `from` to a link of `to`; the numbers of both are that of the connection.
struct Connection {
    from: usize,
    to: usize,
    /// Of the node that dialed; the stranger has none.
    dial: Option<DialId>,
    stage: Stage,
    forth: VecDeque<Item>,
    is_linked: bool,
    is_dialing: bool,
    /// The other end has closed; to be told.
    back_closes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The dial is on its way.
    Dialed,
    /// The link is there, the dial is to be told.
    Accepted,
    Open,
    Over,
}

pub(crate) struct Mesh {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    connections: Vec<Connection>,
    /// No beacon arrives.
    pub(crate) is_deaf: bool,
    next_id: u8,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let mut mesh = Self {
            now,
            hosts: Vec::new(),
            connections: Vec::new(),
            is_deaf: false,
            next_id: 0,
        };
        for node in 0..NODES {
            let host = mesh.host(node);
            mesh.hosts.push(host);
        }
        mesh.drain();
        mesh
    }

    fn host(&mut self, node: usize) -> Host {
        self.next_id = self.next_id.wrapping_add(1);
        let id = PeerId::new([self.next_id; 16]);
        let mut config = Config::new(id, &format!("node {node}"), PORT, u64::from(self.next_id));
        config.groups = vec!["ZOCP".try_into().expect("a name")];
        config.limits.links_max = 16;
        config.limits.peers_max = 8;
        config.limits.held_messages_max = 32;
        if node == 0 {
            config.headers = vec![(HEADER_BRIDGE.to_owned(), "1".to_owned())];
        }
        let watcher = Watcher::new(&config, address(node));
        let mut zre = Zre::new(self.now, config);
        zre.own_address(address(node).ip());
        Host {
            zre,
            watcher,
            datagrams: VecDeque::new(),
        }
    }

    /// The process ends without a word, and another begins in its place.
    pub(crate) fn restart(&mut self, node: usize) {
        for index in 0..self.connections.len() {
            if self.connections[index].from == node {
                self.dialer_closes(index);
            }
            if self.connections[index].to == node {
                self.listener_closes(index);
            }
        }
        self.hosts[node] = self.host(node);
        self.drain();
    }

    /// Calls a node and carries out what it asks.
    pub(crate) fn with<T>(&mut self, node: usize, call: impl FnOnce(&mut Zre, Instant) -> T) -> T {
        let result = call(&mut self.hosts[node].zre, self.now);
        self.drain();
        result
    }

    /// Time passes, and all falls due that does.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.hosts.iter().filter_map(|host| host.zre.poll_timeout());
            let Some(at) = due.min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            for node in 0..NODES {
                self.with(node, |zre, now| zre.handle_timeout(now));
            }
        }
        self.now = end;
    }

    /// One queue moves by one; which, of those that can, is chosen. Whether one could.
    pub(crate) fn step(&mut self, choice: usize) -> bool {
        let mut ready: Vec<Move> = Vec::new();
        for (node, host) in self.hosts.iter().enumerate() {
            if !host.datagrams.is_empty() {
                ready.push(Move::Datagram(node));
            }
        }
        for (index, connection) in self.connections.iter().enumerate() {
            ready.extend(connection.moves(index));
        }
        if ready.is_empty() {
            return false;
        }
        match ready[choice % ready.len()] {
            Move::Datagram(node) => {
                let (from, octets) = self.hosts[node].datagrams.pop_front().expect("one");
                self.with(node, |zre, now| zre.handle_beacon(now, from, &octets));
            }
            Move::Accept(index) => self.accept(index),
            Move::Ready(index) => self.dial_ready(index),
            Move::Forth(index) => self.forth(index),
            Move::Back(index) => self.back(index),
        }
        true
    }

    /// Everything arrives that is on its way.
    pub(crate) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if !self.step(0) {
                return;
            }
        }
        panic!("the mesh does not come to rest");
    }

    pub(crate) fn forge(&mut self, to: usize, from: SocketAddr, octets: Vec<u8>) {
        let queue = &mut self.hosts[to].datagrams;
        if queue.len() < DATAGRAMS_MAX {
            queue.push_back((from, octets));
        }
    }

    /// The stranger opens a connection; `None` if it is refused.
    pub(crate) fn intrude(
        &mut self,
        to: usize,
        from: SocketAddr,
        identity: &[u8],
    ) -> Option<usize> {
        let index = self.connect(STRANGER, to, None)?;
        let link = LinkId(index as u64);
        self.hosts[to].watcher.link_opened(link);
        let taken = self.with(to, |zre, now| zre.link_opened(now, link, from, identity));
        if taken.is_err() {
            self.hosts[to].watcher.link_closed(link);
            self.connections[index].stage = Stage::Over;
            return None;
        }
        let connection = &mut self.connections[index];
        connection.stage = Stage::Open;
        connection.is_linked = true;
        Some(index)
    }

    /// The stranger says something on a connection of its own.
    pub(crate) fn say(&mut self, index: usize, header: &[u8], content: Content) {
        let connection = &mut self.connections[index];
        if connection.from == STRANGER && connection.is_dialing {
            let header = Header::from_slice(header);
            connection.forth.push_back(Item::Message(header, content));
        }
    }

    /// Both ends of a connection see it close, and what is on its way is lost.
    pub(crate) fn reset(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        connection.forth.clear();
        if connection.is_linked {
            connection.forth.push_back(Item::Close);
        }
        connection.back_closes = connection.is_dialing;
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The stranger goes.
    pub(crate) fn expel(&mut self) {
        for index in 0..self.connections.len() {
            if self.connections[index].from == STRANGER {
                self.dialer_closes(index);
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize, dial: Option<DialId>) -> Option<usize> {
        if self.connections.len() >= CONNECTIONS_MAX {
            return None;
        }
        self.connections.push(Connection {
            from,
            to,
            dial,
            stage: Stage::Dialed,
            forth: VecDeque::new(),
            is_linked: false,
            is_dialing: true,
            back_closes: false,
        });
        Some(self.connections.len() - 1)
    }

    fn accept(&mut self, index: usize) {
        let Connection { from, to, .. } = self.connections[index];
        let identity = self.hosts[from].zre.id().routing_id();
        let link = LinkId(index as u64);
        let remote = SocketAddr::new(address(from).ip(), 50_000);
        self.connections[index].stage = Stage::Accepted;
        self.connections[index].is_linked = true;
        self.hosts[to].watcher.link_opened(link);
        let taken = self.with(to, |zre, now| zre.link_opened(now, link, remote, &identity));
        if taken.is_err() {
            self.hosts[to].watcher.link_closed(link);
            self.connections[index].is_linked = false;
            self.end_dial(index, DialEnd::Refused);
        }
    }

    fn dial_ready(&mut self, index: usize) {
        let Connection { from, to, dial, .. } = self.connections[index];
        self.connections[index].stage = Stage::Open;
        let Some(dial) = dial.filter(|_| self.connections[index].is_dialing) else {
            return;
        };
        let local = SocketAddr::new(address(from).ip(), 50_000);
        self.hosts[from].watcher.dial_ready(dial);
        self.with(from, |zre, now| {
            zre.dial_ready(now, dial, local, address(to))
        });
    }

    fn forth(&mut self, index: usize) {
        let to = self.connections[index].to;
        let item = self.connections[index].forth.pop_front();
        if !self.connections[index].is_linked {
            return;
        }
        let link = LinkId(index as u64);
        match item {
            Some(Item::Message(header, content)) => {
                self.with(to, |zre, now| zre.link_message(now, link, &header, content));
            }
            Some(Item::Close) => {
                self.connections[index].is_linked = false;
                self.hosts[to].watcher.link_closed(link);
                self.with(to, |zre, now| zre.link_closed(now, link));
            }
            None => {}
        }
    }

    fn back(&mut self, index: usize) {
        self.connections[index].back_closes = false;
        self.end_dial(index, DialEnd::Closed);
    }

    fn end_dial(&mut self, index: usize, end: DialEnd) {
        let connection = &mut self.connections[index];
        connection.stage = Stage::Over;
        let was_dialing = std::mem::take(&mut connection.is_dialing);
        let (from, dial) = (connection.from, connection.dial);
        if let Some(dial) = dial.filter(|_| was_dialing) {
            self.hosts[from].watcher.dial_closed(dial);
            self.with(from, |zre, now| zre.dial_closed(now, dial, end));
        }
    }

    fn dialer_closes(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.is_dialing = false;
        match connection.stage {
            Stage::Dialed => connection.stage = Stage::Over,
            _ if connection.is_linked => connection.forth.push_back(Item::Close),
            _ => {}
        }
    }

    fn listener_closes(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.is_linked = false;
        connection.forth.clear();
        connection.back_closes = connection.is_dialing;
    }

    fn drain(&mut self) {
        for node in 0..self.hosts.len() {
            while let Some(output) = self.hosts[node].zre.poll_output() {
                crate::show(&(node, &output));
                self.hosts[node].watcher.check(&output);
                self.carry_out(node, output);
            }
            let host = &mut self.hosts[node];
            host.watcher.compare(&host.zre);
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Beacon(octets) => {
                for to in 0..self.hosts.len() {
                    if !self.is_deaf {
                        let from = SocketAddr::new(address(node).ip(), 5670);
                        self.forge(to, from, octets.to_vec());
                    }
                }
            }
            Output::Dial { dial, endpoint, .. } => self.dial(node, dial, &endpoint),
            Output::Send {
                dial,
                header,
                content,
            } => {
                let index = self.index(node, dial);
                let connection = &mut self.connections[index];
                connection.forth.push_back(Item::Message(header, content));
            }
            Output::HangUpDial(dial) => {
                let index = self.index(node, dial);
                self.dialer_closes(index);
            }
            Output::HangUpLink(LinkId(index)) => self.listener_closes(index as usize),
            Output::Event(_) => {}
            other => panic!("{other:?} is not carried out"),
        }
    }

    /// To a node that is there, or else to nobody, which is refused at once.
    fn dial(&mut self, node: usize, dial: DialId, endpoint: &Endpoint) {
        let to = (0..NODES).find(|to| endpoint.socket_addr() == Some(address(*to)));
        let to_whom = to.unwrap_or(node);
        match self.connect(node, to_whom, Some(dial)) {
            Some(index) if to.is_none() => {
                // In a moment, as a network would.
                self.connections[index].stage = Stage::Over;
                self.connections[index].back_closes = true;
            }
            Some(_) => {}
            None => {
                self.hosts[node].watcher.dial_closed(dial);
                let now = self.now;
                self.hosts[node]
                    .zre
                    .dial_closed(now, dial, DialEnd::Unreachable);
            }
        }
    }

    fn index(&self, node: usize, dial: DialId) -> usize {
        let is_it = |c: &Connection| c.from == node && c.dial == Some(dial) && c.is_dialing;
        let found = self.connections.iter().rposition(is_it);
        found.expect("on a connection that is there")
    }
}

#[derive(Clone, Copy)]
enum Move {
    Datagram(usize),
    Accept(usize),
    Ready(usize),
    Forth(usize),
    Back(usize),
}

impl Connection {
    fn moves(&self, index: usize) -> Option<Move> {
        match self.stage {
            Stage::Dialed => Some(Move::Accept(index)),
            _ if self.back_closes => Some(Move::Back(index)),
            Stage::Accepted if self.is_dialing => Some(Move::Ready(index)),
            _ if !self.forth.is_empty() => Some(Move::Forth(index)),
            _ => None,
        }
    }
}

/// Where a node's mailbox is; the stranger's too, which nobody answers at.
pub(crate) fn address(node: usize) -> SocketAddr {
    ([10, 0, 0, 1 + node as u8], PORT).into()
}

/// A message's content.
pub(crate) fn content(octets: &[u8]) -> Content {
    Content::from_iter([Bytes::copy_from_slice(octets)])
}

pub(crate) const PORT: u16 = 49152;
const DATAGRAMS_MAX: usize = 64;
const STEPS_MAX: usize = 20_000;
