//! The queue of a wire that goes through this bridge.
//!
//! Model: a [`Feed`] is the end at which values go in, an [`Outlet`] the one at which they are taken out,
//! in that order. Of events each is delivered, unless the wire is taken away. Of a state the newest value
//! counts: one that has waited for [`LATE`] when a newer one is there is passed over, and counted.
//! Limits: [`QUEUE_SIZE_MAX`] for the values that wait. Above that a state loses its oldest value. Whoever hands
//! in events waits, and with it the mesh or the bus that they come from: nothing is lost. A target that takes
//! nothing for [`PATIENCE`] holds up nobody any longer: until it takes something, further events are counted
//! as lost and the wire says so.

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

/// Where values go in. Clones are the same; when all are gone the outlet ends.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    open: Arc<Open>,
    room: Arc<Semaphore>,
    record: Record,
}

/// Where they are taken out.
#[derive(Debug)]
pub(super) struct Outlet {
    shared: Arc<Shared>,
    record: Record,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
    is_stuck: AtomicBool,
    is_closed: AtomicBool,
    /// Values are a state.
    is_latest: AtomicBool,
    /// A value has been handed in.
    has_had: AtomicBool,
}

/// What ends the outlet when it goes.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
}

/// A value on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passing {
    pub(super) value: Value,
    /// How many wires it has come through.
    pub(super) hops: u8,
    /// Which touch it comes from, if that is known.
    pub(super) cause: Option<Cause>,
    /// The source had it when the wire was made: it is for states alone.
    pub(super) is_first: bool,
}

#[derive(Debug)]
struct Waiting {
    passing: Passing,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

impl Passing {
    /// A value that comes from outside of the mesh, or of which nothing more is known.
    pub(super) fn new(value: Value) -> Self {
        Self {
            value,
            hops: 0,
            cause: None,
            is_first: false,
        }
    }
}

/// A queue for the wire of this record.
pub(super) fn feed(record: Record, delivery: Delivery) -> (Feed, Outlet) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        arrived: Notify::new(),
        is_stuck: AtomicBool::new(false),
        is_closed: AtomicBool::new(false),
        is_latest: AtomicBool::new(delivery == Delivery::Latest),
        has_had: AtomicBool::new(false),
    });
    let feed = Feed {
        open: Arc::new(Open {
            shared: shared.clone(),
        }),
        room: Arc::new(Semaphore::new(QUEUE_SIZE_MAX)),
        record: record.clone(),
    };
    (feed, Outlet { shared, record })
}

impl Feed {
    /// Hands a value in. Waits for room for an event, but not for ever.
    pub(super) async fn push(&self, passing: Passing) {
        let Err(passing) = self.try_push(passing) else {
            return;
        };
        let room = if self.shared().is_stuck.load(Ordering::Relaxed) {
            None
        } else {
            self.wait(size(&passing.value)).await
        };
        match room {
            Some(room) => self.send(passing, room),
            None => self.fail("the target takes no more values"),
        }
    }

    /// Hands the value in that the source had when the wire was made, unless it has told another since.
    pub(super) fn push_first(&self, value: Value) {
        if !self.shared().has_had.load(Ordering::Relaxed) {
            // A queue that has had nothing has room.
            let first = Passing {
                is_first: true,
                ..Passing::new(value)
            };
            self.try_push(first).ok();
        }
    }

    /// Hands a value in if there is room, else gives it back.
    pub(super) fn try_push(&self, passing: Passing) -> Result<(), Passing> {
        self.shared().has_had.store(true, Ordering::Relaxed);
        let size = size(&passing.value);
        loop {
            if let Ok(room) = self.room.clone().try_acquire_many_owned(size) {
                self.send(passing, room);
                return Ok(());
            }
            let is_latest = self.shared().is_latest.load(Ordering::Relaxed);
            if !is_latest || self.shared().queue().pop_front().is_none() {
                return Err(passing);
            }
            self.record.skipped(1);
        }
    }

    /// A value could not even be handed in.
    pub(super) fn fail(&self, reason: &str) {
        self.record.failed(reason);
    }

