//! Models of zyre and pyre, as far as a peer can tell them from us.
//!
//! What is modelled is what hurts: a gap in the numbers, each with its own wrap; the
//! HELLO of a peer that is ready; silent reconnection; a ROUTER that is deaf to the
//! second connection with one identity; the status whose mismatch is fatal.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::smallvec;
use zocp_zre::{
    Beacon, Command, Content, DialEnd, DialId, Endpoint, Event, ExitReason, Header, Hello,
    HelloLimits, LinkError, LinkId, Output, PeerId, Zre, decode,
};

use super::{Node, PORT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Zyre,
    Pyre,
}

impl Kind {
    fn next(self, number: u16) -> u16 {
        match self {
            Self::Zyre => number.wrapping_add(1),
            Self::Pyre => (number + 1) % 65535,
        }
    }

    const fn evasive(self) -> Duration {
        match self {
            Self::Zyre => Duration::from_secs(5),
            Self::Pyre => Duration::from_secs(10),
        }
    }
}

struct Known {
    dial: DialId,
    endpoint: Endpoint,
    local: Option<SocketAddr>,
    unsent: VecDeque<(Command<'static>, Content)>,
    hello_sent: bool,
    ready: bool,
    sent: u16,
    want: u16,
    status: u8,
    groups: HashSet<String>,
    heard: Instant,
}

pub(crate) struct OldPeer {
    kind: Kind,
    id: PeerId,
    peers: HashMap<PeerId, Known>,
    links: HashMap<LinkId, PeerId>,
    dials_made: u64,
    tick_at: Instant,
    outputs: VecDeque<Output>,
}

impl OldPeer {
    pub(crate) fn new(now: Instant, kind: Kind, id: PeerId) -> Self {
        Self {
            kind,
            id,
            peers: HashMap::new(),
            links: HashMap::new(),
            dials_made: 0,
            tick_at: now,
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn whisper(&mut self, peer: PeerId, content: Content) {
        self.send(peer, Command::Whisper, content);
    }

    pub(crate) fn knows(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|known| known.ready)
    }

    pub(crate) fn groups_of(&self, peer: PeerId) -> HashSet<String> {
        self.peers[&peer].groups.clone()
    }

    fn send(&mut self, peer: PeerId, command: Command<'static>, content: Content) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.unsent.push_back((command, content));
        }
        self.flush(peer);
    }

    fn flush(&mut self, peer: PeerId) {
        let (id, kind) = (self.id, self.kind);
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(local) = known.local else { return };
        if !std::mem::replace(&mut known.hello_sent, true) {
            let hello = Hello {
                endpoint: format!("tcp://{}:{PORT}", local.ip()),
                groups: vec!["ZOCP".into()],
                status: 1,
                name: format!("old {}", id.short()),
                headers: Vec::new(),
            };
            let hello = Command::Hello(Box::new(hello));
            known.unsent.push_front((hello, Content::new()));
        }
        while let Some((command, content)) = known.unsent.pop_front() {
            known.sent = kind.next(known.sent);
            let mut header = Header::new();
            command.encode(known.sent, &mut header);
            self.outputs.push_back(Output::Send {
                dial: known.dial,
                header,
                content,
            });
        }
    }

    fn require(&mut self, now: Instant, peer: PeerId, endpoint: Endpoint) {
        if peer == self.id || self.peers.contains_key(&peer) {
            return;
        }
        let known = Known {
            dial: self.dial(endpoint.clone()),
            endpoint,
            local: None,
            unsent: VecDeque::new(),
            hello_sent: false,
            ready: false,
            sent: 0,
            want: 0,
            status: 0,
            groups: HashSet::new(),
            heard: now,
        };
        self.peers.insert(peer, known);
    }

    fn dial(&mut self, endpoint: Endpoint) -> DialId {
        self.dials_made += 1;
        let dial = DialId(self.dials_made);
        self.outputs.push_back(Output::Dial {
            dial,
            endpoint,
            key: None,
        });
        dial
    }

    fn remove(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.remove(&peer) {
            self.outputs.push_back(Output::HangUpDial(known.dial));
            let reason = ExitReason::SequenceGap;
            let name = "".into();
            self.outputs
                .push_back(Output::Event(Event::Exited { peer, name, reason }));
        }
    }

