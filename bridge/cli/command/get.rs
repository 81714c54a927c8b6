//! `zocp get NODE [NAME]`: print a value, or all that a node has.

use serde_json::{Map, Value};

use super::find_capability;
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable, table},
    value::plain,
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: &str,
    name: Option<&str>,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let Some(name) = name else {
        return all(output, &client, node).await;
    };
    let (_, _, capability) = find_capability(&client, node, name).await?;
    let Some((value, _)) = capability.value else {
        let message = format!("\"{name}\" has no value that can be read");
        return Err(Failure::new(Exit::Refused, message));
    };
    if output.json {
        output.value(&value)?
    } else {
        output.plain_value(&plain(&value))?
    }
    Ok(())
}

/// Prints each value that can be read, by its name.
async fn all(output: &Output, client: &Client, node: &str) -> Result<(), Failure> {
    let peer = client.node(node).await?;
    let tree = client.tree(&peer.bus_name).await?;
    let values = tree.values();
    if output.json {
        let values: Map<String, Value> = values.into_iter().collect();
        return Ok(output.value(&Value::Object(values))?);
    }
    if values.is_empty() {
        eprintln!("zocp: \"{}\" has no value that can be read", peer.name);
        return Ok(());
    }
    let row = |(name, value): &(String, Value)| vec![printable(name), printable(&plain(value))];
    let rows: Vec<Vec<String>> = values.iter().map(row).collect();
    for cells in table(&rows) {
        output.line(&cells.join("  "))?;
    }
    Ok(())
}
