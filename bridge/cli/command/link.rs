//! `zocp link`: the peers of other venues, and those with which one connection is shared.
//!
//! Model: the bridge says which those are. How long an answer takes is measured by one PING each, and the rate from the
//! counters of the bridge, which are read twice.
//! Limits: [`SAMPLE_TIME`] between the two readings; a PING is answered by the bridge in its own time.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use zocp_interfaces::{PEERS_PATH, PeerProxy, StatisticsProxy};

use crate::{
    client::Client,
    exit::Failure,
    output::{Output, printable, table},
    view::PeerView,
};

/// What was measured of a link.
struct Measured {
    /// Seconds; `None` if no answer came.
    round_trip: Option<f64>,
    /// Octets in a second, from the peer and to it.
    rates: (f64, f64),
}

pub(crate) async fn run(output: &Output, bus: Option<String>) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let mut links = client.peers().await?;
    links.retain(|peer| !peer.venue.is_empty() || matches!(peer.way.as_str(), "ours" | "theirs"));
    if links.is_empty() {
        eprintln!("zocp: no link is up; see `zocp list` for the peers that are present");
    }
    let measured = join_all(links.iter().map(|peer| measure(&client, peer))).await;
    let rows = links.iter().zip(&measured);
    if output.json {
        let list: Vec<Value> = rows.map(|(peer, it)| to_json(peer, it)).collect();
        return Ok(output.value(&Value::from(list))?);
    }
    let rows: Vec<Vec<String>> = rows.map(|(peer, it)| row(peer, it)).collect();
    for cells in table(&rows) {
        output.line(&cells.join("  "))?;
    }
    Ok(())
}

/// What cannot be measured, since the peer has left, is nothing.
async fn measure(client: &Client, peer: &PeerView) -> Measured {
    let path = format!("{PEERS_PATH}/{}", peer.label);
    let ping = async {
        let proxy = PeerProxy::new(&client.connection, path.as_str()).await?;
        proxy.ping().await
    };
    let before = counted(client, &path).await.unwrap_or_default();
    let (round_trip, ()) = tokio::join!(ping, tokio::time::sleep(SAMPLE_TIME));
    let after = counted(client, &path).await.unwrap_or(before);
    let rate =
        |before: u64, after: u64| after.saturating_sub(before) as f64 / SAMPLE_TIME.as_secs_f64();
    Measured {
        round_trip: round_trip.ok().map(|micros| micros as f64 / 1e6),
        rates: (rate(before.0, after.0), rate(before.1, after.1)),
    }
}

/// The octets that came from a peer so far, and those that went to it.
async fn counted(client: &Client, path: &str) -> zbus::Result<(u64, u64)> {
    let counters = StatisticsProxy::builder(&client.connection)
        .path(path)
        .build()
        .await?;
    let octets = |kinds: HashMap<String, (u64, u64)>| kinds.values().map(|it| it.1).sum();
    Ok((
        octets(counters.received().await?),
        octets(counters.sent().await?),
    ))
}

fn to_json(peer: &PeerView, it: &Measured) -> Value {
    json!({
        "name": peer.name,
        "venue": peer.venue,
        "state": peer.state,
        "way": peer.way,
        "endpoint": peer.endpoint,
        "round_trip": it.round_trip,
        "received": it.rates.0,
        "sent": it.rates.1,
    })
}

/// Name, state, who opened the connection, endpoint, round trip, rates.
fn row(peer: &PeerView, it: &Measured) -> Vec<String> {
    let way = match peer.way.as_str() {
        "ours" => "our connection",
        "theirs" => "its connection",
        _ => "two connections",
    };
    let round_trip = it.round_trip.map_or_else(
        || String::from("no answer"),
        |seconds| format!("{:.1} ms", seconds * 1e3),
    );
    let rate = |octets: f64| format!("{:.1} kB/s", octets / 1e3);
    vec![
        printable(&peer.name),
        peer.state.clone(),
        way.to_owned(),
        peer.endpoint.clone(),
        round_trip,
        format!("in {}", rate(it.rates.0)),
        format!("out {}", rate(it.rates.1)),
    ]
}

/// Long enough for a rate, short enough to wait for.
const SAMPLE_TIME: Duration = Duration::from_secs(1);
