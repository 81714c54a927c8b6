//! A mesh in one thread: nodes, a virtual clock, and a network that delays, loses
//! beacons, breaks connections and falls apart, all from one seed.
//!
//! Model: a connection is two queues, one each way, that keep their order; a cut
//! between two hosts holds them, loses beacons and lets no connection come about.
//! Nodes are ours or models of the old ones (`old`), behind one trait. Hosts may be in several networks: then beacons stay
//! in each, and from one to another only hosts that are [`World::dialable`] are reached, over [`World::line`].

pub(crate) mod old;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use zocp_zre::{
    Config, Content, DialEnd, DialId, Endpoint, Event, Header, LinkError, LinkId, NodeKey, Output,
    PeerId, Zre,
};

/// What the network asks of a node.
pub(crate) trait Node {
    fn beacon(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]);
    fn link_opened(
        &mut self,
        now: Instant,
        link: LinkId,
        remote: SocketAddr,
        id: &[u8],
    ) -> Result<(), LinkError>;
    fn link_message(&mut self, now: Instant, link: LinkId, header: &[u8], content: Content);
    fn link_closed(&mut self, now: Instant, link: LinkId);
    /// A message on a connection that the node opened, which old nodes never get.
    fn dial_message(&mut self, now: Instant, dial: DialId, header: &[u8], content: Content);
    fn dial_ready(&mut self, now: Instant, dial: DialId, local: SocketAddr, remote: SocketAddr);
    fn dial_closed(&mut self, now: Instant, dial: DialId, end: DialEnd);
    fn timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_output(&mut self) -> Option<Output>;
    fn ours(&mut self) -> &mut Zre;
    fn old(&mut self) -> &mut old::OldPeer;
}

impl Node for Zre {
    fn beacon(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.handle_beacon(now, from, datagram);
    }
    fn link_opened(
        &mut self,
        now: Instant,
        link: LinkId,
        remote: SocketAddr,
        id: &[u8],
    ) -> Result<(), LinkError> {
        Self::link_opened(self, now, link, remote, id)
    }
    fn link_message(&mut self, now: Instant, link: LinkId, header: &[u8], content: Content) {
        Self::link_message(self, now, link, header, content);
    }
    fn link_closed(&mut self, now: Instant, link: LinkId) {
        Self::link_closed(self, now, link);
    }
    fn dial_message(&mut self, now: Instant, dial: DialId, header: &[u8], content: Content) {
        Self::dial_message(self, now, dial, header, content);
    }
    fn dial_ready(&mut self, now: Instant, dial: DialId, local: SocketAddr, remote: SocketAddr) {
        Self::dial_ready(self, now, dial, local, remote);
    }
    fn dial_closed(&mut self, now: Instant, dial: DialId, end: DialEnd) {
        Self::dial_closed(self, now, dial, end);
    }
    fn timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }
    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }
    fn ours(&mut self) -> &mut Zre {
        self
    }
    fn old(&mut self) -> &mut old::OldPeer {
        panic!("this node is ours")
    }
}

/// A host with one node.
pub(crate) struct Host {
    pub(crate) id: PeerId,
    pub(crate) addr: SocketAddr,
    pub(crate) node: Box<dyn Node>,
    pub(crate) events: Vec<Event>,
    /// Whether the process runs and the cable is in.
    pub(crate) alive: bool,
    wake: Option<Instant>,
    dials: HashMap<DialId, Way>,
}

/// How a host sends to a peer.
#[derive(Clone, Copy)]
enum Way {
    /// On a connection that it opened.
    Forth(usize),
    /// On one that the peer opened.
    Back(usize),
}

/// What travels on a connection.
enum Item {
    Message(Header, Content),
    Close,
}

struct Connection {
    from: usize,
    to: usize,
    dial: DialId,
    forth: VecDeque<Item>,
    back: VecDeque<Item>,
    link_open: bool,
    dial_open: bool,
    /// The key that the listening side has to prove.
    key: Option<NodeKey>,
}

