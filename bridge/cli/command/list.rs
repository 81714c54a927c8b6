//! `zocp list`: the peers that are present, and this bridge where it publishes or exports something.

use serde_json::Value;

use crate::{
    client::Client,
    exit::Failure,
    output::{Output, printable, table},
    view::PeerView,
};

pub(crate) async fn run(output: &Output, bus: Option<String>) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let mut peers = client.peers().await?;
    if peers.is_empty() {
        eprintln!("zocp: no peers are present yet");
    }
    let own = client.own().await?;
    if !client.tree(&own.bus_name).await?.is_empty() {
        peers.push(own);
    }
    if output.json {
        let list: Vec<Value> = peers.iter().map(PeerView::to_json).collect();
        return Ok(output.value(&Value::from(list))?);
    }
    let rows: Vec<Vec<String>> = peers.iter().map(row).collect();
    for (peer, cells) in peers.iter().zip(table(&rows)) {
        let (name, rest) = cells
            .split_first()
            .map_or((String::new(), &[][..]), |(n, r)| (n.clone(), r));
        let name = if peer.bus_name.is_empty() {
            output.dim(&name)
        } else {
            output.bold(&name)
        };
        output.line(&format!("{name}  {}", rest.join("  ")))?;
    }
    Ok(())
}

/// Name, bus name, endpoint, and the state when it is not the usual one.
fn row(peer: &PeerView) -> Vec<String> {
    let bus_name = if peer.bus_name.is_empty() {
        "-"
    } else {
        &peer.bus_name
    };
    let state = match peer.state.as_str() {
        _ if peer.is_own => "this bridge",
        "ready" => "",
        state => state,
    };
    let cells = [peer.name.as_str(), bus_name, &peer.endpoint, state];
    cells
        .iter()
        .filter(|cell| !cell.is_empty())
        .map(|cell| printable(cell))
        .collect()
}
