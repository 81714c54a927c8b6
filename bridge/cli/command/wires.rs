//! `zocp wires`: every wire, by whomever it was made.
//!
//! Model: with `--watch` one connection listens, and whatever it hears of wires, all are read again and
//! those that are others now are printed.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use zbus::{MessageStream, fdo::DBusProxy};
use zocp_interfaces::{BRIDGE_NAME, BRIDGE_PATH, WIRES_PATH};

use super::wire::reason;
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable, table},
    wiring::WireView,
};

pub(crate) async fn run(output: &Output, bus: Option<String>, watch: bool) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    if watch {
        return follow(output, &client).await;
    }
    let wires = client.wires().await?;
    if output.json {
        let list: Vec<Value> = wires.iter().map(WireView::to_json).collect();
        return Ok(output.value(&Value::from(list))?);
    }
    if wires.is_empty() {
        eprintln!("zocp: there are no wires");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = wires.iter().map(row).collect();
    for cells in table(&rows) {
        output.line(cells.join("  ").trim_end())?;
    }
    Ok(())
}

async fn follow(output: &Output, client: &Client) -> Result<(), Failure> {
    client.bridge().await?;
    let listener = client.again().await?;
    let mut stream = MessageStream::from(&listener.connection);
    let dbus = DBusProxy::new(&listener.connection).await?;
    for rule in rules() {
        dbus.add_match_rule(rule.as_str().try_into()?).await?;
    }
    let mut known = BTreeMap::new();
    loop {
        known = tell(output, known, client.wires().await?)?;
        tokio::select! {
            // Cancel safe: a message is taken from the stream's queue, or stays in it.
            message = stream.next() => if message.transpose()?.is_none() {
                return Err(Failure::new(Exit::NoBus, "the bus is gone"));
            },
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        }
        // What comes together is read together.
        sleep(TOGETHER).await;
        while let Some(Some(_)) = futures_util::FutureExt::now_or_never(stream.next()) {}
    }
}

fn rules() -> [String; 2] {
    [
        format!(
            "type='signal',sender='{BRIDGE_NAME}',path_namespace='{WIRES_PATH}',\
             interface='org.freedesktop.DBus.Properties'"
        ),
        format!(
            "type='signal',sender='{BRIDGE_NAME}',path='{BRIDGE_PATH}',\
             interface='org.freedesktop.DBus.ObjectManager'"
        ),
    ]
}

/// Prints what is new, another, or gone.
fn tell(
    output: &Output,
    mut known: BTreeMap<String, WireView>,
    wires: Vec<WireView>,
) -> Result<BTreeMap<String, WireView>, Failure> {
    let mut now = BTreeMap::new();
    for wire in wires {
        let path = wire.path.to_string();
        if known.remove(&path).as_ref() != Some(&wire) {
            let text = row(&wire).join("  ");
            line(output, text.trim_end(), || wire.to_json())?;
        }
        now.insert(path, wire);
    }
    for wire in known.into_values() {
        let text = format!("{}  gone", ends(&wire));
        line(output, &text, || {
            let path = wire.path.as_str();
            json!({ "path": path, "from": wire.from, "to": wire.to, "state": "gone" })
        })?;
    }
    Ok(now)
}

fn line(output: &Output, text: &str, value: impl Fn() -> Value) -> Result<(), Failure> {
    if output.json {
        return Ok(output.json_line(&value().to_string())?);
    }
    Ok(output.line(text)?)
}

fn ends(wire: &WireView) -> String {
    printable(&format!("{} -> {}", wire.from, wire.to))
}

/// Ends, state, how many values, and what is special about it.
fn row(wire: &WireView) -> Vec<String> {
    let way = match (wire.foreign, wire.direct) {
        (true, _) => "of others",
        (false, true) => "direct",
        (false, false) => "",
    };
    let lost = match wire.lost {
        0 => String::new(),
        lost => format!("{lost} lost"),
    };
    let trouble = match wire.state.as_str() {
        "active" => "",
        _ => reason(wire),
    };
    let lasting = if wire.lasting { "lasting" } else { "" };
    let converts = wire.converts();
    let special = [way, lasting, converts.as_str(), lost.as_str(), trouble];
    let special: Vec<&str> = special
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    vec![
        ends(wire),
        wire.state.clone(),
        wire.count.to_string(),
        printable(&special.join("; ")),
    ]
}

/// Wires tell of values at most as often.
const TOGETHER: Duration = Duration::from_millis(100);
