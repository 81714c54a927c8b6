//! What commands say and show: when something cannot be as it was asked for, what is wrong and what to do; else what is
//! there, the bridge's own values as well.
//!
//! The nodes are those of the demo. Texts of the policy of a system bus and of polkit are tested in `bridge/cli/exit.rs`.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use zocp_testkit::{Bridge, Bus, Cmd, Lab, Outcome, Venue, demo, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

async fn zocp(bus: &Bus, args: &[&str]) -> Outcome {
    Cmd::new(ZOCP).args(args).on(bus).outcome().await
}

/// Ends with this code, and says all of this.
fn assert_says(outcome: &Outcome, code: i32, texts: &[&str]) {
    assert_eq!(outcome.status.code(), Some(code), "{outcome:?}");
    for text in texts {
        assert!(outcome.err.contains(text), "no {text:?} in {outcome:?}");
    }
}

#[test]
fn a_wire_that_cannot_be_meant_is_refused_at_once_with_what_to_write() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let wire = async |from: &str, to: &str, options: &[&str]| {
            zocp(&bus, &[&["wire", from, to], options].concat()).await
        };
        let (fader, lamp) = ("fader:level", "lamp:brightness");
        let never_seen = wire("lmap:on", lamp, &[]).await;
        assert_says(&never_seen, 5, &["did you mean \"lamp\"?", "--lasting"]);
        let unknown = wire("fader:levl", lamp, &[]).await;
        assert_says(&unknown, 6, &["did you mean \"level\"?", "\"fader\""]);
        let unknown = wire(fader, "lamp:dimmer", &[]).await;
        assert_says(
            &unknown,
            6,
            &["\"lamp\" has no capability \"dimmer\"", "brightness"],
        );
        let no_bus_end = wire(fader, "dbus:org.mpris.x", &[]).await;
        assert_says(&no_bus_end, 2, &["dbus:SERVICE:/PATH:INTERFACE.MEMBER"]);
        for (option, text, says) in [
            ("--expr", "foo(value)", "there is no function foo()"),
            ("--expr", "1 + valeu", "valeu"),
            ("--expr", "value +", "--expr 'value * 2.0'"),
            ("--scale", "0-1", "--scale 0..1=0..255"),
            ("--scale", "0..0=0..1", "two different"),
        ] {
            let refused = wire(fader, lamp, &[option, text]).await;
            assert_says(&refused, 2, &[option, says]);
        }
        let none = zocp(&bus, &["wires"]).await;
        assert_says(&none, 0, &["there are no wires"]);
        // A wire that one may wait for, and one that replaces another.
        let waits = wire("lmap:on", "lamp:on", &["--lasting"]).await;
        assert_says(&waits, 0, &["no node is called \"lmap\"", "waits"]);
        let made = wire(fader, lamp, &["--scale", "0..1=0.2..0.6"]).await;
        assert!(made.status.success() && made.err.is_empty(), "{made:?}");
        let replaces = wire(fader, lamp, &[]).await;
        assert_says(&replaces, 0, &["replaces the wire", "scale 0..1=0.2..0.6"]);
        let no_such = zocp(&bus, &["unwire", "a:b", "c:d"]).await;
        assert_says(&no_such, 6, &["no such wire", "zocp wires"]);
    });
}

#[test]
fn a_wire_between_ranges_that_do_not_meet_is_warned_of() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let percent = "publish master 0.5 --access re --min 0 --max 100";
        let percent = Cmd::new(ZOCP).args(percent.split(' ')).on(&bus).start();
        percent.says("is published").await;
        let made = zocp(&bus, &["wire", "demo:master", "lamp:brightness"]).await;
        assert_says(&made, 0, &["from 0 to 100", "--scale ends"]);
        let scaled = ["wire", "demo:master", "lamp:brightness", "--scale", "ends"];
        let made = zocp(&bus, &scaled).await;
        assert!(!made.err.contains("values go from"), "{made:?}");
    });
}

