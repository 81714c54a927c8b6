//! What commands print with `--json`, compared with docs/reference/json-schema.json.

use std::collections::BTreeSet;

use serde_json::Value;
use zocp_testkit::{Bridge, Cmd, Lab, demo, isolated};

use super::{ROOT, ZOCP, between, commands, help, read};

const SCHEMA: &str = "docs/reference/json-schema.json";

/// Each command with `--json` beside the demo, and its definition in the schema.
#[test]
fn what_commands_print_as_json_is_what_the_schema_says() {
    isolated(async |lab: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let mut publish = Cmd::new(ZOCP).args(["publish", "own", "1.5", "--json"]);
        publish = publish.args(["--access", "rwe"]);
        let publish = publish.on(&bus).start();
        publish.says("is published").await;
        let home = lab.path("state");
        let key = lab.path("key");
        let offer = [
            "publish",
            "--source",
            "cam",
            "--endpoint",
            "tcp://127.0.0.1:5005",
        ];
        let offer = Cmd::new(ZOCP).args(offer).on(&bus).start();
        offer.says("is offered").await;
        let mut seen = Vec::new();
        for (definition, line) in [
            ("wire", "wire fader:level lamp:brightness --scale ends"),
            ("list", "list"),
            ("link", "link"),
            ("tree", "tree"),
            ("tree NODE", "tree lamp"),
            ("get NODE", "get lamp"),
            ("get NODE NAME", "get lamp colour"),
            ("set", "set lamp on true"),
            ("call", "call lamp blink 1"),
            ("wires", "wires"),
            ("streams", "streams"),
            ("watch", "watch -n 9"),
            ("monitor", "monitor -n 5"),
            ("doctor", "doctor"),
            ("key", &format!("key new {key}")),
            ("set", "scene save evening lamp"),
            ("set", "set lamp label other"),
            ("scene list", "scene list"),
            ("scene diff", "scene diff evening lamp:label"),
            ("scene load", "scene load evening lamp:label"),
        ] {
            let zocp = Cmd::new(ZOCP).arg("--json").args(line.split(' '));
            let outcome = zocp.env("XDG_STATE_HOME", &home).on(&bus).outcome().await;
            assert!(outcome.status.code() != Some(2), "{line}: {outcome:?}");
            if line != "scene save evening lamp" {
                seen.push((definition, outcome.out));
            }
        }
        let set = Cmd::new(ZOCP).args(["set", "demo", "own", "2.5"]).on(&bus);
        assert!(set.outcome().await.status.success());
        seen.push(("publish", publish.says("2.5").await));
        let learn = ["--json", "export", "org.example.None", "--learn"];
        let learn = Cmd::new(ZOCP).args(learn).on(&bus).start();
        learn.says("is exported").await;
        learn.says("not on this bus yet").await;
        let rules = Cmd::new(ZOCP).args(["export", "--json"]).on(&bus);
        seen.push(("export", rules.run().await));
        learn.interrupt();
        let end = learn.says_like("the end of the rules", end_of_value).await;
        let begin = learn.unmatched().concat();
        seen.push(("export --learn", format!("{begin}{end}")));
        seen.extend(of_trust(&lab).await);
        assert_eq!(
            names_of(&seen),
            defined(),
            "each definition of a command is compared"
        );
        let seen = lab.file("seen.json", serde_json::to_string(&seen).unwrap());
        let check = Cmd::python("jsonschema").args(["-c", CHECK, &seen]);
        check.arg(format!("{ROOT}/{SCHEMA}")).run().await;
    });
}

fn end_of_value(line: &str) -> Option<String> {
    (line == "}").then(|| line.to_owned())
}

/// What the commands of a secure mesh print.
async fn of_trust(lab: &Lab) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    for name in ["ours", "theirs"] {
        let made = Cmd::new(ZOCP).args(["key", "new", &lab.path(name), "--json"]);
        let made: Value = serde_json::from_str(&made.run().await).expect("JSON");
        keys.push(made["key"].as_str().expect("a key").to_owned());
    }
    let config = format!(
        "[venue]\nname = 'here'\n[mesh]\nkey = '{}'\n",
        lab.path("ours")
    );
    let link = format!("tcp://10.99.0.99:5671|{}", keys[1]);
    let config = lab.file("secure.toml", config);
    let host = lab.host("stage").await;
    let bridge = Bridge::start(ZOCP, &host, "stage", &["--config", &config]).await;
    let mut seen = Vec::new();
    for (definition, args) in [
        ("trust WHO", &["trust", &keys[1], "--yes"][..]),
        ("trust", &["trust"]),
        ("distrust", &["distrust", &keys[1]]),
        ("link add", &["link", "add", &link]),
        ("link", &["link"]),
        ("link remove", &["link", "remove", &link]),
    ] {
        let zocp = Cmd::new(ZOCP).arg("--json").args(args).on(&bridge.bus);
        seen.push((definition, zocp.run().await));
    }
    seen
}

fn names_of(seen: &[(&str, String)]) -> BTreeSet<String> {
    seen.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// The definitions of the schema that are commands.
fn defined() -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(&read(SCHEMA)).expect("JSON");
    let names = schema["$defs"].as_object().expect("definitions").keys();
    let commands = commands(&help(&[]));
    let is_command = |name: &&String| {
        let first = name.split(' ').next().unwrap_or_default();
        commands.iter().any(|command| command == first)
    };
    names.filter(is_command).cloned().collect()
}

#[test]
fn every_command_has_its_json_or_is_named_as_one_without() {
    let page = read("docs/reference/json.md");
    let (_, rest) = page.split_once("These have no JSON: ").expect("a list");
    let (without, _) = rest.split_once("; and").expect("an end of the list");
    let without: BTreeSet<String> = between(without, "`", "`")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let defined = defined();
    let mut commands = commands(&help(&[]));
    let scenes = ["save", "load", "hold", "list", "diff"].map(|name| format!("scene {name}"));
    commands.retain(|command| command != "scene");
    commands.extend(scenes);
    for command in commands {
        let has_json = defined
            .iter()
            .any(|name| name == &command || name.starts_with(&format!("{command} ")));
        let is_without = without.contains(&command);
        assert!(has_json != is_without, "{command}: JSON, or none");
    }
}

/// Each text as the values in it, by its definition.
const CHECK: &str = r##"
import json, sys, jsonschema
seen = json.load(open(sys.argv[1]))
schema = json.load(open(sys.argv[2]))
jsonschema.Draft202012Validator.check_schema(schema)
for definition, text in seen:
    text, values = text.strip(), []
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        values.append(value)
        text = text[end:].strip()
    assert values, f"{definition}: nothing is printed"
    for value in values:
        wanted = {"$ref": "#/$defs/" + definition.replace(" ", "%20"), "$defs": schema["$defs"]}
        jsonschema.Draft202012Validator(wanted).validate(value)
"##;
