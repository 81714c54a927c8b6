//! `zocp export SERVICE`: let peers use a service of this bus; without SERVICE, what is exported (`rules`).
//!
//! Model: the bridge keeps an export as long as the program that made it stays on the bus, so this one
//! stays until it is told to end. When the bridge ends, it waits for the next one and exports there again. With
//! `--learn` it then asks the bridge what was asked, and prints the rules that allow it (`learned`); what another
//! bridge recorded before is lost, which is told.

mod learned;
mod rules;

use zbus::fdo::DBusProxy;
use zocp_interfaces::ExporterProxy;

use self::learned::Learned;
use super::bridge::end_signals;
use crate::{
    args::ExportArgs,
    client::Client,
    exit::{Exit, Failure},
    listener::{Listener, bridge_rule, new_bridge},
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
    // Before the export, so that the end of the bridge is not missed.
    let changes = Listener::new(&client, &[bridge_rule()]).await?;
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
    let mut exported = Exported {
        service,
        export,
        exporter,
        changes,
        is_exported: true,
        has_lost: false,
    };
    tokio::select! {
        () = end => {}
        failure = exported.follow() => return Err(failure),
    }
    if export.learn {
        let (asked, is_complete) = exported.exporter.learned(service).await?;
        Learned::new(asked, is_complete && !exported.has_lost).print(output)?;
    }
    Ok(())
}

/// An export, through the ends of bridges.
struct Exported<'a> {
    service: &'a str,
    export: &'a ExportArgs,
    exporter: ExporterProxy<'a>,
    changes: Listener,
    /// Whether the bridge that is there has it.
    is_exported: bool,
    /// Whether a bridge has ended that had it.
    has_lost: bool,
}

impl Exported<'_> {
    /// Exports again at each bridge that comes, until the bus is gone or a bridge refuses.
    async fn follow(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.change().await {
                return failure;
            }
        }
    }

    /// Waits for the bridge to come or go, and does what that takes.
    async fn change(&mut self) -> Result<(), Failure> {
        let Some(owner) = new_bridge(&self.changes.next().await?)? else {
            return Ok(());
        };
        let service = self.service;
        if self.is_exported {
            (self.is_exported, self.has_lost) = (false, true);
            eprintln!("zocp: the bridge has ended: {service} is exported again when there is one");
        }
        if owner.is_empty() {
            return Ok(());
        }
        match self.exporter.export(service, self.export.rules()).await {
            Ok(()) => {
                self.is_exported = true;
                eprintln!("zocp: {service} is exported again");
                Ok(())
            }
            Err(error) => match Failure::from(error) {
                // It has gone again, and the bus will say so.
                failure if failure.exit == Exit::Unavailable => Ok(()),
                failure => Err(failure),
            },
        }
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
