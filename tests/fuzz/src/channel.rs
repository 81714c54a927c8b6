//! Channels: requests for them, their tickets, and what is sent in them.
//!
//! Input: a request of the wire, a name of a node of this machine, or operations on tickets and on the two ends of a
//! channel.
//! Holds: a request that is read is written, and read again as the same, and so is a name. A ticket is redeemed at most once, by its key,
//! and not after its time. The pieces of a channel arrive in order, END behind all of them, whatever is sent the other
//! way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use zocp_node::plumbing::{Tickets, WireRequest};
use zocp_node::{LocalName, PeerId, TICKET_TIME_MAX, Ticket};
use zocp_zmtp::{Connection, Event, Limits};

#[derive(Debug, Arbitrary)]
enum Operation {
    Issue { ticket: u8, peer: u8 },
    Redeem { ticket: u8 },
    Withdraw { ticket: u8 },
    Leave { peer: u8 },
    Wait { ms: u16 },
    Send { back: bool, piece: Vec<u8> },
    End { back: bool },
    Carry { back: bool, octets: u16 },
}

/// Runs the target.
pub fn run(data: &[u8]) {
    name(data);
    if data.first() == Some(&b'{') {
        return request(data);
    }
    let Ok(operations) = Vec::<Operation>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut ends = Ends::new();
    let mut book = Book::new();
    for operation in operations {
        crate::show(&operation);
        match operation {
            Operation::Send { back, piece } => ends.send(usize::from(back), piece),
            Operation::End { back } => ends.end(usize::from(back)),
            Operation::Carry { back, octets } => ends.carry(usize::from(back), octets.into()),
            operation => book.follow(&operation),
        }
    }
    ends.finish();
}

fn name(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Some(name) = LocalName::parse(text) {
        assert!(name.to_string().eq_ignore_ascii_case(text));
    }
}

fn request(data: &[u8]) {
    if let Some(request) = WireRequest::read(data) {
        let content = request.write();
        // What is written may be longer than what is read, by escapes.
        if let Some(again) = content.get(1).and_then(|octets| WireRequest::read(octets)) {
            assert_eq!(again, request);
        }
    }
}

/// The tickets, and what should be known of them.
struct Book {
    now: Instant,
    tickets: Tickets<u8>,
    known: Vec<(u8, u8, Instant)>,
}

impl Book {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            tickets: Tickets::default(),
            known: Vec::new(),
        }
    }

    fn follow(&mut self, operation: &Operation) {
        let now = self.now;
        match *operation {
            Operation::Issue { ticket, peer } => {
                let peer_id = PeerId::new([peer; 16]);
                self.known.retain(|(.., until)| *until > now);
                let of_peer = self.known.iter().filter(|(_, of, _)| *of == peer);
                let is_there = self.known.iter().any(|(known, ..)| *known == ticket);
                let until = now + TICKET_TIME_MAX;
                let to = (peer_id, None);
                let is_issued = self.tickets.issue((now, until), named(ticket), to, ticket);
                assert_eq!(is_issued, of_peer.count() < 128 && !is_there);
                if is_issued {
                    self.known.push((ticket, peer, until));
                }
            }
            Operation::Redeem { ticket } => {
                let is_good = |known: &(u8, u8, Instant)| known.0 == ticket && known.2 > now;
                let expected = self.known.iter().any(is_good).then_some(ticket);
                let key = zocp_zmtp::KeyPair::from_secret(&[ticket; 32]).public();
                assert_eq!(self.tickets.redeem(now, named(ticket), Some(key)), None);
                assert_eq!(self.tickets.redeem(now, named(ticket), None), expected);
                self.known.retain(|known| !is_good(known));
            }
            Operation::Withdraw { ticket } => {
                self.tickets.withdraw(named(ticket));
                self.known.retain(|(known, ..)| *known != ticket);
            }
            Operation::Leave { peer } => {
                self.tickets.forget(PeerId::new([peer; 16]));
                self.known.retain(|(_, of, _)| *of != peer);
            }
            Operation::Wait { ms } => self.now += Duration::from_millis(ms.into()),
            _ => {}
        }
    }
}

fn named(ticket: u8) -> Ticket {
    Ticket::new([ticket; 16])
}

/// The two ends of a channel, and what each should still receive.
struct Ends {
    ends: [Connection; 2],
    under_way: [VecDeque<Option<Vec<u8>>>; 2],
    ended: [bool; 2],
}

impl Ends {
    fn new() -> Self {
        let limits = Limits::default();
        let mut ends = [
            Connection::dealer(&[2; 17], limits.clone()),
            Connection::router(limits),
        ];
        while !ends.iter().all(Connection::is_ready) {
            carry(&mut ends, 0, usize::MAX);
            carry(&mut ends, 1, usize::MAX);
        }
        for end in &mut ends {
            assert!(matches!(end.poll_event(), Some(Event::Ready { .. })));
        }
        Self {
            ends,
            under_way: Default::default(),
            ended: [false; 2],
        }
    }

    fn send(&mut self, from: usize, piece: Vec<u8>) {
        if !self.ended[from] && self.ends[from].send(&[&piece]).is_ok() {
            self.under_way[from].push_back(Some(piece));
        }
    }

    fn end(&mut self, from: usize) {
        if !std::mem::replace(&mut self.ended[from], true) {
            self.ends[from].send_end().unwrap();
            self.under_way[from].push_back(None);
        }
    }

    fn carry(&mut self, from: usize, octets: usize) {
        carry(&mut self.ends, from, octets);
        while let Some(event) = self.ends[1 - from].poll_event() {
            let expected = self.under_way[from].pop_front().unwrap();
            match (event, expected) {
                (Event::Message(message), Some(piece)) => {
                    assert_eq!(message.frame(0), Some(&piece[..]));
                }
                (Event::End, None) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn finish(&mut self) {
        for from in [0, 1] {
            self.carry(from, usize::MAX);
            assert!(self.under_way[from].is_empty());
        }
    }
}

fn carry(ends: &mut [Connection; 2], from: usize, octets: usize) {
    let len = ends[from].output_len().min(octets);
    let octets = ends[from].output()[..len].to_vec();
    ends[from].consume_output(len);
    ends[1 - from].handle_input(&octets).unwrap();
}
