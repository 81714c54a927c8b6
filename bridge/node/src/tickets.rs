//! Tickets: who may open a channel to this node.
//!
//! Model: a [`Ticket`] is 16 random octets that this node gives to one peer in a message. The peer opens a further
//! connection to the mailbox whose identity is the ticket; the first connection that shows it takes what was issued with
//! it, the [claim](Tickets::redeem).
//! Invariants: TICKET-1. A ticket is redeemed at most once, and not later than the time that was set when it was issued.
//! TICKET-2. On a secure mesh only a connection that proved the key of the ticket's peer redeems it. TICKET-3. When a
//! peer leaves, none of its tickets can be redeemed any more. TICKET-4. Only a ticket that was issued for it is redeemed
//! by a process of this machine (`handover`), which proves no key: that it knows the ticket shows that it is the peer.
//! Limits: [`TICKETS_PER_PEER_MAX`] for each peer that are not redeemed; a further one is not issued (`Busy`).
//! Spec: docs/reference/protocol.md §9.2

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use zocp_zmtp::{Connection, PublicKey};
use zocp_zre::PeerId;

use crate::clock;

/// What opens one channel: shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket([u8; 16]);

/// The tickets of all peers, each with what it is a claim to. Pure: time and randomness are arguments.
#[derive(Debug)]
pub struct Tickets<T> {
    issued: HashMap<Ticket, Issued<T>>,
}

#[derive(Debug)]
struct Issued<T> {
    peer: PeerId,
    key: Option<PublicKey>,
    until: Instant,
    claim: T,
}

/// A connection that showed a ticket.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// One that is to be a channel, whose handshake is complete.
    Connection {
        stream: TcpStream,
        codec: Box<Connection>,
    },
    /// One of this machine, which waits for a descriptor or has one.
    Here(UnixStream),
}

/// What a ticket is a claim to.
#[derive(Debug)]
pub(crate) struct Claim {
    to: oneshot::Sender<Arrival>,
    /// Whether a process of this machine may take or give a descriptor instead of opening a channel.
    here: bool,
}

/// The tickets of this node, shared by the tasks of connections and the handles.
#[derive(Debug, Clone, Default)]
pub(crate) struct TicketTable {
    /// Locked because handles issue tickets, and the task of whichever connection shows one redeems it.
    tickets: Arc<Mutex<Tickets<Claim>>>,
}

impl Ticket {
    /// From its octets, which nobody may be able to guess.
    #[must_use]
    pub const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The ticket that 32 hex digits show.
    #[must_use]
    pub fn parse(digits: &str) -> Option<Self> {
        // The form is that of a peer's identity.
        let id: PeerId = digits.parse().ok()?;
        (digits.len() == 32).then(|| Self(*id.as_bytes()))
    }

    /// The identity of the connection that shows it: an octet 2, then the ticket.
    pub(crate) fn routing_id(self) -> [u8; 17] {
        // protocol.md §9.3
        let mut routing = [MARK; 17];
        routing[1..].copy_from_slice(&self.0);
        routing
    }

    /// The ticket that a connection's identity shows, if it has that form.
    pub(crate) fn from_routing_id(identity: &[u8]) -> Option<Self> {
        let (first, ticket) = identity.split_first()?;
        (*first == MARK).then_some(())?;
        Some(Self(ticket.try_into().ok()?))
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// It is a secret until it is used.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self {
            issued: HashMap::new(),
        }
    }
}

impl<T> Tickets<T> {
    /// Issues a ticket to a peer that is good until then; `false` if it has too many already, or the ticket is there.
    pub fn issue(
        &mut self,
        (now, until): (Instant, Instant),
        ticket: Ticket,
        (peer, key): (PeerId, Option<PublicKey>),
        claim: T,
    ) -> bool {
        self.expire(now);
        let of_peer = self.issued.values().filter(|it| it.peer == peer).count();
        if of_peer >= TICKETS_PER_PEER_MAX || self.issued.contains_key(&ticket) {
            return false;
        }
        let issued = Issued {
            peer,
            key,
            until,
            claim,
        };
        self.issued.insert(ticket, issued);
        true
    }

    /// Whether a connection with this key may redeem the ticket.
    pub fn admits(&self, now: Instant, ticket: Ticket, key: Option<PublicKey>) -> bool {
        let issued = self.issued.get(&ticket);
        issued.is_some_and(|it| it.key == key && it.until > now)
    }

