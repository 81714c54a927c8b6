//! `zocp wires`: every wire, by whomever it was made.
//!
//! Model: with `--watch` one connection listens, and whatever it hears of wires, all are read again and
//! those that are others now are printed. When the bridge ends, so do its wires, and those of the next one are printed.

use std::{collections::BTreeMap, pin::pin};

use serde_json::{Value, json};

use super::{bridge::end_signals, wire::reason};
use crate::{
    client::Client,
    exit::{Exit, Failure},
    listener::{Listener, bridge_rule, objects_rule, wires_rule},
    output::{Output, printable},
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
    for line in lines(output, &wires) {
        output.line(&line)?;
    }
    Ok(())
}

/// A table with a heading. What does not fit into the width of a terminal goes on in lines of its own.
fn lines(output: &Output, wires: &[WireView]) -> Vec<String> {
    let rows: Vec<Vec<String>> = wires.iter().map(row).collect();
    let short = rows.iter().filter_map(|row| row.first());
    let widths = short
        .map(|ends| ends.chars().count())
        .filter(|&width| width <= ENDS_MAX);
    let width = widths.max().unwrap_or_default().max(HEADING.len());
    let heading = format!("{HEADING:width$}  {:8}  {:>6}  NOTES", "STATE", "VALUES");
    let mut lines = vec![output.dim(heading.trim_end())];
    for (wire, row) in wires.iter().zip(rows) {
        let [ends, state, count, notes] = &row[..] else {
            continue;
        };
        let padded = format!("{state:8}");
        let shown = match state.as_str() {
            "failed" => output.bad(&padded),
            _ => padded,
        };
        if ends.chars().count() <= ENDS_MAX {
            lines.push(format!("{ends:width$}  {shown}  {count:>6}"));
        } else {
            lines.push(printable(&wire.from));
            lines.push(format!("  -> {}", printable(&wire.to)));
            lines.push(format!("{:width$}  {shown}  {count:>6}", ""));
        }
        let used = width + "  active    123456  ".len();
        match lines.last_mut() {
            Some(line) if used + notes.chars().count() <= WIDTH_MAX => {
                *line = format!("{line}  {notes}").trim_end().to_owned();
            }
            _ => lines.extend(wrapped(notes)),
        }
    }
    lines
}

/// A text in lines of the width of a terminal, each indented.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines
}

async fn follow(output: &Output, client: &Client) -> Result<(), Failure> {
    // One future for all rounds: a signal while wires are read is not missed.
    let mut ended = pin!(end_signals(&[])?);
    client.bridge().await?;
    let rules = [wires_rule(), objects_rule(), bridge_rule()];
    let mut listener = Listener::new(client, &rules).await?;
    let (mut known, mut is_bridge_here) = (BTreeMap::new(), true);
    loop {
        let wires = tokio::select! {
            () = &mut ended => return Ok(()),
            wires = client.wires() => wires,
        };
        let wires = match wires {
            // The bus tells of the next one.
            Err(failure) if matches!(failure.exit, Exit::NoBridge | Exit::Unavailable) => {
                if is_bridge_here {
                    eprintln!(
                        "zocp: the bridge has ended: wires are printed when there is one again"
                    );
                }
                is_bridge_here = false;
                Vec::new()
            }
            wires => {
                is_bridge_here = true;
                wires?
            }
        };
        known = tell(output, known, wires)?;
        // Wires tell of each value: what comes together is read together.
        tokio::select! {
            () = &mut ended => return Ok(()),
            changed = listener.change(|_| true) => changed?,
        }
    }
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
    let lost = match (wire.lost, &wire.last_value) {
        (0, _) => String::new(),
        (lost, None) => format!("{lost} lost"),
        (lost, Some(value)) => format!("{lost} lost, the last value was {value}"),
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

/// Above the column of the ends.
const HEADING: &str = "FROM -> TO";
/// Ends that are longer go over several lines.
const ENDS_MAX: usize = 58;
/// Columns of a terminal.
const WIDTH_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_wires_fits_a_terminal() {
        let wire = |from: &str, to: &str, error: &str| WireView {
            from: from.to_owned(),
            to: to.to_owned(),
            state: if error.is_empty() { "active" } else { "failed" }.to_owned(),
            last_error: error.to_owned(),
            lost: u64::from(!error.is_empty()),
            last_value: Some(json!("none")),
            ..WireView::default()
        };
        let error = "the value \"none\" is no number, and an error of a service may be as long as it likes to be";
        let wires = [
            wire("fader:level", "lamp:brightness", ""),
            wire("fader:level", "lamp:on", error),
            wire(
                "a node with a long name:an emitter",
                "another node:a capability",
                "",
            ),
        ];
        let lines = lines(&Output::new(false), &wires);
        assert!(lines[0].starts_with("FROM -> TO"), "{lines:#?}");
        assert!(lines[1].starts_with("fader:level -> lamp:brightness"));
        for line in &lines {
            assert!(line.chars().count() <= WIDTH_MAX, "{line}");
        }
        let all = lines.concat();
        assert!(all.contains("1 lost, the last value was \"none\""), "{all}");
        assert!(all.contains("as it likes") && all.contains("-> another node"));
    }
}
