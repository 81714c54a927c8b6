//! `zocp osc --publish`: programs that speak nothing but OSC as nodes, wired to others.

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Host, Lab, Program, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

fn lamp() -> Vec<Json> {
    vec![
        json!({"register": {"name": "level", "value": 0.5, "typeHint": "flt", "access": "rwes", "max": 1}}),
    ]
}

/// `zocp osc --publish synth` on `host`, for a program on `remote`.
fn command(lab: &Lab, host: &Host, remote: &Host, options: &[&str]) -> zocp_testkit::Cmd {
    let to = format!("{}:9001", remote.address_on(&lab.network));
    let command =
        host.command(ZOCP)
            .args(["osc", "--publish", "synth", "--listen", "0.0.0.0:9000"]);
    command
        .args(["--remote", &to])
        .arg(format!("--state={}", lab.path("synth")))
        .args(options)
}

async fn sends(host: &Host, to: &str, args: &[&str]) {
    host.command("oscsend")
        .arg(format!("osc.udp://{to}:9000"))
        .args(args)
        .run()
        .await;
}

/// A wire brought it this value.
async fn is_set(lamp: &PyPeer, value: Json) {
    let is_it = |event: &Json| event["value"] == value && event["sensors"] == json!(["level"]);
    lamp.event("signal", is_it).await;
}

#[test]
fn what_a_program_sends_is_learned_wired_to_a_lamp_and_known_the_next_time() {
    isolated(async |lab: Lab| {
        let (desk, foh, stage) = (
            lab.host("desk").await,
            lab.host("foh").await,
            lab.host("stage").await,
        );
        let address = foh.address_on(&lab.network);
        let bridge = Bridge::start(ZOCP, &desk, "desk", &[]).await;
        let rig = lab.host("rig").await;
        let mut face = command(&lab, &foh, &rig, &[]).start();
        face.says("OSC at 0.0.0.0:9000").await;
        let lamp = PyPeer::start(&stage, "lamp", &lamp()).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        bridge.bus.appears("org.z25.Zocp1.Node.synth").await;
        sends(&rig, &address, &["/filter/1/cutoff", "f", "0.25"]).await;
        let cutoff = bridge.bus.node("synth").child("filter").child("_31");
        cutoff.becomes("cutoff", 0.25).await;

        let zocp = |args: &[&str]| bridge.bus.command(ZOCP).args(args);
        zocp(&["wire", "synth:filter.1.cutoff", "lamp:level"])
            .run()
            .await;
        sends(&rig, &address, &["/filter/1/cutoff", "f", "0.75"]).await;
        is_set(&lamp, json!(0.75)).await;
        // Somebody else may not speak for it.
        sends(&stage, &address, &["/filter/1/cutoff", "f", "0.1"]).await;
        bridge
            .bus
            .node("synth")
            .child("counts")
            .becomes("refused", 1_i64)
            .await;
        sends(&rig, &address, &["/filter/1/cutoff", "f", "0.5"]).await;
        is_set(&lamp, json!(0.5)).await;

        face.interrupt();
        assert!(face.ended().await.success());
        bridge.bus.vanishes("org.z25.Zocp1.Node.synth").await;
        let kept = std::fs::read_to_string(lab.path("synth/osc-synth.toml")).unwrap();
        assert!(
            kept.contains("address = \"/filter/1/cutoff\"\ndirection = \"out\"\ntype = \"flt\""),
            "{kept}"
        );
        let _face = command(&lab, &foh, &rig, &[]).start();
        bridge.bus.appears("org.z25.Zocp1.Node.synth").await;
        cutoff.becomes("cutoff", 0.0).await;
    });
}

#[test]
fn pure_data_is_a_node_with_an_emitter_and_a_sensor_by_its_map() {
    isolated(async |lab: Lab| {
        let (desk, stage) = (lab.host("desk").await, lab.host("stage").await);
        let bridge = Bridge::start(ZOCP, &desk, "desk", &[]).await;
        // Pure Data and its face are on one machine. What comes at 9001 is printed; a second later it sends.
        let patch = "#N canvas 0 0 450 300 10;\n#X obj 10 10 netreceive -u -b 9001;\n#X obj 10 40 oscparse;\n\
                     #X obj 10 70 print heard;\n#X obj 200 10 loadbang;\n#X msg 200 40 connect 127.0.0.1 9000;\n\
                     #X obj 200 190 netsend -u -b;\n#X obj 300 40 delay 2000;\n#X msg 300 70 0.625;\n\
                     #X obj 300 100 oscformat slider;\n#X obj 300 130 list prepend send;\n#X obj 300 160 list trim;\n\
                     #X connect 0 0 1 0;\n#X connect 1 0 2 0;\n#X connect 3 0 4 0;\n#X connect 4 0 5 0;\n\
                     #X connect 3 0 6 0;\n#X connect 6 0 7 0;\n#X connect 7 0 8 0;\n#X connect 8 0 9 0;\n\
                     #X connect 9 0 10 0;\n#X connect 10 0 5 0;\n";
        let patch = lab.file("synth.pd", patch);
        let map = "learn = false\n\
                   [[capability]]\naddress = \"/slider\"\nname = \"out.slider\"\ntype = \"flt\"\nmin = 0\nmax = 1\n\
                   [[capability]]\naddress = \"/cutoff\"\ndirection = \"in\"\ntype = \"flt\"\nmax = 1000\n";
        let map = lab.file("map.toml", map);
        let lamp = PyPeer::start(&stage, "lamp", &lamp()).await;
        let studio = lab.host("studio").await;
        let face =
            studio
                .command(ZOCP)
                .args(["osc", "--publish", "pd", "--remote", "127.0.0.1:9001"]);
        let face = face.args(["--map", &map, "--state="]).start();
        face.says("OSC at 127.0.0.1:9000").await;
        bridge.bus.appears("org.z25.Zocp1.Node.pd").await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let zocp = |args: &[&str]| bridge.bus.command(ZOCP).args(args);
        zocp(&["wire", "pd:out.slider", "lamp:level"]).run().await;
        let pd: Program = studio
            .command("pd")
            .args(["-nogui", "-noaudio", "-nomidi", "-stderr", &patch])
            .start();
        is_set(&lamp, json!(0.625)).await;

        zocp(&["set", "pd", "cutoff", "440"]).run().await;
        pd.says("heard: list cutoff 440").await;
        let mut lamp = lamp;
        zocp(&["wire", "lamp:level", "pd:cutoff"]).run().await;
        lamp.command(json!({"emit": ["level", 0.75]})).await;
        pd.says("heard: list cutoff 0.75").await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    isolated(async |lab: Lab| {
        let (foh, rig) = (lab.host("foh").await, lab.host("rig").await);
        let map = lab.file(
            "map.toml",
            "[[capability]]\naddress = \"cutoff\"\ntype = \"flt\"\n",
        );
        let wrong = command(&lab, &foh, &rig, &["--map", &map]).outcome().await;
        assert_eq!(wrong.status.code(), Some(2));
        assert!(
            wrong
                .err
                .contains("map.toml: cutoff: an address begins with a slash"),
            "{}",
            wrong.err
        );
        let deaf = foh
            .command(ZOCP)
            .args(["osc", "--publish", "x", "--remote", "10.99.0.2:9001"])
            .outcome()
            .await;
        assert!(deaf.err.contains("--listen 0.0.0.0:9000"), "{}", deaf.err);
    });
}
