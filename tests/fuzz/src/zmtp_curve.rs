//! Two ends that speak CURVE, and somebody on the way who changes what passes.
//!
//! Input: an octet of choices (bits 0, 1: the DEALER, the ROUTER speak in the clear instead; bit 2: the
//! DEALER expects another key), then operations (`arbitrary`). What passes are frames, and the greeting:
//! they are delivered in pieces, changed, cut, held back, swapped, sent again, or replaced by those of an
//! earlier connection of the same two.
//! Holds: what arrives was sent, in order and once; undisturbed, all of it arrives; nothing that is said can
//! be read on the way; the ROUTER is told no key but the DEALER's; ends of different kinds, or with another
//! key, never get ready.

use std::collections::VecDeque;
use std::convert::Infallible;

use arbitrary::{Arbitrary, Unstructured};
use zocp_zmtp::{Connection, Entropy, Event, KeyPair, Limits};

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((choices, data)) = data.split_first() else {
        return;
    };
    let mut input = Unstructured::new(data);
    let mut wire = Wire::new(*choices);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(operation) = Operation::arbitrary(&mut input) else {
            break;
        };
        crate::show(&operation);
        wire.operate(operation);
    }
    wire.finish();
}

#[derive(Debug, Arbitrary)]
enum Operation {
    Send { from: bool, len: u8 },
    Deliver { from: bool },
    DeliverPart { from: bool, len: u8 },
    Everything,
    Flip { from: bool, at: u16, bit: u8 },
    Cut { from: bool, len: u8 },
    Drop { from: bool },
    Swap { from: bool },
    Again { from: bool, back: u8 },
    Earlier { from: bool, which: u8 },
    Insert { from: bool, octets: [u8; 6] },
    Reflect { from: bool },
}

/// One end, and what it has said that has not arrived.
struct Side {
    end: Connection,
    units: VecDeque<Vec<u8>>,
    passed: Vec<Vec<u8>>,
    due: VecDeque<Vec<u8>>,
}

struct Wire {
    /// The DEALER's and the ROUTER's.
    sides: [Side; 2],
    /// Whether the two may get ready.
    matches: bool,
    is_plain: [bool; 2],
    is_disturbed: bool,
    said: u8,
}

impl Wire {
    fn new(choices: u8) -> Self {
        let is_plain = [choices & 1 != 0, choices & 2 != 0];
        let expects_another = choices & 4 != 0;
        let mut wire = Self {
            sides: pair(is_plain, expects_another, 40).map(Side::new),
            matches: is_plain[0] == is_plain[1] && (is_plain[0] || !expects_another),
            is_plain,
            is_disturbed: false,
            said: 0,
        };
        wire.collect();
        wire
    }

    fn side(&mut self, from: bool) -> &mut Side {
        &mut self.sides[usize::from(from)]
    }

    fn operate(&mut self, operation: Operation) {
        use Operation::{
            Again, Cut, Deliver, DeliverPart, Drop, Earlier, Everything, Flip, Insert, Reflect,
            Send, Swap,
        };
        match operation {
            Send { from, len } => return self.send(from, usize::from(len)),
            Deliver { from } => return self.deliver(from, usize::MAX),
            DeliverPart { from, len } => return self.deliver(from, usize::from(len)),
            Everything => return self.everything(),
            Flip { from, at, bit } => {
                if let Some(unit) = self.side(from).units.front_mut() {
                    let at = usize::from(at) % unit.len();
                    // The greeting has octets that mean nothing.
                    unit[at] ^= 1 << (bit % 8);
                }
            }
            Cut { from, len } => {
                if let Some(unit) = self.side(from).units.front_mut() {
                    unit.truncate(1 + usize::from(len));
                }
            }
            Drop { from } => drop(self.side(from).units.pop_front()),
            Swap { from } => {
                let units = &mut self.side(from).units;
                if units.len() > 1 {
                    units.swap(0, 1);
                }
            }
            Again { from, back } => {
                let side = self.side(from);
                let at = side.passed.len().checked_sub(1 + usize::from(back % 4));
                if let Some(unit) = at.map(|at| side.passed[at].clone()) {
                    side.units.push_front(unit);
                }
            }
            Earlier { from, which } => {
                let earlier = earlier(usize::from(from));
                let unit = earlier[usize::from(which) % earlier.len()].clone();
                self.side(from).units.push_front(unit);
            }
            Insert { from, octets } => self.side(from).units.push_front(octets.to_vec()),
            Reflect { from } => {
                if let Some(unit) = self.side(!from).units.front().cloned() {
                    self.side(from).units.push_front(unit);
                }
            }
        }
        self.is_disturbed = true;
    }

    fn send(&mut self, from: bool, len: usize) {
        self.said = self.said.wrapping_add(1);
        let mut content = SECRET.to_vec();
        content.extend([self.said, u8::from(from)]);
        content.resize(content.len() + len, 7);
        let side = self.side(from);
        if side.end.send(&[&content]).is_ok() {
            side.due.push_back(content);
        }
        self.collect();
    }

    /// The next unit goes to the other end, or the beginning of it.
    fn deliver(&mut self, from: bool, len: usize) {
        let side = self.side(from);
        let Some(mut unit) = side.units.pop_front() else {
            return;
        };
        if len > 0 && len < unit.len() {
            side.units.push_front(unit.split_off(len));
        } else {
            side.passed.push(unit.clone());
        }
        let other = self.side(!from);
        let result = other.end.handle_input(&unit);
        assert!(
            self.is_disturbed || !self.matches || result.is_ok(),
            "{result:?}"
        );
        self.events(!from);
        self.collect();
    }

