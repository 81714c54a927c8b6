//! A machine that says to be a present node, and to be the bridge, on a network without keys.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::json;
use zbus::{fdo::DBusProxy, names::BusName};
use zocp_testkit::{Bridge, Bus, Lab, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.z25.Zocp1.Node.lamp";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/impostor.py");

/// The connection that shows the lamp: another one if the lamp was ever gone.
async fn owner(bus: &Bus) -> String {
    let dbus = DBusProxy::new(bus.connection()).await.expect("a proxy");
    let name = BusName::try_from(LAMP).expect("a name");
    let owner = dbus.get_name_owner(name).await.expect("the lamp is there");
    owner.to_string()
}

/// A property of the bridge, a text.
async fn told(bus: &Bus, property: &str) -> String {
    let place = ["org.z25.Zocp1", "/org/z25/Zocp1", "org.z25.Zocp1.Bridge"];
    let mut args = vec!["get-property"];
    args.extend(place);
    args.push(property);
    let told = bus.busctl(&args).await;
    let text = told.trim().strip_prefix("s ").expect("a text");
    text.trim_matches('"').to_owned()
}

fn address(endpoint: &str) -> &str {
    let rest = endpoint.strip_prefix("tcp://").expect("an endpoint");
    rest.split(':').next().expect("an address")
}

#[test]
fn who_says_to_be_a_present_node_or_the_bridge_changes_nothing() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let level =
            json!({"register": {"name": "level", "value": 3, "typeHint": "int", "access": "rwe"}});
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[level]).await;
        bridge.bus.appears(LAMP).await;
        let shown = bridge.bus.node("lamp");
        shown.becomes("level", 3_i64).await;
        let before = owner(&bridge.bus).await;

        let (uuid, endpoint) = (
            told(&bridge.bus, "Uuid").await,
            told(&bridge.bus, "Endpoint").await,
        );
        let thief = lab.host("thief").await;
        let own = thief.address_on(&lab.network);
        let args = [
            lamp.uuid(),
            address(lamp.endpoint()),
            &uuid,
            &endpoint,
            &own,
        ];
        let thief = thief.pypi_python().arg(SCRIPT).args(args);
        let mut thief = thief.label("thief").start();
        bridge.program.says("IdentityTaken").await;
        // It has done all that it does, and begins anew.
        thief.says("again").await;
        thief.kill().await;

        assert_eq!(owner(&bridge.bus).await, before, "the lamp was never gone");
        assert_eq!(shown.shown_value("level").await, "x 3");
        shown
            .set("level", 5_i64)
            .await
            .expect("the lamp is reached");
        shown.becomes("level", 5_i64).await;
        lamp.is_unharmed().await;
    });
}
