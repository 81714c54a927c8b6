//! The examples that users copy: they do what they say, with the nodes of the demo.

use zocp_testkit::{Bus, Cmd, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// A bus with the demo on it.
async fn demo() -> (Bus, Program) {
    let bus = Bus::start("session").await;
    let demo = Cmd::new(ZOCP).arg("demo").on(&bus).start();
    bus.appears("org.z25.Zocp1.Node.fader").await;
    bus.appears("org.z25.Zocp1.Node.lamp").await;
    (bus, demo)
}

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

#[test]
fn the_lamp_follows_the_fader_from_a_shell() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo().await;
        let follow = Cmd::new("bash")
            .arg(format!("{EXAMPLES}/follow.sh"))
            .arg("3");
        assert_followed(&follow.on(&bus).run().await);
    });
}
