//! `zocp monitor`: what happens on the mesh and in the bridge, as it happens.
//!
//! Model: the bridge gives a descriptor for each form that is wanted, lines of JSON and a capture file, and
//! closes them when it ends. Lines are printed as they are, or as text; a capture goes to its file.
//! Invariants: MONITOR-1. what the bridge could not tell since we were too slow is told as a number.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::UnixStream,
    signal::unix::{SignalKind, signal},
};
use zbus::Variant;
use zocp_interfaces::MonitorProxy;

use crate::{
    args::{MonitorArgs, Until},
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    args: &MonitorArgs,
) -> Result<(), Failure> {
    let write = args.write.as_deref();
    // A capture on standard output leaves no room for lines.
    let has_lines = write.is_none_or(|file| file != Path::new("-"));
    if !has_lines && args.until.count.is_some() {
        let text = "-n counts lines, and --write - leaves none";
        return Err(Failure::new(Exit::Usage, text).hint("end it with --for, or write to a file"));
    }
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let monitor = MonitorProxy::new(&client.connection).await?;
    let mut until = args.until;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Who reads JSON has said what it waits for.
    if !output.json {
        say_what_it_waits_for(args);
    }
    let shown = async {
        if !has_lines {
            return std::future::pending().await;
        }
        let events = open(&monitor, args, "json").await?;
        show(output, events, &mut until).await
    };
    let written = async {
        match write {
            Some(file) => capture(file, open(&monitor, args, "pcapng").await?).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = shown => match ended? {
            Shown::Enough => return Ok(()),
            Shown::All => {}
        },
        ended = written => ended?,
        () = args.until.time_is_up() => return until.at_end_of_time(),
        _ = interrupt.recv() => return Ok(()),
    }
    Err(Failure::new(Exit::NoBridge, "the bridge has ended"))
}

async fn open(
    monitor: &MonitorProxy<'_>,
    args: &MonitorArgs,
    format: &str,
) -> Result<UnixStream, Failure> {
    let mut options = HashMap::from([
        ("format", Variant::new(format.to_owned())),
        ("beacons", Variant::new(args.beacons)),
    ]);
    for (key, words) in [
        ("peers", &args.peer),
        ("verbs", &args.verb),
        ("services", &args.service),
    ] {
        if !words.is_empty() {
            options.insert(key, Variant::new(words.clone()));
        }
    }
    let events = OwnedFd::from(monitor.open(options).await?);
    let events = StdStream::from(events);
    events.set_nonblocking(true)?;
    Ok(UnixStream::from_std(events)?)
}

/// Prints lines until the bridge closes them.
async fn show(output: &Output, events: UnixStream, until: &mut Until) -> Result<Shown, Failure> {
    let mut lines = BufReader::with_capacity(READ_LEN, events).lines();
    let mut began = None;
    while let Some(line) = lines.next_line().await? {
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if output.json {
            output.json_line(&with_time(event).to_string())?;
        } else {
            let at = event["time"].as_f64();
            let since = at.map(|at| at - *began.get_or_insert(at));
            output.line(&text(output, &event, since))?;
        }
        if until.is_last() {
            return Ok(Shown::Enough);
        }
    }
    Ok(Shown::All)
}

/// The event with its time as every command writes it.
fn with_time(mut event: Value) -> Value {
    let microseconds = event["time"].as_f64().map(|seconds| seconds * 1e6);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time of today is far below 2^53 microseconds"
    )]
    let time = microseconds.and_then(|time| Timestamp::from_microsecond(time.round() as i64).ok());
    if let Some(time) = time {
        event["time"] = Value::from(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    }
    event
}

/// Why no more lines are shown.
enum Shown {
    /// As many were shown as were asked for.
    Enough,
    /// The bridge has closed them.
    All,
}

/// What it waits for, by the filters that were given.
fn say_what_it_waits_for(args: &MonitorArgs) {
    let filters = [
        ("of peer", &args.peer),
        ("that say", &args.verb),
        ("of service", &args.service),
    ];
    let filters = filters.into_iter().filter(|(_, words)| !words.is_empty());
    let filters: Vec<String> = filters
        .map(|(what, words)| format!(" {what} {}", words.join(" or ")))
        .collect();
    let what = printable(&filters.concat());
    eprintln!("zocp: waits for messages{what}");
}

/// Writes a capture file until the bridge closes it; what was written is whole at any time.
async fn capture(file: &Path, mut events: UnixStream) -> Result<(), Failure> {
    let mut to: Box<dyn Write + Send> = if file == Path::new("-") {
        Box::new(std::io::stdout())
    } else {
        let failed = |error| Failure::new(Exit::Usage, format!("{}: {error}", file.display()));
        Box::new(File::create(file).map_err(failed)?)
    };
    let mut octets = vec![0; READ_LEN];
    loop {
        match events.read(&mut octets).await? {
            0 => return Ok(()),
            len => {
                to.write_all(&octets[..len])?;
                to.flush()?;
            }
        }
    }
}

