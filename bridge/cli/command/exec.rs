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
    listener::{Listener, bridge_rule, new_bridge},
};

pub(crate) async fn run(bus: Option<String>, args: ExecArgs) -> Result<ExitCode, Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let mut changes = Listener::new(&client, &[bridge_rule()]).await?;
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
    let told = async {
        if bridge_ended(&mut changes).await {
            eprintln!("zocp: the bridge has ended, and with it the bus of the program");
        }
    };
    let status = child.run(told).await?;
    let view = ViewProxy::new(&client.connection, path).await?;
    // A bridge that is gone has ended it.
    view.close().await.ok();
    Ok(status)
}

/// Waits for the end of the bridge that has opened the view. `false` when nobody can tell any more.
async fn bridge_ended(changes: &mut Listener) -> bool {
    while let Ok(signal) = changes.next().await {
        if matches!(new_bridge(&signal), Ok(Some(_))) {
            return true;
        }
    }
    false
}
