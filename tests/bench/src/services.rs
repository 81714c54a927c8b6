//! Calls, signals and properties of a service: on its own bus, and through a bridge to another.
//!
//! Model: [`serve`] is the service; [`compare`] its client, of one or more *targets*, each the service
//! under some name on some bus. Batches of the targets alternate; the first is what the others are
//! compared with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zbus::message::{Header, Type};
use zbus::{Connection, Message, MessageStream, Variant};

/// Serves until the bus ends.
pub(crate) async fn serve(bus: &str) -> Result<()> {
    let connection = connect(bus).await?;
    let mut calls = MessageStream::from(&connection);
    connection.request_name(NAME).await?;
    let mut value = 0.0;
    while let Some(call) = calls.next().await {
        let call = call?;
        if call.message_type() == Type::MethodCall {
            connection.send_all(&answers(&call, &mut value)?).await?;
        }
    }
    Ok(())
}

/// What a call leads to, in order.
fn answers(call: &Message, value: &mut f64) -> zbus::Result<Vec<Message>> {
    let header = call.header();
    let body = call.body();
    let reply = Message::method_return(&header);
    Ok(match member(&header) {
        "Echo" => vec![reply.build(&body.deserialize::<&str>()?)?],
        "Burst" => {
            let (first, count): (u32, u32) = body.deserialize()?;
            let tick = |number| Message::signal(PATH, NAME, "Tick").build(&number);
            let mut messages = (first..first + count)
                .map(tick)
                .collect::<zbus::Result<Vec<_>>>()?;
            messages.push(reply.build(&count)?);
            messages
        }
        "Get" => vec![reply.build(&Variant::new(*value))?],
        "GetAll" => {
            let all: std::collections::BTreeMap<_, _> = [("Value", Variant::new(*value))].into();
            vec![reply.build(&all)?]
        }
        "Set" => {
            let (_, _, new): (&str, &str, Variant<'_>) = body.deserialize()?;
            *value = f64::try_from(new).unwrap_or_default();
            let all: std::collections::BTreeMap<_, _> = [("Value", Variant::new(*value))].into();
            let changed = Message::signal(PATH, PROPERTIES, "PropertiesChanged");
            let changed = changed.build(&(NAME, all, Vec::<&str>::new()))?;
            vec![changed, reply.build(&())?]
        }
        "Introspect" => vec![reply.build(&INTROSPECTION)?],
        _ => vec![Message::error(&header, "org.freedesktop.DBus.Error.UnknownMethod").build(&())?],
    })
}

/// A service under some name on some bus.
#[derive(Clone)]
struct Target {
    label: String,
    name: String,
    connection: Connection,
}

/// One line of the table.
#[derive(Clone, Copy)]
enum Figure {
    /// Median of calls of this size, one at a time.
    Call(usize),
    /// The time within which 99 of 100 calls of this size are answered, one at a time.
    Tail(usize),
    /// Calls a second of this size, 16 at once.
    Calls(usize),
    /// Median of `Get`, which a bridge may answer from memory.
    Get,
    /// Signals a second in a burst.
    Burst,
    /// Median from a `Set` to the change that it makes.
    Change,
}

/// Measures each `label|bus|name`: the figures whose titles begin with `only`.
pub(crate) async fn compare(
    targets: &[String],
    only: &str,
    batches: usize,
    calls: usize,
) -> Result<()> {
    let mut opened = Vec::new();
    for target in targets {
        opened.push(Target::open(target).await?);
    }
    println!("median of {batches} alternating batches; in brackets: times the first");
    for (title, figure) in FIGURES.iter().filter(|(title, _)| title.starts_with(only)) {
        let mut taken = vec![Vec::new(); opened.len()];
        for _ in 0..batches {
            for (target, taken) in opened.iter().zip(&mut taken) {
                let measured = target.measure(*figure, calls).await;
                taken.push(measured.with_context(|| format!("{} of {}", title, target.label))?);
            }
        }
        let medians: Vec<f64> = taken.into_iter().map(median).collect();
        print!("{title:32}");
        for (target, value) in opened.iter().zip(&medians) {
            print!("  {} {value:.0} ({:.2})", target.label, value / medians[0]);
        }
        println!();
    }
    Ok(())
}

impl Target {
    async fn open(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('|').collect();
        let [label, bus, name] = parts[..] else {
            bail!("a target is label|bus|name, not {text}");
        };
        let connection = connect(bus).await?;
        let target = Self {
            label: label.to_owned(),
            name: name.to_owned(),
            connection,
        };
        let start = Instant::now();
        while target.call(NAME, "Echo", &"ready").await.is_err() {
            if start.elapsed() > READY_MAX {
                bail!("{text} does not answer");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(target)
    }

    async fn measure(&self, figure: Figure, calls: usize) -> Result<f64> {
        match figure {
            Figure::Call(size) => Ok(median(self.echoes(size, calls).await?)),
            Figure::Tail(size) => Ok(tail(self.echoes(size, calls).await?)),
            Figure::Get => {
                let trips = self.trips(calls, async || {
                    self.call(PROPERTIES, "Get", &(NAME, "Value")).await?;
                    Ok(())
                });
                Ok(median(trips.await?))
            }
            Figure::Calls(size) => self.at_once(size, calls * 4).await,
            Figure::Burst => self.burst().await,
            Figure::Change => self.changes(calls / 4).await,
        }
    }

    async fn echoes(&self, size: usize, calls: usize) -> Result<Vec<f64>> {
        let text = "x".repeat(size);
        self.trips(calls, async || {
            self.call(NAME, "Echo", &text).await?;
            Ok(())
        })
        .await
    }

    async fn trips(&self, calls: usize, trip: impl AsyncFn() -> Result<()>) -> Result<Vec<f64>> {
        for _ in 0..WARM_UP {
            trip().await?;
        }
        let mut taken = Vec::with_capacity(calls);
        for _ in 0..calls {
            let start = Instant::now();
            trip().await?;
            taken.push(micros(start));
        }
        Ok(taken)
    }

    async fn at_once(&self, size: usize, calls: usize) -> Result<f64> {
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (target, text) = (self.clone(), "x".repeat(size));
            callers.spawn(async move {
                for _ in 0..calls / AT_ONCE {
                    target.call(NAME, "Echo", &text).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        Ok(calls as f64 / start.elapsed().as_secs_f64())
    }

    async fn burst(&self) -> Result<f64> {
        let mut ticks = self.signals(NAME, "Tick").await?;
        let first = numbers(SIGNALS);
        let start = Instant::now();
        let asked = (first, SIGNALS);
        let asked = self.call(NAME, "Burst", &asked);
        let heard = async {
            let mut expected = first;
            while expected < first + SIGNALS {
                let tick = ticks.next().await.context("the bus ended")??;
                let number: u32 = tick.body().deserialize()?;
                if number < first {
                    // Of another target's burst: all of them are one service.
                    continue;
                }
                if number != expected {
                    bail!("signal {number} came where {expected} was expected");
                }
                expected += 1;
            }
            anyhow::Ok(())
        };
        let (answer, heard) = tokio::join!(asked, timeout(READY_MAX, heard));
        answer?;
        heard.context("signals are lost")??;
        Ok(f64::from(SIGNALS) / start.elapsed().as_secs_f64())
    }

    async fn changes(&self, times: usize) -> Result<f64> {
        let mut changes = self.signals(PROPERTIES, "PropertiesChanged").await?;
        let mut taken = Vec::with_capacity(times);
        for _ in 0..times {
            let value = f64::from(numbers(1));
            let start = Instant::now();
            let body = (NAME, "Value", Variant::new(value));
            let set = self.call(PROPERTIES, "Set", &body);
            let told = timeout(READY_MAX, until_told(&mut changes, value));
            let (set, told) = tokio::join!(set, async { (told.await, micros(start)) });
            set?;
            told.0.context("a change is lost")??;
            taken.push(told.1);
        }
        Ok(median(taken))
    }

    async fn signals(
        &self,
        interface: &'static str,
        member: &'static str,
    ) -> Result<MessageStream> {
        let rule = zbus::MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(self.name.clone())
            .interface(interface)
            .member(member)
            .build()?;
        let room = std::num::NonZeroUsize::new(2 * SIGNALS as usize);
        Ok(MessageStream::for_match_rule(rule, &self.connection, room).await?)
    }

    async fn call<B>(&self, interface: &str, member: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let name = Some(self.name.as_str());
        let call = self
            .connection
            .call_method(name, PATH, Some(interface), member, body);
        call.await
    }
}

/// Waits for the change to this value; others are those of other targets.
async fn until_told(changes: &mut MessageStream, value: f64) -> Result<()> {
    type Changed<'a> = (&'a str, HashMap<&'a str, Variant<'a>>, Vec<&'a str>);
    loop {
        let change = changes.next().await.context("the bus ended")??;
        let body = change.body();
        let (_, changed, _): Changed<'_> = body.deserialize()?;
        if changed.get("Value") == Some(&Variant::new(value)) {
            return Ok(());
        }
    }
}

/// The first of as many numbers that nobody else has.
fn numbers(count: u32) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(count, Ordering::Relaxed)
}

async fn connect(bus: &str) -> zbus::Result<Connection> {
    zbus::connection::Builder::address(bus).build().await
}

fn member<'a>(header: &'a Header<'_>) -> &'a str {
    header.member().map_or("", |name| name.as_str())
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

fn tail(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * 99 / 100]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const FIGURES: &[(&str, Figure)] = &[
    ("16 octets, µs", Figure::Call(16)),
    ("1 KiB, µs", Figure::Call(1 << 10)),
    ("64 KiB, µs", Figure::Call(64 << 10)),
    ("16 octets, p99, µs", Figure::Tail(16)),
    ("1 KiB, p99, µs", Figure::Tail(1 << 10)),
    ("64 KiB, p99, µs", Figure::Tail(64 << 10)),
    ("16 at once, 16 octets, calls/s", Figure::Calls(16)),
    ("16 at once, 1 KiB, calls/s", Figure::Calls(1 << 10)),
    ("16 at once, 64 KiB, calls/s", Figure::Calls(64 << 10)),
    ("Get, µs", Figure::Get),
    ("burst, signals/s", Figure::Burst),
    ("PropertiesChanged, µs", Figure::Change),
];
const NAME: &str = "org.example.Bench";
const PATH: &str = "/org/example/Bench";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const INTROSPECTION: &str = r#"<node><interface name="org.example.Bench">
<method name="Echo"><arg type="s" direction="in"/><arg type="s" direction="out"/></method>
<method name="Burst"><arg type="u" direction="in"/><arg type="u" direction="in"/><arg type="u" direction="out"/></method>
<signal name="Tick"><arg type="u"/></signal>
<property name="Value" type="d" access="readwrite">
<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/></property>
</interface></node>"#;
const AT_ONCE: usize = 16;
const SIGNALS: u32 = 4000;
const WARM_UP: usize = 20;
const READY_MAX: Duration = Duration::from_secs(10);
