//! `zocp scene` with nodes that limit their values, that share a name, and that are started again.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use rustix::process::Signal;
use serde_json::{Value, json};
use zocp_node::{Access, BeaconMode, CapPath, Capability, Config, Event, Events, Node};
use zocp_testkit::{Bridge, Bus, Cmd, Lab, Outcome, Program, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const NODES: &str = "org.z25.Zocp1.Node.";

/// A node of the loopback, which nobody finds by itself.
async fn node(name: &str, values: &[(&str, Value)]) -> (Node, Events) {
    let config = Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    let (node, events) = Node::start(config).await.expect("a node");
    for (name, value) in values {
        let capability =
            Capability::new(Access::READ | Access::WRITE | Access::EMIT, value.clone());
        node.publish(*name, capability).await.expect("a capability");
    }
    (node, events)
}

/// One that does not let `amount` be above 1 while `mode` is 0, which it says afterwards.
async fn limiting(node: Node, mut events: Events) {
    let mut mode = 1.0;
    while let Some(event) = events.next().await {
        let Event::LocalSet { path, value, .. } = event else {
            continue;
        };
        let number = value.as_f64().unwrap_or_default();
        if path == CapPath::root("zmode") {
            mode = number;
        } else if path == CapPath::root("amount") && mode < 1.0 && number > 1.0 {
            let amount = CapPath::root("amount");
            node.emit(amount.to_string().as_str(), 1.0)
                .await
                .expect("an emitter");
        }
    }
}

async fn read(mut events: Events) {
    while events.next().await.is_some() {}
}

/// What is set of a node, up to this.
async fn sets_until(events: &mut Events, last: &str, to: &Value) -> Vec<(String, Value)> {
    let mut sets = Vec::new();
    in_time("the last value to be set", async {
        while let Some(event) = events.next().await {
            if let Event::LocalSet { path, value, .. } = event {
                let (name, value) = (path.to_string(), json!(value));
                let is_last = name == last && value == *to;
                sets.push((name, value));
                if is_last {
                    break;
                }
            }
        }
    })
    .await;
    sets
}

/// A bridge that meets these nodes, and its bus.
struct Stage {
    bus: Bus,
    _bridge: Program,
}

impl Stage {
    async fn start(lab: &Lab, nodes: &[&Node]) -> Self {
        let bus = Bus::start("session").await;
        let peers: Vec<String> = nodes.iter().map(|node| endpoint(node)).collect();
        let config = format!("[mesh]\nloopback = true\nbeacon = 'off'\npeers = {peers:?}\n");
        let config = lab.file("bridge.toml", &config);
        let bridge = bus
            .command(ZOCP)
            .args(["bridge", "--name", "foh", "--config", &config]);
        let bridge = bridge.start();
        bus.appears("org.z25.Zocp1").await;
        Self {
            bus,
            _bridge: bridge,
        }
    }

    fn scene(&self, args: &[&str]) -> Cmd {
        self.bus.command(ZOCP).arg("scene").args(args)
    }

    async fn load(&self, args: &[&str]) -> Outcome {
        let load = [&["load", "x"], args].concat();
        self.scene(&load).outcome().await
    }

    async fn get(&self, label: &str, name: &str) -> String {
        let get = ["get", label, name];
        let got = self.bus.command(ZOCP).args(get).run().await;
        got.trim_end().to_owned()
    }

    async fn set(&self, label: &str, name: &str, value: &str) {
        let set = ["set", label, name, value];
        self.bus.command(ZOCP).args(set).run().await;
    }
}

/// A lamp with these values, a desk with a fader, and a bridge that has met both.
async fn with_lamp_and_desk(lab: &Lab, values: &[(&str, Value)]) -> (Stage, Node, Node) {
    let (lamp, at_lamp) = node("lamp", values).await;
    let (desk, at_desk) = node("desk", &[("x", json!(0.3))]).await;
    tokio::spawn(read(at_lamp));
    tokio::spawn(read(at_desk));
    let stage = Stage::start(lab, &[&lamp, &desk]).await;
    for name in ["lamp", "desk"] {
        stage.bus.appears(&format!("{NODES}{name}")).await;
    }
    (stage, lamp, desk)
}

fn endpoint(node: &Node) -> String {
    format!("tcp://127.0.0.1:{}", node.port())
}

#[test]
fn a_value_that_another_one_limits_is_restored_too() {
    isolated(async |lab: Lab| {
        let values = [("amount", json!(5.0)), ("zmode", json!(1))];
        let (lamp, events) = node("lamp", &values).await;
        tokio::spawn(limiting(lamp.clone(), events));
        let stage = Stage::start(&lab, &[&lamp]).await;
        stage.bus.appears(&format!("{NODES}lamp")).await;
        stage.scene(&["save", "x", "lamp"]).run().await;
        stage.set("lamp", "amount", "0.5").await;
        stage.set("lamp", "zmode", "0").await;

        let loaded = stage.load(&[]).await;
        assert_eq!(loaded.status.code(), Some(0), "{loaded:?}");
        assert_eq!(stage.get("lamp", "amount").await, "5.0");
        assert_eq!(stage.get("lamp", "zmode").await, "1");
        stage.scene(&["diff", "x"]).run().await;

        // What cannot be is told.
        stage.set("lamp", "zmode", "0").await;
        stage.set("lamp", "amount", "0.5").await;
        let refused = stage.load(&["lamp:amount"]).await;
        assert_eq!(refused.status.code(), Some(11), "{refused:?}");
        assert_eq!(
            refused.out,
            "lamp:amount: is 1.0, not 5.0: the node does not keep it\n"
        );
    });
}

#[test]
fn namesakes_are_told_apart_and_a_node_that_was_started_again_is_known() {
    isolated(async |lab: Lab| {
        let (one, at_one) = node("lamp", &[("b", json!(0.11))]).await;
        let (two, at_two) = node("lamp", &[("b", json!(0.22)), ("mic", json!(0.9))]).await;
        tokio::spawn(read(at_one));
        tokio::spawn(read(at_two));
        let stage = Stage::start(&lab, &[&one, &two]).await;
        let uuids = [one.id(), two.id()].map(|id| id.to_string());
        let all = async |name: &str| {
            let (one, two) = (&uuids[0], &uuids[1]);
            (stage.get(one, name).await, stage.get(two, name).await)
        };
        stage.bus.appears(&format!("{NODES}lamp")).await;
        in_time("both nodes", async {
            while !both_are_there(&stage.bus, &uuids).await {}
        })
        .await;
        stage.scene(&["save", "x", "--except", "*:mic"]).run().await;
        for uuid in &uuids {
            stage.set(uuid, "b", "0.7").await;
        }
        stage.set(&uuids[1], "mic", "0.5").await;
        let loaded = stage.load(&[]).await;
        assert_eq!(loaded.status.code(), Some(0), "{loaded:?}");
        assert_eq!(all("b").await, ("0.11".to_owned(), "0.22".to_owned()));
        assert_eq!(stage.get(&uuids[1], "mic").await, "0.5", "left out");

        // One of them with another UUID: the name is its alone among those that no UUID decides.
        two.shutdown().await;
        let (again, at_again) = node("lamp", &[("b", json!(0.5))]).await;
        tokio::spawn(read(at_again));
        let bridge = stage.bus.bridge();
        let again_at = endpoint(&again);
        let met = bridge.call("org.z25.Zocp1.Bridge", "Connect", &again_at);
        met.await.expect("an endpoint");
        let uuids = [one.id(), again.id()].map(|id| id.to_string());
        in_time("both nodes", async {
            while !both_are_there(&stage.bus, &uuids).await {}
        })
        .await;
        let loaded = stage.load(&[]).await;
        assert_eq!(loaded.status.code(), Some(0), "{loaded:?}");
        assert_eq!(stage.get(&uuids[1], "b").await, "0.22");
        let nothing = stage.load(&["lamp:nope"]).await;
        assert_eq!(nothing.status.code(), Some(5), "{nothing:?}");
    });
}

/// Whether exactly these nodes speak on the bus.
async fn both_are_there(bus: &Bus, uuids: &[String]) -> bool {
    let list = bus.command(ZOCP).args(["list", "--json"]).run().await;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let peers = list.as_array().expect("a list").iter();
    let there = peers.filter(|peer| peer["bus_name"] != "");
    let mut there: Vec<&str> = there.filter_map(|peer| peer["uuid"].as_str()).collect();
    let mut wanted: Vec<&str> = uuids.iter().map(String::as_str).collect();
    there.sort_unstable();
    wanted.sort_unstable();
    there == wanted
}

#[test]
fn a_fade_ends_on_the_very_values_and_stays_where_it_is_interrupted() {
    isolated(async |lab: Lab| {
        let values = [
            ("colour", json!([1.0, 0.25, 0.1])),
            ("dim", json!(0.3)),
            ("steps", json!(7)),
            ("text", json!("evening")),
        ];
        let (lamp, mut events) = node("lamp", &values).await;
        let stage = Stage::start(&lab, &[&lamp]).await;
        stage.bus.appears(&format!("{NODES}lamp")).await;
        stage.scene(&["save", "x", "lamp"]).run().await;
        for (name, value) in [
            ("colour", "[0,0,0]"),
            ("dim", "0"),
            ("steps", "0"),
            ("text", "day"),
        ] {
            stage.set("lamp", name, value).await;
        }
        sets_until(&mut events, "text", &json!("day")).await;
        let loaded = stage.load(&["--over", "500ms"]).await;
        assert_eq!(loaded.status.code(), Some(0), "{loaded:?}");
        for (name, value) in &values {
            let got: Value = match stage.get("lamp", name).await {
                text if text.starts_with(char::is_alphabetic) => json!(text),
                number => serde_json::from_str(&number).expect("JSON"),
            };
            assert_eq!(got, *value, "{name}");
        }
        let sets = sets_until(&mut events, "dim", &json!(0.3)).await;
        assert_eq!(sets[0].0, "text", "it is switched first");
        let dims = sets.iter().filter(|(name, _)| name == "dim");
        let dims: Vec<f64> = dims.filter_map(|(_, value)| value.as_f64()).collect();
        assert!(dims.is_sorted() && dims.len() > 1, "{dims:?}");
        assert!(dims.len() <= 15, "at most 25 a second: {dims:?}");

        stage.set("lamp", "dim", "0").await;
        tokio::spawn(read(events));
        let refused = stage.load(&["lamp:dim", "--over", "soon"]).await;
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let long = ["load", "x", "lamp:dim", "--over", "60m"];
        let mut fade = stage.scene(&long).label("fade").start();
        let moves = async { while stage.get("lamp", "dim").await == "0.0" {} };
        in_time("the fade", moves).await;
        fade.interrupt();
        assert_eq!(fade.ended().await.code(), Some(11));
        fade.says("interrupted at 0 %").await;
        let stopped: f64 = stage.get("lamp", "dim").await.parse().expect("a number");
        assert!(stopped > 0.0 && stopped < 0.3, "{stopped}");
    });
}

#[test]
fn a_scene_that_is_held_is_wired_again_and_with_exclusive_nothing_else_is() {
    isolated(async |lab: Lab| {
        let (stage, _lamp, _desk) =
            with_lamp_and_desk(&lab, &[("a", json!(0.1)), ("b", json!(0.2))]).await;
        let zocp = |args: &[&str]| stage.bus.command(ZOCP).args(args);
        zocp(&["wire", "desk:x", "lamp:a"]).run().await;
        stage.scene(&["save", "x"]).run().await;
        zocp(&["unwire", "desk:x", "lamp:a"]).run().await;
        let mut held = stage.scene(&["hold", "x", "--exclusive"]).start();
        held.says("desk:x -> lamp:a: wired").await;
        zocp(&["unwire", "desk:x", "lamp:a"]).run().await;
        held.says("desk:x -> lamp:a: wired").await;
        zocp(&["wire", "desk:x", "lamp:b"]).run().await;
        held.says("desk:x -> lamp:b: removed").await;
        let wires = zocp(&["wires", "--json"]).run().await;
        let wires: Value = serde_json::from_str(&wires).expect("JSON");
        assert_eq!(wires.as_array().map(Vec::len), Some(1), "{wires}");
        held.interrupt();
        assert!(held.ended().await.success());
    });
}

#[test]
fn a_held_wire_that_the_scene_writes_with_a_uuid_is_made_once_and_a_refused_one_is_told_as_such() {
    isolated(async |lab: Lab| {
        let (stage, lamp, desk) =
            with_lamp_and_desk(&lab, &[("a", json!(0.1)), ("text", json!("day"))]).await;
        let zocp = |args: &[&str]| stage.bus.command(ZOCP).args(args);
        zocp(&["wire", "desk:x", "lamp:a"]).run().await;
        stage.scene(&["save", "x"]).run().await;
        zocp(&["unwire", "desk:x", "lamp:a"]).run().await;
        let home = std::env::var("HOME").expect("a home");
        let state =
            std::env::var("XDG_STATE_HOME").unwrap_or_else(|_| format!("{home}/.local/state"));
        let file = format!("{state}/zocp/scenes/x.json");
        let scene = std::fs::read_to_string(&file).expect("a scene");
        let mut scene: Value = serde_json::from_str(&scene).expect("JSON");
        let (from, to) = (format!("{}:x", desk.id()), format!("{}:a", lamp.id()));
        scene["wires"][0]["from"] = json!(from);
        scene["wires"][0]["to"] = json!(to);
        let mut refused = scene["wires"][0].clone();
        refused["to"] = json!("lamp:nothing");
        scene["wires"].as_array_mut().expect("wires").push(refused);
        std::fs::write(&file, scene.to_string()).expect("written");

        let mut held = stage.scene(&["hold", "x", "--exclusive"]).start();
        held.says(&format!("{from} -> {to}: wired")).await;
        let refused = held.says("-> lamp:nothing: ").await;
        assert!(!refused.contains("wired"), "{refused}");
        // The marker: another wire is removed in the next rounds, and the one that was made stays.
        zocp(&["wire", "desk:x", "lamp:text"]).run().await;
        held.says("desk:x -> lamp:text: removed").await;
        zocp(&["wire", "desk:x", "lamp:text"]).run().await;
        held.says("desk:x -> lamp:text: removed").await;
        let more = held.unmatched();
        assert!(
            !more
                .iter()
                .any(|line| line.contains("wired") || line.contains("removed")),
            "{more:?}"
        );
        held.signal(Signal::TERM);
        assert!(held.ended().await.success(), "SIGTERM ends it as well");
    });
}

#[test]
fn a_scene_is_held_by_the_bridge_that_is_started_next() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let bus = Bus::start("session").await;
        let start = async || Bridge::start_on(&bus, ZOCP, &host, "stage", &[]).await;
        let mut bridge = start().await;
        let zocp = |args: &[&str]| Cmd::new(ZOCP).args(args).on(&bus);
        let fader = zocp(&["publish", "fader", "0.5"]).start();
        let lamp = zocp(&["publish", "lamp", "0", "--access", "rws"]).start();
        fader.says("is published").await;
        lamp.says("is published").await;
        let wire = ["wire", "stage:fader", "stage:lamp"];
        zocp(&wire).run().await;
        zocp(&["scene", "save", "x"]).run().await;
        zocp(&["unwire", wire[1], wire[2]]).run().await;
        let mut watched = zocp(&["wires", "--watch"]).start();
        let mut held = zocp(&["scene", "hold", "x"]).start();
        held.says("stage:fader -> stage:lamp: wired").await;
        watched.says("stage:fader -> stage:lamp  active").await;
        // One that says goodbye, and one that does not.
        for signal in [Signal::TERM, Signal::KILL] {
            bridge.signal(signal);
            bridge.ended().await;
            held.says("the bridge has ended").await;
            watched.says("the bridge has ended").await;
            watched.says("stage:fader -> stage:lamp  gone").await;
            bridge = start().await;
            held.says("the scene is held again").await;
            held.says("stage:fader -> stage:lamp: wired").await;
            watched.says("stage:fader -> stage:lamp  active").await;
        }
        watched.interrupt();
        assert!(watched.ended().await.success());
        held.interrupt();
        assert!(held.ended().await.success());
    });
}
