//! `zocp export SERVICE`: let peers use a service of this bus.
//!
//! Model: the bridge keeps an export as long as the program that made it stays on the bus, so this one
//! stays until it is told to end. With `--learn` it then asks the bridge what was asked, and prints the
//! rules that allow it (`learned`).

mod learned;

use std::collections::HashMap;

use futures_util::StreamExt;
use zbus::{MessageStream, Variant, fdo::DBusProxy};
use zocp_interfaces::ExporterProxy;

use self::learned::Learned;
use super::bridge::end_signals;
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

/// What is exported, and how.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) service: String,
    pub(crate) call: Vec<String>,
    pub(crate) broadcast: Vec<String>,
    pub(crate) see: bool,
    pub(crate) learn: bool,
    pub(crate) peers: Vec<String>,
}

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    export: &Export,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let service = &export.service;
    let end = end_signals(&[])?;
    // Made before the export, so that the end of the bus is not missed.
    let stream = MessageStream::from(&client.connection);
    let exporter = ExporterProxy::new(&client.connection).await?;
    exporter.export(service, export.rules()).await?;
    let learns = match export.learn {
        true => ", and what is asked recorded,",
        false => "",
    };
    eprintln!("zocp: {service} is exported{learns} until Ctrl-C");
    if !is_there(&client, service).await? {
        eprintln!("zocp: {service} is not on this bus yet: it is exported when it comes");
    }
    until(end, stream).await?;
    if export.learn {
        let (asked, is_complete) = exporter.learned(service).await?;
        Learned::new(asked, is_complete).print(output)?;
    }
    Ok(())
}

impl Export {
    /// Everything, unless something is named.
    fn rules(&self) -> HashMap<&'static str, Variant<'_>> {
        let list = |texts: &[String]| Variant::new(texts.to_vec());
        let mut rules = HashMap::new();
        if !self.see && self.call.is_empty() && self.broadcast.is_empty() {
            rules.insert("talk", Variant::new(true));
        } else {
            rules.insert("see", Variant::new(self.see));
            rules.insert("call", list(&self.call));
            rules.insert("broadcast", list(&self.broadcast));
        }
        if self.learn {
            rules.insert("learn", Variant::new(true));
        }
        if !self.peers.is_empty() {
            rules.insert("peers", list(&self.peers));
        }
        rules
    }
}

/// Whether a service of this name, or one that a name with `*` means, is on the bus or can be started by it.
async fn is_there(client: &Client, service: &str) -> Result<bool, Failure> {
    let bus = DBusProxy::new(&client.connection).await?;
    let is_meant = |name: &str| match service.strip_suffix('*') {
        Some(begin) => name.starts_with(begin) && !name.starts_with(':'),
        None => name == service,
    };
    let mut names = bus.list_names().await?;
    names.extend(bus.list_activatable_names().await.unwrap_or_default());
    Ok(names.iter().any(|name| is_meant(name.as_str())))
}

/// Until SIGINT or SIGTERM, or the end of the bus.
async fn until(end: impl Future<Output = ()>, mut stream: MessageStream) -> Result<(), Failure> {
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            // Cancel safe: a message is taken from the stream's queue, or stays in it.
            message = stream.next() => match message {
                Some(Ok(_)) => {}
                _ => return Err(Failure::new(Exit::NoBus, "the bus is gone")),
            },
            () = &mut end => return Ok(()),
        }
    }
}
