//! `zocp streams [NODE]`: the streams of a node, or of all.

use serde_json::Value;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable, table},
    streams::{StreamView, streams_of},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: Option<&str>,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let peers = match node {
        Some(node) => vec![client.node(node).await?],
        None => client.nodes().await?,
    };
    let mut streams = Vec::new();
    for peer in &peers {
        match client.tree(&peer.bus_name).await {
            Ok(tree) => streams.extend(streams_of(&peer.name, &tree)),
            // It went between two questions.
            Err(failure) if failure.exit == Exit::Unavailable && node.is_none() => {}
            Err(failure) => return Err(failure),
        }
    }
    if output.json {
        let streams: Vec<Value> = streams.iter().map(StreamView::to_json).collect();
        return Ok(output.value(&Value::from(streams))?);
    }
    if streams.is_empty() {
        let of = node.map_or_else(String::new, |node| format!(" of \"{node}\""));
        eprintln!("zocp: there are no streams{}", printable(&of));
    }
    let rows: Vec<Vec<String>> = streams.iter().map(StreamView::row).collect();
    for cells in table(&rows) {
        output.line(cells.join("  ").trim_end())?;
    }
    Ok(())
}
