//! What goes to one peer: packets on lanes that share its connection fairly.
//!
//! Model: a [`Lane`] is a row of packets whose order matters. While nothing waits a short packet goes to
//! the node at once, without waking anybody. Else it is queued on its lane, and a *pump*, one task for
//! each peer, takes turns among the lanes: a short packet, or a piece of a long one, and the next lane.
//! It hands over only while little waits for the peer's socket, so that what is short waits for a few
//! pieces, never for a whole long packet.
//! Invariants: O1. packets of a lane go out in the order in which they were pushed. O2. a packet that
//! is pushed with [`Outlet::push_behind`] goes out after all that was pushed on the other lane before.
//! Limits: `packets_queue_max` octets wait, as it was when the peer came; above that calls are refused ([`Busy`]), and who makes answers
//! and signals waits for [`Outlet::room`]: an outlet takes them all, since none may be lost.
//! Spec: docs/reference/protocol.md §7.5

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_node::{Content, Node, NodeError, PeerId};

use super::{
    TAG,
    parts::{piece, piece_tag},
};
use crate::metrics::{Meter, Packet};
use zocp_dbus::line::until;

/// A row of packets whose order matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What one local caller sends.
    Caller(Arc<str>),
    /// What a service tells all.
    Service(Arc<str>),
    /// What a service tells one remote caller.
    Answers(Arc<str>, Arc<str>),
}

/// Who takes what goes to a peer. In life the node.
pub trait Post: Send + Sync + 'static {
    /// Takes a message, or refuses it at once.
    ///
    /// # Errors
    /// `Busy`, or the peer is gone.
    fn try_send(&self, content: Content) -> Result<(), NodeError>;

    /// Waits until at most `octets` wait for the peer's socket.
    fn drained(&self, octets: usize) -> impl Future<Output = Result<(), NodeError>> + Send;

    /// A packet was taken, to be sent as soon as it can be: for those who count.
    fn taken(&self, packet: &[u8]);

    /// Takes a message, waiting for room.
    fn send(&self, content: Content) -> impl Future<Output = Result<(), NodeError>> + Send;
}

/// A node as the post to one of its peers.
#[derive(Debug, Clone)]
pub struct NodePost {
    /// The node.
    pub node: Node,
    /// The peer.
    pub peer: PeerId,
    /// What counts its packets.
    pub meter: Meter,
}

impl Post for NodePost {
    fn try_send(&self, content: Content) -> Result<(), NodeError> {
        self.node.try_whisper(self.peer, content)
    }

    fn taken(&self, packet: &[u8]) {
        // D-Bus: the second octet of a message is its type.
        let kind = match packet.get(1) {
            Some(1) => Packet::Call,
            Some(2) => Packet::Return,
            Some(3) => Packet::Error,
            _ => Packet::Signal,
        };
        self.meter.sent(kind, packet.len());
    }

    async fn drained(&self, octets: usize) -> Result<(), NodeError> {
        self.node.drained(self.peer, octets).await
    }

    async fn send(&self, content: Content) -> Result<(), NodeError> {
        self.node.whisper(self.peer, content).await
    }
}

/// Too much waits for the peer; nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What goes to one peer. Clones are the same outlet.
#[derive(Debug)]
pub struct Outlet<P> {
    shared: Arc<Shared<P>>,
}

impl<P> Clone for Outlet<P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

#[derive(Debug)]
struct Shared<P> {
    post: P,
    queues: Mutex<Queues>,
    /// Octets that wait; read without the lock.
    waiting: AtomicUsize,
    waiting_max: usize,
    work: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    lanes: HashMap<Lane, Row>,
    /// The lanes with something in them, in turn.
    turns: VecDeque<Lane>,
    /// Counts long packets.
    number: u32,
    /// Counts packets.
    pushed: u64,
}

/// The packets of a lane, never without any.
type Row = VecDeque<Waiting>;

#[derive(Debug)]
struct Waiting {
    packet: Bytes,
    /// How much of it is sent, and under which number.
    sent: Option<(u32, usize)>,
    place: u64,
    /// Not before this lane is beyond this place.
    after: Option<(Lane, u64)>,
}

