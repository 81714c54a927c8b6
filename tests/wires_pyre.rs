//! Wires between nodes in Python, made from a terminal.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use zbus::Variant;
use zocp_testkit::{Bridge, Lab, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// A desk that emits.
fn desk() -> Vec<Json> {
    vec![
        register(
            "fader",
            json!(0.0),
            "flt",
            "re",
            json!({"min": 0, "max": 1.0}),
        ),
        register("count", json!(0), "int", "re", json!({})),
        json!({"set_object": ["cam 1", "camera"]}),
        register("zoom", json!(1), "int", "rwe", json!({})),
    ]
}

/// A lamp that senses, and can be set.
fn lamp() -> Vec<Json> {
    vec![
        register("level", json!(0.0), "flt", "rwes", json!({"max": 1.0})),
        register("dim", json!(0), "int", "rw", json!({"max": 255})),
        register("ear", json!(0.0), "flt", "rs", json!({})),
        register("text", json!(""), "string", "rw", json!({})),
        register("total", json!(0), "int", "rw", json!({})),
    ]
}

fn register(name: &str, value: Json, hint: &str, access: &str, bounds: Json) -> Json {
    let mut entry = json!({"name": name, "value": value, "typeHint": hint, "access": access});
    if let (Some(entry), Some(bounds)) = (entry.as_object_mut(), bounds.as_object()) {
        entry.extend(bounds.clone());
    }
    json!({ "register": entry })
}

/// A bridge at the front of house, a desk and a lamp on machines of their own.
struct Stage {
    bridge: Bridge,
    desk: PyPeer,
    lamp: PyPeer,
}

impl Stage {
    async fn start(lab: &Lab) -> Self {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let desk = PyPeer::start(&lab.host("stage").await, "desk", &desk()).await;
        let lamp = PyPeer::start(&lab.host("grid").await, "lamp", &lamp()).await;
        desk.entered("lamp").await;
        lamp.entered("desk").await;
        bridge.bus.appears("org.z25.Zocp1.Node.desk").await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        Self { bridge, desk, lamp }
    }

    async fn zocp(&self, args: &[&str]) -> String {
        self.bridge.bus.command(ZOCP).args(args).run().await
    }

    /// Publishes a value that all may set, for as long as the stage is there.
    async fn publish(&self, name: &str, value: f64) {
        self.publish_with(name, value, "rw").await;
    }

    /// The same of a value that is emitted, and a sensor.
    async fn publish_two_way(&self, name: &str, value: f64) {
        self.publish_with(name, value, "rwes").await;
    }

    async fn publish_with(&self, name: &str, value: f64, access: &'static str) {
        let options = HashMap::from([("Access", Variant::from(access))]);
        let body = (name, Variant::from(value), options);
        let (path, interface) = ("/org/z25/Zocp1/Local", Some("org.z25.Zocp1.Local"));
        let client = self.bridge.bus.connection();
        let taken = client
            .call_method(Some("org.z25.Zocp1"), path, interface, "Publish", &body)
            .await;
        assert!(taken.is_ok(), "{taken:?}");
    }

    /// The wires as JSON.
    async fn wires(&self) -> Vec<Json> {
        let text = self.zocp(&["wires", "--json"]).await;
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Waits until a wire is so.
    async fn wire_is(&self, part: &str, wanted: Json) {
        let mut watching = self
            .bridge
            .bus
            .command(ZOCP)
            .args(["wires", "--watch", "--json"])
            .start();
        watching
            .says_like(&format!("{part} {wanted}"), |line| {
                let wire: Json = serde_json::from_str(line).ok()?;
                (wire[part] == wanted).then_some(())
            })
            .await;
        watching.kill().await;
    }

    async fn emit(&mut self, name: &str, value: Json) {
        self.desk.command(json!({"emit": [name, value]})).await;
    }

    /// Waits until the lamp was set so.
    async fn lamp_is_set(&self, change: Json) {
        self.lamp
            .event("modified", |event| event["data"] == change)
            .await;
    }

    /// Waits until a signal reached these sensors of the lamp.
    async fn lamp_senses(&self, value: Json, sensors: Json) {
        let is_it = |event: &Json| event["value"] == value && event["sensors"] == sensors;
        self.lamp.event("signal", is_it).await;
    }
}

#[test]
fn a_third_person_wires_two_python_nodes_and_leaves() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage.zocp(&["wire", "desk:fader", "lamp:level"]).await;
        stage.emit("fader", json!(0.5)).await;
        stage.lamp_senses(json!(0.5), json!(["level"])).await;
        stage.wire_is("count", json!(1)).await;
        let wires = stage.wires().await;
        assert_eq!(wires.len(), 1);
        assert_eq!(wires[0]["direct"], json!(true));
        assert_eq!(wires[0]["last_value"], json!(0.5));

        stage.bridge.program.kill().await;
        stage.emit("fader", json!(0.75)).await;
        stage.lamp_senses(json!(0.75), json!(["level"])).await;
        stage.desk.is_unharmed().await;
        stage.lamp.is_unharmed().await;
    });
}

