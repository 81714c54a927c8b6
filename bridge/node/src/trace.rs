//! A hook through which one observer sees everything that passes over the mesh.
//!
//! Model: a [`TraceHook`] has no observer until a [`TraceSink`] is attached. Then each message, each arrival and each
//! rejection is given to the sink as a [`TraceEvent`], in the order in which the node sees them.
//! Invariants: TRACE-1. Without a sink a hook costs one relaxed load for each thing that could be traced; no event is
//! made. TRACE-2. A sink never waits: it drops and counts what exceeds its capacity, so that no observer slows the node.
//! TRACE-3. The content of a traced message is shared with the message, not copied.
//! Limits: one sink.
//! Not here: what observers are shown, and how much waits for them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use zocp_zre::{Content, ExitReason, Header, PeerId};

use crate::traffic_kinds::{Rejection, Verb};

/// Something that happened on the mesh.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TraceEvent {
    /// A message was received or sent.
    Message(Box<TracedMessage>),
    /// A beacon of another node was received.
    Beacon {
        /// Its source address.
        from: SocketAddr,
        /// The UDP port on which it was received.
        port: u16,
        /// The datagram.
        octets: Vec<u8>,
    },
    /// A peer entered.
    Entered {
        /// The peer.
        peer: PeerId,
        /// Its name.
        name: String,
        /// Its mailbox.
        endpoint: String,
    },
    /// A peer exited.
    Exited {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: ExitReason,
    },
    /// A peer is silent and was asked for a sign of life.
    Evasive {
        /// The peer.
        peer: PeerId,
    },
    /// An evasive peer gave a sign of life.
    Returned {
        /// The peer.
        peer: PeerId,
    },
    /// A connection, a peer or a message was rejected.
    Rejected {
        /// The remote address, if it is known.
        from: Option<SocketAddr>,
        /// The kind of rejection.
        kind: Rejection,
        /// The reason, for people.
        why: String,
    },
}

/// A message that was received or sent.
#[derive(Debug, Clone)]
pub struct TracedMessage {
    /// Whether it was received or sent.
    pub direction: Direction,
    /// The peer that the connection belongs to, by what the peer says of itself; `None` while that is not known.
    pub peer: Option<PeerId>,
    /// What it says.
    pub verb: Verb,
    /// The local and the remote address of the connection; `None` while it is being made.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// The first frame.
    pub header: Header,
    /// The frames after it.
    pub content: Content,
}

impl TracedMessage {
    /// The octets of all frames together.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.header.len() + self.content.iter().map(|frame| frame.len()).sum::<usize>()
    }
}

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Received by this node.
    In,
    /// Sent by this node.
    Out,
}

/// The observer of a [`TraceHook`].
pub trait TraceSink: Send + Sync {
    /// Takes an event, or drops it. Called by the node's own task, so it must not wait.
    fn record(&self, event: TraceEvent);
}

/// Where an observer is attached. It has no observer until a [`TraceSink`] is attached.
#[derive(Default)]
pub struct TraceHook {
    is_attached: AtomicBool,
    /// Locked because the actor and connection tasks trace while a sink is attached or detached; a reader holds up no
    /// other reader.
    sink: RwLock<Option<Arc<dyn TraceSink>>>,
}

impl TraceHook {
    /// Gives all further events to this sink, in place of the one that was attached.
    pub fn attach(&self, sink: Arc<dyn TraceSink>) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        self.is_attached.store(true, Ordering::Relaxed);
    }

    /// Gives no further events to anybody.
    pub fn detach(&self) {
        self.is_attached.store(false, Ordering::Relaxed);
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether a sink is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed)
    }

    /// Makes an event and gives it to the sink, if one is attached.
    pub(crate) fn record(&self, event: impl FnOnce() -> TraceEvent) {
        if self.is_attached() {
            self.pass_on(event());
        }
    }

    #[cold]
    fn pass_on(&self, event: TraceEvent) {
        let sink = self.sink.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            sink.record(event);
        }
    }
}

impl fmt::Debug for TraceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceHook")
            .field("is_attached", &self.is_attached)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Recorded(Mutex<Vec<PeerId>>);

    impl TraceSink for Recorded {
        fn record(&self, event: TraceEvent) {
            if let TraceEvent::Evasive { peer } = event {
                self.0.lock().unwrap().push(peer);
            }
        }
    }

    #[test]
    fn an_event_is_made_only_while_a_sink_is_attached() {
        let (hook, recorded) = (TraceHook::default(), Arc::new(Recorded::default()));
        let peer = PeerId::new([1; 16]);
        hook.record(|| panic!("no sink is attached yet"));
        hook.attach(recorded.clone());
        hook.record(|| TraceEvent::Evasive { peer });
        hook.detach();
        hook.record(|| panic!("no sink is attached any more"));
        assert_eq!(*recorded.0.lock().unwrap(), [peer]);
    }
}