impl<P: Post> Outlet<P> {
    /// The outlet to a peer, with room for this many octets; its pump ends at `gone`.
    pub fn new(post: P, tasks: &TaskTracker, gone: CancellationToken, waiting_max: usize) -> Self {
        let shared = Arc::new(Shared {
            post,
            queues: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_max,
            work: Notify::new(),
            room: Notify::new(),
        });
        let outlet = Self { shared };
        let pump = outlet.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = gone.cancelled() => {}
                () = pump.pump() => {}
            }
            // Nobody waits for a peer that is gone.
            pump.shared.waiting.store(0, Ordering::Release);
            pump.shared.room.notify_waiters();
        });
        outlet
    }

    /// Sends a packet, or queues it.
    pub fn push(&self, lane: Lane, packet: Bytes) {
        self.enqueue(lane, packet, None);
    }

    /// As [`push`](Self::push), after all that is on another lane now, if one is named.
    pub fn push_behind(&self, lane: Lane, packet: Bytes, other: Option<&Lane>) {
        self.enqueue(lane, packet, other);
    }

    /// As [`push`](Self::push), unless too much waits.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn try_push(&self, lane: Lane, packet: Bytes) -> Result<(), Busy> {
        if !self.has_room() {
            return Err(Busy);
        }
        self.push(lane, packet);
        Ok(())
    }

    /// Whether little enough waits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) < self.shared.waiting_max
    }

    /// Waits until little enough waits, or the peer is gone. Cancel safe.
    pub async fn room(&self) {
        until(&self.shared.room, || self.has_room()).await;
    }

    fn enqueue(&self, lane: Lane, packet: Bytes, after: Option<&Lane>) {
        self.shared.post.taken(&packet);
        let mut queues = self.shared.lock();
        let is_idle = self.shared.waiting.load(Ordering::Acquire) == 0;
        if is_idle && packet.len() <= PIECE_LEN {
            match self.shared.post.try_send(whole(packet.clone())) {
                Err(NodeError::Busy) => {}
                // A peer that is gone needs nothing.
                _ => return,
            }
        }
        self.shared
            .waiting
            .fetch_add(packet.len() + OVERHEAD, Ordering::AcqRel);
        queues.add(lane, packet, after);
        drop(queues);
        self.shared.work.notify_one();
    }

    async fn pump(&self) {
        loop {
            let Some((content, done)) = self.next() else {
                self.shared.work.notified().await;
                continue;
            };
            let sent = async {
                self.shared.post.drained(WINDOW).await?;
                self.shared.post.send(content).await
            };
            if sent.await.is_err() {
                return;
            }
            if done > 0 {
                self.shared.waiting.fetch_sub(done, Ordering::AcqRel);
                self.shared.room.notify_waiters();
            }
        }
    }

    fn next(&self) -> Option<(Content, usize)> {
        self.shared.lock().next()
    }
}

impl<P> Shared<P> {
    /// Plain data, whole between the steps of each method.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn add(&mut self, lane: Lane, packet: Bytes, after: Option<&Lane>) {
        let after = after.filter(|other| self.lanes.contains_key(*other));
        let after = after.map(|other| (other.clone(), self.pushed));
        self.pushed += 1;
        let row = self.lanes.entry(lane.clone()).or_default();
        if row.is_empty() {
            self.turns.push_back(lane);
        }
        row.push_back(Waiting {
            packet,
            sent: None,
            place: self.pushed,
            after,
        });
    }

    /// What is sent next, and how much less waits then.
    fn next(&mut self) -> Option<(Content, usize)> {
        for _ in 0..self.turns.len() {
            let lane = self.turns.pop_front()?;
            if let Some(next) = self.step(&lane) {
                return Some(next);
            }
            self.turns.push_back(lane);
        }
        None
    }

    /// The next of a lane, which is then last in turn; `None` if it has to wait for another.
    fn step(&mut self, lane: &Lane) -> Option<(Content, usize)> {
        let after = &self.lanes.get(lane)?.front()?.after;
        if let Some((other, place)) = after
            && let Some(first) = self.lanes.get(other).and_then(VecDeque::front)
            && first.place <= *place
        {
            return None;
        }
        let number = self.number;
        let row = self.lanes.get_mut(lane)?;
        let waiting = row.front_mut()?;
        let (content, is_done) = waiting.take(number);
        if waiting.sent.is_some_and(|(its, _)| its == number) {
            self.number = number.wrapping_add(1);
        }
        if !is_done {
            self.turns.push_back(lane.clone());
            return Some((content, 0));
        }
        let done = waiting.packet.len() + OVERHEAD;
        row.pop_front();
        if row.is_empty() {
            self.lanes.remove(lane);
        } else {
            self.turns.push_back(lane.clone());
        }
        Some((content, done))
    }
}

impl Waiting {
    /// What is sent of it now, and whether that is the rest. A long packet takes `number`.
    fn take(&mut self, number: u32) -> (Content, bool) {
        if self.packet.len() <= PIECE_LEN {
            return (whole(self.packet.clone()), true);
        }
        let (number, from) = self.sent.unwrap_or((number, 0));
        let to = self.packet.len().min(from + PIECE_LEN);
        // A packet is never longer than 32 bits can say: the bound is checked.
        let len = u32::try_from(self.packet.len()).unwrap_or(u32::MAX);
        let frame = piece(number, len, &self.packet[from..to]);
        self.sent = Some((number, to));
        let content = Content::from_iter([piece_tag(), frame]);
        (content, to == self.packet.len())
    }
}

fn whole(packet: Bytes) -> Content {
    Content::from_iter([Bytes::from_static(TAG), packet])
}

/// What is longer travels in pieces of this length.
pub(super) const PIECE_LEN: usize = 128 << 10;
/// Octets that may wait for the socket when the next piece is handed over.
const WINDOW: usize = 2 * PIECE_LEN;
/// What a packet takes beside its octets.
const OVERHEAD: usize = 256;
