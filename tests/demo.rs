//! The two commands of the README, on a machine with no session bus and no network.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use zocp_testkit::{Bus, Lab, Outcome, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// The address of the bus that the demo tells the user to export.
async fn address(demo: &Program) -> String {
    let line = demo.says("export DBUS_SESSION_BUS_ADDRESS=").await;
    line.split('\'').nth(1).expect("it is quoted").to_owned()
}

#[test]
fn the_demo_shows_two_nodes_and_ends_at_ctrl_c() {
    isolated(async |lab: Lab| {
        let host = lab.bare_host("laptop").await;
        let mut demo = host.command(ZOCP).arg("demo").start();
        let address = address(&demo).await;
        let zocp = async |args: &[&str]| -> Outcome {
            host.command(ZOCP)
                .args(args)
                .env("DBUS_SESSION_BUS_ADDRESS", &address)
                .outcome()
                .await
        };
        let list = zocp(&["list"]).await;
        assert!(
            list.status.success() && list.out.contains("fader") && list.out.contains("lamp"),
            "{list:?}"
        );
        let tree = zocp(&["tree", "lamp"]).await;
        assert!(
            tree.status.success() && tree.out.contains("brightness"),
            "{tree:?}"
        );
        assert!(
            zocp(&["set", "lamp", "brightness", "0.8"])
                .await
                .status
                .success()
        );
        demo.says("lamp: brightness was set to 0.8").await;
        assert_eq!(zocp(&["get", "lamp", "brightness"]).await.out, "0.8\n");
        let refused = zocp(&["set", "lamp", "brightness", "2"]).await;
        assert_eq!(refused.status.code(), Some(7), "{refused:?}");
        demo.interrupt();
        assert!(demo.ended().await.success());
        assert_eq!(
            zocp(&["list"]).await.status.code(),
            Some(3),
            "the bus of the demo is gone with it"
        );
    });
}

#[test]
fn the_demo_offers_what_its_own_text_says() {
    isolated(async |lab: Lab| {
        let host = lab.bare_host("laptop").await;
        let demo = host.command(ZOCP).arg("demo").start();
        let address = address(&demo).await;
        // Every line `  zocp …  # …` of the text, in its order; `watch` has no end of its own.
        let mut commands = Vec::new();
        while commands.last().is_none_or(|last: &String| last != REFUSED) {
            let line = demo.says("  zocp ").await;
            let command = line.split('#').next().unwrap_or_default().trim();
            assert!(line.chars().count() <= 80, "{line}");
            commands.push(command.to_owned());
        }
        for command in &commands {
            let args: Vec<&str> = command.split(' ').skip(1).collect();
            let zocp = host.command(ZOCP).args(&args);
            let zocp = zocp.env("DBUS_SESSION_BUS_ADDRESS", &address);
            match args[0] {
                "watch" => {
                    let mut watch = zocp.start();
                    for _ in 0..3 {
                        watch.says("brightness").await;
                    }
                    watch.interrupt();
                    assert!(watch.ended().await.success());
                }
                "wire" => {
                    assert!(zocp.outcome().await.status.success(), "{command}");
                    // A wire moves the lamp, more than once.
                    for _ in 0..3 {
                        demo.says("lamp: brightness was set to").await;
                    }
                }
                _ => {
                    let outcome = zocp.outcome().await;
                    let expected = if command == REFUSED { 7 } else { 0 };
                    assert_eq!(
                        outcome.status.code(),
                        Some(expected),
                        "{command}: {outcome:?}"
                    );
                }
            }
        }
        demo.says("lamp: blinks 3 times").await;
    });
}

/// The last command of the demo's text, which shows a refusal.
const REFUSED: &str = "zocp set lamp brightness 2";

#[test]
fn watch_follows_the_fader() {
    isolated(async |lab: Lab| {
        let host = lab.bare_host("laptop").await;
        let demo = host.command(ZOCP).arg("demo").start();
        let address = address(&demo).await;
        let watch = host
            .command(ZOCP)
            .args(["--json", "watch", "fader", "level"]);
        let mut watch = watch.env("DBUS_SESSION_BUS_ADDRESS", &address).start();
        for _ in 0..5 {
            watch.says("level").await;
        }
        watch.interrupt();
        assert!(watch.ended().await.success());
    });
}

#[test]
fn the_demo_uses_a_session_bus_where_there_is_one() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let host = lab.bare_host("laptop").await;
        let mut demo = host.command(ZOCP).arg("demo").on(&bus).start();
        bus.appears("org.z25.Zocp1.Node.fader").await;
        bus.appears("org.z25.Zocp1.Node.lamp").await;
        demo.interrupt();
        assert!(demo.ended().await.success());
        bus.vanishes("org.z25.Zocp1.Node.fader").await;
    });
}

#[test]
fn a_bridge_with_a_bus_of_its_own_tells_its_address() {
    isolated(async |lab: Lab| {
        let host = lab.host("server").await;
        let mut bridge = host
            .command(ZOCP)
            .args(["bridge", "--bus", "embedded"])
            .start();
        let address = address(&bridge).await;
        let list = host
            .command(ZOCP)
            .arg("list")
            .env("DBUS_SESSION_BUS_ADDRESS", &address);
        assert!(list.outcome().await.status.success());
        bridge.interrupt();
        assert!(bridge.ended().await.success());
    });
}

#[test]
fn commands_without_bus_or_bridge_say_what_to_do() {
    isolated(async |lab: Lab| {
        let host = lab.bare_host("laptop").await;
        let no_bus = host.command(ZOCP).arg("list").outcome().await;
        assert_eq!(no_bus.status.code(), Some(3), "{no_bus:?}");
        let bus = Bus::start("session").await;
        let no_bridge = host.command(ZOCP).arg("list").on(&bus).outcome().await;
        assert_eq!(no_bridge.status.code(), Some(4), "{no_bridge:?}");
        assert!(no_bridge.err.contains("zocp bridge"), "{no_bridge:?}");
    });
}
