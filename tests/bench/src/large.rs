//! What a large node and many wires cost: a `Set` and a call on one of 4,000 objects beside those on a single one, and
//! changes of a capability beside 1,000 wires of others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use zbus::{Connection, Variant};
use zocp_node::{Access, Capability, Config, Event, Events, Method, Node};

const PATH: &str = "/org/z25/Zocp1/Node";
const VALUES: &str = "org.z25.Zocp1.Values";
const METHODS: &str = "org.z25.Zocp1.Methods";

/// Measures a bridge through its bus, and prints a line for each figure.
pub(crate) async fn large(bus: &str, objects: usize, wires: usize) -> Result<()> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    let (small, _small_task) = node("benchsmall", 1).await?;
    let (large, _large_task) = node("benchlarge", objects).await?;
    for (name, last) in [("benchsmall", 0), ("benchlarge", objects - 1)] {
        until_set(&connection, name, last).await?;
    }
    let last = objects - 1;
    let (mut sets, mut calls) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..BATCHES {
        for (at, (name, last)) in [("benchsmall", 0), ("benchlarge", last)]
            .into_iter()
            .enumerate()
        {
            sets[at].push(batch(async || set(&connection, name, last).await).await?);
            calls[at].push(batch(async || call(&connection, name, last).await).await?);
        }
    }
    report("Set", objects, sets);
    report("call", objects, calls);
    let alone = changes(&connection, &small).await?;
    make_wires(&connection, &small, wires).await?;
    let beside = changes(&connection, &small).await?;
    println!(
        "change of a capability: {alone:.0} µs without wires, {beside:.0} µs beside {wires} of another one, ratio {:.2}",
        beside / alone
    );
    large.shutdown().await;
    small.shutdown().await;
    Ok(())
}

/// A node of so many objects, each with a value and a method, whose methods are answered.
async fn node(name: &str, objects: usize) -> Result<(Node, tokio::task::JoinHandle<()>)> {
    let (node, events) = Node::start(Config::new(name)).await?;
    let answering = tokio::spawn(answer(node.clone(), events));
    for number in 0..objects {
        let (level, blink) = (format!("o{number}.level"), format!("blink{number}"));
        node.publish(
            level.as_str(),
            Capability::new(Access::READ | Access::WRITE, 0.5),
        )
        .await?;
        node.publish_method(blink.as_str(), Method::default())
            .await?;
    }
    node.publish("out", Capability::new(Access::READ | Access::EMIT, 0))
        .await?;
    node.publish("other", Capability::new(Access::READ | Access::EMIT, 0))
        .await?;
    Ok((node, answering))
}

async fn answer(node: Node, mut events: Events) {
    while let Some(event) = events.next().await {
        if let Event::Called(call) = event
            && node.reply(call, Ok(Vec::new())).await.is_err()
        {
            return;
        }
    }
}

async fn set(connection: &Connection, node: &str, object: usize) -> Result<()> {
    let (name, path) = (
        format!("org.z25.Zocp1.Node.{node}"),
        format!("{PATH}/o{object}"),
    );
    let body = (VALUES, "level", Variant::new(0.25));
    let interface = Some("org.freedesktop.DBus.Properties");
    connection
        .call_method(Some(name.as_str()), path.as_str(), interface, "Set", &body)
        .await?;
    Ok(())
}

async fn call(connection: &Connection, node: &str, number: usize) -> Result<()> {
    let (name, method) = (
        format!("org.z25.Zocp1.Node.{node}"),
        format!("blink{number}"),
    );
    connection
        .call_method(
            Some(name.as_str()),
            PATH,
            Some(METHODS),
            method.as_str(),
            &(),
        )
        .await?;
    Ok(())
}

/// Waits until the object is on the bus.
async fn until_set(connection: &Connection, node: &str, object: usize) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while let Err(error) = set(connection, node, object).await {
        anyhow::ensure!(Instant::now() < end, "{node}: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The median of so many, in microseconds.
async fn batch(mut once: impl AsyncFnMut() -> Result<()>) -> Result<f64> {
    let mut taken = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        once().await?;
        taken.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(taken))
}

/// How long it takes on average until so many changed descriptions of a capability are on the bus.
async fn changes(connection: &Connection, node: &Node) -> Result<f64> {
    let properties = zbus::fdo::PropertiesProxy::builder(connection)
        .destination("org.z25.Zocp1.Node.benchsmall")
        .path(PATH)
        .build()
        .await?;
    let values = zbus::names::InterfaceName::from_static_str(VALUES)?;
    let start = Instant::now();
    for number in 0..CHANGES {
        let max = f64::from(number) + 1.0;
        let capability = Capability::new(Access::READ | Access::EMIT, number).with_range(0.0, max);
        node.publish("out", capability).await?;
    }
    let end = Instant::now() + PATIENCE;
    while number(&*properties.get(values.clone(), "out").await?) != Some(f64::from(CHANGES - 1)) {
        anyhow::ensure!(Instant::now() < end, "the last change is not on the bus");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(CHANGES))
}

fn number(value: &Variant<'_>) -> Option<f64> {
    match value {
        Variant::I32(number) => Some(f64::from(*number)),
        Variant::I64(number) => Some(*number as f64),
        Variant::F64(number) => Some(*number),
        _ => None,
    }
}

async fn make_wires(connection: &Connection, node: &Node, count: usize) -> Result<()> {
    for number in 0..count {
        let name = format!("in{number}");
        node.publish(
            name.as_str(),
            Capability::new(Access::READ | Access::WRITE, 0),
        )
        .await?;
        let ends = ("benchsmall:other", format!("benchsmall:in{number}"));
        let options = HashMap::from([("Scale", Variant::new("0..1=0..255"))]);
        let body = (ends.0, &ends.1, options);
        let end = Instant::now() + PATIENCE;
        let (path, interface) = ("/org/z25/Zocp1", Some("org.z25.Zocp1.Bridge"));
        while let Err(error) = connection
            .call_method(Some("org.z25.Zocp1"), path, interface, "WireWith", &body)
            .await
        {
            anyhow::ensure!(Instant::now() < end, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

fn median(mut taken: Vec<f64>) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}

fn report(what: &str, objects: usize, [one, many]: [Vec<f64>; 2]) {
    let (one, many) = (median(one), median(many));
    println!(
        "{what}: {one:.0} µs at a node of one object, {many:.0} µs at one of {objects}, ratio {:.2}",
        many / one
    );
}

const BATCHES: usize = 9;
const TIMES: usize = 200;
const CHANGES: i32 = 2000;
const PATIENCE: Duration = Duration::from_secs(60);
