//! One watcher: its queue, and the task that writes to it.
//!
//! Model: a [`Watcher`] is the end that is offered what happens. Its task takes from the queue, makes octets
//! with a [`Encoder`], and writes them to a socket pair whose other end the program has.
//! Invariants: WATCHER-1. [`Watcher::offer`] never waits: without room it counts. WATCHER-2. What was dropped is told in the
//! place where it is missing. WATCHER-3. The task ends when the program closes its end, or at `stop`.
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
    lines::Lines,
    order::{Format, Order},
    seen::Seen,
};

/// The end that is offered what happens. Clones are the same.
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
    /// Events that were dropped and not told of yet.
    lost: AtomicU64,
}

/// An event, and how many before it were dropped.
type Queued = (u64, Arc<Seen>);

impl Watcher {
    /// A watcher, the program's end, and the task that serves it.
    pub(super) fn open(
        program: &str,
        order: Order,
        stop: CancellationToken,
    ) -> io::Result<(Self, OwnedFd, impl Future<Output = ()> + Send + use<>)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        // Programs that know nothing of this just read.
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
        let encoder: Box<dyn Encoder> = match order.format {
            Format::Json => Box::new(Lines::new(order)),
            Format::Pcapng => Box::new(Capture::new(order)),
        };
        let task = watcher.clone().serve(ours, events, encoder, stop);
        Ok((watcher, theirs.into(), task))
    }

    /// Takes an event, or counts it (WATCHER-1).
    pub(super) fn offer(&self, seen: &Arc<Seen>) {
        let shared = &self.shared;
        let weight = seen.weight();
        let waiting = shared.waiting.fetch_add(weight, Ordering::Relaxed);
        match shared.queue.try_reserve() {
            Ok(room) if waiting < QUEUE_OCTETS_MAX => {
                let lost = shared.lost.swap(0, Ordering::Relaxed);
                room.send((lost, Arc::clone(seen)));
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
                for (lost, seen) in batch.drain(..) {
                    tell_lost(&mut *encoder, lost, &mut out);
                    encoder.write(&seen, &mut out);
                    let weight = seen.weight();
                    self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                }
                // Nothing came behind what was dropped.
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

/// Waits until the program has closed its end. What it says is nothing to us.
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

/// Two bursts of what one read of a connection may bring.
const QUEUE_MAX: usize = 8192;
/// Of what one watcher makes the bridge keep.
const QUEUE_OCTETS_MAX: usize = 16 << 20;
/// Then others get their turn while it is written.
const BATCH_MAX: usize = 256;
