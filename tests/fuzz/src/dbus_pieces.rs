//! Pieces of long packets, in any order and number, some of them wrong.
//!
//! Input: operations (`arbitrary`).
//! Holds: a packet comes out when its last piece does, whole and as it was; a wrong piece takes its packet
//! with it and no other; memory grows with what came, not with what was announced (A1).

use std::collections::HashMap;

use arbitrary::{Arbitrary, Unstructured};
use zocp_relay::transport::Reassembly;

use crate::memory;

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let ((), most) = memory::peak(|| {
        let mut parts = Reassembly::default();
        let mut expected = Expected::default();
        while !input.is_empty() {
            let Ok(piece) = Piece::arbitrary(&mut input) else {
                break;
            };
            let frame = piece.frame();
            let given = parts.add(&frame, LEN_MAX);
            match (expected.add(&piece), given) {
                (Some(whole), Ok(given)) => assert_eq!(given, whole),
                (None, Err(_)) => {}
                (expected, given) => panic!("{given:?} instead of {expected:?} at {piece:?}"),
            }
        }
    });
    assert!(
        most <= FIXED + EACH * data.len(),
        "{most} octets for {}",
        data.len()
    );
}

/// A piece of one of four packets, or octets that are none.
#[derive(Debug, Arbitrary)]
enum Piece {
    Fitting { number: u8, len: u8, octets: u8 },
    Greedy { number: u8, len: u32, octets: u8 },
    Short { len: u8 },
}

impl Piece {
    fn parts(&self) -> Option<(u32, u32, u8)> {
        match *self {
            Self::Fitting {
                number,
                len,
                octets,
            } => Some((u32::from(number % 4), u32::from(len % 64), octets)),
            Self::Greedy {
                number,
                len,
                octets,
            } => Some((u32::from(number), len, octets)),
            Self::Short { .. } => None,
        }
    }

    fn frame(&self) -> Vec<u8> {
        match (self, self.parts()) {
            (_, Some((number, len, octets))) => [
                &number.to_le_bytes()[..],
                &len.to_le_bytes(),
                &vec![octets; usize::from(octets)],
            ]
            .concat(),
            (Self::Short { len }, _) => vec![0; usize::from(len % 8)],
            (_, None) => Vec::new(),
        }
    }
}

/// The packets as the rules of protocol.md §7.5 say they are.
#[derive(Default)]
struct Expected {
    open: HashMap<u32, (u32, Vec<u8>)>,
}

impl Expected {
    /// The packet that is whole now, or that none is; `None` for a wrong piece.
    fn add(&mut self, piece: &Piece) -> Option<Option<Vec<u8>>> {
        let (number, len, octets) = piece.parts()?;
        let held: usize = self.open.values().map(|(_, octets)| octets.len()).sum();
        let (announced, mut gathered) = self.open.remove(&number).unwrap_or((len, Vec::new()));
        gathered.extend(vec![octets; usize::from(octets)]);
        let fits = announced == len
            && gathered.len() <= len as usize
            && octets > 0
            && held + usize::from(octets) <= 2 * LEN_MAX
            && len as usize <= LEN_MAX;
        if !fits {
            return None;
        }
        if gathered.len() == len as usize {
            return Some(Some(gathered));
        }
        self.open.insert(number, (len, gathered));
        Some(None)
    }
}

/// Of a packet; twice that of all of them.
const LEN_MAX: usize = 4096;
const FIXED: usize = 16 << 10;
/// Seven octets of input are up to 255 of a piece, which are kept, compared and grown.
const EACH: usize = 1024;
