//! Numbers that one end sends at a steady rate and the other hears: none lost, none twice, in order; and how late.
//!
//! Model: a sending task, a hearing task, and the [`Record`] that they share. Both ends are of one process, so that one
//! clock tells how late a number is. A *window* is what happened since the window before.
//! Limits: what was sent and not heard is remembered as long as the stream runs; [`LATE_MAX`] latencies of a window.

use std::{
    collections::VecDeque,
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::task::JoinHandle;
use zbus::{MatchRule, Message, MessageStream, message::Type};

/// A stream that runs until it is dropped.
pub(crate) struct Stream {
    tasks: [JoinHandle<()>; 2],
    watcher: Watcher,
}

/// Sees how a stream fares, from any thread.
#[derive(Clone)]
pub(crate) struct Watcher {
    pub(crate) what: &'static str,
    record: Arc<Mutex<Record>>,
}

/// What happened in a while.
#[derive(Debug, Default, Clone)]
pub(crate) struct Window {
    pub(crate) heard: u64,
    pub(crate) lost: u64,
    pub(crate) disordered: u64,
    /// In order.
    late: Vec<Duration>,
}

#[derive(Default)]
struct Record {
    under_way: VecDeque<(u64, Instant)>,
    window: Window,
}

impl Stream {
    /// Sends numbers with `send`, `rate` a second, and hears them as signals `member` of `sender` on the bus at the
    /// address `bus`.
    pub(crate) async fn start<S>(
        what: &'static str,
        rate: u32,
        send: S,
        bus: &str,
        (sender, member): (&str, &'static str),
    ) -> Self
    where
        S: AsyncFn(u64) + 'static,
    {
        let heard = signals(bus, sender, member).await;
        let record = Arc::new(Mutex::new(Record::default()));
        let sending = send_all(rate, send, Arc::clone(&record));
        let hearing = hear_all(heard, Arc::clone(&record));
        Self {
            tasks: [
                tokio::task::spawn_local(sending),
                tokio::task::spawn_local(hearing),
            ],
            watcher: Watcher { what, record },
        }
    }

    pub(crate) fn watcher(&self) -> &Watcher {
        &self.watcher
    }
}

impl Watcher {
    /// What happened since the last time.
    pub(crate) fn window(&self) -> Window {
        let mut window = std::mem::take(&mut lock(&self.record).window);
        window.late.sort_unstable();
        window
    }

    /// How many numbers have been sent and not heard yet, and how long the first of them has been.
    pub(crate) fn under_way(&self) -> (usize, Duration) {
        let record = lock(&self.record);
        let oldest = record.under_way.front();
        let age = oldest.map_or(Duration::ZERO, |(_, sent)| sent.elapsed());
        (record.under_way.len(), age)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Window {
    /// So many of a thousand are at most so late.
    pub(crate) fn late(&self, of_a_thousand: usize) -> Duration {
        let last = self.late.len().saturating_sub(1);
        let at = (self.late.len() * of_a_thousand / 1000).min(last);
        self.late.get(at).copied().unwrap_or_default()
    }
}

impl Record {
    fn hear(&mut self, number: u64) {
        self.window.heard += 1;
        while let Some((expected, sent)) = self.under_way.front().copied() {
            if number < expected {
                break;
            }
            self.under_way.pop_front();
            if number == expected {
                if self.window.late.len() < LATE_MAX {
                    self.window.late.push(sent.elapsed());
                }
                return;
            }
            self.window.lost += 1;
        }
        self.window.disordered += 1;
    }
}

async fn send_all(rate: u32, send: impl AsyncFn(u64), record: Arc<Mutex<Record>>) {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    for number in 1.. {
        pace.tick().await;
        lock(&record).under_way.push_back((number, Instant::now()));
        send(number).await;
    }
}

async fn hear_all(mut heard: MessageStream, record: Arc<Mutex<Record>>) {
    while let Some(Ok(message)) = heard.next().await {
        if let Some(number) = number(&message) {
            lock(&record).hear(number);
        }
    }
}

async fn signals(bus: &str, sender: &str, member: &'static str) -> MessageStream {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(sender)
        .member(member)
        .build()
        .unwrap_or_else(|error| panic!("{member} of {sender}: {error}"));
    let connection = zbus::connection::Builder::address(bus).build().await;
    let connection = connection.unwrap_or_else(|error| panic!("{bus}: {error}"));
    let stream = MessageStream::for_match_rule(rule, &connection, NonZero::new(UNREAD_MAX)).await;
    stream.unwrap_or_else(|error| panic!("{member} of {sender}: {error}"))
}

fn number(message: &Message) -> Option<u64> {
    let body = message.body();
    let signed = |number: i64| u64::try_from(number).ok();
    let unsigned = body.deserialize::<u64>().ok();
    unsigned.or_else(|| body.deserialize::<i64>().ok().and_then(signed))
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

const LATE_MAX: usize = 1_000_000;
const UNREAD_MAX: usize = 200_000;