/// An event for people: when, which way, with whom, what.
fn text(output: &Output, event: &Value, since: Option<f64>) -> String {
    let word = |key: &str| event[key].as_str().map(printable).unwrap_or_default();
    let peer = match event["peer"].as_str() {
        Some(name) => printable(name),
        None => word("uuid").chars().take(SHORT_LEN).collect(),
    };
    let (mark, what) = match event["event"].as_str() {
        Some("received") => ("←", message(event)),
        Some("sent") => ("→", message(event)),
        Some("done") => (" ", done(event)),
        Some("entered") => ("+", format!("entered, at {}", word("endpoint"))),
        Some("left") => ("-", format!("left: {}", word("why"))),
        Some("evasive") => ("?", "is silent".to_owned()),
        Some("ready") => ("+", "is heard again".to_owned()),
        Some("beacon") => ("←", format!("beacon from {}", word("from"))),
        Some("turned away") => {
            let (kind, why, from) = (word("kind"), word("why"), word("from"));
            let from = if from.is_empty() {
                from
            } else {
                format!(" {from}")
            };
            ("!", format!("turned away{from} ({kind}): {why}"))
        }
        Some("refused") => {
            let (caller, member, message) = (word("caller"), word("member"), word("message"));
            let error = short(&word("error"));
            (
                "!",
                format!("refused {caller} {member}: {error}: {message}"),
            )
        }
        Some("lost") => {
            let count = event["count"].as_u64().unwrap_or_default();
            (
                "!",
                format!("{count} events are missing here: they came too fast"),
            )
        }
        _ => ("·", word("event")),
    };
    let since = since.map_or_else(|| " ".repeat(10), |since| format!("{since:10.6}"));
    let peer = if peer.is_empty() {
        peer
    } else {
        output.bold(&peer) + " "
    };
    format!("{} {mark} {peer}{what}", output.dim(&since))
}

fn message(event: &Value) -> String {
    let word = |key: &str| event[key].as_str().map(printable);
    let octets = event["octets"].as_u64().unwrap_or_default();
    let kind = word("packet").or_else(|| word("verb")).unwrap_or_default();
    let member = word("member").map(|member| short(&member));
    let details = [word("service"), word("path"), member];
    let details: Vec<String> = details.into_iter().flatten().collect();
    let details = details.join(" ");
    format!(
        "{kind} {details}{}{octets} B",
        if details.is_empty() { "" } else { " " }
    )
}

fn done(event: &Value) -> String {
    let word = |key: &str| event[key].as_str().map(printable);
    let took = event["microseconds"].as_u64().unwrap_or_default();
    let error = word("error").map_or_else(String::new, |error| format!(": {}", short(&error)));
    let member = word("member").unwrap_or_default();
    format!("{} took {took} µs{error}", short(&member))
}

/// The last two elements of a dotted name.
fn short(name: &str) -> String {
    let mut elements = name.rsplitn(3, '.');
    let (last, before) = (elements.next(), elements.next());
    match (before, last) {
        (Some(before), Some(last)) => format!("{before}.{last}"),
        _ => name.to_owned(),
    }
}

/// What is read at once.
const READ_LEN: usize = 64 << 10;
/// As many digits of a UUID tell nodes apart.
const SHORT_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(event: &Value) -> String {
        text(&Output::new(false), event, Some(1.5))
    }

    #[test]
    fn an_event_is_a_line_for_people() {
        let event = json!({"event": "sent", "peer": "lamp", "verb": "SIG", "octets": 42});
        assert_eq!(line(&event), "  1.500000 → lamp SIG 42 B");
        let event = json!({
            "event": "received", "peer": null, "uuid": "0123456789abcdef", "verb": "WHISPER",
            "packet": "call", "service": "org.example.Music", "path": "/", "octets": 9,
            "member": "org.example.Music.Player.Play",
        });
        assert_eq!(
            line(&event),
            "  1.500000 ← 01234567 call org.example.Music / Player.Play 9 B"
        );
        let event = json!({
            "event": "done", "peer": "lamp", "member": "org.example.Music.Player.Play",
            "microseconds": 812, "error": "org.example.Error.Broken",
        });
        assert_eq!(
            line(&event),
            "  1.500000   lamp Player.Play took 812 µs: Error.Broken"
        );
        let event =
            json!({"event": "turned away", "from": "10.0.0.1:5", "kind": "links", "why": "x\x1b"});
        assert_eq!(
            line(&event),
            "  1.500000 ! turned away 10.0.0.1:5 (links): x\u{fffd}"
        );
    }
}
