//! `zocp export` without a service: the rules by which services are exported now.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use zbus::OwnedVariant;
use zocp_interfaces::ExporterProxy;

use crate::{
    client::Client,
    exit::Failure,
    output::{Output, printable, table},
    value::to_json,
};

pub(super) async fn list(output: &Output, client: &Client) -> Result<(), Failure> {
    let exporter = ExporterProxy::new(&client.connection).await?;
    let rules = exporter.rules().await?;
    let rules: Vec<Map<String, Value>> = rules.iter().map(entry).collect();
    if output.json {
        return Ok(output.value(&json!(rules))?);
    }
    if rules.is_empty() {
        eprintln!(
            "zocp: nothing is exported; `zocp export SERVICE` exports a service\n  \
             `[[export]]` in the configuration does for good"
        );
    }
    let rows: Vec<Vec<String>> = rules.iter().map(row).collect();
    for cells in table(&rows) {
        output.line(&cells.join("  "))?;
    }
    Ok(())
}

/// A rule as JSON, with all keys that every rule has.
fn entry(rule: &HashMap<String, OwnedVariant>) -> Map<String, Value> {
    let said = rule.iter();
    let mut entry: Map<String, Value> = said
        .map(|(key, value)| (key.clone(), to_json(value)))
        .collect();
    entry.entry("offered").or_insert_with(|| json!([]));
    entry.entry("program").or_insert(Value::Null);
    entry
}

fn row(rule: &Map<String, Value>) -> Vec<String> {
    let offered = texts(rule, "offered").len();
    vec![
        printable(&text(rule, "service")),
        format!("{offered} now"),
        who(rule),
        what(rule),
        match &rule["program"] {
            Value::String(program) => format!("by {}", printable(program)),
            _ => "by the configuration".to_owned(),
        },
    ]
}

/// Whom a rule is for.
fn who(rule: &Map<String, Value>) -> String {
    let (peers, venues) = (texts(rule, "peers"), texts(rule, "venues"));
    let peers = match peers.is_empty() {
        true => "every peer".to_owned(),
        false => peers.join(", "),
    };
    match &venues[..] {
        [] => peers,
        [every] if every == "*" => format!("{peers} of every venue"),
        venues => format!("{peers} of {}", venues.join(", ")),
    }
}

/// What it allows.
fn what(rule: &Map<String, Value>) -> String {
    let flags = ["see", "talk", "learn"].into_iter();
    let flags = flags.filter(|key| rule.get(*key) == Some(&Value::Bool(true)));
    let mut said: Vec<String> = flags.map(str::to_owned).collect();
    for key in ["call", "broadcast", "call_back", "descriptors"] {
        let texts = texts(rule, key);
        if !texts.is_empty() {
            said.push(format!("{key} {}", texts.join(" ")));
        }
    }
    if let Some(timeout) = rule.get("timeout").and_then(Value::as_f64) {
        said.push(format!("timeout {timeout} s"));
    }
    said.join(", ")
}

fn text(rule: &Map<String, Value>, key: &str) -> String {
    let text = rule.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn texts(rule: &Map<String, Value>, key: &str) -> Vec<String> {
    let texts = rule.get(key).and_then(Value::as_array);
    let texts = texts.into_iter().flatten().filter_map(Value::as_str);
    texts.map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_told_in_the_words_of_the_configuration() {
        let rule = json!({
            "service": "org.example.*",
            "peers": ["foh", "key:x"],
            "venues": ["*"],
            "see": true,
            "call": ["org.example.Lamp1.Blink"],
            "timeout": 1.5,
            "program": null,
            "offered": ["org.example.A", "org.example.B"],
        });
        let rule = rule.as_object().expect("an object");
        assert_eq!(
            row(rule),
            [
                "org.example.*",
                "2 now",
                "foh, key:x of every venue",
                "see, call org.example.Lamp1.Blink, timeout 1.5 s",
                "by the configuration"
            ]
        );
        let rule = json!({"service": "a.b", "talk": true, "program": ":1.7", "offered": []});
        let rule = rule.as_object().expect("an object");
        assert_eq!(row(rule), ["a.b", "0 now", "every peer", "talk", "by :1.7"]);
    }
}