#[test]
fn what_waits_says_what_it_waits_for() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let mut watch = Cmd::new(ZOCP).args(["watch", "nosuch"]).on(&bus).start();
        watch.says("waits for a node \"nosuch\"").await;
        watch.interrupt();
        assert!(watch.ended().await.success());
        let export = Cmd::new(ZOCP).args(["export", "org.nosuch.Service"]);
        let mut export = export.on(&bus).start();
        export.says("is not on this bus yet").await;
        export.interrupt();
        assert!(export.ended().await.success());
    });
}

#[test]
fn an_empty_mesh_is_told_of() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let host = lab.host("alone").await;
        let _bridge = Bridge::start_on(&bus, ZOCP, &host, "alone", &[]).await;
        let tree = zocp(&bus, &["tree"]).await;
        assert_says(&tree, 0, &["no nodes are present yet"]);
    });
}

#[test]
fn what_differs_from_a_scene_is_counted_in_words() {
    isolated(async |lab: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let home = lab.path("state");
        let scene = async |args: &[&str]| {
            let scene = Cmd::new(ZOCP).arg("scene").args(args);
            scene.env("XDG_STATE_HOME", &home).on(&bus).outcome().await
        };
        assert!(scene(&["save", "evening", "lamp"]).await.status.success());
        zocp(&bus, &["set", "lamp", "brightness", "0.9"]).await;
        let one = scene(&["diff", "evening"]).await;
        assert_says(&one, 11, &["1 value differs"]);
        zocp(&bus, &["set", "lamp", "on", "false"]).await;
        let two = scene(&["diff", "evening"]).await;
        assert_says(&two, 11, &["2 values differ"]);
    });
}

#[test]
fn what_the_bridge_itself_publishes_is_shown_like_that_of_nodes() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let publish = Cmd::new(ZOCP).args(["publish", "master", "0.5", "--access", "rwe"]);
        let publish = publish.on(&bus).start();
        publish.says("is published").await;
        let list = zocp(&bus, &["list"]).await;
        assert!(list.out.contains("this bridge"), "{list:?}");
        let tree = zocp(&bus, &["tree"]).await;
        assert!(
            tree.out.contains("(this bridge)") && tree.out.contains("master"),
            "{tree:?}"
        );
        let all = zocp(&bus, &["get", "demo"]).await;
        assert_eq!(all.out, "master  0.5\n");
        let watch = Cmd::new(ZOCP).args(["watch", "demo", "master", "-n", "2"]);
        let mut watch = watch.on(&bus).start();
        watch.says("master = 0.5").await;
        assert!(
            zocp(&bus, &["set", "demo", "master", "0.75"])
                .await
                .status
                .success()
        );
        watch.says("0.75").await;
        assert!(watch.ended().await.success());
        let lamp = zocp(&bus, &["get", "lamp"]).await;
        assert!(
            lamp.out.contains("label       front of house\n"),
            "{lamp:?}"
        );
    });
}

#[test]
fn watching_ends_by_itself_when_enough_came_or_the_time_is_up() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let three = zocp(&bus, &["watch", "fader", "-n", "3"]).await;
        let values = three.out.lines().filter(|line| line.contains("level"));
        assert_eq!(values.count(), 3, "{three:?}");
        let late = zocp(&bus, &["watch", "nosuch", "-n", "1", "--for", "0.3s"]).await;
        assert_says(&late, 8, &["the time is up"]);
        let timed = zocp(&bus, &["watch", "fader", "--for", "0.3"]).await;
        assert!(timed.status.success() && !timed.out.is_empty(), "{timed:?}");
        let events = zocp(&bus, &["monitor", "-n", "2"]).await;
        assert_eq!(events.out.lines().count(), 2, "{events:?}");
        // Nothing says this, so all that was asked for is missing.
        let none = ["monitor", "--verb", "nosuch", "-n", "3", "--for", "0.3"];
        let some = zocp(&bus, &none).await;
        assert_says(&some, 8, &["the time is up: 3 of the lines"]);
        assert!(events.err.contains("waits for messages"), "{events:?}");
    });
}

