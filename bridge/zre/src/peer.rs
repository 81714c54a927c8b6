//! One peer: what is known of it, and its phase.
//!
//! ```text
//!   beacon, HELLO, manual                HELLO
//!  ──────────────────────▶ heard ──────────────────▶ present ──┐ HELLO again:
//!                           │ ▲                       │    ▲   │ out and in
//!            silent: forget │ └── a connection ended ─┤    └───┘
//!                           ▼     or was misused      │
//!                         (gone) ◀── goodbye, silent ─┘
//! ```
//!
//! Model: a *heard* peer is dialed and greeted until it answers; a *present* one has
//! greeted us. The two connections with it are the one that we dial
//! ([`Mailbox`]) and the *link* that it dialed. A peer whose endpoint came from a
//! user has no id until it answers; it is heard forever.
//! Invariants: PRESENCE-1. A peer has an id when it is present. PRESENCE-2. A link is in
//! [`Presence`] only if its HELLO was read. PRESENCE-3. Between our greeting a present peer
//! afresh and its answer (`awaiting`) there may be no link; at no other time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::config::{Limits, Times};
use crate::mailbox::{Mailbox, Phase};
use crate::output::{Headers, LinkId};
use crate::sequence::Wrap;
use crate::sharing::Sharing;
use crate::{Endpoint, GroupName, NodeKey, PeerId};

/// One peer, heard or present.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: Option<PeerId>,
    /// The key that it must prove: always `Some` on a secure mesh, and never on another.
    pub(crate) key: Option<NodeKey>,
    pub(crate) endpoint: Endpoint,
    /// Further endpoints that its beacons or HELLOs named.
    alternatives: SmallVec<[Endpoint; 1]>,
    /// Whether a beacon named a further endpoint since its connection was made.
    pub(crate) heard_elsewhere: bool,
    /// The address whose HELLO or beacon made this node dial it; `None` if a user did.
    pub(crate) cause: Option<IpAddr>,
    /// Whether it is to be dialed and waits for a slot of `cause`.
    pub(crate) is_waiting: bool,
    /// The endpoints that a user gave for it; they are dialed until it answers.
    pub(crate) manual: SmallVec<[Endpoint; 1]>,
    /// Whether a user took back the only reason to dial it.
    pub(crate) is_unwanted: bool,
    /// Whether it is asked to answer on the connection that this node opens.
    pub(crate) is_asked_to_share: bool,
    /// The last sign of life.
    pub(crate) heard: Instant,
    /// How much earlier than at `silence_ping` it gets a PING when it is silent; drawn at random.
    spread: u8,
    /// The peer that gets this peer's endpoint when this peer is gone.
    pub(crate) contender: Option<(PeerId, Option<NodeKey>)>,
    pub(crate) mailbox: Mailbox,
    pub(crate) presence: Option<Presence>,
}

/// What a peer's HELLO and its later messages said of it.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) link: Option<LinkId>,
    /// A newer link whose HELLO waits until `link` is read to its end.
    pub(crate) successor: Option<Successor>,
    /// A goodbye in its name, which may be forged.
    pub(crate) leaving: Option<Leaving>,
    /// Whether it opened a connection to this node, but none of its endpoints can be dialed, so that nothing can be sent
    /// to it.
    pub(crate) is_unreachable: bool,
    /// Whether its connection is being renewed, and its HELLO is expected in return.
    pub(crate) awaiting: bool,
    pub(crate) name: Arc<str>,
    pub(crate) headers: Headers,
    pub(crate) groups: Vec<GroupName>,
    /// Its count of joins and leaves.
    pub(crate) status: u8,
    pub(crate) wrap: Wrap,
    pub(crate) sharing: Sharing,
    pub(crate) silence: Silence,
}

/// A second link that claims to be of a present peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Successor {
    pub(crate) link: LinkId,
    /// When its HELLO came, and a PING was sent to the peer.
    pub(crate) since: Instant,
    /// How long the end of the former link is waited for.
    pub(crate) until: Instant,
    /// Whether the peer has answered on its former link, so that this one is not its own.
    pub(crate) is_false: bool,
}

/// A goodbye of a peer whose connection lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving {
    /// When it came, and a PING was sent to the peer.
    pub(crate) since: Instant,
    /// If there is no answer until then, the goodbye is taken as true.
    pub(crate) until: Instant,
}

