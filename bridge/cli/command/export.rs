//! `zocp export SERVICE`: let peers use a service of this bus.
//!
//! Model: the bridge keeps an export as long as the program that made it stays on the bus, so this one
//! stays until Ctrl-C.

use std::collections::HashMap;

use futures_util::StreamExt;
use zbus::{MessageStream, Variant};
use zocp_interfaces::ExporterProxy;

use crate::{
    client::Client,
    exit::{Exit, Failure},
};

pub(crate) async fn run(
    bus: Option<String>,
    service: &str,
    call: &[String],
    broadcast: &[String],
    peers: &[String],
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    // Made before the export, so that the end of the bus is not missed.
    let mut stream = MessageStream::from(&client.connection);
    let exporter = ExporterProxy::new(&client.connection).await?;
    exporter
        .export(service, rules(call, broadcast, peers))
        .await?;
    eprintln!("zocp: {service} is exported until Ctrl-C");
    loop {
        tokio::select! {
            // Cancel safe: a message is taken from the stream's queue, or stays in it.
            message = stream.next() => match message {
                Some(Ok(_)) => {}
                _ => return Err(Failure::new(Exit::NoBus, "the bus is gone")),
            },
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        }
    }
}

/// Everything, unless something is named.
fn rules<'r>(
    call: &'r [String],
    broadcast: &'r [String],
    peers: &'r [String],
) -> HashMap<&'static str, Variant<'r>> {
    let list = |texts: &'r [String]| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Variant::new(texts)
    };
    let mut rules = HashMap::new();
    if call.is_empty() && broadcast.is_empty() {
        rules.insert("talk", Variant::new(true));
    } else {
        rules.insert("call", list(call));
        rules.insert("broadcast", list(broadcast));
    }
    if !peers.is_empty() {
        rules.insert("peers", list(peers));
    }
    rules
}