#[test]
fn a_service_is_exported_again_when_the_bridge_is_started_anew() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let bus = Bus::start("session").await;
        let start = async || Bridge::start_on(&bus, ZOCP, &host, "stage", &[]).await;
        let mut bridge = start().await;
        let service = "org.example.Lamp";
        let owner = bus.connect().await;
        owner.request_name(service).await.expect("the name");
        let mut export = Cmd::new(ZOCP)
            .args(["export", service, "--learn", "--json"])
            .on(&bus)
            .start();
        export.says("is exported").await;
        bridge.kill().await;
        export.says("the bridge has ended").await;
        let _bridge = start().await;
        export.says("is exported again").await;
        // The bridge has it, and looks who is on the bus.
        let (path, interface) = ("/org/z25/Zocp1", "org.z25.Zocp1.Exporter");
        let shown = ["get-property", "org.z25.Zocp1", path, interface, "Exports"];
        let offered = async { while !bus.busctl(&shown).await.contains(service) {} };
        in_time("the export", offered).await;
        // What the bridge before recorded is lost.
        export.interrupt();
        export.says("more was asked than is recorded").await;
        assert!(export.ended().await.success());
    });
}

#[test]
fn a_value_is_published_again_when_the_bridge_is_started_anew() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let bus = Bus::start("session").await;
        let start = async || Bridge::start_on(&bus, ZOCP, &host, "stage", &[]).await;
        let mut bridge = start().await;
        let publish = Cmd::new(ZOCP).args(["publish", "fader", "0.5", "--access", "rw"]);
        let publish = publish.on(&bus).start();
        publish.says("is published until").await;
        let offer = [
            "publish",
            "--source",
            "cam",
            "--endpoint",
            "tcp://127.0.0.1:5005",
        ];
        let offer = Cmd::new(ZOCP).args(offer).on(&bus).start();
        offer.says("is offered until").await;
        // What nobody said of it is not there, instead of empty.
        let described = zocp(&bus, &["streams", "--json"]).await;
        assert!(
            described.out.contains("\"framing\": \"octets\""),
            "{described:?}"
        );
        assert!(!described.out.contains("\"mtu\""), "{described:?}");
        // The pipe of a command ends with the bridge.
        let piped = ["publish", "--source", "zero", "--", "sleep", "1000"];
        let mut piped = Cmd::new(ZOCP).args(piped).on(&bus).start();
        piped.says("is offered until").await;
        assert!(
            zocp(&bus, &["set", "stage", "fader", "0.75"])
                .await
                .status
                .success()
        );
        publish.says("0.75").await;
        let not_ours = zocp(&bus, &["unpublish", "fader"]).await;
        assert_says(&not_ours, 1, &["end that one"]);
        bridge.kill().await;
        publish.says("the bridge has ended").await;
        let _bridge = start().await;
        publish.says("is published again").await;
        offer.says("\"cam\" is offered again").await;
        assert!(
            zocp(&bus, &["streams"])
                .await
                .out
                .contains("tcp://127.0.0.1:5005")
        );
        piped.says("the bridge has ended").await;
        assert_eq!(piped.ended().await.code(), Some(4));
        assert_eq!(zocp(&bus, &["get", "stage", "fader"]).await.out, "0.75\n");
        // One that stays is taken away by name.
        let lasting = Cmd::new(ZOCP).args(["publish", "cue", "1", "--lasting"]);
        let mut lasting = lasting.on(&bus).start();
        lasting.says("is published").await;
        lasting.interrupt();
        assert!(lasting.ended().await.success());
        assert_eq!(zocp(&bus, &["get", "stage", "cue"]).await.out, "1\n");
        assert!(zocp(&bus, &["unpublish", "cue"]).await.status.success());
        assert_says(
            &zocp(&bus, &["unpublish", "cue"]).await,
            6,
            &["nothing is published"],
        );
    });
}

#[test]
fn a_value_that_a_wire_sets_again_is_told_with_the_wire() {
    isolated(async |lab: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let state = lab.path("state");
        let scene = async |args: &[&str]| {
            let zocp = Cmd::new(ZOCP).arg("scene").args(args).on(&bus);
            zocp.env("XDG_STATE_HOME", &state).outcome().await
        };
        assert_says(&scene(&["list"]).await, 0, &["there are no scenes"]);
        assert!(scene(&["save", "evening"]).await.status.success());
        let wire = ["wire", "fader:level", "lamp:brightness"];
        assert!(zocp(&bus, &wire).await.status.success());
        let loaded = scene(&["load", "evening", "lamp:brightness"]).await;
        assert_eq!(loaded.status.code(), Some(11), "{loaded:?}");
        let told = "does not keep it; fader:level -> lamp:brightness sets it";
        assert!(loaded.out.contains(told), "{loaded:?}");
    });
}

