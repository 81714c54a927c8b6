//! Links that go down, are renamed, get other addresses, and lose, double and delay what passes.

use serde_json::json;
use zocp_testkit::{
    Bridge, Client, Host, Lab, PyPeer, Venue, Weather, error_name, is_signal, isolated, message,
};

use super::{
    BRIDGE, EXAMPLES, IMPATIENT, LAMP, LAMP_OBJECT, LAMP_PATH, LAMP_THERE, LAMP1, NODE, ZOCP,
};

/// An impatient bridge at the front of house, and a lamp on stage that it follows.
struct Scene {
    foh: Host,
    bridge: Bridge,
    stage: Host,
    lamp: PyPeer,
}

impl Scene {
    async fn start(lab: &Lab, options: &[&str]) -> Self {
        let (foh, stage) = (lab.host("foh").await, lab.host("stage").await);
        let config = lab.file("impatient.toml", IMPATIENT);
        let options = [&["--config", &config], options].concat();
        let bridge = Bridge::start(ZOCP, &foh, "foh", &options).await;
        let level =
            json!({"register": {"name": "level", "value": 0, "typeHint": "int", "access": "re"}});
        let lamp = PyPeer::start(&stage, "lamp", &[level]).await;
        bridge.bus.appears(NODE).await;
        lamp.event("subscribed", |_| true).await;
        Self {
            foh,
            bridge,
            stage,
            lamp,
        }
    }

    /// That the lamp is there again, and followed.
    async fn is_whole(&mut self, value: i64) {
        self.bridge.bus.appears(NODE).await;
        self.lamp.event("subscribed", |_| true).await;
        self.lamp.command(json!({"emit": ["level", value]})).await;
        self.bridge.bus.node("lamp").becomes("level", value).await;
        self.lamp.is_unharmed().await;
    }

    async fn endpoint(&self) -> String {
        let bridge = self.bridge.bus.bridge();
        bridge.shown("org.z25.Zocp1.Bridge", "Endpoint").await
    }
}

#[test]
fn a_link_that_is_down_for_long_costs_the_nodes_behind_it_until_it_is_up() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, &[]).await;
        scene.foh.link(0).down().await;
        scene
            .bridge
            .program
            .says("no network but the loopback")
            .await;
        scene.bridge.bus.vanishes(NODE).await;
        assert!(scene.bridge.bus.has(BRIDGE).await);
        scene.foh.link(0).up().await;
        scene.is_whole(1).await;
    });
}

#[test]
fn what_is_emitted_while_a_link_is_down_for_a_moment_arrives() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &["-v"]).await;
        let level =
            json!({"register": {"name": "level", "value": 0, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[level]).await;
        bridge.bus.appears(NODE).await;
        lamp.event("subscribed", |_| true).await;
        let mut client = Client::on(&bridge.bus).await;
        client.hear(NODE).await;
        foh.link(0).down().await;
        bridge.program.says("no network but the loopback").await;
        lamp.command(json!({"emit_many": ["level", 1, 300]})).await;
        foh.link(0).up().await;
        arrive(&mut client, 300).await;
        lamp.is_unharmed().await;
        let exits = |line: &String| line.contains(r#""event": "exit""#);
        assert!(!lamp.program.unmatched().iter().any(exits));
    });
}

#[test]
fn a_link_that_has_another_name_is_used_under_it() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, &["-v"]).await;
        scene.foh.link(0).rename("show0").await;
        let change = "the mesh is on these networks=\"show0 (10.99.0.1)";
        scene.bridge.program.says(change).await;
        scene.lamp.command(json!({"emit": ["level", 1]})).await;
        scene.bridge.bus.node("lamp").becomes("level", 1_i64).await;
        // Beacons are heard there, too.
        scene.lamp.leave().await;
        scene.bridge.bus.vanishes(NODE).await;
        let _again = PyPeer::start(&scene.stage, "lamp", &[]).await;
        scene.bridge.bus.appears(NODE).await;
    });
}

#[test]
fn a_bridge_whose_address_changes_is_met_at_the_new_one() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, &[]).await;
        let link = scene.foh.link(0);
        link.remove_address("10.99.0.1/24").await;
        link.add_address("10.99.0.77/24").await;
        scene.lamp.left("foh").await;
        scene.lamp.entered("foh").await;
        scene.is_whole(1).await;
        assert!(scene.endpoint().await.contains("10.99.0.77"));
    });
}

#[test]
fn an_adapter_that_is_pulled_out_and_another_put_in_carries_the_mesh() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, &[]).await;
        scene.foh.link(0).remove().await;
        scene.bridge.bus.vanishes(NODE).await;
        scene.foh.plug(&lab.network).await;
        scene.is_whole(1).await;
    });
}

#[test]
fn in_bad_weather_nothing_is_lost_or_out_of_order_and_nobody_leaves() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let weather = Weather {
            lost: 3,
            doubled: 5,
            late: 10,
            delay: 0,
            seed: 7,
        };
        let link = venue.stage_host.link(0);
        let _weather = link.weather(&lab.network, &weather).await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let level =
            json!({"register": {"name": "level", "value": 0, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&venue.stage_host, "lamp", &[level]).await;
        for name in [NODE, LAMP_THERE] {
            venue.foh.bus.appears(name).await;
        }
        lamp.event("subscribed", |event| event["name"] == "foh")
            .await;
        let mut client = Client::on(&venue.foh.bus).await;
        client.hear(NODE).await;
        let calls: Vec<_> = (0..200)
            .map(|_| message(LAMP_THERE, LAMP_PATH, LAMP1, "Count").build(&()))
            .map(|call| call.expect("a call"))
            .collect();
        client.send_all(&calls).await;
        lamp.command(json!({"emit_many": ["level", 1, 2000]})).await;
        for call in &calls {
            assert_eq!(error_name(&client.answer(call).await), None);
        }
        let counted = client.call(LAMP_OBJECT, "Counted", &()).await;
        assert_eq!(counted.body().deserialize::<u32>().ok(), Some(200));
        arrive(&mut client, 2000).await;
        lamp.is_unharmed().await;
        let exits = |line: &String| line.contains(r#""event": "exit""#);
        assert!(!lamp.program.unmatched().iter().any(exits));
    });
}

/// The emissions of `level` from 1 to `last`, in this order.
async fn arrive(client: &mut Client, last: i64) {
    for wanted in 1..=last {
        let is_it = |message: &zbus::Message| is_signal(message, "level");
        let signal = client.find("an emission", is_it).await;
        let value: i64 = signal.body().deserialize().expect("a number");
        assert_eq!(value, wanted);
    }
}