    fn events(&mut self, at: bool) {
        while let Some(event) = self.side(at).end.poll_event() {
            match event {
                Event::PeerKey { key, .. } => {
                    assert_eq!(key, keys(1).public(), "nobody else has proved anything");
                    assert!(at, "the ROUTER decides");
                    self.side(at).end.accept();
                }
                Event::Ready { .. } => {
                    let may_be_told_anything = self.is_plain[usize::from(at)] && self.is_disturbed;
                    assert!(self.matches || may_be_told_anything, "with whom?");
                }
                Event::Message(message) => {
                    let content = message.frame(0).expect("a frame").to_vec();
                    self.arrived(!at, &content);
                }
                _ => {}
            }
        }
    }

    /// What arrives was sent; what was sent before it and did not arrive was held back on the way.
    fn arrived(&mut self, from: bool, content: &[u8]) {
        if self.is_plain[usize::from(!from)] && self.is_disturbed {
            return; // Whoever is on the way may say anything.
        }
        loop {
            let due = self.side(from).due.pop_front();
            let due = due.expect("what arrives was sent, once and in order");
            if due == content {
                return;
            }
            assert!(self.is_disturbed, "something is missing");
        }
    }

    /// Puts what the ends say on its way, frame by frame.
    fn collect(&mut self) {
        for side in &mut self.sides {
            side.collect(self.matches);
        }
    }

    fn everything(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.sides.iter().all(|side| side.units.is_empty()) {
                return;
            }
            for from in [false, true] {
                self.deliver(from, usize::MAX);
            }
        }
        panic!("two ends that never come to rest");
    }

    fn finish(&mut self) {
        self.everything();
        if self.is_disturbed {
            return;
        }
        let are_ready = self.sides.iter().all(|side| side.end.is_ready());
        assert_eq!(are_ready, self.matches);
        assert!(self.sides.iter().all(|side| side.due.is_empty()));
    }
}

impl Side {
    fn new(end: Connection) -> Self {
        Self {
            end,
            units: VecDeque::new(),
            passed: Vec::new(),
            due: VecDeque::new(),
        }
    }

    fn collect(&mut self, is_one_kind: bool) {
        let output = self.end.output().to_vec();
        self.end.consume_output(usize::MAX);
        if is_one_kind && is_sealed(&self.passed, &self.units) {
            let readable = output.windows(SECRET.len()).any(|octets| octets == SECRET);
            assert!(!readable, "said in the clear");
        }
        let is_first = self.passed.is_empty() && self.units.is_empty();
        self.units.extend(units(&output, is_first));
    }
}

/// Whether the greeting of this end announced CURVE.
fn is_sealed(passed: &[Vec<u8>], units: &VecDeque<Vec<u8>>) -> bool {
    let greeting = passed.first().or_else(|| units.front());
    greeting.is_some_and(|greeting| greeting.get(12..17) == Some(b"CURVE"))
}

/// A stream cut into greeting and frames.
fn units(mut octets: &[u8], is_first: bool) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    while !octets.is_empty() {
        let len = match (units.is_empty() && is_first, octets) {
            (true, _) => GREETING_LEN,
            (_, [flags, len, ..]) if flags & 2 == 0 => 2 + usize::from(*len),
            (_, [_, len @ ..]) => {
                let len = *len.first_chunk().expect("we put out whole frames");
                9 + u64::from_be_bytes(len) as usize
            }
            (_, []) => break,
        };
        let (unit, rest) = octets.split_at(len.min(octets.len()));
        units.push(unit.to_vec());
        octets = rest;
    }
    units
}

/// The DEALER and the ROUTER; `seed` makes a connection's own keys.
fn pair(is_plain: [bool; 2], expects_another: bool, seed: u8) -> [Connection; 2] {
    let server = keys(if expects_another { 3 } else { 2 }).public();
    let dealer = if is_plain[0] {
        Connection::dealer(b"lamp", limits())
    } else {
        Connection::curve_dealer(b"lamp", &keys(1), server, entropy(seed), limits())
    };
    let router = if is_plain[1] {
        Connection::router(limits())
    } else {
        Connection::curve_router(&keys(2), entropy(seed + 50), limits())
    };
    [dealer, router]
}

/// What one end said on an earlier connection.
fn earlier(from: usize) -> Vec<Vec<u8>> {
    let mut wire = Wire {
        sides: pair([false, false], false, 90).map(Side::new),
        matches: true,
        is_plain: [false; 2],
        is_disturbed: false,
        said: 100,
    };
    wire.collect();
    wire.everything();
    for from in [false, true] {
        wire.send(from, 20);
    }
    wire.everything();
    std::mem::take(&mut wire.sides[from].passed)
}

fn keys(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn entropy(seed: u8) -> Entropy {
    let mut next = seed;
    let drawn = Entropy::draw(|octets| {
        for octet in octets {
            next = next.wrapping_mul(5).wrapping_add(seed | 1);
            *octet = next;
        }
        Ok::<(), Infallible>(())
    });
    match drawn {
        Ok(entropy) => entropy,
        Err(never) => match never {},
    }
}

fn limits() -> Limits {
    Limits {
        frame_len_max: 400,
        message_len_max: 400,
        frames_max: 2,
        command_len_max: 600,
        output_len_max: 4096,
    }
}

const SECRET: &[u8] = b"said in private";
const GREETING_LEN: usize = 64;
const OPERATIONS_MAX: usize = 100;
const ROUNDS_MAX: usize = 500;