    /// Takes the claim of a ticket.
    pub fn redeem(&mut self, now: Instant, ticket: Ticket, key: Option<PublicKey>) -> Option<T> {
        if !self.admits(now, ticket, key) {
            return None;
        }
        self.issued.remove(&ticket).map(|it| it.claim)
    }

    /// Takes the claim of a ticket for a process of this machine, if it is one that such a process may have.
    pub fn redeem_here(
        &mut self,
        now: Instant,
        ticket: Ticket,
        is_for_it: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let issued = self.issued.get(&ticket);
        let is_good = issued.is_some_and(|it| it.until > now && is_for_it(&it.claim));
        let issued = is_good.then(|| self.issued.remove(&ticket));
        issued.flatten().map(|it| it.claim)
    }

    /// Withdraws a ticket that nobody is to redeem any more.
    pub fn withdraw(&mut self, ticket: Ticket) {
        self.issued.remove(&ticket);
    }

    /// A peer has left.
    pub fn forget(&mut self, peer: PeerId) {
        self.issued.retain(|_, it| it.peer != peer);
    }

    fn expire(&mut self, now: Instant) {
        self.issued.retain(|_, it| it.until > now);
    }
}

impl Claim {
    /// Gives the connection to whoever issued the ticket.
    pub(crate) fn hand_over(self, socket: UnixStream) {
        // Whoever waited for it may be gone.
        let _ = self.to.send(Arrival::Here(socket));
    }
}

impl TicketTable {
    /// Issues a ticket that is good for this long; the receiver gets the connection that shows it. `here`: it may be one
    /// of this machine.
    pub(crate) fn issue(
        &self,
        ticket: Ticket,
        to: (PeerId, Option<PublicKey>),
        time_max: Duration,
        here: bool,
    ) -> Option<oneshot::Receiver<Arrival>> {
        let (sender, arrived) = oneshot::channel();
        let claim = Claim { to: sender, here };
        let now = clock::now();
        self.with(|tickets| tickets.issue((now, now + time_max), ticket, to, claim))
            .then_some(arrived)
    }

    /// Whether a connection with this key may redeem the ticket.
    pub(crate) fn admits(&self, ticket: Ticket, key: Option<PublicKey>) -> bool {
        self.with(|tickets| tickets.admits(clock::now(), ticket, key))
    }

    /// Gives a connection to whoever waits for it; `false` if nobody does.
    pub(crate) fn arrive(&self, ticket: Ticket, key: Option<PublicKey>, arrival: Arrival) -> bool {
        let claim = self.with(|tickets| tickets.redeem(clock::now(), ticket, key));
        claim.is_some_and(|claim| claim.to.send(arrival).is_ok())
    }

    /// The claim of a ticket that a process of this machine shows.
    pub(crate) fn redeem_here(&self, ticket: Ticket) -> Option<Claim> {
        self.with(|tickets| tickets.redeem_here(clock::now(), ticket, |claim| claim.here))
    }

    /// Withdraws a ticket.
    pub(crate) fn withdraw(&self, ticket: Ticket) {
        self.with(|tickets| tickets.withdraw(ticket));
    }

    /// A peer has left.
    pub(crate) fn forget(&self, peer: PeerId) {
        self.with(|tickets| tickets.forget(peer));
    }

    fn with<R>(&self, work: impl FnOnce(&mut Tickets<Claim>) -> R) -> R {
        // Whole between two calls.
        work(&mut self.tickets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The first octet of a ticket as an identity. Nodes have 1.
const MARK: u8 = 2;

/// How long a ticket of a request can be redeemed: a message and a handshake take less.
pub const TICKET_TIME_MAX: Duration = Duration::from_secs(5);

/// Tickets of one peer that are not redeemed: eight messages with 16 descriptors each.
const TICKETS_PER_PEER_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: PeerId = PeerId::new([1; 16]);
    const DESK: PeerId = PeerId::new([2; 16]);
    const FIRST: Ticket = Ticket::new([7; 16]);

    fn key(number: u8) -> Option<PublicKey> {
        Some(zocp_zmtp::KeyPair::from_secret(&[number; 32]).public())
    }

    fn for_request(now: Instant) -> (Instant, Instant) {
        (now, now + TICKET_TIME_MAX)
    }

    #[test]
    fn a_ticket_is_good_once() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        assert!(tickets.issue(for_request(now), FIRST, (LAMP, None), "claim"));
        assert!(!tickets.issue(for_request(now), FIRST, (LAMP, None), "again"));
        assert_eq!(tickets.redeem(now, FIRST, None), Some("claim"));
        assert_eq!(tickets.redeem(now, FIRST, None), None);
    }

    #[test]
    fn a_ticket_is_good_for_five_seconds() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        assert!(tickets.issue(for_request(now), FIRST, (LAMP, None), ()));
        let late = now + TICKET_TIME_MAX;
        assert!(tickets.admits(late - Duration::from_millis(1), FIRST, None));
        assert!(!tickets.admits(late, FIRST, None));
        assert_eq!(tickets.redeem(late, FIRST, None), None);
    }

