//! The queue of a wire that goes through this bridge.
//!
//! Model: a [`Feed`] is the end at which values go in, an [`Outlet`] the one at which they are taken out,
//! in that order. What is in it was emitted and is delivered, unless the wire is taken away.
//! Limits: [`QUEUE_SIZE_MAX`] for the values that wait. Above that whoever hands values in waits, and with
//! it the mesh or the bus that they come from: nothing is lost. A target that takes nothing for
//! [`PATIENCE`] holds up nobody any longer: until it takes something, further values are counted as lost
//! and the wire says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use zocp_node::Value;

use super::record::Record;

/// Where values go in. Clones are the same; when all are gone the outlet ends.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    is_stuck: Arc<AtomicBool>,
    record: Record,
}

/// Where they are taken out.
#[derive(Debug)]
pub(super) struct Outlet {
    receiver: mpsc::Receiver<Waiting>,
    is_stuck: Arc<AtomicBool>,
}

/// A value on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passing {
    pub(super) value: Value,
    /// How many wires it has come through.
    pub(super) hops: u8,
}

#[derive(Debug)]
struct Waiting {
    passing: Passing,
    _room: OwnedSemaphorePermit,
}

/// A queue for the wire of this record.
pub(super) fn feed(record: Record) -> (Feed, Outlet) {
    // A value needs one unit of room at least, so the channel is never full.
    let (sender, receiver) = mpsc::channel(QUEUE_SIZE_MAX);
    let is_stuck = Arc::new(AtomicBool::new(false));
    let feed = Feed {
        sender,
        room: Arc::new(Semaphore::new(QUEUE_SIZE_MAX)),
        is_stuck: is_stuck.clone(),
        record,
    };
    (feed, Outlet { receiver, is_stuck })
}

impl Feed {
    /// Hands a value in. Waits for room, but not for ever.
    pub(super) async fn push(&self, passing: Passing) {
        let Err(passing) = self.try_push(passing) else {
            return;
        };
        let room = if self.is_stuck.load(Ordering::Relaxed) {
            None
        } else {
            self.wait(size(&passing.value)).await
        };
        match room {
            Some(room) => self.send(passing, room),
            None => self.fail("the target takes no more values"),
        }
    }

    /// Hands a value in if there is room, else gives it back.
    pub(super) fn try_push(&self, passing: Passing) -> Result<(), Passing> {
        let size = size(&passing.value);
        match self.room.clone().try_acquire_many_owned(size) {
            Ok(room) => {
                self.send(passing, room);
                Ok(())
            }
            Err(_) => Err(passing),
        }
    }

    /// A value could not even be handed in.
    pub(super) fn fail(&self, reason: &str) {
        self.record.failed(reason);
    }

    fn send(&self, passing: Passing, room: OwnedSemaphorePermit) {
        let waiting = Waiting {
            passing,
            _room: room,
        };
        // An outlet that has ended takes nothing any more.
        self.sender.try_send(waiting).ok();
    }

    async fn wait(&self, size: u32) -> Option<OwnedSemaphorePermit> {
        let room = self.room.clone().acquire_many_owned(size);
        match timeout(PATIENCE, room).await {
            Ok(room) => room.ok(),
            Err(_) => {
                self.is_stuck.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}

impl Outlet {
    /// The next value; `None` when there will be no more. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Passing> {
        let waiting = self.receiver.recv().await?;
        self.is_stuck.store(false, Ordering::Relaxed);
        Some(waiting.passing)
    }
}

/// The room that a value needs: a unit for each KiB that is begun.
fn size(value: &Value) -> u32 {
    let octets = match value {
        Value::String(text) => text.len(),
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 0,
    };
    let units = 1 + octets / UNIT;
    u32::try_from(units.min(QUEUE_SIZE_MAX)).unwrap_or(u32::MAX)
}

const UNIT: usize = 1024;
/// Units of room: as many small values, or 8 MiB of large ones.
const QUEUE_SIZE_MAX: usize = 8192;
/// How long a full queue holds up who fills it.
const PATIENCE: Duration = Duration::from_secs(2);