#[test]
fn the_tree_names_a_service_of_another_machine_as_one_types_it_here() {
    isolated(async |lab: Lab| {
        let rules = "[[export]]\nservice = 'org.example.Lamp'\ntalk = true\n";
        let venue = Venue::open(&lab, ZOCP, rules, "").await;
        let lamp = "org.example.Lamp";
        let _lamp = venue.stage.bus.serve("lamp_service.py", lamp).await;
        venue.foh.bus.appears("org.example.Lamp.stage").await;
        let tree = zocp(&venue.foh.bus, &["tree", "stage"]).await;
        let told = "org.example.Lamp.stage  org.example.Lamp there";
        assert!(tree.out.contains(told), "{tree:?}");
        let json = zocp(&venue.foh.bus, &["--json", "tree", "stage"]).await;
        assert!(json.out.contains("\"here\": \"org.example.Lamp.stage\""));
        // Where it is, it is a service like any other.
        let own = zocp(&venue.stage.bus, &["tree", "stage"]).await;
        assert!(
            own.out.contains("org.example.Lamp  dbus-service"),
            "{own:?}"
        );
    });
}

#[test]
fn wires_are_followed_until_ctrl_c_while_they_bring_values() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let mut watch = Cmd::new(ZOCP).args(["wires", "--watch"]).on(&bus).start();
        let wire = ["wire", "fader:level", "lamp:brightness"];
        assert!(zocp(&bus, &wire).await.status.success());
        // Each value is a change of the wire.
        for _ in 0..3 {
            watch.says("fader:level -> lamp:brightness").await;
        }
        watch.interrupt();
        assert!(watch.ended().await.success());
    });
}

#[test]
fn ctrl_c_ends_a_publisher_that_waits_for_its_first_line() {
    isolated(async |_: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let publish = Cmd::new(ZOCP).args(["-vv", "publish", "own", "-"]);
        let mut publish = publish.env("ZOCP_LOG", "zocp=debug").on(&bus).start();
        publish.says("waits for the first line").await;
        publish.interrupt();
        assert!(publish.ended().await.success());
    });
}

#[test]
fn a_program_for_a_stream_that_cannot_be_run_is_named_and_lines_that_are_no_value_are_counted() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let stage = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        let foh = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let source = Cmd::new(ZOCP).args(["publish", "--source", "zero", "--", "cat", "/dev/zero"]);
        let _source = source.on(&stage.bus).start();
        let none = zocp(&foh.bus, &["streams", "foh"]).await;
        assert_says(&none, 0, &["there are no streams of \"foh\""]);
        in_time("the stream in the list", async {
            while !zocp(&foh.bus, &["streams"]).await.out.contains("zero") {}
        })
        .await;
        for (program, code) in [("/nope", 127), ("/etc", 126)] {
            let stream = ["stream", "stage", "zero", "--", program];
            let outcome = zocp(&foh.bus, &stream).await;
            assert_says(&outcome, code, &["cannot run", program]);
            assert!(!outcome.err.contains("panicked"), "{outcome:?}");
            let publish = ["publish", "--source", "other", "--", program];
            assert_says(
                &zocp(&stage.bus, &publish).await,
                code,
                &["cannot run", program],
            );
        }
        let sink = zocp(
            &foh.bus,
            &["stream", "stage", "zero", "--direction", "sink"],
        )
        .await;
        assert_says(&sink, 6, &["is a source", "--direction"]);
        let unused = zocp(&stage.bus, &["publish", "x", "5", "--", "cat"]).await;
        assert_says(&unused, 2, &["--source"]);

        let lines = "printf '1\\nfoo\\n3\\n' | $ZOCP publish count - --hint int";
        let lines = Cmd::new("sh").args(["-c", lines]).env("ZOCP", ZOCP);
        let lines = lines.on(&stage.bus).outcome().await;
        assert_says(
            &lines,
            7,
            &["found foo (line 2)", "1 of 3 lines were refused"],
        );
    });
}
