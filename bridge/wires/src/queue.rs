//! The queue of a wire that passes through this bridge.
//!
//! Model: values enter at a [`QueueSender`] and leave at the [`QueueReceiver`] in the same order. Every event is
//! delivered, unless the wire is removed. Of a state only the newest value matters: a value that has waited for
//! [`SKIP_AFTER`] is skipped and counted if a newer one is queued.
//! Limits: [`QUEUE_SIZE_MAX`] for the queued values. When a queue of a state is full, its oldest value is dropped.
//! When a queue of events is full, the sender waits, and with it the mesh or the bus from which the values come:
//! nothing is lost. A target that accepts nothing for [`FULL_QUEUE_TIMEOUT`] no longer delays the sender: until it
//! accepts a value again, further events are counted as lost, and the object of the wire shows it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use zocp_node::{Cause, Value};

use super::{conversion::Delivery, record::Record};

/// The sender of a queue. Clones share the queue; when all are dropped, the receiver ends after the last value.
#[derive(Debug, Clone)]
pub(super) struct QueueSender {
    guard: Arc<CloseGuard>,
    permits: Arc<Semaphore>,
    record: Record,
}

/// The receiver of a queue.
#[derive(Debug)]
pub(super) struct QueueReceiver {
    shared: Arc<Shared>,
    record: Record,
}

#[derive(Debug)]
struct Shared {
    /// Locked because the task that follows the mesh or the bus appends values, and the worker of the wire takes them
    /// out.
    queue: Mutex<VecDeque<Entry>>,
    arrived: Notify,
    is_stuck: AtomicBool,
    is_closed: AtomicBool,
    /// Whether the values are a state.
    is_latest: AtomicBool,
    /// Whether a value was sent.
    has_received: AtomicBool,
}

/// Closes the queue when the last sender is dropped.
#[derive(Debug)]
struct CloseGuard {
    shared: Arc<Shared>,
}

/// A queued value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QueueItem {
    pub(super) value: Value,
    /// How many wires it has passed.
    pub(super) hops: u8,
    /// The touch that caused it, if known.
    pub(super) cause: Option<Cause>,
    /// Whether it is the value that the source had when the wire was made: it is delivered to states only.
    pub(super) is_initial: bool,
}

#[derive(Debug)]
struct Entry {
    item: QueueItem,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl QueueItem {
    /// A value from outside the mesh, or one without further information.
    pub(super) fn new(value: Value) -> Self {
        Self {
            value,
            hops: 0,
            cause: None,
            is_initial: false,
        }
    }
}

/// Creates the queue for the wire of this record.
pub(super) fn queue(record: Record, delivery: Delivery) -> (QueueSender, QueueReceiver) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        arrived: Notify::new(),
        is_stuck: AtomicBool::new(false),
        is_closed: AtomicBool::new(false),
        is_latest: AtomicBool::new(delivery == Delivery::Latest),
        has_received: AtomicBool::new(false),
    });
    let sender = QueueSender {
        guard: Arc::new(CloseGuard {
            shared: shared.clone(),
        }),
        permits: Arc::new(Semaphore::new(QUEUE_SIZE_MAX)),
        record: record.clone(),
    };
    (sender, QueueReceiver { shared, record })
}

impl QueueSender {
    /// Sends a value. Waits while a queue of events is full, but for a limited time.
    pub(super) async fn push(&self, item: QueueItem) {
        let Err(item) = self.try_push(item) else {
            return;
        };
        let permit = if self.shared().is_stuck.load(Ordering::Relaxed) {
            None
        } else {
            self.wait(size(&item.value)).await
        };
        match permit {
            Some(permit) => self.send(item, permit),
            None => self.fail("the target takes no more values"),
        }
    }

    /// Sends the value that the source had when the wire was made, unless a newer value was sent.
    pub(super) fn push_initial(&self, value: Value) {
        if !self.shared().has_received.load(Ordering::Relaxed) {
            // A queue that has received nothing is not full.
            let first = QueueItem {
                is_initial: true,
                ..QueueItem::new(value)
            };
            self.try_push(first).ok();
        }
    }

    /// Sends a value if the queue is not full; `Err` returns the value.
    pub(super) fn try_push(&self, item: QueueItem) -> Result<(), QueueItem> {
        self.shared().has_received.store(true, Ordering::Relaxed);
        let size = size(&item.value);
        loop {
            if let Ok(permit) = self.permits.clone().try_acquire_many_owned(size) {
                self.send(item, permit);
                return Ok(());
            }
            let is_latest = self.shared().is_latest.load(Ordering::Relaxed);
            if !is_latest || self.shared().queue().pop_front().is_none() {
                return Err(item);
            }
            self.record.skipped(1);
        }
    }

    /// Records a value that could not be sent.
    pub(super) fn fail(&self, reason: &str) {
        self.record.failed(reason);
    }

