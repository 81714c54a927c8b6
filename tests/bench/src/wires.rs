//! What a wire through a bridge costs: latency, one wire beside many, order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use zbus::{Connection, Variant};
use zocp_node::{Access, Capability, Config, Event, Events, Node};

/// Two nodes and `others` wires beside the one that is measured; then `count` emissions at once.
pub(crate) async fn wires(bus: &str, others: usize, count: i64) -> Result<()> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    let (desk, desk_events) = Node::start(Config::new("bench-desk")).await?;
    let (lamp, lamp_events) = Node::start(Config::new("bench-lamp")).await?;
    // What nobody reads would hold the node up.
    let reading = tokio::spawn(read(desk_events));
    let (sender, mut values) = mpsc::channel(1 << 17);
    let hearing = tokio::spawn(hear(lamp_events, sender));
    desk.publish("out", Capability::new(Access::READ | Access::EMIT, 0))
        .await?;
    desk.publish("other", Capability::new(Access::READ | Access::EMIT, 0))
        .await?;
    for number in 0..=others {
        lamp.publish(
            format!("in{number}").as_str(),
            Capability::new(Access::READ | Access::WRITE, 0),
        )
        .await?;
    }
    wire(&connection, "out", 0).await?;
    latencies(&desk, &mut values).await?;
    let one = latencies(&desk, &mut values).await?;
    for number in 1..=others {
        wire(&connection, "other", number).await?;
    }
    // The wires are told to all; that is not what is measured.
    tokio::time::sleep(SETTLING).await;
    latencies(&desk, &mut values).await?;
    let many = latencies(&desk, &mut values).await?;
    println!(
        "emission to value, p50/p99 in µs: one wire {:.0}/{:.0}, of {} {:.0}/{:.0}, ratio {:.2}",
        one.0,
        one.1,
        others + 1,
        many.0,
        many.1,
        many.0 / one.0
    );
    let bridge = lamp
        .peers()
        .await?
        .into_iter()
        .find(|peer| !peer.name.starts_with("bench-"));
    let bridge = bridge.context("the bridge is not here")?.id;
    let start = Instant::now();
    let emitting = tokio::spawn(async move {
        for number in 1..=count {
            if number % 256 == 0 {
                desk.drained(bridge, 1 << 16).await?;
            }
            desk.emit("out", number).await?;
        }
        anyhow::Ok(desk)
    });
    for number in 1..=count {
        let mut value = set(&mut values).await?;
        // As above: what was there before the first one.
        while number == 1 && value != 2 {
            value = set(&mut values).await?;
        }
        anyhow::ensure!(value == number + 1, "{number} came as {value}");
    }
    println!(
        "{count} emissions in order, {:.0} a second",
        count as f64 / start.elapsed().as_secs_f64()
    );
    emitting.await??.shutdown().await;
    reading.abort();
    hearing.abort();
    lamp.shutdown().await;
    Ok(())
}

async fn read(mut events: Events) {
    while events.next().await.is_some() {}
}

async fn wire(connection: &Connection, from: &str, number: usize) -> Result<()> {
    let ends = (
        format!("bench-desk:{from}"),
        format!("bench-lamp:in{number}"),
    );
    let options = HashMap::from([("Expression", Variant::new("value + 1"))]);
    let body = (&ends.0, &ends.1, options);
    let end = Instant::now() + PATIENCE;
    loop {
        let (path, interface) = ("/org/z25/Zocp1", Some("org.z25.Zocp1.Bridge"));
        let made = connection
            .call_method(Some("org.z25.Zocp1"), path, interface, "WireWith", &body)
            .await;
        match made {
            Ok(_) => return Ok(()),
            // The trees are on their way.
            Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The median and the 99th of a hundred, one emission at a time, in microseconds.
async fn latencies(desk: &Node, values: &mut mpsc::Receiver<i64>) -> Result<(f64, f64)> {
    let mut taken = Vec::with_capacity(TIMES);
    for number in 0..TIMES {
        let start = Instant::now();
        let number = i64::try_from(number)?;
        desk.emit("out", number).await?;
        // A new wire brings the value that there is, before what is emitted.
        while set(values).await? != number + 1 {}
        taken.push(start.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    Ok((taken[TIMES / 2], taken[TIMES * 99 / 100]))
}

/// Hands on what the wire that is measured brings.
async fn hear(mut events: Events, sender: mpsc::Sender<i64>) {
    while let Some(event) = events.next().await {
        if let Event::LocalSet { path, value, .. } = event
            && &*path.name == "in0"
            && let Some(value) = value.as_i64()
            && sender.send(value).await.is_err()
        {
            return;
        }
    }
}

async fn set(values: &mut mpsc::Receiver<i64>) -> Result<i64> {
    values.recv().await.context("the lamp has ended")
}

const TIMES: usize = 2000;
const SETTLING: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);
