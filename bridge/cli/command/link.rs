//! `zocp link`: the peers of other venues, those with which one connection is shared, and links that are down.
//!
//! Model: the bridge says which those are. How long an answer takes is measured by one PING each, and the rate from the
//! counters of the bridge, which are read twice.
//! Limits: [`SAMPLE_TIME`] between the two readings; a PING is answered by the bridge in its own time.
//! Layout: `change` has the commands that change them.

pub(crate) mod change;

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use zocp_interfaces::{PEERS_PATH, PeerProxy, StatisticsProxy};

use crate::{
    client::Client,
    exit::Failure,
    links::{WantedView, wanted},
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
    links.retain(|peer| {
        let is_shared = matches!(peer.way.as_str(), "ours" | "theirs" | "direct" | "relay");
        is_shared || (!peer.venue.is_empty() && peer.way != "passed")
    });
    let wanted = wanted(&client).await?;
    let down = wanted.iter().filter(|link| link.peer.is_none());
    let down: Vec<&WantedView> = down.collect();
    if links.is_empty() && down.is_empty() {
        eprintln!(
            "zocp: there is no link; `zocp link add` adds one\n  `zocp list` shows the peers that are present"
        );
    }
    let measured = join_all(links.iter().map(|peer| measure(&client, peer))).await;
    let rows = links.iter().zip(&measured);
    if output.json {
        let of = |peer: &PeerView| {
            wanted
                .iter()
                .find(|it| it.peer.as_ref() == Some(&peer.uuid))
        };
        let list = rows.map(|(peer, it)| to_json(peer, it, of(peer)));
        let list: Vec<Value> = list.chain(down.iter().map(|it| down_to_json(it))).collect();
        return Ok(output.value(&Value::from(list))?);
    }
    let rows: Vec<Vec<String>> = rows.map(|(peer, it)| row(peer, it)).collect();
    for cells in table(&rows) {
        output.line(&cells.join("  "))?;
    }
    for cells in table(&down.iter().map(|it| down_row(it)).collect::<Vec<_>>()) {
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

fn to_json(peer: &PeerView, it: &Measured, wanted: Option<&WantedView>) -> Value {
    json!({
        "name": peer.name,
        "venue": peer.venue,
        "state": peer.state,
        "way": peer.way,
        "relay": (!peer.relay.is_empty()).then_some(&peer.relay),
        "endpoint": peer.endpoint,
        "round_trip": it.round_trip,
        "received": it.rates.0,
        "sent": it.rates.1,
        "to": wanted.map(|wanted| &wanted.to),
        "source": wanted.map(|wanted| &wanted.source),
        "since": wanted.and_then(|wanted| wanted.since),
        "why": null,
        "next": null,
    })
}

fn down_to_json(link: &WantedView) -> Value {
    json!({
        "name": null,
        "venue": null,
        "state": "down",
        "way": null,
        "relay": null,
        "endpoint": link.endpoint(),
        "round_trip": null,
        "received": 0,
        "sent": 0,
        "to": link.to,
        "source": link.source,
        "since": link.since,
        "why": link.why,
        "next": link.next,
    })
}

/// Endpoint, state, since when, why, when it is tried again.
fn down_row(link: &WantedView) -> Vec<String> {
    let since = link
        .since
        .map_or_else(String::new, |it| format!("for {}", lasting(it)));
    let next = match link.next {
        Some(next) => format!("next attempt in {}", lasting(next)),
        None => String::from("trying now"),
    };
    // Without a time nobody tries, and where the other end dials it says when.
    let next = if link.since.is_some() && !link.waits {
        next
    } else {
        String::new()
    };
    vec![
        printable(link.endpoint()),
        String::from("down"),
        since,
        printable(link.why.as_deref().unwrap_or_default()),
        next,
    ]
}

/// `0.4 s`, `12 s`, `3 min`, `5 h`.
fn lasting(seconds: f64) -> String {
    match seconds {
        few if few < 10.0 => format!("{few:.1} s"),
        some if some < 120.0 => format!("{some:.0} s"),
        many if many < 7200.0 => format!("{:.0} min", many / 60.0),
        long => format!("{:.0} h", long / 3600.0),
    }
}

/// Name, state, who opened the connection or how it goes, endpoint, round trip, rates.
fn row(peer: &PeerView, it: &Measured) -> Vec<String> {
    let way = match peer.way.as_str() {
        "ours" => String::from("our connection"),
        "theirs" => String::from("its connection"),
        "direct" => String::from("direct"),
        "relay" => format!("by {}", printable(&peer.relay)),
        _ => String::from("two connections"),
    };
    let round_trip = it.round_trip.map_or_else(
        || String::from("no answer"),
        |seconds| format!("{:.1} ms", seconds * 1e3),
    );
    let rate = |octets: f64| format!("{:.1} kB/s", octets / 1e3);
    vec![
        printable(&peer.name),
        peer.state.clone(),
        way,
        peer.endpoint.clone(),
        round_trip,
        format!("in {}", rate(it.rates.0)),
        format!("out {}", rate(it.rates.1)),
    ]
}

/// Long enough for a rate, short enough to wait for.
const SAMPLE_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_down_says_for_how_long_why_and_when_it_is_tried_again() {
        let link = WantedView {
            to: "tcp://203.0.113.7:5671|KEY".to_owned(),
            source: "hand".to_owned(),
            peer: None,
            why: Some("Connection refused".to_owned()),
            since: Some(130.0),
            next: Some(0.42),
            waits: false,
        };
        let row = down_row(&link).join("  ");
        let expected =
            "tcp://203.0.113.7:5671  down  for 2 min  Connection refused  next attempt in 0.4 s";
        assert_eq!(row, expected);
        let waits = WantedView {
            to: "iroh:abab|KEY".to_owned(),
            next: None,
            waits: true,
            ..link
        };
        let row = down_row(&waits).join("  ");
        assert_eq!(row.trim(), "iroh:abab  down  for 2 min  Connection refused");
        assert_eq!(lasting(12.3), "12 s");
        assert_eq!(lasting(7300.0), "2 h");
    }
}
