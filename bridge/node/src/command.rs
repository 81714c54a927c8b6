//! What handles ask of the actor.
//!
//! Model: a [`Command`] is either a whisper, which is frequent and needs no reply, or a function that the actor runs on
//! its state `S` and whose result comes back. `S` is a parameter so that this module does not depend on the actor.
//! Limits: [`COMMANDS_MAX`] commands wait in each of the two queues of a node; then senders wait.

use std::fmt;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use zocp_zre::{Content, PeerId};

use crate::credit::CreditPermit;
use crate::error::NodeError;

/// One command.
pub(crate) enum Command<S> {
    /// Sends a message to one peer.
    Whisper {
        peer: PeerId,
        content: Content,
        permit: CreditPermit,
    },
    /// Runs a function.
    Run(Work<S>),
}

/// A function that the actor runs on its state at the given time.
pub(crate) type Work<S> = Box<dyn FnOnce(&mut S, Instant) + Send>;

impl<S> fmt::Debug for Command<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whisper { .. } => "Whisper",
            Self::Run(_) => "Run",
        })
    }
}

/// Has the actor run a function when its turn in this queue comes, and returns the function's result.
///
/// # Errors
/// `Closed` when the node has ended.
pub(crate) async fn run_on<S, T: Send + 'static>(
    queue: &mpsc::Sender<Command<S>>,
    work: impl FnOnce(&mut S, Instant) -> T + Send + 'static,
) -> Result<T, NodeError> {
    let (reply, result) = oneshot::channel();
    let command = Command::Run(Box::new(move |state, now| {
        // The caller may be gone; the work is done all the same.
        let _ = reply.send(work(state, now));
    }));
    queue.send(command).await.map_err(|_| NodeError::Closed)?;
    result.await.map_err(|_| NodeError::Closed)
}

/// Commands that may wait for the actor; each is short, so this is a fraction of a millisecond.
pub(crate) const COMMANDS_MAX: usize = 1024;