#[test]
fn a_wire_that_is_taken_away_carries_nothing() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage.zocp(&["wire", "desk:fader", "lamp:level"]).await;
        stage.zocp(&["unwire", "desk:fader", "lamp:level"]).await;
        for (command, code, hint) in [
            ("unwire desk:fader lamp:level", 6, "see `zocp wires`"),
            ("wire desk:fader lmap:level", 5, "did you mean \"lamp\""),
        ] {
            let zocp = stage.bridge.bus.command(ZOCP);
            let refused = zocp.args(command.split(' ')).outcome().await;
            assert_eq!(refused.status.code(), Some(code), "{}", refused.err);
            assert!(refused.err.contains(hint), "{}", refused.err);
        }
        stage
            .lamp
            .event("whisper", |event| event.to_string().contains("UNSUB"))
            .await;
        stage.emit("fader", json!(0.5)).await;
        stage
            .zocp(&["wire", "desk:fader", "lamp:dim", "--scale", "ends"])
            .await;
        stage.emit("fader", json!(1.0)).await;
        stage.lamp_is_set(json!({"dim": {"value": 255}})).await;
        // Behind what the desk would have sent straight to the lamp.
        let marker = json!({"whisper": ["lamp", "marker"]});
        stage.desk.command(marker).await;
        let is_marker = |event: &Json| event.to_string().contains("marker");
        stage.lamp.event("whisper", is_marker).await;
        assert!(
            !stage
                .lamp
                .program
                .unmatched()
                .iter()
                .any(|line| line.contains("\"signal\""))
        );
    });
}

#[test]
fn values_are_converted_on_their_way() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        for (to, options) in [
            ("lamp:dim", &["--scale", "0..1=0..255", "--clamp"][..]),
            (
                "lamp:text",
                &["--expr", "if value > 0.5 { \"on\" } else { \"off\" }"],
            ),
            ("lamp:level", &["--invert"]),
        ] {
            stage
                .zocp(&[&["wire", "desk:fader", to], options].concat())
                .await;
        }
        stage.emit("fader", json!(0.75)).await;
        for change in [
            json!({"dim": {"value": 191}}),
            json!({"text": {"value": "on"}}),
            json!({"level": {"value": 0.25}}),
        ] {
            stage.lamp_is_set(change).await;
        }
        stage.emit("fader", json!(7)).await;
        stage.lamp_is_set(json!({"dim": {"value": 255}})).await;
        stage.lamp.is_unharmed().await;
    });
}

#[test]
fn a_sensor_that_cannot_be_written_hears_a_signal_of_the_bridge() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage
            .zocp(&["wire", "desk:fader", "lamp:ear", "--expr", "value * 2"])
            .await;
        stage
            .lamp
            .event("whisper", |event| event.to_string().contains("SUB"))
            .await;
        stage.emit("fader", json!(0.25)).await;
        stage.lamp_senses(json!(0.5), json!(["ear"])).await;
        stage.lamp.is_unharmed().await;
    });
}

