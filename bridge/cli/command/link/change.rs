//! `zocp link add` and `zocp link remove`.

use std::{collections::HashMap, path::PathBuf};

use serde_json::json;
use zbus::Variant;
use zocp_interfaces::LinksProxy;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

/// What `zocp link add` is told beside the link.
#[derive(Debug)]
pub(crate) struct Carriage {
    /// The relays where both ends meet.
    pub(crate) relays: Vec<String>,
    /// A file with their certificates.
    pub(crate) certificate: Option<PathBuf>,
}

/// `zocp link add`.
pub(crate) async fn add(
    output: &Output,
    bus: Option<String>,
    to: &str,
    carriage: Carriage,
) -> Result<(), Failure> {
    let mut options = HashMap::new();
    let is_by_iroh = to.starts_with("iroh:");
    if is_by_iroh || !carriage.relays.is_empty() {
        options.insert("Relays", Variant::new(carriage.relays));
    }
    if let Some(file) = carriage.certificate {
        let pem = std::fs::read_to_string(&file);
        let pem =
            pem.map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))?;
        options.insert("RelayCertificate", Variant::new(pem));
    }
    let client = Client::open(bus.as_deref()).await?;
    let links = LinksProxy::new(&client.connection).await?;
    let lasting = match options.is_empty() {
        true => links.add(to).await?,
        false => links.add_by(to, options).await?,
    };
    told(output, to, "added", lasting)?;
    let keys = client.keys().await?;
    if is_by_iroh {
        eprintln!(
            "zocp: the bridge there must have a link to this one, too: `zocp link add` there, with what `zocp key show` prints here"
        );
    } else {
        eprintln!(
            "zocp: the bridge there must trust this one: `zocp trust {}` there",
            keys.fingerprint
        );
    }
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