enum Action {
    Beacon {
        to: usize,
        from: SocketAddr,
        octets: Vec<u8>,
    },
    Connect(usize),
    Ready(usize),
    Refused(usize, DialEnd),
    Forth(usize),
    Back(usize),
    Turned(usize, DialId),
    Wake(usize),
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) beacon_loss: f64,
    pub(crate) delay_max: Duration,
    pub(crate) rng: SmallRng,
    cuts: HashSet<(usize, usize)>,
    /// Hosts behind a router that lets no connection in: the attempt is not answered, or refused.
    pub(crate) walled: HashMap<usize, DialEnd>,
    /// The network of a host; 0 where nothing is said.
    pub(crate) network: HashMap<usize, usize>,
    /// Hosts that are reached from other networks.
    pub(crate) dialable: BTreeSet<usize>,
    /// The time that a message takes from one network to another, besides.
    pub(crate) line: Duration,
    /// The keys of hosts that have one.
    pub(crate) keys: HashMap<usize, NodeKey>,
    /// Messages and beacons from one host to another, and the octets of their frames.
    pub(crate) counted: BTreeMap<(usize, usize), (u64, u64)>,
    /// What waits for hosts that sleep.
    asleep: HashMap<usize, Vec<Action>>,
    connections: Vec<Connection>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    actions: HashMap<u64, Action>,
    actions_made: u64,
}

pub(crate) const PORT: u16 = 49152;