#[test]
fn a_capability_within_an_object_of_an_old_node_is_wired_through_the_bridge() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage.zocp(&["wire", "desk:cam 1.zoom", "lamp:total"]).await;
        stage
            .desk
            .command(json!({"modify": {"zoom": {"value": 7}}}))
            .await;
        stage.lamp_is_set(json!({"total": {"value": 7}})).await;
        assert_eq!(stage.wires().await[0]["direct"], json!(false));
    });
}

#[test]
fn a_wire_that_a_node_made_itself_is_seen_by_everybody() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        let wire = json!({"subscribe": ["lamp", "level", "desk", "fader"]});
        stage.lamp.command(wire).await;
        stage.wire_is("foreign", json!(true)).await;
        let table = stage.zocp(&["wires"]).await;
        assert!(table.contains("desk:fader -> lamp:level"), "{table}");
        stage.zocp(&["unwire", "desk:fader", "lamp:level"]).await;
        stage.desk.event("unsubscribed", |_| true).await;
    });
}

#[test]
fn a_wire_is_made_again_when_a_python_node_comes_back() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage.zocp(&["wire", "desk:fader", "lamp:level"]).await;
        let before = stage.lamp.uuid().to_owned();
        stage.lamp.leave().await;
        stage.wire_is("state", json!("waiting")).await;
        stage.lamp = PyPeer::start(&lab.host("grid2").await, "lamp", &lamp()).await;
        assert_ne!(stage.lamp.uuid(), before);
        stage.wire_is("state", json!("active")).await;
        stage
            .lamp
            .event("whisper", |event| event.to_string().contains("SUB"))
            .await;
        stage.emit("fader", json!(0.5)).await;
        stage.lamp_senses(json!(0.5), json!(["level"])).await;
        stage.desk.is_unharmed().await;
    });
}

#[test]
fn a_scene_brings_back_values_and_wires() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage.publish("cue", 1.5).await;
        stage
            .zocp(&["wire", "desk:fader", "lamp:dim", "--scale", "ends"])
            .await;
        stage.zocp(&["set", "lamp", "level", "0.5"]).await;
        stage.zocp(&["scene", "save", "evening"]).await;
        assert_eq!(stage.zocp(&["scene", "list"]).await, "evening\n");
        stage.zocp(&["scene", "diff", "evening"]).await;

        stage.zocp(&["set", "lamp", "level", "1"]).await;
        stage.zocp(&["set", "foh", "cue", "2"]).await;
        stage.zocp(&["unwire", "desk:fader", "lamp:dim"]).await;
        let differs = stage
            .bridge
            .bus
            .command(ZOCP)
            .args(["scene", "diff", "evening"]);
        let differs = differs.outcome().await;
        assert_eq!(differs.status.code(), Some(11));
        assert!(
            differs.out.contains("lamp:level: 0.5 -> 1"),
            "{}",
            differs.out
        );
        stage.zocp(&["scene", "load", "evening"]).await;
        stage.lamp_is_set(json!({"level": {"value": 0.5}})).await;
        assert_eq!(stage.zocp(&["get", "foh", "cue"]).await, "1.5\n");
        stage.zocp(&["scene", "diff", "evening"]).await;

        stage.desk.leave().await;
        stage.bridge.bus.vanishes("org.z25.Zocp1.Node.desk").await;
        let load = stage
            .bridge
            .bus
            .command(ZOCP)
            .args(["scene", "load", "evening"]);
        let load = load.outcome().await;
        assert_eq!(load.status.code(), Some(11));
        assert!(load.out.contains("desk: no node is called"), "{}", load.out);
    });
}