    fn send(&self, item: QueueItem, permit: OwnedSemaphorePermit) {
        let waiting = Entry {
            item,
            since: Instant::now(),
            _permit: permit,
        };
        self.shared().queue().push_back(waiting);
        self.shared().arrived.notify_one();
    }

    async fn wait(&self, size: u32) -> Option<OwnedSemaphorePermit> {
        let permit = self.permits.clone().acquire_many_owned(size);
        match timeout(FULL_QUEUE_TIMEOUT, permit).await {
            Ok(permit) => permit.ok(),
            Err(_) => {
                self.shared().is_stuck.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.guard.shared
    }
}

impl QueueReceiver {
    /// The next value; `None` after the last one. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<QueueItem> {
        loop {
            let first = self.shared.queue().pop_front();
            if let Some(first) = first {
                self.shared.is_stuck.store(false, Ordering::Relaxed);
                let is_latest = self.shared.is_latest.load(Ordering::Relaxed);
                let is_late = is_latest && first.since.elapsed() >= SKIP_AFTER;
                let newer = is_late.then(|| self.newest()).flatten();
                return Some(newer.map_or(first.item, |newer| {
                    self.record.skipped(1);
                    newer
                }));
            }
            if self.shared.is_closed.load(Ordering::Acquire) {
                return None;
            }
            self.shared.arrived.notified().await;
        }
    }

    /// The newest queued value; older ones are skipped and counted.
    pub(super) fn newest(&mut self) -> Option<QueueItem> {
        let mut queue = self.shared.queue();
        let newest = queue.pop_back()?;
        let older = std::mem::take(&mut *queue).len();
        drop(queue);
        self.record.skipped(older);
        Some(newest.item)
    }

    /// Sets how values are delivered from now on.
    pub(super) fn set_delivery(&self, delivery: Delivery) {
        let is_latest = delivery == Delivery::Latest;
        self.shared.is_latest.store(is_latest, Ordering::Relaxed);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.arrived.notify_one();
    }
}

/// The permits that a value needs: one for each started KiB.
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
/// Units of a queue: this many small values, or 8 MiB of large ones.
const QUEUE_SIZE_MAX: usize = 8192;
/// How long a sender waits for a full queue.
const FULL_QUEUE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a value of a state may wait before a newer one replaces it: shorter than a visible delay, and longer
/// than the delivery of a burst takes.
const SKIP_AFTER: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::{super::record::Due, super::registry::WireId, *};

    fn test_queue(delivery: Delivery) -> (QueueSender, QueueReceiver, Record) {
        let record = Record::new(WireId(1), &Due::default());
        let (sender, receiver) = queue(record.clone(), delivery);
        (sender, receiver, record)
    }

    async fn handed_in(sender: &QueueSender, count: u64) {
        for number in 0..count {
            sender.push(QueueItem::new(number.into())).await;
        }
    }

    async fn taken(receiver: &mut QueueReceiver) -> Option<Value> {
        receiver.next().await.map(|item| item.value)
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_state_the_newest_value_is_next_when_the_target_was_slow() {
        let (sender, mut receiver, record) = test_queue(Delivery::Latest);
        handed_in(&sender, 2).await;
        assert_eq!(taken(&mut receiver).await, Some(0.into()));
        handed_in(&sender, 50).await;
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(taken(&mut receiver).await, Some(49.into()));
        assert_eq!(record.skips(), 50);
        drop(sender);
        assert_eq!(taken(&mut receiver).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_events_each_is_next_whatever_it_takes() {
        let (sender, mut receiver, record) = test_queue(Delivery::Every);
        handed_in(&sender, 3).await;
        for number in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(taken(&mut receiver).await, Some(number.into()));
        }
        assert_eq!(record.skips(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_nobody_takes_holds_up_nobody_and_stays_bounded() {
        let (sender, mut receiver, record) = test_queue(Delivery::Latest);
        let begun = Instant::now();
        handed_in(&sender, 10_000).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(record.skips(), 10_000 - 8192);
        tokio::time::advance(SKIP_AFTER).await;
        assert_eq!(taken(&mut receiver).await, Some(9999.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_nobody_takes_are_bounded_and_the_loss_is_counted() {
        let (sender, _outlet, record) = test_queue(Delivery::Every);
        let begun = Instant::now();
        handed_in(&sender, 8192 + 10).await;
        assert_eq!(begun.elapsed(), FULL_QUEUE_TIMEOUT);
        assert_eq!(record.losses(), 10);
    }

    #[tokio::test]
    async fn the_first_value_does_not_come_behind_a_newer_one() {
        let (sender, mut receiver, _) = test_queue(Delivery::Latest);
        sender.push(QueueItem::new(2.into())).await;
        sender.push_initial(1.into());
        drop(sender);
        assert_eq!(taken(&mut receiver).await, Some(2.into()));
        assert_eq!(taken(&mut receiver).await, None);
    }
}