    #[test]
    fn a_ticket_is_good_for_as_long_as_was_set() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        let until = now + Duration::from_secs(60);
        assert!(tickets.issue((now, until), FIRST, (LAMP, None), ()));
        let second = Ticket::new([8; 16]);
        assert!(tickets.issue(for_request(now), second, (LAMP, None), ()));
        let late = until - Duration::from_millis(1);
        assert_eq!(tickets.redeem(late, second, None), None);
        assert_eq!(tickets.redeem(late, FIRST, None), Some(()));
    }

    #[test]
    fn a_ticket_is_for_one_key() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        assert!(tickets.issue(for_request(now), FIRST, (LAMP, key(1)), ()));
        assert_eq!(tickets.redeem(now, FIRST, key(2)), None);
        assert_eq!(tickets.redeem(now, FIRST, None), None);
        assert_eq!(tickets.redeem(now, FIRST, key(1)), Some(()));
    }

    #[test]
    fn a_ticket_is_good_on_this_machine_if_it_was_issued_for_that() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        assert!(tickets.issue(for_request(now), FIRST, (LAMP, key(1)), "claim"));
        assert_eq!(tickets.redeem_here(now, FIRST, |_| false), None);
        let late = now + TICKET_TIME_MAX;
        assert_eq!(tickets.redeem_here(late, FIRST, |_| true), None);
        assert_eq!(tickets.redeem_here(now, FIRST, |_| true), Some("claim"));
        assert_eq!(tickets.redeem_here(now, FIRST, |_| true), None);
        assert_eq!(tickets.redeem(now, FIRST, key(1)), None);
    }

    #[test]
    fn the_tickets_of_who_leaves_are_void_and_those_of_others_are_not() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        let second = Ticket::new([8; 16]);
        assert!(tickets.issue(for_request(now), FIRST, (LAMP, None), ()));
        assert!(tickets.issue(for_request(now), second, (DESK, None), ()));
        tickets.forget(LAMP);
        assert_eq!(tickets.redeem(now, FIRST, None), None);
        assert_eq!(tickets.redeem(now, second, None), Some(()));
    }

    #[test]
    fn tickets_are_counted_for_each_peer_until_they_expire() {
        let (mut tickets, now) = (Tickets::default(), clock::now());
        let ticket = |number: usize| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&number.to_be_bytes());
            Ticket::new(octets)
        };
        for number in 0..TICKETS_PER_PEER_MAX {
            assert!(tickets.issue(for_request(now), ticket(number), (LAMP, None), ()));
        }
        assert!(!tickets.issue(for_request(now), FIRST, (LAMP, None), ()));
        assert!(tickets.issue(for_request(now), FIRST, (DESK, None), ()));
        let later = now + TICKET_TIME_MAX;
        assert!(tickets.issue(for_request(later), ticket(1 << 20), (LAMP, None), ()));
    }

    #[test]
    fn a_ticket_is_shown_as_hex_digits_and_as_an_identity() {
        let ticket = Ticket::new([0xa5; 16]);
        assert_eq!(Ticket::parse(&ticket.to_string()), Some(ticket));
        assert_eq!(Ticket::parse("a5"), None);
        assert_eq!(Ticket::from_routing_id(&ticket.routing_id()), Some(ticket));
        assert_eq!(Ticket::from_routing_id(&LAMP.routing_id()), None);
        assert_eq!(PeerId::from_routing_id(&ticket.routing_id()), None);
        assert_eq!(Ticket::from_routing_id(&[2; 16]), None);
    }
}
