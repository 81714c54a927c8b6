//! `zocp export SERVICE`: let peers use a service of this bus; without SERVICE, what is exported (`rules`).
//!
//! Model: the bridge keeps an export as long as the program that made it stays on the bus, so this one
//! stays until it is told to end. With `--learn` it then asks the bridge what was asked, and prints the
//! rules that allow it (`learned`).

mod learned;
mod rules;

use futures_util::StreamExt;
use zbus::{MessageStream, fdo::DBusProxy};
use zocp_interfaces::ExporterProxy;

use self::learned::Learned;
use super::bridge::end_signals;
use crate::{
    args::ExportArgs,
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    export: &ExportArgs,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let Some(service) = &export.service else {
        return rules::list(output, &client).await;
    };
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
