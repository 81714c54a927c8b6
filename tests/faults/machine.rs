//! Disks that are full, files that are broken, and too few descriptors.

use std::{fs, time::Duration};

use rustix::process::Signal;
use zocp_node::{Config, Events, Node};
use zocp_testkit::{Bridge, Bus, Client, Cmd, Lab, Program, Venue, error_name, in_time, isolated};

use super::{BRIDGE, EXAMPLES, LAMP, LAMP_OBJECT, LAMP_THERE, ZOCP};

const LOCAL: &str = "/org/z25/Zocp1/Local";

#[test]
fn on_a_full_disk_the_bridge_goes_on_and_what_lasts_is_written_when_there_is_room() {
    isolated(async |lab: Lab| {
        let state = lab.path("state-foh");
        small_disk(&state).await;
        let filler = lab.file("state-foh/filler", vec![0; 48 << 10]);
        let foh = lab.host("foh").await;
        let mut bridge = Bridge::start(ZOCP, &foh, "foh", &["-v"]).await;
        let text = "a".repeat(30 << 10);
        let mut curtain = publish(&bridge.bus, "curtain").await;
        curtain.tell(&text).await;
        curtain.says("is published").await;
        bridge.program.says("cannot save the state; retrying").await;
        let local = bridge.bus.object(BRIDGE, LOCAL);
        assert!(local.shown_value("curtain").await.contains(&text));
        fs::remove_file(filler).expect("a file");
        bridge.program.says("the state is saved again").await;
        bridge.program.kill().await;
        let _again = Bridge::start_on(&bridge.bus, ZOCP, &foh, "foh", &[]).await;
        assert!(local.shown_value("curtain").await.contains(&text));
    });
}

#[test]
fn state_that_cannot_be_read_is_left_alone_and_the_bridge_runs_without() {
    isolated(async |lab: Lab| {
        let place = lab.path("state-foh/published.json/in-the-way");
        fs::create_dir_all(&place).expect("a directory");
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let told = "changes are not saved until the next start";
        bridge.program.says(told).await;
        let mut curtain = publish(&bridge.bus, "curtain").await;
        curtain.tell("up").await;
        curtain.says("is published").await;
        let local = bridge.bus.object(BRIDGE, LOCAL);
        assert_eq!(local.shown_value("curtain").await, "s \"up\"");
        assert!(fs::exists(&place).expect("a place"));
    });
}

#[test]
fn a_configuration_that_is_broken_or_gone_at_a_reload_leaves_the_rules_as_they_are() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut client = Client::on(&venue.foh.bus).await;
        let (stage, file) = (&venue.stage.program, lab.path("stage.toml"));
        let not_followed = "the file is not followed; all stays as it was";
        lab.file("stage.toml", format!("{EXAMPLES}\ntalks = true\n"));
        stage.signal(Signal::HUP);
        stage.says("stage.toml: TOML parse error at line 5").await;
        stage.says("unknown field `talks`").await;
        stage.says(not_followed).await;
        fs::remove_file(&file).expect("a file");
        fs::create_dir(&file).expect("a directory");
        stage.signal(Signal::HUP);
        stage.says("stage.toml").await;
        stage.says(not_followed).await;
        fs::remove_dir(&file).expect("a directory");
        stage.signal(Signal::HUP);
        stage.says("stage.toml").await;
        stage.says(not_followed).await;
        let answer = client.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
        lab.file("stage.toml", "");
        stage.signal(Signal::HUP);
        venue.foh.bus.vanishes(LAMP_THERE).await;
    });
}

#[test]
fn without_free_descriptors_who_is_there_stays_and_who_waits_comes_when_there_are_some() {
    isolated(async |lab: Lab| {
        lab.attach().await;
        let foh = lab.host("foh").await;
        let bus = Bus::start("foh").await;
        let limited = ["--nofile=40:40", ZOCP, "bridge", "--name", "foh"];
        let command = foh.command("prlimit").args(limited).on(&bus);
        let bridge = command.label("bridge foh").start();
        bus.appears(BRIDGE).await;
        let first = node(0).await;
        bus.appears("org.z25.Zocp1.Node.n0").await;
        let mut others = Vec::new();
        for number in 1..16 {
            others.push(node(number).await);
        }
        // Some of them are too many. The bridge answers all the same, and the first is still there.
        bridge.says("connections cannot be accepted").await;
        let last = others.last().expect("a node");
        let names = bus.busctl(&["list", "--acquired"]).await;
        let shown = names.matches("org.z25.Zocp1.Node.").count();
        assert!(shown < 16, "{names}");
        assert!(bus.has("org.z25.Zocp1.Node.n0").await);
        assert!(
            bus.bridge()
                .shown("org.z25.Zocp1.Bridge", "Name")
                .await
                .contains("foh")
        );
        let last = last.0.name().to_owned();
        for (node, _) in others.drain(..14) {
            node.shutdown().await;
        }
        bus.appears(&format!("org.z25.Zocp1.Node.{last}")).await;
        drop(first);
        let told = |line: &&String| line.contains("connections cannot be accepted");
        assert_eq!(bridge.unmatched().iter().filter(told).count(), 0, "once");
    });
}

#[test]
fn a_bridge_that_gets_no_memory_ends_leaves_nothing_and_has_what_lasts_when_it_is_started_again() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let mut bridge = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let mut curtain = publish(&bridge.bus, "curtain").await;
        curtain.tell("up").await;
        curtain.says("is published").await;
        in_time("the state to be written", async {
            while !fs::exists(lab.path("state-foh/published.json")).expect("a place") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let process = bridge.program.pid().expect("it runs");
        let limits = [format!("--pid={process}"), "--as=1048576".to_owned()];
        Cmd::new("prlimit").args(limits).run().await;
        // More than any heap has in store.
        let message = "a".repeat(24 << 20);
        let root = bridge.bus.bridge();
        let call = root
            .call("org.z25.Zocp1.Bridge", "FindNode", &message)
            .await;
        assert!(call.is_err());
        assert!(!bridge.program.ended().await.success());
        assert!(!bridge.bus.has(BRIDGE).await);
        let _again = Bridge::start_on(&bridge.bus, ZOCP, &foh, "foh", &[]).await;
        let local = bridge.bus.object(BRIDGE, LOCAL);
        assert_eq!(local.shown_value("curtain").await, "s \"up\"");
    });
}

/// A node where the test itself is, whose events are read.
async fn node(number: usize) -> (Node, tokio::task::JoinHandle<()>) {
    let config = Config::new(format!("n{number}"));
    let (node, events) = Node::start(config).await.expect("a node");
    (node, tokio::spawn(read(events)))
}

async fn read(mut events: Events) {
    while events.next().await.is_some() {}
}

/// A disk with room for 64 KiB at `place`.
async fn small_disk(place: &str) {
    fs::create_dir(place).expect("a directory");
    let options = ["-t", "tmpfs", "-o", "size=64k", "small", place];
    Cmd::new("mount").args(options).run().await;
}

/// `zocp publish NAME - --lasting` on a bus; what it is told is its value.
async fn publish(bus: &Bus, name: &str) -> Program {
    let options = ["publish", name, "-", "--hint", "string", "--lasting"];
    bus.command(ZOCP).args(options).label("publish").start()
}
