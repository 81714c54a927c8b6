//! `zocp wire FROM TO` and `zocp unwire FROM TO`.
//!
//! Layout: `check` is what can be wrong before the wire is made.

mod check;

use std::collections::HashMap;

use zbus::Variant;
use zocp_interfaces::{BridgeProxy, WireProxy};
use zocp_wires::End;

use self::check::Ends;
use crate::{
    args::WireArgs,
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable},
    wiring::WireView,
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    args: &WireArgs,
) -> Result<(), Failure> {
    check::arguments(args)?;
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let (from, to) = (client.end(&args.from).await?, client.end(&args.to).await?);
    let ends = Ends::find(&client, (&from, &to), args.lasting).await?;
    let before = client.wires().await?;
    let wire = make(&client, (&from, &to), args.options()).await?;
    if let Some(old) = check::replaced(&before, &wire) {
        let converts = match old.converts() {
            none if none.is_empty() => String::from("without a conversion"),
            converts => converts,
        };
        eprintln!(
            "zocp: replaces the wire between these ends, {}",
            printable(&converts)
        );
    }
    if let Some(warning) = ends.warning(args) {
        eprintln!("zocp: {warning}");
    }
    if output.json {
        output.value(&wire.to_json())?;
    }
    match wire.state.as_str() {
        "failed" => Err(Failure::new(Exit::Refused, wire.last_error)),
        "waiting" => {
            eprintln!("zocp: the wire waits: {}", printable(reason(&wire)));
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(crate) async fn undo(bus: Option<String>, from: &str, to: &str) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let (from, to) = (client.end(from).await?, client.end(to).await?);
    if let (End::Node(from), End::Node(to)) = (&from, &to) {
        let bridge = BridgeProxy::new(&client.connection).await?;
        client.bridge().await?;
        let undone = bridge
            .unwire(&from.node, &from.capability, &to.node, &to.capability)
            .await;
        return match undone.map_err(Failure::from) {
            Err(failure) if failure.exit == Exit::NoCapability => Err(no_such_wire()),
            undone => undone,
        };
    }
    let (from, to) = (from.to_string(), to.to_string());
    let wires = client.wires().await?;
    let found = wires.iter().find(|wire| wire.from == from && wire.to == to);
    let Some(wire) = found else {
        return Err(no_such_wire());
    };
    let wire = WireProxy::builder(&client.connection)
        .path(wire.path.clone())
        .build()
        .await?;
    Ok(wire.remove().await?)
}

fn no_such_wire() -> Failure {
    let failure = Failure::new(Exit::NoCapability, "there is no such wire");
    failure.hint("see `zocp wires` for those that there are")
}

/// Makes a wire, and says how it is then.
pub(super) async fn make(
    client: &Client,
    (from, to): (&End, &End),
    options: HashMap<&str, Variant<'_>>,
) -> Result<WireView, Failure> {
    let bridge = BridgeProxy::new(&client.connection).await?;
    let path = bridge
        .wire_with(&from.to_string(), &to.to_string(), options)
        .await?;
    let wires = client.wires().await?;
    let made = wires.into_iter().find(|wire| wire.path == path);
    made.ok_or_else(|| Failure::new(Exit::Unavailable, "the wire was taken away again"))
}

/// What a wire waits for.
pub(super) fn reason(wire: &WireView) -> &str {
    match wire.last_error.as_str() {
        "" => "the emitter's node has not confirmed it yet",
        reason => reason,
    }
}