impl World {
    #[allow(
        clippy::disallowed_methods,
        reason = "a virtual clock needs a beginning; not every crate forbids it"
    )]
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::now(),
            hosts: Vec::new(),
            beacon_loss: 0.0,
            delay_max: Duration::from_millis(2),
            rng: SmallRng::seed_from_u64(seed),
            cuts: HashSet::new(),
            walled: HashMap::new(),
            network: HashMap::new(),
            dialable: BTreeSet::new(),
            line: Duration::ZERO,
            keys: HashMap::new(),
            counted: BTreeMap::new(),
            asleep: HashMap::new(),
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            actions: HashMap::new(),
            actions_made: 0,
        }
    }

    /// The configuration of the next host's node.
    pub(crate) fn config(&mut self) -> Config {
        let id = PeerId::new(self.rng.random());
        let name = format!("node{}", self.hosts.len());
        Config::new(id, &name, PORT, self.rng.random())
    }

    pub(crate) fn add(&mut self, config: Config) -> usize {
        let id = config.id;
        let node = Zre::new(self.now, config);
        self.add_node(id, Box::new(node))
    }

    pub(crate) fn add_old(&mut self, kind: old::Kind) -> usize {
        let id = PeerId::new(self.rng.random());
        let node = old::OldPeer::new(self.now, kind, id);
        self.add_node(id, Box::new(node))
    }

    fn add_node(&mut self, id: PeerId, node: Box<dyn Node>) -> usize {
        let host = self.hosts.len();
        let ip = [10, 0, (host / 250) as u8, (host % 250 + 1) as u8];
        self.hosts.push(Host {
            id,
            addr: (ip, PORT).into(),
            node,
            events: Vec::new(),
            alive: true,
            wake: None,
            dials: HashMap::new(),
        });
        self.drain(host);
        host
    }

    /// Replaces a host's node, as a restart does: the kernel closes what the old
    /// process had open.
    pub(crate) fn restart(&mut self, host: usize, config: Config) {
        self.kill(host);
        self.hosts[host].alive = true;
        self.hosts[host].id = config.id;
        self.hosts[host].node = Box::new(Zre::new(self.now, config));
        self.drain(host);
    }

    /// The process dies without a word; its kernel closes its connections.
    pub(crate) fn kill(&mut self, host: usize) {
        self.hosts[host].alive = false;
        self.hosts[host].wake = None;
        self.hosts[host].dials.clear();
        for connection in 0..self.connections.len() {
            if self.connections[connection].from == host {
                self.end_dial(connection);
            }
            if self.connections[connection].to == host {
                self.end_link(connection);
            }
        }
    }

    /// Breaks every connection between two hosts at both ends at once, and what is
    /// on its way with it.
    pub(crate) fn reset(&mut self, a: usize, b: usize) {
        for index in 0..self.connections.len() {
            let c = &mut self.connections[index];
            if (c.from, c.to) == (a, b) || (c.from, c.to) == (b, a) {
                c.forth.clear();
                c.back.clear();
                if c.link_open {
                    self.post_forth(index, Item::Close);
                }
                if self.connections[index].dial_open {
                    self.post_back(index, Item::Close);
                }
            }
        }
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cuts.insert((a.min(b), a.max(b)));
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Stops a host as it is. What comes for it waits, as in the buffers of a kernel, and its timers too.
    pub(crate) fn sleep(&mut self, host: usize) {
        self.asleep.entry(host).or_default();
    }

    /// Lets it go on: it finds what waits, its timers before or after all that.
    pub(crate) fn wake(&mut self, host: usize) {
        let waiting = self.asleep.remove(&host).unwrap_or_default();
        let is_timer = |action: &Action| matches!(action, Action::Wake(_));
        let (timers, mut actions): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_timer);
        if !timers.is_empty() {
            self.hosts[host].wake = Some(self.now);
        }
        let at = self.rng.random_range(0..=1) * actions.len();
        actions.splice(at..at, timers);
        actions.into_iter().for_each(|action| self.act(action));
    }

    /// Calls a node and carries out what it asks.
    pub(crate) fn with<T>(
        &mut self,
        host: usize,
        call: impl FnOnce(&mut dyn Node, Instant) -> T,
    ) -> T {
        let result = call(self.hosts[host].node.as_mut(), self.now);
        self.drain(host);
        result
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, number))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            if let Some(action) = self.actions.remove(&number) {
                self.act(action);
            }
        }
        self.now = end;
    }

    pub(crate) fn take_events(&mut self, host: usize) -> Vec<Event> {
        std::mem::take(&mut self.hosts[host].events)
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    fn at(&mut self, at: Instant, action: Action) {
        self.actions_made += 1;
        self.actions.insert(self.actions_made, action);
        self.queue.push(Reverse((at, self.actions_made)));
    }

    fn soon(&mut self, action: Action) {
        let max = self.delay_max.as_nanos() as u64;
        let delay = Duration::from_nanos(self.rng.random_range(max / 10..=max));
        let far = self.pair(&action).filter(|&(a, b)| !self.is_near(a, b));
        let line = far.map_or(Duration::ZERO, |_| self.line);
        self.at(self.now + delay + line, action);
    }

    /// The hosts between which something happens.
    fn pair(&self, action: &Action) -> Option<(usize, usize)> {
        let connection = match action {
            Action::Connect(it) | Action::Ready(it) | Action::Refused(it, _) => *it,
            Action::Forth(it) | Action::Back(it) | Action::Turned(it, _) => *it,
            Action::Beacon { .. } | Action::Wake(_) => return None,
        };
        let Connection { from, to, .. } = self.connections[connection];
        Some((from, to))
    }

    fn is_near(&self, a: usize, b: usize) -> bool {
        self.network.get(&a) == self.network.get(&b)
    }

    fn count(&mut self, from: usize, to: usize, item: &Item) {
        if let Item::Message(header, content) = item {
            // Of a frame, its flags and its length are two octets, or nine.
            let frame = |len: usize| (len + if len < 256 { 2 } else { 9 }) as u64;
            let frames: u64 = content.iter().map(|it| frame(it.len())).sum();
            let count = self.counted.entry((from, to)).or_default();
            *count = (count.0 + 1, count.1 + frame(header.len()) + frames);
        }
    }

    fn post_forth(&mut self, connection: usize, item: Item) {
        let Connection { from, to, .. } = self.connections[connection];
        self.count(from, to, &item);
        self.connections[connection].forth.push_back(item);
        self.soon(Action::Forth(connection));
    }

    fn post_back(&mut self, connection: usize, item: Item) {
        let Connection { from, to, .. } = self.connections[connection];
        self.count(to, from, &item);
        self.connections[connection].back.push_back(item);
        self.soon(Action::Back(connection));
    }

    /// The dialing side closes.
    fn end_dial(&mut self, connection: usize) {
        if std::mem::take(&mut self.connections[connection].dial_open) {
            self.post_forth(connection, Item::Close);
        }
    }

    /// The listening side closes, and reads no more.
    fn end_link(&mut self, connection: usize) {
        if std::mem::take(&mut self.connections[connection].link_open) {
            self.post_back(connection, Item::Close);
        }
    }

    /// The host that an action is for.
    fn taker(&self, action: &Action) -> usize {
        match *action {
            Action::Beacon { to: host, .. } | Action::Wake(host) => host,
            Action::Connect(number) | Action::Forth(number) | Action::Turned(number, _) => {
                self.connections[number].to
            }
            Action::Ready(number) | Action::Refused(number, _) | Action::Back(number) => {
                self.connections[number].from
            }
        }
    }

    fn act(&mut self, action: Action) {
        let taker = self.taker(&action);
        if let Some(waiting) = self.asleep.get_mut(&taker) {
            return waiting.push(action);
        }
        match action {
            Action::Beacon { to, from, octets } => {
                if self.hosts[to].alive {
                    self.with(to, |node, now| node.beacon(now, from, &octets));
                }
            }
            Action::Connect(connection) => self.connect(connection),
            Action::Ready(connection) => {
                let Connection { from, to, dial, .. } = self.connections[connection];
                if self.connections[connection].dial_open {
                    let (local, remote) = (self.hosts[from].addr, self.hosts[to].addr);
                    let local = SocketAddr::new(local.ip(), 50000);
                    self.with(from, |node, now| node.dial_ready(now, dial, local, remote));
                }
            }
            Action::Refused(connection, end) => {
                let Connection { from, dial, .. } = self.connections[connection];
                if std::mem::take(&mut self.connections[connection].dial_open) {
                    self.hosts[from].dials.remove(&dial);
                    self.with(from, |node, now| node.dial_closed(now, dial, end));
                }
            }
            Action::Forth(connection) => self.forth(connection),
            Action::Back(connection) => self.back(connection),
            Action::Turned(connection, dial) => {
                let Connection { from, to, .. } = self.connections[connection];
                if self.connections[connection].link_open {
                    let (local, remote) = (self.hosts[to].addr, self.hosts[from].addr);
                    let remote = SocketAddr::new(remote.ip(), 50000);
                    self.with(to, |node, now| node.dial_ready(now, dial, local, remote));
                }
            }
            Action::Wake(host) => {
                if self.hosts[host].alive && self.hosts[host].wake == Some(self.now) {
                    self.hosts[host].wake = None;
                    self.with(host, |node, now| node.timeout(now));
                }
            }
        }
    }

    fn connect(&mut self, connection: usize) {
        let Connection { from, to, .. } = self.connections[connection];
        if self.is_cut(from, to) {
            let at = self.now + Duration::from_secs(4);
            self.at(at, Action::Refused(connection, DialEnd::TimedOut));
            return;
        }
        let is_far = !self.is_near(from, to) && !self.dialable.contains(&to);
        let wall = self.walled.get(&to);
        if let Some(end) = wall.or_else(|| is_far.then_some(&DialEnd::TimedOut)) {
            let after = match end {
                DialEnd::Refused => Duration::from_millis(1),
                _ => Duration::from_secs(4),
            };
            let (at, end) = (self.now + after, *end);
            return self.at(at, Action::Refused(connection, end));
        }
        let remote = SocketAddr::new(self.hosts[from].addr.ip(), 50000);
        let identity = self.hosts[from].id.routing_id();
        let link = LinkId(connection as u64);
        let taken = self.hosts[to].alive && self.connections[connection].dial_open && {
            self.connections[connection].link_open = true;
            let wanted = self.connections[connection].key;
            let own = self.keys.get(&from).copied().filter(|_| wanted.is_some());
            let is_it = wanted.is_none() || wanted == self.keys.get(&to).copied();
            let open = |node: &mut dyn Node, now| match own {
                Some(key) => {
                    let zre = node.ours();
                    zre.secure_link_opened(now, link, remote, &identity, key)
                }
                None => node.link_opened(now, link, remote, &identity),
            };
            is_it && self.with(to, open).is_ok()
        };
        if taken {
            self.soon(Action::Ready(connection));
        } else {
            self.connections[connection].link_open = false;
            self.soon(Action::Refused(connection, DialEnd::Refused));
        }
    }

    fn forth(&mut self, connection: usize) {
        let Connection { from, to, .. } = self.connections[connection];
        if self.is_cut(from, to) {
            self.at(
                self.now + Duration::from_millis(200),
                Action::Forth(connection),
            );
            return;
        }
        let link = LinkId(connection as u64);
        let item = self.connections[connection].forth.pop_front();
        if !self.connections[connection].link_open || !self.hosts[to].alive {
            return;
        }
        match item {
            Some(Item::Message(header, content)) => {
                self.with(to, |node, now| {
                    node.link_message(now, link, &header, content)
                });
            }
            Some(Item::Close) => {
                self.connections[connection].link_open = false;
                self.with(to, |node, now| node.link_closed(now, link));
            }
            None => {}
        }
    }

    fn back(&mut self, connection: usize) {
        let Connection { from, to, dial, .. } = self.connections[connection];
        if self.is_cut(from, to) {
            self.at(
                self.now + Duration::from_millis(200),
                Action::Back(connection),
            );
            return;
        }
        let item = self.connections[connection].back.pop_front();
        if !self.connections[connection].dial_open || !self.hosts[from].alive {
            return;
        }
        match item {
            Some(Item::Message(header, content)) => {
                self.with(from, |node, now| {
                    node.dial_message(now, dial, &header, content)
                });
            }
            Some(Item::Close) => {
                self.connections[connection].dial_open = false;
                self.hosts[from].dials.remove(&dial);
                let end = DialEnd::Closed;
                self.with(from, |node, now| node.dial_closed(now, dial, end));
            }
            None => {}
        }
    }

    fn drain(&mut self, host: usize) {
        while let Some(output) = self.hosts[host].node.poll_output() {
            self.carry_out(host, output);
        }
        let wake = self.hosts[host].node.poll_timeout();
        if let Some(at) = wake
            && self.hosts[host].wake.is_none_or(|w| at < w)
        {
            let at = at.max(self.now);
            self.hosts[host].wake = Some(at);
            self.at(at, Action::Wake(host));
        }
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        match output {
            Output::Beacon(octets) => self.broadcast(host, &octets),
            Output::Dial {
                dial,
                endpoint,
                key,
            } => self.dial(host, dial, &endpoint, key),
            Output::DialOver { dial, link } => {
                let connection = link.0 as usize;
                self.hosts[host].dials.insert(dial, Way::Back(connection));
                self.soon(Action::Turned(connection, dial));
            }
            Output::Send {
                dial,
                header,
                content,
            } => {
                let item = Item::Message(header, content);
                match self.hosts[host].dials.get(&dial) {
                    Some(&Way::Forth(connection)) => self.post_forth(connection, item),
                    Some(&Way::Back(connection)) => self.post_back(connection, item),
                    None => {}
                }
            }
            Output::HangUpDial(dial) => match self.hosts[host].dials.remove(&dial) {
                Some(Way::Forth(connection)) => self.end_dial(connection),
                Some(Way::Back(connection)) => self.end_link(connection),
                None => {}
            },
            Output::HangUpLink(LinkId(connection)) => self.end_link(connection as usize),
            Output::Event(event) => self.hosts[host].events.push(event),
            other => panic!("{other:?}"),
        }
    }

    fn broadcast(&mut self, host: usize, octets: &[u8]) {
        let from = SocketAddr::new(self.hosts[host].addr.ip(), 5670);
        for to in 0..self.hosts.len() {
            let lost = self.is_cut(host, to) || self.rng.random_bool(self.beacon_loss);
            if !lost && self.is_near(host, to) {
                if host != to {
                    let count = self.counted.entry((host, to)).or_default();
                    *count = (count.0 + 1, count.1 + octets.len() as u64);
                }
                let octets = octets.to_vec();
                self.soon(Action::Beacon { to, from, octets });
            }
        }
    }

    fn dial(&mut self, host: usize, dial: DialId, endpoint: &Endpoint, key: Option<NodeKey>) {
        let to = self
            .hosts
            .iter()
            .position(|h| Some(h.addr) == endpoint.socket_addr());
        let connection = self.connections.len();
        self.connections.push(Connection {
            from: host,
            to: to.unwrap_or(host),
            dial,
            forth: VecDeque::new(),
            back: VecDeque::new(),
            link_open: false,
            dial_open: true,
            key,
        });
        self.hosts[host].dials.insert(dial, Way::Forth(connection));
        match to {
            Some(_) => self.soon(Action::Connect(connection)),
            None => self.soon(Action::Refused(connection, DialEnd::Refused)),
        }
    }
}
