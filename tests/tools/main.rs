//! The D-Bus tools that people use, on a node that makes it hard for them.
//!
//! Each tool walks from `/`, so every path prefix has to answer; what it shows has to be right; and none may
//! stall, which is what they do when one call is left without an answer.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod qt;
mod strange;

use std::time::{Duration, Instant};

use tokio::time::timeout;
use zocp_node::Node;
use zocp_testkit::{Bus, Cmd, Lab, Program, in_time, isolated};

use strange::LABEL;

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const ROOT: &str = "/org/z25/Zocp1/Node";
const CAMERA: &str = "/org/z25/Zocp1/Node/cam_201_2f_22_c3_a4_22";
const HEAD: &str = "/org/z25/Zocp1/Node/cam_201_2f_22_c3_a4_22/_32_20pan_20_26_20_3ctilt_3e";
const VALUES: &str = "org.z25.Zocp1.Values";
const TICK: Duration = Duration::from_millis(50);
/// A call without an answer holds a tool up for 25 s.
const STALL_MIN: Duration = Duration::from_secs(10);

/// The strange node on a bridge.
struct Stage {
    node: Node,
    name: String,
    _bridge: Program,
}

impl Stage {
    async fn on(bus: &Bus, lab: &Lab) -> Self {
        let (node, config) = strange_node(lab).await;
        let bridge = bus
            .command(ZOCP)
            .args(["bridge", "--name", "b", "--config", &config])
            .start();
        let name = format!("org.z25.Zocp1.Node.{LABEL}");
        bus.appears(&name).await;
        Self {
            node,
            name,
            _bridge: bridge,
        }
    }
}

/// Starts the node; with the configuration of a bridge that meets it.
async fn strange_node(lab: &Lab) -> (Node, String) {
    let (node, events) = strange::start().await.expect("a node on the loopback");
    tokio::spawn(strange::answer(node.clone(), events));
    let config = format!(
        "[mesh]\nloopback = true\nbeacon = \"off\"\npeers = [\"tcp://127.0.0.1:{}\"]\n",
        node.port()
    );
    (node, lab.file("bridge.toml", &config))
}

/// Runs a tool that must not stall.
async fn swift(tool: Cmd) -> String {
    let start = Instant::now();
    let said = tool.run().await;
    let took = start.elapsed();
    assert!(took < STALL_MIN, "it took {took:?}");
    said
}

async fn busctl(bus: &Bus, args: &[&str]) -> String {
    let busctl = bus.command("busctl").args(["--user", "--no-pager"]);
    swift(busctl.args(args)).await
}

#[test]
fn busctl_walks_introspects_reads_and_sets() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let stage = Stage::on(&bus, &lab).await;
        let name = stage.name.as_str();

        let tree = busctl(&bus, &["tree", "--list", name]).await;
        let paths: Vec<&str> = tree.lines().collect();
        assert_eq!(
            paths,
            [
                "/",
                "/org",
                "/org/z25",
                "/org/z25/Zocp1",
                ROOT,
                CAMERA,
                HEAD
            ]
        );
        for path in paths {
            let shown = busctl(&bus, &["introspect", name, path]).await;
            assert!(
                shown.contains("org.freedesktop.DBus.Peer"),
                "{path}: {shown}"
            );
        }
        for (member, shown) in [
            ("count", "x 5"),
            ("level", "d 0.5"),
            ("on", "b true"),
            ("text", r#"s "<a> & \"b\" \'c\' ]]> \303\274""#),
            ("v2", "(dd) 0.5 1"),
            ("v3", "(ddd) 0.5 1 2"),
            ("v4", "(dddd) 0.5 1 2 3"),
            ("own", r#"a{s(ix)} 1 "a" 1 2"#),
            (
                "list",
                r#"av 5 x 1 s "two" v s "" av 1 d 3.5 a{sv} 1 "k" b true"#,
            ),
            ("map", r#"a{sv} 2 "" v s "" "k e y" av 1 x 1"#),
            ("nothing", r#"s """#),
            ("huge", "d 1.84467e+19"),
            ("_31st_20_22_3cstrange_3e_22_20_26_20n_c3_a4me", "x 1"),
            ("_", "x 1"),
        ] {
            assert_eq!(bus.node(LABEL).shown_value(member).await, shown, "{member}");
        }
        let set = ["set-property", name, ROOT, VALUES, "count", "i", "9"];
        assert_eq!(busctl(&bus, &set).await, "");
        assert_eq!(bus.node(LABEL).shown_value("count").await, "x 9");
        let call = [
            "call",
            name,
            HEAD,
            "org.z25.Zocp1.Methods",
            "blink_20it",
            "x",
            "3",
        ];
        assert_eq!(busctl(&bus, &call).await, "b true\n");
        let bridge = busctl(&bus, &["tree", "--list", "org.z25.Zocp1"]).await;
        assert!(
            bridge.contains(&format!("/org/z25/Zocp1/nodes/{LABEL}\n")),
            "{bridge}"
        );
    });
}

#[test]
fn gdbus_introspects_all_in_one_and_shows_the_annotations() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let stage = Stage::on(&bus, &lab).await;
        let introspect = bus.command("gdbus").args(["introspect", "--session"]);
        let introspect = introspect.args(["--recurse", "-o", "/", "-d", &stage.name]);
        let shown = swift(introspect).await;
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        for expected in [
            &["node /org/z25/Zocp1 {"][..],
            &[
                r#"@org.z25.Zocp1.TypeHint("int")"#,
                r#"@org.z25.Zocp1.Access("rwe")"#,
                r#"@org.z25.Zocp1.Min("-10")"#,
                r#"@org.z25.Zocp1.Max("10")"#,
                r#"@org.z25.Zocp1.Step("2")"#,
                "readwrite x count = 5;",
            ],
            &[
                r#"@org.z25.Zocp1.TypeHint("<hint> & "")"#,
                r#"@org.z25.Zocp1.Access("rwe")"#,
                "readwrite x _31st_20_22_3cstrange_3e_22_20_26_20n_c3_a4me = 1;",
            ],
            &[r#"@org.z25.Zocp1.Access("w")"#, "writeonly x secret;"],
            &["tick(x value);"],
            &[r#"readonly s Name = 'cam 1/"ä"';"#],
            &["blink_20it(in  x how often,", "out b done);"],
        ] {
            let there = lines.windows(expected.len()).any(|lines| lines == expected);
            assert!(there, "{expected:?} in {shown}");
        }
    });
}

