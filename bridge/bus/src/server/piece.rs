//! Buffers that are read into.
//!
//! Model: a connection has one only while what it read is carried out, so as many are in use as connections have more
//! to say than fits in one turn.
//! Limits: [`KEPT_MAX`] unused ones are kept for each thread.

use std::cell::RefCell;

use super::PIECE_LEN_MAX;

thread_local! {
    static UNUSED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`PIECE_LEN_MAX`] octets. It is used again after it is dropped.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) octets: Vec<u8>,
}

impl Piece {
    pub(super) fn take() -> Self {
        let unused = UNUSED.with_borrow_mut(Vec::pop);
        Self {
            octets: unused.unwrap_or_else(|| vec![0; PIECE_LEN_MAX]),
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let octets = std::mem::take(&mut self.octets);
        // Where the thread ends, there is nothing to keep it for.
        let _: Result<(), _> = UNUSED.try_with(|unused| {
            let mut unused = unused.borrow_mut();
            if unused.len() < KEPT_MAX {
                unused.push(octets);
            }
        });
    }
}

const KEPT_MAX: usize = 4;
