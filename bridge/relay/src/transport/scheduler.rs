//! What goes to one peer: packets on streams that share its connection fairly.
//!
//! Model: a [`Stream`] is a queue of packets whose order matters. While nothing waits, a short packet goes to the node at
//! once, without waking anybody. Else it is queued on its stream, and a *writer*, one task for each peer, takes turns among
//! the streams: a short packet, or a fragment of a long one, then the next stream. It hands over only while little waits for
//! the peer's socket, so a short packet waits for a few fragments, never for a whole long packet.
//! To a peer of another venue, changes of properties that wait are merged (`super::changes`), where no other signal of the
//! service came between.
//! Invariants: SCHEDULER-1. Packets of a stream go out in the order in which they were pushed. SCHEDULER-2. A packet that is
//! pushed with [`Scheduler::push_behind`] goes out after all that was pushed on the other stream before.
//! Limits: `packets_queue_max` octets wait, as the limit was when the peer came. Above that calls are refused ([`Busy`]).
//! Replies and signals are always taken, since none may be lost; who makes them waits for [`Scheduler::capacity`].
//! Spec: docs/reference/protocol.md §7.5

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_node::{Content, Node, NodeError, PeerId, plumbing::passed_whisper};

use super::{
    TAG,
    changes::Changes,
    pace::Pace,
    reassembly::{fragment, fragment_tag},
};
use crate::{
    lock::lock,
    metrics::{Meter, Packet},
};
use zocp_dbus::connection::until;

/// A queue of packets whose order matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stream {
    /// What one local caller sends.
    Caller(Arc<str>),
    /// What a service sends to all.
    Service(Arc<str>),
    /// What a service sends to one remote caller.
    Replies(Arc<str>, Arc<str>),
}

/// Takes what goes to a peer: the node, except in tests.
pub trait Sink: Send + Sync + 'static {
    /// Takes a message, or refuses it at once.
    ///
    /// # Errors
    /// `Busy`, or the peer is gone.
    fn try_send(&self, content: Content) -> Result<(), NodeError>;

    /// Waits until at most `octets` wait for the peer's socket.
    fn drained(&self, octets: usize) -> impl Future<Output = Result<(), NodeError>> + Send;

    /// The octets that wait for the peer's socket.
    fn queued(&self) -> usize;

    /// Counts a packet that was pushed.
    fn count(&self, packet: &[u8]);

    /// Takes a message, when there is capacity for it.
    fn send(&self, content: Content) -> impl Future<Output = Result<(), NodeError>> + Send;
}

/// A node as the sink to one of its peers.
#[derive(Debug, Clone)]
pub struct NodeSink {
    /// The node.
    pub node: Node,
    /// The peer.
    pub peer: PeerId,
    /// The node that the messages are from, or to, where one of the two passes it on to the other.
    pub about: Option<PeerId>,
    /// What counts its packets.
    pub meter: Meter,
}

impl NodeSink {
    fn written(&self, content: Content) -> Content {
        match self.about {
            Some(node) => passed_whisper(node, content),
            None => content,
        }
    }
}

impl Sink for NodeSink {
    fn try_send(&self, content: Content) -> Result<(), NodeError> {
        self.node.try_whisper(self.peer, self.written(content))
    }

    fn count(&self, packet: &[u8]) {
        // D-Bus: the second octet of a message is its type.
        let kind = match packet.get(1) {
            Some(1) => Packet::Call,
            Some(2) => Packet::Return,
            Some(3) => Packet::Error,
            _ => Packet::Signal,
        };
        self.meter.sent(kind, packet.len());
    }

    fn queued(&self) -> usize {
        self.node.queued(self.peer)
    }

    async fn drained(&self, octets: usize) -> Result<(), NodeError> {
        self.node.drained(self.peer, octets).await
    }

    async fn send(&self, content: Content) -> Result<(), NodeError> {
        self.node.whisper(self.peer, self.written(content)).await
    }
}

/// Too much waits for the peer; nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What goes to one peer. Clones are the same scheduler.
#[derive(Debug)]
pub struct Scheduler<P> {
    shared: Arc<Shared<P>>,
}

impl<P> Clone for Scheduler<P> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