    fn hello(&mut self, now: Instant, peer: PeerId, hello: Hello) {
        if self.knows(peer) {
            self.remove(peer);
        }
        self.require(now, peer, hello.endpoint.parse().expect("an endpoint"));
        let known = self.peers.get_mut(&peer).expect("required");
        known.ready = true;
        known.want = 1;
        known.heard = now;
        known.status = hello.status;
        known.groups = hello.groups.iter().cloned().collect();
        self.outputs.push_back(Output::Event(Event::Entered {
            peer,
            name: hello.name.into(),
            endpoint: known.endpoint.clone(),
            headers: hello.headers.into(),
            groups: Vec::new(),
        }));
    }
}

impl Node for OldPeer {
    fn beacon(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Some(Beacon::V1 { id, port }) = Beacon::parse(datagram) else {
            panic!("a pyre dies of this datagram");
        };
        if port == 0 {
            return self.remove(id);
        }
        self.require(now, id, SocketAddr::new(from.ip(), port).into());
        if let (Kind::Pyre, Some(known)) = (self.kind, self.peers.get_mut(&id)) {
            known.heard = now;
        }
    }

    fn link_opened(
        &mut self,
        _: Instant,
        link: LinkId,
        _: SocketAddr,
        identity: &[u8],
    ) -> Result<(), LinkError> {
        let peer = PeerId::from_routing_id(identity).expect("17 octets");
        // A second connection with one identity is accepted and never heard.
        if !self.links.values().any(|known| *known == peer) {
            self.links.insert(link, peer);
        }
        Ok(())
    }

    fn link_message(&mut self, now: Instant, link: LinkId, header: &[u8], content: Content) {
        let Some(&peer) = self.links.get(&link) else {
            return;
        };
        let (command, number) = decode(header, &HelloLimits::default()).expect("a command");
        if let Command::Hello(hello) = command {
            assert_eq!(number, 1);
            return self.hello(now, peer, *hello);
        }
        if !self.knows(peer) {
            return;
        }
        let known = self.peers.get_mut(&peer).expect("known");
        known.want = self.kind.next(known.want);
        if known.want != number {
            return self.remove(peer);
        }
        known.heard = now;
        match command {
            Command::Whisper => {
                let event = Event::Whispered { peer, content };
                self.outputs.push_back(Output::Event(event));
            }
            Command::Shout { .. } => assert!(!content.is_empty()),
            Command::Join { group, status } => {
                known.groups.insert(group.into_owned());
                known.status = known.status.wrapping_add(1);
                assert_eq!(known.status, status, "a zyre aborts");
            }
            Command::Leave { group, status } => {
                known.groups.remove(group.as_ref());
                known.status = known.status.wrapping_add(1);
                assert_eq!(known.status, status, "a zyre aborts");
            }
            Command::Ping => self.send(peer, Command::PingOk, Content::new()),
            Command::PingOk => {}
            other => panic!("an old peer does not know {other:?}"),
        }
    }

    fn dial_message(&mut self, _: Instant, _: DialId, header: &[u8], _: Content) {
        panic!("an old node is sent {header:?} on its own connection");
    }
    fn link_closed(&mut self, _: Instant, link: LinkId) {
        self.links.remove(&link);
    }

    fn dial_ready(&mut self, _: Instant, dial: DialId, local: SocketAddr, _: SocketAddr) {
        let found = self.peers.iter_mut().find(|(_, known)| known.dial == dial);
        if let Some((&peer, known)) = found {
            known.local = Some(local);
            self.flush(peer);
        }
    }

    fn dial_closed(&mut self, _: Instant, dial: DialId, _: DialEnd) {
        let found = self.peers.iter().find(|(_, known)| known.dial == dial);
        if let Some((&peer, known)) = found {
            let dial = self.dial(known.endpoint.clone());
            let known = self.peers.get_mut(&peer).expect("found");
            known.dial = dial;
            known.local = None;
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.tick_at = now + Duration::from_secs(1);
        let (id, port) = (self.id, PORT);
        let beacon = Beacon::V1 { id, port };
        self.outputs.push_back(Output::Beacon(beacon.encode()));
        let idle = |known: &Known| now.saturating_duration_since(known.heard);
        let all: Vec<_> = self.peers.iter().map(|(id, k)| (*id, idle(k))).collect();
        for (peer, idle) in all {
            if idle >= Duration::from_secs(30) {
                self.remove(peer);
            } else if idle >= self.kind.evasive() {
                self.send(peer, Command::Ping, Content::new());
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.tick_at)
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn ours(&mut self) -> &mut Zre {
        panic!("this node is old")
    }

    fn old(&mut self) -> &mut Self {
        self
    }
}

/// A whisper that says its number.
pub(crate) fn numbered(number: u32) -> Content {
    smallvec![number.to_be_bytes().to_vec().into()]
}
