//! Two ends of a connection that talk, their octets carried in pieces of any length.
//!
//! Input: operations (`arbitrary`).
//! Holds: every message that was taken for sending arrives, once, in order, as it was; a refusal has its
//! reason in the limits and changes nothing; no more waits for output than the limits say; PINGs and
//! unknown commands between messages disturb nothing.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use zocp_zmtp::{Connection, Event, LimitExceeded, Limits, SendError};

use crate::zmtp;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut talk = Dialogue::new();
    while !input.is_empty() {
        let Ok(operation) = Operation::arbitrary(&mut input) else {
            break;
        };
        crate::show(&operation);
        talk.operate(operation);
    }
    talk.finish();
}

#[derive(Debug, Arbitrary)]
enum Operation {
    /// Frames of these lengths, times four.
    Send {
        from: bool,
        lens: [u8; 3],
        count: u8,
    },
    Write {
        from: bool,
    },
    Carry {
        from: bool,
        len: u8,
    },
    Ping {
        from: bool,
        context: u8,
    },
    Unknown {
        from: bool,
        len: u8,
    },
}

/// One direction: who speaks, what is on its way, and what has to arrive.
struct Way {
    end: Connection,
    wire: VecDeque<u8>,
    due: VecDeque<Vec<Vec<u8>>>,
    fill: u8,
}

struct Dialogue {
    ways: [Way; 2],
}

impl Dialogue {
    fn new() -> Self {
        let (dealer, router) = zmtp::ready_pair(&limits());
        Self {
            ways: [dealer, router].map(|end| Way {
                end,
                wire: VecDeque::new(),
                due: VecDeque::new(),
                fill: 0,
            }),
        }
    }

    fn operate(&mut self, operation: Operation) {
        match operation {
            Operation::Send { from, lens, count } => {
                self.ways[usize::from(from)].send(&lens[..usize::from(count % 4)]);
            }
            Operation::Write { from } => self.ways[usize::from(from)].write(usize::MAX),
            Operation::Carry { from, len } => self.carry(from, 4 * usize::from(len) + 1),
            Operation::Ping { from, context } => {
                let context = vec![7; usize::from(context % 17)];
                let body = [b"\x04PING\0\x01", &context[..]].concat();
                self.ways[usize::from(from)].command(&body);
            }
            Operation::Unknown { from, len } => {
                let body = [&b"\x03NEW"[..], &vec![7; usize::from(len)]].concat();
                self.ways[usize::from(from)].command(&body);
            }
        }
    }

    fn carry(&mut self, from: bool, len: usize) {
        let way = &mut self.ways[usize::from(from)];
        let len = len.min(way.wire.len());
        let octets: Vec<u8> = way.wire.drain(..len).collect();
        let to = &mut self.ways[usize::from(!from)].end;
        assert_eq!(to.handle_input(&octets), Ok(()));
        let events: Vec<Event> = std::iter::from_fn(|| to.poll_event()).collect();
        for event in events {
            let Event::Message(message) = event else {
                panic!("{event:?} after READY");
            };
            let frames: Vec<Vec<u8>> = message.frames().map(<[u8]>::to_vec).collect();
            let due = self.ways[usize::from(from)].due.pop_front();
            assert_eq!(Some(frames), due);
        }
    }

    /// Everything arrives in the end.
    fn finish(&mut self) {
        for _ in 0..2 {
            for from in [false, true] {
                self.ways[usize::from(from)].write(usize::MAX);
                self.carry(from, usize::MAX);
            }
        }
        assert!(self.ways.iter().all(|way| way.due.is_empty()));
    }
}

impl Way {
    fn send(&mut self, lens: &[u8]) {
        self.fill = self.fill.wrapping_add(1);
        let frames: Vec<Vec<u8>> = lens
            .iter()
            .map(|len| vec![self.fill; 4 * usize::from(*len)])
            .collect();
        let borrowed: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let before = self.end.output_len();
        match self.end.send(&borrowed) {
            Ok(()) => self.due.push_back(frames),
            Err(why) => {
                assert_eq!(self.end.output_len(), before, "a refusal changes nothing");
                Self::check_refusal(&frames, before, why);
            }
        }
        let most = limits().output_len_max + limits().message_len_max + 9 * limits().frames_max;
        assert!(self.end.output_len() <= most + PONGS);
    }

    fn check_refusal(frames: &[Vec<u8>], waiting: usize, why: SendError) {
        let len: usize = frames.iter().map(Vec::len).sum();
        let is_so = match why {
            SendError::NoFrames => frames.is_empty(),
            SendError::Limit(LimitExceeded::Frames { max }) => frames.len() > max,
            SendError::Limit(LimitExceeded::Frame { max, .. }) => {
                frames.iter().any(|frame| frame.len() > max)
            }
            SendError::Limit(LimitExceeded::Message { max, .. }) => len > max,
            SendError::Full { len } => len == waiting && len >= limits().output_len_max,
            _ => false,
        };
        assert!(is_so, "{why:?} for {} frames of {len}", frames.len());
    }

    /// The socket takes what waits.
    fn write(&mut self, len: usize) {
        self.wire.extend(self.end.output());
        self.end.consume_output(len);
    }

    /// A command that another implementation might send between messages.
    fn command(&mut self, body: &[u8]) {
        self.write(usize::MAX);
        match u8::try_from(body.len()) {
            Ok(len) => self.wire.extend([4, len]),
            Err(_) => {
                self.wire.push_back(6);
                self.wire.extend((body.len() as u64).to_be_bytes());
            }
        }
        self.wire.extend(body);
    }
}

/// Small, so that a few messages reach each.
fn limits() -> Limits {
    Limits {
        frame_len_max: 700,
        message_len_max: 1500,
        frames_max: 2,
        command_len_max: 300,
        output_len_max: 4096,
    }
}

/// As many answers to PING as may wait, at their longest.
const PONGS: usize = 64 * 25;