    fn send(&self, passing: Passing, room: OwnedSemaphorePermit) {
        let waiting = Waiting {
            passing,
            since: Instant::now(),
            _room: room,
        };
        self.shared().queue().push_back(waiting);
        self.shared().arrived.notify_one();
    }

    async fn wait(&self, size: u32) -> Option<OwnedSemaphorePermit> {
        let room = self.room.clone().acquire_many_owned(size);
        match timeout(PATIENCE, room).await {
            Ok(room) => room.ok(),
            Err(_) => {
                self.shared().is_stuck.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.open.shared
    }
}

impl Outlet {
    /// The next value; `None` when there will be no more. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Passing> {
        loop {
            let first = self.shared.queue().pop_front();
            if let Some(first) = first {
                self.shared.is_stuck.store(false, Ordering::Relaxed);
                let is_latest = self.shared.is_latest.load(Ordering::Relaxed);
                let is_late = is_latest && first.since.elapsed() >= LATE;
                let newer = is_late.then(|| self.newest()).flatten();
                return Some(newer.map_or(first.passing, |newer| {
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

    /// The newest value that waits; those before it are passed over.
    pub(super) fn newest(&mut self) -> Option<Passing> {
        let mut queue = self.shared.queue();
        let newest = queue.pop_back()?;
        let older = std::mem::take(&mut *queue).len();
        drop(queue);
        self.record.skipped(older);
        Some(newest.passing)
    }

    /// Values are delivered so from now on.
    pub(super) fn deliver(&self, delivery: Delivery) {
        let is_latest = delivery == Delivery::Latest;
        self.shared.is_latest.store(is_latest, Ordering::Relaxed);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.arrived.notify_one();
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
/// How long a value of a state waits before a newer one takes its place: less than what is seen as a lag, more
/// than a burst needs that is delivered at once.
const LATE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::{super::board::WireId, super::record::Due, *};

    fn queue(delivery: Delivery) -> (Feed, Outlet, Record) {
        let record = Record::new(WireId(1), &Due::default());
        let (feed, outlet) = feed(record.clone(), delivery);
        (feed, outlet, record)
    }

    async fn handed_in(feed: &Feed, count: u64) {
        for number in 0..count {
            feed.push(Passing::new(number.into())).await;
        }
    }

    async fn taken(outlet: &mut Outlet) -> Option<Value> {
        outlet.next().await.map(|passing| passing.value)
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_state_the_newest_value_is_next_when_the_target_was_slow() {
        let (feed, mut outlet, record) = queue(Delivery::Latest);
        handed_in(&feed, 2).await;
        assert_eq!(taken(&mut outlet).await, Some(0.into()));
        handed_in(&feed, 50).await;
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(taken(&mut outlet).await, Some(49.into()));
        assert_eq!(record.skips(), 50);
        drop(feed);
        assert_eq!(taken(&mut outlet).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_events_each_is_next_whatever_it_takes() {
        let (feed, mut outlet, record) = queue(Delivery::Every);
        handed_in(&feed, 3).await;
        for number in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(taken(&mut outlet).await, Some(number.into()));
        }
        assert_eq!(record.skips(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_nobody_takes_holds_up_nobody_and_stays_bounded() {
        let (feed, mut outlet, record) = queue(Delivery::Latest);
        let begun = Instant::now();
        handed_in(&feed, 10_000).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(record.skips(), 10_000 - 8192);
        tokio::time::advance(LATE).await;
        assert_eq!(taken(&mut outlet).await, Some(9999.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_nobody_takes_are_bounded_and_the_loss_is_counted() {
        let (feed, _outlet, record) = queue(Delivery::Every);
        let begun = Instant::now();
        handed_in(&feed, 8192 + 10).await;
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(record.losses(), 10);
    }

    #[tokio::test]
    async fn the_first_value_does_not_come_behind_a_newer_one() {
        let (feed, mut outlet, _) = queue(Delivery::Latest);
        feed.push(Passing::new(2.into())).await;
        feed.push_first(1.into());
        drop(feed);
        assert_eq!(taken(&mut outlet).await, Some(2.into()));
        assert_eq!(taken(&mut outlet).await, None);
    }
}
