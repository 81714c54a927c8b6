//! Names of the running bridge in real shells: what Tab makes of the beginning of a word.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::time::{Duration, Instant};

use tokio::time::timeout;
use zocp_node::{Access, BeaconMode, Capability, Config, Node};
use zocp_testkit::{Bus, Cmd, Lab, Terminal, demo, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// A shell in a terminal, which has read the script.
async fn shell(lab: &Lab, bus: &Bus, shell: &str) -> Terminal {
    let directory = ZOCP.rsplit_once('/').map_or("", |(directory, _)| directory);
    let (start, read) = match shell {
        "bash" => (
            "bash --norc --noprofile -i",
            "source <(zocp completions bash)",
        ),
        "zsh" => (
            "zsh -f -i",
            "autoload -U compinit; compinit -u -D; source <(zocp completions zsh)",
        ),
        _ => ("fish --no-config -i", "zocp completions fish | source"),
    };
    let command = format!(
        "PATH='{directory}':$PATH DBUS_SESSION_BUS_ADDRESS='{}' HOME='{}' {start}",
        bus.address(),
        lab.path("home")
    );
    let terminal = Terminal::start(lab, shell, (120, 40), &command).await;
    terminal.line(&format!("{read}; echo rea''dy")).await;
    terminal.shows("ready").await;
    terminal
}

/// Presses Tab until the line is completed: where the machine is busy, an answer may come too late for the shell.
async fn tab(shell: &Terminal, wanted: &str) {
    in_time(wanted, async {
        loop {
            shell.keys(&["Tab"]).await;
            if timeout(ANSWER_MAX, shell.shows(wanted)).await.is_ok() {
                return;
            }
        }
    })
    .await;
}

/// Tab completes commands, nodes, capabilities, methods, ends of wires; and nothing when the bridge is gone.
async fn completes(lab: &Lab, name: &str) {
    let (bus, mut demo) = demo(ZOCP).await;
    let shell = shell(lab, &bus, name).await;
    // A node and its capability. What runs then is what was completed.
    shell.types("zocp get lam").await;
    tab(&shell, "zocp get lamp ").await;
    shell.types("labe").await;
    tab(&shell, "zocp get lamp label").await;
    shell.keys(&["Enter"]).await;
    shell.shows("\nfront of house").await;
    shell.types("zocp call lamp bli").await;
    tab(&shell, "zocp call lamp blink ").await;
    shell.line("1").await;
    shell.shows("\ntrue").await;
    // Ends of a wire, in which there are colons; then the wire.
    shell.types("zocp wire fader:le").await;
    tab(&shell, "zocp wire fader:level ").await;
    shell.types("lamp:br").await;
    tab(&shell, "zocp wire fader:level lamp:brightness").await;
    shell.line("; echo wi''red").await;
    shell.shows("\nwired").await;
    shell.types("zocp unwire fad").await;
    tab(&shell, "zocp unwire fader:level ").await;
    shell.types("lam").await;
    tab(&shell, "zocp unwire fader:level lamp:brightness").await;
    shell.line("; echo un''wired").await;
    shell.shows("\nunwired").await;
    let wires = Cmd::new(ZOCP).arg("wires").on(&bus).outcome().await;
    assert!(wires.err.contains("there are no wires"), "{wires:?}");

    // What this bridge offers and publishes.
    let offer = [
        "publish",
        "--source",
        "camera",
        "--endpoint",
        "tcp://127.0.0.1:5005",
    ];
    let offer = Cmd::new(ZOCP).args(offer).on(&bus).start();
    offer.says("is offered").await;
    let publish = ["publish", "master", "0.5"];
    let publish = Cmd::new(ZOCP).args(publish).on(&bus).start();
    publish.says("is published").await;
    shell.types("zocp stream demo cam").await;
    tab(&shell, "zocp stream demo camera").await;
    shell.keys(&["C-u"]).await;
    shell.types("zocp unpublish mas").await;
    tab(&shell, "zocp unpublish master").await;
    shell.keys(&["C-u"]).await;

    demo.interrupt();
    assert!(demo.ended().await.success());
    shell.keys(&["C-l"]).await;
    shell.types("zocp get lam").await;
    shell.keys(&["Tab"]).await;
    shell.types("xyz").await;
    let screen = shell.shows("xyz").await;
    assert!(screen.contains("zocp get lamxyz"), "{screen}");
    assert!(!screen.contains("zocp:"), "nothing is said: {screen}");
}

#[test]
fn bash_completes_names_of_the_running_bridge() {
    isolated(async |lab: Lab| completes(&lab, "bash").await);
}

#[test]
fn zsh_completes_names_of_the_running_bridge() {
    isolated(async |lab: Lab| completes(&lab, "zsh").await);
}

#[test]
fn fish_completes_names_of_the_running_bridge() {
    isolated(async |lab: Lab| completes(&lab, "fish").await);
}

/// The time of a Tab with as many nodes as a large show has. `ZOCP_TEST_BINARY` measures another build of the program;
/// docs/how-to/completions.md has the figure of a release.
#[test]
fn two_hundred_nodes_are_completed_while_one_presses_tab() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let (mut nodes, mut endpoints) = (Vec::new(), Vec::new());
        for number in 0..NODES {
            let config = Config::new(format!("lamp{number}"));
            let config = config.with_loopback().with_beacon(BeaconMode::Off);
            let (node, mut events) = Node::start(config).await.expect("a node");
            let level = Capability::new(Access::READ | Access::WRITE, 0.5);
            node.publish("level", level).await.expect("a capability");
            tokio::spawn(async move { while events.next().await.is_some() {} });
            endpoints.push(format!("\"tcp://127.0.0.1:{}\"", node.port()));
            nodes.push(node);
        }
        let config = lab.file(
            "bridge.toml",
            format!(
                "[mesh]\nloopback = true\nbeacon = \"off\"\npeers = [{}]\n",
                endpoints.join(", ")
            ),
        );
        let binary = std::env::var("ZOCP_TEST_BINARY").unwrap_or_else(|_| ZOCP.to_owned());
        let bridge = bus.command(&binary).args(["bridge", "--config", &config]);
        let _bridge = bridge.start();
        for number in 0..NODES {
            bus.appears(&format!("org.z25.Zocp1.Node.lamp{number}"))
                .await;
        }
        let ask = async |words: &[&str]| {
            let zocp = bus.command(&binary).args(["--", "zocp"]).args(words);
            let start = Instant::now();
            let out = zocp.env("ZOCP_COMPLETE", "bash").run().await;
            (start.elapsed(), out)
        };
        for words in [
            &["get", "lamp"][..],
            &["set", "lamp199", "le"],
            &["wire", "lamp1"],
        ] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let (time, out) = ask(words).await;
                assert!(!out.trim().is_empty(), "{words:?}: {out}");
                times.push(time);
            }
            times.sort();
            let (median, most) = (times[ROUNDS / 2], times[ROUNDS - 1]);
            println!("{words:?}: median {median:?}, at most {most:?}");
            // A debug build on a busy machine; that of a release is far below.
            assert!(median < ASKED_MAX, "{words:?}: {times:?}");
        }
        let (_, out) = ask(&["get", "lamp"]).await;
        assert_eq!(out.lines().count(), NODES, "{out}");
        drop(nodes);
    });
}

/// Longer than a shell waits.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const NODES: usize = 200;
const ROUNDS: usize = 15;
const ASKED_MAX: Duration = Duration::from_millis(500);
