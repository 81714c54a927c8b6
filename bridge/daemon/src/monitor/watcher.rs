//! One watcher: its queue, and the task that writes to it.
//!
//! Model: a [`Watcher`] is the sending side of a queue of events. Its task takes events from the queue, encodes them
//! with an [`Encoder`], and writes them to a socket pair whose other end the program reads.
//! Invariants: WATCHER-1. [`Watcher::offer`] never waits: an event that finds no room is counted. WATCHER-2. The number of dropped
//! events is written at the place where they are missing. WATCHER-3. The task ends when the program closes its end, or at `stop`.
//! Limits: [`QUEUE_MAX`] events of [`QUEUE_OCTETS_MAX`] octets wait; what the task has taken is one batch of
//! [`BATCH_MAX`].

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    net::UnixStream,
    sync::mpsc::{self, Receiver, Sender},
};
use tokio_util::sync::CancellationToken;

use super::{
    capture::Capture,
    encoder::Encoder,
    event::Event,
    filter::{Filter, Format},
    lines::Lines,
};

/// The sending side of a watcher. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Watcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: String,
    queue: Sender<Queued>,
    /// Octets that wait.
    waiting: AtomicUsize,
    /// Events that were dropped and not reported yet.
    lost: AtomicU64,
}

/// An event, and how many events before it were dropped.
type Queued = (u64, Arc<Event>);

impl Watcher {
    /// A watcher, the program's end, and the task that serves it.
    pub(super) fn open(
        program: &str,
        filter: Filter,
        stop: CancellationToken,
    ) -> io::Result<(Self, OwnedFd, impl Future<Output = ()> + Send + use<>)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        // A program that only reads need not set this.
        theirs.set_nonblocking(false)?;
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        let watcher = Self {
            shared: Arc::new(Shared {
                program: program.to_owned(),
                queue,
                waiting: AtomicUsize::new(0),
                lost: AtomicU64::new(0),
            }),
        };
        let encoder: Box<dyn Encoder> = match filter.format {
            Format::Json => Box::new(Lines::new(filter)),
            Format::Pcapng => Box::new(Capture::new(filter)),
        };
        let task = watcher.clone().serve(ours, events, encoder, stop);
        Ok((watcher, theirs.into(), task))
    }

    /// Queues an event, or counts it as dropped (WATCHER-1).
    pub(super) fn offer(&self, event: &Arc<Event>) {
        let shared = &self.shared;
        let weight = event.weight();
        let waiting = shared.waiting.fetch_add(weight, Ordering::Relaxed);
        match shared.queue.try_reserve() {
            Ok(room) if waiting < QUEUE_OCTETS_MAX => {
                let lost = shared.lost.swap(0, Ordering::Relaxed);
                room.send((lost, Arc::clone(event)));
            }
            _ => {
                shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn is_of(&self, program: &str) -> bool {
        self.shared.program == program
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    async fn serve(
        self,
        stream: UnixStream,
        mut events: Receiver<Queued>,
        mut encoder: Box<dyn Encoder>,
        stop: CancellationToken,
    ) {
        let writing = async {
            let mut batch = Vec::new();
            let mut out = Vec::new();
            encoder.begin(&mut out);
            loop {
                write_all(&stream, &out).await?;
                out.clear();
                events.recv_many(&mut batch, BATCH_MAX).await;
                for (lost, event) in batch.drain(..) {
                    tell_lost(&mut *encoder, lost, &mut out);
                    encoder.write(&event, &mut out);
                    let weight = event.weight();
                    self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                }
                // No event came after the dropped ones.
                if events.is_empty() {
                    let lost = self.shared.lost.swap(0, Ordering::Relaxed);
                    tell_lost(&mut *encoder, lost, &mut out);
                }
            }
        };
        tokio::select! {
            ended = writing => {
                let _: io::Result<()> = ended;
            }
            () = closed(&stream) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn tell_lost(encoder: &mut dyn Encoder, count: u64, out: &mut Vec<u8>) {
    if count > 0 {
        encoder.lost(count, out);
    }
}

async fn write_all(stream: &UnixStream, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match stream.try_write(octets) {
            Ok(len) => octets = &octets[len..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the program has closed its end; what it writes is ignored.
async fn closed(stream: &UnixStream) {
    let mut nothing = [0; 64];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut nothing) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

/// Twice the messages that one read of a connection may bring.
const QUEUE_MAX: usize = 8192;
/// The memory that one watcher makes the bridge hold.
const QUEUE_OCTETS_MAX: usize = 16 << 20;
/// Events of a batch; other tasks run while it is written.
const BATCH_MAX: usize = 256;
