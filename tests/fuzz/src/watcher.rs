//! What a caller of `Zre` may rely on, checked output by output.
//!
//! Invariants:
//! W1. Events of a peer come between its `Entered` and its `Exited`; its groups are what `Entered`,
//! `Joined` and `Left` told; so is the view at any time.
//! W2. On a dial that is ready HELLO is the first message, with number 1; numbers count up by one; the
//! status of JOIN and LEAVE counts on from HELLO's (a wrong one aborts a zyre); WHISPER and SHOUT have
//! content, the others have none.
//! W3. Nothing is sent on, and nobody hangs up, a connection that is not there.
//! W4. Whispers of one node that count up arrive counting up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use zocp_zre::{
    Command, Config, Content, DialId, Event, HelloLimits, LinkId, Output, PeerId, Zre, decode,
};

/// One node's.
pub(crate) struct Watcher {
    address: SocketAddr,
    peers_max: usize,
    present: BTreeMap<PeerId, BTreeSet<String>>,
    dials: BTreeMap<DialId, Dial>,
    dials_last: Option<DialId>,
    links: BTreeSet<LinkId>,
    /// The numbers of the whispers that came, by who counted.
    pub(crate) heard: BTreeMap<u8, u32>,
}

#[derive(Debug, Default)]
struct Dial {
    is_ready: bool,
    /// Number and status of the last message.
    last: Option<(u16, u8)>,
}

impl Watcher {
    pub(crate) fn new(config: &Config, address: SocketAddr) -> Self {
        Self {
            address,
            peers_max: config.limits.peers_max,
            present: BTreeMap::new(),
            dials: BTreeMap::new(),
            dials_last: None,
            links: BTreeSet::new(),
            heard: BTreeMap::new(),
        }
    }

    pub(crate) fn link_opened(&mut self, link: LinkId) {
        self.links.insert(link);
    }

    pub(crate) fn link_closed(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    pub(crate) fn dial_ready(&mut self, dial: DialId) {
        self.dials.get_mut(&dial).expect("dialed").is_ready = true;
    }

    pub(crate) fn dial_closed(&mut self, dial: DialId) {
        self.dials.remove(&dial);
    }

    pub(crate) fn check(&mut self, output: &Output) {
        match output {
            Output::Dial {
                dial,
                endpoint,
                key,
            } => {
                assert!(key.is_none(), "an open mesh");
                assert!(self.dials_last.is_none_or(|last| last < *dial), "a new one");
                assert_ne!(endpoint.socket_addr(), Some(self.address), "not ourselves");
                self.dials_last = Some(*dial);
                self.dials.insert(*dial, Dial::default());
                assert!(self.dials.len() <= self.peers_max, "one for each peer");
            }
            Output::Send {
                dial,
                header,
                content,
            } => self.sent(*dial, header, content),
            Output::HangUpDial(dial) => {
                assert!(self.dials.remove(dial).is_some(), "W3 {dial:?}");
            }
            Output::HangUpLink(link) => assert!(self.links.remove(link), "W3 {link:?}"),
            Output::Event(event) => self.happened(event),
            _ => {}
        }
    }

    /// The view is what the events told.
    pub(crate) fn compare(&self, zre: &Zre) {
        let view: BTreeMap<PeerId, BTreeSet<String>> = zre
            .peers()
            .map(|peer| {
                let groups = peer.groups().iter().map(ToString::to_string);
                (peer.id(), groups.collect())
            })
            .collect();
        assert_eq!(view, self.present);
        assert!(view.len() <= self.peers_max);
    }

    pub(crate) fn sees(&self, peer: PeerId) -> Option<&BTreeSet<String>> {
        self.present.get(&peer)
    }

    fn sent(&mut self, dial: DialId, header: &[u8], content: &Content) {
        let on = self.dials.get_mut(&dial).expect("W3: dialed");
        assert!(on.is_ready, "W3");
        let (command, number) = decode(header, &HelloLimits::default()).expect("a command");
        let (wanted, status) = match (&command, on.last) {
            (Command::Hello(hello), None) => (1, hello.status),
            (Command::Hello(_), Some(_)) | (_, None) => panic!("W2: {command:?} out of turn"),
            (
                Command::Join { status, .. } | Command::Leave { status, .. },
                Some((last, before)),
            ) => {
                assert_eq!(*status, before.wrapping_add(1), "W2");
                (last.wrapping_add(1), *status)
            }
            (_, Some((last, before))) => (last.wrapping_add(1), before),
        };
        assert_eq!(number, wanted, "W2");
        on.last = Some((number, status));
        let wants_content = matches!(command, Command::Whisper | Command::Shout { .. });
        assert_eq!(wants_content, !content.is_empty(), "W2");
        assert!(!matches!(command, Command::Other(_)));
    }

    fn happened(&mut self, event: &Event) {
        match event {
            Event::Entered { peer, groups, .. } => {
                let groups = groups.iter().map(ToString::to_string).collect();
                assert!(self.present.insert(*peer, groups).is_none(), "W1");
            }
            Event::Exited { peer, .. } => {
                assert!(self.present.remove(peer).is_some(), "W1");
            }
            Event::Joined { peer, group } => {
                assert!(self.groups(*peer).insert(group.to_string()), "W1");
            }
            Event::Left { peer, group } => {
                assert!(self.groups(*peer).remove(group.as_str()), "W1");
            }
            Event::Whispered { peer, content } => {
                self.groups(*peer);
                self.whispered(content);
            }
            Event::Shouted { peer, content, .. } => {
                self.groups(*peer);
                assert!(!content.is_empty());
            }
            Event::Evasive { peer }
            | Event::Returned { peer }
            | Event::Unreachable { peer, .. }
            | Event::PingAnswered { peer, .. }
            | Event::Renewed { peer }
            | Event::Unblocked { peer } => {
                self.groups(*peer);
            }
            _ => {}
        }
    }

    fn groups(&mut self, peer: PeerId) -> &mut BTreeSet<String> {
        self.present
            .get_mut(&peer)
            .expect("W1: of a peer that is here")
    }

    /// Content of five octets is a node's: who counts, and how far.
    fn whispered(&mut self, content: &Content) {
        let Some(Ok([who, number @ ..])) =
            content.first().map(|frame| <[u8; 5]>::try_from(&**frame))
        else {
            return;
        };
        let number = u32::from_be_bytes(number);
        let last = self.heard.insert(who, number);
        assert!(
            last.is_none_or(|last| last < number),
            "W4: {number} after {last:?}"
        );
    }
}
