//! The core of ZRE: a node on the mesh, and what it knows of all others.
//!
//! Model: this file has the state. Each file below has one part of `impl Zre`: `discovery` (beacons, and endpoints that a
//! user gives), `links` (messages from peers), `greeting` (HELLO, and the groups of peers), `dials` (the connections that
//! this node opens), `shared` (connections that carry the messages of both nodes), `messages` (messages to peers, this
//! node's groups), `departures` (peers that leave), `address_limits` (what one address may cost), `timeouts` (time),
//! `keys` (the keys of a secure mesh), `view` (queries).
//! Invariants: ZRE-1. `dials` holds exactly the connections of the mailboxes. ZRE-2. A link
//! with a peer is the `link` of that peer's presence. ZRE-3. `members` holds a peer in
//! exactly the groups of its presence. ZRE-4. After a change to a peer's phase it is
//! armed again (`Timers`).

mod address_limits;
mod departures;
mod dials;
mod discovery;
mod greeting;
mod keys;
mod links;
mod messages;
mod shared;
mod timeouts;
mod view;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use view::PeerView;

use crate::hash::IdHash;
use crate::output::{DialId, Event, LinkId, Output, RejectReason};
use crate::peers::{Key, Peers};
use crate::slots::Slots;
use crate::timers::Timers;
use crate::trust::Trust;
use crate::{Config, GroupName};
use links::Link;

/// A node on the mesh. See the crate's page for how to drive it.
#[derive(Debug)]
pub struct Zre {
    config: Config,
    /// The groups that this node is in, and the count of its joins and leaves.
    own_groups: Vec<GroupName>,
    status: u8,
    /// The known addresses of this host.
    own_addresses: Vec<IpAddr>,
    peers: Peers,
    members: HashMap<GroupName, Vec<Key>>,
    links: HashMap<LinkId, Link, IdHash>,
    /// Links in the order of their opening, until their HELLO is due.
    unhailed: VecDeque<(Instant, LinkId)>,
    dials: HashMap<DialId, Key, IdHash>,
    /// Those of them that are being made, and hold a slot of this address.
    making: HashMap<DialId, IpAddr, IdHash>,
    slots: Slots,
    dials_made: u64,
    timers: Timers,
    /// On a secure mesh.
    trust: Option<Trust>,
    beacon_at: Option<Instant>,
    /// The rejections of late, each of which is reported once.
    rejected: VecDeque<(Instant, IpAddr, RejectReason)>,
    random: u64,
    /// Whether the caller does not read the links at present.
    is_deaf: bool,
    is_shut_down: bool,
    outputs: VecDeque<Output>,
}

/// How long, and how many of, the rejections are remembered.
const REJECTED_FOR: Duration = Duration::from_secs(60);
const REJECTED_MAX: usize = 64;

/// Own addresses remembered; a host with more may dial itself once in a while.
const OWN_ADDRESSES_MAX: usize = 256;

impl Zre {
    /// A node that enters the mesh now: its first beacon waits in
    /// [`Self::poll_output`].
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let hash = IdHash::new(config.seed);
        let mut own_groups = config.groups.clone();
        own_groups.sort();
        own_groups.dedup();
        let mut zre = Self {
            status: own_groups.len() as u8,
            own_groups,
            own_addresses: Vec::new(),
            peers: Peers::new(hash),
            members: HashMap::new(),
            links: HashMap::with_hasher(hash),
            unhailed: VecDeque::new(),
            dials: HashMap::with_hasher(hash),
            making: HashMap::with_hasher(hash),
            slots: Slots::new(config.limits.dials_per_address_max),
            dials_made: 0,
            timers: Timers::default(),
            trust: config.security.as_ref().map(Trust::new),
            beacon_at: None,
            rejected: VecDeque::new(),
            random: config.seed,
            is_deaf: false,
            is_shut_down: false,
            outputs: VecDeque::new(),
            config,
        };
        zre.announce(now);
        zre
    }

    /// The next output, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due, unless something else happens first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_shut_down {
            return None;
        }
        let unhailed = self.unhailed.front().map(|(at, _)| *at);
        [self.beacon_at, unhailed, self.timers.next()]
            .into_iter()
            .flatten()
            .min()
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Arms a peer's next deadline.
    fn arm(&mut self, key: Key) {
        if let Some(peer) = self.peers.at(key) {
            let deadline = peer.deadline(&self.config.times);
            self.timers.arm(key, deadline);
        }
    }

    /// Reports that a node was refused, once in a while.
    fn tell_rejected(&mut self, now: Instant, remote: SocketAddr, why: RejectReason) {
        let old = |at: Instant| now.saturating_duration_since(at) >= REJECTED_FOR;
        while self.rejected.front().is_some_and(|(at, ..)| old(*at)) {
            self.rejected.pop_front();
        }
        let ip = remote.ip();
        let told = |(_, a, w): &(Instant, IpAddr, RejectReason)| *a == ip && *w == why;
        if self.rejected.iter().any(told) {
            return;
        }
        if self.rejected.len() == REJECTED_MAX {
            self.rejected.pop_front();
        }
        self.rejected.push_back((now, ip, why));
        self.event(Event::PeerRejected { remote, why });
    }

    /// Between the `failures`th failed attempt and the next: doubled each time, with
    /// a quarter left to chance, so that two nodes do not keep meeting halfway.
    fn backoff(&mut self, failures: u32) -> Duration {
        let times = &self.config.times;
        let doubled = times.redial_min.saturating_mul(1 << failures.min(16));
        let whole = doubled.min(times.redial_max);
        whole * 3 / 4 + whole / 4 * u32::from(self.chance()) / 256
    }

    /// A number at random.
    fn chance(&mut self) -> u8 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 32) as u8
    }
}

#[cfg(test)]
mod tests;
