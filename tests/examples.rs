//! The examples that users copy: they do what they say, with the nodes of the demo.

use zocp_testkit::{Cmd, Lab, demo, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Reads, is refused, and follows three signals.
fn assert_followed(out: &str) {
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert!(
        lines[0].starts_with("brightness is ") && lines[0].ends_with("0.2"),
        "{out}"
    );
    assert!(lines[1].starts_with("refused"), "{out}");
    assert!(
        lines[2..]
            .iter()
            .all(|line| line.starts_with("brightness is now ")),
        "{out}"
    );
}

/// Runs an example beside the demo.
async fn run(follow: Cmd) {
    let (bus, _demo) = demo(ZOCP).await;
    assert_followed(&follow.arg("3").on(&bus).run().await);
}

fn example(name: &str) -> String {
    format!("{EXAMPLES}/{name}")
}

#[test]
fn the_lamp_follows_the_fader_from_a_shell() {
    isolated(async |_: Lab| run(Cmd::new("bash").arg(example("follow.sh"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_python() {
    isolated(async |_: Lab| run(Cmd::python("dasbus").arg(example("follow.py"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_javascript() {
    isolated(async |_: Lab| run(Cmd::node().arg(example("follow.js"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_c() {
    isolated(async |lab: Lab| {
        let program = lab.path("follow");
        Cmd::cc(&example("follow.c"), &program).await;
        run(Cmd::new(&program)).await;
    });
}

#[test]
fn the_lamp_follows_the_fader_from_rust() {
    isolated(async |_: Lab| {
        // target/debug/deps/examples-…; cargo builds examples beside tests, though not for `--test` alone.
        let tests = std::env::current_exe().expect("a path");
        let built = tests.ancestors().nth(2).expect("target/debug");
        let follow = built.join("examples/follow");
        assert!(follow.exists(), "first: cargo build --example follow");
        run(Cmd::new(&follow.to_string_lossy())).await;
    });
}
