//! `zocp link add` and `zocp link remove`.

use serde_json::json;
use zocp_interfaces::LinksProxy;

use crate::{client::Client, exit::Failure, output::Output};

/// `zocp link add`.
pub(crate) async fn add(output: &Output, bus: Option<String>, to: &str) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let lasting = LinksProxy::new(&client.connection).await?.add(to).await?;
    told(output, to, "added", lasting)?;
    let keys = client.keys().await?;
    eprintln!(
        "zocp: the bridge there must trust this one: `zocp trust {}` there",
        keys.fingerprint
    );
    Ok(())
}

/// `zocp link remove`.
pub(crate) async fn remove(output: &Output, bus: Option<String>, to: &str) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let links = LinksProxy::new(&client.connection).await?;
    let lasting = links.remove(to).await?;
    told(output, to, "removed", lasting)
}

fn told(output: &Output, to: &str, change: &str, lasting: bool) -> Result<(), Failure> {
    if !lasting {
        eprintln!("zocp: until the bridge ends: it has no directory for what outlives it");
    }
    if output.json {
        let value = json!({"to": to, "change": change, "lasting": lasting});
        return Ok(output.value(&value)?);
    }
    let endpoint = to.split_once('|').map_or(to, |(endpoint, _)| endpoint);
    Ok(output.line(&format!("{change}  {endpoint}"))?)
}
