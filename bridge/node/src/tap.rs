//! Where somebody can listen to everything that goes over the mesh.
//!
//! Model: a [`Tap`] is closed until a [`Sink`] is put to it. While it is open each message, each arrival
//! and each refusal is told to the sink as a [`Note`], in the order in which the node sees them.
//! Invariants: I1. A closed tap costs one relaxed load where something could be told; no note is made.
//! I2. A sink never waits: what it has no room for it drops and counts, so nobody who listens slows the
//! node. I3. The content of a note is shared with the message, not copied.
//! Limits: one sink.
//! Not here: what listeners are given, and how much waits for them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use zocp_zre::{Content, ExitReason, Header, PeerId};

use crate::traffic::{Turned, Verb};

/// Something that happened on the mesh.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Note {
    /// A message came, or goes out.
    Message(Box<Passed>),
    /// A beacon of somebody else.
    Beacon {
        /// From where.
        from: SocketAddr,
        /// The port on which it was heard.
        port: u16,
        /// The datagram.
        octets: Vec<u8>,
    },
    /// A peer is here.
    Entered {
        /// Who.
        peer: PeerId,
        /// Its name.
        name: String,
        /// Its mailbox.
        endpoint: String,
    },
    /// A peer is gone.
    Exited {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: ExitReason,
    },
    /// A peer is silent and was asked for a sign of life.
    Evasive {
        /// Who.
        peer: PeerId,
    },
    /// An evasive peer gave a sign of life.
    Returned {
        /// Who.
        peer: PeerId,
    },
    /// Somebody or something was turned away.
    Turned {
        /// From where, if that is known.
        from: Option<SocketAddr>,
        /// Of which kind.
        kind: Turned,
        /// Why, in words.
        why: String,
    },
}

/// A message that passed.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Which way.
    pub way: Way,
    /// To whom, or whose the connection says to be; `None` of a connection whose far end is not known yet.
    pub peer: Option<PeerId>,
    /// What it says.
    pub verb: Verb,
    /// The ends of the connection: ours, and the peer's. `None` while it is being made.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// The first frame.
    pub header: Header,
    /// The frames after it.
    pub content: Content,
}

impl Passed {
    /// The octets of all frames.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.header.len() + self.content.iter().map(|frame| frame.len()).sum::<usize>()
    }
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To us.
    In,
    /// From us.
    Out,
}

/// Who listens.
pub trait Sink: Send + Sync {
    /// Takes a note, or drops it. Called by the node's own task: must not wait.
    fn note(&self, note: Note);
}

/// Where somebody can listen.
#[derive(Default)]
pub struct Tap {
    is_open: AtomicBool,
    sink: RwLock<Option<Arc<dyn Sink>>>,
}

impl Tap {
    /// Has a sink told everything from now on, in place of one that was there.
    pub fn open(&self, sink: Arc<dyn Sink>) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Nobody listens any more.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether somebody listens.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Tells what happened, if somebody listens.
    pub(crate) fn tell(&self, note: impl FnOnce() -> Note) {
        if self.is_open() {
            self.pass_on(note());
        }
    }

    #[cold]
    fn pass_on(&self, note: Note) {
        let sink = self.sink.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            sink.note(note);
        }
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("is_open", &self.is_open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<PeerId>>);

    impl Sink for Heard {
        fn note(&self, note: Note) {
            if let Note::Evasive { peer } = note {
                self.0.lock().unwrap().push(peer);
            }
        }
    }

    #[test]
    fn a_note_is_made_only_while_somebody_listens() {
        let (tap, heard) = (Tap::default(), Arc::new(Heard::default()));
        let peer = PeerId::new([1; 16]);
        tap.tell(|| panic!("nobody listens"));
        tap.open(heard.clone());
        tap.tell(|| Note::Evasive { peer });
        tap.close();
        tap.tell(|| panic!("nobody listens any more"));
        assert_eq!(*heard.0.lock().unwrap(), [peer]);
    }
}