/// Both are moved, one after the other, and each goes back to the other.
#[test]
fn a_wire_both_ways_with_an_old_node_rests_on_what_was_set_last() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        stage.publish_two_way("slider", 0.0).await;
        for (from, to) in [("foh:slider", "lamp:level"), ("lamp:level", "foh:slider")] {
            stage.zocp(&["wire", "--initial=false", from, to]).await;
        }
        for _ in ["at the lamp", "at the bridge"] {
            stage.lamp.event("subscribed", |_| true).await;
        }
        let local = stage
            .bridge
            .bus
            .object("org.z25.Zocp1", "/org/z25/Zocp1/Local");
        for step in 1..=100 {
            let value = f64::from(step) / 100.0;
            local.set("slider", value).await.expect("a value in range");
        }
        local.becomes("slider", 1.0).await;
        stage.bridge.bus.node("lamp").becomes("level", 1.0).await;

        for value in [0.75, 0.5, 0.25] {
            let change = json!({"level": {"value": value}});
            stage.lamp.command(json!({ "modify": change })).await;
        }
        local.becomes("slider", 0.25).await;
        // What would still be under way is there before what is told now.
        stage
            .lamp
            .command(json!({"modify": {"total": {"value": 7}}}))
            .await;
        stage.bridge.bus.node("lamp").becomes("total", 7_i64).await;
        assert_eq!(stage.zocp(&["get", "lamp", "level"]).await, "0.25\n");
        assert_eq!(stage.zocp(&["get", "foh", "slider"]).await, "0.25\n");
        stage.lamp.is_unharmed().await;
    });
}

/// Each of the three is moved in turn. Two of them do not know the cause of what they receive.
#[test]
fn a_circle_over_two_old_nodes_rests_on_what_was_set_last() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        let mut dimmer = PyPeer::start(&lab.host("rack").await, "dimmer", &lamp()).await;
        dimmer.entered("lamp").await;
        stage.lamp.entered("dimmer").await;
        stage.bridge.bus.appears("org.z25.Zocp1.Node.dimmer").await;
        stage.publish_two_way("slider", 0.0).await;
        let circle = ["foh:slider", "lamp:level", "dimmer:level", "foh:slider"];
        for ends in circle.windows(2) {
            stage
                .zocp(&["wire", "--initial=false", ends[0], ends[1]])
                .await;
        }
        stage.lamp.event("subscribed", |_| true).await;
        dimmer.event("subscribed", |_| true).await;
        let local = stage
            .bridge
            .bus
            .object("org.z25.Zocp1", "/org/z25/Zocp1/Local");
        for step in 1..=100 {
            let value = f64::from(step) / 100.0;
            local.set("slider", value).await.expect("a value in range");
        }
        let (bus, lamp) = (&stage.bridge.bus, &mut stage.lamp);
        let rest = async |lamp: &mut PyPeer, dimmer: &mut PyPeer, value: f64, marker: i64| {
            for node in ["lamp", "dimmer"] {
                bus.node(node).becomes("level", value).await;
            }
            local.becomes("slider", value).await;
            // What would still be under way is there before what is told now.
            for (peer, node) in [(lamp, "lamp"), (dimmer, "dimmer")] {
                let change = json!({"total": {"value": marker}});
                peer.command(json!({ "modify": change })).await;
                bus.node(node).becomes("total", marker).await;
            }
            for capability in [["lamp", "level"], ["dimmer", "level"], ["foh", "slider"]] {
                let shown = bus.command(ZOCP).arg("get").args(capability).run().await;
                assert_eq!(shown.trim().parse(), Ok(value), "{capability:?}");
            }
        };
        rest(lamp, &mut dimmer, 1.0, 1).await;
        for value in [0.75, 0.5, 0.25] {
            let change = json!({"level": {"value": value}});
            lamp.command(json!({ "modify": change })).await;
        }
        rest(lamp, &mut dimmer, 0.25, 2).await;
        for value in [0.375, 0.625] {
            let change = json!({"level": {"value": value}});
            dimmer.command(json!({ "modify": change })).await;
        }
        rest(lamp, &mut dimmer, 0.625, 3).await;
        lamp.is_unharmed().await;
        dimmer.is_unharmed().await;
    });
}