#[test]
fn qdbus_walks_reads_and_calls() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let stage = Stage::on(&bus, &lab).await;
        let name = stage.name.as_str();
        let qdbus = async |args: &[&str]| swift(bus.command("qdbus").args(args)).await;
        assert!(qdbus(&[]).await.contains(name));
        let paths = qdbus(&[name]).await;
        assert!(
            paths.contains(&format!("{ROOT}\n{CAMERA}\n{HEAD}\n")),
            "{paths}"
        );
        let members = qdbus(&[name, ROOT]).await;
        for member in [
            "property readwrite qlonglong org.z25.Zocp1.Values.count",
            "property write qlonglong org.z25.Zocp1.Values.secret",
            r#"property readwrite {D-Bus type "(ddd)"} org.z25.Zocp1.Values.v3"#,
            "signal void org.z25.Zocp1.Signals.level(double value)",
        ] {
            assert!(members.contains(member), "{member} in {members}");
        }
        assert_eq!(
            qdbus(&[name, ROOT, "org.z25.Zocp1.Values.count"]).await,
            "5\n"
        );
        assert_eq!(qdbus(&[name, HEAD, "blink_20it", "3"]).await, "true\n");
    });
}

#[test]
fn a_node_that_goes_is_taken_away_leaf_first_and_its_name_last() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let stage = Stage::on(&bus, &lab).await;
        let monitor = bus
            .command("gdbus")
            .args(["monitor", "--session", "-d", &stage.name]);
        let monitor = monitor.start();
        // It subscribes some time after it has said who owns the name.
        in_time("gdbus to follow", async {
            let mut heard = std::pin::pin!(monitor.says("Signals.tick"));
            while timeout(TICK, &mut heard).await.is_err() {
                stage.node.emit("tick", 1).await.expect("an emitter");
            }
        })
        .await;
        stage.node.shutdown().await;
        monitor.says("does not have an owner").await;
        let removed: Vec<String> = monitor
            .unmatched()
            .iter()
            .filter_map(|line| line.split_once("InterfacesRemoved (objectpath '"))
            .filter_map(|(_, rest)| Some(rest.split_once('\'')?.0.to_owned()))
            .collect();
        assert_eq!(removed, [HEAD, CAMERA, ROOT]);
        let wait = bus
            .command("gdbus")
            .args(["wait", "--session", "--timeout", "1"]);
        let waited = wait.arg(&stage.name).outcome().await;
        assert!(!waited.status.success(), "nobody has the name: {waited:?}");
    });
}

#[test]
fn the_bus_that_is_built_in_serves_the_tools_too() {
    isolated(async |lab: Lab| {
        let (node, config) = strange_node(&lab).await;
        let bridge = Cmd::new(ZOCP)
            .args(["bridge", "--bus", "embedded", "--config", &config])
            // No dbus-daemon there.
            .env("PATH", "/nonexistent")
            .start();
        let line = bridge.says("export DBUS_SESSION_BUS_ADDRESS=").await;
        let address = line.split('\'').nth(1).expect("it is quoted");
        let on_it = |tool: &str| Cmd::new(tool).env("DBUS_SESSION_BUS_ADDRESS", address);
        let name = format!("org.z25.Zocp1.Node.{LABEL}");
        swift(on_it("gdbus").args(["wait", "--session", "--timeout", "9", &name])).await;
        let tree = swift(on_it("busctl").args(["--user", "tree", "--list", &name])).await;
        assert!(
            tree.ends_with(&format!("{ROOT}\n{CAMERA}\n{HEAD}\n")),
            "{tree}"
        );
        let introspect = on_it("gdbus").args(["introspect", "--session", "--recurse"]);
        let shown = swift(introspect.args(["-o", "/", "-d", &name])).await;
        assert!(shown.contains("readwrite x count = 5;"), "{shown}");
        let set = [
            "--user",
            "set-property",
            &name,
            ROOT,
            VALUES,
            "count",
            "i",
            "7",
        ];
        swift(on_it("busctl").args(set)).await;
        let get = ["--user", "get-property", &name, ROOT, VALUES, "count"];
        assert_eq!(swift(on_it("busctl").args(get)).await, "x 7\n");
        let monitor = on_it("gdbus")
            .args(["monitor", "--session", "-d", &name])
            .start();
        monitor.says("is owned by").await;
        node.shutdown().await;
        monitor.says("does not have an owner").await;
    });
}
