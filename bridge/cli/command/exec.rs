//! `zocp exec NODE… -- CMD…`: a program on a bus that shows the services of other machines under their own names.
//!
//! Model: the bridge opens a view for this process and ends it when this process has left the bus. The program is a child
//! in the same group of processes, so that a terminal stops, continues and interrupts both. Its exit status becomes ours.
//! Not here: the bus (the daemon's `views`).

mod process;
mod target;

use std::{collections::HashMap, process::ExitCode};

use zbus::Variant;
use zocp_interfaces::{ViewProxy, ViewsProxy};

use self::{process::Child, target::find};
use crate::{
    args::ExecArgs,
    client::Client,
    exit::{Exit, Failure},
};

pub(crate) async fn run(bus: Option<String>, args: ExecArgs) -> Result<ExitCode, Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let nodes = find(&client, &args).await?;
    let views = ViewsProxy::new(&client.connection).await?;
    let mut options = HashMap::new();
    if !args.also.is_empty() {
        options.insert("Also", Variant::new(args.also.clone()));
    }
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let (address, path) = views.open(&nodes, options).await.map_err(|error| {
        // A bridge of an older version, which has no views.
        let failure = Failure::from(error);
        match failure.exit {
            Exit::NoCapability => failure.hint("the bridge is older than this command: restart it"),
            _ => failure,
        }
    })?;
    let mut child = Child::new(&args.command)?;
    child.set_bus(&address, args.system);
    child.set_bridge(client.address());
    let status = child.run().await?;
    let view = ViewProxy::new(&client.connection, path).await?;
    // A bridge that is gone has ended it.
    view.close().await.ok();
    Ok(status)
}
