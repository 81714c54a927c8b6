//! How long an emission takes from a program on one bus to a listener on another, over two bridges, as a
//! mirrored node's signal and through a wire to a sensor there, beside a D-Bus signal of the same size on one bus.
//!
//! Model: batches of both alternate. Both are told and heard by one process, one at a time: from the moment
//! before the message is sent to the moment when it is heard.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use tokio::time::timeout;
use zbus::{Connection, MatchRule, Message, MessageStream, connection::Builder};

const BRIDGE: &str = "org.z25.Zocp1";
const LOCAL: &str = "/org/z25/Zocp1/Local";
const VALUES: &str = "org.z25.Zocp1.Values";
const SIGNALS: &str = "org.z25.Zocp1.Signals";
const DIRECT: &str = "org.z25.Zocp1.Bench";

/// Measures from the bus `near` to the bus `far`.
pub(crate) async fn emission(near: &str, far: &str, batches: usize, count: usize) -> Result<()> {
    let (teller, listener) = (connect(near).await?, connect(far).await?);
    let direct = connect(far).await?;
    publish(&teller, "bench", "re").await?;
    publish(&listener, "sense", "res").await?;
    let mut bridged = listen(&listener, SIGNALS, "/org/z25/Zocp1/Node").await?;
    let mut sensed = listen(&listener, SIGNALS, LOCAL).await?;
    let mut plain = listen(&listener, DIRECT, "/bench").await?;
    warm_up(&teller, &mut bridged).await?;
    let (mut ours, mut theirs, mut wired) = (Vec::new(), Vec::new(), Vec::new());
    for batch in 0..batches {
        for at in 0..count {
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            let value = (batch * count + at) as f64;
            theirs.push(tell(&direct, &signal(value)?, &mut plain).await?);
            ours.push(tell(&teller, &set(value)?, &mut bridged).await?);
        }
    }
    // A stream that nobody reads would hold up its connection.
    drop((bridged, plain));
    wire(&teller, &listener).await?;
    warm_up(&teller, &mut sensed).await?;
    for at in 0..batches * count {
        #[expect(clippy::cast_precision_loss, reason = "any number will do")]
        wired.push(tell(&teller, &set(at as f64)?, &mut sensed).await?);
    }
    print("direct signal", &mut theirs);
    print("over two bridges", &mut ours);
    print("through a wire to a sensor there", &mut wired);
    for (what, part) in [("p50", 0.5), ("p99", 0.99)] {
        let ratio = quantile(&ours, part) / quantile(&theirs, part);
        println!("{what}: {ratio:.2} times the direct signal");
    }
    Ok(())
}

/// The first ones come before the bridges have met, or before the far one shows the value.
async fn warm_up(teller: &Connection, heard: &mut MessageStream) -> Result<()> {
    let start = Instant::now();
    while timeout(PATIENCE, tell(teller, &set(0.5)?, heard))
        .await
        .is_err()
    {
        ensure!(
            start.elapsed() < MEETING_MAX,
            "the far bridge shows nothing"
        );
    }
    // What was late is not taken for what comes next.
    while timeout(PATIENCE, heard.next()).await.is_ok() {}
    Ok(())
}

async fn connect(address: &str) -> Result<Connection> {
    Ok(Builder::address(address).build().await?)
}

async fn publish(teller: &Connection, name: &str, access: &str) -> Result<()> {
    let options = std::collections::HashMap::from([("Access", zbus::Variant::from(access))]);
    let body = (name, zbus::Variant::from(0.5), options);
    let interface = Some("org.z25.Zocp1.Local");
    teller
        .call_method(Some(BRIDGE), LOCAL, interface, "Publish", &body)
        .await?;
    Ok(())
}

/// Wires what is told to what is sensed.
async fn wire(teller: &Connection, listener: &Connection) -> Result<()> {
    let (near, far) = (name_of(teller).await?, name_of(listener).await?);
    let (path, interface) = ("/org/z25/Zocp1", Some("org.z25.Zocp1.Bridge"));
    let ends = (near, "bench", far, "sense");
    teller
        .call_method(Some(BRIDGE), path, interface, "Wire", &ends)
        .await?;
    Ok(())
}

/// The name on the mesh of the bridge of this bus.
async fn name_of(client: &Connection) -> Result<String> {
    let (path, interface) = (LOCAL, Some("org.freedesktop.DBus.Properties"));
    let body = ("org.z25.Zocp1.Object", "Name");
    let answer = client
        .call_method(Some(BRIDGE), path, interface, "Get", &body)
        .await?;
    let name: zbus::OwnedVariant = answer.body().deserialize()?;
    Ok(name.try_into()?)
}

async fn listen(
    listener: &Connection,
    interface: &str,
    path: &'static str,
) -> Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .interface(interface.to_owned())
        .path(path)
        .build()?;
    Ok(MessageStream::for_match_rule(rule, listener, None).await?)
}

fn set(value: f64) -> Result<Message> {
    let call = Message::method_call(LOCAL, "Set")
        .destination(BRIDGE)
        .interface("org.freedesktop.DBus.Properties");
    Ok(call.build(&(VALUES, "bench", zbus::Variant::from(value)))?)
}

fn signal(value: f64) -> Result<Message> {
    Ok(Message::signal("/bench", DIRECT, "bench").build(&value)?)
}

/// Sends, and waits until it is heard: microseconds.
async fn tell(teller: &Connection, message: &Message, heard: &mut MessageStream) -> Result<f64> {
    let start = Instant::now();
    teller.send(message).await?;
    heard.next().await.context("the bus is gone")??;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

fn print(what: &str, taken: &mut [f64]) {
    taken.sort_by(f64::total_cmp);
    let [p50, p99] = [0.5, 0.99].map(|part| quantile(taken, part));
    println!(
        "{what}: p50 {p50:.0} µs, p99 {p99:.0} µs, of {}",
        taken.len()
    );
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// For one emission, while the other bridge does not show the value yet.
const PATIENCE: Duration = Duration::from_millis(500);
/// For the two bridges to meet.
const MEETING_MAX: Duration = Duration::from_secs(30);
