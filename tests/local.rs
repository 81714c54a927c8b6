//! What programs publish, with the binary: to Python nodes, and to the bus of another bridge.

use std::path::Path;

use serde_json::json;
use zocp_testkit::{Bridge, Bus, Cmd, Host, Lab, Program, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// `zocp publish fader -` on a bus, with its first value.
async fn publish(host: &Host, bus: &Bus) -> Program {
    let options = "publish fader - --hint flt --access rwes --min 0 --max 1";
    let command = host.command(ZOCP).args(options.split(' '));
    let mut fader = command.on(bus).label("publish").start();
    fader.tell("0.5").await;
    fader.says("is published").await;
    fader
}

#[test]
fn a_python_node_sees_hears_sets_and_wires_what_a_script_publishes() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let setup = [
            json!({"register": {"name": "dim", "value": 0.0, "typeHint": "flt", "access": "rws"}}),
            json!({"register": {"name": "knob", "value": 0.0, "typeHint": "flt", "access": "re"}}),
        ];
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &setup).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let mut fader = publish(&foh, &bridge.bus).await;
        lamp.command(json!({"get": ["foh", []]})).await;
        lamp.event("peer_modified", |event| {
            event["data"]["fader"]["value"] == 0.5
        })
        .await;

        // Our emitter, its sensor: each line is one signal, also of an equal value.
        lamp.command(json!({"subscribe": ["lamp", "dim", "foh", "fader"]}))
            .await;
        lamp.command(json!({"get": ["foh", []]})).await;
        lamp.event("peer_modified", |event| {
            event["data"]["fader"]["subscribers"][0][1] == "dim"
        })
        .await;
        for line in ["0.75", "0.75"] {
            fader.tell(line).await;
            lamp.event("signal", |event| {
                event["emitter"] == "fader" && event["value"] == 0.75
            })
            .await;
        }

        // What it sets arrives, what is out of range does not.
        for value in [7.0, 0.25] {
            lamp.command(json!({"set": ["foh", {"fader": {"value": value}}]}))
                .await;
        }
        fader.says("0.25").await;

        // Its emitter, our sensor: each arrival is told.
        lamp.command(json!({"subscribe": ["foh", "fader", "lamp", "knob"]}))
            .await;
        bridge.bus.node("lamp").becomes("knob", 0.0).await;
        for _ in 0..2 {
            lamp.command(json!({"emit": ["knob", 0.9]})).await;
            fader.says("0.9").await;
        }
        assert_eq!(fader.unmatched(), [""; 0], "nothing else arrived");
        lamp.is_unharmed().await;
    });
}

#[test]
fn what_a_program_publishes_and_does_is_on_the_bus_of_another_bridge() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let near = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        let far = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sensor.py");
        let dimmer = Cmd::python("dasbus").arg("-u").arg(script).arg("2");
        let mut dimmer = dimmer.on(&near.bus).label("dimmer").start();
        dimmer.says("is on the mesh").await;
        far.bus.appears("org.z25.Zocp1.Node.stage").await;
        let node = far.bus.node("stage");
        node.becomes("dimmer", 0.25).await;

        let zocp = |args: &str| foh.command(ZOCP).args(args.split(' ')).on(&far.bus);
        assert_eq!(zocp("call stage blink 3").run().await, "true\n");
        dimmer.says("blink 3").await;
        let wrong = zocp("call stage blink three").outcome().await;
        assert_eq!(wrong.status.code(), Some(7), "{wrong:?}");
        assert!(wrong.err.contains("\"times\""), "{wrong:?}");
        let missing = zocp("call stage blnk 3").outcome().await;
        assert_eq!(missing.status.code(), Some(6), "{missing:?}");
        assert!(missing.err.contains("blink"), "{missing:?}");

        for value in ["0.5", "0.75"] {
            zocp(&format!("set stage dimmer {value}")).run().await;
            dimmer.says(&format!("dimmer is now {value}")).await;
        }
        // It leaves after two arrivals, and takes all with it.
        dimmer.ended().await;
        let gone = zocp("get stage dimmer").outcome().await;
        assert_eq!(gone.status.code(), Some(6), "{gone:?}");
    });
}

#[test]
fn what_a_shell_script_measures_is_watched_from_another_machine() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let near = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        let far = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sensor.sh");
        let programs = Path::new(ZOCP).parent().expect("where it was built");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [programs.into()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).expect("a search path");
        let sensor = stage.command("bash").arg(script).env("PATH", path);
        let _sensor = sensor.on(&near.bus).label("sensor").start();
        far.bus.appears("org.z25.Zocp1.Node.stage").await;
        let watch = foh.command(ZOCP).args(["watch", "stage", "load"]);
        let watch = watch.on(&far.bus).label("watch").start();
        for _ in 0..2 {
            let number = |line: &str| {
                line.rsplit_once("load ")?
                    .1
                    .split(' ')
                    .next_back()?
                    .parse()
                    .ok()
            };
            let load: f64 = watch.says_like("the load", number).await;
            assert!(load >= 0.0, "{load}");
        }
    });
}