impl Presence {
    /// The peer has answered on its link a PING that was sent at this time: a goodbye or a second link that came before
    /// is not its own.
    pub(crate) fn answered(&mut self, asked: Instant) {
        self.leaving.take_if(|leaving| leaving.since <= asked);
        if let Some(successor) = &mut self.successor {
            successor.is_false |= successor.since <= asked;
        }
    }
}

/// Which node opened the connection that carries the messages of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedWay {
    /// This node.
    Ours,
    /// The peer.
    Theirs,
}

/// How long a peer has been silent, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Not long.
    None,
    /// A PING was sent.
    Asked(Question),
    /// A PING stayed without an answer.
    Evasive(Question),
}

/// The PINGs to a silent peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// When the first was due.
    pub(crate) first: Instant,
    /// When the last was.
    pub(crate) last: Instant,
}

impl Question {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            first: now,
            last: now,
        }
    }
}

impl Peer {
    pub(crate) fn new(
        id: Option<PeerId>,
        key: Option<NodeKey>,
        endpoint: Endpoint,
        now: Instant,
        spread: u8,
    ) -> Self {
        Self {
            id,
            key,
            endpoint,
            alternatives: SmallVec::new(),
            heard_elsewhere: false,
            cause: None,
            is_waiting: false,
            manual: SmallVec::new(),
            is_unwanted: false,
            is_asked_to_share: false,
            heard: now,
            spread,
            contender: None,
            mailbox: Mailbox::new(now),
            presence: None,
        }
    }

    /// Whether it has sent a HELLO and its connection is open.
    pub(crate) fn is_linked(&self) -> bool {
        self.presence.as_ref().is_some_and(|p| p.link.is_some())
    }

    /// Whether one connection carries the messages of both nodes, and which of the two opened it.
    pub(crate) fn shared(&self) -> Option<SharedWay> {
        let link = self.presence.as_ref()?.link?;
        match (link.dial(), self.mailbox.over) {
            (Some(_), _) => Some(SharedWay::Ours),
            (None, Some(_)) => Some(SharedWay::Theirs),
            (None, None) => None,
        }
    }

    /// How long it may be silent.
    pub(crate) fn silence_max(&self, times: &Times) -> Duration {
        match self.shared() {
            Some(_) => times.silence_max.min(times.shared_silence_max),
            None => times.silence_max,
        }
    }

    /// Records a sign of life; `true` if it was evasive.
    pub(crate) fn end_silence(&mut self) -> bool {
        let Some(presence) = self.presence.as_mut() else {
            return false;
        };
        let former = std::mem::replace(&mut presence.silence, Silence::None);
        matches!(former, Silence::Evasive(_)) && !presence.is_unreachable
    }

    /// Whether our HELLO was sent and its HELLO is awaited.
    pub(crate) fn awaits_hello(&self) -> bool {
        self.mailbox.is_greeted() && self.presence.as_ref().is_none_or(|p| p.awaiting)
    }

    /// Whether our HELLO was sent although its identity is not known.
    pub(crate) fn is_nameless_greeted(&self) -> bool {
        self.id.is_none() && self.mailbox.is_greeted()
    }

    /// Where its sequence numbers wrap.
    pub(crate) fn wrap(&self) -> Wrap {
        self.presence.as_ref().map_or(Wrap::Unknown, |p| p.wrap)
    }

    /// Whether this is an endpoint of it.
    pub(crate) fn is_at(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint
            || self.alternatives.contains(endpoint)
            || self.manual.contains(endpoint)
    }

    /// Whether this is the address of its mailbox.
    pub(crate) fn is_on(&self, ip: IpAddr) -> bool {
        self.endpoint.ip() == Some(ip.to_canonical())
    }

    /// Remembers a further endpoint for when the present one fails.
    pub(crate) fn remember(&mut self, endpoint: Endpoint, limits: &Limits) {
        if !self.knows(&endpoint) && self.has_room(limits) {
            self.alternatives.push(endpoint);
        }
    }

    /// Whether the endpoint is known already.
    pub(crate) fn knows(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint || self.alternatives.contains(endpoint)
    }

