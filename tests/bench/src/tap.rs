//! What counting costs, and what a tap costs: closed, and with somebody who listens.
//!
//! Model: two nodes of one process and one thread whisper over the loopback, in batches: with the tap of
//! the receiver closed and open, in turns; medians count. What one message is counted with is measured by
//! itself, beside the same without the look at the tap.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use zocp_node::{
    BeaconMode, Config, Content, Counts, Event, Events, Node, Verb,
    plumbing::{TraceEvent, TraceHook, TraceSink},
};

/// Takes every note, and does next to nothing with it.
#[derive(Default)]
struct Listener(AtomicU64);

impl TraceSink for Listener {
    fn record(&self, event: TraceEvent) {
        self.0.fetch_add(1, Ordering::Relaxed);
        black_box(event);
    }
}

/// Prints what a message costs.
pub async fn run(batches: usize, messages: usize) -> Result<()> {
    counting();
    let (from, mut told) = node("from").await?;
    let (to, mut events) = node("to").await?;
    from.connect(&format!("tcp://127.0.0.1:{}", to.port()))
        .await?;
    for events in [&mut told, &mut events] {
        while !matches!(
            events.next().await.context("a node ended")?,
            Event::Entered(_)
        ) {}
    }
    // A node whose events nobody reads takes no messages.
    tokio::spawn(async move { while told.next().await.is_some() {} });
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    let listener = Arc::new(Listener::default());
    for _ in 0..batches {
        to.traffic().trace_hook().detach();
        closed.push(batch(&from, &to, &mut events, messages).await?);
        to.traffic().trace_hook().attach(listener.clone());
        open.push(batch(&from, &to, &mut events, messages).await?);
    }
    let each = |times: Vec<Duration>| median(times).as_nanos() as f64 / messages as f64;
    let (closed, open) = (each(closed), each(open));
    println!("a whisper of 100 octets, both ends: {closed:.0} ns; {open:.0} ns while one listens");
    println!("{} notes were told", listener.0.load(Ordering::Relaxed));
    Ok(())
}

fn counting() {
    let header = [0xaa, 0xa1, 2, 2, 0, 1];
    let content = [Bytes::from_static(b"{\"SIG\": [\"brightness\", 0.5]}")];
    let (all, own, tap) = (
        Counts::<Verb>::default(),
        Counts::<Verb>::default(),
        TraceHook::default(),
    );
    let count = |looks: bool| {
        let begin = Instant::now();
        for _ in 0..TIMES {
            let verb = Verb::of(black_box(&header), black_box(&content));
            all.add_octets(verb, 34);
            own.add_octets(verb, 34);
            if looks && black_box(&tap).is_attached() {
                unreachable!("nobody listens");
            }
        }
        begin.elapsed()
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(count(false));
        with.push(count(true));
    }
    let each = |times| median(times).as_nanos() as f64 / f64::from(TIMES);
    let (without, with) = (each(without), each(with));
    println!(
        "counting a message: {with:.2} ns, of which the closed tap {:.2} ns",
        with - without
    );
}

async fn node(name: &str) -> Result<(Node, Events)> {
    let config = Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    Ok(Node::start(config).await?)
}

async fn batch(from: &Node, to: &Node, events: &mut Events, messages: usize) -> Result<Duration> {
    let content = Bytes::from(vec![b'x'; 100]);
    let begin = Instant::now();
    let sending = async {
        for _ in 0..messages {
            from.whisper(to.id(), Content::from_iter([content.clone()]))
                .await?;
        }
        anyhow::Ok(())
    };
    let receiving = async {
        let mut left = messages;
        while left > 0 {
            let event = events.next().await.context("a node ended")?;
            left -= usize::from(matches!(event, Event::Whispered { .. }));
        }
        anyhow::Ok(())
    };
    tokio::try_join!(sending, receiving)?;
    Ok(begin.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

const TIMES: u32 = 1_000_000;
const ROUNDS: usize = 31;
