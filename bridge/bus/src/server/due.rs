//! What is to be written once a piece of one connection is carried out.
//!
//! Model: messages are queued at the links that they are for, and whoever queued the first one of a link has promised to
//! have the link flushed. A piece is carried out in several turns. If nobody else did anything between two turns, the
//! promises are kept at the end of the piece, with one write for many messages; else before the next turn, because
//! others may have queued something there too.
//! Invariants: DUE-1. a promise is kept, also when the task is cancelled: dropping flushes.

use smallvec::SmallVec;

use super::{Link, Shared};
use crate::core::Bus;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Due<'a> {
    shared: &'a Shared,
    links: SmallVec<[Link; 4]>,
    /// The number of the last turn, of all turns of the bus.
    turn: u64,
}

impl<'a> Due<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            links: SmallVec::new(),
            turn: 0,
        }
    }

    /// One turn: brings the bus something.
    pub(super) fn carry_out<R>(&mut self, input: impl FnOnce(&mut Bus) -> R) -> R {
        let (result, turn) = self.shared.queue(input, &mut self.links);
        self.turn = turn;
        result
    }

    /// Lets others have their turns.
    pub(super) async fn pass(&mut self) {
        self.wake_local();
        tokio::task::yield_now().await;
        if self.shared.lock().turns != self.turn {
            self.flush();
        }
    }

    /// Whether something is for a connection of this process.
    pub(super) fn is_local(&self) -> bool {
        self.links.iter().any(|link| matches!(link, Link::Local(_)))
    }

    /// Wakes those of this process, which cost nothing to wake, and which would else have all of the piece at once.
    fn wake_local(&mut self) {
        self.links.retain(|link| match link {
            Link::Local(link) => {
                link.wake();
                false
            }
            Link::Socket(_) => true,
        });
    }

    fn flush(&mut self) {
        for link in self.links.drain(..) {
            link.flush(&self.shared.runtime);
        }
    }
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