#[derive(Debug)]
struct Shared<P> {
    sink: P,
    pace: Pace,
    /// Locked because any connection sends at once while nothing waits, without a hand-over; the writer takes the rest
    /// out.
    queues: Mutex<Queues>,
    /// Octets that wait; read without the lock.
    waiting: AtomicUsize,
    waiting_max: usize,
    work: Notify,
    capacity: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    streams: HashMap<Stream, Queue>,
    /// The streams with something in them, in turn.
    turns: VecDeque<Stream>,
    /// Counts long packets.
    number: u32,
    /// Counts packets.
    pushed: u64,
}

/// The packets of a stream, never without any.
type Queue = VecDeque<Waiting>;

#[derive(Debug)]
struct Waiting {
    packet: Bytes,
    /// How much of it is sent, and under which number.
    sent: Option<(u32, usize)>,
    place: u64,
    /// Not before this stream is beyond this place.
    after: Option<(Stream, u64)>,
    /// What of it may be merged with what comes later.
    changes: Option<Changes>,
}

impl<P: Sink> Scheduler<P> {
    /// The scheduler to a peer, with room for this many octets; its writer ends at `gone`.
    pub fn new(
        sink: P,
        pace: Pace,
        tasks: &TaskTracker,
        gone: CancellationToken,
        waiting_max: usize,
    ) -> Self {
        let shared = Arc::new(Shared {
            sink,
            pace,
            queues: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_max,
            work: Notify::new(),
            capacity: Notify::new(),
        });
        let scheduler = Self { shared };
        let writer = scheduler.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = gone.cancelled() => {}
                () = writer.writer() => {}
            }
            // Nobody waits for a peer that is gone.
            writer.shared.waiting.store(0, Ordering::Release);
            writer.shared.capacity.notify_waiters();
        });
        scheduler
    }

    /// Sends a packet, or queues it.
    pub fn push(&self, stream: Stream, packet: Bytes) {
        self.enqueue(stream, packet, None);
    }

    /// As [`push`](Self::push), after all that is on another stream now, if one is named.
    pub fn push_behind(&self, stream: Stream, packet: Bytes, other: Option<&Stream>) {
        self.enqueue(stream, packet, other);
    }

    /// As [`push`](Self::push), unless too much waits.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn try_push(&self, stream: Stream, packet: Bytes) -> Result<(), Busy> {
        if !self.has_capacity() {
            return Err(Busy);
        }
        self.push(stream, packet);
        Ok(())
    }

    /// Whether little enough waits.
    #[must_use]
    pub fn has_capacity(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) < self.shared.waiting_max
    }

    /// Waits until little enough waits, or the peer is gone. Cancel safe.
    pub async fn capacity(&self) {
        until(&self.shared.capacity, || self.has_capacity()).await;
    }

    fn enqueue(&self, stream: Stream, packet: Bytes, after: Option<&Stream>) {
        self.shared.sink.count(&packet);
        let mut queues = self.shared.lock();
        let Shared { sink, pace, .. } = &*self.shared;
        let is_idle = self.shared.waiting.load(Ordering::Acquire) == 0;
        if is_idle
            && packet.len() <= pace.fragment_len
            && (!pace.merges_changes || sink.queued() <= pace.window)
        {
            match self.shared.sink.try_send(whole(packet.clone())) {
                Err(NodeError::Busy) => {}
                // A peer that is gone needs nothing.
                _ => return,
            }
        }
        let changes = Some(&packet).filter(|_| pace.merges_changes);
        let changes = changes.and_then(Changes::of);
        if let Some(changes) = &changes
            && let Some((before, now)) = queues.merge(&stream, changes)
        {
            // Never less than nothing: what is merged waits.
            self.shared.waiting.fetch_add(now, Ordering::AcqRel);
            self.shared.waiting.fetch_sub(before, Ordering::AcqRel);
            return;
        }
        self.shared
            .waiting
            .fetch_add(packet.len() + OVERHEAD, Ordering::AcqRel);
        queues.add(stream, (packet, changes), after);
        drop(queues);
        self.shared.work.notify_one();
    }

    async fn writer(&self) {
        loop {
            let Some((content, done)) = self.next() else {
                self.shared.work.notified().await;
                continue;
            };
            let sent = async {
                self.shared.sink.drained(self.shared.pace.window).await?;
                self.shared.sink.send(content).await
            };
            if sent.await.is_err() {
                return;
            }
            if done > 0 {
                self.shared.waiting.fetch_sub(done, Ordering::AcqRel);
                self.shared.capacity.notify_waiters();
            }
        }
    }

    fn next(&self) -> Option<(Content, usize)> {
        self.shared.lock().next(self.shared.pace.fragment_len)
    }
}

