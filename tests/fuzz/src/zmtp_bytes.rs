//! Any octets on a connection: what comes of them does not depend on how they are cut.
//!
//! Input: an octet of choices (bit 0: we are the ROUTER; bits 1, 2: how much of a handshake comes first),
//! one that seeds the cuts, then the stream.
//! Holds: any cut gives the same events, output and error (I2 of the crate); memory stays in proportion
//! to what came (I3) and messages within the limits; what we put out is taken by a peer; what was
//! received can be sent on.

use zocp_zmtp::{Connection, Error, Event, Limits};

use crate::{memory, zmtp};

/// Runs the target.
pub fn run(data: &[u8]) {
    let [choices, seed, stream @ ..] = data else {
        return;
    };
    let end = End::of(*choices);
    let stream = [&end.opening(choices >> 1 & 3), stream].concat();
    let whole = outcome(end, std::iter::once(&stream[..]), stream.len());
    let cut = outcome(end, pieces(&stream, *seed), stream.len());
    assert_eq!(cut, whole, "cut otherwise");
    if stream.len() <= 1024 {
        assert_eq!(outcome(end, stream.chunks(1), stream.len()), whole);
    }
    whole.check(end);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Dealer,
    Router,
}

impl End {
    fn of(choices: u8) -> Self {
        if choices & 1 == 0 {
            Self::Dealer
        } else {
            Self::Router
        }
    }

    fn connection(self) -> Connection {
        match self {
            Self::Dealer => Connection::dealer(b"lamp", limits()),
            Self::Router => Connection::router(limits()),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Dealer => Self::Router,
            Self::Router => Self::Dealer,
        }
    }

    /// Nothing, the other end's greeting, or its whole handshake.
    fn opening(self, much: u8) -> Vec<u8> {
        match much {
            0 => Vec::new(),
            1 => self.other().connection().output().to_vec(),
            _ => zmtp::handshake(self.other().connection(), self.connection()),
        }
    }
}

/// Small, so that a stream of some hundred octets reaches every limit.
fn limits() -> Limits {
    Limits {
        frame_len_max: 600,
        message_len_max: 900,
        frames_max: 6,
        command_len_max: 300,
        output_len_max: 4096,
    }
}

/// All that can be seen of a connection that took these octets.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    output: Vec<u8>,
    error: Option<Error>,
}

fn outcome<'a>(end: End, pieces: impl Iterator<Item = &'a [u8]>, len: usize) -> Outcome {
    let (outcome, most) = memory::peak(|| {
        let mut connection = end.connection();
        let mut events = Vec::new();
        let mut error = None;
        for piece in pieces {
            let result = connection.handle_input(piece);
            events.extend(std::iter::from_fn(|| connection.poll_event()));
            if let Err(why) = result {
                assert_eq!(connection.handle_input(piece), Err(Error::Failed));
                error = Some(why);
                break;
            }
        }
        Outcome {
            events,
            output: connection.output().to_vec(),
            error,
        }
    });
    assert!(most <= FIXED + EACH * len, "{most} octets for {len}");
    outcome
}

/// `stream` in pieces whose lengths follow from `seed`.
fn pieces(mut stream: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed) * 2 + 1;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let len = 1 + (state >> 25) as usize;
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        stream = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Outcome {
    fn check(&self, end: End) {
        for (at, event) in self.events.iter().enumerate() {
            match event {
                Event::Ready { .. } => assert_eq!(at, 0, "READY once, first"),
                Event::Message(message) => {
                    assert!(at > 0 && message.octet_len() <= limits().message_len_max);
                    assert!((1..=limits().frames_max).contains(&message.len()));
                }
                _ => {}
            }
        }
        self.output_is_taken(end);
        self.messages_can_be_sent_on();
    }

    fn output_is_taken(&self, end: End) {
        let mut peer = end.other().connection();
        assert_eq!(peer.handle_input(&self.output), Ok(()), "{:?}", self.output);
        if self.events.is_empty() {
            let answered = peer.output().len() + 64;
            assert!(self.output.len() < answered, "no traffic before READY");
        }
    }

    fn messages_can_be_sent_on(&self) {
        let (mut dealer, mut router) = zmtp::ready_pair(&limits());
        for event in &self.events {
            if let Event::Message(message) = event {
                let frames: Vec<&[u8]> = message.frames().collect();
                assert_eq!(dealer.send(&frames), Ok(()));
                zmtp::carry(&mut dealer, &mut router);
                assert_eq!(router.poll_event().as_ref(), Some(event));
            }
        }
    }
}

/// What a connection holds with these limits, whatever comes: buffers and output.
const FIXED: usize = 64 << 10;
/// Octets for each octet that came: an empty message is two octets, an event some hundred.
const EACH: usize = 160;