    /// Whether one more endpoint is remembered.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.alternatives.len() < limits.alternatives_max
    }

    /// Switches to a new endpoint, since the newest is the most likely one. The former one is tried next; if there are
    /// too many, the oldest is forgotten.
    pub(crate) fn move_to(&mut self, endpoint: Endpoint, limits: &Limits) {
        let former = std::mem::replace(&mut self.endpoint, endpoint);
        self.alternatives.insert(0, former);
        self.alternatives.truncate(limits.alternatives_max);
    }

    /// Remembers a further endpoint for when its connection ends: the newest is the most likely one.
    pub(crate) fn is_elsewhere_too(&mut self, endpoint: Endpoint) {
        self.alternatives.insert(0, endpoint);
        self.heard_elsewhere = true;
    }

    /// All endpoints that are known.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.endpoint).chain(&self.alternatives)
    }

    /// Whether it has sent a HELLO, but cannot be reached.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.presence.as_ref().is_some_and(|p| p.is_unreachable)
    }

    /// Whether there is an endpoint besides the present one.
    pub(crate) fn has_alternatives(&self) -> bool {
        !self.alternatives.is_empty()
    }

    /// Switches to the next known endpoint.
    pub(crate) fn next_endpoint(&mut self) {
        if self.alternatives.is_empty() {
            return;
        }
        let next = self.alternatives.remove(0);
        let failed = std::mem::replace(&mut self.endpoint, next);
        self.alternatives.push(failed);
    }

    /// Replaces a host name by the address that it led to.
    pub(crate) fn resolve(&mut self, remote: SocketAddr, limits: &Limits) {
        if self.endpoint.socket_addr().is_none() {
            let name = std::mem::replace(&mut self.endpoint, remote.into());
            self.remember(name, limits);
        }
    }

    /// The next deadline of this peer.
    pub(crate) fn deadline(&self, times: &Times) -> Instant {
        let connection = match self.mailbox.phase {
            Phase::Closed { .. } if self.is_waiting => None,
            Phase::Closed { retry_at, .. } => Some(retry_at),
            Phase::Dialing { until, .. }
            | Phase::Confirming { until, .. }
            | Phase::Draining { until, .. } => Some(until),
            Phase::Open { .. } => None,
        };
        let hello = self
            .mailbox
            .hello_at
            .filter(|_| self.awaits_hello())
            .map(|at| at + self.patience(times.hello_timeout));
        let silence = self.presence.as_ref().map(|p| match p.silence {
            Silence::None => self.ping_at(times),
            Silence::Asked(asked) => self.evasive_at(times, asked),
            Silence::Evasive(asked) => asked.last + self.ping_wait(times),
        });
        let successor = self.presence.as_ref().and_then(|p| p.successor);
        let leaving = self.presence.as_ref().and_then(|p| p.leaving);
        [
            connection,
            hello,
            silence,
            successor.map(|it| it.until),
            leaving.map(|it| it.until),
            self.expires(times),
        ]
        .into_iter()
        .flatten()
        .min()
        // Never reached: a present peer has a deadline for its silence, and others for their expiry.
        .unwrap_or(self.heard + times.silence_max)
    }

    /// When it gets a PING if it stays silent; spread over time, so that not all peers get one at the same moment.
    pub(crate) fn ping_at(&self, times: &Times) -> Instant {
        self.heard + times.silence_ping - times.silence_ping / 512 * u32::from(self.spread)
    }

    /// How long to wait for an answer that otherwise is waited for this long.
    pub(crate) fn patience(&self, fixed: Duration) -> Duration {
        self.mailbox.round_trip.patience(fixed)
    }

    /// How long it has to answer a PING. A peer whose connection is shared is far away, until it has answered one.
    pub(crate) fn ping_wait(&self, times: &Times) -> Duration {
        // protocol.md §3.12
        match (self.mailbox.round_trip.get(), self.mailbox.over) {
            (None, Some(_)) => times.ping_interval.max(times.confirm_timeout),
            _ => self.patience(times.ping_interval),
        }
    }

    /// When it is evasive if the first PING stays unanswered.
    pub(crate) fn evasive_at(&self, times: &Times, asked: Question) -> Instant {
        (asked.first + self.ping_wait(times)).max(self.heard + times.silence_ping)
    }

    /// When it is gone, or forgotten, if it stays silent. One that is present has had the time to answer first,
    /// also where we were the one who slept. One that a user wants is looked at then and kept.
    pub(crate) fn expires(&self, times: &Times) -> Option<Instant> {
        let silence_max = self.silence_max(times);
        let expiry = self.heard + silence_max;
        match self.presence.as_ref().map(|presence| presence.silence) {
            None => Some(expiry),
            Some(Silence::None | Silence::Asked(_)) => None,
            Some(Silence::Evasive(asked)) => {
                let to_answer = silence_max.saturating_sub(times.silence_ping);
                Some(expiry.max(asked.first + to_answer))
            }
        }
    }
}