impl<P> Shared<P> {
    /// Plain data, whole between the steps of each method.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        lock(&self.queues)
    }
}

impl Queues {
    /// Merges changes into ones of the same object that wait on the stream with nothing but changes behind them; how long
    /// the packet was, and is.
    fn merge(&mut self, stream: &Stream, changes: &Changes) -> Option<(usize, usize)> {
        let queue = self.streams.get_mut(stream)?;
        let mut waiting = queue.iter_mut().rev();
        loop {
            let place = waiting.next()?;
            let earlier = place.changes.as_ref()?;
            if let Some((merged, packet)) = earlier.merged(changes) {
                let before = std::mem::replace(&mut place.packet, packet).len();
                place.changes = Some(merged);
                return Some((before, place.packet.len()));
            }
        }
    }

    fn add(
        &mut self,
        stream: Stream,
        (packet, changes): (Bytes, Option<Changes>),
        after: Option<&Stream>,
    ) {
        let after = after.filter(|other| self.streams.contains_key(*other));
        let after = after.map(|other| (other.clone(), self.pushed));
        self.pushed += 1;
        let queue = self.streams.entry(stream.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(stream);
        }
        queue.push_back(Waiting {
            packet,
            sent: None,
            place: self.pushed,
            after,
            changes,
        });
    }

    /// What is sent next, and how much less waits then.
    fn next(&mut self, fragment_len: usize) -> Option<(Content, usize)> {
        for _ in 0..self.turns.len() {
            let stream = self.turns.pop_front()?;
            if let Some(next) = self.step(&stream, fragment_len) {
                return Some(next);
            }
            self.turns.push_back(stream);
        }
        None
    }

    /// The next of a stream, which is then last in turn; `None` if it has to wait for another.
    fn step(&mut self, stream: &Stream, fragment_len: usize) -> Option<(Content, usize)> {
        let after = &self.streams.get(stream)?.front()?.after;
        if let Some((other, place)) = after
            && let Some(first) = self.streams.get(other).and_then(VecDeque::front)
            && first.place <= *place
        {
            return None;
        }
        let number = self.number;
        let queue = self.streams.get_mut(stream)?;
        let waiting = queue.front_mut()?;
        let (content, is_done) = waiting.take(number, fragment_len);
        if waiting.sent.is_some_and(|(its, _)| its == number) {
            self.number = number.wrapping_add(1);
        }
        if !is_done {
            self.turns.push_back(stream.clone());
            return Some((content, 0));
        }
        let done = waiting.packet.len() + OVERHEAD;
        queue.pop_front();
        if queue.is_empty() {
            self.streams.remove(stream);
        } else {
            self.turns.push_back(stream.clone());
        }
        Some((content, done))
    }
}

impl Waiting {
    /// What is sent of it now, and whether that is the rest. A long packet takes `number`.
    fn take(&mut self, number: u32, fragment_len: usize) -> (Content, bool) {
        if self.sent.is_none() && self.packet.len() <= fragment_len {
            return (whole(self.packet.clone()), true);
        }
        let (number, from) = self.sent.unwrap_or((number, 0));
        let to = self.packet.len().min(from + fragment_len);
        // A packet is never longer than 32 bits can say: the limit is checked.
        let len = u32::try_from(self.packet.len()).unwrap_or(u32::MAX);
        let frame = fragment(number, len, &self.packet[from..to]);
        self.sent = Some((number, to));
        let content = Content::from_iter([fragment_tag(), frame]);
        (content, to == self.packet.len())
    }
}

fn whole(packet: Bytes) -> Content {
    Content::from_iter([Bytes::from_static(TAG), packet])
}

/// What a packet takes beside its octets.
const OVERHEAD: usize = 256;
